//! Clocks of hosts: drift, skew, jumps; and what goes by them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use world::host::{self, Host, Shift};
use world::sim;
use world::time::{self, Instant};

use crate::support::simulate;

const EPOCH: Duration = Duration::from_secs(1_767_225_600);
const SECOND: Duration = Duration::from_secs(1);

/// What the clocks show: `Instant`, std's `Instant`, both since the start, and the wall clock since [`EPOCH`].
#[expect(clippy::disallowed_methods, reason = "third-party code reads the standard clocks")]
fn clocks(start: (Instant, std::time::Instant)) -> (Duration, Duration, i128) {
    let wall = time::system_now();
    assert_eq!(wall, SystemTime::now());
    let since = wall.duration_since(UNIX_EPOCH + EPOCH).map(|later| later.as_nanos() as i128);
    let wall_ns = since.unwrap_or_else(|earlier| -(earlier.duration().as_nanos() as i128));
    (Instant::now() - start.0, std::time::Instant::now() - start.1, wall_ns)
}

#[expect(clippy::disallowed_methods, reason = "third-party code reads the standard clocks")]
fn start() -> (Instant, std::time::Instant) {
    (Instant::now(), std::time::Instant::now())
}

async fn clocks_of(host: Host, start: (Instant, std::time::Instant)) -> (Duration, Duration, i128) {
    host.spawn(async move { clocks(start) }).await.expect("reads")
}

#[test]
fn a_clock_that_drifts_shows_other_times_and_its_timers_follow() {
    simulate(|| async {
        let (fast, true_one) = (host::add("fast", || async {}), host::add("true", || async {}));
        let start = start();
        fast.set_clock_drift(100_000_000);
        let slept = fast.spawn(async {
            let before = Instant::now();
            time::sleep(11 * SECOND).await;
            (before.elapsed(), sim::elapsed())
        });
        assert_eq!(slept.await, Ok((11 * SECOND, 10 * SECOND)));
        let eleven = 11 * SECOND;
        assert_eq!(clocks_of(fast, start).await, (eleven, eleven, 11_000_000_000));
        assert_eq!(clocks_of(true_one, start).await, (10 * SECOND, 10 * SECOND, 10_000_000_000));
        assert_eq!(clocks(start), (10 * SECOND, 10 * SECOND, 10_000_000_000));
    });
}

#[test]
fn a_change_of_drift_moves_timers_under_way() {
    simulate(|| async {
        let host = host::add("host", || async {});
        let slept = host.spawn(async {
            time::sleep(10 * SECOND).await;
            sim::elapsed()
        });
        let late = host.spawn(async {
            let late = time::timeout(4 * SECOND, std::future::pending::<()>()).await;
            (late.is_err(), sim::elapsed())
        });
        time::sleep(2 * SECOND).await;
        // 8 seconds are left on a clock at half speed, then 4 on one at one and a half times true speed.
        host.set_clock_drift(-500_000_000);
        time::sleep(8 * SECOND).await;
        host.set_clock_drift(500_000_000);
        assert_eq!(late.await, Ok((true, 6 * SECOND)));
        assert_eq!(slept.await, Ok(10 * SECOND + Duration::from_nanos(2_666_666_667)));
    });
}

#[test]
fn a_jump_moves_the_wall_clock_only() {
    simulate(|| async {
        let host = host::add("host", || async {});
        let start = start();
        let hour = Duration::from_secs(3_600);
        time::sleep(SECOND).await;
        host.jump_clock(Shift::Backward(hour));
        assert_eq!(clocks_of(host, start).await, (SECOND, SECOND, -3_599_000_000_000));
        host.jump_clock(Shift::Forward(2 * hour));
        assert_eq!(clocks_of(host, start).await, (SECOND, SECOND, 3_601_000_000_000));
        host.set_clock_skew(Shift::Backward(SECOND));
        assert_eq!(clocks_of(host, start).await, (SECOND, SECOND, 0));
        assert_eq!(clocks(start), (SECOND, SECOND, 1_000_000_000));
        // Before 1970, and as far as it goes: no clock panics.
        host.jump_clock(Shift::Backward(Duration::MAX));
        let (monotonic, _, wall_ns) = clocks_of(host, start).await;
        assert_eq!(monotonic, SECOND);
        assert!(wall_ns < -9_000_000_000_000_000_000);
    });
}

#[test]
fn a_host_s_own_task_sees_its_clock_change_at_once() {
    simulate(|| async {
        let host = host::add("host", || async {});
        let start = start();
        let seen = host.spawn(async move {
            host::current().set_clock_skew(Shift::Forward(SECOND));
            clocks(start).2
        });
        assert_eq!(seen.await, Ok(1_000_000_000));
    });
}

#[test]
fn the_monotonic_clock_goes_on_over_crash_and_boot() {
    simulate(|| async {
        let host = host::add("host", || async {});
        let start = start();
        host.set_clock_drift(100_000_000);
        time::sleep(5 * SECOND).await;
        host.crash();
        time::sleep(5 * SECOND).await;
        host.boot();
        assert_eq!(clocks_of(host, start).await.0, 11 * SECOND);
    });
}

#[test]
fn the_director_keeps_true_time() {
    simulate(|| async {
        let start = start();
        host::current().set_clock_drift(1_000_000);
        host::current().jump_clock(Shift::Forward(SECOND));
        time::sleep(SECOND).await;
        assert_eq!(clocks(start), (SECOND, SECOND, 1_000_000_000));
        assert_eq!(sim::elapsed(), SECOND);
    });
}
