//! The planted bugs of the whole sale: those of its services, and those of the Redis that it stands on, the client as well
//! as the servers. Systems do not know their middleware; the harness does, and which scenario of the sale finds them.
use std::sync::LazyLock;

use record::mutant::{Kind, Mutant};

const BAD_NETWORK: &str = "ticketing/bad-network";
const REDIS_FAILOVER: &str = "ticketing/redis-failover";
const REDIS_SPLIT_BRAIN: &str = "ticketing/redis-split-brain";
const REDIS_TOTAL_LOSS: &str = "ticketing/redis-total-loss";

const fn race(name: &'static str, scenario: &'static str, about: &'static str) -> Mutant {
    Mutant { name, system: "ticketing", scenario, kind: Kind::Race, about }
}

/// Those of the client (`redis.client.…`) and of the servers: all of them need a fault at the wrong moment.
const OF_REDIS: &[Mutant] = &[
    race(
        "redis.client.room-not-looked-at-again",
        REDIS_FAILOVER,
        "The connection's task looks for new commands before replies make room for them: nobody wakes it up for those.",
    ),
    race(
        "redis.cluster.rank-ignored",
        REDIS_FAILOVER,
        "Replicas do not let those with more data go first: one that lags behind is elected, and the rest is lost.",
    ),
    race(
        "redis.cluster.replaced-master-stays",
        REDIS_SPLIT_BRAIN,
        "A master does not give up its slots to one with a higher epoch: it goes on taking commands that never count.",
    ),
    race(
        "redis.wait-counts-linked-replicas",
        REDIS_SPLIT_BRAIN,
        "WAIT counts the replicas that are linked, not those that have acknowledged: a failover loses what was in between.",
    ),
    race(
        "redis.client.wait-answer-ignored",
        REDIS_SPLIT_BRAIN,
        "WAIT is asked, but not how many replicas it has counted: what only a lonely master has is believed.",
    ),
    race(
        "redis.reply-before-sync",
        REDIS_TOTAL_LOSS,
        "Replies leave before the append-only file is synced: a loss of power takes what was acknowledged.",
    ),
    race(
        "redis.client.connection-kept-after-timeout",
        BAD_NETWORK,
        "After a timeout the connection is used on: the late reply is taken for that of the next command.",
    ),
];

/// All of them.
pub(super) static ALL: LazyLock<Vec<Mutant>> = LazyLock::new(|| [ticketing::MUTANTS, OF_REDIS].concat());
