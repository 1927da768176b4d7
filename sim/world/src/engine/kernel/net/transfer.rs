//! Segments on their way, and what applications do with an established connection.

use std::io;
use std::task::{Poll, Waker};

use super::connection::{Connection, End, Life, Payload, Phase, State, os_error};
use super::handshake::Consent;
use super::link::{Gate, Links};
use super::{ConnectionId, NetEvent, Network, Wakes};
use crate::engine::kernel::Kernel;
use crate::engine::kernel::fingerprint::Mark;

/// Emptied buffers are kept for reuse while there are no more than so many bytes of them.
const SPARE_BYTES: usize = 128 * 1024;
const SPARE_BUFFERS: usize = 256;

/// Emptied buffers.
#[derive(Default)]
pub(super) struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < SPARE_BUFFERS && self.bytes + buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

/// What became of a segment that was to be sent.
enum Sent {
    Undisturbed,
    /// It is on its way, or waits behind others that are to be sent again.
    InRecovery,
    Lost(u32),
}

/// Puts a segment into its pipe and, if it may go, on its way.
#[inline]
fn transmit(
    links: &mut Links,
    kernel: &Kernel,
    (connection, id, side): (&mut Connection, ConnectionId, usize),
    payload: Payload,
) -> Sent {
    let now_ns = kernel.now_ns();
    let back_ns = connection.pipes[1 - side].last_trip_ns;
    let pipe = &mut connection.pipes[side];
    if pipe.recovery.as_ref().is_some_and(|recovery| recovery.holds_back()) {
        pipe.push(payload, State::Lost, 0);
        return Sent::InRecovery;
    }
    let Some(at_ns) = links.pass(connection.links[side], payload.bytes().len(), now_ns) else {
        return Sent::Lost(pipe.push(payload, State::Lost, now_ns));
    };
    let at_ns = at_ns.max(pipe.last_arrival_ns);
    pipe.last_arrival_ns = at_ns;
    pipe.last_trip_ns = at_ns - now_ns;
    let measure = !matches!(payload, Payload::Handshake);
    let number = pipe.push(payload, State::InFlight, now_ns);
    if measure {
        pipe.round_trip.measured(number, pipe.last_trip_ns + back_ns);
    }
    kernel.events.borrow_mut().schedule(at_ns, NetEvent::Arrival(id, side as u8, number));
    if pipe.recovery.is_some() { Sent::InRecovery } else { Sent::Undisturbed }
}

/// Hands the first segment of a pipe to its receiver. Returns how many bytes of the application it carried.
#[inline]
fn deliver(
    kernel: &Kernel,
    connection: &mut Connection,
    id: ConnectionId,
    side: usize,
    wakes: &mut Wakes,
) -> usize {
    let (from, to) = (connection.hosts[side], connection.hosts[1 - side]);
    let pipe = &mut connection.pipes[side];
    let Some(payload) = pipe.pop() else { return 0 };
    let length = payload.bytes().len();
    let mark = |kind, payload: &[u8]| {
        kernel.mark(Mark::Delivery { kind, from, to, connection: id.index, payload });
    };
    match payload {
        Payload::Data(bytes) => {
            mark("data", &bytes);
            pipe.receive(bytes);
            wakes.add(pipe.reader.take());
        }
        Payload::Handshake => mark("handshake", &[]),
        Payload::Fin => {
            mark("fin", &[]);
            pipe.fin_received = true;
            wakes.add(pipe.reader.take());
        }
    }
    length
}

impl Network {
    /// Puts a segment on its way, behind all earlier ones of its direction.
    pub(super) fn send(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, payload: Payload) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match transmit(&mut self.links, kernel, (connection, id, side), payload) {
            Sent::Undisturbed => {}
            Sent::InRecovery => self.run_timer(kernel, id, side, kernel.now_ns()),
            Sent::Lost(number) => self.on_lost(kernel, id, side, number),
        }
    }

    /// A segment, the first of its direction that is not there yet or a later one, reaches the other side.
    pub(super) fn on_arrival(
        &mut self,
        kernel: &Kernel,
        (id, side, number): (ConnectionId, usize, u32),
        wakes: &mut Wakes,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let [link, back] = [connection.links[side], connection.links[1 - side]];
        let pipe = &mut connection.pipes[side];
        if number == pipe.front
            && !pipe.queue.is_empty()
            && pipe.recovery.is_none()
            && connection.ends[1 - side].receives()
            && self.links.is_plain(link)
            && self.links.is_plain(back)
        {
            self.arrivals += 1;
            pipe.delivered.note(number, kernel.now_ns(), pipe.round_trip);
            let bytes = deliver(kernel, connection, id, side, wakes);
            self.links.count(link, bytes);
        } else {
            self.on_disturbed_arrival(kernel, (id, side, number), wakes);
        }
    }

    /// As [`Network::on_arrival`], where anything may be wrong.
    fn on_disturbed_arrival(
        &mut self,
        kernel: &Kernel,
        (id, side, number): (ConnectionId, usize, u32),
        wakes: &mut Wakes,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let link = connection.links[side];
        match self.links.gate(link) {
            Gate::Open => {}
            Gate::Cut => return self.on_lost(kernel, id, side, number),
            Gate::Held => {
                self.hold(link, NetEvent::Arrival(id, side as u8, number));
                return self.expect(kernel, id, side, number);
            }
        }
        let pipe = &mut connection.pipes[side];
        let Some(position) = pipe.position(number) else {
            return self.on_duplicate(kernel, id, side);
        };
        if !connection.ends[1 - side].receives() && !self.is_heard(kernel, (id, side, number), wakes) {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        let segment = &mut pipe.queue[position];
        segment.state = State::Arrived;
        let sent_ns = segment.sent_ns;
        // What follows the last step of the handshake says the same.
        if let Some(first) = pipe.queue.front_mut()
            && matches!(first.payload, Payload::Handshake)
        {
            first.state = State::Arrived;
        }
        pipe.delivered.note(number, kernel.now_ns(), pipe.round_trip);
        let in_recovery = pipe.recovery.is_some();
        while connection.pipes[side].queue.front().is_some_and(|segment| segment.state == State::Arrived) {
            self.arrivals += 1;
            let bytes = deliver(kernel, connection, id, side, wakes);
            self.links.count(link, bytes);
        }
        if in_recovery {
            self.acknowledge(kernel, id, side, sent_ns);
        } else {
            self.on_delivered(kernel, id, side, number);
        }
    }

    /// The acknowledgement of a segment goes back without an event of its own, unless it gets lost.
    fn on_delivered(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, number: u32) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if self.links.loses(connection.links[1 - side]) {
            self.mark(kernel, "acknowledgement lost", id, 1 - side);
            self.expect(kernel, id, side, number);
        }
    }

    /// A segment reaches an end that is not open: does the operating system there take it nevertheless?
    fn is_heard(
        &mut self,
        kernel: &Kernel,
        (id, side, number): (ConnectionId, usize, u32),
        wakes: &mut Wakes,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let host = connection.hosts[1 - side];
        if !self.is_powered(host) {
            self.on_lost(kernel, id, side, number);
            return false;
        }
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let (end, pipe) = (&connection.ends[1 - side], &connection.pipes[side]);
        let payload = pipe.position(number).map(|position| &pipe.queue[position].payload);
        match end.life {
            Life::Embryo => match self.consent(id, wakes) {
                Consent::Accepted => return true,
                Consent::NotNow => {
                    self.on_lost(kernel, id, side, number);
                    return false;
                }
                Consent::Never => {}
            },
            Life::Closed if matches!(payload, Some(Payload::Fin)) => return true,
            Life::Open | Life::Closed | Life::Dead => {}
        }
        // Bytes for an end that is gone are answered by a reset (RFC 9293, 3.10.7.1).
        self.send_reset(kernel, id, 1 - side);
        self.on_lost(kernel, id, side, number);
        false
    }

    /// Writes from the given slices what fits into the window.
    pub(crate) fn poll_write(
        &mut self,
        kernel: &Kernel,
        (id, side): (ConnectionId, usize),
        slices: &[io::IoSlice<'_>],
        waker: &Waker,
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(os_error(libc::EPIPE)));
        };
        let wanted = match slices {
            [only] => only.len(),
            slices => slices.iter().map(|slice| slice.len()).sum(),
        };
        let count = match connection.writable(side, wanted, waker) {
            Poll::Ready(Ok(count)) => count,
            Poll::Pending => {
                self.wait_for_window(kernel, id, side);
                return Poll::Pending;
            }
            error => return error,
        };
        if count > 0 {
            let limit = self.links.segment_limit(connection.links[side]);
            let mut buffer = self.spare.take();
            match slices {
                [only] => buffer.extend_from_slice(&only[..count]),
                slices => {
                    for slice in slices {
                        buffer.extend_from_slice(&slice[..slice.len().min(count - buffer.len())]);
                    }
                }
            }
            if count <= limit {
                // Nothing has been done to the connection since it was looked up: `send` without another look.
                match transmit(&mut self.links, kernel, (connection, id, side), Payload::Data(buffer)) {
                    Sent::Undisturbed => {}
                    Sent::InRecovery => self.run_timer(kernel, id, side, kernel.now_ns()),
                    Sent::Lost(number) => self.on_lost(kernel, id, side, number),
                }
            } else {
                for piece in buffer.chunks(limit) {
                    self.send(kernel, id, side, Payload::Data(piece.to_vec()));
                }
                self.spare.put(buffer);
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Reads what has arrived into `take`, at most `room` bytes; nothing at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        kernel: &Kernel,
        (id, side): (ConnectionId, usize),
        room: usize,
        take: impl FnMut(&[u8]),
        waker: &Waker,
    ) -> Poll<io::Result<()>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(os_error(libc::ECONNRESET)));
        };
        match connection.readable(side, waker) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let (spare, writer) = (&mut self.spare, 1 - side);
        let pipe = &mut connection.pipes[writer];
        pipe.read(room, take, |buffer| spare.put(buffer));
        if pipe.writer.is_some() && !pipe.window_update && pipe.has_room() && connection.ends[side].error == 0
        {
            pipe.window_update = true;
            match self.links.pass(connection.links[side], 0, kernel.now_ns()) {
                Some(at_ns) => self.schedule(kernel, at_ns, NetEvent::WindowUpdate(id, writer as u8)),
                None => self.on_window_update_lost(kernel, id, writer),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// News of free window reaches the writer.
    pub(super) fn on_window_update(
        &mut self,
        kernel: &Kernel,
        id: ConnectionId,
        side: usize,
        wakes: &mut Wakes,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let link = connection.links[1 - side];
        match self.gate(link, NetEvent::WindowUpdate(id, side as u8)) {
            Gate::Open => {}
            Gate::Held => return,
            Gate::Cut => return self.on_window_update_lost(kernel, id, side),
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let pipe = &mut connection.pipes[side];
        pipe.window_update = false;
        let unread = pipe.unread();
        if let Some(recovery) = &mut pipe.recovery {
            recovery.hear(unread);
        }
        wakes.add(pipe.writer.take());
    }

    /// Closes the writing half of a side.
    pub(crate) fn shut_down(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.ends[side].error == 0 && !std::mem::replace(&mut connection.pipes[side].fin_sent, true)
        {
            self.send(kernel, id, side, Payload::Fin);
        }
    }

    /// The application lets go of its end: a FIN, or a reset when it leaves bytes unread (RFC 1122, 4.2.2.13).
    pub(crate) fn close(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if side == 0 && connection.phase != Phase::Established {
            // The server answers a request that nobody waits for any more, and is told so before its application
            // hears of it.
            self.connections.remove(id);
            return;
        }
        if connection.ends[side].error != 0 {
            connection.ends[side].life = Life::Dead;
            self.free_if_over(id);
            return;
        }
        if connection.pipes[1 - side].received_bytes > 0 {
            self.reset(kernel, id, side);
            return;
        }
        self.shut_down(kernel, id, side);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.ends[side].life = Life::Closed;
        }
        self.free_if_over(id);
    }

    /// A side goes away without a goodbye; the peer learns of it by a reset.
    pub(super) fn reset(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if side == 0 && connection.phase != Phase::Established {
            self.connections.remove(id);
            return;
        }
        let finished = connection.pipes[side].fin_sent && connection.pipes[1 - side].fin_received;
        let peer_cares = connection.ends[side].works() && !finished;
        self.kill_end(id, side);
        if peer_cares {
            self.send_reset(kernel, id, side);
        }
        self.free_if_over(id);
    }

    /// Nothing knows of this end any more. What it has sent is still on its way.
    pub(super) fn kill_end(&mut self, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let end = &mut connection.ends[side];
        *end = End { life: Life::Dead, error: libc::ECONNRESET, ..End::default() };
        connection.pipes[1 - side].discard_received();
        connection.pipes[side].recovery = None;
        connection.pipes[side].timer_ns = 0;
        let handshake = connection.pipes[0].queue.front().map(|first| (&first.payload, first.state));
        if side == 0 && matches!(handshake, Some((Payload::Handshake, State::Lost))) {
            connection.ends[1].life = Life::Dead;
        }
    }

    /// Sends a reset, once: if it is lost, the next segment from the peer is answered by another.
    pub(super) fn send_reset(&mut self, kernel: &Kernel, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match self.links.pass(connection.links[side], 0, kernel.now_ns()) {
            Some(at_ns) => {
                let at_ns = at_ns.max(connection.pipes[side].last_arrival_ns);
                self.schedule(kernel, at_ns, NetEvent::Reset(id, side as u8));
            }
            None => self.mark(kernel, "reset lost", id, side),
        }
    }

    pub(super) fn on_reset(&mut self, kernel: &Kernel, id: ConnectionId, side: usize, wakes: &mut Wakes) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (link, receiver) = (connection.links[side], 1 - side);
        let host = connection.hosts[receiver];
        match self.gate(link, NetEvent::Reset(id, side as u8)) {
            Gate::Open if self.is_powered(host) => {}
            Gate::Held => return,
            Gate::Open | Gate::Cut => return self.mark(kernel, "reset lost", id, side),
        }
        self.arrived(kernel, "reset", id, side);
        // Linux tells an application that has read to the end of the stream EPIPE; see `Connection::writable`.
        self.fail(id, receiver, libc::ECONNRESET, wakes);
    }

    /// A side fails; its application learns of it if it still holds it.
    pub(super) fn fail(&mut self, id: ConnectionId, side: usize, error: i32, wakes: &mut Wakes) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.fail(side, error, wakes);
        if connection.ends[side].life != Life::Open {
            connection.ends[side].life = Life::Dead;
        }
        // A client that is reset before its server was told of the connection has none.
        if connection.ends[1].life == Life::Embryo {
            connection.ends[1].life = Life::Dead;
        }
        self.free_if_over(id);
    }

    pub(super) fn free_if_over(&mut self, id: ConnectionId) {
        if self.connections.get_mut(id).is_some_and(|connection| connection.is_over()) {
            self.connections.remove(id);
        }
    }
}
