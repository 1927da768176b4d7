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
    /// What the kernel and turmoil make of it in a build that has madsim too, if that differs.
    beside_madsim: Option<&'static str>,
}

impl Feature {
    /// What an engine of this build makes of it.
    pub fn on(&self, engine: EngineKind) -> Support {
        match (engine, self.beside_madsim) {
            (EngineKind::Kernel | EngineKind::Turmoil, Some(how)) if cfg!(madsim) => Differs(how),
            _ => self.elsewhere(engine),
        }
    }

    /// What it makes of it in a build without madsim.
    fn elsewhere(&self, engine: EngineKind) -> Support {
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
        beside_madsim: None,
    },
    Feature {
        name: "addresses of streams",
        promise: "those of the world, alike at both ends",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "ports",
        promise: "one listener to a port; port 0 takes a free one",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "refused connections",
        promise: "`ConnectionRefused`; unknown names and addresses fail at once",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "end of a stream",
        promise: "read after all bytes before it",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "half-close",
        promise: "the reader reads to the end, and may still write",
        turmoil: Full,
        madsim: Differs("the reader never learns that the other half was closed"),
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "reset",
        promise: "closing with bytes unread resets the peer",
        turmoil: Full,
        madsim: Differs("an end instead of a reset"),
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "back-pressure",
        promise: "a writer waits once the window of 256 KiB is full",
        turmoil: Differs("a writer waits for the reader after 4096 writes, whatever their size"),
        madsim: Differs("a writer never waits for the reader"),
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "pipelining",
        promise: "messages follow each other without delay",
        turmoil: Full,
        madsim: Differs("every message takes a millisecond, one after the other"),
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "unaccepted connections",
        promise: "reset when the listener closes",
        turmoil: Differs("connected once accepted: refused when the listener closes"),
        madsim: Differs("an end instead of a reset"),
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "user timeout and keepalive",
        promise: "as on Linux",
        turmoil: Differs("both fail with `Unsupported`"),
        madsim: Differs("both fail with `Unsupported`"),
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "order of timers",
        promise: "by their deadlines",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "resolution of timers",
        promise: "a nanosecond, never late",
        turmoil: Differs("whole milliseconds, up to one late"),
        madsim: Differs("a wait takes a millisecond at least, and ends some nanoseconds late"),
        tokio: Differs("as late as the machine is"),
        beside_madsim: None,
    },
    Feature {
        name: "time",
        promise: "simulated: waiting costs none",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("real"),
        beside_madsim: None,
    },
    Feature {
        name: "timeouts and intervals",
        promise: "as tokio's",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "latency",
        promise: "drawn for every segment; a handshake takes it twice",
        turmoil: Differs("a handshake takes it once; whole milliseconds"),
        madsim: Differs(
            "a handshake takes 3 ms, whatever the latency; spread evenly, with the same least and mean",
        ),
        tokio: Differs("the loopback network's"),
        beside_madsim: None,
    },
    Feature {
        name: "latency of single links",
        promise: "any distribution",
        turmoil: Differs("the median of what was set, always"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "`std`'s clocks",
        promise: "simulated, from 2026-01-01 on",
        turmoil: Full,
        madsim: Differs("simulated, from a moment of the year 2022 on"),
        tokio: Differs("the machine's"),
        beside_madsim: Some("simulated, from a moment of the year 2022 on"),
    },
    Feature {
        name: "one time for all hosts",
        promise: "events of all hosts in the order of time",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "join and abort",
        promise: "an aborted task is dropped where it stands",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "panics",
        promise: "caught, and reported with their host, time and place",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "interleavings",
        promise: "any ready task may be next, by seed",
        turmoil: Differs("one order only, whatever the seed"),
        madsim: Full,
        tokio: Differs("one order only, whatever the seed"),
        beside_madsim: None,
    },
    Feature {
        name: "deadlock",
        promise: "noticed, and reported with the tasks that are left",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "deadlock beside an open socket",
        promise: "noticed",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("never noticed"),
        beside_madsim: None,
    },
    Feature {
        name: "crash: tasks",
        promise: "dropped at once, and never run on",
        turmoil: Differs("they stand still at once and are dropped at the end of the tick"),
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "crash: the network falls silent",
        promise: "peers hear nothing until it boots, then a reset",
        turmoil: Differs("peers read an end at once"),
        madsim: Differs("peers read an end at once"),
        tokio: Differs("peers read an end at once"),
        beside_madsim: None,
    },
    Feature {
        name: "crash: connecting",
        promise: "no answer",
        turmoil: Full,
        madsim: Differs("refused at once"),
        tokio: Differs("refused at once"),
        beside_madsim: None,
    },
    Feature {
        name: "kill: peers",
        promise: "reset",
        turmoil: Differs("peers read an end instead of a reset"),
        madsim: Differs("peers read an end instead of a reset"),
        tokio: Differs("peers read an end instead of a reset"),
        beside_madsim: None,
    },
    Feature {
        name: "kill: connecting",
        promise: "refused",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "boot",
        promise: "runs again, after crash and kill",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "pause",
        promise: "tasks stand still, what was sent to them waits, timers fire late",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "clocks of hosts",
        promise: "skew, drift and jumps",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "`std`'s clocks on a host whose clocks differ",
        promise: "the host's",
        turmoil: Full,
        madsim: Differs("they show the true time"),
        tokio: Differs("they show the true time"),
        beside_madsim: Some("they show the true time"),
    },
    Feature {
        name: "datagrams",
        promise: "arrive whole, and say who sent them",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "datagrams to nobody",
        promise: "`ConnectionRefused` on a connected socket",
        turmoil: Differs("nothing is heard"),
        madsim: Differs("nothing is heard"),
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "partition",
        promise: "nothing passes until healed",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "partition: streams go on when healed",
        promise: "what was lost is sent again",
        turmoil: Differs("what was lost is never sent again: the stream is dead, without an error"),
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "partition: connecting",
        promise: "no answer, `TimedOut` after two minutes",
        turmoil: Differs("refused at once"),
        madsim: Differs("refused at once"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "partition in one direction",
        promise: "nothing passes that way, all passes the other",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "hold and release",
        promise: "what is held arrives when released",
        turmoil: Full,
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "delay",
        promise: "every packet takes longer",
        turmoil: Full,
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "loss of datagrams",
        promise: "each by its probability",
        turmoil: Differs("each loss takes all along that is on the link"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "loss on streams",
        promise: "sent again, later",
        turmoil: Differs("what was lost is never sent again: the stream is dead, without an error"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "duplication",
        promise: "datagrams arrive twice",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "reordering",
        promise: "packets overtake each other",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "bandwidth",
        promise: "what is too much queues",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "reset storm",
        promise: "all connections between two sets of hosts are reset",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "disk: what was synced survives a crash",
        promise: "yes",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "disk: what was not synced is lost in a crash",
        promise: "by seeded choice, in part",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "disk: all that was written survives a kill",
        promise: "yes",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "cores",
        promise: "work queues for them",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "limits",
        promise: "open files and memory run out as errors",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "a seed gives the same run",
        promise: "the same fingerprint and result",
        turmoil: Full,
        madsim: Full,
        tokio: Differs("no: real time and real sockets differ every time"),
        beside_madsim: None,
    },
    Feature {
        name: "another seed gives another run",
        promise: "another fingerprint",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "randomness of hosts",
        promise: "by seed and name of the host",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "mutants",
        promise: "as switched",
        turmoil: Full,
        madsim: Full,
        tokio: Full,
        beside_madsim: None,
    },
    Feature {
        name: "strategies of scheduling",
        promise: "first-in-first-out, random, PCT",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
    Feature {
        name: "recording and replay of choices",
        promise: "every one",
        turmoil: Differs("unsupported, and the outcome says so"),
        madsim: Differs("unsupported, and the outcome says so"),
        tokio: Differs("unsupported, and the outcome says so"),
        beside_madsim: None,
    },
];

/// The table as Markdown, as it stands in the documentation.
pub fn render() -> String {
    let mut text =
        String::from("\n| feature | kernel | turmoil | madsim | tokio |\n| --- | --- | --- | --- | --- |\n");
    for feature in FEATURES {
        let besides = feature.beside_madsim.map(|how| format!("; in builds with madsim: {how}"));
        let besides = besides.unwrap_or_default();
        let _ = write!(text, "| {} | {}{besides} |", feature.name, feature.promise);
        for engine in [EngineKind::Turmoil, EngineKind::Madsim, EngineKind::Tokio] {
            let cell = match feature.elsewhere(engine) {
                Full => "as the kernel",
                Differs(how) => how,
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}
