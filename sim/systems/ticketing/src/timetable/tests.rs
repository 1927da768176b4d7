//! A small valid feed, and what happens to it when it is broken: every message names the file and the line.

use std::io::Write;

use proptest::prelude::*;

use super::{BUILT_IN, Timetable, TimetableError};

/// A feed as texts: by weekday and by exception, over midnight, unsorted, with a stop that has no time.
const FEED: [(&str, &str); 7] = [
    ("agency.txt", "agency_name,agency_url,agency_timezone\nRail,http://rail.example,Asia/Shanghai\n"),
    (
        "stops.txt",
        "stop_id,stop_name,stop_lat,stop_lon\nA,Alpha,1.0,2.0\nB,Beta,1.0,2.0\nC,\"Gamma, Gate 3\",1,2\nD,,1,2\n",
    ),
    (
        "routes.txt",
        "route_id,route_short_name,route_long_name,route_type,route_color\nG1,,G 1,2,FF8800\nL,Line,,2,\n",
    ),
    (
        "trips.txt",
        "route_id,service_id,trip_id,trip_short_name\nG1,week,t1,\nL,extra,t2,\nL,extra,t3,\nL,extra,t4,7\n",
    ),
    (
        "stop_times.txt",
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n\
         t1,23:50:00,23:55:00,A,10\nt1,24:40:00,24:40:00,D,40\nt1,,,B,20\nt1,,,C,30\n\
         t2,08:00:00,08:00:00,A,0\nt2,9:00:00,9:05:00,B,1\n\
         t3,08:00:00,08:00:00,B,0\nt3,09:00:00,,C,1\n\
         t4,10:00:00,10:00:00,B,1\nt4,11:00:00,11:00:00,A,2\n",
    ),
    (
        "calendar.txt",
        "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n\
         week,1,1,1,1,1,0,0,20260105,20260116\n",
    ),
    (
        "calendar_dates.txt",
        "service_id,date,exception_type\nweek,20260106,2\nweek,20260110,1\nextra,20260107,1\n",
    ),
];

fn zipped<'a>(tables: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in tables {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The feed with one replacement in one file; `None` leaves the file out.
fn feed_with(file: &str, change: Option<(&str, &str)>) -> Vec<u8> {
    let changed: Vec<(&str, String)> = FEED
        .iter()
        .filter(|(name, _)| change.is_some() || *name != file)
        .map(|(name, text)| match change {
            Some((from, to)) if *name == file => {
                assert!(text.contains(from), "{name} contains {from}");
                (*name, text.replacen(from, to, 1))
            }
            _ => (*name, (*text).to_owned()),
        })
        .collect();
    zipped(changed.iter().map(|(name, text)| (*name, text.as_bytes())))
}

fn read(zip: &[u8]) -> Result<Timetable, TimetableError> {
    Timetable::read(zip, "feed.zip")
}

fn message(zip: &[u8]) -> String {
    read(zip).expect_err("a broken feed is refused").to_string()
}

fn ids(timetable: &Timetable, date: &str) -> Vec<String> {
    timetable.select(date, 99, &[]).unwrap().into_iter().map(|run| run.id).collect()
}

#[test]
fn a_valid_feed_is_read() {
    let timetable = read(&feed_with("", Some(("", "")))).unwrap();
    assert_eq!(ids(&timetable, "2026-01-05"), ["G-1@2026-01-05"]);
    assert_eq!(
        ids(&timetable, "2026-01-07"),
        ["G-1@2026-01-07", "Line-t2@2026-01-07", "Line-t3@2026-01-07", "Line-7@2026-01-07"]
    );
    assert_eq!(ids(&timetable, ""), ids(&timetable, "2026-01-07"), "the day with the most trains");
    assert_eq!(ids(&timetable, "2026-01-10"), ["G-1@2026-01-10"], "an added Saturday");
    let removed = timetable.select("2026-01-06", 1, &[]).unwrap_err();
    assert!(
        removed.to_string().starts_with(
            "feed.zip: no train runs on 2026-01-06; expected a date from 2026-01-05 to 2026-01-16"
        )
    );

    let run = &timetable.select("2026-01-05", 1, &[]).unwrap()[0];
    let stations: Vec<_> =
        run.stations.iter().map(|s| (s.name.as_str(), s.arrival_s, s.departure_s)).collect();
    assert_eq!(run.segments(), 3);
    assert_eq!(
        stations,
        [
            ("Alpha", 85_800, 86_100),
            ("Beta", 87_000, 87_000),
            ("Gamma, Gate 3", 87_900, 87_900),
            ("D", 88_800, 88_800)
        ]
    );
}

#[test]
fn either_calendar_is_enough() {
    let weekly = feed_with("calendar_dates.txt", Some(("week,20260106,2\n", "")));
    assert_eq!(ids(&read(&weekly).unwrap(), "2026-01-06"), ["G-1@2026-01-06"]);
    let without_week = feed_with("trips.txt", Some(("G1,week", "G1,extra")));
    assert!(read(&without_week).is_ok());
    let tables = FEED.iter().filter(|(name, _)| *name != "calendar.txt");
    let only_dates = zipped(tables.map(|(name, text)| (*name, text.as_bytes())));
    assert_eq!(ids(&read(&only_dates).unwrap(), "2026-01-10"), ["G-1@2026-01-10"]);
}

#[test]
fn line_endings_marks_and_folders_do_not_matter() {
    let texts: Vec<(String, String)> = FEED
        .iter()
        .map(|(name, text)| (format!("feed/{name}"), format!("\u{feff}{}", text.replace('\n', "\r\n"))))
        .collect();
    let zip = zipped(texts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())));
    assert_eq!(read(&zip).unwrap().trips.len(), 4);
    let broken: Vec<(&str, String)> =
        texts.iter().map(|(name, text)| (name.as_str(), text.replace("9:05:00,B", "9:05:00,X"))).collect();
    let zip = zipped(broken.iter().map(|(name, text)| (*name, text.as_bytes())));
    assert!(
        message(&zip).starts_with("feed.zip/stop_times.txt:7: stop_id \"X\" does not exist"),
        "{}",
        message(&zip)
    );
}

#[test]
fn broken_rows_are_refused_with_file_and_line() {
    for (file, from, to, expected) in [
        (
            "stop_times.txt",
            "9:05:00,B,1",
            "9:05:00,X,1",
            "stop_times.txt:7: stop_id \"X\" does not exist; expected a stop_id of stops.txt",
        ),
        (
            "stop_times.txt",
            "t3,08",
            "t9,08",
            "stop_times.txt:8: trip_id \"t9\" does not exist; expected a trip_id of trips.txt",
        ),
        (
            "stop_times.txt",
            "9:00:00,9:05:00",
            "7:00:00,7:05:00",
            "stop_times.txt:7: arrival at 07:00:00 before departure at 08:00:00 from an earlier stop of the trip, in line 6; expected times that never run backward",
        ),
        (
            "stop_times.txt",
            "9:00:00,9:05:00",
            "9:10:00,9:05:00",
            "stop_times.txt:7: departure at 09:05:00 before arrival at 09:10:00",
        ),
        (
            "stop_times.txt",
            "24:40:00,24:40:00",
            "23:40:00,23:40:00",
            "stop_times.txt:3: arrival at 23:40:00 before departure at 23:55:00 from an earlier stop of the trip, in line 2",
        ),
        (
            "stop_times.txt",
            "24:40:00,24:40:00",
            ",",
            "stop_times.txt:3: the first and the last stop of a trip cannot be without a time",
        ),
        (
            "stop_times.txt",
            "t2,9:00:00,9:05:00,B,1",
            "t2,9:00:00,9:05:00,B,0",
            "stop_times.txt:7: stop_sequence 0 occurs twice in its trip, first in line 6",
        ),
        (
            "stop_times.txt",
            "9:05:00",
            "9:65:00",
            "stop_times.txt:7: \"9:65:00\" in column departure_time is not valid; expected a time such as",
        ),
        (
            "stop_times.txt",
            "9:05:00",
            "99999999:05:00",
            "stop_times.txt:7: \"99999999:05:00\" in column departure_time is not valid",
        ),
        (
            "stop_times.txt",
            "9:05:00",
            "soon",
            "stop_times.txt:7: \"soon\" in column departure_time is not valid",
        ),
        (
            "stop_times.txt",
            "B,1",
            "B,-1",
            "stop_times.txt:7: \"-1\" in column stop_sequence is not valid: invalid digit found in string",
        ),
        (
            "stop_times.txt",
            "t2,9:00:00,9:05:00,B,1",
            "t2,9:00:00",
            "stop_times.txt:7: the row is not valid: expected field, but got end of row",
        ),
        ("stop_times.txt", ",stop_id,", ",stop,", "stop_times.txt:1: the column stop_id is missing"),
        ("stops.txt", "B,Beta", "A,Beta", "stops.txt:3: stop_id \"A\" occurs twice, first in line 2"),
        ("stops.txt", "B,Beta", ",Beta", "stops.txt:3: the stop_id is empty"),
        ("stops.txt", "Beta,1.0", "Beta,north", "stops.txt:3: the row is not valid: invalid float literal"),
        (
            "routes.txt",
            "FF8800",
            "ÄÖÜ",
            "routes.txt:2: \"ÄÖÜ\" in column route_color is not valid; expected six hexadecimal digits",
        ),
        ("routes.txt", "G 1,2", "G 1,train", "routes.txt:2: \"train\" in column route_type is not valid"),
        (
            "trips.txt",
            "G1,week",
            "G2,week",
            "trips.txt:2: route_id \"G2\" does not exist; expected a route_id of routes.txt",
        ),
        (
            "trips.txt",
            "G1,week",
            "G1,weak",
            "trips.txt:2: service_id \"weak\" does not exist; expected a service_id of calendar.txt or",
        ),
        ("trips.txt", "t3", "t2", "trips.txt:4: trip_id \"t2\" occurs twice, first in line 3"),
        ("calendar.txt", "20260105", "20260132", "calendar.txt:2: "),
        (
            "calendar.txt",
            "20260116",
            "20250116",
            "calendar.txt:2: the service ends on 2025-01-16, before it starts on 2026-01-05",
        ),
        ("calendar.txt", "week,1", "week,7", "calendar.txt:2: "),
        ("calendar_dates.txt", "20260110", "2026-01-10", "calendar_dates.txt:3: "),
        ("calendar_dates.txt", "20260110,1", "20260110,3", "calendar_dates.txt:3: "),
        (
            "calendar_dates.txt",
            "20260110,1",
            "20260106,1",
            "calendar_dates.txt:3: service \"week\" is both added and removed on 2026-01-06",
        ),
    ] {
        let message = message(&feed_with(file, Some((from, to))));
        assert!(
            message.starts_with(&format!("feed.zip/{expected}")),
            "{file}: {from} → {to}:\n{message}\n{expected}"
        );
    }
}

#[test]
fn feeds_without_what_a_sale_needs_are_refused() {
    for (file, _) in FEED.iter().filter(|(file, _)| !file.starts_with("calendar")) {
        let message = message(&feed_with(file, None));
        assert!(message.starts_with(&format!("feed.zip: the feed has no {file}; expected")), "{message}");
        let tables = FEED.iter().map(|(name, text)| (*name, if name == file { "" } else { text }.as_bytes()));
        let message = self::message(&zipped(tables));
        assert!(message.starts_with(&format!("feed.zip/{file}: the file is empty")), "{message}");
    }
    let tables = FEED.iter().filter(|(file, _)| !file.starts_with("calendar"));
    let message_without = message(&zipped(tables.map(|(name, text)| (*name, text.as_bytes()))));
    assert!(message_without.starts_with("feed.zip: the feed has no calendar.txt and no calendar_dates.txt"));

    let headers = FEED.map(|(name, text)| (name, text.lines().next().unwrap().as_bytes()));
    assert_eq!(
        message(&zipped(headers)),
        "feed.zip/trips.txt: the table has no rows; expected at least one train"
    );
    assert!(message(&zipped([])).starts_with("feed.zip: the feed has no agency.txt, no stops.txt"));
    assert!(message(b"").starts_with("feed.zip: this is not a zip archive"));
    assert!(message(b"stop_id,stop_name\n").starts_with("feed.zip: this is not a zip archive"));
    let latin1 = FEED.map(|(name, text)| {
        if name == "stops.txt" { (name, &b"stop_id\nK\xf6ln\n"[..]) } else { (name, text.as_bytes()) }
    });
    assert_eq!(message(&zipped(latin1)), "feed.zip/stops.txt:2: this is not UTF-8 text");
}

#[test]
fn choices_that_the_feed_does_not_offer_are_refused() {
    let timetable = read(&feed_with("", Some(("", "")))).unwrap();
    let refused = |date: &str, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        timetable.select(date, 5, &names).unwrap_err().to_string()
    };
    assert_eq!(
        refused("2027-01-01", &[]),
        "feed.zip: no train runs on 2027-01-01; expected a date from 2026-01-05 to 2026-01-16, for example 2026-01-07"
    );
    for date in ["tomorrow", "20260105", "2026-13-01", "2026-01-05T10:00", "2026-1-5", "2026-01-0é"] {
        assert!(refused(date, &[]).contains("is no date; expected a date such as 2017-03-31"), "{date}");
    }
    assert_eq!(
        refused("2026-01-07", &["G 2"]),
        "feed.zip: there is no train \"G 2\" on 2026-01-07; expected one of the 4 trains of that day; did you mean \"G 1\"?"
    );
    assert_eq!(
        refused("2026-01-05", &["Line 7"]),
        "feed.zip: train \"Line 7\" does not run on 2026-01-05; expected a day on which it runs, such as 2026-01-07"
    );
    assert_eq!(
        refused("2026-01-07", &["G 1", "g  1"]),
        "feed.zip: train \"g  1\" is chosen twice; expected each train once"
    );
}

#[test]
fn trains_are_chosen_by_name_or_id_in_the_order_asked_for() {
    let timetable = read(&feed_with("", Some(("", "")))).unwrap();
    let names = ["line 7", "G 1", "Line-t3@2026-01-07"].map(str::to_owned);
    let chosen: Vec<String> =
        timetable.select("2026-01-07", 1, &names).unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(chosen, ["Line-7@2026-01-07", "G-1@2026-01-07", "Line-t3@2026-01-07"]);
}

#[test]
fn ids_stay_apart_when_names_leave_nothing_or_the_same() {
    let zip = feed_with("routes.txt", Some(("L,Line,", "L,高铁,")));
    let timetable = read(&zip).unwrap();
    assert_eq!(ids(&timetable, "2026-01-07")[1..], ["t2@2026-01-07", "t3@2026-01-07", "7@2026-01-07"]);
    let tables =
        FEED.map(|(name, text)| (name, text.replace("t2", "北").replace("t3", "南").replace("Line", "高铁")));
    let zip = zipped(tables.iter().map(|(name, text)| (*name, text.as_bytes())));
    let ids = ids(&read(&zip).unwrap(), "2026-01-07");
    assert_eq!(ids[1..], ["train@2026-01-07", "train-2@2026-01-07", "7@2026-01-07"]);
}

#[test]
fn the_built_in_feed_offers_hundreds_of_trains_a_day() {
    let timetable = Timetable::read(BUILT_IN, "built-in").unwrap();
    let runs = timetable.select("2017-03-31", 24, &[]).unwrap();
    assert_eq!(runs.len(), 24);
    assert!(runs.is_sorted_by_key(|run| std::cmp::Reverse(run.stations.len())));
    assert_eq!(runs[0].id, "EN-294@2017-03-31");
    assert!(runs.iter().all(|run| run.segments() >= 20 && run.date == "2017-03-31"));
    let all = timetable.select("2017-03-31", usize::MAX, &[]).unwrap();
    assert_eq!(all.len(), 741);
    let ids: std::collections::BTreeSet<&str> = all.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids.len(), all.len());
    let ice = timetable.select("2017-03-31", 1, &["ICE 599".to_owned()]).unwrap();
    assert_eq!((ice[0].id.as_str(), ice[0].name.as_str()), ("ICE-599@2017-03-31", "ICE 599"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever stands in a table: it is read or refused, never a panic; and what is read can be chosen from.
    #[test]
    fn mutated_tables_never_panic(
        table in 0..FEED.len(),
        at in any::<prop::sample::Index>(),
        length in 0..12_usize,
        insert in prop_oneof!["[0-9:,\"\\n-]{0,12}", "\\PC{0,8}", Just("99999999999".to_owned()), Just("20260230".to_owned())],
    ) {
        let mut texts = FEED.map(|(name, text)| (name, text.as_bytes().to_vec()));
        let text = &mut texts[table].1;
        let start = at.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, insert.bytes());
        let zip = zipped(texts.iter().map(|(name, text)| (*name, text.as_slice())));
        match read(&zip) {
            Ok(timetable) => {
                for run in timetable.select("", 99, &[]).unwrap_or_default() {
                    prop_assert!(run.stations.len() >= 2);
                    prop_assert!(run.stations.iter().all(|s| s.arrival_s <= s.departure_s));
                    prop_assert!(run.stations.windows(2).all(|s| s[0].departure_s <= s[1].arrival_s));
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("feed.zip")),
        }
    }

    /// Damaged archives are refused as well.
    #[test]
    fn mutated_archives_never_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut zip = feed_with("", Some(("", "")));
        let index = at.index(zip.len());
        zip[index] = byte;
        let _ = read(&zip);
        zip.truncate(cut.index(zip.len()));
        prop_assert!(read(&zip).is_err());
    }
}
