//! Tasks. A task belongs to the host that started it and is dropped, not run on, when that host crashes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::common::hosts::HostId;
use crate::common::{self, Common, waits};
use crate::engine::{self, task::TaskRef};
use crate::sim::WaitsFor;

/// Why a task has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinError {
    /// Aborted, or its host crashed, or it was started on a host that is down.
    Cancelled,
    /// It panicked; the panic is part of the simulation's outcome.
    Panicked,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Cancelled => "the task was cancelled",
            JoinError::Panicked => "the task panicked",
        })
    }
}

impl std::error::Error for JoinError {}

struct Shared<T> {
    result: Option<Result<T, JoinError>>,
    ended: bool,
    waker: Option<Waker>,
}

fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end<T>(shared: &Mutex<Shared<T>>, result: Result<T, JoinError>) {
    let mut shared = lock(shared);
    if shared.ended {
        return;
    }
    shared.ended = true;
    shared.result = Some(result);
    let waker = shared.waker.take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Lives in the task: when it is dropped before the task has ended, the task was cancelled or panicked.
struct EndGuard<T>(Arc<Mutex<Shared<T>>>);

impl<T> Drop for EndGuard<T> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        end(&self.0, Err(if panicked { JoinError::Panicked } else { JoinError::Cancelled }));
    }
}

/// Waits for a task's result. Dropping it lets the task run on.
pub struct JoinHandle<T> {
    shared: Arc<Mutex<Shared<T>>>,
    task: Option<TaskRef>,
    /// Where it was started.
    site: &'static Location<'static>,
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.task).field("finished", &self.is_finished()).finish()
    }
}

impl<T> JoinHandle<T> {
    /// Drops the task without running it on. A task that aborts itself ends at its next wait.
    pub fn abort(&self) {
        if let Some(task) = &self.task {
            engine::try_with(|world| world.abort(task));
        }
    }

    /// Has it ended, one way or another?
    pub fn is_finished(&self) -> bool {
        lock(&self.shared).ended
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = lock(&self.shared);
        match shared.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                assert!(!shared.ended, "a JoinHandle was polled after it had given its result");
                shared.waker = Some(context.waker().clone());
                waits::note(Poll::Pending, || WaitsFor::Join(self.site.to_string()))
            }
        }
    }
}

/// Starts a task on the current host.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_on(common::with(Common::current_host), future)
}

#[track_caller]
pub(crate) fn spawn_on<F>(host: HostId, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let shared = Arc::new(Mutex::new(Shared { result: None, ended: false, waker: None }));
    let guard = EndGuard(Arc::clone(&shared));
    let task = async move {
        let value = future.await;
        end(&guard.0, Ok(value));
    };
    let site = Location::caller();
    let task = engine::with(|world| world.spawn(host, site, Box::pin(task)));
    JoinHandle { shared, task, site }
}

/// Lets the other ready tasks have their chance.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
