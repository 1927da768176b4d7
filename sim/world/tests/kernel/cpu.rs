//! Cores: work queues for them as the theory of queues says.

use std::time::Duration;

use world::host::Host;
use world::sim;
use world::{cpu, host, rand, task, time};

use crate::support::simulate;

const MS: Duration = Duration::from_millis(1);

fn machine(cores: usize) -> Host {
    let machine = host::add("machine", || async {});
    machine.set_cores(cores);
    machine
}

/// Works on a host; gives the moment of its end.
fn work_on(machine: Host, duration: Duration) -> task::JoinHandle<Duration> {
    machine.spawn(async move {
        cpu::work(duration).await;
        sim::elapsed()
    })
}

/// Mean wait, in units of the service time, of Poisson arrivals that each work for the same time.
fn mean_wait(cores: usize, utilisation: f64, jobs: u64) -> f64 {
    let waited = simulate(move || async move {
        let machine = machine(cores);
        let mean_ns = 1e6 / (utilisation * cores as f64);
        for _ in 0..jobs {
            // A draw of the exponential distribution. Its last bits decide nothing here.
            time::sleep(Duration::from_nanos((-(1.0 - rand::f64()).ln() * mean_ns) as u64)).await;
            drop(machine.spawn(cpu::work(MS)));
        }
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(cpu::usages(), [(machine, cpu::usage(machine))]);
        let usage = cpu::usage(machine);
        assert_eq!((usage.started, usage.running, usage.waiting), (jobs, 0, 0));
        assert_eq!(usage.busy, MS * jobs as u32);
        usage.waited
    });
    waited.as_secs_f64() / jobs as f64 / MS.as_secs_f64()
}

/// Pollaczek and Khinchine: ρ / 2(1 − ρ) service times on one core; on several, from Crommelin's series (1932).
#[test]
fn waiting_times_are_those_of_the_queue_with_fixed_service_times() {
    for (cores, utilisation, expected) in [(1, 0.5, 0.5), (1, 0.8, 2.0), (2, 0.8, 0.9033), (4, 0.8, 0.3861)] {
        let measured = mean_wait(cores, utilisation, 200_000);
        assert!((measured / expected - 1.0).abs() < 0.04, "{cores} cores at {utilisation}: {measured}");
    }
}

#[test]
fn work_is_done_in_the_order_of_arrival() {
    simulate(|| async {
        let machine = machine(2);
        let mut ends = Vec::new();
        for duration in [4, 1, 2, 3] {
            ends.push(work_on(machine, MS * duration));
            // The scheduler chooses among ready tasks: let each come in its turn.
            time::sleep(Duration::from_nanos(1)).await;
        }
        let usage = cpu::usage(machine);
        assert_eq!((usage.running, usage.waiting, usage.cores), (2, 2, 2));
        let mut ended_ms = Vec::new();
        for end in ends {
            ended_ms.push(end.await.expect("ends").as_micros() / 1000);
        }
        assert_eq!(ended_ms, [4, 1, 3, 6]);
    });
}

#[test]
fn a_change_of_speed_reaches_work_under_way() {
    simulate(|| async {
        let machine = machine(1);
        let (first, second) = (work_on(machine, MS * 10), work_on(machine, MS * 10));
        time::sleep(MS * 4).await;
        machine.set_speed(0.5);
        time::sleep(MS * 12).await;
        // 4 ms at full speed, 12 ms at half speed: both together have 10 ms left, at a quarter.
        machine.set_speed(0.25);
        let mut ends = [first.await.expect("ends"), second.await.expect("ends")];
        ends.sort();
        assert_eq!(ends, [MS * 16, MS * 56]);
        assert_eq!(cpu::usage(machine).busy, MS * 56);
        let third = work_on(machine, MS * 10);
        time::sleep(MS * 20).await;
        machine.set_speed(5.0);
        assert_eq!(third.await, Ok(MS * 77), "half of it was left");
    });
}

#[test]
fn who_gives_up_leaves_the_queue_or_the_core() {
    simulate(|| async {
        let machine = machine(1);
        let running = work_on(machine, MS * 100);
        time::sleep(MS).await;
        let waiting = work_on(machine, MS * 100);
        time::sleep(MS).await;
        let third = work_on(machine, MS);
        time::sleep(MS).await;
        waiting.abort();
        assert_eq!(cpu::usage(machine).waiting, 1);
        time::sleep(MS).await;
        running.abort();
        assert_eq!(third.await, Ok(MS * 5));
        assert_eq!(cpu::usage(machine).busy, MS * 5);
    });
}

#[test]
fn more_cores_start_who_waits_and_fewer_finish_what_runs() {
    simulate(|| async {
        let machine = machine(1);
        let work: Vec<_> = (0..4).map(|_| work_on(machine, MS * 10)).collect();
        time::sleep(MS).await;
        machine.set_cores(3);
        time::sleep(MS).await;
        assert_eq!(cpu::usage(machine).running, 3);
        machine.set_cores(1);
        let mut ends = Vec::new();
        for work in work {
            ends.push(work.await.expect("ends"));
        }
        ends.sort();
        assert_eq!(ends, [MS * 10, MS * 11, MS * 11, MS * 21]);
    });
}

#[test]
fn a_crash_frees_the_cores() {
    simulate(|| async {
        let machine = machine(1);
        let lost = [work_on(machine, MS * 50), work_on(machine, MS * 50)];
        time::sleep(MS).await;
        machine.crash();
        for work in lost {
            work.await.expect_err("is gone with its host");
        }
        assert_eq!((cpu::usage(machine).running, cpu::usage(machine).waiting), (0, 0));
        machine.boot();
        assert_eq!(work_on(machine, MS).await, Ok(MS * 2));
    });
}
