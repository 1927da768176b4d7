//! Redis's own format of snapshots, RDB version 10 as Redis 7.0 writes it, and of the values of `DUMP`.
//!
//! A real `redis-server` 7.0 loads what [`encode`] and [`dump`] write; [`decode`] and [`restore`] understand what it
//! writes, whatever encodings it chose. Written are the plain encodings wherever Redis loads them (a hash as fields and
//! values, not as a listpack) and no compression: they keep the order of the keys, and of a value's fields and
//! members, which decoding gives back. So a replica or a restarted server draws the same members at random, and gives
//! the same cursors, as the server that took the snapshot.
//!
//! What Redis 7.0 reads but does not write (ziplists, zipmaps, streams before version 7), modules, function libraries
//! and databases other than 0 are refused, with an error that says so.
//!
//! - `writer`, `reader`: lengths, strings, checksums.
//! - `listpack`: lists of elements in one string, within which Redis keeps small aggregates and streams.
//! - `value`, `stream`: values.

mod listpack;
mod reader;
mod stream;
mod value;
mod writer;

use self::{reader::Reader, writer::Writer};
use crate::keyspace::{Expiry, Keyspace, Value};

/// Version of the format: that of Redis 7.0.
const VERSION: u32 = 10;
/// The first version that ends with a checksum.
const FIRST_WITH_CHECKSUM: u32 = 5;
/// Length of the id of a replication history.
const REPLICATION_ID_LENGTH: usize = 40;
/// Bytes of a `DUMP` after the value: the version and the checksum.
const DUMP_FOOTER: usize = 10;

/// What stands before a key, or instead of one.
mod opcode {
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const FUNCTION_OF_CANDIDATE: u8 = 246;
    pub(super) const MODULE_AUX: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQUENCY: u8 = 249;
    pub(super) const AUX: u8 = 250;
    pub(super) const RESIZE_DB: u8 = 251;
    pub(super) const EXPIRY_MS: u8 = 252;
    pub(super) const EXPIRY_S: u8 = 253;
    pub(super) const SELECT_DB: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// Why bytes are not a snapshot, or not one that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RdbError {
    /// It does not start as a snapshot does.
    #[error("Wrong signature trying to load DB from file")]
    WrongSignature,
    /// Written by a server with another version of the format.
    #[error("Can't handle RDB format version {0}")]
    UnsupportedVersion(u32),
    /// It ends before its end.
    #[error("Unexpected EOF reading RDB file")]
    UnexpectedEnd,
    /// Some of its bytes are not those that were written.
    #[error("Wrong RDB checksum expected: ({expected:x}) but got ({found:x}). Aborting now.")]
    WrongChecksum {
        /// The checksum of the bytes.
        expected: u64,
        /// The checksum that stands behind them.
        found: u64,
    },
    /// Nothing that a server writes.
    #[error("Internal error in RDB reading offset {offset} -> {what}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// Bytes before the place where it was seen.
        offset: usize,
    },
    /// Something that a real server writes and this one cannot hold.
    #[error("The RDB file contains data that cannot be loaded: {0}")]
    Unsupported(&'static str),
}

/// Where a data set stands in a history of replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationPoint {
    /// The history's id: 40 hexadecimal digits.
    pub id: String,
    /// Bytes of the history that the data set includes.
    pub offset: u64,
}

/// What a snapshot says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// When it was taken, in seconds since the Unix epoch.
    pub created_s: u64,
    /// Memory that the server used then, in bytes.
    pub used_memory: u64,
    /// Where in its replication history the server was, if it had one.
    pub replication: Option<ReplicationPoint>,
    /// Is it the base of an append-only file?
    pub aof_base: bool,
}

/// A snapshot that was decoded.
#[derive(Debug)]
pub struct Snapshot {
    /// The keys, in the order in which they were written.
    pub keyspace: Keyspace,
    /// What the snapshot says about itself.
    pub origin: Origin,
    /// Keys that were left out because their time had come.
    pub expired: usize,
    /// Bytes of the snapshot; more may follow it.
    pub length: usize,
}

/// A snapshot of all keys.
pub fn encode(keyspace: &Keyspace, origin: &Origin) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(b"REDIS0010");
    write_origin(&mut out, origin);
    if !keyspace.is_empty() {
        out.byte(opcode::SELECT_DB);
        out.length(0);
        out.byte(opcode::RESIZE_DB);
        out.count(keyspace.len());
        out.count(keyspace.expiring());
    }
    for (key, value) in keyspace.iter() {
        if let Some(ms) = keyspace.expires_ms(key) {
            out.byte(opcode::EXPIRY_MS);
            out.raw(&ms.to_le_bytes());
        }
        out.byte(value::type_of(value));
        out.string(key);
        value::write(&mut out, value);
    }
    out.byte(opcode::END);
    out.finish_with_checksum()
}

fn write_origin(out: &mut Writer, origin: &Origin) {
    let mut field = |name: &str, value: &str| {
        out.byte(opcode::AUX);
        out.string(name.as_bytes());
        out.string(value.as_bytes());
    };
    field("redis-ver", crate::commands::VERSION);
    field("redis-bits", "64");
    field("ctime", &origin.created_s.to_string());
    field("used-mem", &origin.used_memory.to_string());
    if let Some(point) = &origin.replication {
        field("repl-stream-db", "0");
        field("repl-id", &point.id);
        field("repl-offset", &point.offset.to_string());
    }
    field("aof-base", if origin.aof_base { "1" } else { "0" });
}

/// Reads the snapshot at the start of `bytes`. A master leaves out the keys whose time has come: those that expire
/// before `expired_before_ms`, in milliseconds since the Unix epoch. Replicas, and who reads the base of an append-only
/// file, must take all.
///
/// # Errors
/// When it is no snapshot, a damaged one, or holds what this server cannot hold.
pub fn decode(bytes: &[u8], expired_before_ms: Option<u64>) -> Result<Snapshot, RdbError> {
    let mut reader = Reader::new(bytes);
    let version = read_version(&mut reader)?;
    let mut keyspace = Keyspace::default();
    let mut fields = AuxFields::default();
    let mut expired = 0;
    let mut expires_ms = None;
    loop {
        match reader.byte()? {
            opcode::END => break,
            opcode::EXPIRY_MS => expires_ms = expiry(i64::from_le_bytes(reader.array()?)),
            opcode::EXPIRY_S => {
                let seconds = i32::from_le_bytes(reader.array()?);
                expires_ms = expiry(i64::from(seconds) * 1000);
            }
            opcode::SELECT_DB => {
                if reader.length()? != 0 {
                    return Err(RdbError::Unsupported("a database other than 0"));
                }
            }
            // Hints, about sizes and for eviction.
            opcode::RESIZE_DB => {
                reader.length()?;
                reader.length()?;
            }
            opcode::IDLE => {
                reader.length()?;
            }
            opcode::FREQUENCY => {
                reader.byte()?;
            }
            opcode::AUX => {
                let name = reader.string()?;
                let value = reader.string()?;
                fields.note(&name, &value);
            }
            opcode::MODULE_AUX => return Err(RdbError::Unsupported("data of a module")),
            opcode::FUNCTION | opcode::FUNCTION_OF_CANDIDATE => {
                return Err(RdbError::Unsupported("a library of functions"));
            }
            kind => {
                let key = reader.string()?;
                let value = value::read(&mut reader, kind)?;
                let expires_ms = expires_ms.take();
                let gone = expires_ms.is_some_and(|ms| expired_before_ms.is_some_and(|now_ms| ms < now_ms));
                expired += usize::from(gone);
                // Redis drops empty values, which old versions could leave behind.
                if let Some(value) = value.filter(|_| !gone) {
                    if keyspace.get(&key).is_some() {
                        return Err(reader.corrupt("RDB has duplicated key"));
                    }
                    keyspace.set(&key, value, expires_ms.map_or(Expiry::Never, Expiry::At));
                }
            }
        }
    }
    if version >= FIRST_WITH_CHECKSUM {
        check_sum(&mut reader)?;
    }
    Ok(Snapshot { keyspace, origin: fields.origin(), expired, length: reader.position() })
}

fn read_version(reader: &mut Reader<'_>) -> Result<u32, RdbError> {
    let header = reader.take(9)?;
    let digits = header.strip_prefix(b"REDIS").ok_or(RdbError::WrongSignature)?;
    let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    if (1..=VERSION).contains(&version) { Ok(version) } else { Err(RdbError::UnsupportedVersion(version)) }
}

/// The checksum covers all before it; zero stands for none.
fn check_sum(reader: &mut Reader<'_>) -> Result<(), RdbError> {
    let expected = writer::checksum(reader.passed());
    match u64::from_le_bytes(reader.array()?) {
        0 => Ok(()),
        found if found == expected => Ok(()),
        found => Err(RdbError::WrongChecksum { expected, found }),
    }
}

/// Minus one is no expiry; a time before the epoch is as past as the epoch.
fn expiry(ms: i64) -> Option<u64> {
    (ms != -1).then(|| u64::try_from(ms).unwrap_or(0))
}

/// The fields that a snapshot starts with; unknown ones are skipped, as the format wants it.
#[derive(Debug, Default)]
struct AuxFields {
    created_s: Option<u64>,
    used_memory: Option<u64>,
    replication_id: Option<String>,
    replication_offset: Option<u64>,
    aof_base: bool,
}

impl AuxFields {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let number = text.parse().ok();
        match name {
            b"ctime" => self.created_s = number,
            b"used-mem" => self.used_memory = number,
            b"repl-id" if value.len() == REPLICATION_ID_LENGTH => {
                self.replication_id = Some(text.into_owned());
            }
            b"repl-offset" => self.replication_offset = number,
            b"aof-base" => self.aof_base = number == Some(1),
            _ => {}
        }
    }

    fn origin(self) -> Origin {
        let point = self.replication_id.zip(self.replication_offset);
        Origin {
            created_s: self.created_s.unwrap_or(0),
            used_memory: self.used_memory.unwrap_or(0),
            replication: point.map(|(id, offset)| ReplicationPoint { id, offset }),
            aof_base: self.aof_base,
        }
    }
}

/// A value as `DUMP` gives it.
pub fn dump(value: &Value) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(value::type_of(value));
    value::write(&mut out, value);
    out.raw(&(VERSION as u16).to_le_bytes());
    out.finish_with_checksum()
}

/// Why `RESTORE` refuses a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Not from `DUMP`, damaged, or from a newer server.
    #[error("DUMP payload version or checksum are wrong")]
    WrongVersionOrChecksum,
    /// No value that can be loaded.
    #[error("Bad data format")]
    BadData(Option<RdbError>),
}

/// Reads what `DUMP` gave, here or on a real server. All of it is checked, as with Redis's `sanitize-dump-payload yes`.
///
/// # Errors
/// When it was not given by `DUMP`, or is a value that this server cannot hold.
pub fn restore(payload: &[u8]) -> Result<Value, RestoreError> {
    let Some(end) = payload.len().checked_sub(DUMP_FOOTER) else {
        return Err(RestoreError::WrongVersionOrChecksum);
    };
    let mut footer = Reader::new(payload);
    let is_intact = (|| {
        footer.take(end)?;
        let version = u16::from_le_bytes(footer.array()?);
        let expected = writer::checksum(footer.passed());
        Ok::<_, RdbError>(u32::from(version) <= VERSION && u64::from_le_bytes(footer.array()?) == expected)
    })();
    if is_intact != Ok(true) {
        return Err(RestoreError::WrongVersionOrChecksum);
    }
    // As Redis does: the value may be followed by anything.
    let mut reader = Reader::new(payload);
    let value = reader.byte().and_then(|kind| value::read(&mut reader, kind));
    value.map_err(|error| RestoreError::BadData(Some(error)))?.ok_or(RestoreError::BadData(None))
}
