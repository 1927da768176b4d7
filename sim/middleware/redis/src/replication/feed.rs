//! A master's connection to a replica: first the snapshot if it needs one, then the stream.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::redis::request::Parser;

use super::Replica;
use crate::{
    commands::is,
    number::natural,
    rdb,
    server::{Server, now_ms},
    session::Session,
};

/// Bytes of the stream that are written at once.
const CHUNK: usize = 64 * 1024;
/// A word so often keeps a replica that waits for its snapshot from giving up.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// What a replica said about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handshake {
    pub(crate) port: u16,
    pub(crate) ip: Option<String>,
    /// It understands a new replication id in `+CONTINUE`.
    pub(crate) knows_ids: bool,
    /// It understands a snapshot whose length is not known beforehand.
    pub(crate) takes_eof: bool,
}

/// How a replica gets in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// It goes on after this offset.
    Partial(u64),
    /// It needs a snapshot; with the reply of `PSYNC`, or without, as for `SYNC`.
    Full { announced: bool },
}

/// Carries the stream to a replica until the connection breaks or the replica is let go.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    stream: S,
    connection: i64,
    sync: Sync,
    already_read: BytesMut,
) -> io::Result<()> {
    let attached = Attached { server, connection };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let listening = listen(server, connection, &mut reader, already_read);
    let talking = async {
        if let Sync::Full { announced } = sync {
            send_snapshot(server, connection, announced, &mut writer).await?;
        }
        send_stream(server, connection, &mut writer).await
    };
    let ended = tokio::select! {
        biased;
        ended = listening => ended,
        ended = talking => ended,
    };
    drop(attached);
    ended
}

/// The replica leaves the list when its connection ends, however it ends.
struct Attached<'a> {
    server: &'a Server,
    connection: i64,
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        let mut state = self.server.lock();
        let state = &mut *state;
        state.replication.detach(self.connection, &state.config, now_ms());
    }
}

/// A replica that asks for the stream, as it is known from then on.
pub(super) fn replica(session: &Session, sync: Sync) -> Replica {
    let sent = if let Sync::Partial(offset) = sync { offset } else { u64::MAX };
    let address = session.handshake.ip.clone().unwrap_or_else(|| super::ip_text(session.peer));
    Replica {
        ip: address,
        port: session.handshake.port,
        sent,
        acknowledged: 0,
        heard_ms: now_ms(),
        online: matches!(sync, Sync::Partial(_)),
    }
}

/// Waits for others that may come, then sends a snapshot of that moment.
async fn send_snapshot(
    server: &Server,
    connection: i64,
    announced: bool,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut left = server.lock().config.repl_diskless_sync_delay;
    while !left.is_zero() {
        let step = left.min(KEEPALIVE);
        world::time::sleep(step).await;
        left -= step;
        writer.write_all(b"\n").await?;
        writer.flush().await?;
    }
    let (snapshot, header) = {
        let mut state = server.lock();
        let state = &mut *state;
        let offset = state.replication.offset();
        let Some(replica) = state.replication.replicas.get_mut(&connection) else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        replica.sent = offset;
        // The stream must say anew which database is meant.
        state.replication.select_again();
        let point = rdb::ReplicationPoint { id: state.replication.id.0.clone(), offset };
        let origin =
            rdb::Origin { created_s: now_ms() / 1000, replication: Some(point), ..rdb::Origin::default() };
        let snapshot = rdb::encode(&state.db.keyspace, &origin);
        let header = if announced {
            format!("+FULLRESYNC {} {offset}\r\n${}\r\n", state.replication.id, snapshot.len())
        } else {
            format!("${}\r\n", snapshot.len())
        };
        (snapshot, header)
    };
    world::reachable!("redis.full-resync");
    writer.write_all(header.as_bytes()).await?;
    writer.write_all(&snapshot).await?;
    writer.flush().await?;
    if let Some(replica) = server.lock().replication.replicas.get_mut(&connection) {
        replica.online = true;
        replica.heard_ms = now_ms();
    }
    Ok(())
}

/// Sends the stream as it grows; ends when the replica is let go.
async fn send_stream(
    server: &Server,
    connection: i64,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let bell = server.lock().replication.bells.stream.clone();
    let mut chunk = Vec::new();
    loop {
        let grown = bell.notified();
        tokio::pin!(grown);
        // From here on no ring is missed.
        grown.as_mut().enable();
        chunk.clear();
        match server.lock().replication.next_for(connection, CHUNK) {
            None => return Ok(()),
            Some(bytes) => chunk.extend_from_slice(bytes),
        }
        if chunk.is_empty() {
            grown.await;
        } else {
            writer.write_all(&chunk).await?;
            writer.flush().await?;
        }
    }
}

/// Hears what the replica acknowledges.
async fn listen(
    server: &Server,
    connection: i64,
    reader: &mut (impl AsyncRead + Unpin),
    mut buffer: BytesMut,
) -> io::Result<()> {
    let mut parser = Parser::default();
    loop {
        loop {
            match parser.parse(&buffer) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    let args: Vec<&[u8]> = parser.arguments(&buffer).collect();
                    if let [name, what, offset, ..] = args.as_slice()
                        && is(name, "REPLCONF")
                        && is(what, "ACK")
                        && let Some(offset) = natural(offset)
                    {
                        server.lock().replication.acknowledge(connection, offset as u64, now_ms());
                    }
                    parser.reset();
                    buffer.advance(length);
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
            }
        }
        buffer.reserve(1024);
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
