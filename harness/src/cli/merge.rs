//! `rehearse merge`: what the shards of a hunt come to together.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::{Exit, Format, hunt_report as report, length_of_time, run_folder};
use crate::hunt::document::{self, Document};
use crate::hunt::{Ended, now};
use crate::place::{Error, Place};

/// How often a place is looked at for shards that are still under way.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Where the shards left their results (`rehearse hunt --out PLACE`): folders, s3://…, gs://…, az://…
    #[arg(required = true, value_name = "PLACE")]
    places: Vec<String>,
    /// Waits for shards that are missing or still under way, at most so long: 10m
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    wait: Option<Duration>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Where a capsule is: number of the place, name of the object.
type Capsules = BTreeMap<(usize, u64), (usize, String)>;

/// A command that ends early: how, and why.
type Failed = (Exit, String);

pub(super) fn merge(args: &MergeArgs) -> Exit {
    let merged = open(&args.places).and_then(|places| {
        let (mut document, capsules) = gather(&places, args)?;
        fetch(&places, &capsules, &mut document);
        let printed = report::print(&document, document.conclusion(true), true, args.format);
        printed.map_err(|message| (Exit::Internal, message))
    });
    merged.unwrap_or_else(|(exit, message)| {
        eprintln!("{message}");
        exit
    })
}

fn open(given: &[String]) -> Result<Vec<Place>, Failed> {
    given.iter().map(|given| Place::open(given).map_err(|error| failed(&error))).collect()
}

fn failed(error: &Error) -> Failed {
    let exit = match error {
        Error::NotAPlace(..) => Exit::Usage,
        Error::Store(..) => Exit::Internal,
    };
    (exit, error.to_string())
}

/// Merges what is there, as soon as it is all that there will be, or the time to wait is over.
#[expect(clippy::disallowed_methods, reason = "waits for other machines, outside of every simulation")]
fn gather(places: &[Place], args: &MergeArgs) -> Result<(Document, Capsules), Failed> {
    let started = now();
    loop {
        let is_over = args.wait.is_none_or(|wait| started.elapsed() >= wait);
        match merged(places)? {
            Some((document, capsules)) if is_over || is_complete(&document) => {
                return Ok((document, capsules));
            }
            None if is_over => {
                let names = args.places.join(", ");
                let file = document::FILE;
                return Err((Exit::Usage, format!("{names}: no hunt has left its results here (no {file})")));
            }
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
}

fn is_complete(document: &Document) -> bool {
    document.missing_count() == 0 && document.shards.iter().all(|shard| shard.ended != Ended::Interrupted)
}

/// What the places hold now.
fn merged(places: &[Place]) -> Result<Option<(Document, Capsules)>, Failed> {
    let mut documents = Vec::new();
    let mut capsules = Capsules::new();
    for (number, place) in places.iter().enumerate() {
        for name in place.find(document::FILE).map_err(|error| failed(&error))? {
            let text = place.get(&name).map_err(|error| failed(&error))?;
            let shown = place.name_of(&name);
            let document =
                Document::from_json(&text).map_err(|what| (Exit::Usage, format!("{shown}:{what}")))?;
            let folder = name.strip_suffix(document::FILE).unwrap_or_default();
            for group in &document.findings {
                let Some(capsule) = &group.capsule else { continue };
                let task = (group.task.scenario, group.task.seed);
                capsules.insert(task, (number, format!("{folder}{capsule}")));
            }
            documents.push((shown, document));
        }
    }
    let document = document::merge(&documents).map_err(|mismatch| (Exit::Usage, mismatch.to_string()))?;
    Ok(document.map(|document| (document, capsules)))
}

/// Brings the capsules of what will be shown here, to be played. Without one, the line that plays the seed is left.
fn fetch(places: &[Place], capsules: &Capsules, document: &mut Document) {
    for (shown, group) in document.findings.iter_mut().enumerate() {
        let (scenario, seed) = (group.task.scenario, group.task.seed);
        let known = capsules.get(&(scenario, seed)).filter(|_| group.capsule.is_some());
        group.capsule = None;
        let Some((place, name)) = known.filter(|_| shown < report::SHOWN_GROUPS) else { continue };
        let content = places[*place].get(name).map_err(|error| error.to_string());
        let given = &document.scenarios[scenario].given;
        match content.and_then(|content| run_folder::keep_capsule(given, seed, &content)) {
            Ok(path) => group.capsule = Some(path.display().to_string()),
            Err(message) => eprintln!("no capsule for seed {seed}: {message}"),
        }
    }
}
