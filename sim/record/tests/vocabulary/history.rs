//! A history keeps what clients saw: counts, latencies, the order of events, and what observers are shown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use record::history::{History, OperationId, Outcome};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn invoke(history: &History, name: &'static str, at: Duration) -> OperationId {
    history.invoke(7, name, None, None, at)
}

#[test]
fn an_operation_is_kept_with_its_invocation_and_its_completion() {
    let history = History::new();
    assert!(history.is_empty());
    let id = history.invoke(7, "order.submit", Some("k1".to_owned()), Some("ICE-599".to_owned()), ms(100));
    history.complete(id, Outcome::Ok, Some("order-1".to_owned()), ms(350));
    assert_eq!(history.len(), 1);
    history.with_operations(|operations| {
        let [operation] = operations else { panic!("one operation, not {operations:?}") };
        assert_eq!(operation.id, OperationId(0));
        assert_eq!(operation.process, 7);
        assert_eq!(operation.name, "order.submit");
        assert_eq!(operation.key.as_deref(), Some("k1"));
        assert_eq!(operation.subject.as_deref(), Some("ICE-599"));
        assert_eq!(operation.invoked, ms(100));
        assert_eq!(operation.completed, Some(ms(350)));
        assert_eq!(operation.outcome, Some(Outcome::Ok));
        assert_eq!(operation.value.as_deref(), Some("order-1"));
    });
}

#[test]
fn outcomes_are_counted_and_what_never_completed_is_unknown() {
    let history = History::new();
    let outcomes = [Outcome::Ok, Outcome::Ok, Outcome::Refused, Outcome::Failed, Outcome::Unknown];
    for outcome in outcomes {
        let id = invoke(&history, "order.submit", ms(0));
        history.complete(id, outcome, None, ms(1));
    }
    invoke(&history, "order.submit", ms(0));
    invoke(&history, "queue.join", ms(0));
    let stats = history.stats();
    assert_eq!(stats.keys().collect::<Vec<_>>(), ["order.submit", "queue.join"]);
    let submit = &stats["order.submit"];
    assert_eq!((submit.ok, submit.refused, submit.failed, submit.unknown), (2, 1, 1, 2));
    let join = &stats["queue.join"];
    assert_eq!((join.unknown, join.p50_us, join.p999_us, join.max_us), (1, 0, 0, 0));
    assert_eq!(history.latencies()["order.submit"].len(), 5);
}

#[test]
fn percentiles_never_exceed_the_longest_latency() {
    let history = History::new();
    for latency in 1..=1000 {
        let id = invoke(&history, "order.submit", ms(500));
        history.complete(id, Outcome::Ok, None, ms(500 + latency));
    }
    let submit = &history.stats()["order.submit"];
    assert_eq!(submit.max_us, 1_000_000);
    let close = |observed: u64, exact: u64| observed.abs_diff(exact) * 1000 <= exact;
    assert!(close(submit.p50_us, 500_000), "{submit:?}");
    assert!(close(submit.p95_us, 950_000), "{submit:?}");
    assert!(close(submit.p99_us, 990_000), "{submit:?}");
    assert!(submit.p999_us <= submit.max_us, "{submit:?}");
}

#[test]
fn latencies_from_nothing_to_days_are_recorded() {
    let history = History::new();
    for latency in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(172_800), Duration::MAX] {
        let id = invoke(&history, "order.status", Duration::ZERO);
        history.complete(id, Outcome::Unknown, None, latency);
    }
    let status = &history.stats()["order.status"];
    assert_eq!((status.p50_us, status.max_us), (0, 3_600_000_000));
}

#[test]
fn observers_see_each_event_and_may_read_the_history() {
    let history = History::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (reader, log) = (history.clone(), seen.clone());
    history.observe(Box::new(move |operation| {
        let event = (operation.id, operation.outcome, reader.len());
        log.lock().expect("no observer panics").push(event);
    }));
    let first = invoke(&history, "queue.join", ms(0));
    let second = invoke(&history, "queue.join", ms(1));
    history.complete(second, Outcome::Refused, None, ms(2));
    history.complete(first, Outcome::Ok, None, ms(3));
    assert_eq!(
        *seen.lock().expect("no observer panics"),
        [
            (first, None, 1),
            (second, None, 2),
            (second, Some(Outcome::Refused), 2),
            (first, Some(Outcome::Ok), 2)
        ]
    );
}

#[test]
#[should_panic(expected = "operation #0 (queue.join) completes twice")]
fn an_operation_completes_only_once() {
    let history = History::new();
    let id = invoke(&history, "queue.join", ms(0));
    history.complete(id, Outcome::Ok, None, ms(1));
    history.complete(id, Outcome::Unknown, None, ms(2));
}

#[test]
#[should_panic(expected = "completes after its invocation")]
fn time_does_not_run_backward() {
    let history = History::new();
    let id = invoke(&history, "queue.join", ms(5));
    history.complete(id, Outcome::Ok, None, ms(4));
}
