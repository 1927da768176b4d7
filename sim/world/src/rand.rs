//! Randomness: one ChaCha generator per host, seeded by the simulation's seed and the host's name; and, for what is to
//! draw the same whoever else draws on its host, one per [`scope`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use rand::{Rng, TryRng};

use crate::choice::Source;
use crate::common;

/// The generator of the current scope or host, whichever that is at each draw. Implements `rand`'s traits.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostRng;

/// The generator of the current scope, or of the current host outside of any.
pub fn rng() -> HostRng {
    HostRng
}

fn draw<R>(f: impl FnOnce(&mut Source) -> R) -> R {
    common::with(|common| {
        if let Some(scope) = common.random_scope.get()
            && let Some(source) = common.random_scopes.borrow_mut().sources.get_mut(&scope)
        {
            return f(source);
        }
        f(common.hosts.borrow_mut().random(common.current_host()))
    })
}

/// Runs a future that draws from a generator of its own, seeded by the simulation's seed and `purpose`: what it draws
/// does not depend on who else draws on its host. The tasks that it starts draw from their host's generator again.
///
/// A purpose belongs to one scope of a simulation; a second one of the same purpose would draw the same.
pub async fn scope<F: Future>(purpose: &str, future: F) -> F::Output {
    let id = common::with(|common| common.random_scopes.borrow_mut().open(common.generator(purpose)));
    // From here on the generator is taken away with the future, whenever that is dropped.
    let _close = Close(id);
    Scoped { id, future: pin!(future) }.await
}

/// The generators of the scopes that are open.
#[derive(Default)]
pub(crate) struct Scopes {
    sources: BTreeMap<u64, Source>,
    opened: u64,
}

impl Scopes {
    fn open(&mut self, source: Source) -> u64 {
        self.opened += 1;
        self.sources.insert(self.opened, source);
        self.opened
    }
}

struct Close(u64);

impl Drop for Close {
    fn drop(&mut self) {
        // Nothing is left to be closed when the simulation has gone first.
        common::try_with(|common| common.random_scopes.borrow_mut().sources.remove(&self.0));
    }
}

/// A future that is polled inside a scope.
struct Scoped<'a, F> {
    id: u64,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Scoped<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let scoped = self.get_mut();
        let _leave = Leave(common::with(|common| common.random_scope.replace(Some(scoped.id))));
        scoped.future.as_mut().poll(context)
    }
}

/// Puts the outer scope back, also when the poll panics.
struct Leave(Option<u64>);

impl Drop for Leave {
    fn drop(&mut self) {
        common::try_with(|common| common.random_scope.set(self.0));
    }
}

impl TryRng for HostRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(draw(Rng::next_u32))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(draw(Rng::next_u64))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        draw(|random| random.fill_bytes(bytes));
        Ok(())
    }
}

/// A number, any equally likely.
pub fn u64() -> u64 {
    draw(Rng::next_u64)
}

/// A number in the range, any equally likely (up to a bias below 2⁻⁶⁴ × its size).
///
/// # Panics
/// When the range is empty.
pub fn range(range: Range<u64>) -> u64 {
    assert!(range.start < range.end, "an empty range: {range:?}");
    range.start + draw(|random| random.below(range.end - range.start))
}

/// A number in [0, 1).
pub fn f64() -> f64 {
    (u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// True with this probability: never at 0 or below, always at 1 or above.
pub fn chance(probability: f64) -> bool {
    f64() < probability
}
