//! Attempts: units are sent to their nodes, redirected, and sent again where that is safe, until all are done.

use std::{io, pin::pin, sync::Arc};

use redis::{RedisError, ServerError, ServerErrorKind, Value};
use world::time::Instant;

use super::{
    command,
    node::Node,
    scripts::Scripts,
    slots::parse_redirection,
    topology::{self, Found, Route, Topology},
    unit::{Outcome, Refusal, Unit, Work},
};
use crate::redis::{
    driver::Parcel,
    error::{not_sent, was_not_replicated, was_not_sent},
};

/// Redirections of a unit that are followed at once. More are a disagreement among the nodes, which takes time to
/// settle.
const PROMPT_REDIRECTS: u32 = 3;

/// What the clones of a client share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) topology: Arc<Topology>,
    pub(super) scripts: Scripts,
}

/// Units that are sent to a node together.
struct Group {
    node: Arc<Node>,
    parcel: Parcel,
    /// May more units join it?
    is_open: bool,
    /// The places of its units, in the order of their replies.
    places: Vec<usize>,
}

impl Shared {
    /// Runs units to their ends. What was handed in at `started` is not sent any more once the deadline has passed.
    pub(super) async fn run(&self, units: &mut [Unit<'_>], started: Instant) {
        let deadline = started + self.topology.options().deadline;
        loop {
            let mut refreshed = pin!(self.topology.refreshed());
            // From here on, no end of a refresh is missed.
            refreshed.as_mut().enable();
            let now = Instant::now();
            if now > deadline {
                give_up(units);
            }
            let (groups, next) = self.gather(units, now);
            if !groups.is_empty() {
                self.exchange(groups, units).await;
                continue;
            }
            let Some(next) = next else { return };
            if now >= deadline {
                give_up(units);
                return;
            }
            topology::wait(next.min(deadline), refreshed).await;
        }
    }

    /// Puts together what can be sent now. Of what has to wait, when the first may be sent; `None` if nothing waits.
    fn gather(&self, units: &[Unit<'_>], now: Instant) -> (Vec<Group>, Option<Instant>) {
        let mut groups: Vec<Group> = Vec::new();
        let mut next: Option<Instant> = None;
        let mut wait_until = |until: Instant| next = Some(next.map_or(until, |next| next.min(until)));
        for (place, unit) in units.iter().enumerate().filter(|(_, unit)| !unit.is_done) {
            if let Some(not_before) = unit.not_before.filter(|not_before| *not_before > now) {
                wait_until(not_before);
                continue;
            }
            let asked = unit.importing.as_ref().map(|node| Route::Node(Arc::clone(node)));
            let node = match self.topology.find(asked.as_ref().unwrap_or(&unit.route), now) {
                Found::Ready(node) => node,
                Found::BackingOff(until) => {
                    wait_until(until);
                    continue;
                }
                // Until a refresh has found it.
                Found::Unknown => {
                    wait_until(now + self.topology.options().deadline);
                    continue;
                }
            };
            let may_join = !unit.is_preceded() && matches!(unit.work, Work::Command(_));
            let joined = groups.iter_mut().find(|group| group.is_open && Arc::ptr_eq(&group.node, &node));
            match joined.filter(|_| may_join) {
                Some(group) => {
                    unit.append_to(&mut group.parcel);
                    group.places.push(place);
                }
                None => {
                    let mut parcel = Parcel::default();
                    unit.append_to(&mut parcel);
                    groups.push(Group { node, parcel, is_open: may_join, places: vec![place] });
                }
            }
        }
        (groups, next)
    }

    /// Sends groups side by side; settles their units.
    async fn exchange(&self, groups: Vec<Group>, units: &mut [Unit<'_>]) {
        // All are handed over before the first is waited for.
        let sent: Vec<_> = groups
            .into_iter()
            .map(|Group { node, parcel, places, .. }| (node.client().hand_over(parcel), node, places))
            .collect();
        for (sent, node, places) in sent {
            let mut replies = sent.replies().await.map(Vec::into_iter);
            for place in places {
                let Some(unit) = units.get_mut(place) else { continue };
                let outcome = match &mut replies {
                    Ok(replies) => Ok(replies.by_ref().take(unit.replies()).collect()),
                    Err(error) => Err(error.clone()),
                };
                self.settle(unit, &node, outcome);
            }
        }
    }

    /// Decides what follows from the outcome of an attempt at a unit.
    pub(super) fn settle(&self, unit: &mut Unit<'_>, node: &Arc<Node>, outcome: Outcome) {
        let was_importing = unit.importing.take().is_some();
        let was_loaded = unit.script.take().is_some();
        match &outcome {
            Ok(replies) => {
                node.answered();
                match unit.refusal(replies) {
                    None => {
                        self.note_script(unit, replies);
                        unit.is_done = true;
                    }
                    Some((Refusal::NoScript, _)) => {
                        unit.script = if was_loaded { None } else { self.script_of(unit) };
                        unit.importing = was_importing.then(|| Arc::clone(node));
                        unit.is_done = unit.script.is_none();
                    }
                    Some((refusal, error)) => self.follow(unit, node, refusal, error),
                }
            }
            Err(error) => self.after_failure(unit, node, error),
        }
        unit.outcome = Some(outcome);
    }

    /// A server refused to execute the unit, and said where or when to try again.
    fn follow(&self, unit: &mut Unit<'_>, node: &Arc<Node>, refusal: Refusal, error: &ServerError) {
        if refusal == Refusal::Busy {
            world::reachable!("redis.client.told-to-try-again");
            if error.kind() != Some(ServerErrorKind::TryAgain) {
                self.topology.refresh(None);
            }
            return self.retry_later(unit);
        }
        let Some((slot, address)) = parse_redirection(error, node.address()) else {
            unit.is_done = true;
            return;
        };
        if refusal == Refusal::Ask {
            world::reachable!("redis.client.ask");
            unit.importing = Some(self.topology.node(&address));
        } else {
            world::reachable!("redis.client.moved");
            self.topology.moved(slot, &address);
        }
        let options = self.topology.options();
        unit.redirects += 1;
        unit.is_done = unit.redirects > options.max_redirects;
        let disagreements = unit.redirects.saturating_sub(PROMPT_REDIRECTS);
        unit.not_before = (disagreements > 0).then(|| Instant::now() + options.backoff.delay(disagreements));
    }

    /// There are no replies: the unit may be sent again only if that cannot execute it twice.
    fn after_failure(&self, unit: &mut Unit<'_>, node: &Arc<Node>, error: &RedisError) {
        if was_not_replicated(error) {
            node.answered();
            unit.is_done = true;
            return;
        }
        world::reachable!("redis.client.refresh-after-failure");
        self.topology.refresh(None);
        let options = self.topology.options();
        if was_not_sent(error) {
            // When to try again is the node's to say, if the refresh does not find another.
            node.failed(Instant::now());
            unit.retries += 1;
            unit.is_done = unit.retries > options.max_retries;
        } else if options.retry_reads && unit.is_read_only() {
            world::reachable!("redis.client.read-again");
            self.retry_later(unit);
        } else {
            unit.is_done = true;
        }
    }

    fn retry_later(&self, unit: &mut Unit<'_>) {
        let options = self.topology.options();
        unit.retries += 1;
        unit.is_done = unit.retries > options.max_retries;
        unit.not_before = Some(Instant::now() + options.backoff.delay(unit.retries));
    }

    /// Remembers a script that a server took.
    fn note_script(&self, unit: &Unit<'_>, replies: &[Value]) {
        if let (Route::AnyMaster, Work::Command(command)) = (&unit.route, unit.work)
            && let Some(Value::BulkString(digest)) = replies.first()
            && let Some(script) = command::loaded_script(command)
        {
            self.scripts.remember(digest, script);
        }
    }

    /// The script that a server says it does not have, if the client has seen it.
    fn script_of(&self, unit: &Unit<'_>) -> Option<Arc<[u8]>> {
        let Work::Command(command) = unit.work else { return None };
        let script = self.scripts.find(command::script_digest(command)?)?;
        world::reachable!("redis.client.script-loaded");
        Some(script)
    }
}

/// The deadline has passed: what is not done stays as its latest attempt left it.
fn give_up(units: &mut [Unit<'_>]) {
    for unit in units.iter_mut().filter(|unit| !unit.is_done) {
        unit.is_done = true;
        unit.outcome.get_or_insert_with(|| {
            Err(not_sent(io::ErrorKind::TimedOut, "no node that could execute it was found in time"))
        });
    }
}
