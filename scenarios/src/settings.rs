//! The settings of a system with their values: complete, typed, read by key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::duration;
use crate::vocabulary::Setting;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A number; finite.
    Number(f64),
    /// A length of time.
    Duration(Duration),
    /// `true` or `false`.
    Flag(bool),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// A file that existed when the scenario was read; `None`: what the system has built in.
    File(Option<PathBuf>),
}

/// As it would stand in a scenario file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(value) => write!(f, "{value}"),
            Value::Number(value) => write!(f, "{value:?}"),
            Value::Duration(value) => write!(f, "\"{}\"", duration::format(*value)),
            Value::Flag(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::List(values) => write!(f, "{values:?}"),
            Value::File(Some(path)) => write!(f, "{:?}", path.display().to_string()),
            Value::File(None) => f.write_str("(built in)"),
        }
    }
}

/// Every setting of a system: its defaults, overridden by the scenario file, overridden by `--set`.
///
/// # Panics
/// The typed getters panic when the system has no such setting or declared it with another type: whoever asks also
/// wrote the declaration, so this is a mistake of the programmer, never of the scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(BTreeMap<&'static str, Value>);

impl Settings {
    /// The defaults of these settings.
    pub fn defaults(declared: &[Setting]) -> Self {
        Self(declared.iter().map(|setting| (setting.key, setting.default.clone())).collect())
    }

    /// Gives a setting another value, of the type that it is declared with.
    pub fn set(&mut self, key: &'static str, value: Value) {
        self.0.insert(key, value);
    }

    /// All settings, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// The value of a setting, if the system has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> i64 {
        match self.get(key) {
            Some(Value::Integer(value)) => *value,
            other => undeclared(key, "a whole number", other),
        }
    }

    /// A number.
    pub fn number(&self, key: &str) -> f64 {
        match self.get(key) {
            Some(Value::Number(value)) => *value,
            other => undeclared(key, "a number", other),
        }
    }

    /// A length of time.
    pub fn duration(&self, key: &str) -> Duration {
        match self.get(key) {
            Some(Value::Duration(value)) => *value,
            other => undeclared(key, "a duration", other),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> bool {
        match self.get(key) {
            Some(Value::Flag(value)) => *value,
            other => undeclared(key, "a flag", other),
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Value::Text(value)) => value,
            other => undeclared(key, "a text", other),
        }
    }

    /// A list of texts.
    pub fn list(&self, key: &str) -> &[String] {
        match self.get(key) {
            Some(Value::List(values)) => values,
            other => undeclared(key, "a list", other),
        }
    }

    /// A file; `None`: what the system has built in.
    pub fn file(&self, key: &str) -> Option<&Path> {
        match self.get(key) {
            Some(Value::File(path)) => path.as_deref(),
            other => undeclared(key, "a file", other),
        }
    }
}

fn undeclared(key: &str, asked: &str, found: Option<&Value>) -> ! {
    match found {
        Some(value) => panic!("setting {key} was asked for as {asked}, but it is {value:?}"),
        None => panic!("setting {key} was asked for as {asked}, but the system does not declare it"),
    }
}
