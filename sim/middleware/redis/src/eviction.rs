//! What happens when the data takes more than `maxmemory`: keys go until it does not, or commands that need more are
//! refused.

use crate::{
    commands::Database, config::Config, keyspace::Blob, memory::Tracking, propagation::Propagation,
    session::State,
};

/// Keys that were found to be good victims and are kept in mind.
const POOL: usize = 16;

/// Which keys go when memory runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EvictionPolicy {
    /// Of the keys that expire, those that were not used for long.
    VolatileLru,
    /// Of the keys that expire, those that are used seldom.
    VolatileLfu,
    /// Of the keys that expire, any.
    VolatileRandom,
    /// Of the keys that expire, the one that does so next.
    VolatileTtl,
    /// Keys that were not used for long.
    AllKeysLru,
    /// Keys that are used seldom.
    AllKeysLfu,
    /// Any keys.
    AllKeysRandom,
    /// None: commands that need more memory are refused.
    #[default]
    NoEviction,
}

impl EvictionPolicy {
    fn is_volatile(self) -> bool {
        use EvictionPolicy::{VolatileLfu, VolatileLru, VolatileRandom, VolatileTtl};
        matches!(self, VolatileLfu | VolatileLru | VolatileRandom | VolatileTtl)
    }

    fn is_by_frequency(self) -> bool {
        matches!(self, EvictionPolicy::VolatileLfu | EvictionPolicy::AllKeysLfu)
    }
}

/// Victims in mind, the best one last: how idle they were when they were looked at, and their keys.
pub(crate) type Pool = Vec<(u64, Blob)>;

/// What is to be noted of each use of a key.
pub(crate) fn tracking(config: &Config) -> Tracking {
    if config.maxmemory_policy.is_by_frequency() {
        Tracking::Frequency { log_factor: config.lfu_log_factor, decay_minutes: config.lfu_decay_time }
    } else {
        Tracking::Recency
    }
}

impl State {
    /// Removes keys until the data takes no more than it may. A replica leaves that to its master, and during a pause
    /// the data stays as it is.
    pub(crate) fn evict(&mut self) {
        let limit = usize::try_from(self.config.maxmemory).unwrap_or(usize::MAX);
        self.db.is_out_of_memory = false;
        let is_bound = self.replication.is_replica() || self.is_loading || self.pauses.any(self.db.now_ms());
        if self.db.keyspace.used_memory() <= limit || is_bound {
            return;
        }
        let (policy, samples) = (self.config.maxmemory_policy, self.config.maxmemory_samples);
        while self.db.keyspace.used_memory() > limit {
            let Some(key) = self.db.victim(policy, samples) else {
                world::reachable!("redis.out-of-memory");
                self.db.is_out_of_memory = true;
                break;
            };
            world::reachable!("redis.evicted");
            self.db.keyspace.remove(&key);
            self.db.propagation.removed(&key);
            self.db.stats.evicted += 1;
        }
        self.propagate(Propagation::take_each);
        self.observe();
    }
}

impl Database {
    /// The key that goes next; `None` if there is none that may.
    fn victim(&mut self, policy: EvictionPolicy, samples: u64) -> Option<Blob> {
        match policy {
            EvictionPolicy::NoEviction => None,
            EvictionPolicy::VolatileTtl => self.keyspace.next_to_expire(),
            EvictionPolicy::AllKeysRandom | EvictionPolicy::VolatileRandom => self.any_candidate(policy),
            _ => loop {
                for _ in 0..samples.max(1) {
                    let key = self.any_candidate(policy)?;
                    self.consider(key);
                }
                while let Some((_, key)) = self.pool.pop() {
                    // It may have gone since it was looked at.
                    if self.keyspace.is_candidate(&key, policy.is_volatile()) {
                        return Some(key);
                    }
                }
            },
        }
    }

    fn any_candidate(&mut self, policy: EvictionPolicy) -> Option<Blob> {
        let is_volatile = policy.is_volatile();
        let count = self.keyspace.candidates(is_volatile);
        if count == 0 {
            return None;
        }
        let place = self.draw(count);
        self.keyspace.candidate_at(place, is_volatile)
    }

    /// Keeps a key in mind if it is a better victim than one that is.
    fn consider(&mut self, key: Blob) {
        let idleness = self.keyspace.idleness(&key);
        let place = self.pool.iter().take_while(|(other, _)| *other < idleness).count();
        if self.pool.len() < POOL {
            self.pool.insert(place, (idleness, key));
        } else if let Some(place) = place.checked_sub(1) {
            self.pool.remove(0);
            self.pool.insert(place, (idleness, key));
        }
    }
}
