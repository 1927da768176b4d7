//! What scripts call in the server, and the conversions between Lua values and replies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlua::{Lua, Table, Value};
use wire::redis::reply::{Protocol, Writer};

use super::sandbox::ScriptError;
use crate::{
    commands::{self, Context, Database, Run},
    error::ReplyError,
};

/// Deepest nesting of tables in a script's reply.
const MAX_REPLY_DEPTH: usize = 64;
/// Most elements of a script's reply, all levels together: a table may contain itself.
const MAX_REPLY_ELEMENTS: usize = 1024 * 1024;

/// What a running script works on. The server's data is lent to it and taken back at its end.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) db: Database,
    /// Replies of the commands that the script calls, one at a time.
    pub(super) scratch: Writer,
    pub(super) read_only: bool,
}

/// Shared by the sandbox and the functions in it.
pub(super) type Shared = Arc<Mutex<Running>>;

pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Running> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `convert` without the memory limit, and checks the limit afterwards.
///
/// Under a limit, mlua wraps every single operation in a protected call of its own, which costs more than the whole
/// command. What a conversion allocates is bounded by the reply or the arguments that it converts.
///
/// # Errors
/// `MemoryError` when more than the limit is in use afterwards.
pub(super) fn unlimited<T>(lua: &Lua, convert: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
    let limit = lua.set_memory_limit(0)?;
    let converted = convert();
    lua.set_memory_limit(limit)?;
    if limit > 0 && lua.used_memory() > limit {
        return Err(mlua::Error::MemoryError("not enough memory".to_owned()));
    }
    converted
}

/// Runs a command for a script; its reply goes into the scratch.
pub(super) fn execute(running: &mut Running, args: &[&[u8]]) -> Result<(), ReplyError> {
    let name = args.first().copied().unwrap_or_default();
    let command =
        commands::find(name).ok_or(crate::error::fixed("ERR Unknown Redis command called from script"))?;
    if !command.accepts(args.len()) {
        return Err(crate::error::fixed("ERR Wrong number of args calling Redis command from script"));
    }
    let Run::Data(run) = command.run else {
        return Err(crate::error::fixed("ERR This Redis command is not allowed from script"));
    };
    if running.read_only && command.writes {
        return Err(crate::error::fixed("ERR Write commands are not allowed from read-only scripts."));
    }
    run(&mut Context { db: &mut running.db, reply: &mut running.scratch }, args)
}

/// Writes what a script returned as its reply.
pub(super) struct ReplyOf<'a> {
    pub(super) reply: &'a mut Writer,
    /// The script asked for RESP3 with `redis.setresp(3)`.
    pub(super) resp3: bool,
    pub(super) elements: usize,
}

impl ReplyOf<'_> {
    /// Fails when the reply would be too large or a table is nested too deeply.
    pub(super) fn write(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        self.elements += 1;
        if self.elements > MAX_REPLY_ELEMENTS {
            return Err(ScriptError::reply("ERR the reply of the script is too large"));
        }
        match value {
            Value::Nil => self.reply.null(),
            Value::Boolean(value) if self.resp3 => self.reply.boolean(*value),
            Value::Boolean(true) => self.reply.integer(1),
            Value::Boolean(false) => self.reply.null(),
            Value::Integer(number) => self.reply.integer(*number),
            Value::Number(number) => self.reply.integer(truncate(*number)),
            Value::String(text) => self.reply.bulk(&text.as_bytes()),
            Value::Table(table) if depth < MAX_REPLY_DEPTH => self.table(table, depth)?,
            Value::Table(_) => return Err(ScriptError::reply("ERR reached lua stack limit")),
            _ => self.reply.null(),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if let Value::String(message) = table.raw_get("err")? {
            let message = message.as_bytes();
            self.reply.error(message.strip_prefix(b"-").unwrap_or(&message));
        } else if let Value::String(status) = table.raw_get("ok")? {
            self.reply.status(&String::from_utf8_lossy(&status.as_bytes()));
        } else if let Some(number) = number(&table.raw_get("double")?) {
            self.reply.double(number);
        } else if let Value::Table(map) = table.raw_get("map")? {
            let mut pairs = 0;
            map.for_each(|_: Value, _: Value| {
                pairs += 1;
                Ok(())
            })?;
            self.reply.map(pairs);
            map.for_each(|key: Value, value: Value| {
                self.write(&key, depth + 1)?;
                self.write(&value, depth + 1)
            })?;
        } else if let Value::Table(set) = table.raw_get("set")? {
            let mut members = 0;
            set.for_each(|_: Value, _: Value| {
                members += 1;
                Ok(())
            })?;
            self.reply.set(members);
            set.for_each(|member: Value, _: Value| self.write(&member, depth + 1))?;
        } else {
            // Up to the first nil, as Redis counts.
            let mut length = 0;
            while !table.raw_get::<Value>(length + 1)?.is_nil() {
                length += 1;
            }
            self.reply.array(length);
            for index in 1..=length {
                self.write(&table.raw_get(index)?, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

/// As C does on x86-64: towards zero, and the smallest integer for what is out of range.
fn truncate(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// The protocol of replies to a script's own calls.
pub(super) fn set_protocol(shared: &Shared, version: i64) -> Result<(), ReplyError> {
    let protocol = match version {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return Err(crate::error::fixed("ERR RESP version must be 2 or 3.")),
    };
    lock(shared).scratch.set_protocol(protocol);
    Ok(())
}
