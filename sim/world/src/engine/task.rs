//! Tasks of whichever engine carries the world.

use std::panic::Location;
use std::sync::Arc;

use super::{Engine, World, foreign, kernel};
use crate::common::BoxFuture;
use crate::common::hosts::HostId;

/// A task, for good.
#[derive(Debug, Clone)]
pub(crate) enum TaskRef {
    Kernel(kernel::executor::TaskId),
    Foreign(Arc<foreign::task::Task>),
}

impl World {
    /// Starts a task on a host. `None`, and the future is dropped, when the host is down or the run is over.
    /// `site` is where in the source it is started.
    pub(crate) fn spawn(
        &self,
        host: HostId,
        site: &'static Location<'static>,
        future: BoxFuture,
    ) -> Option<TaskRef> {
        match &self.engine {
            Engine::Kernel(kernel) => kernel.spawn(host, site, future).map(TaskRef::Kernel),
            Engine::Foreign(foreign) => foreign.spawn(host, site, future).map(TaskRef::Foreign),
        }
    }

    /// Drops a task without running it on.
    pub(crate) fn abort(&self, task: &TaskRef) {
        match (&self.engine, task) {
            (Engine::Kernel(kernel), TaskRef::Kernel(task)) => kernel.abort(*task),
            (Engine::Foreign(foreign), TaskRef::Foreign(task)) => foreign.abort(task),
            // A handle that left its simulation.
            _ => {}
        }
    }
}
