//! What an application may ask of one connection.

use std::time::Duration;

/// Probing of a connection on which nothing is heard (RFC 9293, 3.8.4; RFC 1122, 4.2.3.6). Off unless asked for, as
/// on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe (Linux: `TCP_KEEPIDLE`, two hours by default).
    pub idle: Duration,
    /// From probe to probe while none is answered (Linux: `TCP_KEEPINTVL`, 75 seconds by default).
    pub interval: Duration,
    /// Unanswered probes after which the connection fails with `TimedOut` (Linux: `TCP_KEEPCNT`, nine by default).
    pub probes: u32,
}

impl Default for Keepalive {
    /// What Linux takes where nothing else is set.
    fn default() -> Keepalive {
        Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 }
    }
}
