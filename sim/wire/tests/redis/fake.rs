//! Scripted servers in a simulation: nodes that say what a test wants them to, and tell what they were asked.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::redis::{reply::Writer, request::Parser};
use world::{
    host::{self, Host},
    net::{TcpListener, TcpStream},
    sim, time,
};

/// What a node does with a command.
pub(crate) enum Answer {
    /// What a node of the fake cluster does by itself: the questions about the cluster are answered, `WAIT` by 1, and
    /// everything else with the node's number.
    Usual,
    /// These bytes.
    Bytes(String),
    /// These bytes, after a while in which the connection is served nothing else.
    Later(Duration, String),
    /// No reply at all.
    Silence,
}

impl Answer {
    pub(crate) fn error(text: impl std::fmt::Display) -> Answer {
        Answer::Bytes(format!("-{text}\r\n"))
    }
}

/// A command that a node got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) node: usize,
    pub(crate) connection: usize,
    pub(crate) words: String,
    pub(crate) at: time::Instant,
}

type Rule = Box<dyn FnMut(usize, &str) -> Answer + Send>;

/// First and last slot, and the node that serves them.
type Range = (u16, u16, usize);

struct State {
    /// As all nodes say.
    ranges: Vec<Range>,
    /// Nodes that say something else: their ranges, and their epoch.
    deviating: BTreeMap<usize, (Vec<Range>, u64)>,
    epoch: u64,
    seen: Vec<Seen>,
    connections: usize,
    rule: Rule,
}

/// Some nodes on hosts of their own: `node-1`, `node-2` …
#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<State>>);

/// The slots of three masters.
pub(crate) const THIRDS: [Range; 3] = [(0, 5460, 1), (5461, 10_922, 2), (10_923, 16_383, 3)];

/// Runs a test in a simulation with so many nodes. The first three serve a third of the slots each.
pub(crate) fn simulate<F>(
    nodes: usize,
    test: impl FnOnce(Fake) -> F + Send + 'static,
) -> sim::Outcome<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let outcome = sim::run(sim::Config::new(7), move || async move {
        let fake = Fake(Arc::new(Mutex::new(State {
            ranges: THIRDS.to_vec(),
            deviating: BTreeMap::new(),
            epoch: 3,
            seen: Vec::new(),
            connections: 0,
            rule: Box::new(|_, _| Answer::Usual),
        })));
        for number in 1..=nodes {
            let fake = fake.clone();
            host::add(&format!("node-{number}"), move || fake.clone().listen(number));
        }
        time::sleep(Duration::from_millis(10)).await;
        test(fake).await
    });
    assert!(
        outcome.result.is_ok() && outcome.panics.is_empty(),
        "{:?} {:?}",
        outcome.result.err(),
        outcome.panics
    );
    outcome
}

/// A key in a slot of this node, by [`THIRDS`]; another one for every number.
pub(crate) fn key_of(node: usize, number: usize) -> String {
    let is_of_node = |key: &String| {
        let slot = redis_protocol::redis_keyslot(key.as_bytes());
        THIRDS.iter().any(|(first, last, owner)| *owner == node && (*first..=*last).contains(&slot))
    };
    (0..).map(|tag| format!("key-{tag}")).filter(is_of_node).nth(number).expect("there are enough keys")
}

pub(crate) fn slot_of(key: &str) -> u16 {
    redis_protocol::redis_keyslot(key.as_bytes())
}

pub(crate) fn node(number: usize) -> Host {
    host::find(&format!("node-{number}")).expect("the node's host")
}

impl Fake {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, nodes answer by this rule. It gets the node's number and the words of the command.
    pub(crate) fn rule(&self, rule: impl FnMut(usize, &str) -> Answer + Send + 'static) {
        self.lock().rule = Box::new(rule);
    }

    /// From now on, all nodes say this about the slots, at a higher epoch.
    pub(crate) fn reassign(&self, ranges: &[Range]) {
        let mut state = self.lock();
        state.ranges = ranges.to_vec();
        state.epoch += 1;
    }

    /// From now on, this node says something else about the slots than the others.
    pub(crate) fn deviate(&self, node: usize, ranges: &[Range], epoch: u64) {
        self.lock().deviating.insert(node, (ranges.to_vec(), epoch));
    }

    /// Commands that the nodes got, except for the questions about the cluster, since this was called last.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        let seen = std::mem::take(&mut self.lock().seen);
        seen.into_iter().filter(|seen| !seen.words.starts_with("CLUSTER")).collect()
    }

    /// The same, as "node: command".
    pub(crate) fn take_log(&self) -> Vec<String> {
        self.take_seen().into_iter().map(|seen| format!("{}: {}", seen.node, seen.words)).collect()
    }

    /// Questions for the slots since this or the log was taken last.
    pub(crate) fn take_questions(&self) -> usize {
        let seen = std::mem::take(&mut self.lock().seen);
        seen.iter().filter(|seen| seen.words == "CLUSTER SLOTS").count()
    }

    async fn listen(self, node: usize) {
        let listener = TcpListener::bind("0.0.0.0:6379").await.expect("the port is free");
        while let Ok((stream, _)) = listener.accept().await {
            let connection = {
                let mut state = self.lock();
                state.connections += 1;
                state.connections
            };
            world::task::spawn(self.clone().serve(node, connection, stream));
        }
    }

    async fn serve(self, node: usize, connection: usize, mut stream: TcpStream) {
        let mut buffer = BytesMut::new();
        let mut parser = Parser::default();
        loop {
            while let Some(length) = parser.parse(&buffer).expect("clients send requests") {
                let words: Vec<_> = parser.arguments(&buffer).map(String::from_utf8_lossy).collect();
                let answer = self.answer(node, connection, &words.join(" "));
                parser.reset();
                buffer.advance(length);
                let bytes = match answer {
                    Answer::Bytes(bytes) => bytes,
                    Answer::Later(after, bytes) => {
                        time::sleep(after).await;
                        bytes
                    }
                    Answer::Usual | Answer::Silence => continue,
                };
                if stream.write_all(bytes.as_bytes()).await.is_err() {
                    return;
                }
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }

    fn answer(&self, node: usize, connection: usize, words: &str) -> Answer {
        let mut state = self.lock();
        let at = time::Instant::now();
        state.seen.push(Seen { node, connection, words: words.to_owned(), at });
        match (state.rule)(node, words) {
            Answer::Usual => Answer::Bytes(state.usual(node, words)),
            other => other,
        }
    }
}

impl State {
    fn usual(&self, node: usize, words: &str) -> String {
        let (ranges, epoch) = match self.deviating.get(&node) {
            Some((ranges, epoch)) => (ranges, *epoch),
            None => (&self.ranges, self.epoch),
        };
        let mut out = Writer::default();
        match words {
            "CLUSTER INFO" => {
                out.bulk(format!("cluster_state:ok\r\ncluster_current_epoch:{epoch}\r\n").as_bytes());
            }
            "CLUSTER SLOTS" => {
                out.array(ranges.len());
                for (first, last, owner) in ranges {
                    out.array(3);
                    out.integer((*first).into());
                    out.integer((*last).into());
                    out.array(2);
                    out.bulk(format!("node-{owner}").as_bytes());
                    out.integer(6379);
                }
            }
            "ASKING" | "MULTI" => out.ok(),
            wait if wait.starts_with("WAIT ") => out.integer(1),
            _ => out.count(node),
        }
        String::from_utf8_lossy(out.as_bytes()).into_owned()
    }
}
