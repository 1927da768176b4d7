//! What TCP does when segments or acknowledgements do not arrive: retransmission, probing, giving up.
//!
//! While nothing is lost, acknowledgements are not events of their own: the writer knows at once what has been read
//! or is on its way, and nothing can tell the difference. Once a segment is lost, or a link that carries
//! acknowledgements is closed, the pipe gets a [`Recovery`]: from then on acknowledgements travel as segments do, may
//! be lost as they may, and the writer acts on what it has heard only. It ends when all has been acknowledged.
//!
//! Timers follow RFC 6298 with the bounds of Linux. Which segments are lost is concluded as in RACK (RFC 8985): a
//! segment is lost when one sent later has been acknowledged.

use std::collections::VecDeque;

use super::connection::{Life, Payload, State, WINDOW};
use super::link::Gate;
use super::{ConnectionId, NetEvent, Network, Wakes};
use crate::engine::kernel::Kernel;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
/// Timeout before a round trip has been measured (RFC 6298, 2.1).
const INITIAL_TIMEOUT_NS: u64 = SECOND;
/// Least share of the variance in the timeout (Linux: `TCP_RTO_MIN`).
const TIMEOUT_MIN_NS: u64 = 200 * MILLISECOND;
/// Linux: `TCP_RTO_MAX`.
const TIMEOUT_MAX_NS: u64 = 120 * SECOND;
/// After so long without an acknowledgement, the next timeout ends the connection: what `net.ipv4.tcp_retries2` = 15
/// amounts to (Linux, ip-sysctl: 924.6 s).
const GIVE_UP_NS: u64 = 924_600 * MILLISECOND;
/// Retransmissions for an application that has let go (Linux: `net.ipv4.tcp_orphan_retries` = 0, which means 8).
const ORPHAN_RETRIES: u32 = 8;
/// Retransmissions of the handshake's last step (Linux: `net.ipv4.tcp_synack_retries`).
const HANDSHAKE_RETRIES: u32 = 5;
/// The timer does not run.
const NEVER: u64 = u64::MAX;

/// The smoothed round trip (RFC 6298, 2).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RoundTrip {
    smoothed_ns: u64,
    variance_ns: u64,
}

impl RoundTrip {
    /// A segment takes so long until its acknowledgement. One of four counts: they all differ little, and it is done
    /// for every segment.
    #[inline]
    pub(super) fn measured(&mut self, number: u32, sample_ns: u64) {
        if self.smoothed_ns == 0 {
            *self = RoundTrip { smoothed_ns: sample_ns, variance_ns: sample_ns / 2 };
        } else if number.is_multiple_of(4) {
            self.smooth(sample_ns);
        }
    }

    fn smooth(&mut self, sample_ns: u64) {
        let deviation_ns = self.smoothed_ns.abs_diff(sample_ns);
        self.variance_ns = self.variance_ns - self.variance_ns / 4 + deviation_ns / 4;
        self.smoothed_ns = self.smoothed_ns - self.smoothed_ns / 8 + sample_ns / 8;
    }

    /// Linux keeps the floor on the share of the variance, not on the whole.
    fn timeout_ns(self) -> u64 {
        if self.smoothed_ns == 0 {
            return INITIAL_TIMEOUT_NS;
        }
        (self.smoothed_ns + (4 * self.variance_ns).max(TIMEOUT_MIN_NS)).min(TIMEOUT_MAX_NS)
    }
}

/// When segments were delivered lately: enough to tell, if acknowledgements are cut off at a moment, which had come
/// through. An acknowledgement takes half a round trip.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delivered {
    /// Segments below this number were acknowledged before `first_ns`.
    acknowledged: u32,
    /// A segment delivered then.
    first: u32,
    first_ns: u64,
    /// When the latest was delivered.
    pub(super) last_ns: u64,
}

impl Delivered {
    pub(super) fn note(&mut self, number: u32, now_ns: u64, round_trip: RoundTrip) {
        if now_ns >= self.first_ns + round_trip.smoothed_ns / 2 {
            self.acknowledged = self.acknowledged_at(number, now_ns, round_trip);
            (self.first, self.first_ns) = (number, now_ns);
        }
        self.last_ns = now_ns;
    }

    /// The first segment that is not acknowledged, where `front` is the first that is not delivered.
    fn acknowledged_at(&self, front: u32, now_ns: u64, round_trip: RoundTrip) -> u32 {
        let trip_ns = round_trip.smoothed_ns / 2;
        if now_ns >= self.last_ns + trip_ns {
            front
        } else if now_ns >= self.first_ns + trip_ns {
            self.first.wrapping_add(1)
        } else {
            self.acknowledged
        }
    }
}

/// An acknowledgement on its way.
#[derive(Debug, Clone, Copy)]
struct Acknowledgement {
    number: u32,
    /// The first segment that the receiver does not have.
    next: u32,
    /// What its application has read since the recovery began.
    consumed: u64,
    /// When the segment that it answers was sent.
    sent_ns: u64,
}

/// What the writer of a pipe knows, and what it does about it.
#[derive(Debug)]
pub(super) struct Recovery {
    /// The first segment that is not acknowledged.
    acknowledged: u32,
    /// Bytes that were not read when it began, as far as the writer knew, and all written since.
    pub(super) written: u64,
    /// How many of these have been read, as far as the writer has heard.
    known_consumed: u64,
    /// Since when the writer has waited for an acknowledgement.
    waiting_since_ns: u64,
    timeout_ns: u64,
    /// Retransmissions or probes since the last acknowledgement.
    retries: u32,
    /// When the next is due.
    deadline_ns: u64,
    last_sent_ns: u64,
    acknowledgements: VecDeque<Acknowledgement>,
    last_acknowledgement_ns: u64,
}

impl Recovery {
    /// After a timeout nothing new is sent before something old has got through (RFC 5681, 3.1: one segment).
    pub(super) fn holds_back(&self) -> bool {
        self.retries > 0
    }

    /// Bytes that the receiver's window must still have room for, as far as the writer knows.
    pub(super) fn known_unread(&self) -> usize {
        (self.written - self.known_consumed) as usize
    }

    /// The writer hears how many bytes are unread now.
    pub(super) fn hear(&mut self, unread: usize) {
        self.known_consumed = self.known_consumed.max(self.written - unread as u64);
    }
}

fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Network {
    /// A segment is lost, or delayed beyond all bounds: its writer will find out.
    pub(super) fn on_lost(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, number: u32) {
        self.mark(kernel, "segment lost", id, side);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        let Some(position) = pipe.position(number) else { return };
        pipe.queue[position].state = State::Lost;
        self.expect(kernel, id, side, number);
    }

    /// The writer expects an acknowledgement of a segment that it will not get soon: its timer runs.
    pub(super) fn expect(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, number: u32) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.ends[side].works() {
            if connection.ends[1].life == Life::Embryo {
                connection.ends[1].life = Life::Dead;
            }
            self.free_if_over(id);
            return;
        }
        let pipe = &connection.pipes[side];
        let sent_ns = pipe.position(number).map_or(kernel.now_ns(), |at| pipe.queue[at].sent_ns);
        let first = if after(pipe.front, number) { number } else { pipe.front };
        self.recover(kernel, id, side, first, sent_ns);
        self.run_timer(kernel, id, side, sent_ns);
    }

    /// From now on the writer knows only what it hears.
    fn recover(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, acknowledged: u32, since_ns: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        if pipe.recovery.is_some() {
            return;
        }
        // A writer that waits has not heard of what was read meanwhile.
        let known_unread = if pipe.writer.is_some() { WINDOW } else { pipe.unread() };
        pipe.recovery = Some(Box::new(Recovery {
            acknowledged,
            written: known_unread as u64,
            known_consumed: 0,
            waiting_since_ns: since_ns,
            timeout_ns: pipe.round_trip.timeout_ns(),
            retries: 0,
            deadline_ns: NEVER,
            last_sent_ns: kernel.now_ns(),
            acknowledgements: VecDeque::new(),
            last_acknowledgement_ns: 0,
        }));
    }

    /// Starts the timer of a pipe in recovery, if it does not run, for something sent at that time.
    pub(super) fn run_timer(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, sent_ns: u64) {
        let now_ns = kernel.now_ns();
        let Some(connection) = self.connections.get_mut(id) else { return };
        let user_timeout = connection.ends[side].options.as_ref().and_then(|options| options.user_timeout_ns);
        let pipe = &mut connection.pipes[side];
        let Some(recovery) = &mut pipe.recovery else { return };
        if recovery.deadline_ns == NEVER {
            recovery.waiting_since_ns = sent_ns;
            recovery.deadline_ns = (sent_ns + recovery.timeout_ns).max(now_ns);
        }
        if let Some(user_timeout) = user_timeout {
            let limit = recovery.waiting_since_ns.saturating_add(user_timeout).max(now_ns);
            recovery.deadline_ns = recovery.deadline_ns.min(limit);
        }
        let at_ns = recovery.deadline_ns;
        if pipe.timer_ns == 0 || at_ns < pipe.timer_ns {
            pipe.timer_ns = at_ns;
            self.schedule(kernel, at_ns, NetEvent::RetransmitTimer(id, side as u8));
        }
    }

    /// The user timeout may have become shorter.
    pub(super) fn shorten_timer(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let recovery = &connection.pipes[side].recovery;
        if recovery.as_ref().is_some_and(|recovery| recovery.deadline_ns != NEVER) {
            self.run_timer(kernel, id, side, kernel.now_ns());
        }
    }

    /// The writer waits for window, which it may not be told of.
    pub(super) fn wait_for_window(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        self.run_timer(kernel, id, side, kernel.now_ns());
    }

    /// News of free window was lost.
    pub(super) fn on_window_update_lost(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        self.mark(kernel, "window update lost", id, 1 - side);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        pipe.window_update = false;
        if !connection.ends[side].works() {
            return;
        }
        let front = pipe.front;
        self.recover(kernel, id, side, front, kernel.now_ns());
        self.run_timer(kernel, id, side, kernel.now_ns());
    }

    /// Acknowledgements to this side are cut off: those on their way are lost or held.
    pub(super) fn cut_acknowledgements(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        if !connection.ends[side].works() || pipe.recovery.is_some() {
            return;
        }
        let now_ns = kernel.now_ns();
        let acknowledged = pipe.delivered.acknowledged_at(pipe.front, now_ns, pipe.round_trip);
        let waits = pipe.next() != acknowledged || pipe.writer.is_some();
        self.recover(kernel, id, side, acknowledged, now_ns);
        if waits {
            self.run_timer(kernel, id, side, now_ns);
        }
    }

    /// The receiver acknowledges what it has of the segments that `side` writes, in answer to one sent at that time.
    pub(super) fn acknowledge(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, sent_ns: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let link = connection.links[1 - side];
        let pipe = &mut connection.pipes[side];
        let (next, unread) = (pipe.front, pipe.unread() as u64);
        let Some(recovery) = &mut pipe.recovery else { return };
        let consumed = recovery.written - unread;
        let Some(at_ns) = self.links.pass(link, 0, kernel.now_ns()) else {
            self.mark(kernel, "acknowledgement lost", id, 1 - side);
            return;
        };
        let at_ns = at_ns.max(recovery.last_acknowledgement_ns);
        let number = pipe.next_ack;
        pipe.next_ack = number.wrapping_add(1);
        recovery.last_acknowledgement_ns = at_ns;
        recovery.acknowledgements.push_back(Acknowledgement { number, next, consumed, sent_ns });
        self.schedule(kernel, at_ns, NetEvent::Acknowledgement(id, side as u8, number));
    }

    pub(super) fn on_acknowledgement(
        &mut self,
        kernel: &Kernel,
        (id, side, number): (ConnectionId, usize, u32),
        wakes: &mut Wakes,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let link = connection.links[1 - side];
        match self.gate(link, NetEvent::Acknowledgement(id, side as u8, number)) {
            Gate::Open => {}
            Gate::Held => return,
            Gate::Cut => return self.mark(kernel, "acknowledgement lost", id, 1 - side),
        }
        self.arrived(kernel, "acknowledgement", id, 1 - side);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        let next = pipe.next();
        let Some(recovery) = &mut pipe.recovery else { return };
        let queue = &mut recovery.acknowledgements;
        let Some(position) = queue.iter().position(|acknowledgement| acknowledgement.number == number) else {
            return;
        };
        let Some(news) = queue.drain(..=position).next_back() else { return };
        recovery.known_consumed = recovery.known_consumed.max(news.consumed);
        let advanced = after(news.next, recovery.acknowledged);
        // An answer to a probe of the window shows as much as progress does: the peer is there.
        if advanced || recovery.acknowledged == next {
            recovery.acknowledged = news.next;
            recovery.retries = 0;
            recovery.timeout_ns = pipe.round_trip.timeout_ns();
            recovery.deadline_ns = NEVER;
        }
        if recovery.acknowledged == next {
            pipe.recovery = None;
            pipe.timer_ns = 0;
        } else {
            self.retransmit_lost(kernel, id, side, news.sent_ns);
            self.run_timer(kernel, id, side, kernel.now_ns());
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        if pipe.free_window() > 0 {
            wakes.add(pipe.writer.take());
        }
    }

    /// Sends again what was sent no later than something that has arrived, and has not arrived itself.
    fn retransmit_lost(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, before_ns: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let queue = connection.pipes[side].queue.iter().enumerate();
        let lost = queue.filter(|(_, s)| s.state == State::Lost && s.sent_ns <= before_ns);
        let lost: Vec<usize> = lost.map(|(position, _)| position).collect();
        for position in lost {
            self.retransmit(kernel, id, side, position);
        }
    }

    fn retransmit(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, position: usize) {
        self.mark(kernel, "retransmission", id, side);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let link = connection.links[side];
        let pipe = &mut connection.pipes[side];
        let number = pipe.front.wrapping_add(position as u32);
        let segment = &mut pipe.queue[position];
        segment.sent_ns = kernel.now_ns();
        let Some(at_ns) = self.links.pass(link, segment.payload.bytes().len(), kernel.now_ns()) else {
            return;
        };
        segment.state = State::InFlight;
        let at_ns = at_ns.max(pipe.last_arrival_ns);
        pipe.last_arrival_ns = at_ns;
        self.schedule(kernel, at_ns, NetEvent::Arrival(id, side as u8, number));
    }

    pub(super) fn on_retransmit_timer(
        &mut self,
        kernel: &Kernel,
        id: ConnectionId,
        side: usize,
        wakes: &mut Wakes,
    ) {
        let now_ns = kernel.now_ns();
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        // A timer that was set anew for an earlier time, or stopped, leaves its old event behind.
        if pipe.timer_ns != now_ns {
            return;
        }
        pipe.timer_ns = 0;
        let next = pipe.next();
        let waits_for_window = pipe.writer.is_some() && pipe.free_window() == 0;
        let Some(recovery) = &mut pipe.recovery else { return };
        if now_ns < recovery.deadline_ns {
            if recovery.deadline_ns != NEVER {
                self.run_timer(kernel, id, side, now_ns);
            }
            return;
        }
        if recovery.acknowledged == next && !waits_for_window {
            recovery.deadline_ns = NEVER;
            return;
        }
        let handshake = pipe.queue.len() == 1 && matches!(pipe.queue[0].payload, Payload::Handshake);
        let end = &connection.ends[side];
        let user_timeout = end.options.as_ref().and_then(|options| options.user_timeout_ns);
        let waited_ns = now_ns - recovery.waiting_since_ns;
        if handshake && recovery.retries >= HANDSHAKE_RETRIES
            || end.life == Life::Closed && recovery.retries >= ORPHAN_RETRIES
        {
            self.give_up(kernel, id, side);
        } else if waited_ns >= user_timeout.unwrap_or(GIVE_UP_NS) {
            self.mark(kernel, "timeout", id, side);
            self.fail(id, side, libc::ETIMEDOUT, wakes);
        } else {
            self.on_timeout(kernel, id, side);
        }
    }

    /// Backs off, and sends the first segment that is not acknowledged, or a probe of the window.
    fn on_timeout(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let now_ns = kernel.now_ns();
        let Some(connection) = self.connections.get_mut(id) else { return };
        let link = connection.links[side];
        let pipe = &mut connection.pipes[side];
        let Some(recovery) = &mut pipe.recovery else { return };
        recovery.retries += 1;
        recovery.timeout_ns = (recovery.timeout_ns * 2).min(TIMEOUT_MAX_NS);
        recovery.deadline_ns = now_ns + recovery.timeout_ns;
        let known = recovery.acknowledged;
        if known == pipe.front && !pipe.queue.is_empty() {
            if pipe.queue[0].state == State::Lost {
                self.retransmit(kernel, id, side, 0);
            }
        } else {
            // The receiver has it already, which the writer does not know; or it is a probe. Either is answered.
            recovery.last_sent_ns = now_ns;
            let number = if known == pipe.front { known.wrapping_sub(1) } else { known };
            self.mark(kernel, "retransmission", id, side);
            if let Some(at_ns) = self.links.pass(link, 1, now_ns) {
                self.schedule(kernel, at_ns, NetEvent::Arrival(id, side as u8, number));
            }
        }
        self.run_timer(kernel, id, side, now_ns);
    }

    /// A segment has arrived that the receiver had already.
    pub(super) fn on_duplicate(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        self.arrived(kernel, "duplicate", id, side);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(recovery) = &connection.pipes[side].recovery else { return };
        let (sent_ns, host) = (recovery.last_sent_ns, connection.hosts[1 - side]);
        if connection.ends[1 - side].works() {
            self.acknowledge(kernel, id, side, sent_ns);
        } else if self.is_powered(host) {
            self.send_reset(kernel, id, 1 - side);
        }
    }

    /// Nobody is told: the application has let go, or does not know that the server never heard of the connection.
    fn give_up(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        self.mark(kernel, "timeout", id, side);
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.pipes[side].discard_queue();
        if connection.ends[1].life == Life::Embryo {
            connection.ends[1].life = Life::Dead;
        }
        if connection.ends[side].life == Life::Closed {
            connection.ends[side].life = Life::Dead;
        }
        self.free_if_over(id);
    }
}
