//! Lua scripts: loaded once, compiled once, run as one atomic unit.
//!
//! - `sandbox`: the Lua state: what scripts can reach, and the limits that they cannot escape.
//! - `natives`: the functions in it that are written in Rust.
//! - `calls`: `redis.call` and the conversions between Lua values and replies.
//! - `pattern`: Lua patterns with a bound on backtracking.
//! - `random`: the generator behind `math.random`.

mod bridge;
mod calls;
mod natives;
mod pattern;
mod random;
mod sandbox;

use std::{collections::HashMap, fmt};

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

/// The scripts that the server knows.
pub(crate) struct Scripts {
    limits: Limits,
    sources: HashMap<Digest, Box<[u8]>>,
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
        Self { limits, sources: HashMap::new(), sandbox: None }
    }

    /// Compiles a script if it is new. Fails when it does not compile.
    pub(crate) fn load(&mut self, source: &[u8]) -> Result<Digest, ReplyError> {
        let digest = sha1_smol::Sha1::from(source).digest().bytes();
        if !self.sources.contains_key(&digest) {
            self.sandbox()?.compile(&digest, source)?;
            self.sources.insert(digest, Box::from(source));
        }
        Ok(digest)
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.sources.contains_key(digest)
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

    /// Runs a loaded script and writes its reply.
    pub(crate) fn run(
        &mut self,
        digest: &Digest,
        keys: &Args<'_>,
        arguments: &Args<'_>,
        read_only: bool,
        db: &mut Database,
        reply: &mut Writer,
    ) -> Outcome {
        let sandbox = match &mut self.sandbox {
            Some(sandbox) => sandbox,
            empty => empty.insert(Sandbox::new(self.limits).map_err(broken)?),
        };
        if let Some(source) = self.sources.get(digest) {
            sandbox.compile(digest, source)?;
        }
        let outcome = sandbox.run(digest, keys, arguments, read_only, db, reply);
        if sandbox.is_spent() {
            self.sandbox = None;
        }
        outcome
    }
}

/// The Lua state itself could not be set up: only for want of memory.
fn broken(error: impl fmt::Display) -> ReplyError {
    ReplyError::new(format!("ERR The Lua state cannot be set up: {error}"))
}

/// A digest in hexadecimal digits.
pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a digest from hexadecimal digits of either case.
pub(crate) fn digest_from_hex(text: &[u8]) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != digest.len() * 2 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |place: usize| pair.get(place).and_then(|digit| char::from(*digit).to_digit(16));
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(digest)
}
