//! A register: whoever reads it gets what was written last.

use std::collections::BTreeSet;
use std::fmt::Debug;

use super::model::{Call, Effect, Model};

/// A register that holds a value, `V::default()` at first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Register<V>(std::marker::PhantomData<V>);

impl<V> Register<V> {
    /// A register of such values.
    pub fn new() -> Register<V> {
        Register(std::marker::PhantomData)
    }
}

/// An operation on a register, with its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action<V> {
    /// This was read.
    Read(V),
    /// This was written.
    Write(V),
    /// A compare-and-set that has set.
    Set {
        /// What it compared with.
        expected: V,
        /// What it has set.
        new: V,
    },
    /// A compare-and-set with this that has set nothing, since the register held something else.
    NotSet {
        /// What it compared with.
        expected: V,
    },
}

impl<V: Clone + Ord + Debug + Default> Model for Register<V> {
    type Action = Action<V>;
    type State = V;

    fn initial(&self) -> V {
        V::default()
    }

    fn step(&self, state: &V, action: &Action<V>) -> Option<V> {
        match action {
            Action::Read(value) => (value == state).then(|| state.clone()),
            Action::Write(value) => Some(value.clone()),
            Action::Set { expected, new } => (expected == state).then(|| new.clone()),
            Action::NotSet { expected } => (expected != state).then(|| state.clone()),
        }
    }

    fn effect(&self, action: &Action<V>) -> Effect {
        match action {
            Action::Read(_) | Action::NotSet { .. } => Effect::Reads,
            Action::Write(_) => Effect::Overwrites,
            Action::Set { .. } => Effect::Changes,
        }
    }

    /// Only those who come upon its value can tell a write, and whoever finds that the value is another one can be
    /// told so by any.
    fn discernible(&self, calls: &[Call<Action<V>>]) -> impl Fn(&Action<V>) -> bool {
        let mut seen = BTreeSet::new();
        let mut is_compared = false;
        for call in calls {
            match &call.action {
                Action::Set { expected: value, .. } => _ = seen.insert(value.clone()),
                Action::Read(value) if call.completed.is_some() => _ = seen.insert(value.clone()),
                Action::NotSet { .. } if call.completed.is_some() => is_compared = true,
                Action::Read(_) | Action::NotSet { .. } | Action::Write(_) => {}
            }
        }
        move |action| match action {
            Action::Write(value) | Action::Set { new: value, .. } => is_compared || seen.contains(value),
            Action::Read(_) | Action::NotSet { .. } => true,
        }
    }
}
