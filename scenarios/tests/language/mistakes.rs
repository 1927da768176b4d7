//! What a wrong scenario is told: always the place, what was expected, and never a panic.

use crate::support::{FULL, parse, refusal, vocabulary};
use proptest::prelude::*;
use scenarios::{Error, Place, Size};

/// Every place in the text where a key stands: bare or quoted, before `=`, within dotted keys and table headers.
fn keys(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let header = line.trim_end().starts_with('[').then(|| line.trim_matches(['[', ']', '\n']));
        // Of a line, what stands before an equals sign and after the last of `{ , [` or the beginning.
        let stretches: Vec<&str> = match header {
            Some(header) => vec![header],
            None => {
                let parts: Vec<&str> = line.split('=').collect();
                let befores = &parts[..parts.len() - 1];
                befores.iter().map(|part| part.rsplit(['{', ',']).next().unwrap_or(part)).collect()
            }
        };
        for stretch in stretches {
            let within = stretch.as_ptr() as usize - line.as_ptr() as usize;
            let mut begin = 0;
            for (index, c) in stretch.char_indices().chain([(stretch.len(), '.')]) {
                if !(c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                    if index > begin {
                        found.push(offset + within + begin..offset + within + index);
                    }
                    begin = index + c.len_utf8();
                }
            }
        }
        offset += line.len();
    }
    found
}

fn place_of(error: &Error) -> (usize, usize) {
    match &error.diagnostics()[0].place {
        Place::File { file, line, column, .. } => {
            assert_eq!(file, "full.toml");
            (*line, *column)
        }
        Place::CommandLine(argument) => panic!("the place is in the file, not {argument}"),
    }
}

#[test]
fn every_key_misspelt_in_turn_is_refused_at_its_line_with_the_right_name() {
    let keys = keys(FULL);
    assert!(keys.len() > 60, "{} keys", keys.len());
    for key in keys {
        let name = &FULL[key.clone()];
        for misspelt in [format!("{name}x"), format!("x{name}"), name.to_uppercase(), swapped(name)] {
            if misspelt == name {
                continue;
            }
            let mut text = FULL.to_owned();
            text.replace_range(key.clone(), &misspelt);
            let error = parse(&text).expect_err(&format!("{name} misspelt {misspelt}"));
            let line = FULL[..key.start].matches('\n').count() + 1;
            let message = error.to_string();
            // `"order.submit"` and `settings.bank` are one name to the reader: it may point at their beginning or, for
            // a table of settings, at the settings below.
            let settings_table = name == "bank" && FULL[..key.start].ends_with("[settings.");
            assert!(place_of(&error).0 == line || settings_table, "{misspelt}: line {line}:\n{message}");
            assert!(message.contains("; expected "), "{message}");
            // Names of one or two letters, such as `at`, are not near enough to everything.
            if name.len() > 3 {
                assert!(
                    message.contains("did you mean \"") && message.contains(name),
                    "{misspelt}:\n{message}"
                );
            }
        }
    }
}

/// The two letters in the middle swapped.
fn swapped(name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let middle = letters.len() / 2;
    letters.swap(middle - 1, middle);
    letters.into_iter().collect()
}

#[test]
fn every_duration_without_unit_negative_or_huge_is_refused_at_its_line() {
    let units = ["us", "ms", "s", "m"];
    let mut durations = 0;
    for (start, _) in FULL.match_indices('"') {
        let text = FULL[start + 1..].split('"').next().unwrap_or_default();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        if digits.is_empty()
            || !digits.bytes().all(|b| b.is_ascii_digit())
            || !units.contains(&&text[digits.len()..])
        {
            continue;
        }
        durations += 1;
        let line = FULL[..start].matches('\n').count() + 1;
        let nines = "9".repeat(30);
        for wrong in [
            format!("\"{digits}\""),
            digits.to_owned(),
            format!("\"-{text}\""),
            format!("\"{nines}s\""),
            "\"9000h\"".to_owned(),
            nines.clone(),
            "\"\"".to_owned(),
            "\"soon\"".to_owned(),
            "true".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            "nan".to_owned(),
            "2017-03-31".to_owned(),
        ] {
            let mut changed = FULL.to_owned();
            changed.replace_range(start..start + text.len() + 2, &wrong);
            let error = parse(&changed).expect_err(&wrong);
            assert_eq!(place_of(&error).0, line, "{wrong}:\n{error}");
            assert!(error.to_string().contains("expected"), "{error}");
        }
    }
    assert!(durations > 20, "{durations} durations");
}

#[test]
fn values_of_a_wrong_type_or_out_of_range_are_refused() {
    for (from, to, what) in [
        ("name = \"ticketing/full\"", "name = 5", "the number 5 is no text"),
        ("ticketing/full", "../../etc", "is no name for a scenario"),
        ("ticketing/full", "", "is no name for a scenario"),
        (
            "duration = \"90s\"",
            "duration = \"0s\"",
            "\"0s\" is too short; expected a duration of more than zero",
        ),
        ("rate = 3000", "rate = -1", "the number -1 is out of range; expected a number from 0 to 1000000"),
        ("rate = 3000", "rate = 1e9", "is out of range"),
        ("rate = 3000", "rate = inf", "is out of range"),
        ("rate = 3000", "rate = nan", "is out of range"),
        ("rate = 3000", "rate = \"3000\"", "the text \"3000\" is no rate"),
        ("rate = 3000", "rate = []", "a rate without steps"),
        (
            "[\"0s\", 50]",
            "[\"1s\", 50]",
            "the first step does not begin with the load; expected a first step at \"0s\"",
        ),
        ("[\"30s\", 400.5]", "[\"10s\", 400.5]", "this step does not begin after the one before it"),
        ("[\"30s\", 400.5]", "[\"90s\", 400.5]", "this step begins after the end of the load"),
        ("[\"30s\", 400.5]", "[\"30s\"]", "a list is no step of a rate"),
        ("[\"30s\", 400.5]", "[\"30s\", -4]", "the number -4 is out of range"),
        (
            "seats.first = 12",
            "seats.first = -1",
            "the number -1 is out of range; expected a whole number from 0 to 10000",
        ),
        ("seats.first = 12", "seats.first = 99999999999999999999", "is out of range"),
        ("seats.first = 12", "seats.first = 1.5", "is no whole number"),
        (
            "seats.first = 12",
            "seats.first = \"12\"",
            "the text \"12\" is no whole number; expected a whole number from 0 to 10000; did you mean \"12\"?",
        ),
        (
            "queue.share = 0.05",
            "queue.share = 5",
            "the number 5 is out of range; expected a number from 0 to 1",
        ),
        (
            "canary = true",
            "canary = \"true\"",
            "is neither true nor false; expected true or false, without quotes",
        ),
        ("canary = true", "canary = 1", "is neither true nor false"),
        ("date = \"2017-04-01\"", "date = 2017-04-01", "a date is no text; expected a text in quotes"),
        ("[\"ICE 599\", \"IC 2376\"]", "\"ICE 599\"", "is no list; expected a list of texts"),
        ("[\"ICE 599\", \"IC 2376\"]", "[\"ICE 599\", 5]", "the number 5 is no text"),
        (
            "\"order.pay_within\" = \"15s\"",
            "\"order.pay_within\" = \"2h\"",
            "is out of range; expected a duration from \"0s\" to \"1h\"",
        ),
        (
            "\"order.pay_within\" = \"15s\"",
            "timetable = \"no/such.zip\"",
            "cannot read the file \"no/such.zip\": there is none",
        ),
        (
            "at = \"40s\"",
            "at = \"90s\"",
            "the fault begins after the end of the load; expected a time before the end of the load, which lasts \"90s\"",
        ),
        ("for = \"20s\"", "for = \"79s\"", "the fault lasts beyond the end of the load"),
        (
            "at = \"40s\"",
            "at = \"31s\"",
            "host \"order-1\" is already struck by the fault \"crash\" from 31s to 90s; \
             expected such faults of the same host one after the other",
        ),
        (
            "at = \"56s\"",
            "at = \"54s\"",
            "host \"inventory-2\" is already struck by the fault \"kill\" from 50s to 55s",
        ),
        ("at = \"2s\"", "at = \"20s\"", "which lasts \"20s\" in [hunt]"),
        ("[\"order-1\"]", "[]", "a fault on no host; expected at least one host of system ticketing"),
        ("[\"order-1\"]", "[\"order-3\"]", "unknown host of system ticketing \"order-3\""),
        ("[\"order-1\"]", "[\"*\"]", "unknown host of system ticketing \"*\""),
        ("[\"order-1\"]", "[\"order-1\", \"order-1\"]", "host \"order-1\" is named twice"),
        (
            "kind = \"crash\"",
            "kind = \"crahs\"",
            "unknown kind of fault \"crahs\"; expected \"clock-drift\", \"clock-jump\", \"crash\", \"hold\", \
             \"kill\", \"lossy-link\", \"narrow-link\", \"partition\", \"pause\", \"reset-connections\", \
             \"slow-disk\" or \"slow-link\"; did you mean \"crash\"?",
        ),
        ("\"clock-jump\"]", "\"clock-jmp\"]", "did you mean \"clock-jump\"?"),
        ("\"clock-jump\"]", "\"slow-cpu\"]", "unknown kind of fault \"slow-cpu\""),
        (
            "faults = [\"crash\", \"pause\", \"partition\", \"slow-link\", \"clock-jump\"]",
            "faults = []",
            "a swarm of no kind of fault",
        ),
        ("count = [0, 5]", "count = [5, 0]", "the fewest are more than the most"),
        ("count = [0, 5]", "count = [0, 5, 9]", "a list is no range of counts"),
        ("count = [0, 5]", "count = [-1, 5]", "the number -1 is out of range"),
        (
            "verdict = \"violated\"",
            "verdict = \"held\"",
            "unknown verdict to expect \"held\"; expected \"violated\" or \"slow\"",
        ),
        ("verdict = \"violated\"", "verdict = \"slow\"", "a run that is slow violates no invariant"),
        ("\"zero-oversell\"", "\"zero-oversel\"", "did you mean \"zero-oversell\"?"),
        (
            "latency.\"order.submit\"",
            "latency.order.submit",
            "the name of an operation contains a dot and stands in quotes",
        ),
        ("latency.\"order.submit\"", "latency.\"order.sumbit\"", "did you mean \"order.submit\"?"),
        (
            "{ p50 = \"500us\", p95 = \"3s\", p99 = \"4s\", p999 = \"5s\", max = \"1m\" }",
            "{}",
            "a latency limit without a percentile",
        ),
        (
            "journey.query = { rate = 3000 }",
            "journey.query = { patience = \"1s\" }",
            "the journey has no rate",
        ),
        ("journey.query = { rate = 3000 }", "journey.query = 3000", "the number 3000 is no table"),
        (
            "system = \"ticketing\"",
            "system = \"tickets\"",
            "unknown system \"tickets\"; expected \"ticketing\" or \"shop\"; did you mean \"ticketing\"?",
        ),
        ("[[fault]]", "[fault]", "full.toml:"),
    ] {
        let message = refusal(from, to);
        assert!(message.starts_with("full.toml:"), "{message}");
        assert!(message.contains(what), "{from} → {to}:\n{message}");
    }
}

#[test]
fn customers_one_by_one_are_checked_each() {
    let query = "journey.query = { rate = 3000 }";
    for (arrive, hints) in [
        ("arrive = []", vec![]),
        ("arrive = 5", vec!["the number 5 is no list", "customer = 17"]),
        ("arrive = [ 5 ]", vec!["a duration without a unit", "did you mean \"5s\"?"]),
        ("arrive = [ \"95s\" ]", vec!["comes after the end of the load", "which lasts \"90s\""]),
        ("arrive = [ { customer = 1 } ]", vec!["the key \"at\" is missing in a customer"]),
        ("arrive = [ { at = \"1s\", custmer = 1 } ]", vec!["did you mean \"customer\"?"]),
        ("arrive = [ { at = \"1s\", operations = 0 } ]", vec!["a whole number from 1 to 1000000"]),
        ("arrive = [ { at = \"1s\", customer = -1 } ]", vec!["out of range", "from 0 to"]),
        (
            "arrive = [ { at = \"1s\", customer = 1 }, { at = \"2s\", customer = 1 } ]",
            vec!["customer 1 comes twice", "among all journeys"],
        ),
        ("arrive = [ \"1s\" ], rate = 5", vec!["\"arrive\" beside \"rate\"", "one by one"]),
        ("patience = \"5s\"", vec!["the journey has no rate; expected rate = ", "or arrive = "]),
    ] {
        let journey = format!("journey.query = {{ {arrive} }}");
        if hints.is_empty() {
            assert!(parse(&FULL.replacen(query, &journey, 1)).is_ok(), "{arrive}");
            continue;
        }
        let message = refusal(query, &journey);
        for hint in hints {
            assert!(message.contains(hint), "{arrive}: {hint} is not in\n{message}");
        }
    }
}

#[test]
fn how_it_is_played_is_checked() {
    for (from, to, hints) in [
        ("seed = 17", "seed = -1", ["the number -1 is out of range", "a whole number from 0"]),
        (
            "\"fifo\"",
            "\"fair\"",
            ["\"fair\" is no strategy", "random, random:FROM..UNTIL, fifo or pct:DEPTH:POLLS"],
        ),
        ("\"fifo\"", "1", ["the number 1 is no text", "a text in quotes"]),
        ("[\"ticketing.seat", "[\"ticketing.seet", ["unknown mutant of system ticketing", "did you mean"]),
    ] {
        let message = refusal(from, to);
        for hint in hints {
            assert!(message.contains(hint), "{to}: {hint} is not in\n{message}");
        }
    }
}

/// The keys of a fault depend on its kind, and each has its own units.
#[test]
fn faults_have_the_keys_of_their_kind_and_strengths_with_units() {
    for (from, to, what) in [
        (
            "for = \"5s\"\nkind = \"kill\"",
            "latency = \"5s\"\nkind = \"kill\"",
            "unknown key \"latency\" in a fault of kind \"kill\"; expected \"at\", \"for\", \"kind\" or \"on\"",
        ),
        (
            "at = \"66s\"\n",
            "at = \"66s\"\nfor = \"1s\"\n",
            "unknown key \"for\" in a fault of kind \"reset-connections\"",
        ),
        (
            "sides = [[\"redis-1\"], [\"*\"]]",
            "direction = \"both\"\nsides = [[\"redis-1\"], [\"*\"]]",
            "unknown key \"direction\" in a fault of kind \"reset-connections\"",
        ),
        ("latency = \"200ms\"", "latncy = \"200ms\"", "did you mean \"latency\"?"),
        (
            "latency = \"200ms\"\n",
            "",
            "the key \"latency\" is missing in a fault of kind \"slow-link\"; expected latency = \"200ms\", added each way",
        ),
        ("loss = 0.05\n", "", "the key \"loss\" is missing in a fault of kind \"lossy-link\""),
        (
            "bandwidth = \"1Mbit/s\"\n",
            "",
            "the key \"bandwidth\" is missing in a fault of kind \"narrow-link\"",
        ),
        ("by = \"-5s\"\n", "", "the key \"by\" is missing in a fault of kind \"clock-jump\""),
        ("ppm = -200\n", "", "the key \"ppm\" is missing in a fault of kind \"clock-drift\""),
        (
            "on = [\"redis-1\"]\nlatency",
            "latency",
            "the key \"sides\" is missing in a fault of kind \"slow-link\"; expected sides = [ [\"host\", …], [\"*\"] ]",
        ),
        ("latency = \"200ms\"", "latency = 200", "the number 200 is a duration without a unit"),
        ("latency = \"200ms\"", "latency = \"0s\"", "\"0s\" is too short"),
        ("loss = 0.05", "loss = 5", "the number 5 is out of range; expected a number from 0.000001 to 1"),
        ("loss = 0.05", "loss = 0", "the number 0 is out of range"),
        ("loss = 0.05", "loss = \"5%\"", "the text \"5%\" is no number"),
        (
            "\"1Mbit/s\"",
            "\"1MB/s\"",
            "\"1MB/s\" is no bandwidth: unknown unit \"MB/s\"; expected a number with a unit bit/s, kbit/s, Mbit/s or \
             Gbit/s, such as \"1Mbit/s\" or \"56kbit/s\"; did you mean \"8Mbit/s\"?",
        ),
        ("\"1Mbit/s\"", "\"1\"", "\"1\" is no bandwidth: the unit is missing"),
        ("\"1Mbit/s\"", "\"0.5bit/s\"", "is no bandwidth: not between 1kbit/s and 1000Gbit/s"),
        ("\"1Mbit/s\"", "1000000", "the number 1000000 is no text; expected a number with a unit bit/s"),
        ("by = \"-5s\"", "by = \"-5\"", "the unit is missing; expected a duration, with a minus sign"),
        (
            "by = \"-5s\"",
            "by = -5",
            "the number -5 is no jump of a clock; expected a duration, with a minus sign for a jump \
          into the past, such as \"5s\" or \"-250ms\"; did you mean \"-5s\"?",
        ),
        ("by = \"-5s\"", "by = \"0s\"", "\"0s\" is no jump of a clock: a clock that jumps by nothing"),
        ("by = \"-5s\"", "by = \"--5s\"", "a duration cannot be negative"),
        ("ppm = -200", "ppm = 0", "a clock that drifts by nothing; expected parts per million, such as 200"),
        ("ppm = -200", "ppm = 500001", "is out of range; expected a whole number from -500000 to 500000"),
        ("slowness = 100\n", "", "the key \"slowness\" is missing in a fault of kind \"slow-disk\""),
        ("slowness = 100", "slowness = 1", "is out of range; expected a whole number from 2 to 1000000"),
        ("ppm = -200", "ppm = 0.5", "the number 0.5 is no whole number"),
    ] {
        let message = refusal(from, to);
        assert!(message.starts_with("full.toml:"), "{message}");
        assert!(message.contains(what), "{from} → {to}:\n{message}");
    }
}

#[test]
fn sides_are_two_or_more_and_share_no_host() {
    let sides = "[[\"redis-1\", \"order-2\"], [\"gateway-1\"], [\"*\"]]";
    for (from, to, what) in [
        (sides, "[]", "no side only; expected two or more sides, such as [ [\"host\"], [\"*\"] ]"),
        (sides, "[[\"redis-1\"]]", "one side only"),
        (sides, "\"redis-1\"", "the text \"redis-1\" is no list; expected two or more sides"),
        (
            sides,
            "[\"redis-1\", \"*\"]",
            "the text \"redis-1\" is no list; expected a list of hosts, or [\"*\"] for all others",
        ),
        (sides, "[[], [\"*\"]]", "a side without hosts"),
        (sides, "[[\"redis-1\"], [\"redis-1\"]]", "host \"redis-1\" is named twice; expected each host once"),
        (sides, "[[\"redis-2\"], [\"*\"]]", "unknown host of system ticketing \"redis-2\""),
        (sides, "[[\"*\"], [\"*\"]]", "all other hosts are on two sides; expected \"*\" on one side only"),
        (sides, "[[\"redis-1\"], [\"*\", \"order-1\"]]", "all other hosts, and hosts by name, on one side"),
        (sides, "[[\"redis-1\"], [5]]", "the number 5 is no text"),
        (
            "direction = \"one-way\"",
            "direction = \"oneway\"",
            "unknown direction \"oneway\"; expected \"both\" or \"one-way\"; did you mean \"one-way\"?",
        ),
        (
            "[[\"gateway-2\"], [\"order-2\"]]",
            "[[\"gateway-2\"], [\"order-2\"], [\"*\"]]",
            "one way between more than two sides; expected two sides: the first cannot reach the second",
        ),
        ("direction = \"one-way\"", "on = [\"order-2\"]", "\"sides\" beside \"on\"; expected either sides"),
        ("latency = \"200ms\"", "latency = \"200ms\"\ndirection = \"both\"", "\"direction\" beside \"on\""),
    ] {
        let message = refusal(from, to);
        assert!(message.starts_with("full.toml:"), "{message}");
        assert!(message.contains(what), "{from} → {to}:\n{message}");
    }
}

#[test]
fn broken_toml_duplicate_keys_and_missing_parts_are_refused() {
    for (from, to, what) in [
        (
            "settle = \"60s\"",
            "settle = \"60s\"\nsettle = \"70s\"",
            "full.toml:6:1: this is not TOML: duplicate key",
        ),
        (
            "seats.first = 12",
            "seats.first = 12\n\"seats.first\" = 13",
            "setting \"seats.first\" is given twice",
        ),
        ("[expect]", "[limits]", "duplicate key"),
        ("settle = \"60s\"", "settle = \"60s", "this is not TOML"),
        ("settle = \"60s\"", "settle", "this is not TOML"),
        ("rate = 3000 }", "rate = 3000", "this is not TOML"),
        ("name = \"ticketing/full\"\n", "", "the key \"name\" is missing in a scenario"),
        ("system = \"ticketing\"\n", "", "the key \"system\" is missing in a scenario"),
        ("duration = \"90s\"\n", "", "the key \"duration\" is missing in a scenario"),
        ("settle = \"60s\"\n", "", "the key \"settle\" is missing in a scenario"),
        ("at = \"40s\"\n", "", "the key \"at\" is missing in a fault of kind \"crash\""),
        ("kind = \"crash\"\n", "", "the key \"kind\" is missing in [[fault]]"),
        ("on = [\"order-1\"]\n", "", "the key \"on\" is missing in a fault of kind \"crash\""),
        ("verdict = \"violated\"\n", "", "the key \"verdict\" is missing in [expect]"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(what), "{from} → {to}:\n{message}");
    }
    let empty = parse("").unwrap_err().to_string();
    for key in ["name", "system", "duration", "settle"] {
        assert!(empty.contains(&format!("full.toml:1:1: the key \"{key}\" is missing")), "{empty}");
    }
    assert!(parse(&"a = [".repeat(100_000)).is_err(), "deeply nested");
    assert!(parse(&"#".repeat(2_000_000)).unwrap_err().to_string().contains("2000000 bytes"));
    assert!(parse("\u{feff}\0").is_err());
}

fn override_refusal(key: &str, value: &str) -> String {
    let overrides = [(key.to_owned(), value.to_owned())];
    let read = scenarios::parse("full.toml", FULL, &vocabulary(), Size::Full, &overrides);
    read.expect_err(&format!("--set {key}={value}")).to_string()
}

#[test]
fn overrides_are_checked_like_the_file() {
    for (key, value, what) in [
        ("payment.pay_withn", "5s", "unknown setting \"payment.pay_withn\" of system ticketing"),
        ("order.pay_withn", "5s", "expected \"order.pay_within\"; did you mean \"order.pay_within\"?"),
        ("settings.queue.cap", "5", "did you mean \"queue.cap\"?"),
        ("order.pay_within", "5", "\"5\" is no duration: the unit is missing; expected a number with a unit"),
        ("order.pay_within", "-5s", "a duration cannot be negative"),
        ("order.pay_within", "2h", "is out of range; expected a duration from \"0s\" to \"1h\""),
        ("seats.first", "many", "the text \"many\" is no whole number"),
        ("seats.first", "", "is no whole number"),
        ("seats.first", "-1", "is out of range"),
        ("queue.share", "2", "is out of range"),
        ("queue.share", "nan", "is out of range"),
        ("canary", "yes", "is neither true nor false"),
        ("trains.names", "[1]", "the number 1 is no text"),
        ("trains.names", "[", "is no list"),
        ("timetable", "no/such.zip", "cannot read the file \"no/such.zip\": there is none"),
        ("timetable", ".", "it is a folder"),
        ("", "", "unknown setting \"\""),
    ] {
        let message = override_refusal(key, value);
        assert!(message.starts_with(&format!("--set {key}={value}: ")), "{message}");
        assert!(message.contains(what), "{message}");
    }
    let twice = [("seats.first".to_owned(), "1".to_owned()), ("seats.first".to_owned(), "2".to_owned())];
    let error = scenarios::parse("full.toml", FULL, &vocabulary(), Size::Full, &twice).unwrap_err();
    assert!(error.to_string().contains("setting \"seats.first\" is given twice"), "{error}");
}

#[test]
fn places_are_right_whatever_ends_the_lines_and_whatever_script_they_are_in() {
    let text = FULL.replacen("Everything that", "所有", 1);
    let windows = text.replace("forged = 0.1", "forgd = 0.1").replace('\n', "\r\n");
    assert!(parse(&windows).unwrap_err().to_string().starts_with("full.toml:21:1: unknown setting"));
    let marked = format!("\u{feff}{}", FULL.replace("forged = 0.1", "forgd = 0.1"));
    assert!(parse(&marked).unwrap_err().to_string().starts_with("full.toml:21:1: unknown setting"));
    let same_line = refusal("date = \"2017-04-01\"", "buyers = { \"火车\" = 1 }");
    assert!(same_line.starts_with("full.toml:12:12: unknown setting \"buyers.火车\""), "{same_line}");
}

#[test]
fn the_most_typical_messages() {
    let typical = [
        refusal("duration = \"90s\"", "duratoin = \"90s\""),
        refusal("duration = \"90s\"", "duration = 90"),
        refusal("\"10s\", 2000", "\"-10s\", 2000"),
        refusal("on = [\"order-1\"]", "on = [\"ordr-1\"]"),
        refusal(
            "kind = \"crash\"\non = [\"order-1\"]",
            "kind = \"partiton\"\nsides = [[\"order-1\"], [\"*\"]]",
        ),
        refusal("bandwidth = \"1Mbit/s\"", "bandwidth = \"5 Mbps\""),
        refusal("kind = \"hold\"", "kind = \"pause\"\nsides = [[\"redis-1\"], [\"*\"]]"),
        refusal("forged = 0.1", "forgd = 0.1"),
        refusal("p95 = \"3s\"", "p96 = \"3 sec\""),
        refusal("journey.query = { rate = 3000 }", "journey.browse = { rate = \"fast\" }"),
        refusal("settle = \"60s\"", "settle = 60s"),
        override_refusal("order.pay_withn", "5s"),
    ];
    insta::assert_snapshot!(typical.join("\n\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a file says, it is accepted or refused with a place in it.
    #[test]
    fn mutated_files_never_panic(
        at in any::<prop::sample::Index>(),
        length in 0..30_usize,
        insert in prop_oneof![
            "[a-z0-9.=\"\\[\\]{},\n -]{0,12}",
            "\\PC{0,6}",
            prop::sample::select(FULL.lines().collect::<Vec<_>>()).prop_map(str::to_owned),
            Just("9".repeat(400)),
        ],
        hunt: bool,
    ) {
        let start = at.index(FULL.len());
        let mut text = FULL.to_owned();
        text.replace_range(start..(start + length).min(FULL.len()), &insert);
        let size = if hunt { Size::Hunt } else { Size::Full };
        if let Err(error) = scenarios::parse("full.toml", &text, &vocabulary(), size, &[]) {
            let lines = text.matches('\n').count() + 1;
            for diagnostic in error.diagnostics() {
                match &diagnostic.place {
                    Place::File { line, column, .. } => prop_assert!((1..=lines).contains(line) && *column >= 1),
                    Place::CommandLine(_) => prop_assert!(false, "nothing was on the command line"),
                }
            }
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_override_is_accepted_or_refused(key in "[a-z.]{0,12}|seats.first|order.pay_within|trains.names", value in "\\PC{0,20}") {
        let _ = scenarios::parse("full.toml", FULL, &vocabulary(), Size::Full, &[(key, value)]);
    }
}
