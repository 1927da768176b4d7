//! The task behind a client's connection: writes what callers hand in, gives the replies back in order.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use redis::{RedisError, RedisResult, Value};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    sync::{mpsc, oneshot},
};
use world::{net::TcpStream, time::Instant};

use super::{
    client::Options,
    commit::{Commit, was_executed},
    error::{not_sent, reply_lost},
    frame::Decoder,
};

/// Requests that may be under way on one connection; more wait in the queue until replies came back.
const MAX_UNDER_WAY: usize = 4096;
/// Bytes asked of the stream at once.
const READ_SIZE: usize = 16 * 1024;

/// Encoded commands that are sent together, and what to do with their replies.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) bytes: Vec<u8>,
    /// Replies to drop (those of a transaction's queueing), before…
    pub(super) skip: usize,
    /// …the replies to hand back.
    pub(super) keep: usize,
    /// `MULTI` … `EXEC`: what the last reply says goes for all commands.
    pub(super) is_transaction: bool,
}

impl Parcel {
    /// One encoded command.
    pub(super) fn command(bytes: Vec<u8>) -> Self {
        Self { bytes, skip: 0, keep: 1, is_transaction: false }
    }
}

/// What a caller hands in.
pub(super) struct Request {
    pub(super) parcel: Parcel,
    pub(super) reply: oneshot::Sender<RedisResult<Vec<Value>>>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("bytes", &self.parcel.bytes.len()).finish_non_exhaustive()
    }
}

impl Request {
    fn fail(self, error: RedisError) {
        // The caller may have gone.
        let _ = self.reply.send(Err(error));
    }
}

/// Serves a queue of requests over one connection at a time, until all clients are gone.
pub(super) async fn run(address: String, options: Options, mut queue: mpsc::UnboundedReceiver<Request>) {
    while let Some(first) = queue.recv().await {
        let connected = world::time::timeout(options.connect_timeout, TcpStream::connect(&address)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                refuse_waiting(first, &mut queue, &not_sent(error.kind(), error));
                continue;
            }
            Err(elapsed) => {
                world::reachable!("redis.client.connecting-overdue");
                refuse_waiting(first, &mut queue, &not_sent(io::ErrorKind::TimedOut, elapsed));
                continue;
            }
        };
        let mut exchange = Exchange::new(stream, &options);
        exchange.take(first);
        let end = poll_fn(|cx| exchange.poll(cx, &mut queue)).await;
        exchange.give_up(&end);
    }
}

/// Everybody who waited for the connection that did not come about fails now, instead of one by one.
fn refuse_waiting(first: Request, queue: &mut mpsc::UnboundedReceiver<Request>, error: &RedisError) {
    first.fail(error.clone());
    while let Ok(request) = queue.try_recv() {
        request.fail(error.clone());
    }
}

/// A request whose replies are not complete yet.
struct UnderWay {
    /// Number of the request's first byte, counted over the connection.
    starts_at: u64,
    deadline: Instant,
    skip: usize,
    keep: usize,
    replies: Vec<Value>,
    asked_by: AskedBy,
}

/// Whose request it is.
enum AskedBy {
    Caller {
        is_transaction: bool,
        reply: oneshot::Sender<RedisResult<Vec<Value>>>,
    },
    /// Ours: the `WAIT` behind a group.
    Group,
}

/// One connection, from its first request until it breaks.
struct Exchange<'a> {
    stream: TcpStream,
    options: &'a Options,
    to_write: BytesMut,
    written: u64,
    read: BytesMut,
    decoder: Decoder,
    under_way: VecDeque<UnderWay>,
    /// With a durability.
    commit: Option<Commit>,
    /// Wakes the task at the deadline of a request that was the oldest when it was set.
    alarm: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<'a> Exchange<'a> {
    fn new(stream: TcpStream, options: &'a Options) -> Self {
        Self {
            stream,
            options,
            to_write: BytesMut::new(),
            written: 0,
            read: BytesMut::with_capacity(READ_SIZE),
            decoder: Decoder::default(),
            under_way: VecDeque::new(),
            commit: options.durability.as_ref().map(Commit::new),
            alarm: None,
        }
    }

    fn take(&mut self, request: Request) {
        if request.reply.is_closed() {
            // The caller gave up before anything was written.
            return;
        }
        let Parcel { bytes, skip, keep, is_transaction } = request.parcel;
        self.send(&bytes, skip, keep, AskedBy::Caller { is_transaction, reply: request.reply });
    }

    fn send(&mut self, bytes: &[u8], skip: usize, keep: usize, asked_by: AskedBy) {
        let waits = self.commit.as_ref().map_or(Duration::ZERO, Commit::timeout);
        self.under_way.push_back(UnderWay {
            starts_at: self.written + self.to_write.len() as u64,
            deadline: Instant::now() + self.options.response_timeout + waits,
            skip,
            keep,
            replies: Vec::with_capacity(keep),
            asked_by,
        });
        self.to_write.extend_from_slice(bytes);
    }

    /// May more requests be sent now?
    fn has_room(&self) -> bool {
        let is_closed = self.commit.as_ref().is_some_and(Commit::is_closed);
        !is_closed && self.under_way.len() < MAX_UNDER_WAY
    }

    /// Sends the `WAIT` behind the group that was just taken, if there is one.
    fn close_group(&mut self) {
        let Some(commit) = &mut self.commit else { return };
        if self.under_way.is_empty() {
            return;
        }
        if let Some(wait) = commit.close() {
            self.send(&wait, 0, 1, AskedBy::Group);
        }
    }

    /// Runs until the connection breaks, a reply is overdue, or no client is left; says why.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Poll<io::Error> {
        loop {
            // Replies first: they make room.
            let is_late = world::mutant!("redis.client.room-not-looked-at-again");
            if !is_late && let Err(error) = self.poll_replies(cx) {
                return Poll::Ready(error);
            }
            let mut taken = false;
            while self.has_room() {
                match queue.poll_recv(cx) {
                    Poll::Ready(Some(request)) => {
                        self.take(request);
                        taken = true;
                    }
                    Poll::Ready(None) if self.under_way.is_empty() => {
                        return Poll::Ready(io::ErrorKind::NotConnected.into());
                    }
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            self.close_group();
            match self.poll_write(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if is_late && let Err(error) = self.poll_replies(cx) {
                return Poll::Ready(error);
            }
            // What was just taken may be answered already only after a round trip: nothing left to do now.
            if !taken {
                break;
            }
        }
        self.poll_deadline(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.to_write.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.to_write))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.to_write.advance(count);
            self.written += count as u64;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Reads all that is there and hands out complete replies.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            self.read.reserve(READ_SIZE);
            // Nothing is lost when this future is dropped: it either reads or it is pending.
            let read = std::pin::pin!(self.stream.read_buf(&mut self.read)).poll(cx);
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(result) => result?,
            };
            while let Some(value) = self
                .decoder
                .decode(&mut self.read)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                self.hand_out(value)?;
            }
        }
    }

    fn hand_out(&mut self, value: Value) -> io::Result<()> {
        if matches!(value, Value::Push { .. }) {
            return Ok(());
        }
        let Some(oldest) = self.under_way.front_mut() else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply that nobody asked for"));
        };
        if oldest.skip > 0 {
            oldest.skip -= 1;
        } else {
            oldest.replies.push(value);
        }
        if oldest.skip == 0
            && oldest.replies.len() >= oldest.keep
            && let Some(done) = self.under_way.pop_front()
        {
            self.complete(done);
        }
        Ok(())
    }

    /// All replies of a request are there.
    fn complete(&mut self, mut done: UnderWay) {
        match (done.asked_by, &mut self.commit) {
            (AskedBy::Caller { is_transaction, reply }, Some(commit))
                if was_executed(&done.replies, is_transaction) =>
            {
                commit.hold(done.replies, reply);
            }
            (AskedBy::Caller { reply, .. }, _) => {
                // The caller may have gone; its reply is dropped and the connection stays in step.
                let _ = reply.send(Ok(done.replies));
            }
            (AskedBy::Group, Some(commit)) => commit.complete(done.replies.pop()),
            (AskedBy::Group, None) => {}
        }
    }

    /// One timer for all: replies come in order, so only the oldest request can be the first to be overdue.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            // An alarm that is left over is kept: it can only be too early for the next request.
            let Some(oldest) = self.under_way.front() else { return Poll::Pending };
            if let Some(alarm) = &mut self.alarm {
                ready!(alarm.as_mut().poll(cx));
                if oldest.deadline <= Instant::now() {
                    if world::mutant!("redis.client.connection-kept-after-timeout") && self.forget_oldest() {
                        continue;
                    }
                    return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "no reply in time"));
                }
            }
            self.alarm = Some(Box::pin(world::time::sleep_until(oldest.deadline)));
        }
    }

    /// What the mutant does with a caller's request whose reply is overdue, and nobody should: the reply comes after all,
    /// and is taken for that of the next request.
    fn forget_oldest(&mut self) -> bool {
        let is_overdue = |oldest: &mut UnderWay| matches!(oldest.asked_by, AskedBy::Caller { .. });
        let Some(oldest) = self.under_way.pop_front_if(is_overdue) else { return false };
        if let AskedBy::Caller { reply, .. } = oldest.asked_by {
            let _ = reply.send(Err(reply_lost(io::ErrorKind::TimedOut, "no reply in time")));
        }
        true
    }

    /// The connection is over: whoever still waits learns whether its request may have been executed.
    fn give_up(self, reason: &io::Error) {
        world::sometimes!(reason.kind() == io::ErrorKind::TimedOut, "redis.client.reply-overdue");
        if let Some(mut commit) = self.commit {
            commit.refuse(&format!("the reply to WAIT was lost: {reason}"));
        }
        for waiting in self.under_way {
            let AskedBy::Caller { reply, .. } = waiting.asked_by else { continue };
            let error = if waiting.starts_at < self.written {
                world::reachable!("redis.client.reply-lost");
                reply_lost(reason.kind(), reason)
            } else {
                not_sent(reason.kind(), reason)
            };
            let _ = reply.send(Err(error));
        }
    }
}
