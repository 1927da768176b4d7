//! A node of the cluster: its connections, and when to try it again after they could not be made.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use world::time::Instant;

use super::{Backoff, Options};
use crate::redis::client::Client;

impl Backoff {
    /// How long to wait after so many failures in a row (one at least), spread at random over the upper half of the
    /// interval, so that clients which failed together do not come back together.
    pub(super) fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let delay = self.first.saturating_mul(1 << doublings).min(self.max);
        let half_ns = u64::try_from(delay.as_nanos() / 2).unwrap_or(u64::MAX);
        delay - Duration::from_nanos(world::rand::range(0..half_ns.saturating_add(1)))
    }
}

/// A node that commands are sent to.
#[derive(Debug)]
pub(super) struct Node {
    client: Client,
    backoff: Backoff,
    /// Did the latest connections fail? Spares the lock while all is well.
    is_failing: AtomicBool,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    /// No command is sent before.
    retry_at: Option<Instant>,
}

impl Node {
    pub(super) fn new(address: &str, options: &Options) -> Self {
        Self {
            client: Client::new(address, options.node.clone()),
            backoff: options.backoff,
            is_failing: AtomicBool::new(false),
            failures: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &str {
        self.client.address()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// When commands may be sent again, if that is later than now.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        if !self.is_failing.load(Ordering::Relaxed) {
            return None;
        }
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retry_at.filter(|retry_at| *retry_at > now)
    }

    /// A command could not be sent. Those that failed with the same connection count once.
    pub(super) fn failed(&self, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.retry_at.is_some_and(|retry_at| retry_at > now) {
            return;
        }
        world::reachable!("redis.client.backing-off");
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.retry_at = Some(now + self.backoff.delay(failures.in_a_row));
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// It answered.
    pub(super) fn answered(&self) {
        if self.is_failing.load(Ordering::Relaxed) {
            self.is_failing.store(false, Ordering::Relaxed);
            *self.failures.lock().unwrap_or_else(PoisonError::into_inner) = Failures::default();
        }
    }
}
