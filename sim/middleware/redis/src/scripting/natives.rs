//! The functions of the sandbox that are written in Rust: the `redis` table, and those of Lua's library that
//! must be deterministic or bounded.

use std::sync::Arc;

use mlua::{Error, Function, Lua, LuaString, MultiValue, Table, Value, Variadic};

use super::{
    bridge, calls,
    pattern::{self, Capture, Match, PatternError},
    random::Random,
    sandbox::{Budget, CHUNK_NAME, ScriptError, first_line},
};
use crate::error::ReplyError;

/// Longest result of `string.rep`, in bytes; the memory limit is usually lower.
const MAX_REPEATED: usize = 512 * 1024 * 1024;
/// Bytes copied for one instruction.
const BYTES_PER_INSTRUCTION: usize = 64;

/// All functions, by the names that `sandbox.lua` uses.
pub(super) fn table(lua: &Lua, budget: &Arc<Budget>, random: &Arc<Random>) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    redis_functions(lua, &native)?;
    string_functions(lua, &native, budget)?;
    math_functions(lua, &native, random)?;
    error_functions(lua, &native)?;
    Ok(native)
}

/// The constants of the `redis` table.
pub(super) fn constants(lua: &Lua) -> mlua::Result<Table> {
    let constants = lua.create_table()?;
    for (name, value) in [
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
        ("REDIS_VERSION_NUM", 0x0007_000F),
    ] {
        constants.raw_set(name, value)?;
    }
    constants.raw_set("REDIS_VERSION", crate::commands::VERSION)?;
    Ok(constants)
}

fn redis_functions(lua: &Lua, native: &Table) -> mlua::Result<()> {
    // SAFETY: these are written for the bare stack, and Lua calls them with nothing else.
    #[allow(unsafe_code)]
    unsafe {
        native.raw_set("call", lua.create_c_function(bridge::call)?)?;
        native.raw_set("pcall", lua.create_c_function(bridge::pcall)?)?;
    }
    reply_functions(lua, native)?;

    let sha1hex = |lua: &Lua, arguments: MultiValue| match (arguments.len(), arguments.front()) {
        (1, Some(value)) => {
            // What is no text counts as an empty one.
            let text = match value {
                Value::String(_) | Value::Integer(_) | Value::Number(_) => {
                    lua.coerce_string(value.clone())?
                }
                _ => None,
            };
            let digest = match text {
                Some(text) => sha1_smol::Sha1::from(&*text.as_bytes()).digest(),
                None => sha1_smol::Sha1::new().digest(),
            };
            Ok(digest.to_string())
        }
        _ => Err(ScriptError::reply("ERR wrong number of arguments")),
    };
    native.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    // There is no log file: only the arguments are checked.
    let log = |_: &Lua, arguments: MultiValue| match arguments.front() {
        _ if arguments.len() < 2 => {
            Err(ScriptError::reply("ERR redis.log() requires two arguments or more."))
        }
        Some(Value::Integer(0..=3)) => Ok(()),
        Some(Value::Number(level)) if (0.0..4.0).contains(level) => Ok(()),
        Some(Value::Integer(_) | Value::Number(_)) => Err(ScriptError::reply("ERR Invalid log level.")),
        _ => Err(ScriptError::reply("ERR First argument must be a number (log level).")),
    };
    native.raw_set("log", lua.create_function(log)?)?;
    let setresp = |_: &Lua, arguments: Variadic<f64>| match arguments.as_slice() {
        [version] => calls::set_protocol(*version as i64).map_err(|error| ScriptError::reply(error.0)),
        _ => Err(ScriptError::reply("ERR redis.setresp() requires one argument.")),
    };
    native.raw_set("setresp", lua.create_function(setresp)?)?;

    // Without replication and debugger these do nothing.
    let nothing = |_: &Lua, _: MultiValue| Ok(());
    native.raw_set("set_repl", lua.create_function(nothing)?)?;
    native.raw_set("debug", lua.create_function(nothing)?)?;
    native.raw_set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    native.raw_set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)
}

/// `redis.error_reply` and `redis.status_reply`: tables that become replies.
fn reply_functions(lua: &Lua, native: &Table) -> mlua::Result<()> {
    let error_reply = |lua: &Lua, arguments: MultiValue| match only_text(&arguments) {
        None => error_table(lua, &WRONG_ARGUMENT),
        Some(text) => {
            let text = text.to_string_lossy();
            let text = text.strip_prefix('-').unwrap_or(&text);
            let code = if text.contains(' ') { "" } else { "ERR " };
            error_table(lua, &ReplyError::new(format!("{code}{text}")))
        }
    };
    native.raw_set("error_reply", lua.create_function(error_reply)?)?;
    let status_reply = |lua: &Lua, arguments: MultiValue| match only_text(&arguments) {
        None => error_table(lua, &WRONG_ARGUMENT),
        Some(text) => {
            let table = lua.create_table()?;
            table.raw_set("ok", text)?;
            Ok(Value::Table(table))
        }
    };
    native.raw_set("status_reply", lua.create_function(status_reply)?)
}

const WRONG_ARGUMENT: ReplyError = crate::error::fixed("ERR wrong number or type of arguments");

fn only_text(arguments: &MultiValue) -> Option<LuaString> {
    match (arguments.len(), arguments.front()) {
        (1, Some(Value::String(text))) => Some(text.clone()),
        _ => None,
    }
}

fn error_table(lua: &Lua, error: &ReplyError) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(error.as_bytes())?)?;
    Ok(Value::Table(table))
}

/// The line of the script that is being executed.
fn script_line(lua: &Lua) -> Option<usize> {
    for level in 0..=250 {
        let found = lua.inspect_stack(level, |frame| {
            let in_script = frame.source().source.as_deref() == Some(CHUNK_NAME);
            if in_script { frame.current_line() } else { None }
        })?;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// An error like those of Lua's own library: with the place in the script.
fn lua_error(lua: &Lua, message: &str) -> Error {
    let place = script_line(lua).map(|line| format!("user_script:{line}: ")).unwrap_or_default();
    Error::external(ScriptError::Lua(format!("{place}{message}")))
}

fn type_name(value: Option<&Value>) -> &'static str {
    match value {
        None => "no value",
        Some(Value::Nil) => "nil",
        Some(Value::Boolean(_)) => "boolean",
        Some(Value::Integer(_) | Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Table(_)) => "table",
        Some(Value::Function(_)) => "function",
        Some(_) => "userdata",
    }
}

/// A string argument, or a number that stands for one.
fn text_argument(lua: &Lua, arguments: &MultiValue, place: usize, name: &str) -> mlua::Result<LuaString> {
    let value = arguments.get(place - 1);
    if let Some(value @ (Value::String(_) | Value::Number(_) | Value::Integer(_))) = value
        && let Some(text) = lua.coerce_string(value.clone())?
    {
        return Ok(text);
    }
    let given = type_name(value);
    Err(lua_error(lua, &format!("bad argument #{place} to '{name}' (string expected, got {given})")))
}

fn number_argument(lua: &Lua, arguments: &MultiValue, place: usize, name: &str) -> mlua::Result<f64> {
    let value = arguments.get(place - 1);
    if let Some(value @ (Value::String(_) | Value::Number(_) | Value::Integer(_))) = value
        && let Some(number) = lua.coerce_number(value.clone())?
    {
        return Ok(number);
    }
    let given = type_name(value);
    Err(lua_error(lua, &format!("bad argument #{place} to '{name}' (number expected, got {given})")))
}

fn is_none_or_nil(arguments: &MultiValue, place: usize) -> bool {
    arguments.get(place - 1).is_none_or(Value::is_nil)
}

fn string_functions(lua: &Lua, native: &Table, budget: &Arc<Budget>) -> mlua::Result<()> {
    let shared = budget.clone();
    let find = move |lua: &Lua, arguments: MultiValue| search(lua, &shared, &arguments, true);
    native.raw_set("find", lua.create_function(find)?)?;
    let shared = budget.clone();
    let matches = move |lua: &Lua, arguments: MultiValue| search(lua, &shared, &arguments, false);
    native.raw_set("match", lua.create_function(matches)?)?;

    // match_from(s, pattern, position, anchors): start, end, captures (the whole match without any).
    let shared = budget.clone();
    let match_from =
        move |lua: &Lua, (s, pattern, position, anchors): (LuaString, LuaString, usize, bool)| {
            let (text, pattern) = (s.as_bytes(), pattern.as_bytes());
            let from = position.saturating_sub(1);
            let found = if anchors {
                bounded(lua, &shared, |steps| pattern::find(&text, &pattern, from, steps))
            } else {
                // In gmatch, a '^' has no meaning of its own.
                bounded(lua, &shared, |steps| pattern::find_unanchored(&text, &pattern, from, false, steps))
            }?;
            let Some(found) = found else { return Ok(MultiValue::new()) };
            let mut values = positions(&found);
            push_captures(lua, &text, &found, true, &mut values)?;
            Ok(MultiValue::from_vec(values))
        };
    native.raw_set("match_from", lua.create_function(match_from)?)?;
    native.raw_set(
        "is_anchored",
        lua.create_function(|_, pattern: LuaString| Ok(pattern.as_bytes().starts_with(b"^")))?,
    )?;
    native.raw_set("expand", lua.create_function(|lua, arguments: MultiValue| expand(lua, &arguments))?)?;

    let shared = budget.clone();
    let rep = move |lua: &Lua, arguments: MultiValue| {
        let text = text_argument(lua, &arguments, 1, "rep")?;
        let count = number_argument(lua, &arguments, 2, "rep")?;
        let text = text.as_bytes();
        // A negative count converts to zero.
        let count = if text.is_empty() { 0 } else { count as usize };
        let length = count.saturating_mul(text.len());
        if length > MAX_REPEATED {
            return Err(lua_error(lua, "resulting string too large"));
        }
        shared.spend(lua, (length / BYTES_PER_INSTRUCTION) as u64)?;
        lua.create_string(text.repeat(count))
    };
    native.raw_set("rep", lua.create_function(rep)?)?;
    let check_string = |lua: &Lua, (value, place, name): (Value, usize, String)| {
        let mut arguments = vec![Value::Nil; place.saturating_sub(1)];
        arguments.push(value);
        text_argument(lua, &MultiValue::from_vec(arguments), place, &name)
    };
    native.raw_set("check_string", lua.create_function(check_string)?)?;
    let check_integer = |lua: &Lua, (value, place, name): (Value, usize, String)| {
        let mut arguments = vec![Value::Nil; place.saturating_sub(1)];
        arguments.push(value);
        number_argument(lua, &MultiValue::from_vec(arguments), place, &name).map(f64::trunc)
    };
    native.raw_set("check_integer", lua.create_function(check_integer)?)?;
    let name_of_type = |_: &Lua, arguments: MultiValue| Ok(type_name(arguments.front()));
    native.raw_set("type_name", lua.create_function(name_of_type)?)
}

/// `string.find` and `string.match`.
fn search(
    lua: &Lua,
    budget: &Arc<Budget>,
    arguments: &MultiValue,
    is_find: bool,
) -> mlua::Result<MultiValue> {
    let name = if is_find { "find" } else { "match" };
    let text = text_argument(lua, arguments, 1, name)?;
    let pattern = text_argument(lua, arguments, 2, name)?;
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let init = if is_none_or_nil(arguments, 3) { 1.0 } else { number_argument(lua, arguments, 3, name)? };
    let init = init as i64;
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let from = if init < 0 { (length + init.max(-length)).max(0) } else { (init - 1).max(0) };
    // As Lua 5.1: a start beyond the end counts as the end.
    let from = from.min(length) as usize;
    let plain =
        is_find && arguments.get(3).is_some_and(|value| !matches!(value, Value::Nil | Value::Boolean(false)));
    let special = pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte));
    let nothing = || Ok(MultiValue::from_vec(vec![Value::Nil]));
    if is_find && (plain || !special) {
        let rest = text.get(from..).unwrap_or_default();
        budget.spend(lua, (rest.len() / BYTES_PER_INSTRUCTION) as u64)?;
        return match find_plain(rest, &pattern) {
            Some(at) => {
                let (start, end) = (from + at + 1, from + at + pattern.len());
                Ok(MultiValue::from_vec(vec![Value::Number(start as f64), Value::Number(end as f64)]))
            }
            None => nothing(),
        };
    }
    let found = bounded(lua, budget, |steps| pattern::find(&text, &pattern, from, steps))?;
    let Some(found) = found else { return nothing() };
    let mut values = if is_find { positions(&found) } else { Vec::new() };
    push_captures(lua, &text, &found, !is_find, &mut values)?;
    Ok(MultiValue::from_vec(values))
}

fn find_plain(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Matches within the budget, and charges it.
fn bounded(
    lua: &Lua,
    budget: &Arc<Budget>,
    run: impl FnOnce(&mut u64) -> Result<Option<Match>, PatternError>,
) -> mlua::Result<Option<Match>> {
    let before = budget.left();
    let mut steps = before;
    let result = run(&mut steps);
    budget.spend(lua, before - steps)?;
    result.map_err(|error| match error {
        PatternError::Malformed(message) => lua_error(lua, message),
        PatternError::InvalidCapture => lua_error(lua, "invalid capture index"),
        PatternError::OutOfSteps => Error::external(ScriptError::OutOfInstructions),
    })
}

fn positions(found: &Match) -> Vec<Value> {
    vec![Value::Number((found.range.start + 1) as f64), Value::Number(found.range.end as f64)]
}

fn push_captures(
    lua: &Lua,
    text: &[u8],
    found: &Match,
    whole_if_none: bool,
    values: &mut Vec<Value>,
) -> mlua::Result<()> {
    let slice = |range: &std::ops::Range<usize>| text.get(range.clone()).unwrap_or_default();
    if found.captures.is_empty() && whole_if_none {
        values.push(Value::String(lua.create_string(slice(&found.range))?));
    }
    for capture in &found.captures {
        values.push(match capture {
            Capture::Text(range) => Value::String(lua.create_string(slice(range))?),
            Capture::Position(at) => Value::Number((at + 1) as f64),
        });
    }
    Ok(())
}

/// The replacement string of `gsub`: `%0` is the whole match, `%1` to `%9` are captures.
fn expand(lua: &Lua, arguments: &MultiValue) -> mlua::Result<LuaString> {
    let replacement = text_argument(lua, arguments, 1, "gsub")?;
    let replacement = replacement.as_bytes();
    let mut out = Vec::with_capacity(replacement.len());
    let mut bytes = replacement.iter();
    while let Some(byte) = bytes.next() {
        match (byte, byte == &b'%') {
            (_, false) => out.push(*byte),
            _ => match bytes.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    // Arguments: the replacement, the whole match, the captures.
                    let place = 2 + usize::from(digit - b'0');
                    if place > arguments.len() {
                        return Err(lua_error(lua, "invalid capture index"));
                    }
                    out.extend_from_slice(&text_argument(lua, arguments, place, "gsub")?.as_bytes());
                }
                Some(other) => out.push(*other),
                None => out.push(0),
            },
        }
    }
    lua.create_string(out)
}

fn math_functions(lua: &Lua, native: &Table, random: &Arc<Random>) -> mlua::Result<()> {
    let shared = random.clone();
    let draw = move |lua: &Lua, arguments: MultiValue| {
        let r = shared.next();
        let bound = |place| number_argument(lua, &arguments, place, "random").map(f64::trunc);
        let empty = |place| lua_error(lua, &format!("bad argument #{place} to 'random' (interval is empty)"));
        match arguments.len() {
            0 => Ok(r),
            1 => {
                let upper = bound(1)?;
                if upper < 1.0 { Err(empty(1)) } else { Ok((r * upper).floor() + 1.0) }
            }
            2 => {
                let (lower, upper) = (bound(1)?, bound(2)?);
                if lower > upper { Err(empty(2)) } else { Ok((r * (upper - lower + 1.0)).floor() + lower) }
            }
            _ => Err(lua_error(lua, "wrong number of arguments")),
        }
    };
    native.raw_set("random", lua.create_function(draw)?)?;
    let shared = random.clone();
    let seed = move |lua: &Lua, arguments: MultiValue| {
        let seed = number_argument(lua, &arguments, 1, "randomseed")?;
        shared.seed(seed as i64);
        Ok(())
    };
    native.raw_set("randomseed", lua.create_function(seed)?)
}

/// The message after a place in `sandbox.lua`, if it has one: scripts do not know that file.
fn without_place(message: &[u8]) -> Option<&[u8]> {
    let rest = message.strip_prefix(b"sandbox:")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest.get(digits..)?.strip_prefix(b": ")
}

fn error_functions(lua: &Lua, native: &Table) -> mlua::Result<()> {
    // What a script catches: tables and strings, never an error object of ours.
    let plain_error = |lua: &Lua, error: Value| match &error {
        Value::Error(inner) => match ScriptError::behind(inner) {
            Some(ScriptError::Reply(message)) => error_table(lua, &ReplyError::new(message.clone())),
            Some(ScriptError::Lua(message)) => Ok(Value::String(lua.create_string(message)?)),
            Some(ScriptError::OutOfInstructions) => Err(Error::external(ScriptError::OutOfInstructions)),
            None => Ok(Value::String(lua.create_string(first_line(inner))?)),
        },
        Value::String(text) => match without_place(&text.as_bytes()) {
            Some(message) => Ok(Value::String(lua.create_string(message)?)),
            None => Ok(error.clone()),
        },
        _ => Ok(error),
    };
    native.raw_set("plain_error", lua.create_function(plain_error)?)
}

/// The function that makes of an error the text of the error reply that ends a script. The digest is filled in later.
pub(super) fn error_text(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua: &Lua, error: Value| {
        let line = script_line(lua).unwrap_or(1);
        let message = match &error {
            Value::Error(inner) => match ScriptError::behind(inner) {
                Some(ScriptError::Reply(message)) => message.clone(),
                Some(error) => format!("ERR {error}"),
                None => format!("ERR {}", first_line(inner)),
            },
            Value::Table(table) => match table.raw_get("err")? {
                Value::String(message) => message.to_string_lossy(),
                _ => "ERR unknown error".to_owned(),
            },
            Value::String(text) => match without_place(&text.as_bytes()) {
                Some(message) => format!("ERR user_script:{line}: {}", String::from_utf8_lossy(message)),
                None => format!("ERR {}", text.to_string_lossy()),
            },
            Value::Nil => "ERR nil".to_owned(),
            Value::Boolean(value) => format!("ERR {value}"),
            Value::Integer(_) | Value::Number(_) => {
                let text = lua.coerce_string(error)?;
                format!("ERR {}", text.map(|text| text.to_string_lossy()).unwrap_or_default())
            }
            other => format!("ERR {}", type_name(Some(other))),
        };
        Ok(format!("{message} script: {{script}}, on {CHUNK_NAME}:{line}."))
    })
}
