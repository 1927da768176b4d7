//! What a running simulation shows to other threads: its time, and the task that it is busy with.
#![allow(unsafe_code)]

use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::common::hosts::HostId;

/// The simulated time of a running simulation, readable from another thread.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Running>);

/// All written by the simulation's thread alone, and without ordering: readers only look whether it moves.
#[derive(Debug, Default)]
struct Running {
    now_ns: AtomicU64,
    polls: AtomicU64,
    host: AtomicU32,
    /// Where in the source the task was started; null before the first.
    site: AtomicPtr<Location<'static>>,
    host_names: Mutex<Vec<String>>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    host: u32,
    site: *mut Location<'static>,
}

impl Progress {
    /// Simulated time since the start.
    pub fn simulated(&self) -> Duration {
        Duration::from_nanos(self.0.now_ns.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn set(&self, now_ns: u64) {
        self.0.now_ns.store(now_ns, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn set_polls(&self, polls: u64) {
        self.0.polls.store(polls, Ordering::Relaxed);
    }

    /// Notes whose code runs from now on.
    #[inline]
    pub(crate) fn set_turn(&self, host: HostId, site: &'static Location<'static>) {
        self.return_turn(Turn { host: host.0, site: ptr::from_ref(site).cast_mut() });
    }

    #[inline]
    pub(crate) fn return_turn(&self, turn: Turn) {
        self.0.host.store(turn.host, Ordering::Relaxed);
        self.0.site.store(turn.site, Ordering::Relaxed);
    }

    /// Whose code runs.
    #[inline]
    pub(crate) fn turn(&self) -> Turn {
        Turn { host: self.0.host.load(Ordering::Relaxed), site: self.0.site.load(Ordering::Relaxed) }
    }

    /// Changes as long as the simulation moves on.
    pub(super) fn beat(&self) -> (u64, u64) {
        (self.0.polls.load(Ordering::Relaxed), self.0.now_ns.load(Ordering::Relaxed))
    }

    /// Host and place of start of the task that is busy, for reports.
    pub(super) fn busy_task(&self) -> (String, String) {
        let turn = self.turn();
        // SAFETY: the pointer is null or was made from a `&'static Location`.
        let site = unsafe { turn.site.as_ref() };
        let Some(site) = site else {
            return ("director".to_owned(), "the start of the simulation".to_owned());
        };
        let host = self.host_names().get(turn.host as usize).cloned().unwrap_or_default();
        (host, site.to_string())
    }

    fn host_names(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.host_names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A simulation starts: nothing of an earlier one is left.
    pub(crate) fn restart(&self) {
        self.host_names().clear();
        self.set(0);
        self.set_polls(0);
        self.return_turn(Turn { host: 0, site: ptr::null_mut() });
    }

    /// Learns the name of the next host.
    pub(crate) fn add_host(&self, name: &str) {
        self.host_names().push(name.to_owned());
    }
}
