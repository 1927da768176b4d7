//! Who is connected: what others may see of a connection, and the mailbox through which they write to it.
//!
//! Each connection has a seat. What comes from outside of its own requests (messages of channels, the reply that a
//! blocked client waited for, the order to go) is put there, and a bell tells the connection's task. A mailbox is
//! bounded as `client-output-buffer-limit` says: a connection that does not read its messages is closed.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use bytes::Bytes;
use wire::redis::reply::{Protocol, Writer};

use crate::{
    bell::{Bell, Listener},
    commands::Command,
    config::OutputLimits,
};

/// Place of a connection among the [`Clients`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seat(usize);

/// What others see of a connection since its last batch of requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Face {
    /// When it last said something, by the wall clock in milliseconds.
    pub(crate) heard_ms: u64,
    /// The last command, with its subcommand.
    pub(crate) command: Option<(&'static Command, Option<&'static str>)>,
    /// Number of commands queued since `MULTI`.
    pub(crate) queued: Option<usize>,
    pub(crate) is_blocked: bool,
    /// It waits for replicas.
    pub(crate) is_in_wait: bool,
    pub(crate) is_read_only: bool,
    pub(crate) is_replica: bool,
    pub(crate) is_closing: bool,
    pub(crate) is_spared: bool,
    /// Bytes that were read and not yet understood.
    pub(crate) unread: usize,
}

/// A connection, as others know it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: i64,
    /// Either end, where there is one that has an address.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) connected_ms: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) protocol: Protocol,
    pub(crate) face: Face,
    bell: Bell,
    mail: VecDeque<Bytes>,
    mail_bytes: usize,
    /// Bytes that the connection writes just now.
    writing: usize,
    /// Since when more waits than the soft limit allows.
    over_soft_limit_since_ms: Option<u64>,
    order: Order,
    release: Option<Release>,
}

/// How `CLIENT UNBLOCK` ends a `WAIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// As if its time were over.
    TimeOut,
    Error,
}

/// What a connection was told about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Order {
    #[default]
    Stay,
    /// It is to go when its mail is written.
    GoAfterMail,
    /// It is to go at once.
    Go,
}

/// What a connection finds when it looks after its mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mail {
    /// That was all.
    Taken,
    /// There is more.
    More,
    /// That was all, and the connection is to go.
    Last,
    /// The connection is to go at once.
    Gone,
}

impl Client {
    /// Bytes that wait to be written.
    pub(crate) fn unsent(&self) -> usize {
        self.mail_bytes + self.writing
    }

    /// Number of pieces that wait to be written.
    pub(crate) fn pieces(&self) -> usize {
        self.mail.len()
    }

    fn go(&mut self) {
        self.order = Order::Go;
        self.mail.clear();
        self.mail_bytes = 0;
        self.bell.ring();
    }

    /// Does more wait than may, now or for too long?
    fn is_over(&mut self, limits: &OutputLimits, is_subscriber: bool, now_ms: u64) -> bool {
        let limit = if is_subscriber { limits.pubsub } else { limits.normal };
        let unsent = self.unsent() as u64;
        if limit.soft_bytes == 0 || unsent < limit.soft_bytes {
            self.over_soft_limit_since_ms = None;
        } else {
            let since_ms = *self.over_soft_limit_since_ms.get_or_insert(now_ms);
            // Redis compares whole seconds.
            if (now_ms / 1000).saturating_sub(since_ms / 1000) > limit.soft_seconds {
                return true;
            }
        }
        limit.hard_bytes > 0 && unsent >= limit.hard_bytes
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    seats: Vec<Option<Client>>,
    free: Vec<usize>,
    /// In the order in which they came.
    by_id: BTreeMap<i64, usize>,
    last_id: i64,
    pub(crate) limits: OutputLimits,
    /// Connections that were closed because they did not read.
    pub(crate) closed_for_output: u64,
}

impl Clients {
    /// Somebody comes.
    pub(crate) fn add(
        &mut self,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        now_ms: u64,
    ) -> (i64, Seat, Listener) {
        self.last_id += 1;
        let id = self.last_id;
        let bell = Bell::default();
        let listener = bell.listener();
        let client = Client {
            id,
            peer,
            local,
            connected_ms: now_ms,
            name: Vec::new(),
            protocol: Protocol::Resp2,
            face: Face { heard_ms: now_ms, ..Face::default() },
            bell,
            mail: VecDeque::new(),
            mail_bytes: 0,
            writing: 0,
            over_soft_limit_since_ms: None,
            order: Order::Stay,
            release: None,
        };
        let seat = match self.free.pop() {
            Some(seat) => {
                if let Some(place) = self.seats.get_mut(seat) {
                    *place = Some(client);
                }
                seat
            }
            None => {
                self.seats.push(Some(client));
                self.seats.len() - 1
            }
        };
        self.by_id.insert(id, seat);
        (id, Seat(seat), listener)
    }

    /// Somebody has gone.
    pub(crate) fn remove(&mut self, seat: Seat) {
        if let Some(client) = self.seats.get_mut(seat.0).and_then(Option::take) {
            self.by_id.remove(&client.id);
            self.free.push(seat.0);
        }
    }

    /// All, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values().filter_map(|seat| self.seats.get(*seat)?.as_ref())
    }

    pub(crate) fn at(&self, seat: Seat) -> Option<&Client> {
        self.seats.get(seat.0)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, seat: Seat) -> Option<&mut Client> {
        self.seats.get_mut(seat.0)?.as_mut()
    }

    pub(crate) fn get(&self, id: i64) -> Option<&Client> {
        self.seats.get(*self.by_id.get(&id)?)?.as_ref()
    }

    fn get_mut(&mut self, id: i64) -> Option<&mut Client> {
        self.seats.get_mut(*self.by_id.get(&id)?)?.as_mut()
    }

    /// Puts something into a mailbox. A connection that does not read what it is sent is closed.
    pub(crate) fn deliver(&mut self, id: i64, bytes: Bytes, is_subscriber: bool, now_ms: u64) {
        let limits = self.limits;
        let Some(client) = self.get_mut(id).filter(|client| client.order != Order::Go) else { return };
        client.mail_bytes += bytes.len();
        client.mail.push_back(bytes);
        client.bell.ring();
        if client.is_over(&limits, is_subscriber, now_ms) {
            world::reachable!("redis.slow-subscriber-closed");
            client.go();
            self.closed_for_output += 1;
        }
    }

    /// The connection is to go when its mail is written.
    pub(crate) fn close_after_mail(&mut self, id: i64) {
        if let Some(client) = self.get_mut(id)
            && client.order == Order::Stay
        {
            client.order = Order::GoAfterMail;
            client.bell.ring();
        }
    }

    /// The connection is to go at once, whatever it does.
    pub(crate) fn kill(&mut self, id: i64) {
        if let Some(client) = self.get_mut(id) {
            client.go();
        }
    }

    /// Ends the `WAIT` of a connection; false if it is in none.
    pub(crate) fn release(&mut self, id: i64, release: Release) -> bool {
        let Some(client) = self.get_mut(id).filter(|client| client.face.is_in_wait) else { return false };
        client.face.is_in_wait = false;
        client.release = Some(release);
        client.bell.ring();
        true
    }

    /// Is the connection to end its `WAIT`?
    pub(crate) fn take_release(&mut self, seat: Seat) -> Option<Release> {
        self.at_mut(seat)?.release.take()
    }

    /// Is there anything for this connection?
    pub(crate) fn has_mail(&self, seat: Seat) -> bool {
        self.at(seat).is_some_and(|client| !client.mail.is_empty() || client.order != Order::Stay)
    }

    pub(crate) fn is_killed(&self, seat: Seat) -> bool {
        self.at(seat).is_none_or(|client| client.order == Order::Go)
    }

    /// The connection takes its mail, until there is enough to be written.
    pub(crate) fn take_mail(&mut self, seat: Seat, out: &mut Writer, enough: usize) -> Mail {
        let Some(client) = self.at_mut(seat).filter(|client| client.order != Order::Go) else {
            return Mail::Gone;
        };
        while out.len() < enough
            && let Some(piece) = client.mail.pop_front()
        {
            client.mail_bytes -= piece.len();
            out.encoded(&piece);
        }
        match (client.mail.is_empty(), client.order) {
            (false, _) => Mail::More,
            (true, Order::Stay) => Mail::Taken,
            (true, _) => Mail::Last,
        }
    }

    /// The connection takes what came while its own command ran, all of it, and puts it ahead of what the command
    /// replied.
    pub(crate) fn take_own(&mut self, seat: Seat, out: &mut Writer, mark: usize) {
        let Some(client) = self.at_mut(seat) else { return };
        client.mail_bytes = 0;
        let pieces: Vec<u8> = client.mail.drain(..).flatten().collect();
        out.encoded_at(mark, &pieces);
    }

    /// So many bytes are on their way out.
    pub(crate) fn writes(&mut self, seat: Seat, bytes: usize) {
        if let Some(client) = self.at_mut(seat) {
            client.writing = bytes;
        }
    }

    /// Closes those whose unsent bytes have been more than the soft limit for too long: asked once a second.
    pub(crate) fn close_slow(&mut self, now_ms: u64, is_subscriber: impl Fn(i64) -> bool) {
        let limits = self.limits;
        for client in self.seats.iter_mut().flatten() {
            if client.mail_bytes > 0
                && client.order != Order::Go
                && client.is_over(&limits, is_subscriber(client.id), now_ms)
            {
                world::reachable!("redis.slow-subscriber-closed");
                client.go();
                self.closed_for_output += 1;
            }
        }
    }
}
