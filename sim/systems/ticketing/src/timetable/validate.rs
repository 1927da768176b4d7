//! From rows to a timetable: every reference must lead somewhere, and no train may arrive before it has left.

use std::collections::HashMap;

use gtfs_structures::{RawStopTime, RawTrip, Route};

use super::archive::{Archive, ROUTES, Rows, STOP_TIMES, STOPS, TRIPS};
use super::calendar::Calendar;
use super::error::{TimetableError, clock, quoted};
use super::{Call, Stop, Timetable, Trip};

/// Rows by id: only for looking up.
type Ids<'a> = HashMap<&'a str, usize>;

/// Checks the rows and builds the timetable.
pub(super) fn timetable(archive: &Archive, rows: Rows, label: &str) -> Result<Timetable, TimetableError> {
    let Rows { stops, routes, trips, stop_times, calendar, calendar_dates } = rows;
    let stop_ids = unique(archive, STOPS, "stop_id", stops.iter().map(|stop| stop.id.as_str()))?;
    let route_ids = unique(archive, ROUTES, "route_id", routes.iter().map(|route| route.id.as_str()))?;
    let trip_ids = unique(archive, TRIPS, "trip_id", trips.iter().map(|trip| trip.id.as_str()))?;
    let (calendar, service_ids) = Calendar::from_rows(archive, calendar, &calendar_dates)?;
    if trips.is_empty() || stop_times.is_empty() {
        let file = if trips.is_empty() { TRIPS } else { STOP_TIMES };
        let error = TimetableError::new(label, "the table has no rows").in_file(file, None);
        return Err(error.expected("at least one train"));
    }

    let calls_by_trip = order_calls(archive, &stop_times, &trip_ids)?;
    let mut calls_rest = calls_by_trip.as_slice();
    let mut timetable = Timetable {
        label: label.to_owned(),
        stops: stops
            .iter()
            .map(|stop| Stop {
                id: stop.id.clone(),
                name: stop.name.clone().unwrap_or_else(|| stop.id.clone()),
            })
            .collect(),
        trips: Vec::with_capacity(trips.len()),
        calls: Vec::with_capacity(stop_times.len()),
        calendar,
    };
    for (row, trip) in trips.iter().enumerate() {
        let service = *reference(archive, (TRIPS, row), "service_id", &trip.service_id, &service_ids)?;
        let route = *reference(archive, (TRIPS, row), "route_id", &trip.route_id, &route_ids)?;
        let length = calls_rest.iter().take_while(|call| call.trip == row).count();
        let (own, rest) = calls_rest.split_at(length);
        calls_rest = rest;
        let begin = timetable.calls.len();
        append_calls(archive, own, &stop_times, &stop_ids, &mut timetable.calls)?;
        if length < 2 {
            // Nobody can travel with it. GTFS allows such trips, so it is left out rather than refused.
            timetable.calls.truncate(begin);
            continue;
        }
        let name = train_name(routes.get(route), trip);
        timetable.trips.push(Trip {
            id: trip.id.clone(),
            name,
            service,
            calls: begin..timetable.calls.len(),
        });
    }
    if timetable.trips.is_empty() {
        let error = TimetableError::new(label, "no trip has two stops").in_file(STOP_TIMES, None);
        return Err(error.expected("at least one train"));
    }
    if timetable.days().is_none() {
        let error = TimetableError::new(label, "no train runs on any day");
        return Err(error.expected("days in calendar.txt or calendar_dates.txt"));
    }
    Ok(timetable)
}

/// The rows by their ids, which must neither be empty nor occur twice.
fn unique<'a>(
    archive: &Archive,
    file: &'static str,
    column: &str,
    ids: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Ids<'a>, TimetableError> {
    let mut seen = Ids::with_capacity(ids.len());
    for (row, id) in ids.enumerate() {
        if id.is_empty() {
            return Err(archive.at_row(file, row, format!("the {column} is empty")).expected("an id"));
        }
        if let Some(earlier) = seen.insert(id, row) {
            let line = archive.line_of_row(file, earlier).unwrap_or_default();
            let what = format!("{column} {} occurs twice, first in line {line}", quoted(id));
            return Err(archive.at_row(file, row, what).expected(format!("each {column} once")));
        }
    }
    Ok(seen)
}

/// Looks an id up that a row refers to.
fn reference<'m, K, V>(
    archive: &Archive,
    (file, row): (&'static str, usize),
    column: &str,
    id: &str,
    ids: &'m HashMap<K, V>,
) -> Result<&'m V, TimetableError>
where
    K: std::borrow::Borrow<str> + std::hash::Hash + Eq,
{
    ids.get(id).ok_or_else(|| {
        let table = match column {
            "stop_id" => "stops.txt",
            "trip_id" => "trips.txt",
            "route_id" => "routes.txt",
            _ => "calendar.txt or calendar_dates.txt",
        };
        let what = if id.is_empty() {
            format!("the {column} is empty")
        } else {
            format!("{column} {} does not exist", quoted(id))
        };
        archive.at_row(file, row, what).expected(format!("a {column} of {table}"))
    })
}

/// A row of `stop_times.txt`, ordered by trip, place along the trip, and row.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct CallRow {
    trip: usize,
    sequence: u32,
    row: usize,
}

/// The rows of `stop_times.txt` by trip and in the order of the journeys; they may stand in any order.
fn order_calls(
    archive: &Archive,
    stop_times: &[RawStopTime],
    trip_ids: &Ids<'_>,
) -> Result<Vec<CallRow>, TimetableError> {
    let mut calls = Vec::with_capacity(stop_times.len());
    // Rows of one trip usually stand together: most look-ups are spared.
    let mut last: Option<(&str, usize)> = None;
    for (row, stop_time) in stop_times.iter().enumerate() {
        let id = stop_time.trip_id.as_str();
        let trip = match last {
            Some((known, trip)) if known == id => trip,
            _ => *reference(archive, (STOP_TIMES, row), "trip_id", id, trip_ids)?,
        };
        last = Some((id, trip));
        calls.push(CallRow { trip, sequence: stop_time.stop_sequence, row });
    }
    calls.sort();
    for pair in calls.windows(2) {
        if let [a, b] = pair
            && (a.trip, a.sequence) == (b.trip, b.sequence)
        {
            let line = archive.line_of_row(STOP_TIMES, a.row).unwrap_or_default();
            let what = format!("stop_sequence {} occurs twice in its trip, first in line {line}", b.sequence);
            return Err(archive
                .at_row(STOP_TIMES, b.row, what)
                .expected("each stop_sequence of a trip once"));
        }
    }
    Ok(calls)
}

/// Checks the times of one trip and appends its calls. Stops without times lie evenly between their neighbours.
fn append_calls(
    archive: &Archive,
    rows: &[CallRow],
    stop_times: &[RawStopTime],
    stop_ids: &Ids<'_>,
    calls: &mut Vec<Call>,
) -> Result<(), TimetableError> {
    let begin = calls.len();
    // The last timed call: its index in `calls`, and its row for messages.
    let mut timed: Option<(usize, usize)> = None;
    for (place, call) in rows.iter().enumerate() {
        let Some(stop_time) = stop_times.get(call.row) else { continue };
        let stop = *reference(archive, (STOP_TIMES, call.row), "stop_id", &stop_time.stop_id, stop_ids)?;
        let arrival = stop_time.arrival_time.or(stop_time.departure_time);
        let departure = stop_time.departure_time.or(arrival);
        let (Some(arrival_s), Some(departure_s)) = (arrival, departure) else {
            if place == 0 || place + 1 == rows.len() {
                let what = "the first and the last stop of a trip cannot be without a time";
                return Err(archive
                    .at_row(STOP_TIMES, call.row, what)
                    .expected("arrival_time and departure_time"));
            }
            calls.push(Call { stop, arrival_s: 0, departure_s: 0 });
            continue;
        };
        if departure_s < arrival_s {
            let what = format!("departure at {} before arrival at {}", clock(departure_s), clock(arrival_s));
            return Err(archive.at_row(STOP_TIMES, call.row, what).expected("times that never run backward"));
        }
        if let Some((index, row)) = timed {
            let left_s = calls[index].departure_s;
            if arrival_s < left_s {
                let line = archive.line_of_row(STOP_TIMES, row).unwrap_or_default();
                let what = format!(
                    "arrival at {} before departure at {} from an earlier stop of the trip, in line {line}",
                    clock(arrival_s),
                    clock(left_s)
                );
                return Err(archive
                    .at_row(STOP_TIMES, call.row, what)
                    .expected("times that never run backward"));
            }
            interpolate(&mut calls[index + 1..], left_s, arrival_s);
        }
        timed = Some((begin + place, call.row));
        calls.push(Call { stop, arrival_s, departure_s });
    }
    Ok(())
}

/// Spreads calls without times evenly between a departure and the next arrival.
fn interpolate(calls: &mut [Call], left_s: u32, arrival_s: u32) {
    let stretches = calls.len() as u64 + 1;
    for (place, call) in calls.iter_mut().enumerate() {
        let passed = u64::from(arrival_s - left_s) * (place as u64 + 1) / stretches;
        call.arrival_s = left_s + u32::try_from(passed).unwrap_or(0);
        call.departure_s = call.arrival_s;
    }
}

/// The name that travellers know: of the route, with the number of the train if the trip has one of its own.
fn train_name(route: Option<&Route>, trip: &RawTrip) -> String {
    let given = |name: &Option<String>| {
        name.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
    };
    let of_route = route.and_then(|route| given(&route.short_name).or_else(|| given(&route.long_name)));
    match (of_route, given(&trip.trip_short_name)) {
        (Some(route), Some(number)) if number.contains(&route) => number,
        (Some(route), Some(number)) if route.contains(&number) => route,
        (Some(route), Some(number)) => format!("{route} {number}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => trip.id.clone(),
    }
}
