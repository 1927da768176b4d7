//! Settings of the system, from `[settings]` and from `--set key=value`: one type check for both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Problem, nearest, one_of, quoted};
use crate::document::{Entry, Findings, duration_value, entries, flag, integer, number, table, text, texts};
use crate::duration;
use crate::settings::Value;
use crate::vocabulary::{Kind, Setting, SystemVocabulary};

/// Settings by key, as one place gives them.
pub(super) type SettingsDraft = BTreeMap<&'static str, Value>;

/// Reads a table of settings; `queue.cap = 5` and `"queue.cap" = 5` are the same setting.
pub(super) fn from_file(
    findings: &mut Findings<'_>,
    entry: &Entry<'_, '_>,
    file: &str,
    system: &SystemVocabulary,
) -> SettingsDraft {
    let mut draft = SettingsDraft::new();
    if let Some(table) = findings.keep(&entry.span, table(entry.value)) {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        collect(findings, table, "", folder, system, &mut draft);
    }
    draft
}

/// Reads the settings of a table whose own key, with its dot, is `prefix`.
fn collect(
    findings: &mut Findings<'_>,
    table: &DeTable<'_>,
    prefix: &str,
    folder: &Path,
    system: &SystemVocabulary,
    draft: &mut SettingsDraft,
) {
    for entry in entries(table) {
        let key = format!("{prefix}{}", entry.key);
        let below = format!("{key}.");
        if let Some(setting) = system.settings.iter().find(|setting| setting.key == key) {
            let read = value(&setting.kind, entry.value, folder);
            let Some(value) = findings.keep(&entry.span, read) else { continue };
            if draft.insert(setting.key, value).is_some() {
                let problem = Problem::new(format!("setting {} is given twice", quoted(&key)));
                findings.at(&entry.key_span, problem.expected("each setting once"));
            }
            continue;
        }
        match entry.value {
            DeValue::Table(inner) if !inner.is_empty() => {
                collect(findings, inner, &below, folder, system, draft);
            }
            _ => findings.at(&entry.key_span, unknown(&key, system)),
        }
    }
}

/// Reads the overrides of the command line.
pub(super) fn from_command_line(
    findings: &mut Findings<'_>,
    system: &SystemVocabulary,
    overrides: &[(String, String)],
) -> SettingsDraft {
    let mut draft = SettingsDraft::new();
    for (key, given) in overrides {
        let argument = format!("--set {key}={given}");
        let read = match system.settings.iter().find(|setting| setting.key == key) {
            None => Err(unknown(key, system)),
            Some(setting) if draft.contains_key(setting.key) => {
                let problem = Problem::new(format!("setting {} is given twice", quoted(key)));
                Err(problem.expected("each setting once"))
            }
            Some(setting) => from_text(setting, given).map(|value| (setting.key, value)),
        };
        match read {
            Ok((key, value)) => drop(draft.insert(key, value)),
            Err(problem) => findings.on_command_line(argument, problem),
        }
    }
    draft
}

fn unknown(key: &str, system: &SystemVocabulary) -> Problem {
    let valid: Vec<&str> = system.settings.iter().map(|setting| setting.key).collect();
    // Of many settings, those of the same group are worth listing.
    let group = key.split_once('.').map(|(group, _)| format!("{group}."));
    let in_group: Vec<&str> = match &group {
        Some(group) => valid.iter().copied().filter(|name| name.starts_with(group.as_str())).collect(),
        None => Vec::new(),
    };
    let listed = if in_group.is_empty() { &valid } else { &in_group };
    Problem::new(format!("unknown setting {} of system {}", quoted(key), system.name))
        .expected(one_of(listed))
        .suggest(nearest(key, &valid))
}

/// The value of an override: texts, durations and paths as they are, a list with commas or as in TOML, the rest as in
/// TOML.
fn from_text(setting: &Setting, given: &str) -> Result<Value, Problem> {
    let here = Path::new("");
    let given = given.trim();
    let unquoted = given.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(given);
    let as_text = |text: &str| DeValue::String(text.to_owned().into());
    let read = match &setting.kind {
        Kind::Text | Kind::Duration { .. } | Kind::File => value(&setting.kind, &as_text(unquoted), here),
        Kind::List if !given.starts_with('[') => {
            let items = given.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::List(items.map(str::to_owned).collect()))
        }
        kind => match DeValue::parse(given) {
            Ok(parsed) => value(kind, parsed.get_ref(), here),
            Err(_) => value(kind, &as_text(unquoted), here),
        },
    };
    // Places within the value mean nothing outside a file.
    read.map_err(|problem| Problem { within: None, ..problem })
}

/// The value of a setting of this kind. Relative paths are relative to `folder`.
fn value(kind: &Kind, given: &DeValue<'_>, folder: &Path) -> Result<Value, Problem> {
    match kind {
        Kind::Integer { min, max } => integer(given, *min, *max).map(Value::Integer),
        Kind::Number { min, max } => number(given, *min, *max).map(Value::Number),
        Kind::Flag => flag(given).map(Value::Flag),
        Kind::Text => text(given).map(|text| Value::Text(text.to_owned())),
        Kind::List => {
            let items = texts(given)?;
            Ok(Value::List(items.into_iter().map(|item| item.value).collect()))
        }
        Kind::Duration { min, max } => {
            let read = duration_value(given, false)?;
            if (*min..=*max).contains(&read) {
                return Ok(Value::Duration(read));
            }
            let problem =
                Problem::new(format!("the duration \"{}\" is out of range", duration::format(read)));
            Err(problem.expected(kind.to_string()))
        }
        Kind::File => existing_file(text(given)?, folder).map(|path| Value::File(Some(path))),
    }
}

fn existing_file(given: &str, folder: &Path) -> Result<PathBuf, Problem> {
    let path = folder.join(given);
    let why = match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => "it is a folder".to_owned(),
        Ok(_) => return Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "there is none".to_owned(),
        Err(error) => error.to_string(),
    };
    let problem =
        Problem::new(format!("cannot read the file {}: {why}", quoted(&path.display().to_string())));
    Err(problem.expected("the path of a file that exists"))
}
