//! The manifest: which files make up the append-only file, in which order.

use std::{fmt::Write as _, path::Path};

use wire::redis::request::Parser;
use world::disk;

use super::files::write_whole;

/// Name of the append-only file; those of its parts start with it.
const NAME: &str = "appendonly.aof";
const MANIFEST: &str = "appendonly.aof.manifest";
const TEMPORARY: &str = "temp-appendonly.aof.manifest";
/// Longest line, its end included.
const MAX_LINE: usize = 1024;

/// A part of the append-only file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) number: u64,
}

/// What the append-only file consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The snapshot that the commands start from.
    pub(super) base: Option<Part>,
    /// No longer part of it, to be removed.
    pub(super) history: Vec<Part>,
    /// The commands since the base, in order. The last one is written to.
    pub(super) increments: Vec<Part>,
    last_base: u64,
    last_increment: u64,
}

/// A manifest that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("FATAL AOF MANIFEST FILE ERROR at line {line}: {what}")]
pub struct ManifestError {
    line: usize,
    what: &'static str,
}

impl Manifest {
    pub(super) fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The parts to load, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments)
    }

    /// Adds a part to write to.
    pub(super) fn add_increment(&mut self) -> String {
        self.last_increment += 1;
        let name = format!("{NAME}.{}.incr.aof", self.last_increment);
        self.increments.push(Part { name: name.clone(), number: self.last_increment });
        name
    }

    /// Adds a base, in the place of the one before.
    pub(super) fn add_base(&mut self) -> String {
        self.last_base += 1;
        let name = format!("{NAME}.{}.base.rdb", self.last_base);
        let base = Part { name: name.clone(), number: self.last_base };
        if let Some(before) = self.base.replace(base) {
            self.history.insert(0, before);
        }
        name
    }

    /// The increments, except maybe the last, are within the base now.
    pub(super) fn retire_increments(&mut self, keeps_last: bool) {
        let retired = self.increments.len().saturating_sub(usize::from(keeps_last));
        self.history.splice(0..0, self.increments.drain(..retired));
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        if text.is_empty() {
            return Err(ManifestError { line: 0, what: "Found an empty AOF manifest" });
        }
        for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let error = |what| ManifestError { line: number + 1, what };
            if line.starts_with(b"#") {
                continue;
            }
            if line.len() > MAX_LINE || !line.ends_with(b"\n") {
                return Err(error("The AOF manifest file contains too long line"));
            }
            manifest.read_line(line).map_err(error)?;
        }
        Ok(manifest)
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        const INVALID: &str = "Invalid AOF manifest file format";
        // The same quotes as in inline commands. A line that starts as an array of arguments does is none.
        let mut parser = Parser::default();
        if line.starts_with(b"*") || !matches!(parser.parse(line), Ok(Some(_))) {
            return Err(INVALID);
        }
        let words: Vec<&[u8]> = parser.arguments(line).collect();
        let (pairs, rest) = words.as_chunks::<2>();
        if pairs.len() < 3 || !rest.is_empty() {
            return Err(INVALID);
        }
        let (mut name, mut number, mut kind) = (None, None, None);
        for [key, value] in pairs {
            match key.to_ascii_lowercase().as_slice() {
                b"file" => {
                    let value = std::str::from_utf8(value).map_err(|_| INVALID)?;
                    if value.contains(['/', '\\']) {
                        return Err("File can't be a path, just a filename");
                    }
                    name = Some(value.to_owned()).filter(|name| !name.is_empty());
                }
                b"seq" => number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()),
                b"type" => kind = value.first().copied(),
                // Whatever later versions add.
                _ => {}
            }
        }
        let (Some(name), Some(number @ 1..), Some(kind)) = (name, number, kind) else { return Err(INVALID) };
        let part = Part { name, number };
        match kind {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => {
                self.last_base = number;
                self.base = Some(part);
            }
            b'h' => self.history.push(part),
            b'i' if number <= self.last_increment => return Err("Found a non-monotonic sequence number"),
            b'i' => {
                self.last_increment = number;
                self.increments.push(part);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let kinds = [("b", self.base.as_slice()), ("h", &self.history), ("i", &self.increments)];
        for (kind, parts) in kinds {
            for Part { name, number } in parts {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "file {name} seq {number} type {kind}");
            }
        }
        text
    }

    /// The manifest of a directory; an empty one if there is none.
    pub(super) async fn read(directory: &Path) -> std::io::Result<Result<Self, ManifestError>> {
        let path = directory.join(MANIFEST);
        if !disk::try_exists(&path).await? {
            return Ok(Ok(Self::default()));
        }
        Ok(Self::parse(&disk::read(&path).await?))
    }

    /// Makes this the manifest of a directory, for good: of two manifests the disk has one or the other, and when it
    /// has this one, it knows the names of the files in it as well.
    pub(super) async fn persist(&self, directory: &Path) -> std::io::Result<()> {
        let temporary = directory.join(TEMPORARY);
        write_whole(&temporary, self.to_text().as_bytes()).await?;
        disk::rename(&temporary, directory.join(MANIFEST)).await?;
        disk::sync_dir(directory).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let mut manifest = Manifest::default();
        manifest.add_base();
        manifest.add_increment();
        manifest.add_increment();
        manifest.add_base();
        manifest.retire_increments(true);
        let text = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                    file appendonly.aof.1.incr.aof seq 1 type h\n\
                    file appendonly.aof.1.base.rdb seq 1 type h\n\
                    file appendonly.aof.2.incr.aof seq 2 type i\n";
        assert_eq!(manifest.to_text(), text);
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_words_of_redis() {
        let base = "file a seq 1 type b\n";
        for (text, line, what) in [
            ("", 0, "Found an empty AOF manifest"),
            ("file a seq 1 type b", 1, "The AOF manifest file contains too long line"),
            ("# comment\n\n", 2, "Invalid AOF manifest file format"),
            ("file a seq 1\n", 1, "Invalid AOF manifest file format"),
            ("file a seq 0 type b\n", 1, "Invalid AOF manifest file format"),
            ("file \"a seq 1 type b\n", 1, "Invalid AOF manifest file format"),
            ("*3\r\n", 1, "Invalid AOF manifest file format"),
            ("file ../a seq 1 type b\n", 1, "File can't be a path, just a filename"),
            (&format!("{base}{base}"), 2, "Found duplicate base file information"),
            ("file a seq 2 type i\nfile b seq 2 type i\n", 2, "Found a non-monotonic sequence number"),
            ("file a seq 1 type x\n", 1, "Unknown AOF file type"),
        ] {
            assert_eq!(Manifest::parse(text.as_bytes()), Err(ManifestError { line, what }), "{text:?}");
        }
        assert!(Manifest::parse(b"FILE \"a b\" seq 1 type b more words\n").is_ok());
    }
}
