//! What the server, the driver and their background tasks share.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Config, append::AppendLog, now_s};

/// What a child process does. There is one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// Writes `dump.rdb`.
    Save,
    /// Writes the base of the append-only file.
    Rewrite,
}

/// What the driver has to know about a background task that has ended.
#[derive(Debug)]
pub(super) enum Ended {
    Save {
        is_ok: bool,
    },
    /// With the size of the new base.
    Rewrite {
        base: Option<u64>,
    },
}

/// Counters and sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Changes since the last snapshot: `rdb_changes_since_last_save`.
    pub changes: u64,
    /// Is a snapshot being written in the background? `rdb_bgsave_in_progress`.
    pub is_saving: bool,
    /// Did the last one in the background succeed? `rdb_last_bgsave_status`.
    pub last_save_ok: bool,
    /// Snapshots so far, failed ones included: `rdb_saves`.
    pub saves: u64,
    /// Is the append-only file being rewritten? `aof_rewrite_in_progress`.
    pub is_rewriting: bool,
    /// Will it be as soon as possible? `aof_rewrite_scheduled`.
    pub is_rewrite_scheduled: bool,
    /// Did the last rewrite succeed? `aof_last_bgrewrite_status`.
    pub last_rewrite_ok: bool,
    /// Rewrites that were started: `aof_rewrites`.
    pub rewrites: u64,
    /// Rewrites in a row that failed: `aof_rewrites_consecutive_failures`.
    pub failed_rewrites: u64,
    /// Did the last write and the last sync succeed? `aof_last_write_status`.
    pub last_write_ok: bool,
    /// Bytes of all parts of the append-only file: `aof_current_size`.
    pub size: u64,
    /// The same after the last rewrite, or when the server started: `aof_base_size`.
    pub base_size: u64,
    /// Bytes not written yet: `aof_buffer_length`.
    pub buffered: u64,
    /// Is a sync under way in the background? `aof_pending_bio_fsync`.
    pub is_syncing: bool,
    /// Writes that had waited for a sync for two seconds and then did not any more: `aof_delayed_fsync`.
    pub delayed_syncs: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) has_log: bool,
    /// Bytes appended so far.
    pub(super) appended: u64,
    /// The last of them, which are not written yet.
    pub(super) buffer: Vec<u8>,
    /// Replies to what was appended up to here may go out.
    pub(super) answered: u64,
    /// System calls under way on Redis's only thread.
    pub(super) blocked: usize,
    /// Redis has exited.
    pub(super) has_failed: bool,
    pub(super) is_closing: bool,
    /// The driver's run is over.
    pub(super) has_ended: bool,
    /// Since when writing waits for a sync, in seconds since the Unix epoch.
    pub(super) postponed_since_s: Option<u64>,
    pub(super) write_error: Option<String>,
    pub(super) sync_error: Option<String>,
    pub(super) is_syncing: bool,
    pub(super) changes: u64,
    pub(super) last_save_s: u64,
    pub(super) last_save_ok: bool,
    pub(super) is_save_scheduled: bool,
    pub(super) is_rewrite_scheduled: bool,
    pub(super) last_rewrite_ok: bool,
    pub(super) failed_rewrites: u64,
    /// The child, and whether it was only asked for yet.
    pub(super) child: Option<(Child, bool)>,
    pub(super) ended: VecDeque<Ended>,
    /// Holds the counters; the rest is filled in by [`State::report`].
    pub(super) status: Status,
}

impl State {
    pub(super) fn child_is(&self, child: Child) -> bool {
        self.child.is_some_and(|(active, _)| active == child)
    }

    /// Asks the driver for a child.
    pub(super) fn request(&mut self, child: Child) {
        self.child = Some((child, true));
    }

    pub(super) fn report(&self) -> Status {
        Status {
            changes: self.changes,
            is_saving: self.child_is(Child::Save),
            last_save_ok: self.last_save_ok,
            is_rewriting: self.child_is(Child::Rewrite),
            is_rewrite_scheduled: self.is_rewrite_scheduled,
            last_rewrite_ok: self.last_rewrite_ok,
            failed_rewrites: self.failed_rewrites,
            last_write_ok: self.write_error.is_none() && self.sync_error.is_none(),
            buffered: self.buffer.len() as u64,
            is_syncing: self.is_syncing,
            ..self.status
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rung when there is something to do for the driver.
    pub(super) work: Notify,
    /// Rung when those who wait may go on.
    progress: Notify,
}

impl Shared {
    pub(super) fn new(config: Config, log: Option<&AppendLog>) -> Self {
        let sizes = log.map(AppendLog::sizes_at_start).unwrap_or_default();
        let state = State {
            config,
            has_log: log.is_some(),
            appended: 0,
            buffer: Vec::new(),
            answered: 0,
            blocked: 0,
            has_failed: false,
            is_closing: false,
            has_ended: false,
            postponed_since_s: None,
            write_error: None,
            sync_error: None,
            is_syncing: false,
            changes: 0,
            last_save_s: now_s(),
            last_save_ok: true,
            is_save_scheduled: false,
            is_rewrite_scheduled: false,
            last_rewrite_ok: true,
            failed_rewrites: 0,
            child: None,
            ended: VecDeque::new(),
            status: Status { size: sizes.all, base_size: sizes.base, ..Status::default() },
        };
        Self { state: Mutex::new(state), work: Notify::new(), progress: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, commands: &[u8]) {
        let mut state = self.lock();
        if state.has_log && !commands.is_empty() {
            state.buffer.extend_from_slice(commands);
            state.appended += commands.len() as u64;
            self.work.notify_one();
        }
    }

    /// Changes something that others wait for.
    pub(super) fn advance(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.progress.notify_waiters();
    }

    /// Lets replies go out that are about what was appended up to here.
    pub(super) fn answer(&self, appended: u64) {
        if self.lock().answered < appended {
            self.advance(|state| state.answered = appended);
        }
    }

    pub(super) async fn wait_until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = pin!(self.progress.notified());
            changed.as_mut().enable();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// A background task of the driver has ended.
    pub(super) fn end(&self, ended: Ended) {
        self.lock().ended.push_back(ended);
        self.work.notify_one();
    }

    /// Redis's only thread is within a system call for as long as the guard lives.
    pub(super) fn block(self: &Arc<Self>) -> Blocked {
        self.lock().blocked += 1;
        Blocked(Arc::clone(self))
    }
}

/// See [`Shared::block`].
#[derive(Debug)]
pub(super) struct Blocked(Arc<Shared>);

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.advance(|state| state.blocked -= 1);
    }
}
