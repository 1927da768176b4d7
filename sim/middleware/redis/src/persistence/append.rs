//! The append-only file while a server runs: written before replies go out, synced by policy, rewritten.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use world::disk::{self, File};

use super::{
    Fatal, FsyncPolicy, StartError, files::create_directory, load::Sizes, manifest::Manifest, now_s,
    shared::Shared, strerror,
};

/// A write waits at most so long for a sync.
const LONGEST_POSTPONEMENT_S: i64 = 2;

/// What became of a write.
enum Written {
    All,
    /// So many bytes are in the file, and cannot be taken out again.
    Part(usize, String),
}

/// The append-only file, open to write.
#[derive(Debug)]
pub(super) struct AppendLog {
    directory: PathBuf,
    manifest: Manifest,
    file: Arc<File>,
    /// Length of the last increment.
    size: u64,
    /// So much of it was synced, or is being synced.
    synced: u64,
    last_sync_s: u64,
    sizes_at_start: Sizes,
}

fn append_to(path: &Path, truncate: bool) -> impl Future<Output = io::Result<File>> {
    let mut options = File::options();
    options.create(true);
    // Where a new increment was begun and given up, its file is still there.
    if truncate {
        options.write(true).truncate(true)
    } else {
        options.append(true)
    };
    let path = path.to_path_buf();
    async move { options.open(path).await }
}

impl AppendLog {
    /// Opens the last increment, or makes one. `is_changed`: is the manifest not what is on the disk?
    pub(super) async fn open(
        directory: PathBuf,
        mut manifest: Manifest,
        mut is_changed: bool,
        sizes: Sizes,
    ) -> Result<Self, StartError> {
        let name = match manifest.increments.last() {
            Some(last) => last.name.clone(),
            None => {
                is_changed = true;
                manifest.add_increment()
            }
        };
        let error = |error| StartError::io("Can't open the append-only file", &name, &error);
        let file = append_to(&directory.join(&name), false).await.map_err(error)?;
        if is_changed {
            manifest.persist(&directory).await.map_err(error)?;
        }
        let size = file.metadata().await.map_err(error)?.len();
        remove_history(&directory, &mut manifest).await;
        Ok(Self {
            directory,
            manifest,
            file: Arc::new(file),
            size,
            synced: size,
            last_sync_s: now_s(),
            sizes_at_start: sizes,
        })
    }

    pub(super) fn sizes_at_start(&self) -> Sizes {
        self.sizes_at_start
    }

    /// Is there something that was written and no sync was begun for?
    pub(super) fn is_unsynced(&self) -> bool {
        self.synced != self.size
    }

    /// Writes what was appended and syncs it, as the policy has it. `force`: does not wait for a sync under way to end
    /// by itself.
    ///
    /// # Errors
    /// When Redis exits, because it can keep its promise no more.
    pub(super) async fn flush(&mut self, shared: &Arc<Shared>, force: bool) -> Result<(), Fatal> {
        let now_s = now_s();
        let (policy, was_syncing, appended, is_empty) = {
            let state = shared.lock();
            (state.config.fsync, state.is_syncing, state.appended, state.buffer.is_empty())
        };
        if is_empty {
            let is_due = match policy {
                FsyncPolicy::Always => true,
                FsyncPolicy::EverySecond => now_s > self.last_sync_s && !was_syncing,
                FsyncPolicy::No => false,
            };
            if is_due && self.is_unsynced() {
                self.sync(shared, policy, now_s, was_syncing).await?;
            }
            shared.answer(appended);
            return Ok(());
        }
        if policy == FsyncPolicy::EverySecond && was_syncing && !force && postpone(shared, now_s) {
            shared.answer(appended);
            return Ok(());
        }
        if self.write(shared, policy).await? {
            self.sync(shared, policy, now_s, was_syncing).await?;
        }
        shared.answer(appended);
        Ok(())
    }

    /// Writes what was appended; false if that failed and will be tried again.
    async fn write(&mut self, shared: &Arc<Shared>, policy: FsyncPolicy) -> Result<bool, Fatal> {
        let _blocked = shared.block();
        // On Linux, a write to a file that is being synced waits for the sync. (The simulated disk has it take no time.)
        shared.wait_until(|state| !state.is_syncing).await;
        let bytes = std::mem::take(&mut shared.lock().buffer);
        let written = self.write_all_or_nothing(&bytes).await;
        let mut state = shared.lock();
        state.postponed_since_s = None;
        let (count, error) = match written {
            Written::All => (bytes.len(), None),
            Written::Part(count, error) => (count, Some(error)),
        };
        self.size += count as u64;
        state.status.size += count as u64;
        if count < bytes.len() {
            // Nothing was appended in between that would come before: those bytes were appended after.
            let after = std::mem::replace(&mut state.buffer, bytes[count..].to_vec());
            state.buffer.extend_from_slice(&after);
        }
        let is_written = error.is_none();
        state.write_error = error;
        if !is_written && policy == FsyncPolicy::Always {
            let reason =
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...";
            return Err(Fatal(reason.to_owned()));
        }
        Ok(is_written)
    }

    async fn write_all_or_nothing(&mut self, bytes: &[u8]) -> Written {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write_at(&bytes[done..], self.size + done as u64).await {
                Ok(count) => done += count,
                Err(error) if done == 0 => return Written::Part(0, strerror(&error)),
                Err(_) => {
                    let left = if self.file.set_len(self.size).await.is_ok() { 0 } else { done };
                    return Written::Part(left, strerror(&io::Error::from_raw_os_error(libc::ENOSPC)));
                }
            }
        }
        Written::All
    }

    async fn sync(
        &mut self,
        shared: &Arc<Shared>,
        policy: FsyncPolicy,
        now_s: u64,
        was_syncing: bool,
    ) -> Result<(), Fatal> {
        let is_left_out = {
            let state = shared.lock();
            state.config.no_fsync_on_rewrite && state.child.is_some_and(|(_, is_requested)| !is_requested)
        };
        match policy {
            _ if is_left_out => {}
            FsyncPolicy::Always => {
                let _blocked = shared.block();
                self.file.sync_data().await.map_err(|error| {
                    Fatal(format!(
                        "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {}. Exiting...",
                        strerror(&error)
                    ))
                })?;
                self.synced = self.size;
                self.last_sync_s = now_s;
            }
            FsyncPolicy::EverySecond if now_s > self.last_sync_s => {
                if !was_syncing {
                    self.sync_in_background(shared);
                    self.synced = self.size;
                }
                self.last_sync_s = now_s;
            }
            FsyncPolicy::EverySecond | FsyncPolicy::No => {}
        }
        Ok(())
    }

    fn sync_in_background(&self, shared: &Arc<Shared>) {
        let (file, shared) = (Arc::clone(&self.file), Arc::clone(shared));
        shared.lock().is_syncing = true;
        world::task::spawn(async move {
            let error = file.sync_data().await.err();
            // A file that was closed meanwhile was not a failure.
            let error =
                error.filter(|error| !matches!(error.raw_os_error(), Some(libc::EBADF | libc::EINVAL)));
            shared.advance(|state| {
                state.is_syncing = false;
                state.sync_error = error.as_ref().map(strerror);
            });
            shared.work.notify_one();
        });
    }

    /// Writes and syncs all there is, whatever the policy, before the server exits.
    pub(super) async fn close(&mut self, shared: &Arc<Shared>) -> Result<(), Fatal> {
        self.flush(shared, true).await?;
        let _blocked = shared.block();
        // Redis writes a failure to its log, and exits.
        let _ = self.file.sync_data().await;
        Ok(())
    }

    /// Begins a new increment, so that a snapshot that is taken when this returns can be the base of what follows.
    /// False if that failed.
    pub(super) async fn begin_increment(&mut self, shared: &Arc<Shared>) -> Result<bool, Fatal> {
        let _blocked = shared.block();
        self.flush(shared, true).await?;
        let mut manifest = self.manifest.clone();
        let path = self.directory.join(manifest.add_increment());
        let begun = async {
            create_directory(&self.directory).await?;
            let file = append_to(&path, true).await?;
            manifest.persist(&self.directory).await?;
            Ok::<_, io::Error>(file)
        };
        let Ok(file) = begun.await else { return Ok(false) };
        // What was appended meanwhile is within the snapshot, so it belongs to the increment that the base replaces.
        // What cannot be written goes to the new one all the same, as in Redis: should the rewrite succeed, it will be
        // replayed on a base that has it.
        loop {
            let is_done = {
                let state = shared.lock();
                state.buffer.is_empty() || state.write_error.is_some()
            };
            if is_done {
                break;
            }
            self.flush(shared, true).await?;
        }
        let before = std::mem::replace(&mut self.file, Arc::new(file));
        world::task::spawn(async move {
            // Nobody is told of a failure, in Redis neither.
            let _ = before.sync_data().await;
        });
        self.manifest = manifest;
        self.last_sync_s = now_s();
        self.size = 0;
        self.synced = 0;
        Ok(true)
    }

    /// Takes the new base that was written, and gives up what it replaces. `base`: its size. False if that failed.
    pub(super) async fn take_base(&mut self, shared: &Arc<Shared>, temporary: &Path, base: u64) -> bool {
        let _blocked = shared.block();
        let writes_to_last = true;
        let taken = install_base(&self.directory, temporary, self.manifest.clone(), writes_to_last).await;
        let Ok(manifest) = taken else { return false };
        self.manifest = manifest;
        let size = base + self.size;
        let mut state = shared.lock();
        state.status.size = size;
        state.status.base_size = size;
        true
    }
}

/// Takes a base for the next start of a server that has no append-only file now.
///
/// # Errors
/// When the directory cannot be written, or has a manifest that makes no sense.
pub(super) async fn leave_base(directory: &Path, temporary: &Path) -> io::Result<()> {
    create_directory(directory).await?;
    let manifest = Manifest::read(directory).await?.map_err(io::Error::other)?;
    let writes_to_last = false;
    install_base(directory, temporary, manifest, writes_to_last).await.map(|_| ())
}

/// Makes a file the base. `writes_to_last`: does the last increment go on after the base, or is it within the base?
async fn install_base(
    directory: &Path,
    temporary: &Path,
    mut manifest: Manifest,
    writes_to_last: bool,
) -> io::Result<Manifest> {
    let path = directory.join(manifest.add_base());
    disk::rename(temporary, &path).await?;
    manifest.retire_increments(writes_to_last);
    if let Err(error) = manifest.persist(directory).await {
        // Nothing names it.
        let _ = disk::remove_file(&path).await;
        return Err(error);
    }
    remove_history(directory, &mut manifest).await;
    Ok(manifest)
}

/// Removes what is no longer part of the file. A failure leaves files that nobody reads.
async fn remove_history(directory: &Path, manifest: &mut Manifest) {
    if manifest.history.is_empty() {
        return;
    }
    for part in std::mem::take(&mut manifest.history) {
        let _ = disk::remove_file(directory.join(part.name)).await;
    }
    let _ = manifest.persist(directory).await;
}

/// Is a write to wait for the sync under way? For up to two seconds it is.
fn postpone(shared: &Shared, now_s: u64) -> bool {
    let mut state = shared.lock();
    let since_s = *state.postponed_since_s.get_or_insert(now_s);
    // The clock can go back.
    if now_s.cast_signed() - since_s.cast_signed() < LONGEST_POSTPONEMENT_S {
        return true;
    }
    state.status.delayed_syncs += 1;
    false
}
