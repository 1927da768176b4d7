//! A train on a date: what a sale sells.

/// A train on a date: the chain of stations between which seats are sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainRun {
    /// Unique within a selection: the name reduced to `[A-Za-z0-9-]`, `@` and the date, for example
    /// `ICE-599@2017-03-31`. Runs of the same name get their trip's id between name and date.
    pub id: String,
    /// The name that travellers know, for example `ICE 599`.
    pub name: String,
    /// The service day, `YYYY-MM-DD`.
    pub date: String,
    /// At least two, in the order of the journey. A station may occur twice.
    pub stations: Vec<Station>,
}

impl TrainRun {
    /// The number of stretches between neighbouring stations, at least one.
    pub fn segments(&self) -> usize {
        self.stations.len() - 1
    }
}

/// A stop of a train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// The timetable's id of the stop.
    pub id: String,
    /// The name that travellers know.
    pub name: String,
    /// Arrival in seconds since the beginning of the service day (noon minus 12 h); over 86 400 after midnight.
    pub arrival_s: u32,
    /// Departure, likewise; not before the arrival.
    pub departure_s: u32,
}
