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
    const fn beside_madsim(self, how: &'static str) -> Feature {
        Feature { beside_madsim: Some(how), ..self }
    }

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

/// turmoil, madsim and tokio, in this order.
const fn row(name: &'static str, promise: &'static str, others: [Support; 3]) -> Feature {
    let [turmoil, madsim, tokio] = others;
    Feature { name, promise, turmoil, madsim, tokio, beside_madsim: None }
}

/// The table.
pub const FEATURES: &[Feature] = &[
    row("byte order", "bytes arrive whole and in order", [Full, Full, Full]),
    row("addresses of streams", "those of the world, alike at both ends", [Full, Full, Full]),
    row("ports", "one listener to a port; port 0 takes a free one", [Full, Full, Full]),
    row(
        "refused connections",
        "`ConnectionRefused`; unknown names and addresses fail at once",
        [Full, Full, Full],
    ),
    row("end of a stream", "read after all bytes before it", [Full, Full, Full]),
    row(
        "half-close",
        "the reader reads to the end, and may still write",
        [Full, Differs("the reader never learns that the other half was closed"), Full],
    ),
    row(
        "reset",
        "closing with bytes unread resets the peer",
        [Full, Differs("an end instead of a reset"), Full],
    ),
    row(
        "back-pressure",
        "a writer waits once the window of 256 KiB is full",
        [
            Differs("a writer waits for the reader after 4096 writes, whatever their size"),
            Differs("a writer never waits for the reader"),
            Full,
        ],
    ),
    row(
        "pipelining",
        "messages follow each other without delay",
        [Full, Differs("every message takes a millisecond, one after the other"), Full],
    ),
    row(
        "unaccepted connections",
        "reset when the listener closes",
        [
            Differs("connected once accepted: refused when the listener closes"),
            Differs("an end instead of a reset"),
            Full,
        ],
    ),
    row(
        "user timeout and keepalive",
        "as on Linux",
        [Differs("both fail with `Unsupported`"), Differs("both fail with `Unsupported`"), Full],
    ),
    row("order of timers", "by their deadlines", [Full, Full, Full]),
    row(
        "resolution of timers",
        "a nanosecond, never late",
        [
            Differs("whole milliseconds, up to one late"),
            Differs("a wait takes a millisecond at least, and ends some nanoseconds late"),
            Differs("as late as the machine is"),
        ],
    ),
    row("time", "simulated: waiting costs none", [Full, Full, Differs("real")]),
    row("timeouts and intervals", "as tokio's", [Full, Full, Full]),
    row(
        "latency",
        "drawn for every segment; a handshake takes it twice",
        [
            Differs("a handshake takes it once; whole milliseconds"),
            Differs(
                "a handshake takes 3 ms, whatever the latency; spread evenly, with the same least and mean",
            ),
            Differs("the loopback network's"),
        ],
    ),
    row(
        "latency of single links",
        "any distribution",
        [
            Differs("the median of what was set, always"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "`std`'s clocks",
        "simulated, from 2026-01-01 on",
        [Full, Differs("simulated, from a moment of the year 2022 on"), Differs("the machine's")],
    )
    .beside_madsim("simulated, from a moment of the year 2022 on"),
    row("one time for all hosts", "events of all hosts in the order of time", [Full, Full, Full]),
    row("join and abort", "an aborted task is dropped where it stands", [Full, Full, Full]),
    row("panics", "caught, and reported with their host, time and place", [Full, Full, Full]),
    row(
        "interleavings",
        "any ready task may be next, by seed",
        [Differs("one order only, whatever the seed"), Full, Differs("one order only, whatever the seed")],
    ),
    row("deadlock", "noticed, and reported with the tasks that are left", [Full, Full, Full]),
    row("deadlock beside an open socket", "noticed", [Full, Full, Differs("never noticed")]),
    row(
        "crash: tasks",
        "dropped at once, and never run on",
        [Differs("they stand still at once and are dropped at the end of the tick"), Full, Full],
    ),
    row(
        "crash: the network falls silent",
        "peers hear nothing until it boots, then a reset",
        [
            Differs("peers read an end at once"),
            Differs("peers read an end at once"),
            Differs("peers read an end at once"),
        ],
    ),
    row("crash: connecting", "no answer", [Full, Differs("refused at once"), Differs("refused at once")]),
    row(
        "kill: peers",
        "reset",
        [
            Differs("peers read an end instead of a reset"),
            Differs("peers read an end instead of a reset"),
            Differs("peers read an end instead of a reset"),
        ],
    ),
    row("kill: connecting", "refused", [Full, Full, Full]),
    row("boot", "runs again, after crash and kill", [Full, Full, Full]),
    row("crash and boot at once", "runs again", [Full, Full, Full]),
    row("a host that crashes itself", "its task ends there", [Full, Full, Full]),
    row("what destructors start on a host that is down", "ends at once", [Full, Full, Full]),
    row("pause", "tasks stand still, what was sent to them waits, timers fire late", [Full, Full, Full]),
    row("clocks of hosts", "skew, drift and jumps", [Full, Full, Full]),
    row(
        "`std`'s clocks on a host whose clocks differ",
        "the host's",
        [Full, Differs("they show the true time"), Differs("they show the true time")],
    )
    .beside_madsim("they show the true time"),
    row("datagrams", "arrive whole, and say who sent them", [Full, Full, Full]),
    row(
        "datagrams to nobody",
        "`ConnectionRefused` on a connected socket",
        [Differs("nothing is heard"), Differs("nothing is heard"), Full],
    ),
    row(
        "partition",
        "nothing passes until healed",
        [Full, Full, Differs("unsupported, and the outcome says so")],
    ),
    row(
        "partition: streams go on when healed",
        "what was lost is sent again",
        [
            Differs("what was lost is never sent again: the stream is dead, without an error"),
            Full,
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "partition: connecting",
        "no answer, `TimedOut` after two minutes",
        [
            Differs("refused at once"),
            Differs("refused at once"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "partition in one direction",
        "nothing passes that way, all passes the other",
        [Full, Full, Differs("unsupported, and the outcome says so")],
    ),
    row(
        "hold and release",
        "what is held arrives when released",
        [
            Full,
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "delay",
        "every packet takes longer",
        [
            Full,
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "loss of datagrams",
        "each by its probability",
        [
            Differs("each loss takes all along that is on the link"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "loss on streams",
        "sent again, later",
        [
            Differs("what was lost is never sent again: the stream is dead, without an error"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "duplication",
        "datagrams arrive twice",
        [
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "reordering",
        "packets overtake each other",
        [
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "bandwidth",
        "what is too much queues",
        [
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "reset storm",
        "all connections between two sets of hosts are reset",
        [
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row("disk: what was synced survives a crash", "yes", [Full, Full, Full]),
    row("disk: what was not synced is lost in a crash", "by seeded choice, in part", [Full, Full, Full]),
    row("disk: all that was written survives a kill", "yes", [Full, Full, Full]),
    row("cores", "work queues for them", [Full, Full, Full]),
    row("limits", "open files and memory run out as errors", [Full, Full, Full]),
    row(
        "a seed gives the same run",
        "the same fingerprint and result",
        [Full, Full, Differs("no: real time and real sockets differ every time")],
    ),
    row("another seed gives another run", "another fingerprint", [Full, Full, Full]),
    row("randomness of hosts", "by seed and name of the host", [Full, Full, Full]),
    row("mutants", "as switched", [Full, Full, Full]),
    row(
        "strategies of scheduling",
        "first-in-first-out, random, PCT",
        [
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
    row(
        "recording and replay of choices",
        "every one",
        [
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
            Differs("unsupported, and the outcome says so"),
        ],
    ),
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
