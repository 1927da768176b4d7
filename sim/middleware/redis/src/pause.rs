//! Clients that are held back for a while: by `CLIENT PAUSE`, or while a replica takes over from this server.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    server::{Server, now_ms},
    session::State,
};

/// The end of a pause is looked for so often, since it is one by the wall clock, which may jump.
const LOOK: Duration = Duration::from_secs(1);

/// Why clients are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client asked for it.
    Command,
    /// A replica is to take over.
    Failover,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    /// Everything is held back, not only what may write.
    all: bool,
    /// Until this time by the wall clock, milliseconds.
    until_ms: u64,
}

/// The pauses of a server.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    pauses: [Option<Pause>; 2],
    /// The latest end of them, 0 if there are none: what is asked before every request.
    last_end_ms: u64,
    over: Arc<Notify>,
}

impl Pauses {
    /// Is anything held back?
    pub(crate) fn any(&self, now_ms: u64) -> bool {
        now_ms <= self.last_end_ms
    }

    /// Is everything held back?
    pub(crate) fn all(&self, now_ms: u64) -> bool {
        self.pauses.iter().flatten().any(|pause| now_ms <= pause.until_ms && pause.all)
    }

    /// Holds clients back. A pause that there is already for this purpose becomes as long and as strict as both.
    pub(crate) fn start(&mut self, purpose: Purpose, all: bool, until_ms: u64, now_ms: u64) {
        let place = &mut self.pauses[purpose as usize];
        let before = place.filter(|pause| now_ms <= pause.until_ms);
        *place = Some(Pause {
            all: all || before.is_some_and(|pause| pause.all),
            until_ms: before.map_or(until_ms, |pause| pause.until_ms.max(until_ms)),
        });
        self.last_end_ms = self.last_end_ms.max(until_ms);
        world::sometimes!(true, "redis.clients-paused");
    }

    /// Holds them back no more.
    pub(crate) fn end(&mut self, purpose: Purpose) {
        if self.pauses[purpose as usize].take().is_some() {
            self.last_end_ms = self.pauses.iter().flatten().map(|pause| pause.until_ms).max().unwrap_or(0);
            self.over.notify_waiters();
        }
    }

    /// When the first of the pauses ends, if there is any.
    fn next_end_ms(&self, now_ms: u64) -> Option<u64> {
        self.pauses.iter().flatten().map(|pause| pause.until_ms).filter(|until_ms| now_ms <= *until_ms).min()
    }
}

/// Until a pause ends: then it is to be seen whether there is another.
pub(crate) async fn over(server: &Server) {
    let bell = server.lock().pauses.over.clone();
    let ended = bell.notified();
    tokio::pin!(ended);
    ended.as_mut().enable();
    let mut first_end_ms = None;
    let passed = async {
        loop {
            let now_ms = now_ms();
            let next_ms = server.lock().pauses.next_end_ms(now_ms);
            let Some(end_ms) = next_ms.filter(|ms| *first_end_ms.get_or_insert(*ms) == *ms) else { return };
            world::time::sleep(Duration::from_millis(end_ms - now_ms + 1).min(LOOK)).await;
        }
    };
    tokio::select! {
        biased;
        () = ended => {}
        () = passed => {}
    }
}

impl State {
    /// The pause of a failover, as the cluster wants it.
    pub(crate) fn pause_writes(&mut self, until_ms: i64) {
        let until_ms = u64::try_from(until_ms).unwrap_or(0);
        self.pauses.start(Purpose::Failover, false, until_ms, now_ms());
    }
}
