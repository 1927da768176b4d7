//! `junit.xml`: a test case per invariant and per limit, so that any CI shows a run as it shows tests.

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};
use record::result::{InvariantResult, Verdict};

use crate::Report;
use crate::limits::{Limit, limits};
use crate::sections::{self, Mark};

/// The text of the file. It has no times, so that equal runs give equal files.
pub(crate) fn render(report: &Report<'_>) -> Result<String, String> {
    let result = report.result;
    let mut suite = TestSuite::new(result.scenario.as_str());
    suite.add_property(Property::new("seed", result.seed.to_string()));
    suite.add_property(Property::new("engine", result.engine.as_str()));
    suite.add_property(Property::new("fingerprint", result.fingerprint.as_str()));
    suite.add_property(Property::new("verdict", result.verdict.to_string()));
    suite.add_property(Property::new("mutants", result.mutants.join(",")));
    suite.add_property(Property::new("replay", report.replay));
    suite.add_test_cases(result.invariants.iter().map(invariant));
    suite.add_test_cases(limits(result).into_iter().map(|limit| limit_case(&limit)));
    if result.verdict == Verdict::Invalid {
        suite.add_test_case(invalid(&sections::verdict_sentence(result)));
    }
    let mut file = quick_junit::Report::new("rehearse");
    file.add_test_suite(suite);
    file.to_string().map_err(|error| error.to_string())
}

fn invariant(invariant: &InvariantResult) -> TestCase {
    let mut status = match sections::invariant_mark(invariant) {
        Mark::Good => TestCaseStatus::success(),
        Mark::Bad => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Mark::Unclear => TestCaseStatus::skipped(),
    };
    if let Some(violation) = &invariant.first_violation {
        status.set_message(violation.what.as_str());
        status.set_type("invariant");
        status.set_description(sections::violation_notes(violation).join("\n"));
    }
    let mut case = TestCase::new(invariant.name.as_str(), status);
    case.set_classname("invariants");
    case.set_assertions(usize::try_from(invariant.checks).unwrap_or(usize::MAX));
    case
}

fn limit_case(limit: &Limit<'_>) -> TestCase {
    let mut status = TestCaseStatus::success();
    if !limit.met {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(format!("observed {}, limit {}", limit.observed(), limit.limit));
        status.set_type("limit");
    }
    let mut case = TestCase::new(limit.name(), status);
    case.set_classname("limits");
    case
}

/// A run that proves nothing must not look like one that passed.
fn invalid(reason: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(reason);
    status.set_type("invalid");
    let mut case = TestCase::new("valid run", status);
    case.set_classname("run");
    case
}
