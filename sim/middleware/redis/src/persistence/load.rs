//! Loading at the start, and the repair of a file that cannot be loaded.

use std::{
    io,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use world::{cpu, disk};

use super::{
    APPEND_ONLY_DIRECTORY, Config, DUMP_FILE, Target,
    files::{decoding_time, read_whole, replay_time},
    manifest::{Manifest, ManifestError},
    replay::{Damage, Replay, Run},
    strerror,
};
use crate::rdb::{self, RdbError};

/// Bytes of commands after which a loading server looks after its clients:
/// `loading-process-events-interval-bytes`.
const STRETCH: usize = 2 * 1024 * 1024;

/// Why a server does not start, in the words of Redis's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The manifest of the append-only file makes no sense.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file cannot be opened, read, created or written.
    #[error("{what} {file}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file's name.
        file: String,
        /// What the system says.
        error: String,
    },
    /// The snapshot is damaged.
    #[error("Fatal error loading the DB: {0}. Exiting.")]
    Dump(RdbError),
    /// The base of the append-only file is damaged.
    #[error("Error reading the RDB base file {file}, AOF loading aborted: {error}")]
    Base {
        /// The file's name.
        file: String,
        /// What is wrong.
        error: RdbError,
    },
    /// Something stands where a command should. See [`repair`].
    #[error(
        "Bad file format reading the append only file {0}: make a backup of your AOF file, then use \
         ./redis-check-aof --fix <filename.manifest>"
    )]
    BadFormat(String),
    /// The file ends within a command, and `aof-load-truncated` is off. See [`repair`].
    #[error(
        "Unexpected end of file reading the append only file {0}. You can: 1) Make a backup of your AOF file, then \
         use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' \
         configuration option to yes and restart the server."
    )]
    Truncated(String),
    /// A file that others follow ends within a command.
    #[error("Fatal error: the truncated file is not the last file")]
    TruncatedBeforeLast,
    /// A command that the server does not have.
    #[error("Unknown command '{command}' reading the append only file {file}")]
    UnknownCommand {
        /// Its name.
        command: String,
        /// The file's name.
        file: String,
    },
}

impl StartError {
    pub(super) fn io(what: &'static str, file: &str, error: &io::Error) -> Self {
        Self::Io { what, file: file.to_owned(), error: strerror(error) }
    }
}

struct Commands<'a, T>(&'a mut T);

impl<T: Target> Run for Commands<'_, T> {
    fn run(&mut self, args: &[&[u8]]) -> bool {
        self.0.run(args)
    }
}

/// Sizes of what was loaded, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    pub(super) base: u64,
    pub(super) all: u64,
}

/// Loads the snapshot, if there is one.
pub(super) async fn load_dump(config: &Config, target: &mut impl Target) -> Result<(), StartError> {
    let path = config.directory.join(DUMP_FILE);
    let bytes = match read_whole(&path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StartError::io("Fatal error loading the DB", DUMP_FILE, &error)),
    };
    cpu::work(decoding_time(bytes.len())).await;
    let expired_before_ms = (!config.keep_expired).then(now_ms);
    target.restore(rdb::decode(&bytes, expired_before_ms).map_err(StartError::Dump)?);
    Ok(())
}

fn now_ms() -> u64 {
    let now: Duration = world::time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Loads the parts of the append-only file.
pub(super) async fn load_parts(
    config: &Config,
    manifest: &Manifest,
    target: &mut impl Target,
) -> Result<Sizes, StartError> {
    let directory = config.directory.join(APPEND_ONLY_DIRECTORY);
    let mut sizes = Sizes::default();
    // A part that is missing is noticed before any is loaded.
    for part in manifest.parts() {
        let metadata = disk::metadata(directory.join(&part.name)).await;
        let error = |error| StartError::io("Unable to obtain the AOF file length of", &part.name, &error);
        let length = metadata.map_err(error)?.len();
        sizes.all += length;
        if manifest.base.as_ref() == Some(part) {
            sizes.base = length;
        }
    }
    let last = manifest.parts().last();
    for part in manifest.parts() {
        let cut = load_part(config, &directory, &part.name, target).await?;
        sizes.all -= cut;
        if cut > 0 && Some(part) != last {
            return Err(StartError::TruncatedBeforeLast);
        }
    }
    Ok(sizes)
}

/// Loads one part; returns how many bytes of an incomplete end were cut off.
async fn load_part(
    config: &Config,
    directory: &Path,
    name: &str,
    target: &mut impl Target,
) -> Result<u64, StartError> {
    let path = directory.join(name);
    let unreadable = |error| StartError::io("Unrecoverable error reading the append only file", name, &error);
    let bytes = read_whole(&path).await.map_err(unreadable)?;
    let mut from = 0;
    if bytes.starts_with(b"REDIS") {
        cpu::work(decoding_time(bytes.len())).await;
        // All keys, even those whose time has come: the commands that follow assume them.
        let snapshot =
            rdb::decode(&bytes, None).map_err(|error| StartError::Base { file: name.to_owned(), error })?;
        from = snapshot.length;
        target.restore(snapshot);
    }
    let mut replay = Replay::new(&bytes, from);
    loop {
        let before = replay.position();
        match replay.step(STRETCH, &mut Commands(target)) {
            Ok(is_end) => {
                cpu::work(replay_time(replay.position() - before)).await;
                if is_end {
                    return Ok(0);
                }
            }
            Err(Damage::Truncated) if config.load_truncated => break,
            Err(Damage::Truncated) => return Err(StartError::Truncated(name.to_owned())),
            Err(Damage::Malformed) => return Err(StartError::BadFormat(name.to_owned())),
            Err(Damage::Unknown(command)) => {
                return Err(StartError::UnknownCommand { command, file: name.to_owned() });
            }
        }
    }
    let sound = replay.sound();
    truncate(&path, sound)
        .await
        .map_err(|error| StartError::io("Error truncating the AOF file", name, &error))?;
    Ok((bytes.len() - sound) as u64)
}

async fn truncate(path: &Path, length: usize) -> io::Result<()> {
    disk::File::options().write(true).open(path).await?.set_len(length as u64).await
}

/// What [`repair`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// All was well.
    Sound,
    /// So many bytes were cut off the end, from the first on that makes no sense.
    Cut(u64),
}

/// Has the disk of the current host know by what names a server's files are found, as it would by itself after some
/// seconds: what `sync` does on a machine. A server without files has nothing that is missed.
pub async fn sync_names(directory: impl AsRef<Path>) {
    let appendonly = directory.as_ref().join(APPEND_ONLY_DIRECTORY);
    for folder in appendonly.ancestors() {
        // Those that are not there have no names.
        let _ = disk::sync_dir(folder).await;
    }
}

/// What an operator does when a server does not start because of its append-only file, as `redis-check-aof --fix` does
/// it: cuts the last part where it stops making sense. All that stands behind is lost.
///
/// # Errors
/// When the append-only file cannot be read, or something else than the end of its last part is damaged.
pub async fn repair(directory: impl AsRef<Path>) -> Result<Repair, StartError> {
    let directory = directory.as_ref().join(APPEND_ONLY_DIRECTORY);
    let unreadable = |name: &str, error| StartError::io("Cannot open file", name, &error);
    let manifest = Manifest::read(&directory).await.map_err(|error| unreadable("manifest", error))??;
    let last = manifest.parts().last();
    for part in manifest.parts() {
        let name = &part.name;
        let path = directory.join(name);
        let bytes = read_whole(&path).await.map_err(|error| unreadable(name, error))?;
        let mut from = 0;
        if bytes.starts_with(b"REDIS") {
            let snapshot = rdb::decode(&bytes, None);
            from = snapshot.map_err(|error| StartError::Base { file: name.clone(), error })?.length;
        }
        let mut replay = Replay::new(&bytes, from);
        let is_sound = replay.step(usize::MAX, &mut |_: &[&[u8]]| true).is_ok();
        if is_sound {
            continue;
        }
        if Some(part) != last {
            return Err(StartError::BadFormat(name.clone()));
        }
        let sound = replay.sound();
        truncate(&path, sound).await.map_err(|error| unreadable(name, error))?;
        return Ok(Repair::Cut((bytes.len() - sound) as u64));
    }
    Ok(Repair::Sound)
}
