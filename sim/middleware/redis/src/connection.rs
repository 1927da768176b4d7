//! A client's connection: its bytes in, atomic units, replies out, and what others put into its mailbox.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::redis::{
    reply::{Protocol, Writer},
    request::Parser,
};
use world::time::Instant;

use crate::{
    bell::Listener,
    clients::{Mail, Release},
    pause,
    replication::feed,
    server::{Server, now_ms, now_us},
    session::{Blocked, Session, State, Unit},
    waiting::UNBLOCKED_BY_ROLE,
};

/// Bytes of replies after which a batch is written out even if more requests are waiting.
const WRITE_AT: usize = 256 * 1024;
/// Bytes asked of a stream at once.
const READ_SIZE: usize = 16 * 1024;
/// Bytes that are read ahead of a client that waits.
const READ_AHEAD: usize = 1024 * 1024;

/// A connection of a client.
pub(crate) struct Connection<'a, S> {
    server: &'a Server,
    stream: S,
    session: Session,
    /// Rings when something was put into the mailbox.
    bell: Listener,
    /// There is something in the mailbox.
    has_mail: bool,
    /// Some of the replies were mail.
    carries_mail: bool,
    read: BytesMut,
    parser: Parser,
    replies: Writer,
    /// Commands that were run since the processor last worked for some, those called by scripts among them.
    run_unpaid: u64,
}

/// What came first while a client was waiting.
enum Event {
    /// Something was put into the mailbox.
    Mail,
    /// What it waited for is there.
    Ready,
    TimedOut,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    pub(crate) fn new(
        server: &'a Server,
        stream: S,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) -> Self {
        let mut state = server.lock();
        state.db.stats.connections += 1;
        let (id, seat, bell) = state.db.clients.add(peer, local, now_ms());
        drop(state);
        Self {
            server,
            stream,
            session: Session::new(id, seat, peer),
            bell,
            has_mail: false,
            carries_mail: false,
            read: BytesMut::with_capacity(READ_SIZE),
            parser: Parser::default(),
            replies: Writer::new(Protocol::Resp2),
            run_unpaid: 0,
        }
    }

    pub(crate) async fn run(&mut self) -> io::Result<()> {
        loop {
            let mut more = true;
            let persistence = self.server.lock().persistence.clone();
            let persistence = persistence.filter(|_| !world::mutant!("redis.reply-before-sync"));
            while more {
                if let Some(persistence) = &persistence {
                    persistence.unblocked().await;
                }
                more = self.run_batch();
                let work = self.server.work_for(std::mem::take(&mut self.run_unpaid));
                if !work.is_zero() {
                    world::cpu::work(work).await;
                }
                if let Some(persistence) = persistence.as_ref().filter(|_| !self.replies.is_empty()) {
                    persistence.flushed(persistence.appended()).await;
                }
                if !self.write_replies().await? {
                    return Ok(());
                }
                if let Some(blocked) = self.session.blocked.take() {
                    more = true;
                    if !self.wait(blocked).await? {
                        return Ok(());
                    }
                }
            }
            if self.session.closing {
                return self.stream.shutdown().await;
            }
            if let Some(sync) = self.session.sync.take() {
                let read = std::mem::take(&mut self.read);
                return feed::run(self.server, &mut self.stream, self.session.id, sync, read).await;
            }
            self.read.reserve(READ_SIZE);
            tokio::select! {
                biased;
                () = self.bell.rung() => self.has_mail = true,
                read = self.stream.read_buf(&mut self.read) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes the mail, then runs the complete requests of the read buffer; true if it stopped early because of many
    /// replies.
    fn run_batch(&mut self) -> bool {
        let mut consumed = 0;
        let mut state = None;
        if self.has_mail {
            let state = state.insert(self.server.lock());
            self.take_mail(state);
        }
        let more = loop {
            if self.session.closing || self.session.blocked.is_some() || self.session.sync.is_some() {
                break false;
            }
            if self.replies.len() >= WRITE_AT {
                break true;
            }
            let buffer = self.read.get(consumed..).unwrap_or_default();
            match self.parser.parse(buffer) {
                Ok(None) => break self.has_mail,
                Ok(Some(length)) => {
                    if state.is_none() {
                        let state = state.insert(self.server.lock());
                        // What others sent before comes before the replies.
                        if state.db.clients.has_mail(self.session.seat) {
                            self.take_mail(state);
                            if self.session.closing {
                                break false;
                            }
                        }
                    }
                    let buffer = self.read.get(consumed..).unwrap_or_default();
                    let args: Vec<&[u8]> = self.parser.arguments(buffer).collect();
                    if let Some(state) = state.as_mut().filter(|_| !args.is_empty()) {
                        let soonest = state.db.keyspace.next_expiry_ms();
                        state.begin(now_us());
                        let run_before = state.db.stats.commands;
                        let mut unit = Unit { state, session: &mut self.session, reply: &mut self.replies };
                        let is_done = unit.request(&args);
                        // `CONFIG RESETSTAT` begins anew.
                        self.run_unpaid += state.db.stats.commands.saturating_sub(run_before);
                        state.end();
                        let new = state.db.keyspace.next_expiry_ms();
                        if new.is_some_and(|new| soonest.is_none_or(|old| new < old)) {
                            self.server.expiry_moved();
                        }
                        if !is_done {
                            // It stays in the buffer, to be read again.
                            self.parser.reset();
                            break false;
                        }
                        self.session.offset = state.replication.offset();
                    }
                    self.parser.reset();
                    consumed += length;
                }
                Err(error) => {
                    self.replies.error(format!("ERR Protocol error: {error}").as_bytes());
                    self.session.closing = true;
                }
            }
        };
        if let Some(state) = &mut state {
            let is_paused = state.pauses.any(state.db.now_ms());
            state.replication.ask_if_wanted(is_paused);
            let unread = self.read.len().saturating_sub(consumed);
            let face = self.session.face(state.db.now_ms(), unread);
            if let Some(client) = state.db.clients.at_mut(self.session.seat) {
                client.face = face;
            }
            state.db.stats.bytes_in += consumed as u64;
            state.db.stats.bytes_out += self.replies.len() as u64;
        }
        drop(state);
        self.read.advance(consumed);
        more
    }

    /// Moves mail to the replies, as much as is written at once. The order to go is obeyed.
    fn take_mail(&mut self, state: &mut State) {
        let mail = state.db.clients.take_mail(self.session.seat, &mut self.replies, WRITE_AT);
        self.has_mail = mail == Mail::More;
        self.session.closing |= matches!(mail, Mail::Last | Mail::Gone);
        self.carries_mail = true;
        state.db.clients.writes(self.session.seat, self.replies.len());
    }

    /// Writes the replies; false if the connection was told to go meanwhile.
    async fn write_replies(&mut self) -> io::Result<bool> {
        if self.replies.is_empty() {
            return Ok(true);
        }
        let Self { server, stream, session, bell, has_mail, carries_mail, replies, .. } = self;
        let write = async {
            stream.write_all(replies.as_bytes()).await?;
            stream.flush().await
        };
        tokio::pin!(write);
        loop {
            tokio::select! {
                biased;
                written = &mut write => {
                    written?;
                    break;
                }
                () = bell.rung() => {
                    *has_mail = true;
                    if server.lock().db.clients.is_killed(session.seat) {
                        return Ok(false);
                    }
                }
            }
        }
        if std::mem::take(carries_mail) {
            server.lock().db.clients.writes(session.seat, 0);
        }
        replies.clear();
        Ok(true)
    }

    /// Waits for what the last request asked for; false if the client has gone.
    async fn wait(&mut self, blocked: Blocked) -> io::Result<bool> {
        let timeout_ms = match blocked {
            Blocked::Replicas { timeout_ms, .. } | Blocked::Keys { timeout_ms } => timeout_ms,
            Blocked::Pause => 0,
        };
        let deadline = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        loop {
            let too_late = async {
                match deadline {
                    None => std::future::pending().await,
                    Some(deadline) => world::time::sleep_until(deadline).await,
                }
            };
            let event = tokio::select! {
                biased;
                () = self.bell.rung() => Event::Mail,
                () = ready(self.server, blocked, self.session.offset) => Event::Ready,
                () = too_late => Event::TimedOut,
                gone = hang_up(&mut self.stream, &mut self.read) => return gone.map(|()| false),
            };
            let is_over = self.is_over(blocked, &event);
            if !self.write_replies().await? {
                return Ok(false);
            }
            if is_over || self.session.closing {
                // Others are to see that it does not wait any more.
                self.has_mail = true;
                return Ok(!(self.session.closing && self.is_killed()));
            }
        }
    }

    fn is_killed(&self) -> bool {
        self.server.lock().db.clients.is_killed(self.session.seat)
    }

    /// Does the event end the waiting? Then what is to be said is among the replies.
    fn is_over(&mut self, blocked: Blocked, event: &Event) -> bool {
        let mut state = self.server.lock();
        let (id, seat) = (self.session.id, self.session.seat);
        let is_silent = self.session.mute.is_silent();
        let is_over = match blocked {
            Blocked::Keys { .. } => {
                let wait = match event {
                    Event::TimedOut => state.db.stop_waiting(id),
                    _ => None,
                };
                if wait.is_some_and(|wait| !wait.is_silent) {
                    self.replies.null_array();
                }
                !state.db.waiting.has(id)
            }
            Blocked::Pause => matches!(event, Event::Ready),
            Blocked::Replicas { .. } => {
                let release = state.db.clients.take_release(seat);
                let is_replica = state.replication.is_replica();
                let is_over = release.is_some() || is_replica || !matches!(event, Event::Mail);
                if is_over && !is_silent {
                    match release {
                        Some(Release::Error) => {
                            self.replies.error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK");
                        }
                        None if is_replica => self.replies.error(UNBLOCKED_BY_ROLE),
                        _ => self.replies.count(state.replication.count_acknowledged(self.session.offset)),
                    }
                }
                self.session.closing |= is_over && release.is_none() && is_replica;
                is_over
            }
        };
        self.take_mail(&mut state);
        is_over
    }
}

/// Until a client may go on that waits for something else than its mail.
async fn ready(server: &Server, blocked: Blocked, offset: u64) {
    match blocked {
        Blocked::Keys { .. } => std::future::pending().await,
        Blocked::Pause => pause::over(server).await,
        Blocked::Replicas { count, .. } => {
            let bell = server.lock().replication.bells.acknowledged.clone();
            loop {
                let rung = bell.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                {
                    let state = server.lock();
                    if state.replication.is_replica() || state.replication.count_acknowledged(offset) >= count
                    {
                        return;
                    }
                }
                rung.await;
            }
        }
    }
}

/// Reads ahead until the client closes the connection.
async fn hang_up<S: AsyncRead + Unpin>(stream: &mut S, read: &mut BytesMut) -> io::Result<()> {
    loop {
        if read.len() >= READ_AHEAD {
            std::future::pending::<()>().await;
        }
        read.reserve(READ_SIZE);
        if stream.read_buf(read).await? == 0 {
            return Ok(());
        }
    }
}

impl<S> Drop for Connection<'_, S> {
    fn drop(&mut self) {
        let mut state = self.server.lock();
        state.unwatch(&mut self.session);
        state.db.stop_waiting(self.session.id);
        state.db.pubsub.forget(self.session.id);
        state.db.clients.remove(self.session.seat);
    }
}
