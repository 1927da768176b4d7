//! Commands on streams, and what of their replies depends on the clock.

use rand::RngExt;

use super::{
    commands::{Draw, Drawn},
    common::Reply,
};

/// Further words in capitals: `NEW` the id of an entry to come, `OLD` an id that may be there, `END` an end of an
/// interval, `GRP` a group, `WHO` a consumer, `AGE` an idle time, `FILL` a script that adds 130 entries after the
/// millisecond `MS`. The stream `xc` gets its ids from the clock, the others explicit ones, which rise.
pub(crate) const TEMPLATES: &[&str] = &[
    "xack K GRP OLD OLD",
    "xack K GRP OLD",
    "xadd K NEW M V",
    "xadd K NEW M V",
    "xadd K NEW M V",
    "xadd K NEW MV+",
    "xadd K NEW MV+",
    "xadd K [NOMKSTREAM]? NEW MV+",
    "xadd K [NOMKSTREAM]? MAXLEN [=|~]? C NEW M V",
    "xadd K MAXLEN ~ C LIMIT C NEW M V",
    "xadd K MINID [=|~]? OLD [NOMKSTREAM]? NEW M V",
    "xadd K LIMIT C NEW M V",
    "xadd xc * M V",
    "xadd xc [NOMKSTREAM]? MAXLEN = 3 * M V",
    "xautoclaim K GRP WHO AGE END [JUSTID]?",
    "xautoclaim K GRP WHO AGE 0 COUNT C [JUSTID]?",
    "xclaim K GRP WHO AGE OLD OLD",
    "xclaim K GRP WHO AGE OLD OLD OLD JUSTID",
    "xclaim K GRP WHO 0 OLD OLD [FORCE]? [JUSTID]? [IDLE|TIME]? AGE",
    "xclaim K GRP WHO 0 OLD FORCE IDLE AGE [JUSTID]?",
    "xclaim K GRP WHO 0 OLD OLD RETRYCOUNT I FORCE",
    "xclaim K GRP WHO 0 OLD LASTID OLD",
    "xdel K OLD",
    "xdel K OLD OLD OLD",
    "xgroup CREATE K GRP GID",
    "xgroup CREATE K GRP GID MKSTREAM",
    "xgroup CREATE K GRP GID [MKSTREAM]? ENTRIESREAD I",
    "xgroup CREATECONSUMER K GRP WHO",
    "xgroup DELCONSUMER K GRP WHO",
    "xgroup DESTROY K GRP",
    "xgroup SETID K GRP GID",
    "xgroup SETID K GRP GID ENTRIESREAD C",
    "xgroup [HELP|NOSUCH]",
    "xinfo CONSUMERS K GRP",
    "xinfo GROUPS K",
    "xinfo GROUPS K",
    "xinfo STREAM K",
    "xinfo STREAM K",
    "xinfo STREAM K FULL",
    "xinfo STREAM K FULL COUNT C",
    "xinfo STREAM xc FULL",
    "xinfo [HELP|NOSUCH]",
    "xlen K",
    "xpending K GRP",
    "xpending K GRP - + 10",
    "xpending K GRP END END C [alice|bob]?",
    "xpending K GRP IDLE AGE - + 10 [alice|bob|carol]?",
    "xrange K - +",
    "xrange K END END",
    "xrange K END END COUNT C",
    "xrange xc - + COUNT C",
    "xread COUNT C STREAMS K OLD",
    "xread STREAMS K K OLD OLD",
    "xread STREAMS K xc OLD $",
    "xread STREAMS K [$|>|0]",
    "xreadgroup GROUP GRP WHO COUNT C [NOACK]? STREAMS K >",
    "xreadgroup GROUP GRP WHO COUNT 2 STREAMS K >",
    "xreadgroup GROUP GRP WHO [NOACK]? STREAMS K >",
    "xreadgroup GROUP GRP WHO STREAMS K K > >",
    "xreadgroup GROUP GRP WHO COUNT C STREAMS K K OLD >",
    "xreadgroup GROUP GRP WHO STREAMS K OLD",
    "xreadgroup GROUP GRP WHO STREAMS K [0|$]",
    "xrevrange K + -",
    "xrevrange K END END COUNT C",
    "xsetid K NEW",
    "xsetid K NEW ENTRIESADDED C",
    "xsetid K NEW [ENTRIESADDED]? 100 MAXDELETEDID OLD",
    "xsetid xc 9999999999999-5",
    "xtrim K MAXLEN [=|~]? C",
    "xtrim K MAXLEN [=|~]? [1|99|100|101|150]",
    "xtrim K MAXLEN ~ C LIMIT [0|1|50|100|200]",
    "xtrim K MINID [=|~]? OLD",
    "xtrim K MINID ~ OLD LIMIT C",
    "xtrim K [MAXLEN|LIMIT]? C",
    "eval FILL 1 [x1|x2] MS",
    "eval CALL 1 [x1|x2|s1]",
    "eval CALL 1 [x1|x2|s1]",
    "eval_ro CALL 1 [x1|x2|s1]",
    "del K",
    "expire K X",
    "rename K K",
    "type K",
];

/// What a sequence about streams starts with, so that there is something to be read.
pub(crate) const START: &[&str] = &[
    "xgroup CREATE x1 g1 0 MKSTREAM",
    "xgroup CREATE x1 g2 $ ENTRIESREAD 0",
    "xadd x1 NEW M V",
    "xadd x1 NEW MV+",
    "xgroup CREATE x2 g1 0 MKSTREAM",
    "xreadgroup GROUP g1 alice COUNT 1 STREAMS x1 >",
    "xadd x1 NEW M V",
    "xreadgroup GROUP g1 bob COUNT 1 STREAMS x1 >",
];

const FILL: &str = "for i = 1, 130 do \
    redis.call('xadd', KEYS[1], ARGV[1] .. '-' .. i, 'f' .. i % ARGV[1] % 3, string.rep('v', i * ARGV[1] % 90)) \
    end return redis.call('xlen', KEYS[1])";

/// Scripts that call commands on streams.
const CALLS: &[&str] = &[
    "return redis.call('xrange', KEYS[1], '-', '+', 'COUNT', 2)",
    "return redis.call('xread', 'STREAMS', KEYS[1], 0)",
    "redis.setresp(3) return redis.call('xread', 'COUNT', 1, 'STREAMS', KEYS[1], 0)",
    "return redis.pcall('xreadgroup', 'GROUP', 'g1', 'alice', 'COUNT', 1, 'STREAMS', KEYS[1], '>')",
    "return redis.call('xgroup', 'DESTROY', KEYS[1], 'g2')",
    "return redis.call('xgroup', 'NOSUCH', KEYS[1])",
    "return redis.call('xgroup', 'CREATE', KEYS[1])",
    "return redis.call('xgroup')",
    "return redis.call('xinfo', 'STREAM', KEYS[1])",
    "redis.setresp(3) return redis.call('xinfo', 'GROUPS', KEYS[1])",
    "return redis.call('xack', KEYS[1], 'g1', '3-0', '4-0', '5-1')",
];

const GROUPS: &[&str] = &["g1", "g1", "g1", "g1", "g1", "g1", "g2", "g2", "none"];
const CONSUMERS: &[&str] = &["alice", "bob", "alice", "bob", ""];
/// Times that differ by far more than a test takes.
const AGES: &[&str] = &["0", "0", "300000", "700000", "1000", "-1", "x", "9223372036854775807"];
const MIN_AGES: &[&str] = &["0", "0", "500000", "-1", "x", "9223372036854775807"];
const STRANGE_IDS: &[&str] = &[
    "0-0",
    "0-1",
    "0-*",
    "-",
    "+",
    "*",
    "x",
    "",
    "5-",
    "1--1",
    "01-1",
    " 3-1",
    "+4-0",
    "1-18446744073709551616",
    "7-18446744073709551615",
    "18446744073709551615-18446744073709551615",
];
/// What replaces an argument at random: nothing that is an age of a few milliseconds.
pub(crate) const SPOILERS: &[&str] = &[
    "x",
    "-5",
    "0",
    "",
    "3.14",
    "9223372036854775807",
    "-",
    "$",
    ">",
    "~",
    "=",
    "COUNT",
    "MAXLEN",
    "x1",
    "*",
];

/// The word of a template for streams, drawn.
pub(crate) fn word(draw: &mut Draw, word: &str, command: &str) -> Option<Vec<u8>> {
    let seq = draw.random.random_range(0..3u8);
    let text = match word {
        "NEW" => match draw.random.random_range(0..20) {
            0 => draw.text(STRANGE_IDS),
            1 => format!("{}-{seq}", draw.random.random_range(0..=draw.top_ms)),
            2..4 => format!("{}-*", draw.top_ms),
            4 => format!("{}", draw.top_ms + 1),
            _ => {
                draw.top_ms += u64::from(seq / 2);
                let top_ms = draw.top_ms;
                draw.top_seq += 1;
                format!("{top_ms}-{}", draw.top_seq)
            }
        },
        "OLD" | "GID" => match draw.random.random_range(0..20) {
            0 => draw.text(STRANGE_IDS),
            1 => "$".to_owned(),
            2 => format!("{}", draw.random.random_range(0..=draw.top_ms)),
            _ if word == "GID" => draw.text(&["0", "$"]),
            _ => {
                let back = draw.random.random_range(0..6).min(draw.top_seq);
                let ms = draw.top_ms.saturating_sub(u64::from(draw.random.random_bool(0.3)));
                format!("{ms}-{}", draw.top_seq - back)
            }
        },
        "END" => match draw.random.random_range(0..20) {
            0 => draw.text(STRANGE_IDS),
            1 => draw.text(&["-", "+", "(", "(-", "(0-0", "(18446744073709551615-18446744073709551615"]),
            2..6 => format!("({}-{}", draw.top_ms, draw.random.random_range(0..=draw.top_seq)),
            6 => format!("({}", draw.random.random_range(0..=draw.top_ms)),
            7..14 => format!("{}-{}", draw.top_ms, draw.random.random_range(0..=draw.top_seq)),
            14..17 => draw.text(&["-", "+"]),
            _ => format!("{}", draw.random.random_range(0..=draw.top_ms)),
        },
        "GRP" => draw.text(GROUPS),
        "WHO" => draw.text(CONSUMERS),
        "AGE" if matches!(command, "xpending" | "xautoclaim") => draw.text(MIN_AGES),
        "AGE" => draw.text(AGES),
        "FILL" => FILL.to_owned(),
        "CALL" => draw.text(CALLS),
        "MS" => {
            draw.top_ms += 1;
            draw.top_seq = 130;
            draw.top_ms.to_string()
        }
        _ => return None,
    };
    Some(text.into_bytes())
}

/// Is this a time by the clock of a real machine?
fn is_now(number: i64) -> bool {
    (1_500_000_000_000..5_000_000_000_000).contains(&number)
}

/// Replaces times and ids that come from the clock, and rounds idle times.
pub(crate) fn without_clock(drawn: &Drawn, reply: Reply) -> Reply {
    let reply = without_now(reply);
    match (drawn.name().as_str(), reply) {
        ("xpending", Reply::Many(kind, Some(items))) if drawn.args.len() > 3 => {
            let rounded = items.into_iter().map(|item| with_coarse(item, 2)).collect();
            Reply::Many(kind, Some(rounded))
        }
        ("xinfo", Reply::Many(kind, Some(items))) if drawn.args[1].eq_ignore_ascii_case(b"consumers") => {
            let rounded = items.into_iter().map(|item| with_coarse(item, 5)).collect();
            Reply::Many(kind, Some(rounded))
        }
        (_, reply) => reply,
    }
}

fn with_coarse(item: Reply, place: usize) -> Reply {
    let Reply::Many(kind, Some(mut parts)) = item else { return item };
    if let Some(part) = parts.get_mut(place)
        && let Some(idle) = part.integer()
    {
        *part = Reply::Line(b':', ((idle + 50_000) / 100_000).to_string());
    }
    Reply::Many(kind, Some(parts))
}

fn without_now(reply: Reply) -> Reply {
    match reply {
        Reply::Many(kind, Some(items)) => {
            Reply::Many(kind, Some(items.into_iter().map(without_now).collect()))
        }
        Reply::Bulk(kind, Some(text)) => {
            let id = std::str::from_utf8(&text).ok().and_then(|text| text.split_once('-'));
            let from_clock = id.is_some_and(|(ms, _)| ms.parse().is_ok_and(is_now));
            Reply::Bulk(kind, Some(if from_clock { b"now".to_vec() } else { text }))
        }
        reply if reply.integer().is_some_and(is_now) => Reply::Line(b':', "now".into()),
        reply => reply,
    }
}
