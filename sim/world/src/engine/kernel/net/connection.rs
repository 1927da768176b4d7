//! One connection: two ends, and a pipe in each direction.

use std::collections::VecDeque;
use std::io;
use std::task::{Poll, Waker};

use super::link::LinkId;
use super::recovery::{Delivered, Recovery, RoundTrip};
use super::{ConnectionId, Wakes};
use crate::common::hosts::HostId;
use crate::engine::kernel::slab::Slab;
use crate::net::Keepalive;

/// Bytes that may be on their way or waiting unread in one direction before the writer has to wait.
pub(super) const WINDOW: usize = 256 * 1024;

/// What travels on a pipe, in order, and is sent again until it has arrived.
#[derive(Debug)]
pub(super) enum Payload {
    /// The last step of the handshake: the client has heard of the server's consent.
    Handshake,
    Data(Vec<u8>),
    /// The writer has closed its half.
    Fin,
}

impl Payload {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Payload::Data(bytes) => bytes,
            Payload::Handshake | Payload::Fin => &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its arrival is scheduled.
    InFlight,
    /// Lost, or not sent yet because an earlier one has to get through first. Nothing is scheduled for it.
    Lost,
    /// It has arrived, but an earlier one has not.
    Arrived,
}

/// A segment that has not been handed to the receiver.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) payload: Payload,
    pub(super) state: State,
    /// When it was last sent; zero if it has not been.
    pub(super) sent_ns: u64,
}

/// How far the handshake is, as the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting {
        /// Requests sent again so far.
        attempt: u32,
        /// Is the next one scheduled?
        timer: bool,
    },
    Established,
    /// With this error of the operating system.
    Failed(i32),
}

/// One direction.
///
/// What an arrival touches stands first, in two cache lines, then what a write touches: between two segments of a
/// connection come many of others.
#[derive(Default)]
#[repr(C, align(64))]
pub(super) struct Pipe {
    /// Segments from the first that the receiver does not have in order.
    pub(super) queue: VecDeque<Segment>,
    /// Bytes in the queue.
    queued_bytes: usize,
    pub(super) received_bytes: usize,
    /// What the writer knows, while that is not simply all that has happened. See [`Recovery`].
    pub(super) recovery: Option<Box<Recovery>>,
    /// The number of the first segment in the queue.
    pub(super) front: u32,
    pub(super) fin_sent: bool,
    pub(super) fin_received: bool,
    /// A window update is on its way to the writer.
    pub(super) window_update: bool,
    received: VecDeque<Vec<u8>>,
    /// How much of the first received buffer has been read.
    read_offset: usize,
    pub(super) reader: Option<Waker>,
    pub(super) delivered: Delivered,
    pub(super) round_trip: RoundTrip,
    /// Segments of a direction never overtake each other: none arrives before this time.
    pub(super) last_arrival_ns: u64,
    /// How long the last segment took.
    pub(super) last_trip_ns: u64,
    pub(super) writer: Option<Waker>,
    /// When the retransmission timer fires; zero if it does not run.
    pub(super) timer_ns: u64,
    /// Number of the next acknowledgement that is sent for itself.
    pub(super) next_ack: u32,
}

impl Pipe {
    /// Bytes written and not read.
    pub(super) fn unread(&self) -> usize {
        self.queued_bytes + self.received_bytes
    }

    /// As far as the writer knows.
    pub(super) fn free_window(&self) -> usize {
        let used = match &self.recovery {
            None => self.unread(),
            Some(recovery) => recovery.known_unread(),
        };
        WINDOW.saturating_sub(used)
    }

    /// In truth.
    pub(super) fn has_room(&self) -> bool {
        self.unread() < WINDOW
    }

    /// The number of the next segment to be sent.
    pub(super) fn next(&self) -> u32 {
        self.front.wrapping_add(self.queue.len() as u32)
    }

    /// Appends a segment; returns its number.
    pub(super) fn push(&mut self, payload: Payload, state: State, sent_ns: u64) -> u32 {
        let number = self.next();
        let length = payload.bytes().len();
        self.queued_bytes += length;
        if let Some(recovery) = &mut self.recovery {
            recovery.written += length as u64;
        }
        self.queue.push_back(Segment { payload, state, sent_ns });
        number
    }

    /// Takes the first segment out: the receiver has it in order.
    pub(super) fn pop(&mut self) -> Option<Payload> {
        let segment = self.queue.pop_front()?;
        self.front = self.front.wrapping_add(1);
        self.queued_bytes -= segment.payload.bytes().len();
        Some(segment.payload)
    }

    /// The position in the queue of a segment that the receiver does not have in order.
    pub(super) fn position(&self, number: u32) -> Option<usize> {
        let position = number.wrapping_sub(self.front) as usize;
        (position < self.queue.len()).then_some(position)
    }

    /// Forgets what has not arrived: it never will.
    pub(super) fn discard_queue(&mut self) {
        while self.pop().is_some() {}
        self.recovery = None;
        self.timer_ns = 0;
    }

    pub(super) fn receive(&mut self, bytes: Vec<u8>) {
        self.received_bytes += bytes.len();
        self.received.push_back(bytes);
    }

    /// Moves received bytes out, as many as `take` accepts; emptied buffers go to `recycle`.
    pub(super) fn read(
        &mut self,
        room: usize,
        mut take: impl FnMut(&[u8]),
        mut recycle: impl FnMut(Vec<u8>),
    ) {
        let mut left = room;
        while left > 0 {
            let Some(front) = self.received.front() else { break };
            let available = &front[self.read_offset..];
            let count = available.len().min(left);
            take(&available[..count]);
            left -= count;
            self.received_bytes -= count;
            self.read_offset += count;
            if self.read_offset == front.len() {
                self.read_offset = 0;
                if let Some(buffer) = self.received.pop_front() {
                    recycle(buffer);
                }
            }
        }
    }

    pub(super) fn discard_received(&mut self) {
        self.received = VecDeque::new();
        self.received_bytes = 0;
        self.read_offset = 0;
    }
}

/// What an end is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// The server's before the handshake is over.
    #[default]
    Embryo,
    /// Held by the application, or waiting in a listener's queue.
    Open,
    /// The application has let go of it; the operating system sees to it that what was written arrives.
    Closed,
    /// Nothing knows of it any more.
    Dead,
}

/// What the application has asked for, and how its probes stand.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) user_timeout_ns: Option<u64>,
    pub(super) keepalive: Option<Keepalive>,
    /// Tells the timer of this setting from timers of earlier ones.
    pub(super) epoch: u32,
    pub(super) probes_unanswered: u32,
    /// When a probe was last answered.
    pub(super) answered_ns: u64,
}

/// One end, as its application sees it.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) life: Life,
    /// The error of the operating system that ended the connection here; zero if none has.
    pub(super) error: i32,
    /// Has the application been told?
    pub(super) reported: bool,
    pub(super) options: Option<Box<Options>>,
}

impl End {
    pub(super) fn open() -> End {
        End { life: Life::Open, ..End::default() }
    }

    /// Do bytes that arrive here find a reader?
    pub(super) fn receives(&self) -> bool {
        self.life == Life::Open && self.error == 0
    }

    /// Does the operating system still send and acknowledge for it?
    pub(super) fn works(&self) -> bool {
        matches!(self.life, Life::Open | Life::Closed) && self.error == 0
    }
}

/// A connection; side 0 connected, side 1 accepted. `pipes[s]` carries what side `s` writes, on `links[s]`.
pub(super) struct Connection {
    pub(super) generation: u32,
    pub(super) hosts: [HostId; 2],
    pub(super) links: [LinkId; 2],
    pub(super) ports: [u16; 2],
    pub(super) phase: Phase,
    pub(super) connecting: Option<Waker>,
    pub(super) started_ns: u64,
    /// The generation of the listener that has consented.
    pub(super) listener: u64,
    pub(super) ends: [End; 2],
    pub(super) pipes: [Pipe; 2],
}

impl Connection {
    /// A write of side `side`: how many of `wanted` bytes may go now.
    ///
    /// The error that ended the connection is reported once, by the first call that meets it; then it is `EPIPE`.
    pub(super) fn writable(&mut self, side: usize, wanted: usize, waker: &Waker) -> Poll<io::Result<usize>> {
        let pipe = &mut self.pipes[side];
        if self.ends[side].error != 0 || pipe.fin_sent {
            return Poll::Ready(Err(self.write_error(side)));
        }
        match pipe.free_window().min(wanted) {
            0 if wanted > 0 => {
                super::store(&mut pipe.writer, waker);
                Poll::Pending
            }
            count => Poll::Ready(Ok(count)),
        }
    }

    #[cold]
    fn write_error(&mut self, side: usize) -> io::Error {
        let (end, fin_received) = (&mut self.ends[side], self.pipes[1 - side].fin_received);
        let known = std::mem::replace(&mut end.reported, true) || end.error == 0 || fin_received;
        os_error(if known { libc::EPIPE } else { end.error })
    }

    /// Is there something to read for `side`? An error or the end of the stream counts.
    pub(super) fn readable(&mut self, side: usize, waker: &Waker) -> Poll<io::Result<()>> {
        let (end, pipe) = (&mut self.ends[side], &mut self.pipes[1 - side]);
        if pipe.received_bytes > 0 || pipe.fin_received {
            Poll::Ready(Ok(()))
        } else if end.error != 0 {
            end.reported = true;
            Poll::Ready(Err(os_error(end.error)))
        } else {
            super::store(&mut pipe.reader, waker);
            Poll::Pending
        }
    }

    /// `side` has failed: it sends nothing more, and whoever waits on it learns of it.
    pub(super) fn fail(&mut self, side: usize, error: i32, wakes: &mut Wakes) {
        if self.ends[side].error == 0 {
            self.ends[side].error = error;
        }
        self.pipes[side].discard_queue();
        wakes.add(self.pipes[1 - side].reader.take());
        wakes.add(self.pipes[side].writer.take());
    }

    /// Nobody holds it, and nobody will.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| matches!(end.life, Life::Closed | Life::Dead))
    }

    pub(super) fn take_wakers(self) -> Vec<Waker> {
        let mut wakers: Vec<Waker> = self.connecting.into_iter().collect();
        for pipe in self.pipes {
            wakers.extend(pipe.reader);
            wakers.extend(pipe.writer);
        }
        wakers
    }
}

/// An error as Linux gives it.
pub(super) fn os_error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// All connections.
#[derive(Default)]
pub(super) struct Connections {
    slots: Slab<Connection>,
    /// Tells a connection from later ones in the same slot.
    next_generation: u32,
}

impl Connections {
    pub(super) fn insert(&mut self, mut connection: Connection) -> ConnectionId {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        connection.generation = generation;
        ConnectionId { index: self.slots.insert(connection), generation }
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.index).filter(|connection| connection.generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.get_mut(id)?;
        self.slots.remove(id.index)
    }

    /// Those that `wanted` selects, by slot.
    pub(super) fn select(&self, wanted: impl Fn(&Connection) -> bool) -> Vec<ConnectionId> {
        let all = self.slots.iter().filter(|(_, connection)| wanted(connection));
        all.map(|(index, connection)| ConnectionId { index, generation: connection.generation }).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Connection> {
        let ids = self.select(|_| true);
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}
