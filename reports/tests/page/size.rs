//! How large the page is, and how long it takes to make it.

use reports::page::{Language, render};

use crate::synthetic;

/// Runs by their operations: what they may take at most, in seconds, and bytes.
const BOUNDS: [(u64, f64, usize); 2] = [(60_000, 2.0, 3_000_000), (2_000_000, 20.0, 6_000_000)];

/// Times mean something in an optimized build on a machine that does nothing else:
/// `cargo test --profile quick -p rehearse-reports --test page -- --ignored --nocapture size`.
#[test]
#[ignore = "measures; prints figures"]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "this measures the machine, not a run")]
fn of_long_runs() {
    for (operations, seconds_max, bytes_max) in BOUNDS {
        let run = synthetic::run(240, operations);
        for language in Language::ALL {
            let begin = std::time::Instant::now();
            let page = render(&run.input(), language);
            let seconds = begin.elapsed().as_secs_f64();
            println!("figure: report-{operations}-{} {seconds:.3} s, {} bytes", language.code(), page.len());
            assert!(seconds < seconds_max && page.len() < bytes_max);
        }
    }
}

#[test]
fn a_page_stays_small() {
    let (operations, _, bytes_max) = BOUNDS[0];
    let page = render(&synthetic::run(240, operations).input(), Language::English);
    assert!(page.len() < bytes_max, "{} bytes", page.len());
}

#[test]
fn equal_runs_have_equal_pages() {
    let page = || render(&synthetic::run(60, 5_000).input(), Language::English);
    assert!(page() == page());
}
