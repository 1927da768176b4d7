//! `result.json` is what the contract says: names, order, types, rounding, and the way back.

use std::collections::BTreeMap;

use record::result::{
    Coverage, FaultRecord, InvariantResult, OperationStats, Recovery, RunResult, SCHEMA, ServiceLevel,
    Verdict, Violation,
};

/// A result with every list filled.
fn full() -> RunResult {
    let submit = OperationStats {
        ok: 4000,
        refused: 61_000,
        failed: 12,
        unknown: 3,
        p50_us: 8_123,
        p95_us: 1_250_303,
        p99_us: 2_000_895,
        p999_us: 2_998_271,
        max_us: 3_000_000,
    };
    RunResult {
        schema: SCHEMA,
        scenario: "ticketing/peak".to_owned(),
        system: "ticketing".to_owned(),
        engine: "kernel".to_owned(),
        seed: 42,
        mutants: vec!["ticketing.deduct-check-then-set".to_owned()],
        fingerprint: "00112233445566778899aabbccddeeff".to_owned(),
        verdict: Verdict::Violated,
        simulated_s: 0.1 + 0.2,
        wall_s: 2.5,
        messages: 1_234_567,
        operations: BTreeMap::from([
            ("train.remaining".to_owned(), OperationStats::default()),
            ("order.submit".to_owned(), submit),
        ]),
        invariants: vec![
            InvariantResult {
                name: "zero-oversell".to_owned(),
                held: false,
                checks: 8_123,
                first_violation: Some(Violation {
                    at_s: 12.345_678_9,
                    what: "seat 07-12 of ICE-599@2017-03-31 is sold twice on segment 3".to_owned(),
                    operations: vec![17, 23],
                }),
            },
            InvariantResult {
                name: "one-payment".to_owned(),
                held: true,
                checks: 900,
                first_violation: None,
            },
        ],
        faults: vec![FaultRecord {
            kind: "crash".to_owned(),
            from_s: 12.0,
            to_s: 17.25,
            on: vec!["inventory-1".to_owned(), "order-2".to_owned()],
        }],
        recovery: vec![
            Recovery {
                fault: 0,
                detected_s: Some(12.5),
                rto_s: Some(1.5),
                rto_limit_s: Some(30.0),
                rpo_s: 0.0,
                rpo_limit_s: Some(0.0),
                lost_acknowledged: 0,
            },
            Recovery {
                fault: 0,
                detected_s: None,
                rto_s: None,
                rto_limit_s: None,
                rpo_s: 3.25,
                rpo_limit_s: None,
                lost_acknowledged: 7,
            },
        ],
        service_levels: vec![ServiceLevel {
            name: "order.submit p95".to_owned(),
            limit_us: 3_000_000,
            observed_us: 1_250_303,
            met: true,
        }],
        coverage: vec![Coverage { name: "redis.failover".to_owned(), hits: 2 }],
    }
}

#[test]
fn a_full_result_is_written_as_the_contract_says() {
    insta::assert_snapshot!(full().to_json());
}

#[test]
fn a_result_survives_the_way_through_json() {
    let text = full().to_json();
    let read = RunResult::from_json(&text).expect("what was written can be read");
    assert_eq!(read.to_json(), text);
    assert_eq!(RunResult { simulated_s: 0.3, ..read.clone() }, read);
}

#[test]
fn verdicts_are_the_words_of_the_contract() {
    for (verdict, word) in [
        (Verdict::Held, "held"),
        (Verdict::Violated, "violated"),
        (Verdict::Slow, "slow"),
        (Verdict::Invalid, "invalid"),
    ] {
        assert_eq!(verdict.to_string(), word);
        let text = RunResult { verdict, ..full() }.to_json();
        assert!(text.contains(&format!("\"verdict\": \"{word}\"")), "{text}");
    }
}

#[test]
fn odd_seconds_stay_valid_json() {
    let odd = |simulated_s| RunResult { simulated_s, ..full() }.to_json();
    for (seconds, written) in [
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
        (-0.0, "0.0"),
        (1e-7, "0.0"),
        (172_800.000_001_4, "172800.000001"),
        (1e300, "1e+300"),
    ] {
        let text = odd(seconds);
        assert!(text.contains(&format!("\"simulated_s\": {written},")), "{seconds}: {text}");
        let read = RunResult::from_json(&text).expect("odd seconds can be read back");
        assert_eq!(read.to_json(), text);
    }
}

#[test]
fn text_of_another_shape_is_an_error() {
    for text in ["", "[]", "{}", "{\"schema\": \"one\"}"] {
        assert!(RunResult::from_json(text).is_err(), "{text:?}");
    }
}
