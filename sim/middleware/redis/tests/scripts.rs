//! Scripts that try to escape: from the sandbox, from their limits, from determinism.

mod common;

use std::time::Instant;

use common::{Raw, Reply, block_on, serve};
use redis_middleware::{Limits, Options, Server};

#[expect(clippy::disallowed_methods, reason = "measures how long a script really takes")]
fn now() -> Instant {
    Instant::now()
}

/// Runs scripts one after the other on one server; their replies.
fn eval_all(options: Options, scripts: &[&str]) -> Vec<Reply> {
    block_on(async {
        let port = serve(Server::new(options)).await;
        let mut raw = Raw::connect(port).await;
        let mut replies = Vec::new();
        for script in scripts {
            let args = [b"EVAL".to_vec(), script.as_bytes().to_vec(), b"0".to_vec()];
            replies.push(raw.command(&args).await);
        }
        replies
    })
}

fn eval(script: &str) -> String {
    eval_all(Options::default(), &[script]).remove(0).text()
}

#[test]
fn nothing_of_the_machine_is_in_reach() {
    for name in [
        "os",
        "io",
        "require",
        "package",
        "module",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "print",
        "debug",
        "coroutine",
        "newproxy",
        "collectgarbage",
        "gcinfo",
        "getfenv",
        "setfenv",
        "jit",
        "ffi",
    ] {
        let reply = eval(&format!("return type({name})"));
        assert!(reply.contains(&format!("nonexistent global variable '{name}'")), "{name}: {reply}");
    }
    assert!(eval("return string.dump(function() end)").contains("attempt to call field 'dump'"));
}

#[test]
fn nothing_can_be_left_behind_for_the_next_script() {
    let readonly = "Attempt to modify a readonly table";
    for script in [
        "x = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "rawset(string, 'x', 1)",
        "string.find = nil",
        "math.random = function() return 4 end",
        "redis.call = nil",
        "table.insert(redis, 1)",
        "table.insert(_G, 1, 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, nil)",
        "function global() end",
    ] {
        let reply = eval(script);
        assert!(reply.contains(readonly), "{script}: {reply}");
    }
    // Metatables of protected things are out of reach.
    for script in ["return getmetatable(_G)", "return getmetatable(redis)", "return getmetatable('')"] {
        assert_eq!(eval_all(Options::default(), &[script]), [Reply::Bulk(b'$', None)], "{script}");
    }
    let replies = eval_all(
        Options::default(),
        &["KEYS = nil", "KEYS[1] = 'mine' ARGV.x = 1 return KEYS[1]", "return {#KEYS, type(ARGV.x)}"],
    );
    assert!(replies[0].text().contains(readonly));
    assert_eq!(replies[1].text(), "mine");
    assert_eq!(
        replies[2],
        Reply::Many(
            b'*',
            Some(vec![Reply::Line(b':', "0".into()), Reply::Bulk(b'$', Some(b"nil".to_vec()))])
        )
    );
}

#[test]
fn limits_end_a_script_and_the_server_lives_on() {
    let limits = Limits { instructions: 200_000, memory: 8 * 1024 * 1024 };
    let options = || Options { script_limits: limits, ..Options::default() };
    for script in [
        "while true do end",
        "local function loop() while true do end end while true do pcall(loop) end",
        "local function f() while true do end end for i = 1, 1e9 do xpcall(f, function() while true do end end) end",
        "local function f() return pcall(f) end while true do f() end",
        "repeat local ok = pcall(error) until false",
        "local t = setmetatable({}, {__index = function(t, k) while true do end end}) while true do pcall(function() return t.x end) end",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "return string.gsub(string.rep('a', 100), 'a', function() while true do end end)",
        "return string.find(string.rep('a', 200), string.rep('a*', 30) .. 'b')",
        "while true do pcall(string.find, string.rep('a', 200), string.rep('a*', 30) .. 'b') end",
        "return string.match(string.rep('a', 5000), '.-.-.-.-.-b')",
        "for w in string.gmatch(string.rep('a', 100000), '.-b') do end",
        "while true do redis.call('ping') end",
        "while true do pcall(redis.call, 'nosuch') end",
        "while true do string.rep('x', 1000000) end",
        "local t = {} table.insert(t, -2^31, 1)",
        "local t = {} for i = 1, 50000 do t[i] = i end while true do table.insert(t, 1, 0) end",
        // Memory.
        "local s = 'x' while true do s = s .. s end",
        "local t = {} local i = 0 while true do i = i + 1 t[i] = {i} end",
        "return string.rep('x', 2^31)",
        "return string.rep('x', 1e300)",
        "local s = string.rep('x', 1000000) local t = {} for i = 1, 100 do t[i] = s .. i end return #t",
        "return string.format('%s%s', string.rep('x', 6000000), string.rep('x', 6000000))",
        "local s = 'x' while true do local ok, r = pcall(function() return s .. s end) if ok then s = r end end",
        // The stack.
        "local function f() return 1 + f() end return f()",
        "local s = string.rep('(', 300) .. string.rep(')', 300) return string.find('x', s)",
        "return {unpack({}, 1, 1e7)}",
        "return string.char(unpack({}, 1, 1e7))",
        "local t = {} t[1] = t return t",
        "local t = {} for i = 1, 8 do t[i] = t end return t",
        "local t = setmetatable({}, {__tostring = function() return tostring(1) end}) t[1] = tostring(t) return #t[1] > 5",
    ] {
        let started = now();
        let replies = eval_all(
            options(),
            &["redis.call('set', 'before', 'kept')", script, "return redis.call('get', 'before')"],
        );
        let last_is_error = matches!(&replies[1], Reply::Line(b'-', _)) || script.contains("__tostring");
        assert!(last_is_error, "{script}: {:?}", replies[1]);
        assert_eq!(replies[2].text(), "kept", "{script}");
        // An end, not a speed: other processes may have most of the machine.
        assert!(started.elapsed().as_secs() < 60, "{script} took {:?}", started.elapsed());
    }
}

#[test]
fn what_a_script_did_before_its_end_stays_done() {
    let replies = eval_all(
        Options::default(),
        &[
            "redis.call('set', 'a', '1') while true do end",
            "redis.call('set', 'b', '2') error('stop')",
            "return {redis.call('get', 'a'), redis.call('get', 'b')}",
        ],
    );
    assert!(replies[0].text().contains("exceeded its limit of 1000000 instructions"), "{:?}", replies[0]);
    assert!(replies[1].text().contains("user_script:1: stop script: "), "{:?}", replies[1]);
    let bulk = |text: &str| Reply::Bulk(b'$', Some(text.as_bytes().to_vec()));
    assert_eq!(replies[2], Reply::Many(b'*', Some(vec![bulk("1"), bulk("2")])));
}

#[test]
fn replies_do_not_depend_on_addresses_or_chance() {
    let script = "local t = {} for i = 1, 50 do t['k' .. math.random(1000)] = i end local out = {} \
        for k, v in pairs(t) do out[#out + 1] = k .. v end \
        out[#out + 1] = tostring({}) .. tostring(print_ or function() end) .. tostring(redis.call) return out";
    let script = script.replace("print_ or ", "");
    let first = eval_all(Options::default(), &[&script, &script]);
    let second = eval_all(Options::default(), &[&script]);
    assert_eq!(first[0], first[1]);
    assert_eq!(first[0], second[0]);
    let Reply::Many(_, Some(items)) = &first[0] else { panic!("not a list: {:?}", first[0]) };
    assert_eq!(items.last().map(Reply::text).as_deref(), Some("tablefunctionfunction"));
    assert!(eval("local t = {[{}] = 1} for k in pairs(t) do end").contains("not deterministic"));
}

#[test]
fn large_argument_lists_and_replies_pass() {
    let replies = eval_all(
        Options::default(),
        &[
            "local t = {} for i = 1, 7000 do t[i] = 'm' .. i end return redis.call('sadd', 's', unpack(t))",
            "return #redis.call('smembers', 's')",
            "local t = {} for i = 1, 20000 do t[i] = i end return t",
        ],
    );
    assert_eq!(replies[0].integer(), Some(7000), "{:?}", replies[0]);
    assert_eq!(replies[1].integer(), Some(7000), "{:?}", replies[1]);
    assert!(matches!(&replies[2], Reply::Many(_, Some(items)) if items.len() == 20000));
}
