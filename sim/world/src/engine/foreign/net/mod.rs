//! Streams, listeners and datagrams of foreign engines.
//!
//! Errors are made alike where an engine merely calls the same thing by another name; what it does differently, it
//! does differently here too.

mod listener;
mod stream;
mod udp;

use std::cell::Cell;
use std::net::SocketAddr;

pub(crate) use self::listener::TcpListener;
pub(crate) use self::stream::TcpStream;
pub(crate) use self::udp::UdpSocket;
use super::tokio::Tokio;
use super::{AnyNative, Foreign};
use crate::common::hosts::{HostId, Hosts};
use crate::engines::EngineKind;

/// One of the sockets that exist.
#[derive(Debug)]
struct Counted {
    number: u64,
    host: HostId,
}

fn count(sockets: &Cell<usize>, by: isize) {
    sockets.set(sockets.get().saturating_add_signed(by));
}

impl Counted {
    /// Of the current host.
    fn new() -> Counted {
        super::with(|foreign| {
            count(&foreign.sockets, 1);
            Counted { number: foreign.new_number(), host: foreign.common.current_host() }
        })
    }

    fn note(&self, foreign: &Foreign, kind: &'static str, payload: &[u8]) {
        foreign.note(crate::engine::Note { kind, host: self.host, number: self.number, payload });
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        super::try_with(|foreign| count(&foreign.sockets, -1));
    }
}

fn kind() -> EngineKind {
    super::with(|foreign| foreign.kind)
}

fn on_tokio<R>(f: impl FnOnce(&Tokio) -> R) -> R {
    super::with(|foreign| match &foreign.native {
        AnyNative::Tokio(tokio) => f(tokio),
        _ => unreachable!("asked for on tokio only"),
    })
}

/// A host's port, as the world has it.
fn address(host: HostId, port: u16) -> SocketAddr {
    SocketAddr::new(Hosts::ip(host), port)
}
