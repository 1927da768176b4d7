//! The scenarios that are shipped, embedded in the program, and those in files.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Error, Place, Problem, nearest, one_of, quoted};

/// A scenario that is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name, for example `ticketing/peak`.
    pub name: &'static str,
    /// Its file in the repository, as messages call it.
    pub file: &'static str,
    /// The text of the file.
    pub text: &'static str,
}

/// Every scenario that is shipped, ordered by name.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "ticketing/bad-network",
        file: "scenarios/ticketing/bad-network.toml",
        text: include_str!("../ticketing/bad-network.toml"),
    },
    Entry {
        name: "ticketing/capacity",
        file: "scenarios/ticketing/capacity.toml",
        text: include_str!("../ticketing/capacity.toml"),
    },
    Entry {
        name: "ticketing/inventory-crash",
        file: "scenarios/ticketing/inventory-crash.toml",
        text: include_str!("../ticketing/inventory-crash.toml"),
    },
    Entry {
        name: "ticketing/payment-trouble",
        file: "scenarios/ticketing/payment-trouble.toml",
        text: include_str!("../ticketing/payment-trouble.toml"),
    },
    Entry {
        name: "ticketing/peak",
        file: "scenarios/ticketing/peak.toml",
        text: include_str!("../ticketing/peak.toml"),
    },
    Entry {
        name: "ticketing/redis-failover",
        file: "scenarios/ticketing/redis-failover.toml",
        text: include_str!("../ticketing/redis-failover.toml"),
    },
    Entry {
        name: "ticketing/redis-slow",
        file: "scenarios/ticketing/redis-slow.toml",
        text: include_str!("../ticketing/redis-slow.toml"),
    },
    Entry {
        name: "ticketing/redis-split-brain",
        file: "scenarios/ticketing/redis-split-brain.toml",
        text: include_str!("../ticketing/redis-split-brain.toml"),
    },
    Entry {
        name: "ticketing/redis-split-brain-unguarded",
        file: "scenarios/ticketing/redis-split-brain-unguarded.toml",
        text: include_str!("../ticketing/redis-split-brain-unguarded.toml"),
    },
    Entry {
        name: "ticketing/redis-total-loss",
        file: "scenarios/ticketing/redis-total-loss.toml",
        text: include_str!("../ticketing/redis-total-loss.toml"),
    },
    Entry {
        name: "ticketing/swarm",
        file: "scenarios/ticketing/swarm.toml",
        text: include_str!("../ticketing/swarm.toml"),
    },
];

/// A scenario's text and what messages call its file: what [`crate::parse`] wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// How messages call the file; paths in its settings are relative to the folder that it names.
    pub file: String,
    /// The text.
    pub text: String,
}

/// Finds a scenario by the name of a shipped one, or by the path of a file. A shipped name wins.
///
/// # Errors
/// There is neither; the file cannot be read; it is not UTF-8 (with line and column).
pub fn find(name_or_path: &str) -> Result<Source, Error> {
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.name == name_or_path) {
        return Ok(Source { file: entry.file.to_owned(), text: entry.text.to_owned() });
    }
    let bytes = std::fs::read(Path::new(name_or_path)).map_err(|error| unreadable(name_or_path, &error))?;
    from_bytes(name_or_path, bytes)
}

fn unreadable(given: &str, error: &std::io::Error) -> Diagnostic {
    let names: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
    let place = Place::CommandLine(given.to_owned());
    if Path::new(given).is_dir() {
        return Problem::new("this is a folder").expected("the path of a scenario file").at(place);
    }
    if error.kind() != std::io::ErrorKind::NotFound {
        return Problem::new(format!("cannot read the scenario file: {error}")).at(place);
    }
    let stem = given.strip_suffix(".toml").unwrap_or(given).trim_start_matches("./");
    // `peak` for `ticketing/peak`, and misspelt names without their folder.
    let short = |name: &&&str| name.rsplit('/').next().is_some_and(|last| nearest(stem, &[last]).is_some());
    let suggestion = nearest(stem, &names).or_else(|| names.iter().find(short).copied());
    Problem::new(format!("there is no scenario and no file {}", quoted(given)))
        .expected(format!("the path of a scenario file, or {}", one_of(&names)))
        .suggest(suggestion)
        .at(place)
}

fn from_bytes(file: &str, bytes: Vec<u8>) -> Result<Source, Error> {
    String::from_utf8(bytes).map(|text| Source { file: file.to_owned(), text }).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let place = Place::in_file(file, &text, valid..valid + 1);
        Problem::new("this is not UTF-8 text").expected("a scenario in TOML").at(place).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_scenarios_are_ordered_and_named_as_their_files() {
        assert!(ENTRIES.is_sorted_by_key(|entry| entry.name));
        for entry in ENTRIES {
            assert_eq!(entry.file, format!("scenarios/{}.toml", entry.name));
            assert_eq!(find(entry.name).unwrap().text, entry.text);
        }
    }

    #[test]
    fn what_is_not_there_is_refused_with_the_nearest_name() {
        for given in ["ticketing/paek", "peak", "ticketing/paek.toml", "./peek"] {
            let message = find(given).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{given}: ")), "{message}");
            assert!(message.contains("did you mean \"ticketing/peak\"?"), "{message}");
        }
        assert!(find(env!("CARGO_MANIFEST_DIR")).unwrap_err().to_string().contains("this is a folder"));
    }

    #[test]
    fn a_file_that_is_not_utf8_is_refused_with_its_place() {
        let error = from_bytes("x.toml", b"name = \"a\"\nab\xff".to_vec()).unwrap_err();
        assert!(error.to_string().starts_with("x.toml:2:3: this is not UTF-8 text"), "{error}");
    }
}
