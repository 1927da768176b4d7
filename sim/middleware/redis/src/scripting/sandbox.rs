//! The Lua state of the scripts: what they can reach, and the limits that they cannot escape.
//!
//! Instructions are counted by a hook. When they are used up, the hook fires at every instruction from then on,
//! so a script that catches the error with `pcall` runs into it again at once. What loops in C without
//! instructions (patterns, `string.rep`, sorting, moving elements) is replaced; there are no coroutines, which
//! would have hooks of their own. Memory is limited by the allocator. A state that ran into a limit is thrown away.

use std::{
    ffi::c_int,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use mlua::{
    Error, HookTriggers, Lua, LuaOptions, StdLib, Table, VmState,
    chunk::ChunkMode,
    state::{GcIncParams, GcMode},
};
use wire::redis::reply::{Protocol, Writer};

use super::{
    Call, Limits,
    calls::{Running, lend},
    eval::{Ended, Entry},
    natives,
    random::Random,
};
use crate::{commands::Database, error::ReplyError};

/// Name of scripts in messages, as in Redis.
pub(super) const CHUNK_NAME: &str = "@user_script";
/// Instructions between two looks at the budget.
const HOOK_INTERVAL: u32 = 1000;
/// How far memory grows, in percent of what is alive, until garbage is collected.
const GC_PAUSE: c_int = 1000;

/// An error that a function of ours raises in a script.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ScriptError {
    /// Becomes an error table: it has the code of an error reply.
    #[error("{0}")]
    Reply(String),
    /// Becomes a string, like an error of Lua's own library.
    #[error("{0}")]
    Lua(String),
    /// The script used up its instructions.
    #[error("the script exceeded its limit of instructions")]
    OutOfInstructions,
}

impl ScriptError {
    pub(super) fn reply(message: impl Into<String>) -> Error {
        Error::external(ScriptError::Reply(message.into()))
    }

    /// Finds the error of ours behind one of mlua's.
    pub(super) fn behind(error: &Error) -> Option<&ScriptError> {
        match error {
            Error::CallbackError { cause, .. } => Self::behind(cause),
            Error::ExternalError(inner) => inner.downcast_ref(),
            _ => None,
        }
    }
}

/// The instructions that are left to the running script.
#[derive(Debug, Default)]
pub(super) struct Budget {
    left: AtomicU64,
    exceeded: AtomicBool,
}

impl Budget {
    fn refill(&self, instructions: u64) {
        self.left.store(instructions, Ordering::Relaxed);
    }

    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// Takes instructions off the budget. When there are none left, the script can do nothing any more.
    pub(super) fn spend(self: &Arc<Self>, lua: &Lua, instructions: u64) -> mlua::Result<()> {
        let left = self.left().saturating_sub(instructions);
        self.left.store(left, Ordering::Relaxed);
        if left > 0 {
            return Ok(());
        }
        if !self.exceeded.swap(true, Ordering::Relaxed) {
            self.hook(lua, 1)?;
        }
        Err(Error::external(ScriptError::OutOfInstructions))
    }

    fn hook(self: &Arc<Self>, lua: &Lua, interval: u32) -> mlua::Result<()> {
        let budget = self.clone();
        lua.set_hook(HookTriggers::new().every_nth_instruction(interval), move |lua, _| {
            budget.spend(lua, u64::from(interval)).map(|()| VmState::Continue)
        })
    }
}

/// A Lua state with the scripts that were compiled in it.
pub(super) struct Sandbox {
    lua: Lua,
    limits: Limits,
    budget: Arc<Budget>,
    random: Arc<Random>,
    /// The environment of scripts.
    globals: Table,
    /// The compiled scripts, by their places.
    scripts: Table,
    /// Which places have a script.
    compiled: Vec<bool>,
    entry: Entry,
    /// For the replies of commands that scripts call; kept for its memory.
    scratch: Writer,
    /// A script ran out of memory.
    out_of_memory: bool,
}

impl Sandbox {
    pub(super) fn new(limits: Limits) -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::default())?;
        let budget = Arc::new(Budget::default());
        let random = Arc::new(Random::default());
        let native = natives::table(&lua, &budget, &random)?;
        let constants = natives::constants(&lua)?;
        let (globals, variables): (Table, Table) = lua
            .load(include_str!("sandbox.lua"))
            .set_name("=sandbox")
            .set_mode(ChunkMode::Text)
            .call((native, constants))?;
        let scripts = lua.create_table()?;
        let entry = Entry::new(&lua, &variables, &scripts, &natives::error_text(&lua)?)?;
        lua.set_memory_limit(limits.memory)?;
        // Scripts leave little that lives on: to look for it seldom costs memory, of which `tidy` sees that there is
        // enough.
        lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(GC_PAUSE)));
        budget.hook(&lua, HOOK_INTERVAL)?;
        Ok(Self {
            lua,
            limits,
            budget,
            random,
            globals,
            scripts,
            compiled: Vec::new(),
            entry,
            scratch: Writer::default(),
            out_of_memory: false,
        })
    }

    /// Did a script break a limit, so that this state must not be used again?
    pub(super) fn is_spent(&self) -> bool {
        self.budget.is_exceeded() || self.out_of_memory
    }

    /// Compiles a script for a place, unless it is there.
    pub(super) fn compile(&mut self, place: usize, source: &[u8]) -> Result<(), ReplyError> {
        if self.compiled.get(place) == Some(&true) {
            return Ok(());
        }
        self.tidy();
        self.lua
            .load(source)
            .set_name(CHUNK_NAME)
            .set_mode(ChunkMode::Text)
            .set_environment(self.globals.clone())
            .into_function()
            .and_then(|function| self.scripts.raw_set(place, function))
            .map_err(|error| {
                let message = match &error {
                    Error::SyntaxError { message, .. } => message.clone(),
                    other => first_line(other),
                };
                ReplyError::new(format!("ERR Error compiling script (new function): {message}"))
            })?;
        if self.compiled.len() <= place {
            self.compiled.resize(place + 1, false);
        }
        self.compiled[place] = true;
        Ok(())
    }

    /// Collects the garbage of earlier scripts before it can count against the next one. Lua 5.1 does not collect
    /// when an allocation fails.
    fn tidy(&mut self) {
        if self.limits.memory > 0 && self.entry.used_memory() > self.limits.memory / 2 {
            // It fails when a finalizer does; scripts have none.
            let _ = self.lua.gc_collect();
        }
    }

    /// Runs the script at a place, which is compiled: lends it the data, writes its reply. An error is the text of
    /// the error reply, with a place for the script's digest.
    pub(super) fn run(
        &mut self,
        place: usize,
        call: &Call<'_>,
        db: &mut Database,
        reply: &mut Writer,
    ) -> Result<(), String> {
        let Ok(place) = c_int::try_from(place) else { return Err("ERR too many scripts".to_owned()) };
        self.tidy();
        self.budget.refill(self.limits.instructions.max(1));
        self.random.seed(0);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.set_protocol(Protocol::Resp2);
        let running = Running { db, scratch, read_only: call.read_only, has_written: false };
        let returned = lend(running, || self.entry.run(place, call, reply));
        self.scratch = returned.running.scratch;
        if self.budget.is_exceeded() {
            let limit = self.limits.instructions;
            return Err(broken_off(&format!("ERR the script exceeded its limit of {limit} instructions")));
        }
        match returned.result {
            Ended::OutOfMemory => self.out_of_memory = true,
            _ if returned.was_jumped_over => self.out_of_memory = true,
            Ended::Replied => return Ok(()),
            Ended::Failed(message) => return Err(message),
            Ended::Refused(reason) => return Err(broken_off(reason)),
        }
        Err(broken_off("ERR memory error: not enough memory"))
    }
}

/// The error of a script that was ended by a limit.
fn broken_off(message: &str) -> String {
    format!("{message} script: {{script}}, on {CHUNK_NAME}:1.")
}

/// An error of mlua's without its traceback.
pub(super) fn first_line(error: &Error) -> String {
    let cause = match error {
        Error::CallbackError { cause, .. } => return first_line(cause),
        other => other.to_string(),
    };
    cause.lines().next().unwrap_or_default().to_owned()
}
