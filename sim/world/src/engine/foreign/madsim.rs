//! madsim: seeded choice among ready tasks, latencies from one range for all links.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::net::NetSim;
use madsim::runtime::{Handle, Runtime};
use madsim::task::NodeId;
use madsim::time::TimeHandle;

use super::links::Link;
use super::task::Hosted;
use super::{Cannot, Foreign, Native};
use crate::common::hosts::{HostId, Hosts};
use crate::engine::RunEnd;
use crate::sim::{Config, catch_task_panic};

/// How madsim says that nothing can ever happen again.
const DEADLOCK: &str = "no events, all tasks will block forever";

#[derive(Default)]
pub(super) struct Madsim {
    handle: OnceCell<Handle>,
    nodes: RefCell<BTreeMap<HostId, NodeId>>,
}

impl Native for Madsim {
    fn run(&self, foreign: &Foreign, config: &Config, main: Hosted) -> RunEnd {
        let mut native = madsim::Config::default();
        let (least, mean) = (config.latency.least(), config.latency.mean());
        // Evenly spread, with the same least and mean.
        native.net.send_latency = least..least + 2 * (mean - least) + Duration::from_nanos(1);
        let runtime = Runtime::with_seed_and_config(config.seed, native);
        self.handle.set(runtime.handle().clone()).ok();
        let ended = catch_task_panic(|| {
            runtime.block_on(async {
                self.host_up(HostId::DIRECTOR, "director");
                self.start(HostId::DIRECTOR, None, main);
                foreign.main_ended().await;
                // Here, since what is dropped needs the runtime around it.
                foreign.tear_down();
            });
        });
        match ended {
            Ok(()) => RunEnd::MainEnded,
            Err(message) if message.starts_with(DEADLOCK) => {
                foreign.keep_waiting_tasks();
                RunEnd::Deadlock
            }
            Err(message) => RunEnd::Failed(message),
        }
    }

    fn now_ns(&self, _: bool) -> u64 {
        TimeHandle::try_current().map_or(0, |time| time.elapsed().as_nanos() as u64)
    }

    fn start(&self, host: HostId, _: Option<HostId>, task: Hosted) {
        let node = self.handle().get_node(self.node(host)).expect("a host that is up has a node");
        node.spawn(task);
    }

    fn host_up(&self, host: HostId, name: &str) {
        let known = self.nodes.borrow().get(&host).copied();
        match known {
            Some(node) => self.handle().restart(node),
            None => {
                let node = self.handle().create_node().name(name).ip(Hosts::ip(host)).build();
                self.nodes.borrow_mut().insert(host, node.id());
            }
        }
    }

    fn host_down(&self, host: HostId, _: bool) {
        self.handle().kill(self.node(host));
    }

    fn set_link(&self, from: HostId, to: HostId, before: &Link, after: &Link) -> Result<(), Cannot> {
        let (from, to) = (self.node(from), self.node(to));
        if before.partitioned != after.partitioned {
            let net = NetSim::current();
            if after.partitioned { net.clog_link(from, to) } else { net.unclog_link(from, to) }
        }
        if before.held != after.held {
            return Err("holding packets");
        }
        if (before.latency, before.delay) != (after.latency, after.delay) {
            return Err("the latency of a single link");
        }
        if before.loss != after.loss {
            return Err("loss on a single link");
        }
        Ok(())
    }
}

impl Madsim {
    fn handle(&self) -> &Handle {
        self.handle.get().expect("hosts come up while the runtime runs")
    }

    fn node(&self, host: HostId) -> NodeId {
        *self.nodes.borrow().get(&host).expect("a host that came up has a node")
    }
}

/// madsim's timer, which leaves one entry in its queue for every poll: polled again only for another waker.
pub(super) struct Timer {
    sleep: Pin<Box<madsim::time::Sleep>>,
    waker: Option<Waker>,
}

impl Timer {
    pub(super) fn new(duration: Duration) -> Timer {
        Timer { sleep: Box::pin(madsim::time::sleep(duration)), waker: None }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if known && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.waker = Some(context.waker().clone());
        self.sleep.as_mut().poll(context)
    }
}
