//! A replica's connection to its master.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use wire::redis::{
    reply::{Protocol, Writer},
    request::Parser,
};
use world::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{LinkState, MasterAddress, ReplicationId};
use crate::{
    commands::is,
    propagation::encode,
    rdb,
    server::{Server, now_ms, now_us},
    session::{Session, Unit},
};

/// A link that broke is tried again at once, and then so often: Redis's replication cron.
const RETRY: Duration = Duration::from_secs(1);
/// How often a replica says how far it is.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);
/// Bytes asked of the stream at once.
const READ_SIZE: usize = 64 * 1024;
/// Largest snapshot that is taken: more memory than a simulated host should have.
const MAX_SNAPSHOT: usize = 1 << 32;
/// Bytes of a snapshot that are loaded per second, roughly as Redis does with small values.
const LOADED_PER_SECOND: u32 = 100_000_000;
/// Longest line of a master's reply.
const MAX_LINE: usize = 1024;

/// Follows whatever master the server has, for as long as the server runs.
pub(crate) async fn follow(server: Server) {
    let role_changed = server.lock().replication.bells.role.clone();
    loop {
        let changed = role_changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let master = server.lock().replication.master.as_ref().map(|master| master.address.clone());
        let Some(address) = master else {
            changed.await;
            continue;
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = keep_linked(&server, &address) => {}
        }
    }
}

async fn keep_linked(server: &Server, address: &MasterAddress) {
    loop {
        let had_been_linked = link(server, address).await;
        lost(server);
        if !had_been_linked {
            world::time::sleep(RETRY).await;
        }
    }
}

fn lost(server: &Server) {
    let mut state = server.lock();
    state.is_loading = false;
    if let Some(master) = &mut state.replication.master {
        master.state = LinkState::Connect;
        master.down_since_ms.get_or_insert(now_ms());
    }
}

/// One connection to the master, until it breaks. Did it come so far that the stream flowed?
async fn link(server: &Server, address: &MasterAddress) -> bool {
    let limit = server.lock().config.repl_timeout;
    set_state(server, LinkState::Connecting);
    let target = format!("{}:{}", address.host, address.port);
    let Ok(Ok(stream)) = timeout(limit, TcpStream::connect(&target)).await else { return false };
    let mut link = Link::new(server, stream, limit);
    match link.get_in_step().await {
        Err(_) => false,
        Ok(()) => {
            set_state(server, LinkState::Connected);
            if let Some(master) = &mut server.lock().replication.master {
                master.down_since_ms = None;
            }
            // However it ends, it is tried again.
            let _ = link.apply().await;
            true
        }
    }
}

fn set_state(server: &Server, to: LinkState) {
    if let Some(master) = &mut server.lock().replication.master {
        master.state = to;
        master.heard_ms = now_ms();
    }
}

struct Link<'a> {
    server: &'a Server,
    reader: tokio::io::ReadHalf<TcpStream>,
    writer: WriteHalf<TcpStream>,
    buffer: BytesMut,
    limit: Duration,
}

impl<'a> Link<'a> {
    fn new(server: &'a Server, stream: TcpStream, limit: Duration) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { server, reader, writer, buffer: BytesMut::new(), limit }
    }

    async fn send(&mut self, args: &[&[u8]]) -> io::Result<()> {
        send(&mut self.writer, args).await
    }

    /// Waits for more bytes; a master that is silent for too long counts as gone.
    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(READ_SIZE);
        let read = timeout(self.limit, self.reader.read_buf(&mut self.buffer)).await;
        if read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(master) = &mut self.server.lock().replication.master {
            master.heard_ms = now_ms();
        }
        Ok(())
    }

    /// The next line that is not empty: a master that makes a snapshot sends empty ones meanwhile.
    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1).freeze();
                while matches!(line.last(), Some(b'\r' | b'\n')) {
                    line.truncate(line.len() - 1);
                }
                if !line.is_empty() {
                    return Ok(line);
                }
            } else if self.buffer.len() > MAX_LINE {
                return Err(unexpected("a line without end"));
            } else {
                self.fill().await?;
            }
        }
    }

    /// The handshake; then the master continues where we are, or its snapshot is loaded.
    async fn get_in_step(&mut self) -> io::Result<()> {
        self.send(&[b"PING"]).await?;
        let greeting = self.line().await?;
        if greeting.first() == Some(&b'-') && !greeting.starts_with(b"-NOAUTH") {
            return Err(unexpected("the master refused PING"));
        }
        let port = self.server.lock().port.to_string();
        self.send(&[b"REPLCONF", b"listening-port", port.as_bytes()]).await?;
        self.line().await?;
        self.send(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]).await?;
        self.line().await?;
        let (id, offset) = {
            let replication = &self.server.lock().replication;
            match replication.has_history() {
                true => (replication.id.0.clone(), (replication.offset() + 1).to_string()),
                false => ("?".to_owned(), "-1".to_owned()),
            }
        };
        self.send(&[b"PSYNC", id.as_bytes(), offset.as_bytes()]).await?;
        let answer = self.line().await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let mut words = answer.split(' ');
        match (words.next(), words.next(), words.next().map(str::parse)) {
            (Some("+CONTINUE"), new, None) => {
                world::reachable!("redis.partial-resync");
                let new = new.map_or(id, str::to_owned);
                self.server.lock().replication.continue_as(ReplicationId(new));
                Ok(())
            }
            (Some("+FULLRESYNC"), Some(id), Some(Ok(offset))) if id.len() == 40 => {
                self.load(ReplicationId(id.to_owned()), offset).await
            }
            _ => Err(unexpected(&answer)),
        }
    }

    /// Receives the master's snapshot and takes it for our own data.
    async fn load(&mut self, id: ReplicationId, offset: u64) -> io::Result<()> {
        set_state(self.server, LinkState::Sync);
        let header = self.line().await?;
        let payload = match header.strip_prefix(b"$EOF:") {
            Some(mark) => self.payload_until(mark.to_vec()).await?,
            None => {
                let length = header.strip_prefix(b"$").and_then(crate::number::natural);
                self.payload(length.ok_or_else(|| unexpected("the snapshot has no length"))?).await?
            }
        };
        self.server.lock().is_loading = true;
        // Keys are inserted one by one: other clients hear LOADING meanwhile.
        world::time::sleep(Duration::from_secs(payload.len() as u64) / LOADED_PER_SECOND).await;
        let loaded = rdb::decode(&payload, None).map_err(|error| unexpected(&error.to_string()))?;
        let mut state = self.server.lock();
        state.db.now_us = now_us();
        state.db.keyspace.replace(loaded.keyspace);
        state.replication.adopt(id, offset);
        state.is_loading = false;
        state.observe();
        Ok(())
    }

    async fn payload(&mut self, length: usize) -> io::Result<Bytes> {
        if length > MAX_SNAPSHOT {
            return Err(unexpected("the snapshot is too long"));
        }
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// A snapshot whose end is marked by the 40 bytes that its header had.
    async fn payload_until(&mut self, mark: Vec<u8>) -> io::Result<Bytes> {
        if mark.len() != 40 {
            return Err(unexpected("the mark of the snapshot's end is not 40 bytes"));
        }
        let mut searched: usize = 0;
        loop {
            let from = searched.saturating_sub(mark.len());
            let found = self.buffer[from..].windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                let payload = self.buffer.split_to(from + at).freeze();
                self.buffer.advance(mark.len());
                return Ok(payload);
            }
            searched = self.buffer.len();
            if searched > MAX_SNAPSHOT {
                return Err(unexpected("the snapshot is too long"));
            }
            self.fill().await?;
        }
    }

    /// Applies the stream until the link breaks.
    async fn apply(&mut self) -> io::Result<()> {
        let mut applier = Applier::new(self.server);
        let mut next_word = Instant::now() + ACKNOWLEDGE;
        let mut silent_until = Instant::now() + self.limit;
        // The master counts a replica as online that has acknowledged.
        applier.asked = Some(self.server.lock().replication.offset());
        loop {
            applier.run(&mut self.buffer)?;
            if let Some(offset) = applier.asked.take() {
                acknowledge(&mut self.writer, offset).await?;
            }
            self.buffer.reserve(READ_SIZE);
            tokio::select! {
                biased;
                read = self.reader.read_buf(&mut self.buffer) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    silent_until = Instant::now() + self.limit;
                    if let Some(master) = &mut self.server.lock().replication.master {
                        master.heard_ms = now_ms();
                    }
                }
                () = world::time::sleep_until(next_word.min(silent_until)) => {}
            }
            if Instant::now() >= silent_until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if Instant::now() >= next_word {
                next_word += ACKNOWLEDGE;
                let offset = self.server.lock().replication.offset();
                acknowledge(&mut self.writer, offset).await?;
            }
        }
    }
}

async fn acknowledge(writer: &mut WriteHalf<TcpStream>, offset: u64) -> io::Result<()> {
    send(writer, &[b"REPLCONF", b"ACK", offset.to_string().as_bytes()]).await
}

async fn send(writer: &mut WriteHalf<TcpStream>, args: &[&[u8]]) -> io::Result<()> {
    let mut bytes = Vec::new();
    encode(args, &mut bytes);
    writer.write_all(&bytes).await?;
    writer.flush().await
}

/// What cannot come from a master that is in order.
fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Runs the commands of the stream, and counts its bytes.
struct Applier<'a> {
    server: &'a Server,
    session: Session,
    parser: Parser,
    discarded: Writer,
    /// Bytes of a transaction whose end has not come.
    pending: Vec<u8>,
    /// The master wants to hear how far we are: the offset when it asked.
    asked: Option<u64>,
}

impl<'a> Applier<'a> {
    fn new(server: &'a Server) -> Self {
        Self {
            server,
            session: Session::of_master(),
            parser: Parser::default(),
            discarded: Writer::new(Protocol::Resp2),
            pending: Vec::new(),
            asked: None,
        }
    }

    /// Applies the complete commands of the buffer.
    fn run(&mut self, buffer: &mut BytesMut) -> io::Result<()> {
        let mut consumed = 0;
        let mut state = self.server.lock();
        while let Some(rest) = buffer.get(consumed..)
            && let Some(length) = self.parser.parse(rest).map_err(|error| unexpected(&error.to_string()))?
        {
            let args: Vec<&[u8]> = self.parser.arguments(rest).collect();
            if let [name, what, ..] = args.as_slice()
                && is(name, "REPLCONF")
                && is(what, "GETACK")
            {
                // As in Redis, the question itself is not yet counted.
                self.asked = Some(state.replication.offset());
            } else if !args.is_empty() {
                state.begin_of_master(now_us());
                Unit { state: &mut state, session: &mut self.session, reply: &mut self.discarded }
                    .request(&args);
                state.end();
                self.discarded.clear();
            }
            self.pending.extend_from_slice(&rest[..length]);
            if self.session.transaction.is_none() {
                state.replication.pass_on(&self.pending);
                self.pending.clear();
            }
            self.parser.reset();
            consumed += length;
        }
        if consumed > 0 {
            let state = &mut *state;
            state.replication.trim(&state.config);
        }
        buffer.advance(consumed);
        Ok(())
    }
}
