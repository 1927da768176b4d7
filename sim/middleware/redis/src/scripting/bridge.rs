//! The way from a script to a command and back: a C function on the bare Lua stack.
//!
//! Most of a script's time goes into `redis.call`. Through mlua's safe interface each argument and each element of
//! a reply becomes a referenced, separately protected value, which costs several times what the command costs.
//!
//! Lua reports errors (running out of memory, above all) by `longjmp`. So the work has two halves: `run_command` is
//! ordinary Rust that calls no function of Lua which can raise; `push` calls those, and owns nothing that would
//! have to be dropped.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};
use std::panic::catch_unwind;

use mlua::ffi;
use wire::redis::reply::format_double;

use super::calls::{Shared, execute, lock};
use crate::error::{ReplyError, fixed};

/// Stack slots that one level of a reply needs.
const SLOTS: c_int = 6;

thread_local! {
    /// What the script that runs on this thread works on.
    static RUNNING: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Lends `running` to the calls of the script that `run` runs.
pub(super) fn with_running<R>(running: &Shared, run: impl FnOnce() -> R) -> R {
    let before = RUNNING.replace(Some(running.clone()));
    let result = run();
    RUNNING.set(before);
    result
}

/// The function for [`mlua::Lua::create_c_function`]: runs the command that its arguments are. Returns the reply;
/// or nil and the text of an error reply.
///
/// # Safety
/// Called by Lua with a valid state.
pub(super) unsafe extern "C-unwind" fn call(state: *mut ffi::lua_State) -> c_int {
    let outcome = catch_unwind(|| RUNNING.with_borrow(|running| run_command(state, running.as_ref())));
    let (reply, length) = outcome.unwrap_or((PANICKED.as_ptr(), PANICKED.len()));
    // SAFETY: the reply lies in the scratch of the running script, which stays as it is until the next command, or
    // is a constant.
    let mut reply = unsafe { std::slice::from_raw_parts(reply, length) };
    // SAFETY: `state` is valid; nothing here needs to be dropped when Lua jumps away.
    unsafe {
        if let Some(message) = reply.strip_prefix(b"-") {
            let message = message.strip_suffix(b"\r\n").unwrap_or(message);
            ffi::lua_pushnil(state);
            push_text(state, message);
            return 2;
        }
        push(state, &mut reply);
    }
    1
}

/// A panic in a command is a bug of ours; it must not unwind into C.
const PANICKED: &[u8] = b"-ERR a command called by the script panicked\r\n";
const NOT_RUNNING: &[u8] = b"-ERR no script is running\r\n";

/// Runs the command on the stack; its reply, or its error reply, is in the scratch.
fn run_command(state: *mut ffi::lua_State, running: Option<&Shared>) -> (*const u8, usize) {
    let Some(running) = running else { return (NOT_RUNNING.as_ptr(), NOT_RUNNING.len()) };
    let mut running = lock(running);
    let running = &mut *running;
    running.scratch.clear();
    let mut numbers = Vec::new();
    let ran = arguments(state, &mut numbers).and_then(|args| execute(running, &args));
    if let Err(error) = ran {
        running.scratch.clear();
        running.scratch.error(error.as_bytes());
    }
    let bytes = running.scratch.as_bytes();
    (bytes.as_ptr(), bytes.len())
}

/// The arguments on the stack: strings as they lie there, numbers as Redis writes them.
fn arguments(
    state: *mut ffi::lua_State,
    numbers: &mut Vec<Vec<u8>>,
) -> Result<Vec<&'static [u8]>, ReplyError> {
    // SAFETY: these calls only look at the stack of a valid state, and none of them raises. `lua_tolstring` on a
    // string neither converts nor allocates; the string stays while it is on the stack, which is until we return.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count == 0 {
            return Err(fixed("ERR Please specify at least one argument for this redis lib call"));
        }
        numbers.reserve_exact(count as usize);
        let mut args = Vec::with_capacity(count as usize);
        for index in 1..=count {
            match ffi::lua_type(state, index) {
                ffi::LUA_TSTRING => {
                    let mut length = 0;
                    let text = ffi::lua_tolstring(state, index, &raw mut length);
                    args.push(std::slice::from_raw_parts(text.cast::<u8>(), length));
                }
                ffi::LUA_TNUMBER => {
                    let mut text = Vec::new();
                    format_double(ffi::lua_tonumber(state, index), &mut text);
                    // Moving the vector into `numbers`, which has room, leaves its bytes where they are.
                    let bytes = std::slice::from_raw_parts(text.as_ptr(), text.len());
                    numbers.push(text);
                    args.push(bytes);
                }
                _ => return Err(fixed("ERR Lua redis lib command arguments must be strings or integers")),
            }
        }
        Ok(args)
    }
}

/// Pushes the next value of a reply that our own writer wrote, as Redis converts it for Lua.
///
/// # Safety
/// `state` is valid. Lua may jump away from here.
unsafe fn push(state: *mut ffi::lua_State, rest: &mut &[u8]) {
    let (kind, text) = line(rest);
    // SAFETY: as for this function; the stack is checked for the slots that a level needs.
    unsafe {
        if ffi::lua_checkstack(state, SLOTS) == 0 {
            ffi::lua_pushnil(state);
            return;
        }
        match kind {
            b':' => ffi::lua_pushnumber(state, number(text) as f64),
            b'$' | b'*' if text == b"-1" => ffi::lua_pushboolean(state, 0),
            b'$' => push_text(state, bulk(rest, number(text))),
            b'+' => push_field(state, c"ok", |state| push_text(state, text)),
            b'-' => push_field(state, c"err", |state| push_text(state, text)),
            b'*' => {
                let count = c_int::try_from(number(text)).unwrap_or(0);
                ffi::lua_createtable(state, count, 0);
                for index in 1..=count {
                    push(state, rest);
                    ffi::lua_rawseti(state, -2, ffi::lua_Integer::from(index));
                }
            }
            b'%' => push_field(state, c"map", |state| {
                ffi::lua_createtable(state, 0, 0);
                for _ in 0..number(text) {
                    push(state, rest);
                    push(state, rest);
                    ffi::lua_rawset(state, -3);
                }
            }),
            b'~' => push_field(state, c"set", |state| {
                ffi::lua_createtable(state, 0, 0);
                for _ in 0..number(text) {
                    push(state, rest);
                    ffi::lua_pushboolean(state, 1);
                    ffi::lua_rawset(state, -3);
                }
            }),
            b',' => push_field(state, c"double", |state| {
                let double = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                ffi::lua_pushnumber(state, double.unwrap_or(0.0));
            }),
            b'#' => ffi::lua_pushboolean(state, c_int::from(text == b"t")),
            b'=' => {
                let text = bulk(rest, number(text));
                push_field(state, c"verbatim_string", |state| {
                    ffi::lua_createtable(state, 0, 2);
                    for (name, part) in [(c"format", text.get(..3)), (c"string", text.get(4..))] {
                        push_text(state, name.to_bytes());
                        push_text(state, part.unwrap_or_default());
                        ffi::lua_rawset(state, -3);
                    }
                });
            }
            _ => ffi::lua_pushnil(state),
        }
    }
}

/// Pushes a table with one field, whose value `push` pushes.
///
/// # Safety
/// As [`push`].
unsafe fn push_field(state: *mut ffi::lua_State, name: &CStr, push: impl FnOnce(*mut ffi::lua_State)) {
    // SAFETY: as for this function.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        push_text(state, name.to_bytes());
        push(state);
        ffi::lua_rawset(state, -3);
    }
}

/// Pushes a string.
///
/// # Safety
/// As [`push`].
unsafe fn push_text(state: *mut ffi::lua_State, text: &[u8]) {
    // SAFETY: Lua copies the bytes.
    unsafe { ffi::lua_pushlstring_(state, text.as_ptr().cast::<c_char>(), text.len()) }
}

/// Takes a line off the reply: its first byte, and the rest of it.
fn line<'a>(rest: &mut &'a [u8]) -> (u8, &'a [u8]) {
    let end = rest.iter().position(|byte| *byte == b'\r').unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.get(2..).unwrap_or_default();
    line.split_first().map_or((b'_', line), |(kind, text)| (*kind, text))
}

/// Takes a string of this length, and the line break after it, off the reply.
fn bulk<'a>(rest: &mut &'a [u8], length: i64) -> &'a [u8] {
    let length = usize::try_from(length).unwrap_or(0).min(rest.len());
    let (bulk, after) = rest.split_at(length);
    *rest = after.get(2..).unwrap_or_default();
    bulk
}

fn number(text: &[u8]) -> i64 {
    crate::number::parse_i64(text).unwrap_or(0)
}
