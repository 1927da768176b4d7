//! Draws commands: mostly sensible, sometimes with a wrong argument, one too many or one too few.

use std::fmt;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::streams;
use crate::values::{
    BOUNDS, DUMPS, FIELDS, FLOATS, GLOBS, INTEGERS, KEYS, LEX, MEMBERS, NUMBERS, OFFSETS, SCORES, SCRIPTS,
    VALUES,
};

/// A command that was drawn.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) args: Vec<Vec<u8>>,
    /// It is called by a script, with this function of `redis`.
    pub(crate) is_called_as: Option<&'static str>,
    /// The script asks for the types of RESP3.
    pub(crate) is_resp3: bool,
}

impl Drawn {
    /// A command as it stands here, its words parted by blanks.
    pub(crate) fn of(words: &str) -> Self {
        Self::new(words.split(' ').map(|word| word.as_bytes().to_vec()).collect())
    }

    fn new(args: Vec<Vec<u8>>) -> Self {
        Self { args, is_called_as: None, is_resp3: false }
    }

    /// What is sent to a server.
    pub(crate) fn request(&self) -> Vec<Vec<u8>> {
        let Some(function) = self.is_called_as else { return self.args.clone() };
        let types = if self.is_resp3 { "redis.setresp(3) " } else { "" };
        let script = format!("{types}return redis.{function}(unpack(ARGV))");
        [&[b"EVAL".to_vec(), script.into_bytes(), b"0".to_vec()], &self.args[..]].concat()
    }

    /// In lower case.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.args[0]).to_lowercase()
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for arg in self.request() {
            write!(f, "{:?} ", String::from_utf8_lossy(&arg))?;
        }
        Ok(())
    }
}

/// Templates of commands. Words in capitals are drawn: `K` a key, `V` a value, `M` a member or field, `I` an
/// integer, `N` a small index, `C` a small count, `F` a score, `B` a bound of scores, `L` a bound of members,
/// `X` seconds and `P` milliseconds until an expiry, `S` a script with its keys and arguments. `O` is an offset of bits, `T` the type of
/// a field of bits, `BO` an operation on one, `FL` a floating-point number of any size, `DUMP` a dump. `[a|b]?` is an
/// option that may be left out, `[a|b]` a choice; `M+` and `FM+` stand for one to three. `Z` is a sorted set
/// whose scores are all equal, the only kind whose ranges of members Redis defines.
const TEMPLATES: &[&str] = &[
    "bitcount K",
    "bitcount K N N",
    "bitcount K N N [BIT|BYTE|x]",
    "bitcount K I I",
    "bitfield K BO+",
    "bitfield K BO+",
    "bitfield K OVERFLOW [WRAP|SAT|FAIL] BO OVERFLOW [wrap|sat|fail|x] BO",
    "bitfield_ro K GET T O",
    "bitfield_ro K GET T O GET T O",
    "bitfield_ro K BO",
    "bitop [AND|OR|XOR|not] K K+",
    "bitop NOT K K",
    "bitop [AND|OR|XOR] K K K",
    "bitpos K [0|1]",
    "bitpos K [0|1|2] N",
    "bitpos K [0|1] N N",
    "bitpos K [0|1] N N [BIT|BYTE|x]",
    "bitpos K [0|1] I I [BIT|BYTE]",
    "copy K K",
    "copy K K [REPLACE]? [DB]? [0|99|x|99999999999]?",
    "copy K K REPLACE",
    "dump K",
    "restore K 0 DUMP REPLACE",
    "restore K P DUMP [REPLACE]? [ABSTTL]?",
    "restore K P DUMP REPLACE [ABSTTL]? [IDLETIME|FREQ]? [100|255|256|-1|x]?",
    "restore K 4000000000000 DUMP [ABSTTL] REPLACE FREQ 1 [IDLETIME|FREQ]? 2",
    "getbit K O",
    "hincrbyfloat K M FL",
    "hincrbyfloat K M FL",
    "hrandfield K 1000",
    "hrandfield K 1000 [WITHVALUES]",
    "hrandfield K C [WITHVALUES|x]?",
    "hrandfield K I WITHVALUES",
    "incrbyfloat K FL",
    "incrbyfloat K FL",
    "lmpop 1 K [LEFT|RIGHT|x]",
    "lmpop 2 K K [LEFT|RIGHT] COUNT C",
    "lmpop C K+ [left|right] [COUNT]? C",
    "lcs K K",
    "lcs K K [LEN|IDX|x]? [WITHMATCHLEN|LEN]? [MINMATCHLEN]? [1|2|x]?",
    "lcs K K IDX",
    "lcs K K IDX MINMATCHLEN C [WITHMATCHLEN]?",
    "lpos K M",
    "lpos K M [RANK|COUNT|MAXLEN] C",
    "lpos K M RANK N COUNT C",
    "lpos K M RANK N COUNT C MAXLEN C",
    "lpos K M RANK I [COUNT]? C",
    "rpush K M+ a b a",
    "setbit K O [0|1]",
    "setbit K O [0|1]",
    "setbit K O V",
    "srandmember K C",
    "zdiff 2 K K [WITHSCORES]?",
    "zdiff C K+ [WITHSCORES]?",
    "zdiff 2 K K [AGGREGATE|WEIGHTS] SUM 1",
    "zdiffstore K 2 K K",
    "zdiffstore K C K+",
    "zinter 2 K K [WITHSCORES]?",
    "zinter 2 K K WEIGHTS F F AGGREGATE [SUM|MIN|MAX] WITHSCORES",
    "zinter 3 K K K AGGREGATE [SUM|MIN|MAX|x] WITHSCORES",
    "zinter 2 K K WEIGHTS F",
    "zintercard 2 K K",
    "zintercard 2 K K LIMIT C",
    "zintercard C K+ [LIMIT|WITHSCORES]?",
    "zinterstore K 2 K K AGGREGATE [SUM|MIN|MAX]",
    "zinterstore K 2 K K WEIGHTS F F",
    "zinterstore K C K+",
    "zmpop 1 K [MIN|MAX|x]",
    "zmpop 2 K K [MIN|MAX] COUNT C",
    "zmpop C K+ [min|max] [COUNT]? C",
    "zrandmember K 1000",
    "zrandmember K 1000 [WITHSCORES]",
    "zrandmember K C [WITHSCORES|x]?",
    "zrangestore K K N N [REV]?",
    "zrangestore K K B B BYSCORE [REV]? LIMIT N N",
    "zrangestore K Z L L BYLEX [REV]?",
    "zrangestore K K B B [BYSCORE|WITHSCORES]",
    "zrangestore K K N N LIMIT N N",
    "zunion 2 K K [WITHSCORES]?",
    "zunion C K+ [WITHSCORES]?",
    "zunion 2 K K WEIGHTS F F [AGGREGATE]? [SUM|MIN|MAX|x] WITHSCORES",
    "zunion 3 K K K WEIGHTS F F F AGGREGATE [SUM|MIN|MAX] WITHSCORES",
    "zunionstore K 2 K K",
    "zunionstore K 2 K K WEIGHTS F F AGGREGATE [SUM|MIN|MAX]",
    "zunionstore K C K+ [WITHSCORES]?",
    "zunionstore K 2 set1 K",
    "append K V",
    "dbsize",
    "decr K",
    "decrby K I",
    "del K+",
    "echo V",
    "exists K+",
    "expire K X [NX|XX|GT|LT]?",
    "expireat K I [NX|XX]?",
    "expiretime K",
    "get K",
    "getdel K",
    "getex K [PERSIST]?",
    "getex K EX X",
    "getrange K N N",
    "getset K V",
    "hdel K M+",
    "hexists K M",
    "hget K M",
    "hgetall K",
    "hincrby K M I",
    "hkeys K",
    "hlen K",
    "hmget K M+",
    "hmset K MV+",
    "hscan K 0 COUNT 1000",
    "hscan K 0 MATCH G COUNT 1000",
    "hset K MV+",
    "hset K MV+",
    "hsetnx K M V",
    "hstrlen K M",
    "hvals K",
    "incr K",
    "incrby K I",
    "keys G",
    "lindex K N",
    "linsert K [BEFORE|AFTER] M V",
    "llen K",
    "lmove K K [LEFT|RIGHT] [LEFT|RIGHT]",
    "lpop K",
    "lpop K C",
    "lpush K M+",
    "lpushx K M+",
    "lrange K N N",
    "lrem K N M",
    "lrem K I M",
    "lset K N V",
    "ltrim K N N",
    "mget K+",
    "mset K V K V",
    "msetnx K V K V",
    "persist K",
    "pexpire K P [NX|XX|GT|LT]?",
    "pexpireat K I",
    "pexpiretime K",
    "ping",
    "ping V",
    "psetex K P V",
    "pttl K",
    "rename K K",
    "renamenx K K",
    "rpop K",
    "rpop K C",
    "rpoplpush K K",
    "rpush K M+",
    "rpushx K M+",
    "sadd K M+",
    "sadd K M+",
    "scan 0 COUNT 1000",
    "scan 0 MATCH G COUNT 1000 TYPE [string|hash|list|set|zset|stream]",
    "scard K",
    "sdiff K+",
    "sdiffstore K K+",
    "set K V",
    "set K V [NX|XX|GET|KEEPTTL]? [GET|KEEPTTL]?",
    "set K V [EX|PX]? P [NX|XX]?",
    "setex K X V",
    "setnx K V",
    "setrange K C V",
    "sinter K+",
    "sintercard C K+ [LIMIT]?",
    "sintercard 2 K K LIMIT C",
    "sinterstore K K+",
    "sismember K M",
    "smembers K",
    "smismember K M+",
    "smove K K M",
    "spop K 1000",
    "srandmember K 1000",
    "srem K M+",
    "sscan K 0 COUNT 1000",
    "strlen K",
    "substr K N N",
    "sunion K+",
    "sunionstore K K+",
    "time",
    "touch K+",
    "ttl K",
    "type K",
    "unlink K+",
    "zadd K FM+",
    "zadd K FM+",
    "zadd K [NX|XX|GT|LT]? [GT|LT]? [CH]? FM+",
    "zadd K [NX|XX|GT|LT]? INCR FM+",
    "zadd Z 0 M",
    "zadd Z 0 M 0 M",
    "zcard K",
    "zcount K B B",
    "zincrby K F M",
    "zlexcount Z L L",
    "zmscore K M+",
    "zpopmax K",
    "zpopmax K C",
    "zpopmin K",
    "zpopmin K C",
    "zrange K N N [WITHSCORES]?",
    "zrange K N N REV [WITHSCORES]?",
    "zrange K N N LIMIT N [-1]",
    "zrange K B B BYSCORE [REV]? [WITHSCORES]?",
    "zrange K B B BYSCORE [REV]? LIMIT N N [WITHSCORES]?",
    "zrange Z L L BYLEX [REV]? LIMIT N N",
    "zrangebylex Z L L",
    "zrangebyscore K B B [WITHSCORES]? LIMIT N N",
    "zrangebyscore K B B [WITHSCORES]?",
    "zrank K M",
    "zrem K M+",
    "zremrangebylex Z L L",
    "zremrangebyrank K N N",
    "zremrangebyscore K B B",
    "zrevrange K N N [WITHSCORES]?",
    "zrevrangebylex Z L L",
    "zrevrangebyscore K B B [WITHSCORES]? [LIMIT]?",
    "zrevrank K M",
    "zscan K 0 COUNT 1000",
    "zscore K M",
    // Transactions and scripts, often.
    "multi",
    "multi",
    "multi",
    "exec",
    "exec",
    "exec",
    "exec",
    "exec",
    "discard",
    "watch K+",
    "watch K+",
    "watch K+",
    "unwatch",
    "eval S",
    "eval S",
    "eval S",
    "eval S",
    "eval S",
    "eval S",
    "eval_ro S",
    "evalsha V 0",
    "script exists V",
    "script load S",
    "flushall",
    "nosuchcommand V V",
];

/// The generator.
pub(crate) struct Draw {
    pub(crate) random: ChaCha8Rng,
    /// Draws mostly commands on streams, these templates first.
    mostly_streams: Option<std::slice::Iter<'static, &'static str>>,
    /// The highest parts of ids that were drawn for entries of streams.
    pub(crate) top_ms: u64,
    pub(crate) top_seq: u64,
}

impl Draw {
    pub(crate) fn new(random: ChaCha8Rng) -> Self {
        Self { random, mostly_streams: None, top_ms: 1, top_seq: 0 }
    }

    /// A generator of mostly commands on streams.
    pub(crate) fn mostly_streams(random: ChaCha8Rng) -> Self {
        Self { mostly_streams: Some(streams::START.iter()), ..Self::new(random) }
    }

    fn one(&mut self, choices: &[&str]) -> Vec<u8> {
        let index = self.random.random_range(0..choices.len());
        choices[index].as_bytes().to_vec()
    }

    /// One of these texts.
    pub(crate) fn text(&mut self, choices: &[&str]) -> String {
        choices[self.random.random_range(0..choices.len())].to_owned()
    }

    fn template(&mut self) -> &'static str {
        if let Some(first) = self.mostly_streams.as_mut().and_then(Iterator::next) {
            return first;
        }
        let of_streams = self.random.random_bool(if self.mostly_streams.is_some() { 0.9 } else { 0.1 });
        let templates = if of_streams { streams::TEMPLATES } else { TEMPLATES };
        templates[self.random.random_range(0..templates.len())]
    }

    /// The next command.
    pub(crate) fn command(&mut self) -> Drawn {
        let mut args = Vec::new();
        let words: Vec<&str> = self.template().split(' ').collect();
        for word in &words {
            self.word(word, &mut args);
        }
        // Mostly the keys fit the command, so that something comes about.
        if self.random.random_bool(if self.mostly_streams.is_some() { 0.97 } else { 0.8 }) {
            self.fit_keys(&words, &mut args);
        }
        // Without its large count this chooses at random, and a cursor that nobody gave means nothing.
        let chooses = matches!(words[0], "spop" | "scan");
        if self.random.random_bool(0.04) && !chooses {
            let spoilers = if words[0].starts_with('x') { streams::SPOILERS } else { VALUES };
            match self.random.random_range(0..3) {
                0 if args.len() > 1 => {
                    args.pop();
                }
                1 => args.push(self.one(spoilers)),
                _ => {
                    let at = self.random.random_range(0..args.len());
                    if at > 0 {
                        args[at] = self.one(spoilers);
                    }
                }
            }
        }
        if self.random.random_bool(0.1) {
            args[0].make_ascii_uppercase();
        }
        Drawn::new(args)
    }

    fn fit_keys(&mut self, words: &[&str], args: &mut [Vec<u8>]) {
        let fitting: &[&str] = match words[0] {
            "copy" | "rename" | "renamenx" | "del" | "unlink" | "exists" | "touch" | "watch" | "eval"
            | "eval_ro" => {
                return;
            }
            name if name.starts_with('h') => &["h1", "h2"],
            name if ["zunion", "zinter", "zdiff"].iter().any(|prefix| name.starts_with(prefix)) => {
                &["z1", "z2", "z1", "z2", "set1"]
            }
            name if name.starts_with('z') => &["z1", "z2"],
            name if name.starts_with('x') => &["x1", "x1", "x1", "x2"],
            "lindex" | "linsert" | "llen" | "lmove" | "lmpop" | "lpop" | "lpos" | "lpush" | "lpushx"
            | "lrange" | "lrem" | "lset" | "ltrim" | "rpop" | "rpoplpush" | "rpush" | "rpushx" => {
                &["l1", "l2"]
            }
            "sadd" | "scard" | "sdiff" | "sdiffstore" | "sinter" | "sintercard" | "sinterstore"
            | "sismember" | "smembers" | "smismember" | "smove" | "spop" | "srandmember" | "srem"
            | "sscan" | "sunion" | "sunionstore" => &["set1", "set2"],
            "append" | "bitcount" | "bitfield" | "bitfield_ro" | "bitop" | "bitpos" | "get" | "getbit"
            | "getdel" | "getex" | "getrange" | "getset" | "lcs" | "mget" | "mset" | "msetnx" | "psetex"
            | "set" | "setbit" | "setex" | "setnx" | "setrange" | "strlen" | "substr" => &["s1", "s2", "n"],
            "incr" | "incrby" | "incrbyfloat" | "decr" | "decrby" => &["n"],
            _ => return,
        };
        for arg in args.iter_mut().skip(1) {
            if KEYS.iter().any(|key| key.as_bytes() == &**arg) {
                *arg = self.one(fitting);
            }
        }
    }

    /// A number of any size, often with more digits than fit.
    fn float(&mut self) -> Vec<u8> {
        if self.random.random_bool(0.5) {
            return self.one(FLOATS);
        }
        let digits = self.random.random_range(0..u64::MAX) >> self.random.random_range(0..60);
        let sign = if self.random.random_bool(0.5) { "-" } else { "" };
        let power = if self.random.random_bool(0.9) { 25 } else { 4945 };
        let exponent = self.random.random_range(-power..power);
        match self.random.random_range(0..3) {
            0 => format!("{sign}{digits}"),
            1 => format!("{sign}{}.{digits}", digits % 1000),
            _ => format!("{sign}{digits}e{exponent}"),
        }
        .into_bytes()
    }

    /// A value as `DUMP` gives it, sometimes of a newer version, damaged or too short.
    fn dump(&mut self) -> Vec<u8> {
        let body = DUMPS[self.random.random_range(0..DUMPS.len())];
        let version = if self.random.random_bool(0.1) { 11 } else { 10 };
        let mut dump = [body, &[version, 0]].concat();
        let checksum = crc::Crc::<u64>::new(&crc::CRC_64_REDIS).checksum(&dump);
        dump.extend(checksum.to_le_bytes());
        if self.random.random_bool(0.1) {
            let place = self.random.random_range(0..dump.len());
            dump[place] ^= 1;
        }
        if self.random.random_bool(0.05) {
            dump.truncate(self.random.random_range(0..dump.len()));
        }
        dump
    }

    fn field_operation(&mut self, args: &mut Vec<Vec<u8>>) {
        let operation = self.one(&["GET", "SET", "SET", "INCRBY", "INCRBY", "incrby", "OVERFLOW"]);
        if operation == b"OVERFLOW" {
            args.extend([operation, self.one(&["WRAP", "SAT", "SAT", "FAIL", "FAIL"])]);
            return;
        }
        let reads = operation == b"GET";
        args.extend([operation, self.one(FIELDS), self.one(OFFSETS)]);
        if !reads {
            args.push(self.one(NUMBERS));
        }
    }

    fn word(&mut self, word: &str, args: &mut Vec<Vec<u8>>) {
        if let Some(choice) = word.strip_prefix('[') {
            let optional = choice.ends_with('?');
            let choice = choice.trim_end_matches(['?', ']']);
            if optional && self.random.random_bool(0.5) {
                return;
            }
            let choices: Vec<&str> = choice.split('|').collect();
            args.push(self.one(&choices));
            return;
        }
        let (word, times) = match word.strip_suffix('+') {
            Some(word) if !word.is_empty() => (word, self.random.random_range(1..4)),
            _ => (word, 1),
        };
        for _ in 0..times {
            match word {
                "K" => args.push(self.one(KEYS)),
                "V" => args.push(self.one(VALUES)),
                "M" => args.push(self.one(MEMBERS)),
                "MV" => {
                    args.push(self.one(MEMBERS));
                    args.push(self.one(VALUES));
                }
                "FM" => {
                    args.push(self.one(SCORES));
                    args.push(self.one(MEMBERS));
                }
                "I" => args.push(self.one(INTEGERS)),
                "N" => args.push(self.random.random_range(-4..5).to_string().into_bytes()),
                "C" => args.push(self.random.random_range(-1..5).to_string().into_bytes()),
                "F" => args.push(self.one(SCORES)),
                "FL" => args.push(self.float()),
                "O" => args.push(self.one(OFFSETS)),
                "T" => args.push(self.one(FIELDS)),
                "BO" => self.field_operation(args),
                "B" => args.push(self.one(BOUNDS)),
                "L" => args.push(self.one(LEX)),
                "DUMP" => args.push(self.dump()),
                "G" => args.push(self.one(GLOBS)),
                "Z" => args.push(b"zlex".to_vec()),
                // Whole steps of what is compared coarsely; the clock cannot carry them over the edge.
                "X" => args.push(self.one(&["100", "300", "700", "0", "-1", "9223372036854775807", "x"])),
                "P" => args.push(self.one(&[
                    "100000",
                    "300000",
                    "700000",
                    "0",
                    "-1",
                    "9223372036854775807",
                    "x",
                ])),
                "S" => {
                    args.push(self.one(SCRIPTS));
                    if args[0] == b"script" {
                        return;
                    }
                    args.push(b"1".to_vec());
                    args.push(self.one(KEYS));
                    for _ in 0..self.random.random_range(0..3) {
                        args.push(self.one(VALUES));
                    }
                }
                literal => {
                    let command =
                        String::from_utf8_lossy(args.first().map_or(&[], Vec::as_slice)).into_owned();
                    let drawn = streams::word(self, literal, &command);
                    args.push(drawn.unwrap_or_else(|| literal.as_bytes().to_vec()));
                }
            }
        }
    }
}
