//! What scripts return, raise and pass to commands: compared with a real redis-server 7.0, and at the limit of memory.

mod common;

use common::{Raw, RealRedis, Reply, block_on, serve};
use redis_middleware::{Limits, Options, Server};

/// What a script may return.
const VALUES: &[&str] = &[
    "nil",
    "true",
    "false",
    "3.99",
    "-3.99",
    "1e300",
    "0/0",
    "'a\\0b\\r\\n'",
    "{}",
    "{1, 2, nil, 4}",
    "{1, {2, {3, 'x'}}, {{}}}",
    "{ok = 'FINE'}",
    "{ok = 5}",
    "{err = 'ERR x'}",
    "{err = '-ERR x'}",
    "{err = 1, ok = 'y'}",
    "{double = 1.5}",
    "{double = -0.0}",
    "{double = 'x'}",
    "{double = 1/0}",
    "{map = {a = {1, 2}}}",
    "{map = {[1] = {err = 'ERR in'}}}",
    "{map = {}}",
    "{map = 1}",
    "{set = {a = true}}",
    "{set = {[1.5] = true}}",
    "{1, {err = 'ERR nested'}, {ok = 'z'}, {double = 2}}",
    "function() end",
    "{1, redis.call}",
    "{KEYS, ARGV}",
    "ARGV[1] + 1",
    "redis.error_reply('-X y')",
    "redis.status_reply('S')",
];

/// Scripts that use commands, or fail.
const SCRIPTS: &[&str] = &[
    "return redis.call()",
    "return redis.pcall()",
    "return redis.call('get', {})",
    "return redis.call('get', true)",
    "return redis.call('nosuch')",
    "return redis.pcall('get')",
    "redis.call('lpush', 'l', 'a') return redis.call('get', 'l')",
    "redis.call('lpush', 'l', 'a') return redis.pcall('get', 'l')",
    "redis.call('lpush', 'l', 'a') return {pcall(redis.call, 'get', 'l')}",
    "return {pcall(redis.call, 'nosuch')}",
    "return type(redis.pcall('nosuch').err)",
    "return select('#', redis.pcall('nosuch'))",
    "return {redis.call('PiNg'), redis.call('echo', ''), redis.call('mget', 'a', 'b')}",
    "return redis.call('get', 'none') == false",
    "redis.setresp(3) return redis.call('get', 'none') == nil",
    "redis.setresp(3) redis.call('zadd', 'z', '1.5', 'm') return redis.call('zscore', 'z', 'm')",
    "redis.setresp(3) redis.call('hset', 'h', 'a', '1') return redis.call('hgetall', 'h')",
    "redis.setresp(3) redis.call('sadd', 's', '1') return redis.call('smembers', 's')",
    "redis.setresp(3) redis.setresp(2) return redis.call('get', 'none') == false",
    "return redis.setresp(4)",
    "return redis.call('rpush', 'l', unpack({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18.5}))",
    "error('x')",
    "error({err = 'ERR y'})",
    "\nerror('{script}')",
    "local f = function() error('in f') end\nf()",
];

/// Numbers as arguments of commands.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1.5",
    "-5",
    "1e15",
    "1700000000123456",
    "2^53 + 2",
    "99999999999999984",
    "1e17",
    "-2^63",
    "1e300",
    "0.1",
    "1e-5",
    "1/0",
];

fn command(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn scripts_get_the_replies_of_redis() {
    let values = VALUES.iter().map(|value| format!("return {value}"));
    let values3 = VALUES.iter().map(|value| format!("redis.setresp(3) return {value}"));
    let numbers = NUMBERS.iter().map(|number| format!("return redis.call('echo', {number})"));
    let scripts =
        values.chain(values3).chain(numbers).chain(SCRIPTS.iter().map(|script| (*script).to_owned()));
    block_on(async {
        let Some(real) = RealRedis::start().await else { return };
        let ours = serve(Server::new(Options::default())).await;
        let (mut ours, mut real) = (Raw::connect(ours).await, Raw::connect(real.port).await);
        let mut differences = Vec::new();
        for script in scripts {
            for protocol in ["2", "3"] {
                for (eval, key) in [("EVAL", "k"), ("EVAL_RO", "k\r\n2")] {
                    let mut replies = Vec::new();
                    for server in [&mut ours, &mut real] {
                        server.command(&command(&["HELLO", protocol])).await;
                        server.command(&command(&["FLUSHALL"])).await;
                        let eval = command(&[eval, &script, "2", key, "", "17", "a\0b", ""]);
                        replies.push(server.command(&eval).await);
                    }
                    if replies[0] != replies[1] {
                        differences.push(format!("{eval}, RESP{protocol}: {script}\n  {replies:?}"));
                    }
                }
            }
        }
        assert!(differences.is_empty(), "ours, then redis-server:\n{}", differences.join("\n"));
    });
}

/// Sends commands to a server whose scripts have little memory.
fn in_eight_megabytes(commands: &[Vec<Vec<u8>>]) -> Vec<Reply> {
    let script_limits = Limits { instructions: 1_000_000, memory: 8 * 1024 * 1024 };
    block_on(async {
        let port = serve(Server::new(Options { script_limits, ..Options::default() })).await;
        let mut raw = Raw::connect(port).await;
        let mut replies = Vec::new();
        for command in commands {
            replies.push(raw.command(command).await);
        }
        replies
    })
}

#[test]
fn arguments_that_do_not_fit_into_memory_are_an_error() {
    let large = "x".repeat(9 * 1024 * 1024);
    let many = vec!["a"; 700_000];
    let replies = in_eight_megabytes(&[
        command(&["SET", "kept", "v"]),
        command(&["EVAL", "return #ARGV[1]", "0", &large]),
        command(&["EVAL", "return #KEYS[1]", "1", &large]),
        command(&[&["EVAL", "return #ARGV", "0"], &*many].concat()),
        command(&["EVAL", "return {redis.call('get', 'kept'), #ARGV}", "0", &large[..1_000_000]]),
    ]);
    for reply in &replies[1..4] {
        assert!(reply.text().starts_with("ERR memory error: not enough memory script: "), "{reply:?}");
    }
    let Reply::Many(_, Some(items)) = &replies[4] else { panic!("not a list: {:?}", replies[4]) };
    assert_eq!((items[0].text().as_str(), items[1].integer()), ("v", Some(1)));
}

#[test]
fn a_script_that_a_reply_left_without_memory_can_do_nothing_more() {
    let large = "x".repeat(9 * 1024 * 1024);
    let script = "local ok = pcall(redis.call, 'get', 'large') local after = redis.pcall('set', 'after', '1') \
        return {tostring(ok), after.err}";
    let replies = in_eight_megabytes(&[
        command(&["SET", "large", &large]),
        command(&["EVAL", "redis.call('set', 'before', '1') return redis.call('get', 'large')", "0"]),
        command(&["EVAL", script, "0"]),
        command(&["EXISTS", "before"]),
        command(&["EXISTS", "after"]),
        command(&["EVAL", "return redis.call('strlen', 'large')", "0"]),
    ]);
    for reply in &replies[1..3] {
        assert!(reply.text().starts_with("ERR memory error: not enough memory script: "), "{reply:?}");
    }
    let integers: Vec<_> = replies[3..].iter().map(Reply::integer).collect();
    assert_eq!(integers, [Some(1), Some(0), Some(9 * 1024 * 1024)]);
}

#[test]
fn a_reply_may_be_larger_than_the_memory_of_scripts() {
    let script = "local t, s = {}, string.rep('x', 1000000) for i = 1, 50 do t[i] = s end return t";
    let replies = in_eight_megabytes(&[command(&["EVAL", script, "0"])]);
    assert!(matches!(&replies[0], Reply::Many(_, Some(items)) if items.len() == 50), "no list of 50");
}

#[test]
fn replies_have_bounds_and_an_order() {
    let nested = |levels: usize| format!("local t = {{}} for i = 1, {levels} do t = {{t}} end return t");
    let eval = |script: &str| command(&["EVAL", script, "0"]);
    let replies = in_eight_megabytes(&[
        eval(&nested(63)),
        eval(&nested(64)),
        eval("local t = {} t.map = t return t"),
        eval("local t = {} for i = 1, 8 do t[i] = {1, 2, 3, t} end return t"),
        eval("return {1, 2, {set = {[{}] = true}}}"),
        eval("return {map = {[redis.call] = 1}}"),
        eval("return 'alive'"),
    ]);
    assert!(matches!(&replies[0], Reply::Many(_, Some(_))), "{:?}", replies[0]);
    for (reply, reason) in replies[1..].iter().zip([
        "ERR reached lua stack limit script: ",
        "ERR reached lua stack limit script: ",
        "ERR reached lua stack limit script: ",
        "ERR the order of keys that are tables or functions is not deterministic script: ",
        "ERR the order of keys that are tables or functions is not deterministic script: ",
        "alive",
    ]) {
        assert!(reply.text().starts_with(reason), "{reason}: {reply:?}");
    }
}
