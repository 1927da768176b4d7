//! One connection: two ends, and a pipe in each direction.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

use super::Wakes;
use crate::engine::kernel::hosts::HostId;

/// Bytes that may be on their way or waiting unread in one direction before the writer has to wait.
pub(super) const WINDOW: usize = 256 * 1024;

/// What travels on a pipe, in order.
#[derive(Debug)]
pub(super) enum Segment {
    Data(Vec<u8>),
    /// The writer has closed its half.
    Fin,
    /// The writer's end is gone.
    Reset,
}

impl Segment {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Segment::Data(_) => "data",
            Segment::Fin => "fin",
            Segment::Reset => "reset",
        }
    }
}

/// Handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Established,
    Failed(io::ErrorKind),
}

/// One direction.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) in_flight: VecDeque<Segment>,
    in_flight_bytes: usize,
    received: VecDeque<Vec<u8>>,
    /// How much of the first received buffer has been read.
    read_offset: usize,
    pub(super) received_bytes: usize,
    /// Segments of a direction never overtake each other: none arrives before this time.
    pub(super) last_arrival_ns: u64,
    pub(super) fin_sent: bool,
    pub(super) fin_received: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// A window update is on its way to the writer.
    pub(super) window_update: bool,
}

impl Pipe {
    pub(super) fn free_window(&self) -> usize {
        WINDOW.saturating_sub(self.in_flight_bytes + self.received_bytes)
    }

    pub(super) fn send(&mut self, segment: Segment) {
        if let Segment::Data(bytes) = &segment {
            self.in_flight_bytes += bytes.len();
        }
        self.in_flight.push_back(segment);
    }

    pub(super) fn arrive(&mut self) -> Option<Segment> {
        let segment = self.in_flight.pop_front()?;
        if let Segment::Data(bytes) = &segment {
            self.in_flight_bytes -= bytes.len();
        }
        Some(segment)
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
                self.received.pop_front().into_iter().for_each(&mut recycle);
            }
        }
    }

    pub(super) fn discard_received(&mut self) {
        self.received.clear();
        self.received_bytes = 0;
        self.read_offset = 0;
    }
}

/// One end, as its application sees it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct End {
    /// Held by the application, or waiting in a listener's queue.
    pub(super) present: bool,
    /// A reset has arrived, or this end's host has crashed.
    pub(super) failed: bool,
}

/// A connection; side 0 connected, side 1 accepted. `pipes[s]` carries what side `s` writes.
pub(super) struct Connection {
    pub(super) generation: u32,
    pub(super) hosts: [HostId; 2],
    pub(super) addresses: [SocketAddr; 2],
    pub(super) stage: Stage,
    pub(super) connecting: Option<Waker>,
    pub(super) ends: [End; 2],
    pub(super) pipes: [Pipe; 2],
}

impl Connection {
    /// A write of side `side`: how many of `wanted` bytes may go now.
    pub(super) fn writable(&mut self, side: usize, wanted: usize, waker: &Waker) -> Poll<io::Result<usize>> {
        let pipe = &mut self.pipes[side];
        if self.ends[side].failed || pipe.fin_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match pipe.free_window().min(wanted) {
            0 if wanted > 0 => {
                super::store(&mut pipe.writer, waker);
                Poll::Pending
            }
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Is there something to read for `side`? An error or the end of the stream counts.
    pub(super) fn readable(&mut self, side: usize, waker: &Waker) -> Poll<io::Result<()>> {
        let pipe = &mut self.pipes[1 - side];
        if pipe.received_bytes > 0 {
            Poll::Ready(Ok(()))
        } else if self.ends[side].failed {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        } else if pipe.fin_received {
            Poll::Ready(Ok(()))
        } else {
            super::store(&mut pipe.reader, waker);
            Poll::Pending
        }
    }

    /// `side` has failed: whoever waits on it learns of it.
    pub(super) fn fail(&mut self, side: usize, wakes: &mut Wakes) {
        self.ends[side].failed = true;
        wakes.add(self.pipes[1 - side].reader.take());
        wakes.add(self.pipes[side].writer.take());
    }

    /// The accepting side may send from the start; the connecting side once it knows that it was accepted.
    pub(super) fn can_send(&self, side: usize) -> bool {
        side == 1 || self.stage == Stage::Established
    }

    /// Nobody holds it and nothing is under way.
    pub(super) fn is_over(&self) -> bool {
        self.stage != Stage::Connecting
            && self.ends.iter().all(|end| !end.present)
            && self.pipes.iter().all(|pipe| pipe.in_flight.is_empty() && !pipe.window_update)
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        let mut wakers: Vec<Waker> = self.connecting.take().into_iter().collect();
        for pipe in &mut self.pipes {
            wakers.extend(pipe.reader.take());
            wakers.extend(pipe.writer.take());
        }
        wakers
    }
}
