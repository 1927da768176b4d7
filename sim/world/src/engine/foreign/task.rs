//! Tasks: an engine polls a [`Hosted`]; the future itself stays in the [`Task`], from where a crash or an abort takes
//! it at once, whatever the engine's own idea of an abort is.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Foreign;
use crate::common::BoxFuture;
use crate::common::hosts::HostId;
use crate::sim::{WaitingTask, WaitsFor, catch_task_panic};

/// A task, for good.
pub(crate) struct Task {
    pub(super) number: u64,
    host: HostId,
    /// Where in the source it was started.
    site: &'static Location<'static>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    future: Option<BoxFuture>,
    /// The engine's waker of the last poll.
    waker: Option<Waker>,
    /// Was it to be polled while its host was paused?
    missed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// Its future is out, being polled.
    Polling,
    /// Must not run on; whoever polls it next drops it, and so does the end of the present poll.
    Cancelled,
    /// Its host is down; the engine is about to drop it.
    Frozen,
    Over,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("number", &self.number).field("host", &self.host).finish_non_exhaustive()
    }
}

impl Task {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an engine polls. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct Hosted(Arc<Task>);

impl Future for Hosted {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        super::with(|foreign| foreign.poll(&self.0, context))
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        super::try_with(|foreign| foreign.cancel(&self.0));
    }
}

impl Foreign {
    pub(super) fn new_task(
        &self,
        host: HostId,
        site: &'static Location<'static>,
        future: BoxFuture,
    ) -> (Arc<Task>, Hosted) {
        let number = self.new_number();
        let state = State { stage: Stage::Waiting, future: Some(future), waker: None, missed: false };
        let task = Arc::new(Task { number, host, site, state: Mutex::new(state) });
        self.tasks.borrow_mut().insert(number, Arc::clone(&task));
        self.note_number("spawn", host, number);
        let hosted = Hosted(Arc::clone(&task));
        (task, hosted)
    }

    /// Starts a task on a host. `None`, and the future is dropped, when the host is down or the run is over.
    pub(in crate::engine) fn spawn(
        &self,
        host: HostId,
        site: &'static Location<'static>,
        future: BoxFuture,
    ) -> Option<Arc<Task>> {
        if self.closing.get() || !self.common.hosts.borrow().is_up(host) {
            self.drop_as(host, site, future);
            return None;
        }
        let (task, hosted) = self.new_task(host, site, future);
        self.native().start(host, self.polling.get(), hosted);
        Some(task)
    }

    fn poll(&self, task: &Arc<Task>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = task.lock();
        match state.stage {
            Stage::Over => return Poll::Ready(()),
            Stage::Cancelled => {
                drop(state);
                self.end(task);
                return Poll::Ready(());
            }
            Stage::Frozen | Stage::Polling => return Poll::Pending,
            Stage::Waiting if self.closing.get() => return Poll::Pending,
            Stage::Waiting => {}
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        if self.common.hosts.borrow().is_paused(task.host) {
            state.missed = true;
            return Poll::Pending;
        }
        state.stage = Stage::Polling;
        let Some(mut future) = state.future.take() else { return Poll::Ready(()) };
        drop(state);
        let pending = self.poll_future(task, &mut future, context);
        let mut state = task.lock();
        state.future = Some(future);
        if !pending {
            // The engine sees by itself that it has ended.
            state.waker = None;
        }
        if pending && state.stage == Stage::Polling {
            state.stage = Stage::Waiting;
            return Poll::Pending;
        }
        drop(state);
        self.end(task);
        Poll::Ready(())
    }

    /// True when it is to be polled again.
    fn poll_future(&self, task: &Task, future: &mut BoxFuture, context: &mut Context<'_>) -> bool {
        let before = self.polling.replace(Some(task.host));
        self.polls.set(self.polls.get() + 1);
        self.progress.set_polls(self.polls.get());
        let turn = self.progress.turn();
        self.progress.set_turn(task.host, task.site);
        self.show_time();
        self.note_number("poll", task.host, task.number);
        let polled = self.common.on_host(task.host, || catch_task_panic(|| future.as_mut().poll(context)));
        if let Err(message) = &polled {
            self.common.report_panic(task.host, task.site, self.now_ns(), message.clone());
        }
        self.progress.return_turn(turn);
        self.polling.set(before);
        matches!(polled, Ok(Poll::Pending))
    }

    /// Ends a task: its future is dropped as its own host's.
    fn end(&self, task: &Task) {
        let mut state = task.lock();
        state.stage = Stage::Over;
        let (future, waker) = (state.future.take(), state.waker.take());
        drop(state);
        self.tasks.borrow_mut().remove(&task.number);
        if task.number == self.main.get() {
            // The last look at the clock of the run.
            self.now_ns();
            self.closing.set(true);
            if let Some(waiter) = self.main_waiter.borrow_mut().take() {
                waiter.wake();
            }
        }
        if let Some(future) = future {
            self.drop_as(task.host, task.site, future);
        }
        // The engine learns that there is nothing left to poll.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Drops a future as its own host's.
    fn drop_as(&self, host: HostId, site: &'static Location<'static>, future: BoxFuture) {
        let turn = self.progress.turn();
        self.progress.set_turn(host, site);
        let dropped = self.common.on_host(host, || catch_task_panic(|| drop(future)));
        self.progress.return_turn(turn);
        if let Err(message) = dropped {
            self.common.report_panic(host, site, self.now_ns(), message);
        }
    }

    /// Drops a task without running it on.
    pub(in crate::engine) fn abort(&self, task: &Arc<Task>) {
        if self.native().drops_anywhere() || self.polling.get() == Some(task.host) {
            self.cancel(task);
            return;
        }
        let mut state = task.lock();
        if matches!(state.stage, Stage::Waiting | Stage::Polling) {
            state.stage = Stage::Cancelled;
        }
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn cancel(&self, task: &Task) {
        let mut state = task.lock();
        match state.stage {
            Stage::Over => return,
            Stage::Polling => {
                state.stage = Stage::Cancelled;
                return;
            }
            // Its future is out: the end of the poll drops it.
            Stage::Cancelled if state.future.is_none() => return,
            Stage::Waiting | Stage::Cancelled | Stage::Frozen => {}
        }
        drop(state);
        self.end(task);
    }

    /// Tasks of a host that goes down end now, or stand still until the engine drops them.
    pub(super) fn end_tasks_of(&self, host: HostId) {
        let tasks: Vec<Arc<Task>> =
            self.tasks.borrow().values().filter(|task| task.host == host).map(Arc::clone).collect();
        for task in tasks {
            if self.native().drops_anywhere() {
                self.cancel(&task);
            } else {
                let mut state = task.lock();
                state.stage = match state.stage {
                    Stage::Waiting => Stage::Frozen,
                    Stage::Polling => Stage::Cancelled,
                    other => other,
                };
            }
        }
    }

    /// What its tasks missed while a host was paused, they do now.
    pub(super) fn wake_tasks_of(&self, host: HostId) {
        let tasks = self.tasks.borrow();
        let of_host = tasks.values().filter(|task| task.host == host);
        let wakers: Vec<Waker> = of_host
            .filter_map(|task| {
                let mut state = task.lock();
                let waker = state.waker.clone().filter(|_| state.missed);
                state.missed = false;
                waker
            })
            .collect();
        drop(tasks);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(in crate::engine) fn waiting_tasks(&self) -> Vec<WaitingTask> {
        self.left.take()
    }

    /// Keeps which tasks are left, before the engine drops them. What they wait for is known to the kernel only.
    pub(super) fn keep_waiting_tasks(&self) {
        let tasks = self.tasks.borrow();
        let hosts = self.common.hosts.borrow();
        let waiting = |task: &Arc<Task>| WaitingTask {
            host: hosts.name(task.host).to_owned(),
            spawned_at: task.site.to_string(),
            waits_for: vec![if hosts.is_paused(task.host) { WaitsFor::Resume } else { WaitsFor::Other }],
        };
        *self.left.borrow_mut() = tasks.values().map(waiting).collect();
    }
}
