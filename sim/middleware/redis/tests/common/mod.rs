//! What the tests share: our server on a loopback port, a real one beside it, and raw connections to either.
//!
//! This is the one place where real sockets, threads of the runtime and child processes are allowed.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod contents;
pub(crate) mod store;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis_middleware::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Runs a test on a runtime with real sockets.
pub(crate) fn block_on<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

/// Serves on a free loopback port until the runtime ends; returns the port.
#[expect(clippy::disallowed_methods, reason = "real clients come over real sockets")]
pub(crate) async fn serve(server: Server) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = server.clone();
            stream.set_nodelay(true).expect("no delay");
            tokio::spawn(async move { server.serve(stream).await });
        }
    });
    port
}

/// Is there a real `redis-server` 7? If not, says so, with a clear word.
pub(crate) fn has_real_redis() -> bool {
    let version = Command::new("redis-server").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    match version {
        Ok(version) if version.contains("v=7.0.") => true,
        Ok(other) => {
            eprintln!("SKIPPED: the redis-server on the PATH is not version 7.0: {other}");
            false
        }
        Err(_) => {
            eprintln!("SKIPPED: there is no redis-server on the PATH to compare with (ci/test installs it)");
            false
        }
    }
}

/// A real `redis-server` 7, ended with this value.
pub(crate) struct RealRedis {
    child: Child,
    pub(crate) port: u16,
}

impl RealRedis {
    /// Starts one on a free port; `None`, with a clear word, where there is none to start.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one whose files are in a directory: those that are there are loaded.
    pub(crate) async fn start_in(directory: &Path, appendonly: &str) -> Option<Self> {
        let directory = directory.to_str().expect("a path in UTF-8");
        Self::start_with(&["--dir", directory, "--appendonly", appendonly]).await
    }

    /// Starts one with further arguments, which go before those that it has anyway.
    pub(crate) async fn start_with(arguments: &[&str]) -> Option<Self> {
        if !has_real_redis() {
            return None;
        }
        let port = free_port().await;
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            // Everything that is loaded is looked at, not only what is needed to load it.
            .args(["--sanitize-dump-payload", "yes"])
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let real = Self { child, port };
        for _ in 0..200 {
            // It listens while it still loads its files.
            if let Some(mut connection) = Raw::try_connect(port).await
                && connection.words("PING").await.text() == "PONG"
            {
                return Some(real);
            }
            pause(Duration::from_millis(25)).await;
        }
        panic!("redis-server does not listen");
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "asks the system for a free port")]
pub(crate) async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Lets real time pass.
#[expect(clippy::disallowed_methods, reason = "a real server expires keys by the real clock")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A reply as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    /// A line with its type byte: status, error, integer, double, boolean, null.
    Line(u8, String),
    /// A bulk or verbatim string with its type byte; `None` is the null of RESP2.
    Bulk(u8, Option<Vec<u8>>),
    /// An aggregate with its type byte; `None` is the null of RESP2.
    Many(u8, Option<Vec<Reply>>),
    /// The connection was closed.
    Closed,
}

impl Reply {
    /// Reads a whole reply.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        parse(bytes, &mut 0).expect("a whole reply")
    }

    /// The integer, if it is one.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Reply::Line(b':', text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The text of a status, an error or a bulk string.
    pub(crate) fn text(&self) -> String {
        match self {
            Reply::Line(_, text) => text.clone(),
            Reply::Bulk(_, Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        }
    }
}

/// A connection that knows nothing but bytes.
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(port: u16) -> Self {
        Self::try_connect(port).await.expect("the server listens")
    }

    #[expect(clippy::disallowed_methods, reason = "real sockets")]
    async fn try_connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream, buffer: Vec::new() })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // The server may have closed the connection after a protocol error.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends one command and reads its reply.
    pub(crate) async fn command(&mut self, args: &[Vec<u8>]) -> Reply {
        self.write(&encode(args)).await;
        self.read().await
    }

    /// The same for words without blanks.
    pub(crate) async fn words(&mut self, words: &str) -> Reply {
        let args: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.command(&args).await
    }

    /// The next reply; a server that is silent for seconds counts as closed.
    #[expect(clippy::disallowed_methods, reason = "waits for real servers")]
    pub(crate) async fn read(&mut self) -> Reply {
        let reply = tokio::time::timeout(Duration::from_secs(5), self.read_forever()).await;
        reply.unwrap_or(Reply::Closed)
    }

    /// The replies that have come already.
    #[expect(clippy::disallowed_methods, reason = "looks whether there is something")]
    pub(crate) async fn pending(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Ok(reply) = tokio::time::timeout(Duration::from_micros(200), self.read_forever()).await {
            let is_closed = reply == Reply::Closed;
            replies.push(reply);
            if is_closed {
                break;
            }
        }
        replies
    }

    async fn read_forever(&mut self) -> Reply {
        loop {
            let mut at = 0;
            if let Some(reply) = parse(&self.buffer, &mut at) {
                self.buffer.drain(..at);
                return reply;
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return Reply::Closed;
            }
        }
    }
}

/// A command as an array of bulk strings.
pub(crate) fn encode(args: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn parse(buffer: &[u8], at: &mut usize) -> Option<Reply> {
    let rest = buffer.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let (kind, line) = rest[..end].split_first().expect("a type byte");
    let line = String::from_utf8_lossy(line).into_owned();
    *at += end + 2;
    match kind {
        b'$' | b'=' => {
            let Ok(length) = line.parse::<usize>() else { return Some(Reply::Bulk(*kind, None)) };
            let bytes = buffer.get(*at..*at + length)?.to_vec();
            buffer.get(*at + length + 1)?;
            *at += length + 2;
            Some(Reply::Bulk(*kind, Some(bytes)))
        }
        b'*' | b'~' | b'%' | b'>' => {
            let Ok(count) = line.parse::<usize>() else { return Some(Reply::Many(*kind, None)) };
            let count = if *kind == b'%' { count * 2 } else { count };
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(parse(buffer, at)?);
            }
            Some(Reply::Many(*kind, Some(items)))
        }
        _ => Some(Reply::Line(*kind, line)),
    }
}
