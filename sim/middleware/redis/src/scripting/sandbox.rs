//! The Lua state of the scripts: what they can reach, and the limits that they cannot escape.
//!
//! Instructions are counted by a hook. When they are used up, the hook fires at every instruction from then on,
//! so a script that catches the error with `pcall` runs into it again at once. What loops in C without
//! instructions (patterns, `string.rep`, sorting, moving elements) is replaced; there are no coroutines, which
//! would have hooks of their own. Memory is limited by the allocator. A state that ran into a limit is thrown away.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState, chunk::ChunkMode};
use wire::redis::reply::{Protocol, Writer};

use super::{
    Digest, Limits,
    bridge::with_running,
    calls::{ReplyOf, Running, Shared, lock, unlimited},
    hex, natives,
    random::Random,
};
use crate::{
    commands::{Args, Database},
    error::{Outcome, ReplyError},
};

/// Name of scripts in messages, as in Redis.
pub(super) const CHUNK_NAME: &str = "@user_script";
/// Instructions between two looks at the budget.
const HOOK_INTERVAL: u32 = 1000;

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
    running: Shared,
    random: Arc<Mutex<Random>>,
    functions: HashMap<Digest, Function>,
    /// The environment of scripts.
    globals: Table,
    /// The table behind it, where `KEYS` and `ARGV` are.
    variables: Table,
    run: Function,
    /// The script ran out of memory.
    out_of_memory: bool,
}

impl Sandbox {
    pub(super) fn new(limits: Limits) -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::default())?;
        let budget = Arc::new(Budget::default());
        let running = Shared::default();
        let random = Arc::new(Mutex::new(Random::new(0)));
        let native = natives::table(&lua, &running, &budget, &random)?;
        let constants = natives::constants(&lua)?;
        let (globals, variables, run): (Table, Table, Function) = lua
            .load(include_str!("sandbox.lua"))
            .set_name("=sandbox")
            .set_mode(ChunkMode::Text)
            .call((native, constants))?;
        lua.set_memory_limit(limits.memory)?;
        budget.hook(&lua, HOOK_INTERVAL)?;
        let functions = HashMap::new();
        Ok(Self {
            lua,
            limits,
            budget,
            running,
            random,
            functions,
            globals,
            variables,
            run,
            out_of_memory: false,
        })
    }

    /// Did a script break a limit, so that this state must not be used again?
    pub(super) fn is_spent(&self) -> bool {
        self.budget.is_exceeded() || self.out_of_memory
    }

    pub(super) fn compile(&mut self, digest: &Digest, source: &[u8]) -> Result<(), ReplyError> {
        if self.functions.contains_key(digest) {
            return Ok(());
        }
        self.tidy();
        let function = self
            .lua
            .load(source)
            .set_name(CHUNK_NAME)
            .set_mode(ChunkMode::Text)
            .set_environment(self.globals.clone())
            .into_function()
            .map_err(|error| {
                let message = match &error {
                    Error::SyntaxError { message, .. } => message.clone(),
                    other => first_line(other),
                };
                ReplyError::new(format!("ERR Error compiling script (new function): {message}"))
            })?;
        self.functions.insert(*digest, function);
        Ok(())
    }

    /// Collects the garbage of earlier scripts before it can count against the next one. Lua 5.1 does not collect
    /// when an allocation fails.
    fn tidy(&self) {
        if self.limits.memory > 0 && self.lua.used_memory() > self.limits.memory / 2 {
            // It fails when a finalizer does; scripts have none.
            let _ = self.lua.gc_collect();
        }
    }

    /// Runs a compiled script: lends it the data, writes its reply.
    pub(super) fn run(
        &mut self,
        digest: &Digest,
        keys: &Args<'_>,
        arguments: &Args<'_>,
        read_only: bool,
        db: &mut Database,
        reply: &mut Writer,
    ) -> Outcome {
        let Some(function) = self.functions.get(digest).cloned() else { return Ok(()) };
        self.tidy();
        self.budget.refill(self.limits.instructions.max(1));
        *self.random.lock().unwrap_or_else(PoisonError::into_inner) = Random::new(0);
        {
            let mut running = lock(&self.running);
            *running = Running { db: std::mem::take(db), read_only, ..Running::default() };
        }
        let result = self.call(function, keys, arguments);
        let mut running = lock(&self.running);
        *db = std::mem::take(&mut running.db);
        let resp3 = running.scratch.protocol() == Protocol::Resp3;
        drop(running);
        let mark = reply.len();
        let written = result.and_then(|outcome| match outcome {
            Ok(value) => {
                let mut reply = ReplyOf { reply, resp3, elements: 0 };
                unlimited(&self.lua, || reply.write(&value, 0)).map(|()| Ok(()))
            }
            Err(message) => Ok(Err(message)),
        });
        match written {
            Ok(Ok(())) if !self.budget.is_exceeded() => Ok(()),
            Ok(Err(message)) if !self.budget.is_exceeded() => {
                reply.truncate(mark);
                Err(ReplyError::new(message.replace("{script}", &hex(digest))))
            }
            other => {
                reply.truncate(mark);
                Err(self.broken_off(digest, other.err().as_ref()))
            }
        }
    }

    /// The script's value, or the text of its error reply (with a place for its digest).
    fn call(
        &self,
        function: Function,
        keys: &Args<'_>,
        arguments: &Args<'_>,
    ) -> mlua::Result<Result<Value, String>> {
        unlimited(&self.lua, || {
            for (name, values) in [("KEYS", keys), ("ARGV", arguments)] {
                let table = self.lua.create_table_with_capacity(values.len(), 0)?;
                for (index, value) in values.iter().enumerate() {
                    table.raw_set(index + 1, self.lua.create_string(value)?)?;
                }
                self.variables.raw_set(name, table)?;
            }
            Ok(())
        })?;
        match with_running(&self.running, || self.run.call::<(bool, Value)>(function))? {
            (true, value) => Ok(Ok(value)),
            (false, Value::String(message)) => Ok(Err(message.to_string_lossy())),
            (false, _) => Ok(Err("ERR unknown error script: {script}, on @user_script:1.".to_owned())),
        }
    }

    /// The error of a script that was ended by a limit or by an error beyond its own handling.
    fn broken_off(&mut self, digest: &Digest, error: Option<&Error>) -> ReplyError {
        let message = match error {
            _ if self.budget.is_exceeded() => {
                format!("ERR the script exceeded its limit of {} instructions", self.limits.instructions)
            }
            Some(error) => match ScriptError::behind(error) {
                Some(error) => error.to_string(),
                None => {
                    self.out_of_memory |= is_memory_error(error);
                    format!("ERR {}", first_line(error))
                }
            },
            None => "ERR unknown error".to_owned(),
        };
        ReplyError::new(format!("{message} script: {}, on {CHUNK_NAME}:1.", hex(digest)))
    }
}

fn is_memory_error(error: &Error) -> bool {
    match error {
        Error::MemoryError(_) => true,
        Error::CallbackError { cause, .. } => is_memory_error(cause),
        _ => false,
    }
}

/// An error of mlua's without its traceback.
pub(super) fn first_line(error: &Error) -> String {
    let cause = match error {
        Error::CallbackError { cause, .. } => return first_line(cause),
        other => other.to_string(),
    };
    cause.lines().next().unwrap_or_default().to_owned()
}
