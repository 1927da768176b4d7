//! What survives a power loss: random operations against a model of what may, and a log that loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use world::disk::{self, Durability, File, Torn, Unsynced};
use world::host::{self, Host};
use world::sim::{self, Config};
use world::time;

type Name = (u8, u8);

#[derive(Debug, Clone)]
enum Op {
    Create(Name),
    Write(Name, u64, usize),
    SetLen(Name, u64),
    Sync(Name, bool),
    SyncDir(u8),
    Rename(Name, Name),
    Remove(Name),
    Wait(u64),
    Crash,
}

fn name() -> impl Strategy<Value = Name> {
    (0..2_u8, 0..3_u8)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => name().prop_map(Op::Create),
        8 => (name(), 0..12_000_u64, 1..6_000_usize).prop_map(|(name, offset, len)| Op::Write(name, offset, len)),
        2 => (name(), 0..12_000_u64).prop_map(|(name, len)| Op::SetLen(name, len)),
        3 => (name(), any::<bool>()).prop_map(|(name, data_only)| Op::Sync(name, data_only)),
        2 => (0..2_u8).prop_map(Op::SyncDir),
        3 => (name(), name()).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => name().prop_map(Op::Remove),
        1 => (0..20_u64).prop_map(Op::Wait),
        1 => Just(Op::Crash),
    ]
}

fn path((directory, name): Name) -> String {
    format!("/{directory}/{name}")
}

fn names() -> impl Iterator<Item = Name> {
    (0..2).flat_map(|directory| (0..3).map(move |name| (directory, name)))
}

/// What may be found after a power loss.
#[derive(Debug, Default)]
struct Model {
    /// Contents of each file since it was last synced, that one included.
    files: BTreeMap<usize, Vec<Vec<u8>>>,
    /// What each name stood for since its directory was last synced, that one included.
    names: BTreeMap<Name, Vec<Option<usize>>>,
    /// Files that some name on the device leads to, and that nobody has removed or replaced since.
    kept: BTreeSet<usize>,
    /// Which file each byte value was written to: every write has a value of its own.
    writers: Vec<usize>,
    next: usize,
}

impl Model {
    fn at(&self, name: Name) -> Option<usize> {
        *self.names[&name].last().expect("never empty")
    }

    fn set(&mut self, name: Name, file: Option<usize>) {
        self.names.get_mut(&name).expect("all are there").push(file);
    }

    fn change(&mut self, file: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let states = self.files.get_mut(&file).expect("exists");
        let mut state = states.last().expect("never empty").clone();
        change(&mut state);
        states.push(state);
    }

    fn start() -> Model {
        Model { names: names().map(|name| (name, vec![None])).collect(), ..Model::default() }
    }

    /// Can this be the content of that file?
    fn allows(&self, file: usize, found: &[u8]) -> bool {
        let states = &self.files[&file];
        let byte = |at: usize| states.iter().any(|state| state.get(at).copied().unwrap_or(0) == found[at]);
        states.iter().any(|state| state.len() == found.len()) && (0..found.len()).all(byte)
    }

    /// Checks what was found, and goes on from there.
    fn check(&mut self, found: &BTreeMap<Name, Option<Vec<u8>>>) -> Result<(), TestCaseError> {
        let mut seen: BTreeMap<usize, Vec<Name>> = BTreeMap::new();
        let mut next = Model { writers: self.writers.clone(), next: self.next, ..Model::start() };
        for (name, content) in found {
            let Some(content) = content else {
                prop_assert!(self.names[name].contains(&None), "{name:?} is gone: {:?}", self.names[name]);
                continue;
            };
            let marks: BTreeSet<usize> = content
                .iter()
                .filter(|byte| **byte > 0)
                .map(|byte| self.writers[usize::from(*byte) - 1])
                .collect();
            prop_assert!(marks.len() <= 1, "{name:?} mixes files {marks:?}");
            let candidates = self.names[name].iter().flatten().copied();
            let candidates: BTreeSet<usize> = candidates
                .filter(|file| marks.first().is_none_or(|mark| mark == file) && self.allows(*file, content))
                .collect();
            prop_assert!(!candidates.is_empty(), "{name:?} holds what it cannot: {} bytes", content.len());
            for file in &candidates {
                seen.entry(*file).or_default().push(*name);
            }
            if let Some(file) = marks.first() {
                prop_assert!(
                    seen[file].iter().all(|other| other == name || found[other] != Some(content.clone()))
                );
            }
            // Which one it is cannot always be told: an empty file may be any. The first is as good as another.
            let file = next.next;
            next.next += 1;
            next.files.insert(file, vec![content.clone()]);
            next.names.insert(*name, vec![Some(file)]);
            next.kept.insert(file);
            let was = marks.first();
            next.writers.iter_mut().filter(|writer| Some(&**writer) == was).for_each(|writer| *writer = file);
        }
        for file in &self.kept {
            prop_assert!(seen.contains_key(file), "file {file} had a name on the device, and has none");
        }
        *self = next;
        Ok(())
    }
}

async fn on<F>(host: Host, future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    host.spawn(future).await.expect("ends")
}

async fn open(name: Name) -> File {
    File::options().write(true).open(path(name)).await.expect("opens")
}

/// Plays an operation on the disk and on the model.
async fn play(machine: Host, model: &mut Model, op: Op) -> Result<(), TestCaseError> {
    match op {
        Op::Create(name) if model.at(name).is_none() => {
            on(machine, async move { drop(File::create(path(name)).await.expect("creates")) }).await;
            let file = model.next;
            model.next += 1;
            model.files.insert(file, vec![Vec::new()]);
            model.set(name, Some(file));
        }
        Op::Write(name, offset, len) => {
            let Some(file) = model.at(name).filter(|_| model.writers.len() < 255) else { return Ok(()) };
            model.writers.push(file);
            let value = model.writers.len() as u8;
            on(machine, async move {
                open(name).await.write_all_at(&vec![value; len], offset).await.expect("writes");
            })
            .await;
            // A write is one change for each page of 4 KiB.
            let (mut from, to) = (offset as usize, offset as usize + len);
            while from < to {
                let next = to.min((from / 4096 + 1) * 4096);
                model.change(file, |state| {
                    state.resize(state.len().max(next), 0);
                    state[from..next].fill(value);
                });
                from = next;
            }
        }
        Op::SetLen(name, len) => {
            let Some(file) = model.at(name) else { return Ok(()) };
            on(machine, async move { open(name).await.set_len(len).await.expect("sets") }).await;
            model.change(file, |state| state.resize(len as usize, 0));
        }
        Op::Sync(name, data_only) => {
            let Some(file) = model.at(name) else { return Ok(()) };
            on(machine, async move {
                let file = open(name).await;
                if data_only { file.sync_data().await } else { file.sync_all().await }.expect("syncs");
            })
            .await;
            let states = model.files.get_mut(&file).expect("exists");
            states.drain(..states.len() - 1);
        }
        Op::SyncDir(directory) => {
            on(machine, async move { disk::sync_dir(format!("/{directory}")).await.expect("syncs") }).await;
            for name in names().filter(|name| name.0 == directory) {
                let history = model.names.get_mut(&name).expect("is there");
                history.drain(..history.len() - 1);
                model.kept.extend(history.iter().flatten());
            }
        }
        Op::Rename(from, to) => {
            let Some(file) = model.at(from).filter(|_| from != to) else { return Ok(()) };
            on(machine, async move { disk::rename(path(from), path(to)).await.expect("renames") }).await;
            model.kept.remove(&model.at(to).unwrap_or(usize::MAX));
            model.set(from, None);
            model.set(to, Some(file));
        }
        Op::Remove(name) => {
            let Some(file) = model.at(name) else { return Ok(()) };
            on(machine, async move { disk::remove_file(path(name)).await.expect("removes") }).await;
            model.kept.remove(&file);
            model.set(name, None);
        }
        Op::Wait(seconds) => time::sleep(Duration::from_secs(seconds)).await,
        Op::Crash => {
            machine.crash();
            machine.boot();
            model.check(&found(machine).await)?;
        }
        Op::Create(_) => {}
    }
    Ok(())
}

async fn found(machine: Host) -> BTreeMap<Name, Option<Vec<u8>>> {
    on(machine, async {
        let mut found = BTreeMap::new();
        for name in names() {
            let exists = disk::try_exists(path(name)).await.expect("looks");
            let content = if exists { Some(disk::read(path(name)).await.expect("reads")) } else { None };
            found.insert(name, content);
        }
        found
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn nothing_synced_is_lost_and_nothing_impossible_is_found(
        seed in any::<u64>(),
        torn in prop_oneof![Just(Torn::Never), Just(Torn::Sector), Just(Torn::Byte)],
        unsynced in prop_oneof![4 => Just(Unsynced::Any), 1 => Just(Unsynced::Lost)],
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let outcome = sim::run(Config::new(seed), move || async move {
            let machine = host::add("machine", || async {});
            machine.disk().set_durability(Durability { torn, unsynced, ..Durability::default() });
            on(machine, async {
                for directory in ["/0", "/1"] {
                    disk::create_dir(directory).await.expect("creates");
                }
                disk::sync_dir("/").await.expect("syncs");
            })
            .await;
            let mut model = Model::start();
            for op in ops.into_iter().chain([Op::Crash, Op::Crash]) {
                play(machine, &mut model, op).await?;
            }
            Ok::<(), TestCaseError>(())
        });
        outcome.result.expect("ends")?;
    }
}

/// How a write-ahead log takes care of its records.
#[derive(Debug, Clone, Copy)]
struct Care {
    sync_records: bool,
    sync_name: bool,
}

/// A record: its length, its checksum, its number and something to fill a few sectors.
fn record(number: u64) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + (number as usize * 37) % 1500, number as u8);
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Writes records and acknowledges each.
async fn log(care: Care, acknowledged: Arc<Mutex<u64>>) {
    let file = File::create("/wal").await.expect("creates");
    file.sync_all().await.expect("syncs");
    if care.sync_name {
        disk::sync_dir("/").await.expect("syncs");
    }
    let mut end = 0;
    for number in 0.. {
        let bytes = record(number);
        file.write_all_at(&bytes, end).await.expect("writes");
        end += bytes.len() as u64;
        if care.sync_records {
            file.sync_data().await.expect("syncs");
        }
        *acknowledged.lock().expect("not poisoned") = number + 1;
        time::sleep(Duration::from_micros(300)).await;
    }
}

/// Records that are whole, from the first on.
async fn recover() -> u64 {
    let Ok(bytes) = disk::read("/wal").await else { return 0 };
    let mut rest = &bytes[..];
    let mut records = 0;
    while let Some((head, after)) = rest.split_at_checked(12) {
        let len = u32::from_le_bytes(head[..4].try_into().expect("four")) as usize;
        let Some((body, after)) = after.split_at_checked(len) else { break };
        let sum = u64::from_le_bytes(head[4..].try_into().expect("eight"));
        if len < 8 || xxhash_rust::xxh3::xxh3_64(body) != sum || !body.starts_with(&u64::to_le_bytes(records))
        {
            break;
        }
        records += 1;
        rest = after;
    }
    records
}

/// Of so many seeds, those in which acknowledged records were lost.
fn losing_seeds(seeds: u64, care: Care) -> usize {
    let loses = |seed: &u64| {
        let seed = *seed;
        let outcome = sim::run(Config::new(seed), move || async move {
            let machine = host::add("machine", || async {});
            machine.disk().set_durability(Durability { torn: Torn::Byte, ..Durability::default() });
            let acknowledged = Arc::new(Mutex::new(0));
            let _writer = machine.spawn(log(care, Arc::clone(&acknowledged)));
            time::sleep(Duration::from_micros(2_000 + seed * 7_919 % 40_000)).await;
            machine.crash();
            machine.boot();
            let recovered = on(machine, recover()).await;
            let acknowledged = *acknowledged.lock().expect("not poisoned");
            recovered < acknowledged
        });
        outcome.result.expect("ends")
    };
    (0..seeds).filter(loses).count()
}

#[test]
fn a_log_that_syncs_loses_nothing_acknowledged() {
    assert_eq!(losing_seeds(1000, Care { sync_records: true, sync_name: true }), 0);
}

#[test]
fn a_log_that_does_not_sync_its_records_or_its_name_loses_some() {
    let records = losing_seeds(200, Care { sync_records: false, sync_name: true });
    assert!((100..200).contains(&records), "{records} of 200");
    let name = losing_seeds(200, Care { sync_records: true, sync_name: false });
    assert!((50..200).contains(&name), "{name} of 200");
}
