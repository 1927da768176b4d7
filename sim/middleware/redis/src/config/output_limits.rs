//! `client-output-buffer-limit`: how much may wait to be read by a client before it is closed.

use std::fmt;

use super::Parameter;
use crate::number::natural;

/// The limits of one class of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// Bytes at which a client is closed at once; 0: there is no such limit.
    pub hard_bytes: u64,
    /// Bytes that may not wait for longer than [`OutputLimit::soft_seconds`]; 0: there is no such limit.
    pub soft_bytes: u64,
    /// Seconds.
    pub soft_seconds: u64,
}

/// The limits of all classes of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that only get replies.
    pub normal: OutputLimit,
    /// Replicas. They are let go when they lag behind by as much as the server keeps for them, whatever stands here.
    pub replica: OutputLimit,
    /// Clients that are subscribed to channels.
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self {
            normal: OutputLimit::default(),
            replica: OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
            pubsub: OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
        }
    }
}

impl OutputLimits {
    /// Changes the classes that the text names: `pubsub 32mb 8mb 60 normal 0 0 0`.
    pub(super) fn update(&mut self, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (rows, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
        }
        let mut changed = *self;
        for [class, hard, soft, seconds] in rows {
            let place = match class.to_ascii_lowercase().as_str() {
                "normal" => &mut changed.normal,
                "slave" | "replica" => &mut changed.replica,
                "pubsub" => &mut changed.pubsub,
                _ => return Err("Invalid client class specified in buffer limit configuration.".to_owned()),
            };
            let wrong = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            let seconds = natural(seconds.as_bytes()).and_then(|seconds| u64::try_from(seconds).ok());
            match (u64::parse(hard), u64::parse(soft), seconds) {
                (Ok(hard_bytes), Ok(soft_bytes), Some(soft_seconds)) => {
                    *place = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
                }
                _ => return Err(wrong.to_owned()),
            }
        }
        *self = changed;
        Ok(())
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        for (place, (class, limit)) in classes.into_iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)?;
        }
        Ok(())
    }
}
