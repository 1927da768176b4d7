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
    /// A whole number within `range`.
    ///
    /// # Panics
    /// When the default is outside the range, as all the constructors: that is a mistake of the system's author.
    pub fn integer(key: &'static str, default: i64, range: RangeInclusive<i64>, about: &'static str) -> Self {
        assert!(range.contains(&default), "the default of setting {key} must be within its range");
        let kind = Kind::Integer { min: *range.start(), max: *range.end() };
        Self { key, default: Value::Integer(default), kind, about, simplest: None }
    }

    /// A number within `range`.
    pub fn number(key: &'static str, default: f64, range: RangeInclusive<f64>, about: &'static str) -> Self {
        assert!(range.contains(&default), "the default of setting {key} must be within its range");
        let kind = Kind::Number { min: *range.start(), max: *range.end() };
        Self { key, default: Value::Number(default), kind, about, simplest: None }
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
        Self { key, default: Value::Duration(default), kind, about, simplest: None }
    }

    /// `true` or `false`.
    pub fn flag(key: &'static str, default: bool, about: &'static str) -> Self {
        Self { key, default: Value::Flag(default), kind: Kind::Flag, about, simplest: None }
    }

    /// Any text.
    pub fn text(key: &'static str, default: &str, about: &'static str) -> Self {
        Self { key, default: Value::Text(default.to_owned()), kind: Kind::Text, about, simplest: None }
    }

    /// A list of texts, empty by default.
    pub fn list(key: &'static str, about: &'static str) -> Self {
        Self { key, default: Value::List(Vec::new()), kind: Kind::List, about, simplest: None }
    }

    /// A file; by default none, and the system uses what it has built in.
    pub fn file(key: &'static str, about: &'static str) -> Self {
        Self { key, default: Value::File(None), kind: Kind::File, about, simplest: None }
    }

    /// The setting, with the value that makes the story of a run shortest: within its range and of its type.
    #[must_use]
    pub fn simplest(self, value: Value) -> Self {
        Self { simplest: Some(value), ..self }
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
