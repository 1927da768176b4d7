//! Writes what a script returned as its reply, from the bare Lua stack (see [`super::bridge`]).
#![allow(unsafe_code)]

use std::ffi::c_int;

use mlua::ffi;
use wire::redis::reply::Writer;

/// Deepest nesting of tables.
const MAX_DEPTH: usize = 64;
/// Most elements, all levels together: a table may contain itself.
const MAX_ELEMENTS: usize = 1024 * 1024;
/// Stack slots that one level needs.
const SLOTS: c_int = 8;

/// Why a value cannot be written.
pub(super) type Refusal = &'static str;

/// The fields that give a table a meaning, in the order in which they are looked for.
pub(super) const FIELDS: [&str; 5] = ["err", "ok", "double", "map", "set"];

/// Writes the value on top of the stack.
pub(super) struct Returned<'a> {
    pub(super) reply: &'a mut Writer,
    /// The script asked for RESP3 with `redis.setresp(3)`.
    pub(super) resp3: bool,
    pub(super) elements: usize,
    /// Stack indices of the names of [`FIELDS`]. Pushing the names anew would cost a hash of each, and memory.
    pub(super) names: [c_int; FIELDS.len()],
}

impl Returned<'_> {
    /// Writes the value on top of the stack and leaves it there. Fails when the reply would be too large or a table
    /// is nested too deeply; the stack is of no use then.
    ///
    /// # Safety
    /// `state` is valid and has a free slot. Lua may jump away from here.
    pub(super) unsafe fn write(&mut self, state: *mut ffi::lua_State, depth: usize) -> Result<(), Refusal> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err("ERR the reply of the script is too large");
        }
        // SAFETY: as for this function.
        unsafe {
            match ffi::lua_type(state, -1) {
                ffi::LUA_TBOOLEAN => match ffi::lua_toboolean(state, -1) != 0 {
                    value if self.resp3 => self.reply.boolean(value),
                    true => self.reply.integer(1),
                    false => self.reply.null(),
                },
                ffi::LUA_TNUMBER => self.reply.integer(truncate(ffi::lua_tonumber(state, -1))),
                ffi::LUA_TSTRING => self.reply.bulk(text(state, -1)),
                ffi::LUA_TTABLE => {
                    if depth >= MAX_DEPTH || ffi::lua_checkstack(state, SLOTS) == 0 {
                        return Err("ERR reached lua stack limit");
                    }
                    self.table(state, depth)?;
                }
                _ => self.reply.null(),
            }
        }
        Ok(())
    }

    /// # Safety
    /// As for [`Returned::write`], with free slots, and a table on top of the stack.
    unsafe fn table(&mut self, state: *mut ffi::lua_State, depth: usize) -> Result<(), Refusal> {
        let [err, ok, double, map, set] = self.names;
        // SAFETY: as for this function. `field` pushes one value, which each branch pops.
        unsafe {
            let table = ffi::lua_gettop(state);
            if field(state, table, err) == ffi::LUA_TSTRING {
                self.reply.error(text(state, -1));
            } else if field(state, table, ok) == ffi::LUA_TSTRING {
                self.reply.status(&String::from_utf8_lossy(text(state, -1)));
            } else if field(state, table, double) == ffi::LUA_TNUMBER {
                self.reply.double(ffi::lua_tonumber(state, -1));
            } else if field(state, table, map) == ffi::LUA_TTABLE {
                let pairs = count(state)?;
                self.reply.map(pairs);
                self.entries(state, depth, true)?;
            } else if field(state, table, set) == ffi::LUA_TTABLE {
                let members = count(state)?;
                self.reply.set(members);
                self.entries(state, depth, false)?;
            } else {
                ffi::lua_settop(state, table);
                return self.array(state, depth);
            }
            ffi::lua_settop(state, table);
        }
        Ok(())
    }

    /// The elements up to the first nil, as Redis counts them.
    ///
    /// # Safety
    /// As for [`Returned::table`].
    unsafe fn array(&mut self, state: *mut ffi::lua_State, depth: usize) -> Result<(), Refusal> {
        // SAFETY: as for this function.
        unsafe {
            let mut length = 0;
            while {
                let kind = ffi::lua_rawgeti(state, -1, length + 1);
                ffi::lua_pop(state, 1);
                kind != ffi::LUA_TNIL
            } {
                length += 1;
            }
            self.reply.array(usize::try_from(length).unwrap_or(0));
            for index in 1..=length {
                ffi::lua_rawgeti(state, -1, index);
                self.write(state, depth + 1)?;
                ffi::lua_pop(state, 1);
            }
        }
        Ok(())
    }

    /// The keys of the table on top, with their values if these are wanted.
    ///
    /// # Safety
    /// As for [`Returned::table`].
    unsafe fn entries(
        &mut self,
        state: *mut ffi::lua_State,
        depth: usize,
        with_values: bool,
    ) -> Result<(), Refusal> {
        // SAFETY: as for this function. The table is not changed while it is walked through.
        unsafe {
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, -2) != 0 {
                ffi::lua_pushvalue(state, -2);
                self.write(state, depth + 1)?;
                ffi::lua_pop(state, 1);
                if with_values {
                    self.write(state, depth + 1)?;
                }
                ffi::lua_pop(state, 1);
            }
        }
        Ok(())
    }
}

/// Counts the entries of the table on top. Fails when their order would depend on addresses.
///
/// # Safety
/// As for [`Returned::table`].
unsafe fn count(state: *mut ffi::lua_State) -> Result<usize, Refusal> {
    let mut count = 0;
    // SAFETY: as for this function.
    unsafe {
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, -2) != 0 {
            ffi::lua_pop(state, 1);
            if !matches!(ffi::lua_type(state, -1), ffi::LUA_TSTRING | ffi::LUA_TNUMBER | ffi::LUA_TBOOLEAN) {
                return Err("ERR the order of keys that are tables or functions is not deterministic");
            }
            count += 1;
        }
    }
    Ok(count)
}

/// Pushes the field of a table whose name is at an index; its type.
///
/// # Safety
/// `state` is valid with a free slot, and there is a table.
unsafe fn field(state: *mut ffi::lua_State, table: c_int, name: c_int) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        ffi::lua_pushvalue(state, name);
        ffi::lua_rawget(state, table)
    }
}

/// The bytes of the string at an index.
///
/// # Safety
/// There is a string, and it stays on the stack (or in a table that does) while the bytes are used.
pub(super) unsafe fn text<'a>(state: *mut ffi::lua_State, index: c_int) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: of a string, `lua_tolstring` gives the bytes as they lie there.
    unsafe {
        let text = ffi::lua_tolstring(state, index, &raw mut length);
        std::slice::from_raw_parts(text.cast::<u8>(), length)
    }
}

/// As C does on x86-64: towards zero, and the smallest integer for what is out of range.
fn truncate(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}
