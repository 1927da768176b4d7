//! The zip archive of a feed: its tables as texts, and their rows as gtfs-structures reads them.
//!
//! gtfs-structures knows the types but not the lines, and it trusts its input: a colour of six bytes that are not six
//! characters, or a time of a million hours, makes it panic. So the texts are kept to find lines, and looked through
//! before they are handed over.

use std::io::{Cursor, Read};

use gtfs_structures::{
    Agency, Calendar, CalendarDate, GtfsReader, RawGtfs, RawStopTime, RawTrip, Route, Stop,
};

use super::error::{TimetableError, quoted};

pub(super) const STOPS: &str = "stops.txt";
pub(super) const ROUTES: &str = "routes.txt";
pub(super) const TRIPS: &str = "trips.txt";
pub(super) const STOP_TIMES: &str = "stop_times.txt";
pub(super) const CALENDAR: &str = "calendar.txt";
pub(super) const CALENDAR_DATES: &str = "calendar_dates.txt";
const AGENCY: &str = "agency.txt";
const FREQUENCIES: &str = "frequencies.txt";

/// A table that is read: whether a feed must have it, and the columns that every row must have.
struct TableRule {
    file: &'static str,
    required: bool,
    columns: &'static [&'static str],
    /// Columns whose fields, unless empty, must be of a form.
    forms: &'static [(&'static str, Form)],
}

/// What a field must look like.
#[derive(Clone, Copy)]
struct Form {
    fits: fn(&[u8]) -> bool,
    expected: &'static str,
}

const TIME: Form = Form { fits: is_time, expected: "a time such as 07:05:00, or 25:10:00 after midnight" };
const COLOUR: Form = Form { fits: is_colour, expected: "six hexadecimal digits such as FF8800" };

const TABLES: [TableRule; 8] = [
    table(AGENCY, true, &["agency_name", "agency_url", "agency_timezone"], &[]),
    table(STOPS, true, &["stop_id"], &[]),
    table(
        ROUTES,
        true,
        &["route_id", "route_type"],
        &[("route_color", COLOUR), ("route_text_color", COLOUR)],
    ),
    table(TRIPS, true, &["route_id", "service_id", "trip_id"], &[]),
    table(
        STOP_TIMES,
        true,
        &["trip_id", "arrival_time", "departure_time", "stop_id", "stop_sequence"],
        &[("arrival_time", TIME), ("departure_time", TIME)],
    ),
    table(CALENDAR, false, &["service_id", "start_date", "end_date"], &[]),
    table(CALENDAR_DATES, false, &["service_id", "date", "exception_type"], &[]),
    // Its rows are not used, but gtfs-structures reads them.
    table(FREQUENCIES, false, &[], &[("start_time", TIME), ("end_time", TIME)]),
];

const fn table(
    file: &'static str,
    required: bool,
    columns: &'static [&'static str],
    forms: &'static [(&'static str, Form)],
) -> TableRule {
    TableRule { file, required, columns, forms }
}

/// Larger tables are refused, in bytes.
const TABLE_MAX: u64 = 1 << 30;

/// The texts of the tables of a feed.
pub(super) struct Archive {
    label: String,
    texts: Vec<(&'static str, String)>,
}

/// The rows of a feed, in the order of their files.
pub(super) struct Rows {
    pub(super) stops: Vec<Stop>,
    pub(super) routes: Vec<Route>,
    pub(super) trips: Vec<RawTrip>,
    pub(super) stop_times: Vec<RawStopTime>,
    pub(super) calendar: Vec<Calendar>,
    pub(super) calendar_dates: Vec<CalendarDate>,
}

impl Archive {
    /// Unpacks the tables and refuses what cannot be handed to gtfs-structures.
    pub(super) fn open(zip: &[u8], label: &str) -> Result<Self, TimetableError> {
        let not_zip = |error: zip::result::ZipError| {
            TimetableError::new(label, format!("this is not a zip archive: {error}"))
                .expected("a GTFS feed: a zip archive of tables such as stops.txt")
        };
        let mut zip = zip::ZipArchive::new(Cursor::new(zip)).map_err(not_zip)?;
        let mut archive = Self { label: label.to_owned(), texts: Vec::new() };
        for rule in &TABLES {
            if let Some(text) = archive.unpack(&mut zip, rule.file)? {
                archive.texts.push((rule.file, text));
            }
        }
        archive.check_presence()?;
        for rule in &TABLES {
            archive.check_table(rule)?;
        }
        Ok(archive)
    }

    fn unpack(
        &self,
        zip: &mut zip::ZipArchive<Cursor<&[u8]>>,
        file: &'static str,
    ) -> Result<Option<String>, TimetableError> {
        // The last entry of that name in any folder, as gtfs-structures chooses.
        let is_table = |name: &str| std::path::Path::new(name).file_name().is_some_and(|last| last == file);
        let Some(index) = (0..zip.len()).rev().find(|index| zip.name_for_index(*index).is_some_and(is_table))
        else {
            return Ok(None);
        };
        let unreadable = |why: String| {
            TimetableError::new(&self.label, format!("cannot be unpacked: {why}")).in_file(file, None)
        };
        let entry = zip.by_index(index).map_err(|error| unreadable(error.to_string()))?;
        let mut bytes = Vec::new();
        entry.take(TABLE_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
        if bytes.len() as u64 > TABLE_MAX {
            return Err(unreadable(format!("it is larger than {} MiB", TABLE_MAX >> 20)));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            TimetableError::new(&self.label, "this is not UTF-8 text")
                .in_file(file, Some(newlines(valid) + 1))
        })?;
        Ok(Some(text))
    }

    fn check_presence(&self) -> Result<(), TimetableError> {
        let missing: Vec<&str> = TABLES
            .iter()
            .filter(|rule| rule.required && self.text(rule.file).is_none())
            .map(|rule| rule.file)
            .collect();
        let refuse = |missing: &str| {
            let error = TimetableError::new(&self.label, format!("the feed has no {missing}"));
            Err(error.expected("a GTFS feed with agency, stops, routes, trips, stop_times and a calendar"))
        };
        if !missing.is_empty() {
            return refuse(&missing.join(", no "));
        }
        if self.text(CALENDAR).is_none() && self.text(CALENDAR_DATES).is_none() {
            return refuse("calendar.txt and no calendar_dates.txt");
        }
        Ok(())
    }

    /// The text of a table without a byte order mark.
    fn text(&self, file: &str) -> Option<&str> {
        let (_, text) = self.texts.iter().find(|(name, _)| *name == file)?;
        Some(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// Checks the header of a table, and the fields that gtfs-structures would stumble over.
    fn check_table(&self, rule: &TableRule) -> Result<(), TimetableError> {
        let Some(text) = self.text(rule.file) else { return Ok(()) };
        if text.trim().is_empty() {
            let error = TimetableError::new(&self.label, "the file is empty").in_file(rule.file, None);
            return Err(error.expected("a header line with the names of the columns"));
        }
        let mut reader = reader(text);
        let header = reader.byte_headers().map_err(|error| self.csv_error(rule.file, &error))?.clone();
        let place = |name: &str| header.iter().position(|given| given.trim_ascii() == name.as_bytes());
        if let Some(missing) = rule.columns.iter().find(|name| place(name).is_none()) {
            let error = TimetableError::new(&self.label, format!("the column {missing} is missing"));
            let expected = format!("columns {}", rule.columns.join(", "));
            return Err(error.in_file(rule.file, Some(1)).expected(expected));
        }
        let forms: Vec<(usize, &str, Form)> =
            rule.forms.iter().filter_map(|(name, form)| Some((place(name)?, *name, *form))).collect();
        if forms.is_empty() {
            return Ok(());
        }
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| self.csv_error(rule.file, &error))? {
            for (place, name, form) in &forms {
                let field = record.get(*place).map(<[u8]>::trim_ascii).unwrap_or_default();
                if !field.is_empty() && !(form.fits)(field) {
                    let field = quoted(&String::from_utf8_lossy(field));
                    let what = format!("{field} in column {name} is not valid");
                    let line = record.position().map(|position| line_at(text, position.byte()));
                    let error = TimetableError::new(&self.label, what).in_file(rule.file, line);
                    return Err(error.expected(form.expected));
                }
            }
        }
        Ok(())
    }

    fn csv_error(&self, file: &'static str, error: &csv::Error) -> TimetableError {
        let text = self.text(file).unwrap_or_default();
        let line = error.position().map(|position| line_at(text, position.byte()));
        TimetableError::new(&self.label, format!("this is not a table: {error}")).in_file(file, line)
    }

    /// Reads the rows with gtfs-structures. `zip` is what the archive was opened from.
    pub(super) fn rows(&self, zip: &[u8]) -> Result<Rows, TimetableError> {
        let reader = GtfsReader::default().read_shapes(false).raw();
        let raw: RawGtfs = reader
            .read_from_reader(Cursor::new(zip))
            .map_err(|error| TimetableError::new(&self.label, error.to_string()))?;
        // The agencies are of no use for a sale, but a feed without readable ones is broken.
        let _: Vec<Agency> = self.table(AGENCY, raw.agencies)?;
        Ok(Rows {
            stops: self.table(STOPS, raw.stops)?,
            routes: self.table(ROUTES, raw.routes)?,
            trips: self.table(TRIPS, raw.trips)?,
            stop_times: self.table(STOP_TIMES, raw.stop_times)?,
            calendar: self.table(CALENDAR, raw.calendar.unwrap_or_else(|| Ok(Vec::new())))?,
            calendar_dates: self
                .table(CALENDAR_DATES, raw.calendar_dates.unwrap_or_else(|| Ok(Vec::new())))?,
        })
    }

    fn table<T>(
        &self,
        file: &'static str,
        read: Result<Vec<T>, gtfs_structures::Error>,
    ) -> Result<Vec<T>, TimetableError> {
        read.map_err(|error| self.row_error(file, error))
    }

    /// What gtfs-structures says about a row, with its line.
    fn row_error(&self, file: &'static str, error: gtfs_structures::Error) -> TimetableError {
        use gtfs_structures::Error::CSVError;
        let CSVError { source, line_in_error, .. } = error else {
            return TimetableError::new(&self.label, error.to_string()).in_file(file, None);
        };
        let text = self.text(file).unwrap_or_default();
        let line = source.position().map(|position| line_at(text, position.byte()));
        let csv::ErrorKind::Deserialize { err, .. } = source.kind() else {
            return self.csv_error(file, &source);
        };
        let field = err.field().and_then(|index| usize::try_from(index).ok());
        let cell = field.zip(line_in_error.as_ref()).and_then(|(index, row)| {
            Some(format!("{} in column {}", quoted(row.values.get(index)?), row.headers.get(index)?))
        });
        let why = quoted(&err.kind().to_string()).replace('"', "");
        let what = match cell {
            Some(cell) => format!("{cell} is not valid: {why}"),
            None => format!("the row is not valid: {why}"),
        };
        TimetableError::new(&self.label, what).in_file(file, line)
    }

    /// A mistake in a row, counted from 0 without the header.
    pub(super) fn at_row(&self, file: &'static str, row: usize, what: impl Into<String>) -> TimetableError {
        TimetableError::new(&self.label, what).in_file(file, self.line_of_row(file, row))
    }

    /// The line of a row, counted from 0 without the header. Reads the text again: only for messages.
    pub(super) fn line_of_row(&self, file: &str, row: usize) -> Option<u64> {
        let text = self.text(file)?;
        let mut record = csv::ByteRecord::new();
        let mut reader = reader(text);
        for _ in 0..=row {
            reader.read_byte_record(&mut record).ok()?;
        }
        record.position().map(|position| line_at(text, position.byte()))
    }
}

/// Rows may be shorter or longer than the header, as gtfs-structures reads them.
fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes())
}

/// The line, from 1, of the row that begins at or after a byte: a row's recorded beginning may lie before the end of
/// the line before it, and before blank lines.
fn line_at(text: &str, byte: u64) -> u64 {
    let bytes = text.as_bytes();
    let mut begin = usize::try_from(byte).unwrap_or(usize::MAX).min(bytes.len());
    while bytes.get(begin).is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        begin += 1;
    }
    newlines(bytes.get(..begin).unwrap_or_default()) + 1
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// `H:MM:SS` or `HH:MM:SS`, the hours beyond 24 allowed, up to 999.
fn is_time(field: &[u8]) -> bool {
    let Some((hours, [b':', m1 @ b'0'..=b'5', m2, b':', s1 @ b'0'..=b'5', s2])) =
        field.split_last_chunk::<6>()
    else {
        return false;
    };
    (1..=3).contains(&hours.len()) && hours.iter().chain([m1, m2, s1, s2]).all(u8::is_ascii_digit)
}

fn is_colour(field: &[u8]) -> bool {
    field.len() == 6 && field.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for valid in ["7:05:00", "07:05:00", "25:10:59", "100:00:00"] {
            assert!(is_time(valid.as_bytes()), "{valid}");
        }
        for wrong in [
            "",
            "07:05",
            "7:5:00",
            "07:60:00",
            "07:05:60",
            "-7:05:00",
            "4294967295:00:00",
            "07.05.00",
            "é:05:00",
        ] {
            assert!(!is_time(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for (text, lines) in [
            ("h\na\nb\n", [2, 3]),
            ("h\r\na\r\nb\r\n", [2, 3]),
            ("h\n\n\na\n\nb", [4, 6]),
            ("h\n\"a\na\"\nb\n", [2, 4]),
            ("\u{feff}h\na\nb\n", [2, 3]),
        ] {
            let archive = Archive { label: "f".into(), texts: vec![(STOPS, text.to_owned())] };
            assert_eq!([0, 1].map(|row| archive.line_of_row(STOPS, row)), lines.map(Some), "{text:?}");
        }
    }
}
