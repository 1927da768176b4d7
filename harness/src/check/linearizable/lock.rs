//! A lock: at most one owner holds it, until they release it or their lease ends.

use std::fmt::Debug;
use std::time::Duration;

use super::model::{Call, Effect, Model};

/// A lock that nobody holds at first.
///
/// Those who asked for it and were not answered do not know that they hold it, and will not release it. It is best to
/// give them all one owner and no end: what is alike is decided fast, and what differs may not be decided at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lock<O>(std::marker::PhantomData<O>);

impl<O> Lock<O> {
    /// A lock of such owners.
    pub fn new() -> Lock<O> {
        Lock(std::marker::PhantomData)
    }
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder<O> {
    /// The owner.
    pub owner: O,
    /// When the lease ends, since the start of the simulation; `None` if it has no end.
    pub until: Option<Duration>,
}

/// An operation on a lock, with its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action<O> {
    /// It was free, and is held now.
    Acquired(Holder<O>),
    /// It was not free.
    Denied,
    /// Its owner has released it.
    Released(O),
    /// Somebody wanted to release it who did not hold it.
    NotHeld(O),
    /// The lease ends, unless it was released before: no operation of a client, see [`lease_end`].
    Expired(Holder<O>),
}

/// The end of a lease that was acquired by `operation`, to be put among the calls of its lock.
///
/// It takes place at a moment: when a lease ends somewhere within an interval only, make a [`Call`] over that.
pub fn lease_end<O>(operation: u64, owner: O, until: Duration) -> Call<Action<O>> {
    Call::answered(operation, Action::Expired(Holder { owner, until: Some(until) }), until, until)
}

impl<O: Clone + Ord + Debug> Model for Lock<O> {
    type Action = Action<O>;
    type State = Option<Holder<O>>;

    fn initial(&self) -> Option<Holder<O>> {
        None
    }

    fn step(&self, state: &Self::State, action: &Action<O>) -> Option<Self::State> {
        let owner = state.as_ref().map(|holder| &holder.owner);
        match action {
            Action::Acquired(holder) => state.is_none().then(|| Some(holder.clone())),
            Action::Denied => state.is_some().then(|| state.clone()),
            Action::Released(by) => (owner == Some(by)).then_some(None),
            Action::NotHeld(by) => (owner != Some(by)).then(|| state.clone()),
            Action::Expired(holder) => Some(state.clone().filter(|held| held != holder)),
        }
    }

    fn effect(&self, action: &Action<O>) -> Effect {
        match action {
            Action::Denied | Action::NotHeld(_) => Effect::Reads,
            Action::Acquired(_) | Action::Released(_) | Action::Expired(_) => Effect::Changes,
        }
    }
}
