//! On which days a service runs: `calendar.txt` by weekday, `calendar_dates.txt` by exception.

use std::collections::HashMap;

use gtfs_structures::{Calendar as Weekly, CalendarDate, Exception};
use jiff::civil::{Date, Weekday};

use super::archive::{Archive, CALENDAR, CALENDAR_DATES};
use super::error::{TimetableError, quoted};

/// A service of a [`Calendar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServiceIndex(usize);

/// The days of every service.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    services: Vec<Service>,
}

#[derive(Debug, Default)]
struct Service {
    weekly: Option<Weekly>,
    /// Days added (`true`) or removed, ordered by day, each day once.
    exceptions: Vec<(Date, bool)>,
}

/// Services by id: only for looking up.
pub(super) type ServiceIds = HashMap<String, ServiceIndex>;

impl Calendar {
    /// Checks the rows of both tables and joins them by service.
    pub(super) fn from_rows(
        archive: &Archive,
        weekly: Vec<Weekly>,
        dates: &[CalendarDate],
    ) -> Result<(Self, ServiceIds), TimetableError> {
        let mut calendar = Self::default();
        let mut ids = ServiceIds::new();
        for (row, week) in weekly.into_iter().enumerate() {
            if week.start_date > week.end_date {
                let what =
                    format!("the service ends on {}, before it starts on {}", week.end_date, week.start_date);
                return Err(archive
                    .at_row(CALENDAR, row, what)
                    .expected("an end_date not before the start_date"));
            }
            let index = calendar.index(&mut ids, &week.id);
            let service = &mut calendar.services[index.0].weekly;
            if service.is_some() {
                let what = format!("service {} is defined twice", quoted(&week.id));
                return Err(archive.at_row(CALENDAR, row, what).expected("each service_id once"));
            }
            *service = Some(week);
        }
        // The row of an exception stands beside it until contradictions have been looked for.
        let mut exceptions: Vec<(usize, Date, usize, bool)> = Vec::with_capacity(dates.len());
        for (row, exception) in dates.iter().enumerate() {
            let index = calendar.index(&mut ids, &exception.service_id);
            exceptions.push((index.0, exception.date, row, exception.exception_type == Exception::Added));
        }
        exceptions.sort_unstable();
        let mut before: Option<(usize, Date, bool)> = None;
        for (service, date, row, added) in exceptions {
            match before {
                Some((other, day, was_added)) if (other, day) == (service, date) => {
                    if was_added != added {
                        let id =
                            dates.get(row).map(|exception| exception.service_id.as_str()).unwrap_or_default();
                        let what = format!("service {} is both added and removed on {date}", quoted(id));
                        return Err(archive
                            .at_row(CALENDAR_DATES, row, what)
                            .expected("one exception per day"));
                    }
                }
                _ => calendar.services[service].exceptions.push((date, added)),
            }
            before = Some((service, date, added));
        }
        Ok((calendar, ids))
    }

    fn index(&mut self, ids: &mut ServiceIds, id: &str) -> ServiceIndex {
        if let Some(index) = ids.get(id) {
            return *index;
        }
        let index = ServiceIndex(self.services.len());
        self.services.push(Service::default());
        ids.insert(id.to_owned(), index);
        index
    }

    /// Whether a service runs on a day.
    pub(super) fn runs(&self, service: ServiceIndex, day: Date) -> bool {
        let service = &self.services[service.0];
        match service.exceptions.binary_search_by_key(&day, |(date, _)| *date) {
            Ok(found) => service.exceptions[found].1,
            Err(_) => service.weekly.as_ref().is_some_and(|week| runs_weekly(week, day)),
        }
    }

    /// The days of a service within `from..=to`, ascending.
    pub(super) fn days(&self, service: ServiceIndex, from: Date, to: Date) -> Vec<Date> {
        let Some((first, last)) = self.span(service) else { return Vec::new() };
        let Service { weekly, exceptions } = &self.services[service.0];
        if weekly.is_none() {
            // Without a week, the exceptions are all there is: feeds of this kind have very many.
            let within = exceptions.iter().filter(|(day, added)| *added && (from..=to).contains(day));
            return within.map(|(day, _)| *day).collect();
        }
        let (mut day, last) = (first.max(from), last.min(to));
        let mut days = Vec::new();
        while day <= last {
            if self.runs(service, day) {
                days.push(day);
            }
            match day.tomorrow() {
                Ok(tomorrow) => day = tomorrow,
                Err(_) => break,
            }
        }
        days
    }

    /// The first and the last day on which a service may run.
    pub(super) fn span(&self, service: ServiceIndex) -> Option<(Date, Date)> {
        let service = &self.services[service.0];
        let weekly = service.weekly.iter().flat_map(|week| [week.start_date, week.end_date]);
        let added = service.exceptions.iter().filter(|(_, added)| *added).map(|(date, _)| *date);
        let (first, last) = (weekly.clone().chain(added.clone()).min()?, weekly.chain(added).max()?);
        Some((first, last))
    }
}

fn runs_weekly(week: &Weekly, day: Date) -> bool {
    let on_weekday = match day.weekday() {
        Weekday::Monday => week.monday,
        Weekday::Tuesday => week.tuesday,
        Weekday::Wednesday => week.wednesday,
        Weekday::Thursday => week.thursday,
        Weekday::Friday => week.friday,
        Weekday::Saturday => week.saturday,
        Weekday::Sunday => week.sunday,
    };
    on_weekday && (week.start_date..=week.end_date).contains(&day)
}
