//! One run of a script in a single function on the bare Lua stack: builds `KEYS` and `ARGV`, calls the script, writes
//! what it returns. See [`super::bridge`] for why, and for the rule that holds here as well: nothing that would have
//! to be dropped is owned where Lua may jump away.
#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_void},
    ptr::NonNull,
};

use mlua::{Function, Lua, Table, ffi};
use wire::redis::reply::{Protocol, Writer};

use super::{
    Call,
    bridge::push_text,
    calls,
    result::{FIELDS, Refusal, Returned, text},
};
use crate::commands::Args;

/// What [`eval`] has as upvalues, by their number.
const VARIABLES: c_int = ffi::lua_upvalueindex(1);
const SCRIPTS: c_int = ffi::lua_upvalueindex(2);
const ERROR_TEXT: c_int = ffi::lua_upvalueindex(3);
const KEYS: c_int = ffi::lua_upvalueindex(4);
const ARGV: c_int = ffi::lua_upvalueindex(5);
/// The first name of a field; the others follow.
const FIRST_FIELD: c_int = 6;

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The reply is written.
    Replied,
    /// With an error: its text, with a place for the script's digest.
    Failed(String),
    /// What it returned cannot be written.
    Refused(Refusal),
    /// The script, its arguments or its reply need more memory than there is.
    OutOfMemory,
}

/// What [`eval`] works on, and what comes of it.
struct Run<'a> {
    script: c_int,
    call: &'a Call<'a>,
    reply: &'a mut Writer,
    ended: Ended,
}

/// The way into the Lua state that does not go through mlua.
pub(super) struct Entry {
    /// The main thread of the state.
    state: NonNull<ffi::lua_State>,
    /// The place of [`eval`] in the registry.
    eval: c_int,
}

// SAFETY: whoever has an entry has the `Lua` that it leads into as well (see `Sandbox`), which may be sent to other
// threads, and it is used through `&mut` only.
unsafe impl Send for Entry {}

impl Entry {
    /// Makes the entry for the scripts in the table `scripts`, which see the globals in `variables`. What `error_text`
    /// makes of a script's error is the text of its error reply.
    pub(super) fn new(
        lua: &Lua,
        variables: &Table,
        scripts: &Table,
        error_text: &Function,
    ) -> mlua::Result<Self> {
        let (mut main, mut reference) = (None, 0);
        // SAFETY: the stack holds the three arguments and has room for the names. Nothing here is to be dropped.
        unsafe {
            lua.exec_raw::<()>((variables, scripts, error_text), |state| {
                main = NonNull::new(state);
                for name in ["KEYS", "ARGV"].iter().chain(&FIELDS) {
                    push_text(state, name.as_bytes());
                }
                ffi::lua_pushcclosure(state, eval, ffi::lua_gettop(state));
                reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
            })?;
        }
        let state = main.ok_or_else(|| mlua::Error::runtime("no state"))?;
        Ok(Self { state, eval: reference })
    }

    /// Bytes that the state uses, to the full KiB.
    pub(super) fn used_memory(&mut self) -> usize {
        // SAFETY: the state is valid, and asking for the count does nothing else.
        let kilobytes = unsafe { ffi::lua_gc(self.state.as_ptr(), ffi::LUA_GCCOUNT, 0) };
        usize::try_from(kilobytes).unwrap_or(0) * 1024
    }

    /// Runs the script at this place of the table, and writes its reply.
    pub(super) fn run(&mut self, script: c_int, call: &Call<'_>, reply: &mut Writer) -> Ended {
        let mut run = Run { script, call, reply, ended: Ended::OutOfMemory };
        let state = self.state.as_ptr();
        // SAFETY: the state is valid, no function is running in it, and its stack has room for what is pushed, since
        // Lua gives each level `LUA_MINSTACK` slots and nothing of mlua's stays there. Nothing but the protected call
        // can raise; `run` is used by nobody else meanwhile.
        unsafe {
            let top = ffi::lua_gettop(state);
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, ffi::lua_Integer::from(self.eval));
            ffi::lua_pushlightuserdata(state, (&raw mut run).cast::<c_void>());
            match ffi::lua_pcall(state, 1, 0, 0) {
                ffi::LUA_OK => {}
                ffi::LUA_ERRMEM => run.ended = Ended::OutOfMemory,
                _ => run.ended = Ended::Failed(message(state)),
            }
            ffi::lua_settop(state, top);
        }
        run.ended
    }
}

/// Runs a script: its argument points to a [`Run`].
///
/// # Safety
/// Called by [`Entry::run`], with the upvalues that [`Entry::new`] gave it.
unsafe extern "C-unwind" fn eval(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as for this function. The references in `run` are not used by anybody else until it ends. When Lua
    // jumps away, nothing is left to be dropped: what `ended` holds belongs to the caller.
    unsafe {
        let run = &mut *ffi::lua_touserdata(state, 1).cast::<Run<'_>>();
        push_list(state, KEYS, run.call.keys);
        push_list(state, ARGV, run.call.arguments);
        ffi::lua_pushvalue(state, ERROR_TEXT);
        ffi::lua_rawgeti(state, SCRIPTS, ffi::lua_Integer::from(run.script));
        match ffi::lua_pcall(state, 0, 1, -2) {
            ffi::LUA_OK => {
                let names = std::array::from_fn(|field| ffi::lua_upvalueindex(FIRST_FIELD + field as c_int));
                let resp3 = calls::protocol() == Protocol::Resp3;
                let mut returned = Returned { reply: run.reply, resp3, elements: 0, names };
                run.ended = match returned.write(state, 0) {
                    Ok(()) => Ended::Replied,
                    Err(refusal) => Ended::Refused(refusal),
                };
            }
            ffi::LUA_ERRMEM => run.ended = Ended::OutOfMemory,
            _ => run.ended = Ended::Failed(message(state)),
        }
    }
    0
}

/// Sets one of the variables to a list of strings.
///
/// # Safety
/// `state` runs [`eval`]. Lua may jump away from here.
unsafe fn push_list(state: *mut ffi::lua_State, name: c_int, values: &Args<'_>) {
    // SAFETY: as for this function; a C function has slots for this.
    unsafe {
        ffi::lua_pushvalue(state, name);
        ffi::lua_createtable(state, c_int::try_from(values.len()).unwrap_or(0), 0);
        for (index, value) in (1..).zip(values) {
            push_text(state, value);
            ffi::lua_rawseti(state, -2, index);
        }
        ffi::lua_rawset(state, VARIABLES);
    }
}

/// The error message on top of the stack: `error_text` made it, or Lua did when there was no way to call that.
///
/// # Safety
/// `state` is valid with a value on its stack.
unsafe fn message(state: *mut ffi::lua_State) -> String {
    // SAFETY: as for this function; nothing here can raise.
    unsafe {
        match ffi::lua_type(state, -1) {
            ffi::LUA_TSTRING => String::from_utf8_lossy(text(state, -1)).into_owned(),
            _ => "ERR unknown error script: {script}, on @user_script:1.".to_owned(),
        }
    }
}
