//! Histories from the literature, and what must hold for all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::lock::{Holder, lease_end};
use super::{Call, Counter, Effect, Finding, Linearizable, Lock, Model, Register, STEPS_MAX};
use super::{counter, lock, register, search};
use crate::check::Invariant;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Calls with their intervals; an end of 0 is none. Each is named by its place.
fn calls<A>(all: impl IntoIterator<Item = (A, u64, u64)>) -> Vec<Call<A>> {
    let call = |(operation, (action, invoked, completed))| match completed {
        0 => Call::unanswered(operation, action, ms(invoked)),
        _ => Call::answered(operation, action, ms(invoked), ms(completed)),
    };
    (0..).zip(all).map(call).collect()
}

/// The call whose answer cannot be explained, or none.
fn wrong<M: Model>(model: &M, all: &[Call<M::Action>]) -> Option<usize> {
    match search(model, all, STEPS_MAX) {
        Finding::Linearizable => None,
        Finding::Contradiction(contradiction) => Some(contradiction.call),
        Finding::Undecided { at } => panic!("undecided at {at:?}"),
    }
}

/// A queue: an object of one's own.
struct Queue;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum InQueue {
    Enqueue(char),
    Dequeue(char),
}

impl Model for Queue {
    type Action = InQueue;
    type State = Vec<char>;

    fn initial(&self) -> Vec<char> {
        Vec::new()
    }

    fn step(&self, state: &Vec<char>, action: &InQueue) -> Option<Vec<char>> {
        match action {
            InQueue::Enqueue(item) => Some([&state[..], &[*item]].concat()),
            InQueue::Dequeue(item) => (state.first() == Some(item)).then(|| state[1..].to_vec()),
        }
    }

    fn effect(&self, _: &InQueue) -> Effect {
        Effect::Changes
    }
}

/// Herlihy and Wing 1990, figure 1: four histories of a queue.
#[test]
fn the_queues_of_herlihy_and_wing() {
    use InQueue::{Dequeue, Enqueue};
    // H1: x and y are put in at the same time, and come out in one of the orders.
    let first = [
        (Enqueue('x'), 0, 6),
        (Enqueue('y'), 2, 5),
        (Dequeue('x'), 7, 9),
        (Dequeue('y'), 8, 11),
        (Enqueue('z'), 12, 14),
    ];
    assert_eq!(wrong(&Queue, &calls(first)), None);
    // H2: x was in before y was put in, and y comes out first.
    let second = [(Enqueue('x'), 0, 2), (Enqueue('y'), 3, 5), (Dequeue('y'), 4, 8)];
    assert_eq!(wrong(&Queue, &calls(second)), Some(2));
    // H3: x comes out while it is still being put in.
    assert_eq!(wrong(&Queue, &calls([(Enqueue('x'), 0, 6), (Dequeue('x'), 2, 4)])), None);
    // H4: y comes out twice.
    let fourth = [(Enqueue('x'), 0, 4), (Enqueue('y'), 1, 5), (Dequeue('y'), 6, 8), (Dequeue('y'), 7, 9)];
    assert_eq!(wrong(&Queue, &calls(fourth)), Some(3));
}

/// The register histories that Jepsen's analyses are about.
#[test]
fn stale_lost_and_dirty_reads_of_a_register() {
    use register::Action::{NotSet, Read, Set, Write};
    let of = |all: &[(register::Action<u32>, u64, u64)]| wrong(&Register::new(), &calls(all.to_vec()));
    // Both orders of writes under way at the same time, but one of them only.
    assert_eq!(of(&[(Write(1), 0, 5), (Write(2), 1, 6), (Read(1), 7, 8)]), None);
    assert_eq!(of(&[(Write(1), 0, 5), (Write(2), 1, 6), (Read(2), 7, 8)]), None);
    assert_eq!(of(&[(Write(1), 0, 5), (Write(2), 1, 6), (Read(2), 7, 8), (Read(1), 9, 10)]), Some(3));
    // The classic: an acknowledged write is there, and a replica that lags behind is read afterwards.
    assert_eq!(of(&[(Write(1), 0, 1), (Write(2), 2, 3), (Read(2), 4, 5), (Read(1), 6, 7)]), Some(3));
    // Sequentially consistent, and not linearizable: new, then old, within one write.
    assert_eq!(of(&[(Write(1), 0, 9), (Read(1), 1, 3), (Read(0), 4, 6)]), Some(2));
    assert_eq!(of(&[(Write(1), 0, 9), (Read(0), 1, 3), (Read(1), 4, 6)]), None);
    // A write without an answer may come late, or never, and once only.
    assert_eq!(of(&[(Write(1), 0, 0), (Read(0), 1, 2), (Read(0), 50, 51), (Read(1), 70, 71)]), None);
    let twice = [(Write(1), 0, 0), (Read(1), 1, 2), (Write(2), 3, 4), (Read(2), 5, 6), (Read(1), 7, 8)];
    assert_eq!(of(&twice), Some(4));
    // Of two that compare with the same, one sets.
    let set = |new| Set { expected: 0, new };
    assert_eq!(of(&[(set(1), 0, 5), (set(2), 1, 6)]), Some(1));
    assert_eq!(of(&[(set(1), 0, 5), (NotSet { expected: 0 }, 1, 6), (Read(1), 7, 8)]), None);
    assert_eq!(of(&[(set(1), 0, 2), (set(2), 3, 0), (Read(2), 4, 5)]), Some(2));
}

#[test]
fn a_stock_gives_what_it_has_and_no_more() {
    use counter::Action::{Added, Put, Read, Refused, Taken};
    let of = |all: &[(counter::Action, u64, u64)]| wrong(&Counter::stock(3), &calls(all.to_vec()));
    assert_eq!(of(&[(Taken(2), 0, 5), (Taken(1), 1, 6), (Refused(1), 7, 8)]), None);
    assert_eq!(of(&[(Taken(2), 0, 5), (Taken(2), 1, 6)]), Some(1));
    // Refused although there is enough, whatever came first.
    assert_eq!(of(&[(Taken(2), 0, 5), (Refused(1), 1, 6)]), Some(1));
    // Perhaps it was taken, and only that explains the refusal; it is not there to be taken then.
    assert_eq!(of(&[(Taken(2), 0, 0), (Refused(2), 1, 6)]), None);
    assert_eq!(of(&[(Taken(2), 0, 0), (Refused(2), 1, 6), (Taken(2), 7, 8)]), Some(2));
    // More is put back than was taken.
    assert_eq!(of(&[(Taken(1), 0, 1), (Put(1), 2, 3), (Put(1), 4, 5)]), Some(2));
    assert_eq!(of(&[(Read(3), 0, 1), (Put(1), 2, 0), (Read(3), 4, 5)]), None);
    let of = |all: &[(counter::Action, u64, u64)]| wrong(&Counter::new(0), &calls(all.to_vec()));
    let added = |now| Added { by: 1, now };
    assert_eq!(of(&[(added(2), 0, 5), (added(1), 1, 6), (added(3), 2, 4)]), None);
    assert_eq!(of(&[(added(1), 0, 5), (added(1), 1, 6)]), Some(1));
    // One of the increments that nobody has an answer to took place.
    assert_eq!(of(&[(Put(1), 0, 0), (Put(1), 0, 0), (added(2), 1, 2), (added(4), 3, 4)]), None);
    assert_eq!(of(&[(Put(1), 0, 0), (added(2), 1, 2), (added(4), 3, 4)]), Some(2));
}

#[test]
fn a_lock_has_one_owner_until_it_is_released_or_its_lease_ends() {
    use lock::Action::{Acquired, Denied, NotHeld, Released};
    let lease = |owner, until: u64| Acquired(Holder { owner, until: Some(ms(until)) });
    let held = |owner| Acquired(Holder { owner, until: None });
    let of = |all: Vec<Call<lock::Action<char>>>| wrong(&Lock::new(), &all);
    assert_eq!(
        of(calls([(held('a'), 0, 2), (Denied, 3, 4), (Released('a'), 5, 6), (held('b'), 5, 8)])),
        None
    );
    assert_eq!(of(calls([(held('a'), 0, 2), (held('b'), 3, 4)])), Some(1));
    assert_eq!(of(calls([(held('a'), 0, 2), (Released('b'), 3, 4)])), Some(1));
    assert_eq!(of(calls([(held('a'), 0, 2), (NotHeld('b'), 3, 4), (Denied, 5, 6)])), None);
    // A release without an answer.
    assert_eq!(of(calls([(held('a'), 0, 2), (Released('a'), 3, 0), (held('b'), 5, 6)])), None);
    let leased = |all: Vec<(lock::Action<char>, u64, u64)>| {
        let mut all = calls(all);
        all.push(lease_end(0, 'a', ms(10)));
        of(all)
    };
    assert_eq!(leased(vec![(lease('a', 10), 0, 2), (held('b'), 8, 12)]), None);
    assert_eq!(leased(vec![(lease('a', 10), 0, 2), (held('b'), 8, 9)]), Some(1));
    assert_eq!(leased(vec![(lease('a', 10), 0, 2), (Denied, 11, 12)]), Some(1));
    // Released before its end, which is nothing to the next owner.
    let again = vec![(lease('a', 10), 0, 2), (Released('a'), 3, 4), (held('b'), 5, 6), (Denied, 11, 12)];
    assert_eq!(leased(again), None);
}

/// Tries all orders of all subsets that have all answers in them.
fn is_linearizable_by_force<M: Model>(model: &M, all: &[Call<M::Action>]) -> bool {
    fn go<M: Model>(model: &M, state: &M::State, left: &[&Call<M::Action>]) -> bool {
        if left.iter().all(|call| call.completed.is_none()) {
            return true;
        }
        let first_end = left.iter().filter_map(|call| call.completed).min().unwrap_or(Duration::MAX);
        (0..left.len()).any(|next| {
            let mut rest = left.to_vec();
            let call = rest.remove(next);
            let after = (call.invoked <= first_end).then(|| model.step(state, &call.action)).flatten();
            after.is_some_and(|after| go(model, &after, &rest))
        })
    }
    go(model, &model.initial(), &all.iter().collect::<Vec<_>>())
}

/// The calls that were answered before a moment; the others have no answer yet.
fn until<A: Clone>(all: &[Call<A>], end: Duration) -> Vec<Call<A>> {
    let begun = all.iter().filter(|call| call.invoked <= end);
    let cut = |call: &Call<A>| Call { completed: call.completed.filter(|at| *at <= end), ..call.clone() };
    begun.map(cut).collect()
}

/// The search and the brute force agree, also on the first moment: up to just before it there is an explanation.
fn agrees<M: Model>(model: &M, all: &[Call<M::Action>]) -> Result<(), TestCaseError> {
    match search(model, all, STEPS_MAX) {
        Finding::Linearizable => prop_assert!(is_linearizable_by_force(model, all)),
        Finding::Contradiction(contradiction) => {
            let at = contradiction.at;
            prop_assert_eq!(all[contradiction.call].completed, Some(at));
            prop_assert!(!is_linearizable_by_force(model, &until(all, at)));
            prop_assert!(is_linearizable_by_force(model, &until(all, at - Duration::from_nanos(1))));
        }
        Finding::Undecided { .. } => prop_assert!(false, "undecided"),
    }
    Ok(())
}

/// Up to seven calls of these actions, short and long, some without an answer.
fn few_calls<A: Clone + std::fmt::Debug + 'static>(
    action: impl Strategy<Value = A> + 'static,
) -> impl Strategy<Value = Vec<Call<A>>> {
    let call = (action, 0_u64..12, 1_u64..8, 0..5_u8);
    vec(call, 1..8).prop_map(|all| {
        calls(all.into_iter().map(|(action, invoked, took, answered)| {
            (action, invoked, if answered == 0 { 0 } else { invoked + took })
        }))
    })
}

fn register_action() -> impl Strategy<Value = register::Action<u8>> + Clone {
    use register::Action::{NotSet, Read, Set, Write};
    prop_oneof![
        4 => (0..3_u8).prop_map(Read),
        4 => (0..3_u8).prop_map(Write),
        1 => (0..3_u8, 0..3_u8).prop_map(|(expected, new)| Set { expected, new }),
        1 => (0..3_u8).prop_map(|expected| NotSet { expected }),
    ]
}

fn counter_action() -> impl Strategy<Value = counter::Action> + Clone {
    use counter::Action::{Added, Put, Read, Refused, Taken};
    prop_oneof![
        1 => (0..4_i64).prop_map(Read),
        2 => (1..3_u32).prop_map(Put),
        4 => (1..4_u32).prop_map(Taken),
        3 => (1..4_u32).prop_map(Refused),
        1 => (-1..2_i64, 0..4_i64).prop_map(|(by, now)| Added { by, now }),
    ]
}

fn lock_action() -> impl Strategy<Value = lock::Action<u8>> + Clone {
    use lock::Action::{Acquired, Denied, Expired, NotHeld, Released};
    let holder = |owner: u8| Holder { owner, until: Some(ms(u64::from(owner))) };
    prop_oneof![
        (0..2_u8).prop_map(move |owner| Acquired(holder(owner))),
        (0..2_u8).prop_map(Released),
        (0..2_u8).prop_map(move |owner| Expired(holder(owner))),
        Just(Denied),
        (0..2_u8).prop_map(NotHeld),
    ]
}

/// What clients ask one after the other, with the answers that they get.
fn answers<M: Model>(model: &M, asked: &[M::Action]) -> Vec<M::Action> {
    let mut state = model.initial();
    let mut right = Vec::new();
    for action in asked {
        if let Some(after) = model.step(&state, action) {
            state = after;
            right.push(action.clone());
        }
    }
    right
}

/// Makes a sequential history concurrent: each took place at its moment, and lasted longer. Of some the answer is lost.
fn widened<A: Clone>(all: &[A], width: &[(u64, u64, u8)]) -> Vec<Call<A>> {
    calls(all.iter().zip((1..).map(|place| place * 100)).zip(width).map(
        |((action, moment), (before, after, lost))| {
            let completed = if *lost == 0 { 0 } else { moment + 1 + after };
            (action.clone(), u64::saturating_sub(moment, *before), completed)
        },
    ))
}

fn widths() -> impl Strategy<Value = Vec<(u64, u64, u8)>> {
    vec((0..800_u64, 0..800_u64, 0..10_u8), 60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn registers_agree_with_brute_force(all in few_calls(register_action())) {
        agrees(&Register::new(), &all)?;
    }

    #[test]
    fn counters_agree_with_brute_force(all in few_calls(counter_action())) {
        agrees(&Counter::stock(3), &all)?;
    }

    #[test]
    fn locks_agree_with_brute_force(all in few_calls(lock_action())) {
        agrees(&Lock::new(), &all)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_one_order_explains_is_accepted(
        register in vec(register_action(), 60),
        counter in vec(counter_action(), 60),
        lock in vec(lock_action(), 60),
        widths in widths(),
    ) {
        let calls = widened(&answers(&Register::new(), &register), &widths);
        prop_assert_eq!(wrong(&Register::new(), &calls), None);
        let calls = widened(&answers(&Counter::stock(3), &counter), &widths);
        prop_assert_eq!(wrong(&Counter::stock(3), &calls), None);
        let calls = widened(&answers(&Lock::new(), &lock), &widths);
        prop_assert_eq!(wrong(&Lock::new(), &calls), None);
    }

    /// A write and then a read, both with nothing concurrent to them in the middle of a history that is: the read is
    /// determined. Any other value is rejected, at the moment of that answer.
    #[test]
    fn a_wrong_answer_to_a_determined_operation_is_rejected(
        asked in vec(register_action(), 60),
        widths in widths(),
        place in 0..60_usize,
        written in 0..3_u8,
        read in 0..3_u8,
    ) {
        let mut all = widened(&answers(&Register::new(), &asked), &widths);
        let place = place % (all.len() + 1);
        let middle = place as u64 * 100 + 50;
        for call in &mut all[..place] {
            call.completed = Some(call.completed.unwrap_or(Duration::MAX).min(ms(middle)));
        }
        for call in &mut all[place..] {
            call.invoked = call.invoked.max(ms(middle + 10));
        }
        let write = Call::answered(61, register::Action::Write(written), ms(middle + 1), ms(middle + 2));
        let read_at = all.len() + 1;
        let read_call = Call::answered(62, register::Action::Read(read), ms(middle + 3), ms(middle + 4));
        all.extend([write, read_call]);
        let found = wrong(&Register::new(), &all);
        if read == written {
            // What comes later saw another state than this write has left, or does not care.
            prop_assert!(found.is_none_or(|found| all[found].invoked > ms(middle)));
        } else {
            prop_assert_eq!(found, Some(read_at));
        }
    }
}

/// 20 clients that do not pause: what took the crates longer than anybody waits.
#[test]
fn thousands_of_concurrent_operations_are_decided() {
    use register::Action::{Read, Write};
    let mut random = 1_u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut by_moment = BTreeMap::new();
    for client in 0..20_u64 {
        let mut now = draw(1000);
        for _ in 0..500 {
            let moment = now + 1 + draw(500);
            let end = moment + 1 + draw(500);
            by_moment.insert((moment, client), (now, if draw(10) == 0 { 0 } else { end }, draw(2) == 0));
            now = end + 1;
        }
    }
    let mut value = 0;
    let history = by_moment.into_values().map(|(invoked, completed, writes)| {
        value += u64::from(writes);
        (if writes { Write(value) } else { Read(value) }, invoked, completed)
    });
    let mut all = calls(history);
    assert_eq!(all.len(), 10_000);
    assert_eq!(wrong(&Register::new(), &all), None);
    let read =
        |call: &Call<register::Action<u64>>| matches!(call.action, Read(_)) && call.completed.is_some();
    let stale = all.iter().skip(5_000).position(read).expect("half of them are reads") + 5_000;
    all[stale].action = Read(7);
    assert_eq!(wrong(&Register::new(), &all), Some(stale));
}

#[test]
fn a_violation_names_its_operations_and_its_moment_and_the_first_key_comes_first() {
    use register::Action::{Read, Write};
    let mut registers = Linearizable::new(Register::new());
    for call in calls([(Write(1), 0, 5), (Write(2), 10, 15), (Read(3), 16, 40), (Read(1), 20, 25)]) {
        registers.record("a", call);
    }
    for call in calls([(Read(5), 0, 30)]) {
        registers.record("b", call);
    }
    let mut invariant = Invariant::new("linearizable");
    registers.conclude(&mut invariant);
    let violation = invariant.result().first_violation.expect("a stale read");
    assert_eq!((violation.at_s, violation.operations), (0.025, vec![1, 3]));
    let expected = "a: the answer Read(1) to operation 3 is wrong, since it was 2 by operation 1";
    assert_eq!(violation.what, expected);
}

#[test]
fn what_was_not_decided_has_not_held() {
    use counter::Action::{Refused, Taken};
    // Any of a million subsets may have been taken before the refusal.
    let taken = (0..20).map(|place| (Taken(1 << place), 0, 1_000));
    let refused = (0..20).map(|place| (Refused(1 << place), 0, 900 + place));
    let mut stock = Linearizable::new(Counter::stock(1 << 21)).within(10_000);
    for call in calls(taken.chain(refused)) {
        stock.record("stock", call);
    }
    let mut invariant = Invariant::new("linearizable");
    stock.conclude(&mut invariant);
    let result = invariant.result();
    assert!(!result.held && result.first_violation.is_some_and(|first| first.what.contains("not decided")));
}
