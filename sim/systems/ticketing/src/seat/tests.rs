//! The scripts of the seat locks, on a simulated Redis.
use std::time::Duration;

use crate::{
    api::{AboutOrder, GiveBack, LockOutcome, LockSeats, Moved},
    keys,
    service::testing::{config, on_sale, order, shard, trip},
};

use super::{locks::Locks, map::label};

fn lock(order: u64, from: u32, to: u32, seats: u32) -> LockSeats {
    LockSeats { order: self::order(order), trip: trip(from, to), seats, expires_ms: u64::MAX >> 12 }
}

fn give_back(order: u64, even_sold: bool) -> GiveBack {
    GiveBack { order: self::order(order), trip: trip(0, 4), even_sold }
}

fn about(order: u64) -> AboutOrder {
    AboutOrder { order: self::order(order) }
}

fn locked(labels: &[u32]) -> LockOutcome {
    LockOutcome::Locked(labels.iter().map(|number| label(*number)).collect())
}

fn locks_test<F>(seats: u32, test: impl FnOnce(Locks) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    on_sale(config(seats), move |instance| test(Locks::new(&instance)));
}

async fn expiring(locks: &Locks) -> Vec<String> {
    let command = redis::cmd("ZRANGE").arg(keys::work(shard(), keys::SEAT_LOCK_EXPIRY)).arg(0).arg(-1).take();
    locks.instance.store.command(&command).await.expect("an answer")
}

#[test]
fn a_seat_serves_trips_that_do_not_overlap() {
    locks_test(2, |locks| async move {
        assert_eq!(locks.lock(&lock(1, 0, 2, 1)).await, Ok(locked(&[0])));
        assert_eq!(locks.lock(&lock(2, 2, 4, 2)).await, Ok(locked(&[0, 1])));
        assert_eq!(locks.lock(&lock(3, 1, 2, 1)).await, Ok(locked(&[1])));
        // Idempotent by order.
        assert_eq!(locks.lock(&lock(2, 2, 4, 2)).await, Ok(locked(&[0, 1])));
        assert_eq!(expiring(&locks).await, [order(1), order(2), order(3)].map(|order| order.to_string()));
    });
}

#[test]
fn free_segments_of_different_seats_make_no_trip() {
    locks_test(2, |locks| async move {
        for (order, from, to, seat) in [(1, 0, 2, 0), (2, 0, 2, 1), (3, 2, 4, 0), (4, 2, 4, 1)] {
            assert_eq!(locks.lock(&lock(order, from, to, 1)).await, Ok(locked(&[seat])));
        }
        assert_eq!(locks.free(&give_back(1, false)).await, Ok(Moved::Done));
        assert_eq!(locks.free(&give_back(4, false)).await, Ok(Moved::Done));
        // Every segment has a free seat, but it is not the same one.
        assert_eq!(locks.lock(&lock(5, 0, 4, 1)).await, Ok(LockOutcome::Fragmented));
        assert_eq!(locks.lock(&lock(6, 1, 3, 1)).await, Ok(LockOutcome::Fragmented));
        assert_eq!(locks.lock(&lock(7, 0, 2, 2)).await, Ok(LockOutcome::Fragmented));
        assert_eq!(locks.lock(&lock(8, 2, 4, 1)).await, Ok(locked(&[1])));
    });
}

#[test]
fn every_seat_is_found_wherever_the_search_begins() {
    locks_test(100, |locks| async move {
        for number in 0..100 {
            assert_eq!(locks.lock(&lock(u64::from(number), 0, 4, 1)).await, Ok(locked(&[number])));
        }
        assert_eq!(locks.lock(&lock(1_000, 0, 4, 1)).await, Ok(LockOutcome::Fragmented));
        assert_eq!(locks.free(&give_back(3, false)).await, Ok(Moved::Done));
        assert_eq!(locks.lock(&lock(1_001, 0, 4, 1)).await, Ok(locked(&[3])));
    });
}

#[test]
fn a_late_pick_finds_the_tombstone() {
    locks_test(1, |locks| async move {
        assert_eq!(locks.free(&give_back(1, false)).await, Ok(Moved::Done));
        assert_eq!(locks.lock(&lock(1, 0, 4, 1)).await, Ok(LockOutcome::Freed));
        assert_eq!(locks.ticket(&about(1)).await, Ok(Moved::Refused));
        assert_eq!(locks.lock(&lock(2, 0, 4, 1)).await, Ok(locked(&[0])));
    });
}

#[test]
fn a_ticketed_seat_is_freed_only_by_compensation() {
    locks_test(1, |locks| async move {
        assert_eq!(locks.lock(&lock(1, 0, 4, 1)).await, Ok(locked(&[0])));
        for _ in 0..2 {
            assert_eq!(locks.ticket(&about(1)).await, Ok(Moved::Done));
            assert!(expiring(&locks).await.is_empty());
        }
        assert_eq!(locks.free(&give_back(1, false)).await, Ok(Moved::Refused));
        assert_eq!(locks.lock(&lock(2, 0, 1, 1)).await, Ok(LockOutcome::Fragmented));
        assert_eq!(locks.free(&give_back(1, true)).await, Ok(Moved::Done));
        assert_eq!(locks.lock(&lock(3, 0, 1, 1)).await, Ok(locked(&[0])));
    });
}

#[test]
fn a_lock_expires_in_its_time() {
    locks_test(1, |locks| async move {
        let now = world::time::system_now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let expires_ms = (now + Duration::from_secs(5)).as_millis() as u64;
        let outcome = locks.lock(&LockSeats { expires_ms, ..lock(1, 0, 4, 1) }).await;
        assert_eq!(outcome, Ok(locked(&[0])));
        locks.expire(order(1)).await.expect("an answer");
        assert_eq!(expiring(&locks).await, [order(1).to_string()]);
        world::time::sleep(Duration::from_secs(6)).await;
        locks.expire(order(1)).await.expect("an answer");
        assert!(expiring(&locks).await.is_empty());
        assert_eq!(locks.ticket(&about(1)).await, Ok(Moved::Refused));
        assert_eq!(locks.lock(&lock(2, 0, 4, 1)).await, Ok(locked(&[0])));
    });
}
