//! The static table that commands are dispatched by. Sorted by name.

use super::{
    Command, Run, bitfield, bitmaps, connection, floats, hashes, keys, lcs, lists, random, scan, scripts,
    server, sets, sorted_set_algebra, sorted_set_ranges, sorted_sets, strings, transactions,
};

const fn data(
    name: &'static str,
    arity: i8,
    writes: bool,
    keys: (i8, i8, i8),
    run: fn(&mut super::Context<'_>, &super::Args<'_>) -> crate::error::Outcome,
) -> Command {
    Command { name, arity, writes, keys, run: Run::Data(run) }
}

const fn read(
    name: &'static str,
    arity: i8,
    keys: (i8, i8, i8),
    run: fn(&mut super::Context<'_>, &super::Args<'_>) -> crate::error::Outcome,
) -> Command {
    data(name, arity, false, keys, run)
}

const fn write(
    name: &'static str,
    arity: i8,
    keys: (i8, i8, i8),
    run: fn(&mut super::Context<'_>, &super::Args<'_>) -> crate::error::Outcome,
) -> Command {
    data(name, arity, true, keys, run)
}

const fn session(
    name: &'static str,
    arity: i8,
    run: fn(&mut super::Unit<'_>, &super::Args<'_>) -> crate::error::Outcome,
) -> Command {
    Command { name, arity, writes: false, keys: NONE, run: Run::Session(run) }
}

const NONE: (i8, i8, i8) = (0, 0, 0);
/// The key is the first argument.
const ONE: (i8, i8, i8) = (1, 1, 1);
/// The keys are the first two arguments.
const TWO: (i8, i8, i8) = (1, 2, 1);
/// All arguments are keys.
const ALL: (i8, i8, i8) = (1, -1, 1);
/// All arguments but the first are keys.
const REST: (i8, i8, i8) = (2, -1, 1);
/// Keys and values in turn.
const PAIRS: (i8, i8, i8) = (1, -1, 2);

/// All commands.
pub(crate) static TABLE: &[Command] = &[
    write("append", 3, ONE, strings::append),
    session("auth", -2, connection::auth),
    read("bitcount", -2, ONE, bitmaps::bitcount),
    write("bitfield", -2, ONE, bitfield::bitfield),
    read("bitfield_ro", -2, ONE, bitfield::bitfield_ro),
    write("bitop", -4, REST, bitmaps::bitop),
    read("bitpos", -3, ONE, bitmaps::bitpos),
    session("client", -2, connection::client),
    session("command", -1, server::command),
    session("config", -2, server::config),
    write("copy", -3, TWO, keys::copy),
    read("dbsize", 1, NONE, keys::dbsize),
    write("decr", 2, ONE, strings::decr),
    write("decrby", 3, ONE, strings::decrby),
    write("del", -2, ALL, keys::del),
    session("discard", 1, transactions::discard),
    read("echo", 2, NONE, server::echo),
    session("eval", -3, scripts::eval),
    session("eval_ro", -3, scripts::eval_ro),
    session("evalsha", -3, scripts::evalsha),
    session("evalsha_ro", -3, scripts::evalsha_ro),
    session("exec", 1, transactions::exec),
    read("exists", -2, ALL, keys::exists),
    write("expire", -3, ONE, keys::expire),
    write("expireat", -3, ONE, keys::expireat),
    read("expiretime", 2, ONE, keys::expiretime),
    write("flushall", -1, NONE, keys::flush),
    write("flushdb", -1, NONE, keys::flush),
    read("get", 2, ONE, strings::get),
    read("getbit", 3, ONE, bitmaps::getbit),
    write("getdel", 2, ONE, strings::getdel),
    write("getex", -2, ONE, strings::getex),
    read("getrange", 4, ONE, strings::getrange),
    write("getset", 3, ONE, strings::getset),
    write("hdel", -3, ONE, hashes::hdel),
    session("hello", -1, connection::hello),
    read("hexists", 3, ONE, hashes::hexists),
    read("hget", 3, ONE, hashes::hget),
    read("hgetall", 2, ONE, hashes::hgetall),
    write("hincrby", 4, ONE, hashes::hincrby),
    write("hincrbyfloat", 4, ONE, floats::hincrbyfloat),
    read("hkeys", 2, ONE, hashes::hkeys),
    read("hlen", 2, ONE, hashes::hlen),
    read("hmget", -3, ONE, hashes::hmget),
    write("hmset", -4, ONE, hashes::hset),
    read("hrandfield", -2, ONE, random::hrandfield),
    read("hscan", -3, ONE, scan::hscan),
    write("hset", -4, ONE, hashes::hset),
    write("hsetnx", 4, ONE, hashes::hsetnx),
    read("hstrlen", 3, ONE, hashes::hstrlen),
    read("hvals", 2, ONE, hashes::hvals),
    write("incr", 2, ONE, strings::incr),
    write("incrby", 3, ONE, strings::incrby),
    write("incrbyfloat", 3, ONE, floats::incrbyfloat),
    read("info", -1, NONE, server::info),
    read("keys", 2, NONE, keys::keys),
    read("lcs", -3, TWO, lcs::lcs),
    read("lindex", 3, ONE, lists::lindex),
    write("linsert", 5, ONE, lists::linsert),
    read("llen", 2, ONE, lists::llen),
    write("lmove", 5, TWO, lists::lmove),
    write("lmpop", -4, NONE, lists::lmpop),
    write("lpop", -2, ONE, lists::lpop),
    read("lpos", -3, ONE, lists::lpos),
    write("lpush", -3, ONE, lists::lpush),
    write("lpushx", -3, ONE, lists::lpushx),
    read("lrange", 4, ONE, lists::lrange),
    write("lrem", 4, ONE, lists::lrem),
    write("lset", 4, ONE, lists::lset),
    write("ltrim", 4, ONE, lists::ltrim),
    read("mget", -2, ALL, strings::mget),
    write("mset", -3, PAIRS, strings::mset),
    write("msetnx", -3, PAIRS, strings::msetnx),
    session("multi", 1, transactions::multi),
    write("persist", 2, ONE, keys::persist),
    write("pexpire", -3, ONE, keys::pexpire),
    write("pexpireat", -3, ONE, keys::pexpireat),
    read("pexpiretime", 2, ONE, keys::pexpiretime),
    read("ping", -1, NONE, server::ping),
    write("psetex", 4, ONE, strings::psetex),
    read("pttl", 2, ONE, keys::pttl),
    session("quit", -1, connection::quit),
    read("randomkey", 1, NONE, keys::randomkey),
    write("rename", 3, TWO, keys::rename),
    write("renamenx", 3, TWO, keys::renamenx),
    session("reset", 1, connection::reset),
    write("rpop", -2, ONE, lists::rpop),
    write("rpoplpush", 3, TWO, lists::rpoplpush),
    write("rpush", -3, ONE, lists::rpush),
    write("rpushx", -3, ONE, lists::rpushx),
    write("sadd", -3, ONE, sets::sadd),
    read("scan", -2, NONE, scan::scan),
    read("scard", 2, ONE, sets::scard),
    session("script", -2, scripts::script),
    read("sdiff", -2, ALL, sets::sdiff),
    write("sdiffstore", -3, ALL, sets::sdiffstore),
    session("select", 2, connection::select),
    write("set", -3, ONE, strings::set),
    write("setbit", 4, ONE, bitmaps::setbit),
    write("setex", 4, ONE, strings::setex),
    write("setnx", 3, ONE, strings::setnx),
    write("setrange", 4, ONE, strings::setrange),
    read("sinter", -2, ALL, sets::sinter),
    read("sintercard", -3, NONE, sets::sintercard),
    write("sinterstore", -3, ALL, sets::sinterstore),
    read("sismember", 3, ONE, sets::sismember),
    read("smembers", 2, ONE, sets::smembers),
    read("smismember", -3, ONE, sets::smismember),
    write("smove", 4, TWO, sets::smove),
    write("spop", -2, ONE, sets::spop),
    read("srandmember", -2, ONE, random::srandmember),
    write("srem", -3, ONE, sets::srem),
    read("sscan", -3, ONE, scan::sscan),
    read("strlen", 2, ONE, strings::strlen),
    read("substr", 4, ONE, strings::getrange),
    read("sunion", -2, ALL, sets::sunion),
    write("sunionstore", -3, ALL, sets::sunionstore),
    read("time", 1, NONE, server::time),
    read("touch", -2, ALL, keys::exists),
    read("ttl", 2, ONE, keys::ttl),
    read("type", 2, ONE, keys::type_of),
    write("unlink", -2, ALL, keys::del),
    session("unwatch", 1, transactions::unwatch),
    session("wait", 3, server::wait),
    session("watch", -2, transactions::watch),
    write("zadd", -4, ONE, sorted_sets::zadd),
    read("zcard", 2, ONE, sorted_sets::zcard),
    read("zcount", 4, ONE, sorted_set_ranges::zcount),
    read("zdiff", -3, NONE, sorted_set_algebra::zdiff),
    write("zdiffstore", -4, ONE, sorted_set_algebra::zdiffstore),
    write("zincrby", 4, ONE, sorted_sets::zincrby),
    read("zinter", -3, NONE, sorted_set_algebra::zinter),
    read("zintercard", -3, NONE, sorted_set_algebra::zintercard),
    write("zinterstore", -4, ONE, sorted_set_algebra::zinterstore),
    read("zlexcount", 4, ONE, sorted_set_ranges::zlexcount),
    write("zmpop", -4, NONE, sorted_sets::zmpop),
    read("zmscore", -3, ONE, sorted_sets::zmscore),
    write("zpopmax", -2, ONE, sorted_sets::zpopmax),
    write("zpopmin", -2, ONE, sorted_sets::zpopmin),
    read("zrandmember", -2, ONE, random::zrandmember),
    read("zrange", -4, ONE, sorted_set_ranges::zrange),
    read("zrangebylex", -4, ONE, sorted_set_ranges::zrangebylex),
    read("zrangebyscore", -4, ONE, sorted_set_ranges::zrangebyscore),
    write("zrangestore", -5, TWO, sorted_set_ranges::zrangestore),
    read("zrank", 3, ONE, sorted_sets::zrank),
    write("zrem", -3, ONE, sorted_sets::zrem),
    write("zremrangebylex", 4, ONE, sorted_set_ranges::zremrangebylex),
    write("zremrangebyrank", 4, ONE, sorted_set_ranges::zremrangebyrank),
    write("zremrangebyscore", 4, ONE, sorted_set_ranges::zremrangebyscore),
    read("zrevrange", -4, ONE, sorted_set_ranges::zrevrange),
    read("zrevrangebylex", -4, ONE, sorted_set_ranges::zrevrangebylex),
    read("zrevrangebyscore", -4, ONE, sorted_set_ranges::zrevrangebyscore),
    read("zrevrank", 3, ONE, sorted_sets::zrevrank),
    read("zscan", -3, ONE, scan::zscan),
    read("zscore", 3, ONE, sorted_sets::zscore),
    read("zunion", -3, NONE, sorted_set_algebra::zunion),
    write("zunionstore", -4, ONE, sorted_set_algebra::zunionstore),
];

/// The subcommands of container commands, with their arity (the container included).
pub(super) static SUBCOMMANDS: &[(&str, &[(&str, i8)])] = &[
    ("client", &[("getname", 2), ("id", 2), ("info", 2), ("list", -2), ("no-evict", 3), ("setname", 3)]),
    ("command", &[("count", 2), ("docs", -2), ("info", -2), ("list", -2)]),
    ("config", &[("get", -3), ("resetstat", 2), ("set", -4)]),
    ("script", &[("exists", -3), ("flush", -2), ("kill", 2), ("load", 3)]),
];
