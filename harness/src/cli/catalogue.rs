//! `rehearse list` and `rehearse mutants`: what there is to play.

use record::mutant::Mutant;
use record::table::Table;
use scenarios::{Scenario, Size, catalogue};
use serde::Serialize;

use super::run::{print, terminal_style};
use super::{Exit, Format};
use crate::system::System;
use crate::target::vocabulary;

/// A scenario, as `list` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    system: String,
    about: String,
}

pub(super) fn list(systems: &[&dyn System], format: Format) -> Exit {
    let vocabulary = vocabulary(systems);
    let mut listed = Vec::new();
    for entry in catalogue::ENTRIES {
        match scenarios::parse(entry.file, entry.text, &vocabulary, Size::Full, &[]) {
            Ok(Scenario { name, system, about, .. }) => listed.push(Listed { name, system, about }),
            Err(error) => {
                eprintln!("{error}");
                return Exit::Usage;
            }
        }
    }
    show(format, &listed, || {
        let rows = listed.iter().map(|scenario| vec![scenario.name.clone(), scenario.about.clone()]);
        table("Scenarios", &["name", "about"], rows.collect())
    })
}

pub(super) fn mutants(systems: &[&dyn System], format: Format) -> Exit {
    let mutants: Vec<&Mutant> = systems.iter().flat_map(|system| system.mutants()).collect();
    show(format, &mutants, || {
        let row = |mutant: &&Mutant| {
            let Mutant { name, scenario, kind, about, .. } = mutant;
            vec![(*name).to_owned(), (*scenario).to_owned(), kind.to_string(), (*about).to_owned()]
        };
        table("Mutants", &["name", "found by", "kind", "about"], mutants.iter().map(row).collect())
    })
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    Table { title: title.to_owned(), columns, rows }
}

fn show(format: Format, listed: &impl Serialize, table: impl FnOnce() -> Table) -> Exit {
    let text = match format {
        Format::Human => reports::terminal::render_table(&table(), terminal_style()),
        Format::Json => match serde_json::to_string_pretty(listed) {
            Ok(json) => json + "\n",
            Err(error) => {
                eprintln!("cannot write JSON: {error}");
                return Exit::Internal;
            }
        },
    };
    print(&text)
}
