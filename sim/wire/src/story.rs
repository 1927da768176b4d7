//! What goes over the wire, as lines of the run's story.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use record::story::{self, Kind, Line};
use redis::{RedisResult, Value};

use crate::http::trace;
use crate::redis::frame::Decoder;

/// Bytes of a body or of a word of a command that are shown.
const SHOWN: usize = 96;

/// A request that was told, to tell its answer.
pub(crate) struct Asked {
    addr: String,
    what: String,
    trace: String,
    kind: Kind,
}

/// Tells that an HTTP request leaves; `None` when nobody wants to know.
pub(crate) fn http_request(addr: &str, request: &Request<Bytes>) -> Option<Asked> {
    if !story::is_told() {
        return None;
    }
    let id = request.headers().get(trace::HEADER).map(HeaderValue::to_str);
    let trace = id.and_then(Result::ok).unwrap_or_default().to_owned();
    let addr = named(addr);
    let what = format!("{addr} {} {}", request.method(), request.uri());
    let asked = Asked { addr, what, trace, kind: Kind::Message };
    tell(&asked, false, format!("→ {} {}", asked.what, shown(request.body())));
    Some(asked)
}

/// Tells how an HTTP request was answered, or why it was not.
pub(crate) fn http_answer(asked: &Asked, result: Result<&Response<Bytes>, &str>) {
    let answer = match result {
        Ok(response) => format!("{} {}", response.status().as_u16(), shown(response.body())),
        Err(why) => why.to_owned(),
    };
    tell(asked, true, format!("← {}: {answer}", asked.what));
}

/// Tells that commands leave for Redis; `None` when nobody wants to know.
pub(crate) fn redis_commands(addr: &str, bytes: &[u8]) -> Option<Asked> {
    if !story::is_told() {
        return None;
    }
    let mut commands = Vec::new();
    let (mut decoder, mut bytes) = (Decoder::default(), BytesMut::from(bytes));
    while let Ok(Some(command)) = decoder.decode(&mut bytes) {
        commands.push(words(&command));
    }
    let addr = named(addr);
    let what = format!("{addr} {}", commands.join("; "));
    let asked = Asked { addr, what, trace: trace::current_text(), kind: Kind::Command };
    tell(&asked, false, format!("→ {}", asked.what));
    Some(asked)
}

/// Tells what Redis replied, or why it did not.
pub(crate) fn redis_replies(asked: &Asked, result: &RedisResult<Vec<Value>>) {
    let answer = match result {
        Ok(replies) => replies.iter().map(words).collect::<Vec<_>>().join("; "),
        Err(error) => error.to_string(),
    };
    tell(asked, true, format!("← {}: {answer}", asked.what));
}

fn tell(asked: &Asked, is_answer: bool, text: String) {
    story::tell(|| Line {
        at: world::sim::elapsed(),
        host: world::host::name(),
        peer: asked.addr.rsplit_once(':').map(|(host, _)| host.to_owned()),
        is_answer,
        kind: asked.kind,
        trace: asked.trace.clone(),
        text,
    });
}

/// "host:port" with the host's name: a cluster tells its clients numbers.
fn named(addr: &str) -> String {
    let Some((host, port)) = addr.rsplit_once(':') else { return addr.to_owned() };
    let ip: Option<IpAddr> = host.parse().ok();
    let name = ip.and_then(|ip| world::host::all().into_iter().find(|host| host.ip() == ip));
    name.map_or_else(|| addr.to_owned(), |host| format!("{}:{port}", host.name()))
}

/// A value as the words of a command or a reply.
fn words(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => shown(bytes),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".to_owned(),
        Value::Array(values) | Value::Set(values) => values.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| format!("{} {}", words(key), words(value)))
            .collect::<Vec<_>>()
            .join(" "),
        other => format!("{other:?}"),
    }
}

/// Bytes as text on one line.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    // The hash that stands for a script says nothing more by its length.
    let is_hash = bytes.len() == 40 && bytes.iter().all(u8::is_ascii_hexdigit);
    if is_hash {
        return format!("{}…", &text[..8]);
    }
    let plain: String = text.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
    format!("{plain}{more}")
}
