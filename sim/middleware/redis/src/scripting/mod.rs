//! Lua scripts: loaded once, compiled once, run as one atomic unit.
//!
//! - `sandbox`: the Lua state: what scripts can reach, and the limits that they cannot escape.
//! - `eval`: one run of a script: its arguments, the call, its reply.
//! - `bridge`: `redis.call`, with the way of its reply into Lua.
//! - `result`: the way of what a script returns into a reply.
//! - `calls`: what a running script works on, lent to the functions that it calls.
//! - `natives`: the other functions that are written in Rust.
//! - `pattern`: Lua patterns with a bound on backtracking.
//! - `random`: the generator behind `math.random`.

mod bridge;
mod calls;
mod eval;
mod natives;
mod pattern;
mod random;
mod result;
mod sandbox;

use std::fmt;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use wire::redis::reply::Writer;

use crate::{
    commands::{Args, Database},
    error::{Outcome, ReplyError},
};
use sandbox::Sandbox;

/// SHA-1 of a script's source: its name.
pub(crate) type Digest = [u8; 20];

/// What one run of a script may use. A script that needs more ends with an error; what it did before stays done,
/// as after any error in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of the Lua machine (steps of pattern matching count as well).
    pub instructions: u64,
    /// Bytes of memory of the Lua state.
    pub memory: usize,
}

impl Default for Limits {
    /// A million instructions, 32 MiB.
    fn default() -> Self {
        Self { instructions: 1_000_000, memory: 32 * 1024 * 1024 }
    }
}

/// One call of a script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) keys: &'a Args<'a>,
    pub(crate) arguments: &'a Args<'a>,
    /// Commands that write are refused.
    pub(crate) read_only: bool,
}

/// A script that the server knows: its place among them, until they are forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script(usize);

/// The scripts that the server knows.
pub(crate) struct Scripts {
    limits: Limits,
    sources: IndexMap<Digest, Box<[u8]>, FxBuildHasher>,
    /// Made when the first script is loaded, and again after a script broke a limit.
    sandbox: Option<Sandbox>,
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts").field("loaded", &self.sources.len()).finish_non_exhaustive()
    }
}

impl Scripts {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, sources: IndexMap::default(), sandbox: None }
    }

    /// Compiles a script if it is new. Fails when it does not compile.
    pub(crate) fn load(&mut self, source: &[u8]) -> Result<Script, ReplyError> {
        let digest = sha1_smol::Sha1::from(source).digest().bytes();
        if let Some(script) = self.find(&digest) {
            return Ok(script);
        }
        let place = self.sources.len();
        self.sandbox()?.compile(place, source)?;
        self.sources.insert(digest, Box::from(source));
        Ok(Script(place))
    }

    /// Number of scripts.
    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    pub(crate) fn find(&self, digest: &Digest) -> Option<Script> {
        self.sources.get_index_of(digest).map(Script)
    }

    /// The digest of a script in hexadecimal digits.
    pub(crate) fn digest(&self, script: Script) -> String {
        self.sources.get_index(script.0).map(|(digest, _)| hex(digest)).unwrap_or_default()
    }

    /// Forgets all scripts.
    pub(crate) fn flush(&mut self) {
        self.sources.clear();
        self.sandbox = None;
    }

    fn sandbox(&mut self) -> Result<&mut Sandbox, ReplyError> {
        match &mut self.sandbox {
            Some(sandbox) => Ok(sandbox),
            empty => Ok(empty.insert(Sandbox::new(self.limits).map_err(broken)?)),
        }
    }

    /// Runs a script and writes its reply. What was written before an error is still there.
    pub(crate) fn run(
        &mut self,
        script: Script,
        call: &Call<'_>,
        db: &mut Database,
        reply: &mut Writer,
    ) -> Outcome {
        self.sandbox()?;
        let (Some(sandbox), Some((_, source))) = (&mut self.sandbox, self.sources.get_index(script.0)) else {
            return Ok(());
        };
        sandbox.compile(script.0, source)?;
        let outcome = sandbox.run(script.0, call, db, reply);
        if sandbox.is_spent() {
            self.sandbox = None;
        }
        outcome.map_err(|message| {
            // The last one is the place for the digest; the script may have written others.
            let (before, after) = message.rsplit_once("{script}").unwrap_or((&message, ""));
            ReplyError::new(format!("{before}{}{after}", self.digest(script)))
        })
    }
}

/// The Lua state itself could not be set up: only for want of memory.
fn broken(error: impl fmt::Display) -> ReplyError {
    ReplyError::new(format!("ERR The Lua state cannot be set up: {error}"))
}

/// A digest in hexadecimal digits.
fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a digest from hexadecimal digits of either case.
pub(crate) fn digest_from_hex(text: &[u8]) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != digest.len() * 2 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? * 16 + low?) as u8;
    }
    Some(digest)
}
