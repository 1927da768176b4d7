//! Garbage from the wire: never a panic, never memory for what was only announced.

#[path = "../common/mod.rs"]
mod common;
mod hostile;

use std::path::Path;

use common::{Raw, Reply, block_on, serve};
use hostile::feed;
use proptest::prelude::*;
use redis_middleware::{Options, Server};

/// Bytes that look like requests, more or less.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"*3\r\n$3\r\nSET\r\n".to_vec()),
        Just(b"$1\r\na\r\n".to_vec()),
        Just(b"EVAL \"return redis.call(unpack(ARGV))\" 0 ".to_vec()),
        Just(b"MULTI\r\n".to_vec()),
        Just(b"EXEC\r\n".to_vec()),
        Just(b"HELLO 3\r\n".to_vec()),
        Just(b"\"".to_vec()),
        "[A-Za-z]{1,8} ".prop_map(String::into_bytes),
        "-?[0-9]{1,20}\r\n".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(word, 0..30).prop_map(|words| words.concat())
}

/// Any command of the table with any arguments.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<String> = block_on(async {
        let port = serve(Server::new(Options::default())).await;
        let Reply::Many(_, Some(names)) = Raw::connect(port).await.words("COMMAND LIST").await else {
            panic!("no list of commands")
        };
        names.iter().map(Reply::text).collect()
    });
    let argument = prop_oneof![
        Just(b"k".to_vec()),
        Just(b"0".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"9223372036854775807".to_vec()),
        Just(b"-9223372036854775808".to_vec()),
        Just(b"WITHSCORES".to_vec()),
        Just(b"LIMIT".to_vec()),
        Just(b"COUNT".to_vec()),
        Just(b"MATCH".to_vec()),
        Just(b"(1".to_vec()),
        Just(b"[a".to_vec()),
        Just(b"inf".to_vec()),
        Just(b"[".to_vec()),
        Just(b"%".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    (proptest::sample::select(names), proptest::collection::vec(argument, 0..7)).prop_map(
        |(name, arguments)| {
            // Half a gigabyte of zeros is legal for SETRANGE, but not what this test is for.
            let name = if name == "setrange" { "getrange".to_owned() } else { name };
            let mut args = vec![name.into_bytes()];
            args.extend(arguments);
            common::encode(&args)
        },
    )
}

fn asks_for_replication(command: &[u8]) -> bool {
    [&b"$4\r\nsync\r\n"[..], b"$5\r\npsync\r\n"].iter().any(|name| command[4..].starts_with(name))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_never_breaks_the_server(pieces in proptest::collection::vec(noise(), 1..4)) {
        feed(&pieces);
    }

    #[test]
    fn noise_never_breaks_the_client(bytes in "[-+:$*%~#_,(=!|>0-9tfa\r\n]{0,40}") {
        let mut buffer = bytes::BytesMut::from(bytes.as_bytes());
        let mut decoder = wire::redis::frame::Decoder::default();
        while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
    }

    #[test]
    fn any_arguments_get_one_reply_each(commands in proptest::collection::vec(command(), 1..20)) {
        let first = vec![common::encode(&[b"PING".to_vec()])];
        let answer = feed(&[first, commands.clone()].concat());
        prop_assert!(answer.starts_with(b"+PONG\r\n"));
        if commands.iter().any(|command| asks_for_replication(command)) {
            return Ok(()); // What follows is a snapshot and a stream of commands, not replies.
        }
        // Whatever was answered can be read by an independent decoder.
        let mut buffer = bytes::BytesMut::from(&answer[..]);
        let mut decoder = wire::redis::frame::Decoder::default();
        while decoder.decode(&mut buffer).expect("a well-formed reply").is_some() {}
        prop_assert!(buffer.is_empty());
    }
}

#[test]
fn announced_sizes_are_not_reserved() {
    for header in ["*1048576\r\n", "*1\r\n$536870912\r\n", "*999999999\r\n", "$99999999999999\r\n"] {
        feed(&[header.as_bytes().to_vec()]);
    }
}

#[test]
fn the_largest_string_ends_with_its_last_bit() {
    let last = "SETBIT k 4294967295 1\r\nSTRLEN k\r\nGETBIT k 4294967295\r\nBITFIELD k SET i64 4294967295 -1\r\nSTRLEN k\r\n";
    let beyond = "SETBIT k 4294967296 1\r\n";
    let answer = feed(&[last.as_bytes().to_vec(), beyond.as_bytes().to_vec()]);
    let error = "-ERR bit offset is not an integer or out of range\r\n";
    // A field may go on past the limit, as in Redis.
    let expected = format!(":0\r\n:536870912\r\n:1\r\n*1\r\n:-9223372036854775808\r\n:536870920\r\n{error}");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

/// What the fuzzer (`ci/fuzz`) found to reach something, or to break something once.
#[test]
fn what_the_fuzzer_kept_breaks_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fixtures/hostile-redis");
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder is there") {
        hostile::play(&std::fs::read(entry.expect("readable").path()).expect("readable"));
        played += 1;
    }
    assert!(played > 100, "{played} files in {}", folder.display());
}
