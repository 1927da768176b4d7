//! What goes over the wire, as lines of the run's story.

use record::story::{self, Kind, Line};

use crate::http::trace;

/// Bytes of a body or of a word of a command that are shown.
const SHOWN: usize = 96;

/// Tells something that happens at this moment on this host, if somebody wants to know.
pub(crate) fn tell(kind: Kind, text: impl FnOnce() -> String) {
    tell_of(kind, trace::current_text, text);
}

/// As [`tell`], for what belongs to the request of this trace id.
pub(crate) fn tell_of(kind: Kind, trace: impl FnOnce() -> String, text: impl FnOnce() -> String) {
    story::tell(|| Line {
        at: world::sim::elapsed(),
        host: world::host::current().name(),
        kind,
        trace: trace(),
        text: text(),
    });
}

/// Bytes as text on one line.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    let plain: String = text.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
    format!("{plain}{more}")
}
