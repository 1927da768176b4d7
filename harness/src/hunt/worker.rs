//! The worker's side of a hunt: plays what it is told to, until there is no more.

use std::io::{self, BufRead, Write};

use record::result::Verdict;
use scenarios::{Scenario, Size};
use world::sim::Progress;

use super::message::{Answer, Order, Task};
use crate::rehearsal::{self, Failure, Request};
use crate::system::System;
use crate::target::Target;

/// Plays the tasks that come on stdin and answers on stdout, until stdin is closed.
///
/// # Errors
/// When what comes is not what [`super`] sends, or stdout is closed.
pub(crate) fn work(systems: &[&dyn System]) -> io::Result<()> {
    let mut scenarios = Ok(Vec::new());
    for line in io::stdin().lock().lines() {
        let task = match serde_json::from_str(&line?)? {
            Order::Session(session) => {
                let size = if session.is_full_size { Size::Full } else { Size::Hunt };
                let read = |target: &Target| target.read(systems, size);
                scenarios = session.scenarios.iter().map(read).collect::<Result<Vec<_>, String>>();
                continue;
            }
            Order::Task(task) => task,
        };
        let answer = match &scenarios {
            Ok(scenarios) => {
                let found = scenarios.get(task.scenario);
                let (system, scenario) = found.ok_or_else(|| io::Error::other("no such scenario"))?;
                play(*system, scenario, &task)
            }
            Err(what) => failed(what.clone()),
        };
        let answer = serde_json::to_string(&answer)?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn play(system: &dyn System, scenario: &Scenario, task: &Task) -> Answer {
    let mut request = Request::new(scenario.clone(), task.seed);
    if !task.mutants.is_empty() {
        request.mutants = task.mutants.iter().cloned().collect();
    }
    request.strategy = task.strategy;
    match rehearsal::play(system, &request, Progress::default()) {
        Ok(played) => {
            let (reached, missed): (Vec<_>, Vec<_>) =
                played.result.coverage.iter().partition(|mark| mark.hits > 0);
            let names = |marks: Vec<&record::result::Coverage>| {
                marks.into_iter().map(|mark| mark.name.clone()).collect()
            };
            Answer {
                simulated_s: played.result.simulated_s,
                polls: played.polls,
                failures: match &scenario.expect {
                    Some(_) => Vec::new(),
                    None => rehearsal::failures(scenario, &played.result),
                },
                is_as_expected: scenario
                    .expect
                    .as_ref()
                    .map(|expect| rehearsal::is_as_expected(expect, &played.result)),
                reached: names(reached),
                missed: names(missed),
            }
        }
        Err(error) => failed(error.to_string()),
    }
}

/// The answer when a scenario cannot be read, or not be played.
fn failed(what: String) -> Answer {
    let failure = Failure::new("internal error", what, Verdict::Violated);
    Answer { failures: vec![failure], ..Answer::default() }
}
