//! Shards: the parts that the data is divided into (ticketing spec, sharding: inventory by hash of train and date).
//!
//! A train run belongs to a shard, and with it everything that is about the run: its stock, its seats, its queue, its
//! orders with their payments and tickets, and the lists of work about these. The keys of a shard share a hash tag
//! ([`crate::keys`]), so a Redis Cluster keeps them in one slot, where one script can change them in one step. What
//! belongs to an account or a device is in a slot of its own.
//!
//! Ids begin with their shard ([`crate::ids`]), so the number of shards stays what it is for as long as there are ids.
use std::{fmt, str::FromStr};

/// How many shards there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(u16);

impl Shards {
    /// The most shards that there can be.
    pub const MAX: u16 = 256;

    /// This many shards, at least 1 and at most [`Shards::MAX`].
    pub fn new(count: u16) -> Shards {
        Shards(count.clamp(1, Shards::MAX))
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.0
    }

    /// The shard that a train run belongs to: the same one every time and everywhere.
    pub fn of_run(self, run: &str) -> Shard {
        Shard((stable_hash(run) % u64::from(self.0)) as u16)
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }
}

impl Default for Shards {
    /// 6: each of three Redis masters has two.
    fn default() -> Shards {
        Shards(6)
    }
}

/// One shard; `Display` writes its number, which counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not the number of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such shard")]
pub struct NoShard;

impl FromStr for Shard {
    type Err = NoShard;

    /// Reads what `Display` writes, and no other spelling of it.
    fn from_str(text: &str) -> Result<Shard, NoShard> {
        let number = canonical(text).and_then(|number| u16::try_from(number).ok());
        number.filter(|number| *number < Shards::MAX).map(Shard).ok_or(NoShard)
    }
}

/// A number in decimal digits without a sign and without leading zeros, so that it has one spelling only.
pub(crate) fn canonical(text: &str) -> Option<u64> {
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_canonical.then(|| text.parse().ok()).flatten()
}

/// FNV-1a: a fixed function, unlike the hashers of the standard library.
pub(crate) fn stable_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stays_in_its_shard() {
        let shards = Shards::new(6);
        // Written down: a run that is sought elsewhere after an update is lost.
        let of = |run| shards.of_run(run).to_string();
        assert_eq!(
            [of("ICE-599@2017-03-31"), of("ICE-599@2017-04-01"), of("ICE-1517@2017-03-31")],
            ["3", "3", "4"]
        );
        assert_eq!(Shards::new(0).of_run("x"), Shards::new(1).of_run("y"));
    }

    #[test]
    fn runs_spread_over_the_shards() {
        let shards = Shards::default();
        let mut runs = vec![0; usize::from(shards.count())];
        for number in 0..600 {
            runs[usize::from(shards.of_run(&format!("ICE-{number}@2017-03-31")).0)] += 1;
        }
        assert!(runs.iter().all(|runs| (70..=130).contains(runs)), "{runs:?}");
    }

    #[test]
    fn a_shard_has_one_spelling() {
        for shard in Shards::new(Shards::MAX).all() {
            assert_eq!(shard.to_string().parse(), Ok(shard));
        }
        for text in ["", "-1", "+1", "01", "256", "65536", "99999999999999999999", "x", "1 ", "１"] {
            assert_eq!(text.parse::<Shard>(), Err(NoShard), "{text}");
        }
    }
}
