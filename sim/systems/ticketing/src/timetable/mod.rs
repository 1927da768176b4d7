//! Real timetables: GTFS feeds read and validated, and the trains of a sale chosen from them.
//!
//! ```text
//! zip ── archive: the tables as texts, checked for what the reader would stumble over
//!     ── gtfs-structures: typed rows
//!     ── validate: references, calendar, times along every trip ── Timetable ── select ── TrainRun
//! ```
//!
//! A feed is refused as a whole when any of the tables that a sale rests on is broken, with file and line: whoever
//! brings a timetable wants to know that it is broken, not which of its trains can be saved. Tables that a sale does
//! not need (fares, shapes, transfers) are not looked at. Trips by frequency run once, at the times of `stop_times.txt`.

mod archive;
mod calendar;
mod error;
mod run;
mod select;
#[cfg(test)]
mod tests;
mod validate;

use calendar::Calendar;
pub use error::TimetableError;
pub use run::{Station, TrainRun};

/// The feed that is built in: German long-distance trains from 11 December 2016 to 9 December 2017.
const BUILT_IN: &[u8] = include_bytes!("../../../../../fixtures/timetables/db-fernverkehr-2017.gtfs.zip");
const BUILT_IN_LABEL: &str = "db-fernverkehr-2017.gtfs.zip";

/// A valid timetable: every trip has at least two stations with times that never run backward, and every day that it
/// runs is known.
#[derive(Debug)]
pub struct Timetable {
    label: String,
    stops: Vec<Stop>,
    trips: Vec<Trip>,
    /// The calls of all trips, one trip after the other, each in the order of its journey.
    calls: Vec<Call>,
    calendar: Calendar,
}

#[derive(Debug)]
struct Stop {
    id: String,
    name: String,
}

#[derive(Debug)]
struct Trip {
    id: String,
    name: String,
    service: calendar::ServiceIndex,
    /// Its calls in [`Timetable::calls`]; at least two.
    calls: std::ops::Range<usize>,
}

/// A stop of a trip, with times in seconds since the beginning of the service day.
#[derive(Debug, Clone, Copy)]
struct Call {
    stop: usize,
    arrival_s: u32,
    departure_s: u32,
}

impl Timetable {
    /// Reads a zipped GTFS feed. `label` is how messages call it, usually the path of the file.
    ///
    /// # Errors
    /// The first mistake that makes the feed unusable, with file and line where it stands.
    pub fn read(zip: &[u8], label: &str) -> Result<Self, TimetableError> {
        let archive = archive::Archive::open(zip, label)?;
        let rows = archive.rows(zip)?;
        validate::timetable(&archive, rows, label)
    }

    /// The feed that is built in.
    ///
    /// # Errors
    /// Never in a program whose tests pass; the type spares the caller a second path.
    pub fn built_in() -> Result<Self, TimetableError> {
        Self::read(BUILT_IN, BUILT_IN_LABEL)
    }
}
