//! The device under a file system: how long it takes, and how requests queue for it.

use std::time::Duration;

use rand::Rng;

use crate::net::Latency;

/// Speed of a device.
///
/// A request first waits for its turn, then takes its share of the device (the larger of one operation at `iops` and its
/// bytes at `bytes_per_second`), and then the latency of the way there and back, during which the next requests take
/// their turns. So a single caller sees the latency, and many see the limits, as the data sheets of cloud disks state
/// them.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Time of one read, without waiting.
    pub read: Latency,
    /// Time until the device has one write for good, without waiting.
    pub write: Latency,
    /// Operations per second at most, at least 1.
    pub iops: u64,
    /// Bytes per second at most, at least 1.
    pub bytes_per_second: u64,
}

impl Device {
    /// A network disk on flash as clouds attach it to virtual machines.
    ///
    /// 50 000 operations and 350 MB a second at most, 0.2 ms a write on average: Alibaba Cloud ESSD PL1
    /// (alibabacloud.com/help/en/ecs/user-guide/essds, read in 2024). Data sheets name no tail; the one here is ours.
    pub fn cloud_ssd() -> Device {
        let latency = Latency::from_quantiles(&[
            (0.0, Duration::from_micros(120)),
            (0.5, Duration::from_micros(190)),
            (0.9, Duration::from_micros(270)),
            (0.99, Duration::from_micros(600)),
            (0.999, Duration::from_millis(3)),
            (1.0, Duration::from_millis(20)),
        ]);
        Device { read: latency.clone(), write: latency, iops: 50_000, bytes_per_second: 350_000_000 }
    }
}

impl Default for Device {
    fn default() -> Device {
        Device::cloud_ssd()
    }
}

/// What one system call asks of the device.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    /// Pages that are not in memory, read in one go.
    Read { bytes: u64 },
    /// Data written in the background.
    Write { bytes: u64 },
    /// Data and so many writes that each wait for the one before.
    Flush { bytes: u64, steps: u32 },
}

/// The device's queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    free_at_ns: u64,
}

impl Queue {
    /// Enqueues a request; returns when it will be done.
    pub(super) fn submit(
        &mut self,
        device: &Device,
        slowness: f64,
        request: Request,
        now_ns: u64,
        random: &mut impl Rng,
    ) -> u64 {
        let (bytes, steps, latency) = match request {
            Request::Read { bytes } => (bytes, 1, &device.read),
            Request::Write { bytes } => (bytes, 1, &device.write),
            Request::Flush { bytes, steps } => (bytes, steps, &device.write),
        };
        let transfer_ns = u128::from(bytes) * 1_000_000_000 / u128::from(device.bytes_per_second.max(1));
        let transfer_ns = u64::try_from(transfer_ns).unwrap_or(u64::MAX);
        let operations_ns = u64::from(steps).saturating_mul(1_000_000_000 / device.iops.max(1));
        let way_ns: u64 = (0..steps).map(|_| latency.draw(random)).sum();
        let busy_ns = slowed(transfer_ns.max(operations_ns), slowness);
        self.free_at_ns = self.free_at_ns.max(now_ns).saturating_add(busy_ns);
        self.free_at_ns.saturating_add(slowed(way_ns, slowness))
    }

    /// Forgets all requests: the machine was off.
    pub(super) fn clear(&mut self) {
        self.free_at_ns = 0;
    }
}

/// Saturates: a float beyond the range becomes the largest integer.
fn slowed(ns: u64, slowness: f64) -> u64 {
    if slowness == 1.0 { ns } else { (ns as f64 * slowness) as u64 }
}
