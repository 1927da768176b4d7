//! Reading the commands of an append-only file, up to the end or to where they stop making sense.

/// Longest line of a length, or of an annotation as far as it is looked at.
const MAX_LINE: usize = 1024;

/// Where commands go.
pub(super) trait Run {
    /// Runs a command; false if there is none of that name.
    fn run(&mut self, args: &[&[u8]]) -> bool;
}

impl<F: FnMut(&[&[u8]]) -> bool> Run for F {
    fn run(&mut self, args: &[&[u8]]) -> bool {
        self(args)
    }
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Damage {
    /// It ends within a command, or within a transaction.
    Truncated,
    /// Something stands where a command should.
    Malformed,
    /// A command that the server does not know.
    Unknown(String),
}

/// What follows in a file.
enum Next<'a> {
    Command(Vec<&'a [u8]>),
    End,
    Damage(Damage),
}

/// Replays a file. A transaction is run when it is complete, as a whole.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The file makes sense up to here: the end of a command that is not within a transaction.
    sound: usize,
    transaction: Option<Vec<Vec<&'a [u8]>>>,
}

impl<'a> Replay<'a> {
    /// Replays from a place on.
    pub(super) fn new(bytes: &'a [u8], from: usize) -> Self {
        Self { bytes, at: from, sound: from, transaction: None }
    }

    /// Bytes of the file that were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Bytes from the start of the file to where it makes sense.
    pub(super) fn sound(&self) -> usize {
        self.sound
    }

    /// Runs commands until `stretch` bytes were read; true when the file is at its end.
    pub(super) fn step(&mut self, stretch: usize, target: &mut impl Run) -> Result<bool, Damage> {
        let stop = self.at.saturating_add(stretch);
        while self.at < stop {
            match self.next() {
                Next::Command(args) => self.command(args, target)?,
                Next::End if self.transaction.is_some() => return Err(Damage::Truncated),
                Next::End => return Ok(true),
                Next::Damage(damage) => return Err(damage),
            }
        }
        Ok(false)
    }

    fn command(&mut self, args: Vec<&'a [u8]>, target: &mut impl Run) -> Result<(), Damage> {
        let name = args.first().copied().unwrap_or_default();
        let mut run = |args: &[&[u8]]| {
            let name = args.first().copied().unwrap_or_default();
            if target.run(args) {
                Ok(())
            } else {
                Err(Damage::Unknown(String::from_utf8_lossy(name).into_owned()))
            }
        };
        if name.eq_ignore_ascii_case(b"MULTI") {
            self.transaction.get_or_insert_default();
        } else if name.eq_ignore_ascii_case(b"EXEC") {
            for args in self.transaction.take().unwrap_or_default() {
                run(&args)?;
            }
        } else if let Some(transaction) = &mut self.transaction {
            transaction.push(args);
        } else {
            run(&args)?;
        }
        if self.transaction.is_none() {
            self.sound = self.at;
        }
        Ok(())
    }

    /// The line at the place, without its end: the file's end is one as well.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let window = &rest[..rest.len().min(MAX_LINE)];
        let length = window.iter().position(|byte| *byte == b'\n').map_or(window.len(), |end| end + 1);
        self.at += length;
        Some(&rest[..length])
    }

    fn next(&mut self) -> Next<'a> {
        let line = loop {
            match self.line() {
                None => return Next::End,
                Some([b'#', ..]) => {}
                Some(line) => break line,
            }
        };
        let [b'*', count @ ..] = line else { return Next::Damage(Damage::Malformed) };
        if count.is_empty() {
            return Next::Damage(Damage::Truncated);
        }
        let Some(count @ 1..) = number(count) else { return Next::Damage(Damage::Malformed) };
        let mut args = Vec::new();
        for _ in 0..count {
            let length = match self.line() {
                None => return Next::Damage(Damage::Truncated),
                Some([b'$', length @ ..]) => length,
                Some(_) => return Next::Damage(Damage::Malformed),
            };
            // No digit yet, because the file ends here, counts as nothing, as `strtol` has it.
            let Some(length) = number(length) else { return Next::Damage(Damage::Malformed) };
            let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
            let argument = end.and_then(|end| self.bytes.get(self.at..end));
            // What stands where the line should end is not looked at.
            let next = end.and_then(|end| end.checked_add(2)).filter(|next| *next <= self.bytes.len());
            let (Some(argument), Some(next)) = (argument, next) else {
                return Next::Damage(Damage::Truncated);
            };
            args.push(argument);
            self.at = next;
        }
        Next::Command(args)
    }
}

/// The number at the start of a line, whatever follows; nothing is zero. `None` if it is negative or too large.
fn number(line: &[u8]) -> Option<u64> {
    if line.first() == Some(&b'-') {
        return None;
    }
    line.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(text: &str) -> (Result<bool, Damage>, usize, Vec<String>) {
        let mut seen = Vec::new();
        let mut replay = Replay::new(text.as_bytes(), 0);
        let mut target = |args: &[&[u8]]| {
            let words: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
            seen.push(words.join(" "));
            words[0] != "NO"
        };
        let end = replay.step(usize::MAX, &mut target);
        let sound = replay.sound();
        (end, sound, seen)
    }

    const SET: &str = "*2\r\n$3\r\nSET\r\n$1\r\na\r\n";
    const MULTI: &str = "*1\r\n$5\r\nMULTI\r\n";
    const EXEC: &str = "*1\r\n$4\r\nEXEC\r\n";

    #[test]
    fn a_file_cut_anywhere_is_sound_up_to_its_last_whole_command_or_transaction() {
        let file = format!("{SET}#TS:123\r\n{SET}{MULTI}{SET}{SET}{EXEC}{SET}");
        let ends = [SET.len(), 2 * SET.len() + 9, file.len() - SET.len(), file.len()];
        for cut in 0..=file.len() {
            let (end, sound, seen) = replay(&file[..cut]);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(sound, ends[..whole].last().copied().unwrap_or(0), "cut at {cut}");
            assert_eq!(seen.len(), [0, 1, 2, 4, 5][whole], "cut at {cut}");
            // What is left of an annotation is skipped as one.
            let at_end = sound == cut || file.as_bytes()[sound] == b'#' && cut <= SET.len() + 9;
            assert_eq!(end, if at_end { Ok(true) } else { Err(Damage::Truncated) }, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_command_is_told_from_what_is_cut() {
        for (text, damage) in [
            ("\0\0\0", Damage::Malformed),
            ("*x\r\n", Damage::Malformed),
            ("*0\r\n", Damage::Malformed),
            ("*-1\r\n", Damage::Malformed),
            ("*1\r\n*1\r\n", Damage::Malformed),
            ("*1\r\n$-1\r\n", Damage::Malformed),
            ("*1\r\n$99999999999999999999\r\n", Damage::Malformed),
            ("*1\r\n$9999999999999999999\r\n", Damage::Truncated),
            ("*999999999999\r\n$1\r\na\r\n", Damage::Truncated),
            ("*1\r\n$2\r\nNO\r\n", Damage::Unknown("NO".into())),
        ] {
            let (end, sound, seen) = replay(&format!("{SET}{text}"));
            assert_eq!((end, sound), (Err(damage), SET.len()), "{text:?}");
            assert_eq!(seen[0], "SET a");
        }
    }
}
