//! One table: what every engine does, checked cell by cell by the conformance suite.

use std::fmt::Write;

use super::EngineKind;

/// What an engine makes of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// As promised.
    Full,
    /// In these words, and in no other way.
    Differs(&'static str),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// Its name, by which the suite finds it.
    pub name: &'static str,
    /// What the kernel does.
    pub promise: &'static str,
    turmoil: Support,
    madsim: Support,
    tokio: Support,
}

impl Feature {
    /// What an engine makes of it.
    pub fn on(&self, engine: EngineKind) -> Support {
        match engine {
            EngineKind::Kernel => Full,
            EngineKind::Turmoil => self.turmoil,
            EngineKind::Madsim => self.madsim,
            EngineKind::Tokio => self.tokio,
        }
    }
}

use Support::{Differs, Full};

/// The table.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: "byte order",
        promise: "bytes arrive whole and in order",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "addresses of streams",
        promise: "those of the world, alike at both ends",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "ports",
        promise: "one listener to a port; port 0 takes a free one",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "refused connections",
        promise: "`ConnectionRefused`; unknown names and addresses fail at once",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "end of a stream",
        promise: "read after all bytes before it",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "half-close",
        promise: "the reader reads to the end, and may still write",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "reset",
        promise: "closing with bytes unread resets the peer",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "back-pressure",
        promise: "a writer waits once the window of 256 KiB is full",
        turmoil: Differs("a writer waits for the reader after 4096 writes, whatever their size"),
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "pipelining",
        promise: "messages follow each other without delay",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "unaccepted connections",
        promise: "reset when the listener closes",
        turmoil: Differs("connected once accepted: refused when the listener closes"),
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "user timeout and keepalive",
        promise: "as on Linux",
        turmoil: Differs("both fail with `Unsupported`"),
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "order of timers",
        promise: "by their deadlines",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "resolution of timers",
        promise: "a nanosecond, never late",
        turmoil: Differs("whole milliseconds, up to one late"),
        madsim: Full,
        tokio: Differs("as late as the machine is"),
    },
    Feature {
        name: "time",
        promise: "simulated: waiting costs none",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("real"),
    },
    Feature {
        name: "timeouts and intervals",
        promise: "as tokio's",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "latency",
        promise: "drawn for every segment; a handshake takes it twice",
        turmoil: Differs("a handshake takes it once; whole milliseconds"),
        madsim: Full,
        tokio: Differs("the loopback network's"),
    },
    Feature {
        name: "latency of single links",
        promise: "any distribution",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "`std`'s clocks",
        promise: "simulated, from 2026-01-01 on",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("the machine's"),
    },
    Feature {
        name: "one time for all hosts",
        promise: "events of all hosts in the order of time",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "join and abort",
        promise: "an aborted task is dropped where it stands",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "panics",
        promise: "caught, and reported with their host, time and place",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "interleavings",
        promise: "any ready task may be next, by seed",
        turmoil: Differs("one order only, whatever the seed"),
        madsim: Full,
        tokio: Differs("one order only, whatever the seed"),
    },
    Feature {
        name: "deadlock",
        promise: "noticed, and reported with the tasks that are left",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "deadlock beside an open socket",
        promise: "noticed",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("never noticed"),
    },
    Feature {
        name: "crash: tasks",
        promise: "dropped at once, and never run on",
        turmoil: Differs("they stand still at once and are dropped at the end of the tick"),
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "crash: the network falls silent",
        promise: "peers hear nothing until it boots, then a reset",
        turmoil: Differs("peers read an end at once"),
        madsim: Full,
        tokio: Differs("peers read an end at once"),
    },
    Feature {
        name: "crash: connecting",
        promise: "no answer",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("refused at once"),
    },
    Feature {
        name: "kill: peers",
        promise: "reset",
        turmoil: Differs("peers read an end instead of a reset"),
        madsim: Full,
        tokio: Differs("peers read an end instead of a reset"),
    },
    Feature { name: "kill: connecting", promise: "refused", turmoil: Full, madsim: Full, tokio: Full },
    Feature {
        name: "boot",
        promise: "runs again, after crash and kill",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "pause",
        promise: "tasks stand still, what was sent to them waits, timers fire late",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "clocks of hosts",
        promise: "skew, drift and jumps",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "`std`'s clocks on a host whose clocks differ",
        promise: "the host's",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("they show the true time"),
    },
    Feature {
        name: "datagrams",
        promise: "arrive whole, and say who sent them",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "datagrams to nobody",
        promise: "`ConnectionRefused` on a connected socket",
        turmoil: Differs("nothing is heard"),
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "partition",
        promise: "nothing passes until healed",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "partition: streams go on when healed",
        promise: "what was lost is sent again",
        turmoil: Differs("what was lost is never sent again: the stream is dead, without an error"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "partition: connecting",
        promise: "no answer, `TimedOut` after two minutes",
        turmoil: Differs("refused at once"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "partition in one direction",
        promise: "nothing passes that way, all passes the other",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "hold and release",
        promise: "what is held arrives when released",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "delay",
        promise: "every packet takes longer",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "loss of datagrams",
        promise: "each by its probability",
        turmoil: Differs("each loss takes all along that is on the link"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "loss on streams",
        promise: "sent again, later",
        turmoil: Differs("what was lost is never sent again: the stream is dead, without an error"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "duplication",
        promise: "datagrams arrive twice",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "reordering",
        promise: "packets overtake each other",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "bandwidth",
        promise: "what is too much queues",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "reset storm",
        promise: "all connections between two sets of hosts are reset",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "disk: what was synced survives a crash",
        promise: "yes",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "disk: what was not synced is lost in a crash",
        promise: "by seeded choice, in part",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "disk: all that was written survives a kill",
        promise: "yes",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature { name: "cores", promise: "work queues for them", turmoil: Full, madsim: Full, tokio: Full },
    Feature {
        name: "limits",
        promise: "open files and memory run out as errors",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "a seed gives the same run",
        promise: "the same fingerprint and result",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("no: real time and real sockets differ every time"),
    },
    Feature {
        name: "another seed gives another run",
        promise: "another fingerprint",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature {
        name: "randomness of hosts",
        promise: "by seed and name of the host",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
    },
    Feature { name: "mutants", promise: "as switched", turmoil: Full, madsim: Full, tokio: Full },
    Feature {
        name: "strategies of scheduling",
        promise: "first-in-first-out, random, PCT",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
    Feature {
        name: "recording and replay of choices",
        promise: "every one",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
    },
];

/// The table as Markdown, as it stands in the documentation.
pub fn render() -> String {
    let mut text =
        String::from("\n| feature | kernel | turmoil | madsim | tokio |\n| --- | --- | --- | --- | --- |\n");
    for feature in FEATURES {
        let _ = write!(text, "| {} | {} |", feature.name, feature.promise);
        for engine in [EngineKind::Turmoil, EngineKind::Madsim, EngineKind::Tokio] {
            let cell = match feature.on(engine) {
                Full => "as the kernel",
                Differs(how) => how,
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}
