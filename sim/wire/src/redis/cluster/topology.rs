//! What the client knows of the cluster, and how it learns: from redirections at once, from a refresh soon.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use tokio::sync::{Notify, futures::Notified};
use world::time::Instant;

use super::{
    Options,
    node::Node,
    refresh::{self, View},
    slots::{Slot, SlotMap},
};

/// Which node to send something to.
#[derive(Debug, Clone)]
pub(super) enum Route {
    /// The master of this slot.
    Slot(Slot),
    /// Any master.
    AnyMaster,
    /// This one.
    Node(Arc<Node>),
}

/// The node that a route leads to now.
pub(super) enum Found {
    /// It may be sent to.
    Ready(Arc<Node>),
    /// It could not be connected lately, and is not tried again before this instant.
    BackingOff(Instant),
    /// No node has told the slots yet.
    Unknown,
}

/// The client's view of the cluster, shared by its clones.
#[derive(Debug)]
pub(super) struct Topology {
    options: Options,
    seeds: Vec<String>,
    /// Spreads what any master can do.
    next_master: AtomicUsize,
    state: Mutex<State>,
    /// Told after every refresh, also one that failed.
    refreshed: Notify,
}

#[derive(Debug)]
struct State {
    map: SlotMap,
    /// All nodes of the map, replicas included, and those that redirections led to since.
    nodes: BTreeMap<String, Arc<Node>>,
    /// The cluster's epoch when the map was told.
    epoch: u64,
    is_known: bool,
    /// Is a task asking for the map?
    is_refreshing: bool,
    /// Was another refresh wanted since that task began to ask?
    is_stale: bool,
    /// Who is to be asked first.
    hint: Option<String>,
    /// Refreshes that failed since the last that did not.
    failed: u32,
    /// No refresh before.
    not_before: Option<Instant>,
    /// When the map is refreshed without a cause.
    due: Option<Instant>,
}

impl Topology {
    pub(super) fn new(seeds: Vec<String>, options: Options) -> Self {
        Self {
            options,
            seeds,
            next_master: AtomicUsize::new(0),
            state: Mutex::new(State {
                map: SlotMap::new(),
                nodes: BTreeMap::new(),
                epoch: 0,
                is_known: false,
                is_refreshing: false,
                is_stale: false,
                hint: None,
                failed: 0,
                not_before: None,
                due: None,
            }),
            refreshed: Notify::new(),
        }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that a route leads to. Asks for the map if it is not known, too old, or names a master that cannot be
    /// connected: as long as commands wait for that, a new one is looked for.
    pub(super) fn find(self: &Arc<Self>, route: &Route, now: Instant) -> Found {
        let state = self.lock();
        let found = match route {
            _ if !state.is_known => Found::Unknown,
            Route::Slot(slot) => readiness(state.map.master_of(*slot), now),
            Route::AnyMaster => self.any_master(&state.map, now),
            Route::Node(node) => readiness(Some(node), now),
        };
        let is_old = !matches!(found, Found::Ready(_)) || state.due.is_some_and(|due| due <= now);
        let asks = is_old && !state.is_refreshing;
        drop(state);
        if asks {
            self.refresh(None);
        }
        found
    }

    /// The next master that may be sent to; if there is none, the first that may be.
    fn any_master(&self, map: &SlotMap, now: Instant) -> Found {
        let masters = map.masters();
        let turn = self.next_master.fetch_add(1, Ordering::Relaxed);
        let mut earliest: Option<Instant> = None;
        for step in 0..masters.len() {
            match readiness(masters.get(turn.wrapping_add(step) % masters.len()), now) {
                Found::BackingOff(until) => {
                    earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
                }
                ready => return ready,
            }
        }
        earliest.map_or(Found::Unknown, Found::BackingOff)
    }

    /// The masters that serve slots; none when the map is not known yet.
    pub(super) fn serving_masters(&self) -> Vec<Arc<Node>> {
        self.lock().map.serving_masters()
    }

    /// The node at an address that a redirection names.
    pub(super) fn node(&self, address: &str) -> Arc<Node> {
        self.lock().node(address, &self.options)
    }

    /// A node says that another serves this slot: the map is changed at once, and refreshed soon.
    pub(super) fn moved(self: &Arc<Self>, slot: Slot, address: &str) {
        let mut state = self.lock();
        let node = state.node(address, &self.options);
        state.map.assign(slot, &node);
        drop(state);
        self.refresh(Some(address));
    }

    /// Ends with the next refresh that ends from now on, even if it is polled later.
    pub(super) fn refreshed(&self) -> Notified<'_> {
        self.refreshed.notified()
    }

    /// Asks for the map, in a task of its own, soon: no two refreshes at once, and none right after another. `hint` is
    /// the address of a node that is likely to know more than others.
    pub(super) fn refresh(self: &Arc<Self>, hint: Option<&str>) {
        let mut state = self.lock();
        state.is_stale = true;
        if let Some(hint) = hint {
            state.hint = Some(hint.to_owned());
        }
        if !state.is_refreshing {
            state.is_refreshing = true;
            drop(state);
            world::task::spawn(run(Arc::clone(self)));
        }
    }

    /// Addresses to ask for the map, the most promising first: the hint, all other nodes beginning at a random one,
    /// those that could not be connected lately, the seeds.
    fn to_ask(&self) -> Vec<String> {
        let mut state = self.lock();
        let now = Instant::now();
        state.is_stale = false;
        let is_well = |state: &State, address: &str| {
            state.nodes.get(address).is_none_or(|node| node.retry_at(now).is_none())
        };
        let hint = state.hint.take().filter(|hint| is_well(&state, hint));
        let mut addresses: Vec<String> = hint.into_iter().collect();
        let (mut well, failing): (Vec<_>, Vec<_>) =
            state.nodes.values().partition(|node| node.retry_at(now).is_none());
        if let Some(last) = well.len().checked_sub(1) {
            let start = world::rand::range(0..last as u64 + 1);
            well.rotate_left(usize::try_from(start).unwrap_or(0));
        }
        let nodes = well.into_iter().chain(failing).map(|node| node.address());
        for address in nodes.chain(self.seeds.iter().map(String::as_str)) {
            if !addresses.iter().any(|known| known == address) {
                addresses.push(address.to_owned());
            }
        }
        addresses
    }

    /// Takes over what a refresh found. True if the next has to follow.
    fn learn(&self, view: Option<View>) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        match view {
            Some(view) => {
                state.take_over(&view, &self.options);
                state.failed = 0;
                state.not_before = Some(now + self.options.min_refresh_interval);
            }
            None => {
                state.failed = state.failed.saturating_add(1);
                let pause = self.options.backoff.delay(state.failed).max(self.options.min_refresh_interval);
                state.not_before = Some(now + pause);
            }
        }
        state.due = self.options.refresh_interval.map(|interval| now + interval);
        let goes_on = state.is_stale;
        state.is_refreshing = goes_on;
        drop(state);
        self.refreshed.notify_waiters();
        goes_on
    }
}

impl State {
    fn node(&mut self, address: &str, options: &Options) -> Arc<Node> {
        if let Some(known) = self.nodes.get(address) {
            return Arc::clone(known);
        }
        let node = Arc::new(Node::new(address, options));
        self.nodes.insert(address.to_owned(), Arc::clone(&node));
        node
    }

    /// Replaces the map; forgets the nodes that are not in it.
    fn take_over(&mut self, view: &View, options: &Options) {
        let mut map = SlotMap::new();
        let mut nodes = BTreeMap::new();
        for range in &view.ranges {
            for address in std::iter::once(&range.master).chain(&range.replicas) {
                let node = self.node(address, options);
                nodes.insert(address.clone(), node);
            }
            if let Some(master) = nodes.get(&range.master) {
                map.assign_range(range.first, range.last, master);
            }
        }
        self.map = map;
        self.nodes = nodes;
        self.epoch = view.epoch;
        self.is_known = true;
    }
}

fn readiness(node: Option<&Arc<Node>>, now: Instant) -> Found {
    match node {
        None => Found::Unknown,
        Some(node) => match node.retry_at(now) {
            None => Found::Ready(Arc::clone(node)),
            Some(until) => Found::BackingOff(until),
        },
    }
}

/// Lowers the flag of the refresh under way if its task is dropped before its end, because its host crashed.
struct UnderWay(Option<Arc<Topology>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(topology) = &self.0 {
            topology.lock().is_refreshing = false;
            topology.refreshed.notify_waiters();
        }
    }
}

/// Refreshes the map for as long as that is wanted.
async fn run(topology: Arc<Topology>) {
    let mut under_way = UnderWay(Some(Arc::clone(&topology)));
    loop {
        let not_before = topology.lock().not_before;
        if let Some(not_before) = not_before {
            world::time::sleep_until(not_before).await;
        }
        let addresses = topology.to_ask();
        let epoch = topology.lock().epoch;
        let view = refresh::ask_in_turn(&addresses, epoch, topology.options.refresh_timeout).await;
        world::sometimes!(view.is_none(), "redis.client.refresh-failed");
        if !topology.learn(view) {
            // The flag is down already, and the next task may have raised it again.
            under_way.0 = None;
            return;
        }
    }
}

/// Waits until an instant, or for the end of a refresh, whichever is first.
pub(super) async fn wait(until: Instant, refreshed: Pin<&mut Notified<'_>>) {
    let mut refreshed = refreshed;
    let mut sleep = pin!(world::time::sleep_until(until));
    poll_fn(|cx| {
        if refreshed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        sleep.as_mut().poll(cx)
    })
    .await;
}
