//! What a run prints, as it is on the screen.

use crate::runs::{self, Run};
use record::table::Table;
use reports::terminal::{self, Style};

fn screen(run: &Run, style: Style) -> String {
    run.report(|report| terminal::render(report, style))
}

fn plain(width: usize) -> Style {
    Style { color: false, width }
}

#[test]
fn a_run_that_held() {
    insta::assert_snapshot!(screen(&runs::held(), plain(100)));
}

#[test]
fn a_run_that_was_violated() {
    insta::assert_snapshot!(screen(&runs::violated(), plain(100)));
}

#[test]
fn a_run_that_was_slow() {
    insta::assert_snapshot!(screen(&runs::slow(), plain(100)));
}

#[test]
fn colours() {
    let text = screen(&runs::violated(), Style { color: true, width: 100 });
    insta::assert_snapshot!(text.replace('\u{1b}', "ESC"));
}

#[test]
fn colours_change_nothing_but_colours() {
    for run in [runs::held(), runs::violated(), runs::slow(), runs::odd()] {
        for width in [0, 40, 80, 200] {
            let mut text = String::new();
            for (index, part) in screen(&run, Style { color: true, width }).split("\u{1b}[").enumerate() {
                let shown = if index == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) };
                text.push_str(shown);
            }
            let trimmed =
                |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
            assert_eq!(trimmed(&text), trimmed(&screen(&run, plain(width))));
        }
    }
}

#[test]
fn a_narrow_terminal() {
    insta::assert_snapshot!(screen(&runs::violated(), plain(64)));
}

#[test]
fn lines_stay_within_the_terminal() {
    for width in [64, 80, 100, 140] {
        for line in screen(&runs::violated(), plain(width)).lines() {
            let replays = line.trim_start().starts_with("rehearse run");
            assert!(replays || line.chars().count() <= width, "{width}: {line:?}");
            assert_eq!(line.trim_end(), line);
        }
    }
}

#[test]
fn the_last_line_replays_the_run() {
    for run in [runs::held(), runs::violated(), runs::slow()] {
        assert_eq!(screen(&run, plain(20)).lines().last().map(str::trim), Some(run.replay.as_str()));
    }
}

#[test]
fn oddities() {
    let text = screen(&runs::odd(), plain(60));
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()));
    insta::assert_snapshot!(text);
    for width in [0, 1, 7, usize::MAX] {
        screen(&runs::odd(), Style { color: true, width });
    }
}

#[test]
fn nothing_at_all() {
    let mut run = runs::odd();
    run.tables.clear();
    run.result.operations.clear();
    run.result.invariants.clear();
    run.result.faults.clear();
    run.result.recovery.clear();
    run.result.coverage.clear();
    insta::assert_snapshot!(screen(&run, Style::default()));
}

#[test]
fn a_table_of_its_own() {
    let table = Table {
        title: "Mutants".to_owned(),
        columns: ["name", "seeds"].map(str::to_owned).to_vec(),
        rows: vec![["ticketing.deduct-check-then-set", "3"].map(str::to_owned).to_vec()],
    };
    insta::assert_snapshot!(terminal::render_table(&table, Style::default()));
}
