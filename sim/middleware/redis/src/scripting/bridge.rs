//! The way from a script to a command and back: C functions on the bare Lua stack.
//!
//! Most of a script's time goes into `redis.call`. Through mlua's safe interface each argument and each element of
//! a reply becomes a referenced, separately protected value, which costs several times what the command costs.
//!
//! Lua reports errors (running out of memory, above all) by `longjmp`. So the work has two halves: `run` is ordinary
//! Rust that calls no function of Lua which can raise; `push` calls those, and neither it nor its callers own
//! anything that would have to be dropped. The reply that is pushed lies in the scratch, which stays borrowed until
//! all of it is pushed.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_char, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
};

use mlua::ffi;
use wire::redis::reply::{format_double, push_integer};

use super::{
    calls::{Running, with_running},
    result::text,
};
use crate::error::{Outcome, ReplyError, fixed};

/// Stack slots that one level of a reply needs.
const SLOTS: c_int = 6;
/// Calls with at most so many arguments need no allocation for them.
const FEW: usize = 16;

/// A panic in a command is a bug of ours; it must not unwind into C.
const PANICKED: ReplyError = fixed("ERR a command called by the script panicked");
const NOT_RUNNING: &[u8] = b"ERR no script is running";
/// Lua jumped out of an earlier call while its reply was pushed.
const OUT_OF_MEMORY: &[u8] = b"ERR the script ran out of memory";

/// `redis.call`: runs the command that its arguments are; returns the reply, or raises the error table.
///
/// # Safety
/// Called by Lua with a valid state.
pub(super) unsafe extern "C-unwind" fn call(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        if !push_outcome(state) {
            ffi::lua_error(state);
        }
    }
    1
}

/// `redis.pcall`: runs the command that its arguments are; returns the reply or the error table.
///
/// # Safety
/// Called by Lua with a valid state.
pub(super) unsafe extern "C-unwind" fn pcall(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as for this function.
    unsafe { push_outcome(state) };
    1
}

/// Runs the command that is on the stack and pushes its reply. False if that is an error.
///
/// # Safety
/// `state` is valid. Lua may jump away from here.
unsafe fn push_outcome(state: *mut ffi::lua_State) -> bool {
    with_running(|loan| {
        let refused = match loan.map(|loan| (loan, loan.borrow())) {
            Some((loan, Some(running))) => {
                let mut reply = run(state, running);
                let is_error = reply.first() == Some(&b'-');
                // SAFETY: `state` is valid, and nothing here needs to be dropped when Lua jumps away. After `push`,
                // what was borrowed is not used any more.
                unsafe {
                    push(state, &mut reply);
                    loan.give_back();
                }
                return !is_error;
            }
            Some((_, None)) => OUT_OF_MEMORY,
            None => NOT_RUNNING,
        };
        // SAFETY: `state` is valid, and a C function has slots for this.
        unsafe { push_field(state, c"err", |state| push_text(state, refused)) };
        false
    })
}

/// Runs the command on the stack; its reply or error reply.
fn run<'a>(state: *mut ffi::lua_State, running: &'a mut Running<'_>) -> &'a [u8] {
    running.scratch.clear();
    let ran = catch_unwind(AssertUnwindSafe(|| execute(state, running)));
    if let Err(error) = ran.unwrap_or(Err(PANICKED)) {
        running.scratch.clear();
        running.scratch.error(error.as_bytes());
    }
    running.scratch.as_bytes()
}

/// Runs the command on the stack: its arguments are strings as they lie there, and numbers as Redis writes them.
fn execute(state: *mut ffi::lua_State, running: &mut Running<'_>) -> Outcome {
    // SAFETY: this only looks at the stack of a valid state.
    let count = usize::try_from(unsafe { ffi::lua_gettop(state) }).unwrap_or(0);
    if count == 0 {
        return Err(fixed("ERR Please specify at least one argument for this redis lib call"));
    }
    let numbers = numbers(state)?;
    let mut few = [&[][..]; FEW];
    let mut many = Vec::new();
    let args = match few.get_mut(..count) {
        Some(args) => args,
        None => {
            many.resize(count, &[][..]);
            &mut many
        }
    };
    let mut texts = numbers.split(|byte| *byte == END);
    for (arg, index) in args.iter_mut().zip(1..) {
        // SAFETY: these calls only look at the stack, and none of them raises. A string stays while it is on the
        // stack, which is until we return.
        *arg = unsafe {
            match ffi::lua_type(state, index) {
                ffi::LUA_TSTRING => text(state, index),
                _ => texts.next().unwrap_or_default(),
            }
        };
    }
    running.execute(args)
}

/// What follows each number in the result of [`numbers`].
const END: u8 = b'\n';

/// The text of each number among the arguments, with an [`END`] after each.
fn numbers(state: *mut ffi::lua_State) -> Result<Vec<u8>, ReplyError> {
    let mut numbers = Vec::new();
    // SAFETY: these calls only look at the stack of a valid state, and none of them raises.
    unsafe {
        for index in 1..=ffi::lua_gettop(state) {
            match ffi::lua_type(state, index) {
                ffi::LUA_TSTRING => {}
                ffi::LUA_TNUMBER => {
                    push_number(ffi::lua_tonumber(state, index), &mut numbers);
                    numbers.push(END);
                }
                _ => return Err(fixed("ERR Lua redis lib command arguments must be strings or integers")),
            }
        }
    }
    Ok(numbers)
}

/// Appends a number as `%.17g` writes it. Whole numbers of up to 17 digits are written out by that, and quickly here:
/// a time in microseconds has 16.
fn push_number(number: f64, out: &mut Vec<u8>) {
    let whole = number as i64;
    if whole as f64 == number && whole.unsigned_abs() < 100_000_000_000_000_000 && whole != 0 {
        push_integer(whole, out);
    } else {
        format_double(number, out);
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
pub(super) unsafe fn push_text(state: *mut ffi::lua_State, text: &[u8]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_written_as_any_other_number() {
        let quick = |number: f64| {
            let (mut quick, mut full) = (Vec::new(), Vec::new());
            push_number(number, &mut quick);
            format_double(number, &mut full);
            assert_eq!(quick, full, "{number}");
        };
        for number in
            [0.0, -0.0, 0.5, 1e15, 1e16, 99_999_999_999_999_984.0, 1e17, 1e18, 1e19, 1e300, f64::NAN]
        {
            quick(number);
            quick(-number);
        }
        quick(f64::INFINITY);
        quick(f64::NEG_INFINITY);
        for power in 0..64 {
            for beside in [-3.0, -1.0, 0.0, 1.0, 2.5] {
                quick(f64::powi(2.0, power) + beside);
                quick(-f64::powi(2.0, power) + beside);
            }
        }
    }
}
