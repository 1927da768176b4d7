-- Builds what scripts can reach. Runs once per Lua state, before any script, with these parameters:
--   native: functions written in Rust (see sandbox.rs)
--   constants: the constants of the `redis` table
-- Returns: the globals of scripts, and the table behind them (KEYS and ARGV are put there).
local native, constants = ...

local raw = {}
for name, value in pairs(_G) do raw[name] = value end
local raw_error, raw_pcall, raw_next, raw_type, raw_select = error, pcall, next, type, select
local raw_tostring, raw_setmetatable, raw_getmetatable, raw_rawset = tostring, setmetatable, getmetatable, rawset
local raw_concat, raw_floor = table.concat, math.floor

local READONLY = "Attempt to modify a readonly table"

-- Protected tables are empty proxies: reads go through to the real table, writes fail. Nothing that scripts can
-- call reaches the real tables or the metatables.
local is_protected = raw_setmetatable({}, { __mode = "k" })
local function protect(real)
    local proxy = raw_setmetatable({}, {
        __index = real,
        __newindex = function() raw_error(READONLY, 2) end,
        __metatable = false,
    })
    is_protected[proxy] = true
    return proxy
end
local function refuse_protected(t)
    if is_protected[t] then raw_error(READONLY, 0) end
end

local real = {}
for _, name in ipairs({
    "assert", "error", "getmetatable", "ipairs", "rawequal", "rawget", "select", "tonumber", "type", "unpack",
    "_VERSION",
}) do
    real[name] = raw[name]
end

-- Calls without letting an error through. Arguments and results travel in tables: the pcall of Lua 5.1 pushes one
-- value more than it made room for when a function returns many.
local raw_unpack = unpack
local function pack(...) return { n = raw_select("#", ...), ... } end
local function protected_call(f, arguments)
    local results
    local ok, err = raw_pcall(function() results = pack(f(raw_unpack(arguments, 1, arguments.n))) end)
    return ok, ok and results or native.plain_error(err)
end

-- Redis hands the text of an error table to pcall; errors from Rust arrive as userdata.
function real.pcall(f, ...)
    local ok, results = protected_call(f, pack(...))
    if ok then return true, raw_unpack(results, 1, results.n) end
    if raw_type(results) == "table" and raw_type(results.err) == "string" then results = results.err end
    return false, results
end
-- The handler runs after the call has ended, not inside of it: the Lua machine switches its hooks off while it
-- handles an error that a hook raised, so a handler that never ends would escape the limit.
function real.xpcall(f, handler)
    local ok, results = protected_call(f, { n = 0 })
    if ok then return true, raw_unpack(results, 1, results.n) end
    local _, handled = protected_call(handler, { n = 1, results })
    return false, raw_type(handled) == "table" and handled[1] or handled
end

function real.rawset(t, key, value)
    refuse_protected(t)
    return raw_rawset(t, key, value)
end
function real.setmetatable(t, metatable)
    refuse_protected(t)
    return raw_setmetatable(t, metatable)
end

-- Keys that are tables or functions are placed by their address: their order would not be deterministic.
local UNORDERED = { table = true, ["function"] = true, userdata = true, thread = true }
function real.next(t, key)
    local next_key, value = raw_next(t, key)
    if UNORDERED[raw_type(next_key)] then
        raw_error("the order of keys that are tables or functions is not deterministic", 2)
    end
    return next_key, value
end
function real.pairs(t)
    if raw_type(t) ~= "table" then
        raw_error("bad argument #1 to 'pairs' (table expected, got " .. native.type_name(t) .. ")", 2)
    end
    return real.next, t, nil
end

-- No addresses.
function real.tostring(value)
    local kind = raw_type(value)
    if kind == "table" then
        local metatable = raw_getmetatable(value)
        if raw_type(metatable) == "table" and metatable.__tostring then return raw_tostring(value) end
        return kind
    elseif UNORDERED[kind] then
        return kind
    end
    return raw_tostring(value)
end

-- string: what loops in C without bound is replaced.
local string_real = {}
for _, name in ipairs({ "byte", "char", "format", "len", "lower", "reverse", "sub", "upper" }) do
    string_real[name] = string[name]
end
string_real.find, string_real.match, string_real.rep = native.find, native.match, native.rep

local step, expand = native.match_from, native.expand
function string_real.gmatch(s, pattern)
    native.check_string(s, 1, "gmatch")
    native.check_string(pattern, 2, "gmatch")
    local position = 1
    local function advance(start, finish, ...)
        if not start then
            position = nil
            return nil
        end
        position = finish + (finish < start and 2 or 1)
        return ...
    end
    return function()
        if position then return advance(step(s, pattern, position, false)) end
    end
end
string_real.gfind = string_real.gmatch

local function replacement(repl, kind, whole, ...)
    local value
    if kind == "string" or kind == "number" then
        return expand(repl, whole, ...)
    elseif kind == "table" then
        value = repl[(...)]
    else
        value = repl(...)
    end
    if not value then return whole end
    local value_kind = raw_type(value)
    if value_kind ~= "string" and value_kind ~= "number" then
        raw_error("invalid replacement value (a " .. value_kind .. ")", 3)
    end
    return value
end
function string_real.gsub(s, pattern, repl, max)
    s = native.check_string(s, 1, "gsub")
    pattern = native.check_string(pattern, 2, "gsub")
    local kind = raw_type(repl)
    if kind ~= "string" and kind ~= "number" and kind ~= "table" and kind ~= "function" then
        raw_error("bad argument #3 to 'gsub' (string/function/table expected)", 2)
    end
    local sub, length, anchored = string_real.sub, #s, native.is_anchored(pattern)
    local parts, size, count, position = {}, 0, 0, 1
    local function take(start, finish, ...)
        if not start then return false end
        count = count + 1
        if start > position then
            size = size + 1
            parts[size] = sub(s, position, start - 1)
        end
        size = size + 1
        parts[size] = replacement(repl, kind, sub(s, start, finish), ...)
        if finish < start then
            -- An empty match: the byte after it is kept.
            size = size + 1
            parts[size] = sub(s, start, start)
            position = start + 1
        else
            position = finish + 1
        end
        return true
    end
    while (not max or count < max) and position <= length + 1 do
        if not take(step(s, pattern, position, true)) or anchored then break end
    end
    parts[size + 1] = sub(s, position)
    return raw_concat(parts), count
end

-- table: what moves many elements in C is counted like any other loop.
local table_real = {}
for _, name in ipairs({ "concat", "foreach", "foreachi", "getn", "maxn", "setn" }) do
    table_real[name] = table[name]
end
local function check_table(t, name)
    if raw_type(t) ~= "table" then
        raw_error("bad argument #1 to '" .. name .. "' (table expected, got " .. native.type_name(t) .. ")", 3)
    end
end
function table_real.insert(t, ...)
    check_table(t, "insert")
    refuse_protected(t)
    local count = raw_select("#", ...)
    local last = #t + 1
    if count == 1 then
        raw_rawset(t, last, (...))
    elseif count == 2 then
        local position, value = ...
        position = native.check_integer(position, 2, "insert")
        if position > last then last = position end
        for i = last, position + 1, -1 do raw_rawset(t, i, t[i - 1]) end
        raw_rawset(t, position, value)
    else
        raw_error("wrong number of arguments to 'insert'", 2)
    end
end
function table_real.remove(t, position)
    check_table(t, "remove")
    local last = #t
    position = position == nil and last or native.check_integer(position, 2, "remove")
    if position < 1 or position > last then return end
    local value = t[position]
    for i = position, last - 1 do raw_rawset(t, i, t[i + 1]) end
    raw_rawset(t, last, nil)
    return value
end

-- The quicksort of Lua 5.1, so that elements which compare equal end in the same order.
local function sort_range(t, low, high, less)
    while low < high do
        if less(t[high], t[low]) then t[low], t[high] = t[high], t[low] end
        if high - low == 1 then break end
        local middle = raw_floor((low + high) / 2)
        if less(t[middle], t[low]) then
            t[middle], t[low] = t[low], t[middle]
        elseif less(t[high], t[middle]) then
            t[middle], t[high] = t[high], t[middle]
        end
        if high - low == 2 then break end
        local pivot = t[middle]
        t[middle], t[high - 1] = t[high - 1], t[middle]
        local i, j = low, high - 1
        while true do
            i = i + 1
            while less(t[i], pivot) do
                if i > high then raw_error("invalid order function for sorting", 0) end
                i = i + 1
            end
            j = j - 1
            while less(pivot, t[j]) do
                if j < low then raw_error("invalid order function for sorting", 0) end
                j = j - 1
            end
            if j < i then break end
            t[i], t[j] = t[j], t[i]
        end
        t[high - 1], t[i] = t[i], t[high - 1]
        if i - low < high - i then
            sort_range(t, low, i - 1, less)
            low = i + 1
        else
            sort_range(t, i + 1, high, less)
            high = i - 1
        end
    end
end
local function is_less(a, b) return a < b end
function table_real.sort(t, less)
    check_table(t, "sort")
    if less ~= nil and raw_type(less) ~= "function" then
        raw_error("bad argument #2 to 'sort' (function expected, got " .. native.type_name(less) .. ")", 2)
    end
    sort_range(t, 1, #t, less or is_less)
end

local math_real = {}
for name, value in pairs(math) do math_real[name] = value end
math_real.random, math_real.randomseed = native.random, native.randomseed

local redis_real = {}
for name, value in pairs(constants) do redis_real[name] = value end
for _, name in ipairs({
    "call", "pcall", "error_reply", "status_reply", "sha1hex", "log", "setresp", "set_repl", "replicate_commands",
    "breakpoint", "debug",
}) do
    redis_real[name] = native[name]
end

real.string, real.table, real.math = protect(string_real), protect(table_real), protect(math_real)
real.redis = protect(redis_real)

local string_metatable = raw_getmetatable("")
string_metatable.__index = string_real
string_metatable.__metatable = false

raw_setmetatable(real, {
    __index = function(_, name)
        raw_error("Script attempted to access nonexistent global variable '" .. raw_tostring(name) .. "'", 2)
    end,
})
local globals = protect(real)
real._G = globals

return globals, real
