//! Scripts that the client has seen being loaded, to load them again at nodes that do not have them.
//!
//! Every node of a cluster has scripts of its own, and a replica that becomes the master has none of those that its
//! master was told: Redis 7.0 replicates the effects of scripts, not the scripts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Known = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// Scripts by their digests.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    known: Mutex<Known>,
}

impl Scripts {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server loaded the script and gave its digest.
    pub(super) fn remember(&self, digest: &[u8], script: &[u8]) {
        self.lock().insert(digest.to_ascii_lowercase(), script.into());
    }

    /// The script of a digest, in whatever case.
    pub(super) fn find(&self, digest: &[u8]) -> Option<Arc<[u8]>> {
        self.lock().get(&digest.to_ascii_lowercase()).cloned()
    }

    /// All servers are told to forget theirs.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }
}
