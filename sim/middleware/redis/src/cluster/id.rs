//! Names of nodes.

use std::fmt;

/// The name of a node: 40 digits, hexadecimal in practice. It is drawn when the node is first started (or hard
/// reset) and stays the same whatever becomes of its address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; NodeId::LENGTH]);

impl NodeId {
    /// Bytes of a name, in text as on the wire.
    pub const LENGTH: usize = 40;

    /// Reads a name: 40 lower-case letters and digits, which is all that Redis checks (`verifyClusterNodeId`).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = text.try_into().ok()?;
        let valid = bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
        valid.then_some(Self(bytes))
    }

    /// A new name from a source of random bits.
    pub(super) fn draw(random: &mut dyn FnMut() -> u64) -> Self {
        let mut bytes = [0; Self::LENGTH];
        // A random number gives 16 digits.
        for digits in bytes.chunks_mut(16) {
            let mut bits = random();
            for digit in digits {
                *digit = b"0123456789abcdef"[(bits % 16) as usize];
                bits /= 16;
            }
        }
        Self(bytes)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        // Always ASCII: see `parse` and `draw`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The name as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
