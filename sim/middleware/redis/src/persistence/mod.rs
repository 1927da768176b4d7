//! What survives a restart: the append-only file and snapshots, on the disk of the current host.
//!
//! The files are those of Redis 7.0, in the same places, and a real `redis-server` loads them: `dump.rdb`, and
//! `appendonlydir/` with a manifest, a base (a snapshot) and increments (commands).
//!
//! # How a server uses it
//!
//! - [`open`] loads what is there into a [`Target`] and gives a [`Persistence`] and a [`Driver`]. It takes the disk's
//!   and the processor's time; a server answers `LOADING` meanwhile.
//! - [`Driver::run`] runs beside the server for as long as that lives. It ends when Redis would exit.
//! - Each atomic unit that changed something is handed to [`Persistence::append`], while the store is locked, and
//!   counted by [`Persistence::changed`]. No reply goes out before [`Persistence::flushed`] lets it, with the offset
//!   that [`Persistence::appended`] had after the last unit that the reply is about: reads must wait as well, for they
//!   may show what is not yet on the disk.
//! - Nothing is run while [`Persistence::unblocked`] waits: Redis's only thread is within a system call.
//! - Commands that write are refused with [`Persistence::refusal`], if there is one.
//!
//! # What a loss of power takes
//!
//! | `appendfsync` | when the process is killed | when the power fails |
//! | --- | --- | --- |
//! | `always` | nothing that was answered | nothing that was answered |
//! | `everysec` | up to 2 s, only while the disk is slow | a second, and as long as a sync takes |
//! | `no` | nothing that was answered | what the system had not written back: 30 s |
//!
//! Of what is lost, nothing is kept that came after. But pages that were on their way can leave a hole of zeros: then
//! a real server refuses to start ("Bad file format"), and so does this one, until [`repair`].
//!
//! # Where it differs from Redis
//!
//! - The directory of the append-only file is synced when it is made; see `create_directory`.
//! - `BGSAVE` and `BGREWRITEAOF` are answered before they start, in the same instant: that they cannot start is seen
//!   in [`Persistence::status`] only.
//! - `appendonly` cannot be switched while a server runs, and append-only files of Redis 6 are not taken over.

mod append;
mod driver;
mod files;
mod load;
mod manifest;
mod replay;
mod shared;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use world::disk;

use self::{
    append::AppendLog,
    files::{create_directory, write_snapshot},
    manifest::Manifest,
    shared::{Child, Shared},
};
pub use self::{
    driver::Driver,
    load::{Repair, StartError, repair, sync_names},
    manifest::ManifestError,
    shared::Status,
};
use crate::rdb::{self, Origin, Snapshot};

/// Name of the snapshot.
const DUMP_FILE: &str = "dump.rdb";
/// Where the parts of the append-only file are.
const APPEND_ONLY_DIRECTORY: &str = "appendonlydir";
/// Unfinished snapshots: of the server's own process and of its child. Redis has their ids in the names.
const TEMPORARY_DUMP: &str = "temp-1.rdb";
const TEMPORARY_DUMP_OF_CHILD: &str = "temp-2.rdb";
const TEMPORARY_BASE: &str = "temp-rewriteaof-1.aof";

const REFUSED_FOR_SNAPSHOT: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
    persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report \
    errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs \
    for details about the RDB error.";

/// When what was written to the append-only file is synced: `appendfsync`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Before any reply goes out.
    Always,
    /// In the background, once a second.
    #[default]
    EverySecond,
    /// When the operating system does.
    No,
}

/// A snapshot is taken when there were so many changes, and the last one is so long ago: a pair of `save`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    /// More than so many seconds ago.
    pub seconds: u64,
    /// At least so many changes.
    pub changes: u64,
}

/// What is kept, where and when. The defaults are those of Redis without a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `dir`: where the files are.
    pub directory: PathBuf,
    /// `appendonly`: is there an append-only file? Then snapshots are not loaded.
    pub append_only: bool,
    /// `appendfsync`.
    pub fsync: FsyncPolicy,
    /// `no-appendfsync-on-rewrite`: no sync while a child writes a snapshot.
    pub no_fsync_on_rewrite: bool,
    /// `aof-load-truncated`: is an incomplete end cut off when loading, or does the server not start?
    pub load_truncated: bool,
    /// `auto-aof-rewrite-percentage`: the append-only file is rewritten when it has grown by so much since; 0: never.
    pub rewrite_percentage: u64,
    /// `auto-aof-rewrite-min-size`: but not when it has at most so many bytes.
    pub rewrite_min_bytes: u64,
    /// `save`.
    pub save: Vec<SavePoint>,
    /// `stop-writes-on-bgsave-error`: are writes refused while snapshots fail?
    pub stop_writes_on_save_error: bool,
    /// Does loading a snapshot keep the keys whose time has come? Replicas wait for their master to remove them.
    pub keep_expired: bool,
}

impl Default for Config {
    fn default() -> Self {
        let save = [(3600, 1), (300, 100), (60, 10_000)];
        Self {
            directory: PathBuf::from("/"),
            append_only: false,
            fsync: FsyncPolicy::default(),
            no_fsync_on_rewrite: false,
            load_truncated: true,
            rewrite_percentage: 100,
            rewrite_min_bytes: 64 * 1024 * 1024,
            save: save.map(|(seconds, changes)| SavePoint { seconds, changes }).into(),
            stop_writes_on_save_error: true,
            keep_expired: false,
        }
    }
}

/// Where what is loaded goes to.
pub trait Target: Send {
    /// Takes a data set in the place of what is there. Called at most once, before any command.
    fn restore(&mut self, snapshot: Snapshot);

    /// Runs a command, as from a client whose replies nobody reads. The commands of a transaction come one after the
    /// other, without `MULTI` and `EXEC`. False if there is no command of that name.
    fn run(&mut self, args: &[&[u8]]) -> bool;
}

/// What a snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `dump.rdb`.
    Dump,
    /// The base of the append-only file: [`Origin::aof_base`] is to be set.
    AofBase,
}

/// Why Redis exits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub String);

/// Loads what is on the disk into `target`, and gets ready to write.
///
/// # Errors
/// When Redis would not start.
pub async fn open(config: Config, target: &mut impl Target) -> Result<(Persistence, Driver), StartError> {
    let mut log = None;
    if config.append_only {
        log = Some(open_log(&config, target).await?);
    } else {
        load::load_dump(&config, target).await?;
    }
    let shared = Arc::new(Shared::new(config, log.as_ref()));
    let driver = Driver::new(Arc::clone(&shared), log);
    Ok((Persistence { shared }, driver))
}

async fn open_log(config: &Config, target: &mut impl Target) -> Result<AppendLog, StartError> {
    let directory = config.directory.join(APPEND_ONLY_DIRECTORY);
    let error = |what, error| StartError::io(what, APPEND_ONLY_DIRECTORY, &error);
    let manifest =
        Manifest::read(&directory).await.map_err(|e| error("can't open the AOF manifest in", e))?;
    let mut manifest = manifest?;
    let mut sizes = load::load_parts(config, &manifest, target).await?;
    let is_new = manifest.is_empty();
    create_directory(&directory).await.map_err(|e| error("Can't open or create append-only dir", e))?;
    if is_new {
        let empty = rdb::encode(
            &Default::default(),
            &Origin { created_s: now_s(), aof_base: true, ..Origin::default() },
        );
        let name = manifest.add_base();
        let temporary = config.directory.join(TEMPORARY_BASE);
        let write_error =
            |e: io::Error| StartError::io("Write error writing append only file on disk", &name, &e);
        write_snapshot(&temporary, &empty).await.map_err(write_error)?;
        disk::rename(&temporary, directory.join(&name)).await.map_err(write_error)?;
        sizes.base = empty.len() as u64;
        sizes.all = sizes.base;
    }
    AppendLog::open(directory, manifest, is_new, sizes).await
}

/// The clock of the host, in whole seconds since the Unix epoch: all that Redis goes by in these matters.
fn now_s() -> u64 {
    let now: Duration = world::time::system_now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_secs()
}

/// The system's words for an error, without its number.
fn strerror(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_owned()
}

/// What a server hands its changes to. Clones are the same.
#[derive(Debug, Clone)]
pub struct Persistence {
    shared: Arc<Shared>,
}

impl Persistence {
    /// Takes what a unit changed, as the commands that are to be replayed: in the protocol, `SELECT`, `MULTI` and
    /// `EXEC` included. Without an append-only file, nothing.
    pub fn append(&self, commands: &[u8]) {
        self.shared.append(commands);
    }

    /// Bytes that were appended so far: what to wait for with [`Persistence::flushed`].
    pub fn appended(&self) -> u64 {
        self.shared.lock().appended
    }

    /// Counts changes to the data set, of which `save` depends.
    pub fn changed(&self, changes: u64) {
        let mut state = self.shared.lock();
        let before = state.changes;
        state.changes = before.saturating_add(changes);
        let is_reached = |point: &SavePoint| before < point.changes && point.changes <= state.changes;
        if state.config.save.iter().any(is_reached) {
            self.shared.work.notify_one();
        }
    }

    /// Waits until replies may go out that are about what was appended up to `offset`: it was written, for
    /// [`FsyncPolicy::Always`] synced, and no system call is under way. When the server has failed, for ever.
    ///
    /// While the disk is slow with [`FsyncPolicy::EverySecond`], what is not written counts as well for up to 2 s.
    pub async fn flushed(&self, offset: u64) {
        self.shared
            .wait_until(|state| !state.has_failed && state.blocked == 0 && state.answered >= offset)
            .await;
    }

    /// Waits while Redis's only thread would be within a system call that takes time: a sync, or a write that waits.
    pub async fn unblocked(&self) {
        self.shared.wait_until(|state| state.blocked == 0).await;
    }

    /// Are writes refused now?
    pub fn is_refusing(&self) -> bool {
        let state = self.shared.lock();
        let snapshots_fail = state.config.stop_writes_on_save_error && !state.config.save.is_empty();
        (snapshots_fail && !state.last_save_ok) || state.write_error.is_some() || state.sync_error.is_some()
    }

    /// Why writes are refused now, if they are: the error to reply.
    pub fn refusal(&self) -> Option<String> {
        let state = self.shared.lock();
        let snapshots_fail = state.config.stop_writes_on_save_error && !state.config.save.is_empty();
        if snapshots_fail && !state.last_save_ok {
            return Some(REFUSED_FOR_SNAPSHOT.to_owned());
        }
        let error = state.write_error.as_ref().or(state.sync_error.as_ref())?;
        Some(format!("MISCONF Errors writing to the AOF file: {error}"))
    }

    /// Changes the configuration: `CONFIG SET`. What is only looked at when a server starts changes nothing more.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.shared.lock().config);
        self.shared.work.notify_one();
    }

    /// `SAVE`: writes a snapshot while everything waits. False if that failed.
    ///
    /// # Errors
    /// The error to reply while a child writes one.
    pub async fn save(&self, snapshot: &[u8]) -> Result<bool, &'static str> {
        let directory = {
            let mut state = self.shared.lock();
            if state.child_is(Child::Save) {
                return Err("ERR Background save already in progress");
            }
            state.status.saves += 1;
            state.config.directory.clone()
        };
        let _blocked = self.shared.block();
        let saved = save_dump(&directory, TEMPORARY_DUMP, snapshot).await;
        if saved.is_ok() {
            let mut state = self.shared.lock();
            state.changes = 0;
            state.last_save_s = now_s();
            state.last_save_ok = true;
        }
        Ok(saved.is_ok())
    }

    /// `BGSAVE [SCHEDULE]`, within a transaction or not. What to reply.
    ///
    /// # Errors
    /// The error to reply.
    pub fn save_in_background(
        &self,
        schedule: bool,
        in_transaction: bool,
    ) -> Result<&'static str, &'static str> {
        let mut state = self.shared.lock();
        if state.child_is(Child::Save) {
            return Err("ERR Background save already in progress");
        }
        if state.child.is_none() && !in_transaction {
            state.request(Child::Save);
            self.shared.work.notify_one();
            return Ok("Background saving started");
        }
        if !schedule && !in_transaction {
            return Err(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in \
                        order to schedule a BGSAVE whenever possible.",
            );
        }
        state.is_save_scheduled = true;
        self.shared.work.notify_one();
        Ok("Background saving scheduled")
    }

    /// `BGREWRITEAOF`, within a transaction or not. What to reply.
    ///
    /// # Errors
    /// The error to reply.
    pub fn rewrite_in_background(&self, in_transaction: bool) -> Result<&'static str, &'static str> {
        let mut state = self.shared.lock();
        if state.child_is(Child::Rewrite) {
            return Err("ERR Background append only file rewriting already in progress");
        }
        self.shared.work.notify_one();
        if state.child.is_some() || in_transaction {
            state.is_rewrite_scheduled = true;
            state.failed_rewrites = 0;
            return Ok("Background append only file rewriting scheduled");
        }
        state.request(Child::Rewrite);
        Ok("Background append only file rewriting started")
    }

    /// `LASTSAVE`: when the last snapshot was taken, in seconds since the Unix epoch; without one, when the server
    /// started.
    pub fn last_save_s(&self) -> u64 {
        self.shared.lock().last_save_s
    }

    /// What there is to report about it.
    pub fn status(&self) -> Status {
        self.shared.lock().report()
    }

    /// What Redis does before it exits: ends the children, writes and syncs what was appended. A final snapshot is
    /// the caller's, by [`Persistence::save`]. The driver's run is over then.
    pub async fn close(&self) {
        self.shared.lock().is_closing = true;
        self.shared.work.notify_one();
        self.shared.wait_until(|state| state.has_ended).await;
    }
}

/// Writes the snapshot, so that at any time either it or the one before is there.
async fn save_dump(directory: &std::path::Path, temporary: &str, snapshot: &[u8]) -> io::Result<()> {
    let temporary = directory.join(temporary);
    write_snapshot(&temporary, snapshot).await?;
    if let Err(error) = disk::rename(&temporary, directory.join(DUMP_FILE)).await {
        let _ = disk::remove_file(&temporary).await;
        return Err(error);
    }
    disk::sync_dir(directory).await
}
