//! Tells the task of a connection that something is there for it.
//!
//! A connection listens all the time, so listening must cost next to nothing: as long as the same task listens, it is a
//! look at a flag.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Poll, Waker},
};

#[derive(Debug, Default)]
struct Shared {
    has_rung: AtomicBool,
    /// Who listens.
    listener: Mutex<Option<Waker>>,
}

impl Shared {
    fn listener(&self) -> MutexGuard<'_, Option<Waker>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side that rings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell(Arc<Shared>);

impl Bell {
    /// Rings; a ring that nobody heard yet is not lost.
    pub(crate) fn ring(&self) {
        self.0.has_rung.store(true, SeqCst);
        if let Some(listener) = &*self.0.listener() {
            listener.wake_by_ref();
        }
    }

    /// The side that listens. There is one.
    pub(crate) fn listener(&self) -> Listener {
        Listener { bell: self.clone(), registered: None }
    }
}

/// The side of a bell that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    bell: Bell,
    /// What the bell wakes.
    registered: Option<Waker>,
}

impl Listener {
    /// Waits until the bell rings. Nothing is lost when this is given up.
    pub(crate) async fn rung(&mut self) {
        poll_fn(|context| {
            let shared = &self.bell.0;
            if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *shared.listener() = Some(context.waker().clone());
                self.registered = Some(context.waker().clone());
            }
            if shared.has_rung.load(SeqCst) {
                shared.has_rung.store(false, SeqCst);
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
