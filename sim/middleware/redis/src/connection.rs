//! A client's connection: its bytes in, atomic units, replies out.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::redis::{
    reply::{Protocol, Writer},
    request::Parser,
};

use crate::{
    replication::feed,
    server::{Server, now_us},
    session::{Blocked, Session, Unit},
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
    read: BytesMut,
    parser: Parser,
    replies: Writer,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    pub(crate) fn new(server: &'a Server, stream: S, peer: Option<std::net::SocketAddr>) -> Self {
        let mut state = server.lock();
        let session = Session::new(state.next_id, peer);
        state.next_id += 1;
        drop(state);
        Self {
            server,
            stream,
            session,
            read: BytesMut::with_capacity(READ_SIZE),
            parser: Parser::default(),
            replies: Writer::new(Protocol::Resp2),
        }
    }

    pub(crate) async fn run(&mut self) -> io::Result<()> {
        loop {
            let mut more = true;
            let persistence = self.server.lock().persistence.clone();
            while more {
                if let Some(persistence) = &persistence {
                    persistence.unblocked().await;
                }
                more = self.run_batch();
                if let Some(persistence) = persistence.as_ref().filter(|_| !self.replies.is_empty()) {
                    persistence.flushed(persistence.appended()).await;
                }
                if !self.replies.is_empty() {
                    self.stream.write_all(self.replies.as_bytes()).await?;
                    self.stream.flush().await?;
                    self.replies.clear();
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
                return feed::run(self.server, &mut self.stream, &self.session, sync, read).await;
            }
            self.read.reserve(READ_SIZE);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Runs the complete requests of the read buffer; true if it stopped early because of many replies.
    fn run_batch(&mut self) -> bool {
        let mut consumed = 0;
        let mut state = None;
        let more = loop {
            let buffer = self.read.get(consumed..).unwrap_or_default();
            match self.parser.parse(buffer) {
                Ok(None) => break false,
                Ok(Some(length)) => {
                    let args: Vec<&[u8]> = self.parser.arguments(buffer).collect();
                    if !args.is_empty() {
                        let state = state.get_or_insert_with(|| self.server.lock());
                        let soonest = state.db.keyspace.next_expiry_ms();
                        state.begin(now_us());
                        Unit { state, session: &mut self.session, reply: &mut self.replies }.request(&args);
                        state.end();
                        self.session.offset = state.replication.offset();
                        let new = state.db.keyspace.next_expiry_ms();
                        if new.is_some_and(|new| soonest.is_none_or(|old| new < old)) {
                            self.server.expiry_moved();
                        }
                    }
                    self.parser.reset();
                    consumed += length;
                }
                Err(error) => {
                    self.replies.error(format!("ERR Protocol error: {error}").as_bytes());
                    self.session.closing = true;
                }
            }
            if self.session.closing || self.session.blocked.is_some() || self.session.sync.is_some() {
                break false;
            }
            if self.replies.len() >= WRITE_AT {
                break true;
            }
        };
        if let Some(state) = &mut state {
            state.replication.ask_if_wanted();
        }
        drop(state);
        self.read.advance(consumed);
        more
    }

    /// Waits for what the last request asked for; false if the client has gone.
    async fn wait(&mut self, blocked: Blocked) -> io::Result<bool> {
        let Blocked::Replicas { count, timeout_ms } = blocked;
        let offset = self.session.offset;
        let server = self.server;
        let acknowledged = async {
            let bell = server.lock().replication.bells.acknowledged.clone();
            loop {
                let rung = bell.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                {
                    let state = server.lock();
                    if state.replication.is_replica() {
                        return None;
                    }
                    let have = state.replication.count_acknowledged(offset);
                    if have >= count {
                        return Some(have);
                    }
                }
                rung.await;
            }
        };
        let too_late = async {
            match timeout_ms {
                0 => std::future::pending().await,
                _ => world::time::sleep(Duration::from_millis(timeout_ms)).await,
            }
        };
        let have = tokio::select! {
            biased;
            have = acknowledged => have,
            () = too_late => Some(server.lock().replication.count_acknowledged(offset)),
            gone = hang_up(&mut self.stream, &mut self.read) => return gone.map(|()| false),
        };
        match have {
            Some(have) => self.replies.count(have),
            None => {
                self.replies.error(
                    b"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
                );
                self.session.closing = true;
            }
        }
        Ok(true)
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
        self.server.lock().unwatch(&mut self.session);
    }
}
