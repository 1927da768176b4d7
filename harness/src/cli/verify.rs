//! `rehearse verify`: the same seed twice, in two processes; where they part is shown.

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use record::result::RunResult;

use super::run::{draw_seed, load, print, shared_flags};
use super::{Exit, PlayArgs, run_folder};
use crate::system::System;

/// Lines of a divergence that are shown from each run.
const SHOWN_LINES: usize = 5;

pub(super) fn verify(systems: &[&dyn System], play: &PlayArgs) -> Exit {
    let scenario = match load(systems, play) {
        Ok((_, scenario, _)) => scenario,
        Err(message) => {
            eprintln!("{message}");
            return Exit::Usage;
        }
    };
    let given = play.seed.or(scenario.play.seed);
    let seed = given.unwrap_or_else(draw_seed);
    if given.is_none() {
        eprintln!("seed {seed}");
    }
    match compare(play, seed) {
        Ok((true, text)) => print(&text),
        Ok((false, text)) => match print(&text) {
            Exit::Held => Exit::Invalid,
            other => other,
        },
        Err(message) => {
            eprintln!("{message}");
            Exit::Internal
        }
    }
}

/// One run in a process of its own.
struct Observed {
    result: RunResult,
    trace: String,
}

fn compare(play: &PlayArgs, seed: u64) -> Result<(bool, String), String> {
    let (first, second) = (observe(play, seed, None)?, observe(play, seed, None)?);
    let name = &first.result.scenario;
    let timeless = |result: &RunResult| RunResult { wall_s: 0.0, ..result.clone() };
    if timeless(&first.result) == timeless(&second.result) && first.trace == second.trace {
        let RunResult { fingerprint, verdict, messages, .. } = &first.result;
        let text = format!(
            "{name} --seed {seed}: the same twice\n  fingerprint {fingerprint}\n  verdict     {verdict}\n  messages    {messages}\n"
        );
        return Ok((true, text));
    }
    let mut text = format!("{name} --seed {seed}: two runs differ\n");
    for run in [&first.result, &second.result] {
        text += &format!("  fingerprint {} verdict {}\n", run.fingerprint, run.verdict);
    }
    if let Some(marks) = first_difference(&first.trace, &second.trace) {
        text += &format!("they part between the marks {} and {}:\n", marks.start, marks.end);
        let detailed = (observe(play, seed, Some(marks.clone()))?, observe(play, seed, Some(marks))?);
        text += &parting(&detailed.0.trace, &detailed.1.trace);
    }
    Ok((false, text))
}

fn observe(play: &PlayArgs, seed: u64, marks: Option<Range<u64>>) -> Result<Observed, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("cannot make a temporary folder: {error}"))?;
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut words: Vec<OsString> = ["run", &play.scenario, "--format", "json"].map(OsString::from).to_vec();
    words.extend(["--seed".into(), seed.to_string().into(), "--out".into(), folder.path().into()]);
    words.extend(shared_flags(play).into_iter().map(OsString::from));
    if let Some(marks) = marks {
        words.extend(["--trace".into(), format!("{}..{}", marks.start, marks.end).into()]);
    }
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start a run: {error}"))?;
    let json = String::from_utf8_lossy(&output.stdout);
    let result = RunResult::from_json(&json).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("a run gave no result ({error}); it said:\n{said}")
    })?;
    Ok(Observed { result, trace: read_trace(folder.path())? })
}

fn read_trace(folder: &Path) -> Result<String, String> {
    fs::read_to_string(folder.join("trace"))
        .map_err(|error| format!("cannot read the trace of a run: {error}"))
}

/// The marks between the last checkpoint that agrees and the first that does not.
fn first_difference(first: &str, second: &str) -> Option<Range<u64>> {
    let checkpoints = |trace: &str| -> Vec<String> {
        trace
            .lines()
            .filter_map(|line| line.strip_prefix(run_folder::CHECKPOINT))
            .map(str::to_owned)
            .collect()
    };
    let marks = |line: &String| line.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    let (first, second) = (checkpoints(first), checkpoints(second));
    let agreeing = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
    let start = agreeing.checked_sub(1).and_then(|last| marks(&first[last])).unwrap_or(0);
    let ends = [&first, &second].map(|lines| lines.get(agreeing).and_then(marks));
    let end = ends.into_iter().flatten().max()?;
    Some(start..end)
}

/// The first lines in which two detailed traces differ.
fn parting(first: &str, second: &str) -> String {
    let detail = |trace: &str| -> Vec<String> {
        trace.lines().filter(|line| !line.starts_with(run_folder::CHECKPOINT)).map(str::to_owned).collect()
    };
    let (first, second) = (detail(first), detail(second));
    let agreeing = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
    if agreeing == first.len() && agreeing == second.len() {
        return "  (two further runs did not differ there: the divergence itself is not stable)\n".to_owned();
    }
    let mut text = String::new();
    for (name, lines) in [("first", &first), ("second", &second)] {
        text += &format!("  {name} run:\n");
        for line in lines.iter().skip(agreeing).take(SHOWN_LINES) {
            text += &format!("    {line}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divergence_is_narrowed_to_the_stretch_between_two_checkpoints() {
        let first = "checkpoint 10 0.1s aa\ncheckpoint 20 0.2s bb\ncheckpoint 25 0.3s cc\n";
        let second = "checkpoint 10 0.1s aa\ncheckpoint 20 0.2s bx\ncheckpoint 27 0.3s cx\n";
        assert_eq!(first_difference(first, second), Some(10..20));
        assert_eq!(first_difference(first, first), None);
        assert_eq!(first_difference("checkpoint 5 0s a\n", "checkpoint 6 0s b\n"), Some(0..6));
    }

    #[test]
    fn the_parting_lines_are_shown_from_both_runs() {
        let first = "checkpoint 3 0s aa\n0 task 1\n1 timer 4\n";
        let second = "checkpoint 3 0s ab\n0 task 1\n1 timer 5\n";
        assert_eq!(parting(first, second), "  first run:\n    1 timer 4\n  second run:\n    1 timer 5\n");
    }
}
