//! The rolling 128-bit fingerprint over every scheduling choice, timer, delivery and fault of a run.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::executor::TaskId;
use crate::common::hosts::HostId;
use crate::engine::Note;
use crate::sim::Checkpoint;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark<'a> {
    /// A task was chosen among so many.
    Choice { task: TaskId, choices: u32 },
    /// A timer fired.
    Timer { number: u64 },
    /// A segment, or a step of a handshake, arrived at a host.
    Delivery { kind: &'static str, from: HostId, to: HostId, connection: u32, payload: &'a [u8] },
    /// A fault was injected or healed.
    Fault { kind: &'static str, host: HostId },
    /// Something happened on a disk or a processor.
    Note(Note<'a>),
    /// A property of a host was set.
    Setting { kind: &'static str, host: HostId, value: i64 },
}

/// Checkpoints are this many marks apart: a divergence is first narrowed to such a stretch, then played in detail.
const CHECKPOINT_EVERY: u64 = 16_384;

/// Bytes that are gathered before they are hashed: the hash takes many at once with far less effort.
const GATHERED: usize = 4096;
/// Longer texts are hashed where they stand.
const SHORT: usize = 512;

/// The hash and its checkpoints.
pub(crate) struct Fingerprint {
    hash: Box<Xxh3>,
    gathered: Vec<u8>,
    marks: u64,
    checkpoints: Vec<Checkpoint>,
    /// Marks to be written out as text.
    traced: Range<u64>,
    trace: Vec<String>,
}

impl Fingerprint {
    pub(crate) fn new(traced: Range<u64>) -> Fingerprint {
        Fingerprint {
            hash: Box::new(Xxh3::new()),
            gathered: Vec::with_capacity(GATHERED),
            marks: 0,
            checkpoints: Vec::new(),
            traced,
            trace: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, now_ns: u64, mark: Mark<'_>) {
        if self.traced.contains(&self.marks) {
            self.trace.push(describe(self.marks, now_ns, &mark));
        }
        let mut fixed = [0_u8; 24];
        fixed[..8].copy_from_slice(&now_ns.to_le_bytes());
        let (kind, a, b, payload): (u8, u64, u32, &[u8]) = match mark {
            Mark::Choice { task, choices } => {
                (1, u64::from(task.generation) << 32 | u64::from(task.index), choices, &[])
            }
            Mark::Timer { number } => (2, number, 0, &[]),
            Mark::Delivery { kind, from, to, connection, payload } => {
                self.take_in(kind.as_bytes());
                let hosts = u64::from(from.0) << 32 | u64::from(to.0);
                (3 + kind.len() as u8, hosts, connection, payload)
            }
            Mark::Fault { kind, host } => (64 + kind.len() as u8, u64::from(host.0), 0, kind.as_bytes()),
            Mark::Note(note) => {
                self.take_in(note.kind.as_bytes());
                (192 + note.kind.len() as u8, note.number, note.host.0, note.payload)
            }
            Mark::Setting { kind, host, value } => {
                (128 + kind.len() as u8, value as u64, host.0, kind.as_bytes())
            }
        };
        fixed[8..16].copy_from_slice(&a.to_le_bytes());
        fixed[16..20].copy_from_slice(&b.to_le_bytes());
        // Kind and payload length together delimit what follows.
        fixed[20..24].copy_from_slice(&((payload.len() as u32) << 8 | u32::from(kind)).to_le_bytes());
        self.take_in(&fixed);
        self.take_in(payload);
        self.marks += 1;
        if self.marks.is_multiple_of(CHECKPOINT_EVERY) {
            self.checkpoint(now_ns);
        }
    }

    #[inline]
    fn take_in(&mut self, bytes: &[u8]) {
        if self.gathered.len() + bytes.len() > GATHERED || bytes.len() > SHORT {
            self.hash_gathered();
            if bytes.len() > SHORT {
                return self.hash.update(bytes);
            }
        }
        self.gathered.extend_from_slice(bytes);
    }

    fn hash_gathered(&mut self) {
        self.hash.update(&self.gathered);
        self.gathered.clear();
    }

    fn checkpoint(&mut self, now_ns: u64) {
        self.hash_gathered();
        self.checkpoints.push(Checkpoint {
            marks: self.marks,
            at_ns: now_ns,
            fingerprint: self.hash.digest128(),
        });
    }

    /// Ends the run: the fingerprint, the checkpoints (the last one at the end of the run) and the written-out marks.
    pub(crate) fn finish(&mut self, now_ns: u64) -> (u128, Vec<Checkpoint>, Vec<String>) {
        self.checkpoint(now_ns);
        (self.hash.digest128(), std::mem::take(&mut self.checkpoints), std::mem::take(&mut self.trace))
    }
}

fn describe(number: u64, now_ns: u64, mark: &Mark<'_>) -> String {
    let what = match *mark {
        Mark::Choice { task, choices } => {
            format!("task {}.{} of {choices} ready", task.index, task.generation)
        }
        Mark::Timer { number } => format!("timer {number}"),
        Mark::Delivery { kind, from, to, connection, payload } => {
            let text = String::from_utf8_lossy(&payload[..payload.len().min(400)]);
            format!("{kind} host {} -> host {} connection {connection} {:?}", from.0, to.0, text)
        }
        Mark::Fault { kind, host } => format!("{kind} host {}", host.0),
        Mark::Note(Note { kind, host, number, payload }) => {
            let text = String::from_utf8_lossy(&payload[..payload.len().min(400)]);
            format!("{kind} host {} number {number} {text:?}", host.0)
        }
        Mark::Setting { kind, host, value } => format!("{kind} host {} to {value}", host.0),
    };
    format!("{number} {:.9}s {what}", now_ns as f64 / 1e9)
}
