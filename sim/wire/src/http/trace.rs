//! The trace id of the request being handled.
//!
//! The server enters the scope of the header `x-trace-id` around each handler, and the client adds the header of
//! the scope to each request made inside it, so an id given by a buyer arrives at every service that works for it.
use std::{
    cell::RefCell,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use http::{HeaderName, HeaderValue};

/// The header that carries the trace id.
pub const HEADER: HeaderName = HeaderName::from_static("x-trace-id");

/// Longer ids are ignored: they come from the other side.
const LENGTH_MAX: usize = 128;

thread_local! {
    /// Set only while a future of a scope is being polled, so nothing outlives a run.
    static CURRENT: RefCell<Option<HeaderValue>> = const { RefCell::new(None) };
}

/// The trace id of the scope that is running, if any.
pub fn current() -> Option<HeaderValue> {
    CURRENT.with_borrow(Clone::clone)
}

/// [`current`] as text; empty without a scope.
pub fn current_text() -> String {
    CURRENT.with_borrow(|id| id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned())
}

/// Runs a future in the scope of a trace id. `None`, and an id that is not printable ASCII of at most 128 bytes,
/// is a scope without an id.
pub async fn scope<F: Future>(id: Option<HeaderValue>, future: F) -> F::Output {
    scope_pinned(id, pin!(future)).await
}

/// [`scope`] for a future that need not be moved.
pub fn scope_pinned<F: Future>(
    id: Option<HeaderValue>,
    future: Pin<&mut F>,
) -> impl Future<Output = F::Output> {
    let id = id.filter(|id| id.len() <= LENGTH_MAX && id.to_str().is_ok());
    Scoped { id, future }
}

/// A future that is polled inside a scope.
struct Scoped<'a, F> {
    id: Option<HeaderValue>,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Scoped<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let scoped = self.get_mut();
        let _restore = Restore(CURRENT.replace(scoped.id.clone()));
        scoped.future.as_mut().poll(context)
    }
}

/// Puts the outer scope back, also when the poll panics.
struct Restore(Option<HeaderValue>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
