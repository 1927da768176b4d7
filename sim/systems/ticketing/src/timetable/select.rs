//! Choosing the trains of a sale from a timetable: the same choice from the same feed, whatever the seed.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Span, ToSpan};

use super::error::quoted;
use super::{Station, Timetable, TimetableError, TrainRun, Trip};

impl Timetable {
    /// The first and the last day on which any train may run; `None` only while a timetable is being validated.
    pub(super) fn days(&self) -> Option<(Date, Date)> {
        let spans = || self.trips.iter().filter_map(|trip| self.calendar.span(trip.service));
        Some((spans().map(|(first, _)| first).min()?, spans().map(|(_, last)| last).max()?))
    }

    /// The day on which the most trains run, the earliest of several; looked for in the first two years.
    fn busiest_day(&self) -> Option<Date> {
        let (first, last) = self.days()?;
        let two_years: Span = 2.years();
        let last = first.checked_add(two_years).map_or(last, |limit| limit.min(last));
        let mut trains: BTreeMap<Date, u32> = BTreeMap::new();
        for trip in &self.trips {
            for day in self.calendar.days(trip.service, first, last) {
                *trains.entry(day).or_default() += 1;
            }
        }
        let most = *trains.values().max()?;
        trains.into_iter().find(|(_, count)| *count == most).map(|(day, _)| day)
    }

    /// The trips of a day, the one with the most stations first, then by name and id.
    fn trips_on(&self, day: Date) -> Vec<&Trip> {
        let mut trips: Vec<&Trip> =
            self.trips.iter().filter(|trip| self.calendar.runs(trip.service, day)).collect();
        trips.sort_by(|a, b| {
            let longest_first = b.calls.len().cmp(&a.calls.len());
            longest_first.then_with(|| a.name.cmp(&b.name)).then_with(|| a.id.cmp(&b.id))
        });
        trips
    }

    /// Every train of a day, the one with the most stations first, then by name and trip. Empty when none runs.
    pub fn runs_on(&self, day: Date) -> Vec<TrainRun> {
        let trips = self.trips_on(day);
        let ids = run_ids(&trips, day);
        trips.iter().zip(ids).map(|(trip, id)| self.run(trip, id, day)).collect()
    }

    /// Chooses the trains of a sale.
    ///
    /// `date` is `YYYY-MM-DD`, or empty for the day with the most trains. With `names`, exactly these trains in this
    /// order, by name or by [`TrainRun::id`], and `count` is not looked at; of several trains of one name the one with
    /// the most stations. Without, the `count` trains with the most stations, or all of the day if there are fewer.
    ///
    /// # Errors
    /// The date is malformed, no train runs on it, or there is no train of a name; with what there is.
    pub fn select(
        &self,
        date: &str,
        count: usize,
        names: &[String],
    ) -> Result<Vec<TrainRun>, TimetableError> {
        let day = self.day(date)?;
        let mut runs = self.runs_on(day);
        if runs.is_empty() {
            let error = TimetableError::new(&self.label, format!("no train runs on {day}"));
            return Err(error.expected(self.days_offered(day)));
        }
        if names.is_empty() {
            runs.truncate(count);
            return Ok(runs);
        }
        let mut chosen: Vec<TrainRun> = Vec::new();
        for name in names {
            let asked = simplified(name);
            let is_asked = |run: &&TrainRun| simplified(&run.name) == asked || simplified(&run.id) == asked;
            let Some(run) = runs.iter().find(is_asked) else {
                return Err(self.no_such_train(name, day, &runs));
            };
            if chosen.iter().any(|earlier| earlier.id == run.id) {
                let what = format!("train {} is chosen twice", quoted(name));
                return Err(TimetableError::new(&self.label, what).expected("each train once"));
            }
            chosen.push(run.clone());
        }
        Ok(chosen)
    }

    fn day(&self, date: &str) -> Result<Date, TimetableError> {
        let date = date.trim();
        let malformed = || {
            let what = format!("{} is no date", quoted(date));
            TimetableError::new(&self.label, what).expected("a date such as 2017-03-31")
        };
        if date.is_empty() {
            // A valid timetable has days, though all of them may have been removed again by exceptions.
            let none = || TimetableError::new(&self.label, "no train runs on any day");
            return self.busiest_day().ok_or_else(none);
        }
        if date.len() != "YYYY-MM-DD".len() {
            return Err(malformed());
        }
        date.parse().map_err(|_| malformed())
    }

    fn days_offered(&self, day: Date) -> String {
        let Some((first, last)) = self.days() else { return "a day on which trains run".to_owned() };
        let range = if first == last { format!("{first}") } else { format!("a date from {first} to {last}") };
        match self.busiest_day() {
            Some(busiest) if busiest != day && first != last => format!("{range}, for example {busiest}"),
            _ => range,
        }
    }

    fn no_such_train(&self, name: &str, day: Date, runs: &[TrainRun]) -> TimetableError {
        let asked = simplified(name);
        let same_name = self.trips.iter().filter(|trip| simplified(&trip.name) == asked);
        let other_day = same_name
            .filter_map(|trip| {
                let (first, last) = self.calendar.span(trip.service)?;
                let near = |days: i64| day.checked_add(days.days()).ok();
                // The next two months, then the two before, are near enough to be of use.
                let later = self.calendar.days(trip.service, first.max(day), near(60)?.min(last));
                let before = self.calendar.days(trip.service, near(-60)?.max(first), day.min(last));
                later.first().or(before.last()).copied()
            })
            .min_by_key(|other| (other.duration_since(day).as_hours().abs(), *other));
        if let Some(other_day) = other_day {
            let what = format!("train {} does not run on {day}", quoted(name));
            return TimetableError::new(&self.label, what)
                .expected(format!("a day on which it runs, such as {other_day}"));
        }
        let distance = |run: &&TrainRun| strsim::damerau_levenshtein(&asked, &simplified(&run.name));
        let nearest = runs.iter().min_by_key(distance).map_or("", |run| &run.name);
        let what = format!("there is no train {} on {day}", quoted(name));
        let trains = runs.len();
        TimetableError::new(&self.label, what)
            .expected(format!("one of the {trains} trains of that day; did you mean \"{nearest}\"?"))
    }

    fn run(&self, trip: &Trip, id: String, day: Date) -> TrainRun {
        let station = |call: &super::Call| {
            let stop = &self.stops[call.stop];
            Station {
                id: stop.id.clone(),
                name: stop.name.clone(),
                arrival_s: call.arrival_s,
                departure_s: call.departure_s,
            }
        };
        let stations = self.calls[trip.calls.clone()].iter().map(station).collect();
        TrainRun { id, name: trip.name.clone(), date: day.to_string(), stations }
    }
}

/// The ids of the runs of a day: short where the name is enough, never twice the same.
fn run_ids(trips: &[&Trip], day: Date) -> Vec<String> {
    let names: Vec<String> = trips.iter().map(|trip| slug(&trip.name)).collect();
    let mut same_name: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &names {
        *same_name.entry(name).or_default() += 1;
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    trips
        .iter()
        .zip(&names)
        .map(|(trip, name)| {
            let own = slug(&trip.id);
            let stem = match same_name.get(name.as_str()) {
                Some(1) if !name.is_empty() => name.clone(),
                // Names in other scripts leave nothing: the trip's id has to do.
                _ => match [name.as_str(), &own]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()[..]
                {
                    [] => "train".to_owned(),
                    ref parts => parts.join("-"),
                },
            };
            let mut id = format!("{stem}@{day}");
            // Names and trips that differ only in what a slug leaves out.
            while let Some(times) = taken.get_mut(&id) {
                *times += 1;
                id = format!("{stem}-{times}@{day}");
            }
            taken.insert(id.clone(), 1);
            id
        })
        .collect()
}

/// A name reduced to `[A-Za-z0-9-]`.
fn slug(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

/// A name as it is compared: without case, and with single spaces.
fn simplified(name: &str) -> String {
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
