//! Histories made by hand, with one thing each that can go wrong in a measurement.

use record::history::{History, OperationId};

use super::*;

/// A moment or a length, in seconds.
fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Attempts at one operation, evenly spread, each answered within a millisecond.
struct Load {
    name: &'static str,
    from: f64,
    to: f64,
    per_second: f64,
}

/// Orders, 100 a second from the first second on.
const ORDERS: Load = Load { name: "order.submit", from: 0.0, to: 60.0, per_second: 100.0 };

impl Load {
    /// Records the attempts; `outcome` tells how each ended, by its moment and its number.
    fn record(&self, history: &History, outcome: impl Fn(f64, u64) -> Outcome) {
        for number in 0..((self.to - self.from) * self.per_second) as u64 {
            let at = self.from + number as f64 / self.per_second;
            let id = invoke(history, self.name, at);
            history.complete(id, outcome(at, number), None, s(at + 0.001));
        }
    }
}

fn invoke(history: &History, name: &'static str, at: f64) -> OperationId {
    history.invoke(0, name, None, None, s(at))
}

/// Fails within any of these stretches of time.
fn down(stretches: &[(f64, f64)]) -> impl Fn(f64, u64) -> Outcome {
    move |at, _| match stretches.iter().any(|(from, to)| (*from..*to).contains(&at)) {
        true => Outcome::Unknown,
        false => Outcome::Ok,
    }
}

fn fault(from_s: f64, to_s: f64) -> FaultRecord {
    FaultRecord { kind: "crash".to_owned(), from_s, to_s, on: Vec::new() }
}

fn lost_write(acknowledged: Duration, lost: Duration) -> LostWrite {
    LostWrite { operation: OperationId(0), subject: "order 7".to_owned(), acknowledged, lost }
}

fn measured(history: &History, faults: &[FaultRecord], lost: &[LostWrite]) -> Vec<Recovery> {
    history.with_operations(|operations| {
        measure(&Evidence { operations, faults, noticed: &[], lost }, &Limits::default())
    })
}

/// The recovery time from one fault, in seconds, rounded to hundredths. The outer `None`: there is no entry.
fn rto(history: &History, from: f64, to: f64) -> Option<Option<f64>> {
    let measured = measured(history, &[fault(from, to)], &[]);
    measured.first().map(|recovery| recovery.rto_s.map(|rto| (rto * 100.0).round() / 100.0))
}

fn rto_of_orders(from: f64, to: f64, outcome: impl Fn(f64, u64) -> Outcome) -> Option<Option<f64>> {
    let history = History::new();
    ORDERS.record(&history, outcome);
    rto(&history, from, to)
}

#[test]
fn an_outage_lasts_until_the_first_attempt_that_succeeds() {
    assert_eq!(rto_of_orders(12.0, 32.0, down(&[(12.0, 15.5)])), Some(Some(3.5)));
}

#[test]
fn what_is_not_touched_is_back_at_once() {
    assert_eq!(rto_of_orders(12.0, 32.0, down(&[])), Some(Some(0.0)));
    // One in fifty: within the 5 % that the definition leaves.
    let now_and_then = |at: f64, number: u64| match at > 12.0 && number.is_multiple_of(50) {
        true => Outcome::Failed,
        false => Outcome::Ok,
    };
    assert_eq!(rto_of_orders(12.0, 32.0, now_and_then), Some(Some(0.0)));
}

#[test]
fn a_part_of_the_attempts_is_enough() {
    // A third of the trains.
    let third = |at: f64, number: u64| match (12.0..14.0).contains(&at) && number.is_multiple_of(3) {
        true => Outcome::Unknown,
        false => Outcome::Ok,
    };
    assert_eq!(rto_of_orders(12.0, 20.0, third), Some(Some(1.99)), "the last one that fails is at 13.98");
}

#[test]
fn each_operation_is_looked_at_by_itself() {
    let history = History::new();
    ORDERS.record(&history, down(&[(12.0, 16.0)]));
    // A thousand looks a second that go on would hide the orders.
    Load { name: "train.remaining", per_second: 1000.0, ..ORDERS }.record(&history, down(&[]));
    Load { name: "payment.pay", ..ORDERS }.record(&history, down(&[(12.0, 13.0)]));
    assert_eq!(rto(&history, 12.0, 20.0), Some(Some(4.0)));
}

#[test]
fn the_end_of_a_peak_is_no_outage() {
    let history = History::new();
    Load { to: 15.0, per_second: 1000.0, ..ORDERS }.record(&history, down(&[(12.0, 13.0)]));
    Load { from: 15.0, per_second: 5.0, ..ORDERS }.record(&history, down(&[]));
    assert_eq!(rto(&history, 12.0, 20.0), Some(Some(1.0)));
}

#[test]
fn a_clear_no_is_an_answer() {
    let sold_out = |at, _| if at > 12.0 { Outcome::Refused } else { Outcome::Ok };
    assert_eq!(rto_of_orders(12.0, 20.0, sold_out), Some(Some(0.0)));
    let closed = |at, _| if (12.0..18.0).contains(&at) { Outcome::Failed } else { Outcome::Ok };
    assert_eq!(rto_of_orders(12.0, 20.0, closed), Some(Some(6.0)));
}

#[test]
fn it_must_stay_up_for_ten_seconds() {
    assert_eq!(rto_of_orders(12.0, 32.0, down(&[(12.0, 14.0), (20.0, 21.0)])), Some(Some(9.0)));
    assert_eq!(rto_of_orders(12.0, 32.0, down(&[(12.0, 14.0), (25.0, 26.0)])), Some(Some(2.0)));
}

#[test]
fn what_falls_later_counts_from_the_fault_on() {
    // While it goes on, or when it heals.
    assert_eq!(rto_of_orders(12.0, 32.0, down(&[(25.0, 27.0)])), Some(Some(15.0)));
    assert_eq!(rto_of_orders(12.0, 32.0, down(&[(33.0, 35.0)])), Some(Some(23.0)));
    // Long afterwards: that is something else.
    assert_eq!(rto_of_orders(12.0, 14.0, down(&[(33.0, 35.0)])), Some(Some(0.0)));
}

#[test]
fn what_never_comes_back_has_no_recovery_time() {
    assert_eq!(rto_of_orders(12.0, 20.0, down(&[(12.0, 60.0)])), Some(None));
    // A good second at the end of every three is not back.
    let limping = |at: f64, _| if at > 12.0 && at % 3.0 < 2.0 { Outcome::Unknown } else { Outcome::Ok };
    assert_eq!(
        rto_of_orders(12.0, 20.0, limping),
        Some(Some(47.0)),
        "only the last second of the run stays good"
    );
}

#[test]
fn the_run_may_end_before_ten_seconds_are_over() {
    assert_eq!(rto_of_orders(50.0, 60.0, down(&[(50.0, 55.0)])), Some(Some(5.0)));
}

#[test]
fn attempts_that_wait_when_the_fault_begins_count_for_it() {
    let history = History::new();
    Load { to: 11.5, ..ORDERS }.record(&history, down(&[]));
    let waiting: Vec<_> =
        (0..10).map(|number| invoke(&history, "order.submit", 11.5 + 0.01 * f64::from(number))).collect();
    Load { from: 12.0, to: 15.0, per_second: 5.0, ..ORDERS }.record(&history, down(&[]));
    for id in waiting {
        history.complete(id, Outcome::Ok, None, s(16.0));
    }
    // Fifteen alone would be too few to say anything.
    assert_eq!(rto(&history, 12.0, 13.0), Some(Some(0.0)));
}

#[test]
fn an_attempt_counts_for_the_moment_at_which_it_was_made() {
    let history = History::new();
    Load { to: 12.0, ..ORDERS }.record(&history, down(&[]));
    // Two seconds of attempts that time out ten seconds later, when all has been well for long.
    let hanging: Vec<_> =
        (0..200).map(|number| invoke(&history, "order.submit", 12.0 + 0.01 * f64::from(number))).collect();
    Load { from: 14.0, ..ORDERS }.record(&history, down(&[]));
    for id in hanging {
        history.complete(id, Outcome::Unknown, None, s(61.0));
    }
    assert_eq!(rto(&history, 12.0, 13.0), Some(Some(2.0)));
}

#[test]
fn too_few_attempts_say_nothing() {
    let after = |per_second| {
        let history = History::new();
        Load { to: 12.0, ..ORDERS }.record(&history, down(&[]));
        Load { from: 12.0, to: 20.0, per_second, ..ORDERS }.record(&history, down(&[(12.0, 14.0)]));
        rto(&history, 12.0, 20.0)
    };
    assert_eq!((after(2.0), after(5.0)), (None, Some(Some(2.0))));
    let before = |per_second| {
        let history = History::new();
        Load { to: 12.0, per_second, ..ORDERS }.record(&history, down(&[]));
        Load { from: 12.0, ..ORDERS }.record(&history, down(&[(12.0, 14.0)]));
        rto(&history, 12.0, 20.0)
    };
    assert_eq!((before(1.0), before(5.0)), (None, Some(Some(2.0))));
    assert_eq!(rto_of_orders(0.0, 5.0, down(&[(0.0, 2.0)])), None, "there is nothing before the fault");
    assert_eq!(rto(&History::new(), 12.0, 20.0), None);
}

#[test]
fn few_attempts_are_measured_over_longer_time() {
    let history = History::new();
    // 20 in 5 s: of an outage of 2 s, 8 fail.
    Load { per_second: 4.0, ..ORDERS }.record(&history, down(&[(12.0, 14.0)]));
    assert_eq!(rto(&history, 12.0, 20.0), Some(Some(2.0)));
}

#[test]
fn chance_is_no_outage() {
    // One in ten fails at any time, for reasons of its own; sometimes three or four of twenty do.
    let by_chance = |_: f64, number: u64| match number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xFF {
        0..26 => Outcome::Failed,
        _ => Outcome::Ok,
    };
    let history = History::new();
    Load { per_second: 20.0, ..ORDERS }.record(&history, by_chance);
    assert_eq!(rto(&history, 12.0, 32.0), Some(Some(0.0)));
    let worse = |at: f64, number: u64| match (12.0..15.0).contains(&at) && number.is_multiple_of(2) {
        true => Outcome::Failed,
        false => by_chance(at, number),
    };
    let history = History::new();
    Load { per_second: 20.0, ..ORDERS }.record(&history, worse);
    let found = rto(&history, 12.0, 32.0).flatten().expect("back");
    assert!((2.9..=4.0).contains(&found), "{found}");
}

#[test]
fn faults_that_overlap_are_measured_against_the_time_before_the_first() {
    let history = History::new();
    ORDERS.record(&history, down(&[(12.0, 20.0)]));
    let measured = measured(&history, &[fault(12.0, 18.0), fault(16.0, 30.0), fault(22.0, 23.0)], &[]);
    let rto: Vec<_> = measured.iter().map(|recovery| recovery.rto_s.map(f64::round)).collect();
    // By the time before itself, the second one would have found nothing to complain of.
    assert_eq!(rto, [Some(8.0), Some(4.0), Some(0.0)]);
    assert_eq!(measured.iter().map(|recovery| recovery.fault).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn lost_writes_have_the_age_that_they_had_at_the_fault() {
    let history = History::new();
    ORDERS.record(&history, down(&[]));
    let write = |acknowledged, lost| lost_write(s(acknowledged), s(lost));
    let lost = [write(11.0, 15.0), write(9.5, 15.0), write(13.0, 15.0)];
    let both = measured(&history, &[fault(12.0, 20.0), fault(40.0, 41.0)], &lost);
    assert_eq!((both[0].rpo_s, both[0].lost_acknowledged), (2.5, 3));
    assert_eq!((both[1].rpo_s, both[1].lost_acknowledged), (0.0, 0));
    // Acknowledged while the fault was going on: so long after its beginning.
    let during = measured(&history, &[fault(12.0, 20.0)], &[write(15.5, 17.0)]);
    assert_eq!((during[0].rpo_s, during[0].lost_acknowledged), (3.5, 1));
    // At the same moment: that is not nothing.
    let then = measured(&history, &[fault(12.0, 20.0)], &[write(12.0, 15.0)]);
    assert_eq!((then[0].rpo_s, then[0].lost_acknowledged), (0.000_001, 1));
    // Lost long after the fault: whose else would it be?
    let late = measured(&history, &[fault(12.0, 13.0), fault(16.0, 17.0)], &[write(11.0, 55.0)]);
    let counts: Vec<_> = late.iter().map(|recovery| (recovery.rpo_s, recovery.lost_acknowledged)).collect();
    assert_eq!(counts, [(0.0, 0), (5.0, 1)]);
}

#[test]
fn a_loss_is_told_even_when_the_time_cannot_be() {
    let lost = [lost_write(s(11.0), s(15.0))];
    let limits = Limits { rto: Some(s(30.0)), rpo: Some(s(0.0)), ..Limits::default() };
    let evidence = Evidence { operations: &[], faults: &[fault(12.0, 20.0)], noticed: &[], lost: &lost };
    let [recovery] = &measure(&evidence, &limits)[..] else { panic!("one entry") };
    assert_eq!((recovery.rto_s, recovery.rto_limit_s), (None, None));
    assert_eq!((recovery.rpo_s, recovery.rpo_limit_s), (1.0, Some(0.0)));
    assert!(!is_met(recovery));
}

#[test]
fn who_noticed_first_during_the_fault_or_soon_after_it() {
    let history = History::new();
    ORDERS.record(&history, down(&[]));
    let detected = |noticed: &[f64]| {
        let noticed: Vec<Duration> = noticed.iter().copied().map(s).collect();
        history.with_operations(|operations| {
            let faults = &[fault(12.0, 20.0)];
            let evidence = Evidence { operations, faults, noticed: &noticed, lost: &[] };
            measure(&evidence, &Limits::default())[0].detected_s
        })
    };
    assert_eq!(detected(&[11.0, 14.5, 14.0, 31.0]), Some(14.0));
    assert_eq!(detected(&[29.0]), Some(29.0));
    assert_eq!(detected(&[11.0, 31.0]), None);
}

#[test]
fn limits_are_met_or_not() {
    let recovery = Recovery {
        fault: 0,
        detected_s: None,
        rto_s: Some(3.0),
        rto_limit_s: Some(3.0),
        rpo_s: 0.0,
        rpo_limit_s: Some(0.0),
        lost_acknowledged: 0,
    };
    assert!(is_met(&recovery));
    assert!(!is_met(&Recovery { rto_s: Some(3.1), ..recovery.clone() }));
    assert!(!is_met(&Recovery { rto_s: None, ..recovery.clone() }));
    assert!(is_met(&Recovery { rto_s: None, rto_limit_s: None, ..recovery.clone() }));
    assert!(!is_met(&Recovery { rpo_s: 0.5, ..recovery.clone() }));
    assert!(is_met(&Recovery { rpo_s: 0.5, rpo_limit_s: None, ..recovery }));
}

/// Hunts are short: an operation may be back for a moment only when its run ends.
#[test]
fn what_is_answered_to_the_end_of_a_short_run_may_be_back() {
    let rto_with = |answered: f64| {
        let history = History::new();
        Load { to: 13.0 + answered / 10.0, per_second: 10.0, ..ORDERS }
            .record(&history, down(&[(12.0, 13.0)]));
        rto(&history, 12.0, 13.0)
    };
    // Fewer than a window has, from the end of the fault to the end of the run: nobody can tell.
    assert_eq!(rto_with(12.0), None);
    // With a whole window of them it is back.
    assert_eq!(rto_with(40.0), Some(Some(1.0)));
}

#[test]
fn what_fails_to_the_end_is_never_back() {
    let history = History::new();
    Load { to: 15.4, per_second: 10.0, ..ORDERS }.record(&history, down(&[(12.0, 15.0)]));
    assert_eq!(rto(&history, 12.0, 13.0), Some(None), "four answers after thirty failures");
}
