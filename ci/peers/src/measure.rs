//! Clocks, memory, and the line that is printed.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What one process measured.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    /// The figure; what it counts is the workload's matter.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// Processor time of the measured part.
    pub(crate) cpu_s: f64,
    /// Time of the measured part: above `cpu_s` when other processes took the processor.
    pub(crate) wall_s: f64,
    /// Simulated time of the whole run.
    pub(crate) simulated_s: f64,
}

/// Processor time of this process, all threads.
///
/// Simulations neither wait nor use a second thread at the same time, so on an idle machine this is the time that
/// passes; on a shared one it leaves out what others took. Read by system call: the C library's function is simulated
/// on the threads of kernel and madsim.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs a simulation that says how much simulated time passed; `figure` makes the value of its processor time in
/// seconds.
#[expect(clippy::disallowed_methods, reason = "measures the machine's time around a simulation")]
pub(crate) fn whole(
    unit: &'static str,
    simulate: impl FnOnce() -> Duration,
    figure: impl FnOnce(f64) -> f64,
) -> Measurement {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let simulated_s = simulate().as_secs_f64();
    let (cpu_s, wall_s) = ((cpu_time() - cpu).as_secs_f64(), wall.elapsed().as_secs_f64());
    Measurement { value: figure(cpu_s), unit, cpu_s, wall_s, simulated_s }
}

/// Resident memory of this process, in bytes.
///
/// `/proc/self/smaps_rollup` walks the page tables; the counters behind `statm` lag by up to some hundred KiB since
/// Linux 6.2.
pub(crate) fn resident_bytes() -> u64 {
    let path = "/proc/self/smaps_rollup";
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_else(|| panic!("{path} has no resident size:\n{text}")) * 1024
}
