//! A small sale on a simulated Redis, for the unit tests of the services.
//!
//! All unit tests of this crate play with scripts and commands that are checked for what a Redis Cluster asks of them:
//! everything that they touch is in one slot, and a script touches only the keys that it declares.
use std::{collections::BTreeSet, future::Future, sync::Arc};

use redis::{Arg, Cmd, Pipeline, RedisFuture, Value, aio::ConnectionLike};
use redis_middleware::Server;
use redis_protocol::redis_keyslot;

use super::Instance;
use crate::{
    Config,
    config::{ClassOnSale, RunOnSale, Sale},
    domain::{Class, Trip},
    ids::OrderId,
    shards::{Shard, Shards},
    timetable::{Station, TrainRun},
};

/// The only train on sale: four segments, in second class only.
pub(crate) const RUN: &str = "T1@2017-03-31";

/// A trip on that train.
pub(crate) fn trip(from: u32, to: u32) -> Trip {
    Trip { run: RUN.to_owned(), class: Class::Second, from, to }
}

/// The shard of that train.
pub(crate) fn shard() -> Shard {
    Shards::default().of_run(RUN)
}

/// An order for that train.
pub(crate) fn order(number: u64) -> OrderId {
    OrderId::new(shard(), number)
}

/// A sale of this many seats.
pub(crate) fn config(seats: u32) -> Config {
    let station = |number: u32| Station {
        id: format!("s{number}"),
        name: format!("Station {number}"),
        arrival_s: number * 3600,
        departure_s: number * 3600,
    };
    let train = TrainRun {
        id: RUN.to_owned(),
        name: "T 1".to_owned(),
        date: "2017-03-31".to_owned(),
        stations: (0..5).map(station).collect(),
    };
    let class = ClassOnSale { class: Class::Second, seats, price_per_segment_fen: 500 };
    Config::new(Sale::new(vec![RunOnSale { train, classes: vec![class] }]))
}

/// Runs a test on an instance with a Redis in which the sale is open.
pub(crate) fn on_sale<F, Fut>(config: Config, test: F)
where
    F: FnOnce(Instance) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let outcome = world::sim::run(world::sim::Config::new(1), move || async move {
        let server = Server::new(redis_middleware::Options::default());
        world::host::add("redis-1", move || {
            let server = server.clone();
            async move { server.listen("0.0.0.0:6379").await.expect("listens") }
        });
        let config = Arc::new(config);
        let mut redis = super::Link::new(&config);
        // Twice: what is there already stays.
        for _ in 0..2 {
            crate::open_sale(&mut redis, &config).await.expect("the sale opens");
        }
        test(Instance::new(config)).await;
    });
    assert_eq!(outcome.panics, []);
    outcome.result.expect("the test ends");
}

/// Raised by a script that touches a key which it has not declared.
const UNDECLARED: &str = "undeclared key";

/// A script that refuses to touch a key which it has not declared. The first argument of every command that scripts
/// use is its only key, except for `TIME`, which has none.
pub(crate) fn guarded(script: &str) -> String {
    let guard = format!(
        "local declared, call = {{}}, redis.call
        for _, key in ipairs(KEYS) do declared[key] = true end
        local redis = {{call = function(command, key, ...)
          if command == 'TIME' then return call(command) end
          if not declared[key] then error('{UNDECLARED} ' .. tostring(key)) end
          return call(command, key, ...)
        end}}"
    );
    format!("{guard}\n{script}")
}

/// A connection that refuses commands and scripts with keys in different slots, where there are slots.
pub(crate) struct Checked {
    pub(crate) link: super::Link,
    pub(crate) has_slots: bool,
}

impl ConnectionLike for Checked {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let slots: BTreeSet<u16> = keys_of(cmd).into_iter().map(redis_keyslot).collect();
        assert!(!self.has_slots || slots.len() <= 1, "keys in different slots: {cmd:?}");
        Box::pin(async move {
            let answer = self.link.req_packed_command(cmd).await;
            let undeclared = answer.as_ref().err().filter(|error| error.to_string().contains(UNDECLARED));
            assert!(undeclared.is_none(), "{undeclared:?}: {cmd:?}");
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        pipeline.cmd_iter().for_each(|cmd| assert!(keys_of(cmd).len() <= 1, "{cmd:?}"));
        self.link.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.link.get_db()
    }
}

/// The keys of a script, or the one key of any other command that services send.
fn keys_of(cmd: &Cmd) -> Vec<&[u8]> {
    let args: Vec<&[u8]> = cmd
        .args_iter()
        .map(|arg| match arg {
            Arg::Simple(arg) => arg,
            _ => b"",
        })
        .collect();
    match args.as_slice() {
        [b"EVAL" | b"EVALSHA", _, count, rest @ ..] => {
            let count = String::from_utf8_lossy(count).parse().expect("a number of keys");
            rest[..count].to_vec()
        }
        [b"SCRIPT", ..] => Vec::new(),
        [_, key, ..] => vec![key],
        _ => Vec::new(),
    }
}
