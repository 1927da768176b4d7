//! What a scenario may say about a system: supplied by whoever knows the systems, checked against by the reader.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::duration;
use crate::settings::Value;

/// Every system that a scenario can be about.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// The systems, each with its own names.
    pub systems: Vec<SystemVocabulary>,
}

impl Vocabulary {
    /// The names of one system.
    pub fn system(&self, name: &str) -> Option<&SystemVocabulary> {
        self.systems.iter().find(|system| system.name == name)
    }
}

/// The names that a scenario may use for one system.
#[derive(Debug, Clone, Default)]
pub struct SystemVocabulary {
    /// The name of the system: `system = "ticketing"`.
    pub name: String,
    /// What people can do: `journey.buy`.
    pub journeys: Vec<String>,
    /// The operations of the history, whose latency can be limited: `latency."order.submit"`.
    pub operations: Vec<String>,
    /// The settings with their types, ranges and defaults.
    pub settings: Vec<Setting>,
    /// The hosts, which faults can befall: `on = ["inventory-1"]`.
    pub hosts: Vec<String>,
    /// The invariants: `invariant = "zero-oversell"`.
    pub invariants: Vec<String>,
    /// The planted mistakes: `mutants = ["ticketing.seat-freed-after-issue"]`.
    pub mutants: Vec<String>,
}

/// A setting of a system. The constructors keep default and kind of one type and the default within its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Dotted name, for example `order.pay_within`.
    pub key: &'static str,
    /// The value when neither the scenario nor the command line gives one.
    pub default: Value,
    /// Type and range of the value.
    pub kind: Kind,
    /// One sentence for people.
    pub about: &'static str,
    /// The value with which a run's story is shortest, if that is another than the default: shrinking tries it.
    pub simplest: Option<Value>,
    /// Does it protect what was promised? Then shrinking leaves it as the scenario has it: without it, the same invariant
    /// fails for another reason. Where a planted mistake is the reason, and the scenario holds without that, it may go.
    pub is_guard: bool,
}

/// The type and the range of a setting. Ranges include both ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A whole number.
    Integer {
        /// Smallest allowed value.
        min: i64,
        /// Largest allowed value.
        max: i64,
    },
    /// A number; shares and probabilities are numbers from 0 to 1.
    Number {
        /// Smallest allowed value.
        min: f64,
        /// Largest allowed value.
        max: f64,
    },
    /// A length of time.
    Duration {
        /// Shortest allowed value.
        min: Duration,
        /// Longest allowed value.
        max: Duration,
    },
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
    /// A list of texts.
    List,
    /// The path of a file that exists.
    File,
}

impl Setting {
    fn new(key: &'static str, default: Value, kind: Kind, about: &'static str) -> Self {
        Self { key, default, kind, about, simplest: None, is_guard: false }
    }

    /// A whole number within `range`.
    ///
    /// # Panics
    /// When the default is outside the range, as all the constructors: that is a mistake of the system's author.
    pub fn integer(key: &'static str, default: i64, range: RangeInclusive<i64>, about: &'static str) -> Self {
        assert!(range.contains(&default), "the default of setting {key} must be within its range");
        let kind = Kind::Integer { min: *range.start(), max: *range.end() };
        Self::new(key, Value::Integer(default), kind, about)
    }

    /// A number within `range`.
    pub fn number(key: &'static str, default: f64, range: RangeInclusive<f64>, about: &'static str) -> Self {
        assert!(range.contains(&default), "the default of setting {key} must be within its range");
        let kind = Kind::Number { min: *range.start(), max: *range.end() };
        Self::new(key, Value::Number(default), kind, about)
    }

    /// A share or a probability: a number from 0 to 1.
    pub fn share(key: &'static str, default: f64, about: &'static str) -> Self {
        Self::number(key, default, 0.0..=1.0, about)
    }

    /// A length of time within `range`.
    pub fn duration(
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
        about: &'static str,
    ) -> Self {
        assert!(range.contains(&default), "the default of setting {key} must be within its range");
        let kind = Kind::Duration { min: *range.start(), max: *range.end() };
        Self::new(key, Value::Duration(default), kind, about)
    }

    /// `true` or `false`.
    pub fn flag(key: &'static str, default: bool, about: &'static str) -> Self {
        Self::new(key, Value::Flag(default), Kind::Flag, about)
    }

    /// Any text.
    pub fn text(key: &'static str, default: &str, about: &'static str) -> Self {
        Self::new(key, Value::Text(default.to_owned()), Kind::Text, about)
    }

    /// A list of texts, empty by default.
    pub fn list(key: &'static str, about: &'static str) -> Self {
        Self::new(key, Value::List(Vec::new()), Kind::List, about)
    }

    /// A file; by default none, and the system uses what it has built in.
    pub fn file(key: &'static str, about: &'static str) -> Self {
        Self::new(key, Value::File(None), Kind::File, about)
    }

    /// The setting, with the value that makes the story of a run shortest.
    ///
    /// # Panics
    /// When the value is of another type than the default, or outside the range: a mistake of the system's author.
    #[must_use]
    pub fn simplest(self, value: Value) -> Self {
        assert!(self.kind.has(&value), "the simplest value of setting {} must be {}", self.key, self.kind);
        Self { simplest: Some(value), ..self }
    }

    /// The setting, as one that protects what was promised.
    #[must_use]
    pub fn guard(self) -> Self {
        Self { is_guard: true, ..self }
    }
}

impl Kind {
    /// Is the value of this type, and within its range? Whether a file exists is not looked at.
    pub fn has(&self, value: &Value) -> bool {
        match (self, value) {
            (Kind::Integer { min, max }, Value::Integer(value)) => (min..=max).contains(&value),
            (Kind::Number { min, max }, Value::Number(value)) => (min..=max).contains(&value),
            (Kind::Duration { min, max }, Value::Duration(value)) => (min..=max).contains(&value),
            (Kind::Flag, Value::Flag(_))
            | (Kind::Text, Value::Text(_))
            | (Kind::List, Value::List(_))
            | (Kind::File, Value::File(_)) => true,
            _ => false,
        }
    }
}

/// What is expected, as it stands in messages and in lists of settings.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Kind::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Kind::Duration { min, max } => {
                write!(f, "a duration from \"{}\" to \"{}\"", duration::format(*min), duration::format(*max))
            }
            Kind::Flag => f.write_str("true or false"),
            Kind::Text => f.write_str("a text in quotes"),
            Kind::List => f.write_str("a list of texts such as [\"a\", \"b\"]"),
            Kind::File => f.write_str("the path of a file in quotes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_values_of_its_type_and_within_its_range() {
        let count = Setting::integer("trains.count", 4, 1..=16, "trains");
        for (value, is_had) in [(1, true), (16, true), (0, false), (17, false)] {
            assert_eq!(count.kind.has(&Value::Integer(value)), is_had, "{value}");
        }
        assert!(!count.kind.has(&Value::Number(4.0)));
        let share = Setting::share("buyers.cancel", 0.5, "who cancel").simplest(Value::Number(0.0));
        assert_eq!(share.simplest, Some(Value::Number(0.0)));
        assert!(!share.kind.has(&Value::Number(f64::NAN)));
    }

    #[test]
    #[should_panic(expected = "the simplest value of setting buyers.cancel must be a number from 0 to 1")]
    fn the_simplest_value_is_one_that_a_scenario_may_give() {
        let _ = Setting::share("buyers.cancel", 0.5, "who cancel").simplest(Value::Number(1.5));
    }
}
