//! What goes on beside the server: the append-only file is written and synced, and snapshots are taken when they are
//! due. It does what Redis does before it waits for events, and ten times a second.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use world::{
    disk,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    APPEND_ONLY_DIRECTORY, Fatal, FsyncPolicy, Purpose, SavePoint, TEMPORARY_BASE, TEMPORARY_DUMP_OF_CHILD,
    append::{AppendLog, leave_base},
    files::write_snapshot,
    now_s, save_dump,
    shared::{Child, Ended, Shared, State},
};

/// How often Redis looks for something to do: `hz`, ten times a second.
const TICK: Duration = Duration::from_millis(100);
/// How often at least it is looked whether a snapshot is due, while there is something to save: the clock may jump.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// After a snapshot has failed, the next one is not tried for more than so many seconds.
const SAVE_RETRY_S: u64 = 5;
/// After so many failed rewrites in a row, the next one is put off.
const FAILED_REWRITES: u64 = 3;
/// By a minute, by two, by four, and so on up to this.
const LONGEST_DELAY_MINUTES: u64 = 60;

/// Puts off automatic rewrites after failures.
#[derive(Debug, Default)]
struct RewriteLimit {
    delay_minutes: u64,
    until_s: Option<u64>,
}

impl RewriteLimit {
    fn holds(&mut self, failures: u64, now_s: u64) -> bool {
        if failures < FAILED_REWRITES {
            *self = Self::default();
            return false;
        }
        if let Some(until_s) = self.until_s {
            if now_s < until_s {
                return true;
            }
            self.until_s = None;
            return false;
        }
        self.delay_minutes = (self.delay_minutes * 2).clamp(1, LONGEST_DELAY_MINUTES);
        self.until_s = Some(now_s.saturating_add(self.delay_minutes * 60));
        true
    }
}

/// The part of [`super::Persistence`] that runs by itself.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    log: Option<AppendLog>,
    started: Instant,
    child: Option<JoinHandle<()>>,
    /// Changes that the snapshot under way includes.
    changes_in_snapshot: u64,
    last_save_try_s: u64,
    limit: RewriteLimit,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, log: Option<AppendLog>) -> Self {
        Self {
            shared,
            log,
            started: Instant::now(),
            child: None,
            changes_in_snapshot: 0,
            last_save_try_s: 0,
            limit: RewriteLimit::default(),
        }
    }

    /// Works until [`Persistence::close`](super::Persistence::close). `snapshot` is called between atomic units and encodes the data as it
    /// is then, all that was appended included; what is appended next starts with a `SELECT`.
    ///
    /// # Errors
    /// When Redis exits: it can keep its promise no more. No reply goes out after that.
    pub async fn run(mut self, mut snapshot: impl FnMut(Purpose) -> Vec<u8> + Send) -> Result<(), Fatal> {
        let end = self.work(&mut snapshot).await;
        self.shared.advance(|state| {
            state.has_failed = end.is_err();
            state.has_ended = true;
        });
        end
    }

    async fn work(&mut self, snapshot: &mut (impl FnMut(Purpose) -> Vec<u8> + Send)) -> Result<(), Fatal> {
        loop {
            self.turn(snapshot).await?;
            if self.shared.lock().is_closing {
                return self.close().await;
            }
            self.rest().await;
        }
    }

    async fn turn(&mut self, snapshot: &mut (impl FnMut(Purpose) -> Vec<u8> + Send)) -> Result<(), Fatal> {
        while let Some(ended) = self.take_ended() {
            self.child = None;
            match ended {
                Ended::Save { is_ok } => self.end_save(is_ok),
                Ended::Rewrite { base } => self.end_rewrite(base).await,
            }
        }
        if let Some(child) = self.next_child() {
            match child {
                Child::Save => self.start_save(snapshot),
                Child::Rewrite => self.start_rewrite(snapshot).await?,
            }
        }
        if let Some(log) = &mut self.log {
            log.flush(&self.shared, false).await?;
        }
        Ok(())
    }

    fn take_ended(&self) -> Option<Ended> {
        self.shared.lock().ended.pop_front()
    }

    async fn close(&mut self) -> Result<(), Fatal> {
        let directory = self.shared.lock().config.directory.clone();
        if let Some(child) = self.child.take() {
            child.abort();
            for name in [TEMPORARY_BASE, TEMPORARY_DUMP_OF_CHILD] {
                // Only one of them is there.
                let _ = disk::remove_file(directory.join(name)).await;
            }
        }
        self.shared.lock().child = None;
        match &mut self.log {
            Some(log) => log.close(&self.shared).await,
            None => Ok(()),
        }
    }

    /// The child that is to be started now, if any.
    fn next_child(&mut self) -> Option<Child> {
        let now_s = now_s();
        let mut state = self.shared.lock();
        match state.child {
            Some((child, true)) => return Some(child),
            Some((_, false)) => return None,
            None => {}
        }
        let may_rewrite = self.log.is_some();
        let failures = state.failed_rewrites;
        let child = if may_rewrite && state.is_rewrite_scheduled && !self.limit.holds(failures, now_s) {
            Child::Rewrite
        } else if self.save_due_s(&state).is_some_and(|due_s| due_s <= now_s) {
            Child::Save
        } else if may_rewrite && has_outgrown(&state) && !self.limit.holds(failures, now_s) {
            Child::Rewrite
        } else {
            return None;
        };
        state.request(child);
        Some(child)
    }

    /// When the next snapshot is due, in seconds since the Unix epoch, if there is nothing else to come.
    fn save_due_s(&self, state: &State) -> Option<u64> {
        let is_reached = |point: &&SavePoint| state.changes >= point.changes;
        let of = |point: &SavePoint| state.last_save_s.saturating_add(point.seconds).saturating_add(1);
        let by_points = state.config.save.iter().filter(is_reached).map(of).min();
        let scheduled = state.is_save_scheduled.then_some(0);
        let retry_s = if state.last_save_ok { 0 } else { self.last_save_try_s + SAVE_RETRY_S + 1 };
        by_points.into_iter().chain(scheduled).min().map(|due_s| due_s.max(retry_s))
    }

    fn start_save(&mut self, snapshot: &mut impl FnMut(Purpose) -> Vec<u8>) {
        let directory = {
            let mut state = self.shared.lock();
            state.child = Some((Child::Save, false));
            state.is_save_scheduled = false;
            state.status.saves += 1;
            self.changes_in_snapshot = state.changes;
            state.config.directory.clone()
        };
        self.last_save_try_s = now_s();
        let bytes = snapshot(Purpose::Dump);
        let shared = Arc::clone(&self.shared);
        self.child = Some(world::task::spawn(async move {
            let is_ok = save_dump(&directory, TEMPORARY_DUMP_OF_CHILD, &bytes).await.is_ok();
            shared.end(Ended::Save { is_ok });
        }));
    }

    fn end_save(&mut self, is_ok: bool) {
        let mut state = self.shared.lock();
        state.child = None;
        state.last_save_ok = is_ok;
        if is_ok {
            state.changes = state.changes.saturating_sub(self.changes_in_snapshot);
            state.last_save_s = now_s();
        }
    }

    async fn start_rewrite(&mut self, snapshot: &mut impl FnMut(Purpose) -> Vec<u8>) -> Result<(), Fatal> {
        let has_begun = match &mut self.log {
            Some(log) => log.begin_increment(&self.shared).await?,
            None => true,
        };
        let directory = {
            let mut state = self.shared.lock();
            if !has_begun {
                state.child = None;
                state.last_rewrite_ok = false;
                return Ok(());
            }
            state.child = Some((Child::Rewrite, false));
            state.is_rewrite_scheduled = false;
            state.status.rewrites += 1;
            state.config.directory.clone()
        };
        let bytes = snapshot(Purpose::AofBase);
        let shared = Arc::clone(&self.shared);
        self.child = Some(world::task::spawn(async move {
            let written = write_snapshot(&directory.join(TEMPORARY_BASE), &bytes).await;
            shared.end(Ended::Rewrite { base: written.is_ok().then_some(bytes.len() as u64) });
        }));
        Ok(())
    }

    async fn end_rewrite(&mut self, base: Option<u64>) {
        let directory = self.shared.lock().config.directory.clone();
        let temporary = directory.join(TEMPORARY_BASE);
        let is_ok = match (base, &mut self.log) {
            (None, _) => false,
            (Some(base), Some(log)) => log.take_base(&self.shared, &temporary, base).await,
            (Some(_), None) => leave_base(&directory.join(APPEND_ONLY_DIRECTORY), &temporary).await.is_ok(),
        };
        if !is_ok {
            // It may be gone already.
            let _ = disk::remove_file(&temporary).await;
        }
        let mut state = self.shared.lock();
        state.child = None;
        state.last_rewrite_ok = is_ok;
        state.failed_rewrites = if is_ok { 0 } else { state.failed_rewrites + 1 };
    }

    /// Waits for something to do.
    async fn rest(&self) {
        match self.next_look() {
            None => self.shared.work.notified().await,
            Some(at) => tokio::select! {
                biased;
                () = self.shared.work.notified() => {}
                () = sleep_until(at) => {}
            },
        }
    }

    /// When there may be something to do even if nobody says so.
    fn next_look(&self) -> Option<Instant> {
        let state = self.shared.lock();
        let is_pending = state.postponed_since_s.is_some()
            || state.write_error.is_some()
            || (state.config.fsync == FsyncPolicy::EverySecond
                && self.log.as_ref().is_some_and(AppendLog::is_unsynced));
        if is_pending {
            return Some(self.tick_after(Duration::ZERO));
        }
        if state.child.is_some() {
            return None;
        }
        let wants_rewrite = self.log.is_some() && (state.is_rewrite_scheduled || has_outgrown(&state));
        let rewrite_s = wants_rewrite.then(|| self.limit.until_s.unwrap_or(0));
        let due_s = self.save_due_s(&state).into_iter().chain(rewrite_s).min()?;
        let now = world::time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(self.tick_after(Duration::from_secs(due_s).saturating_sub(now).min(LONGEST_REST)))
    }

    /// The first tick that is more than so long from now.
    fn tick_after(&self, wait: Duration) -> Instant {
        let ticks = (self.started.elapsed() + wait).as_nanos() / TICK.as_nanos() + 1;
        self.started + TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

/// Has the append-only file grown so much that it is to be rewritten?
fn has_outgrown(state: &State) -> bool {
    let (config, status) = (&state.config, &state.status);
    let base = u128::from(status.base_size.max(1));
    let growth = (u128::from(status.size) * 100 / base).saturating_sub(100);
    config.rewrite_percentage > 0
        && status.size > config.rewrite_min_bytes
        && growth >= u128::from(config.rewrite_percentage)
}
