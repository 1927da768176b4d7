//! Where a command has its keys.

use super::{Command, is};
use crate::number::natural;

/// The places of a command's keys among its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KeyPlaces {
    /// A key apart from the others: the destination of `ZUNIONSTORE` and its like.
    apart: Option<usize>,
    first: usize,
    /// One past the last.
    end: usize,
    step: usize,
}

impl KeyPlaces {
    /// Those of a request, as far as its arguments make sense.
    pub(crate) fn of<A: AsRef<[u8]>>(command: &Command, args: &[A]) -> Self {
        let (first, last, step) = command.keys;
        if first > 0 {
            let last = match usize::try_from(last) {
                Ok(last) => last,
                Err(_) => args.len().saturating_sub(usize::from(last.unsigned_abs())),
            };
            let (first, step) = (usize::from(first.unsigned_abs()), usize::from(step.unsigned_abs()).max(1));
            let places = Self { apart: None, first, end: (last + 1).min(args.len()), step };
            return match command.name {
                // The destination stands before the number of the sources.
                "zunionstore" | "zinterstore" | "zdiffstore" => {
                    Self { apart: Some(1), ..Self::counted(args, 2) }
                }
                _ => places,
            };
        }
        match command.name {
            "eval" | "evalsha" | "eval_ro" | "evalsha_ro" | "blmpop" | "bzmpop" => Self::counted(args, 2),
            "zunion" | "zinter" | "zdiff" | "zintercard" | "sintercard" | "lmpop" | "zmpop" => {
                Self::counted(args, 1)
            }
            "xgroup" | "xinfo" => Self { apart: None, first: 2, end: args.len().min(3), step: 1 },
            "xread" | "xreadgroup" => {
                let streams = args.iter().position(|arg| is(arg.as_ref(), "STREAMS"));
                let first = streams.map_or(args.len(), |place| place + 1);
                let end = first + args.len().saturating_sub(first) / 2;
                Self { apart: None, first, end, step: 1 }
            }
            _ => Self::default(),
        }
    }

    /// The keys follow their number, which is at this place.
    fn counted<A: AsRef<[u8]>>(args: &[A], place: usize) -> Self {
        let count = args.get(place).and_then(|count| natural(count.as_ref())).unwrap_or(0);
        let first = place + 1;
        Self { apart: None, first, end: first.saturating_add(count).min(args.len()), step: 1 }
    }

    /// The keys themselves.
    pub(crate) fn keys<A: AsRef<[u8]>>(self, args: &[A]) -> impl Iterator<Item = &[u8]> {
        let others = (self.first..self.end).step_by(self.step.max(1));
        self.apart.into_iter().chain(others).filter_map(|place| args.get(place).map(AsRef::as_ref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::find;

    #[test]
    fn keys_are_found_where_redis_finds_them() {
        for (request, keys) in [
            ("GET a", "a"),
            ("MSET a 1 b 2", "a b"),
            ("DEL a b c", "a b c"),
            ("PING", ""),
            ("BITOP AND d a b", "d a b"),
            ("EVAL x 2 a b c", "a b"),
            ("EVALSHA x 0 a", ""),
            ("EVAL x 99 a", "a"),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
            ("ZUNION 2 a b WITHSCORES", "a b"),
            ("LMPOP 1 a LEFT", "a"),
            ("XREAD COUNT 2 STREAMS a b 0 0", "a b"),
            ("XREADGROUP GROUP g c STREAMS a >", "a"),
            ("RENAME a b", "a b"),
            ("BLPOP a b 0", "a b"),
            ("BLMPOP 0 2 a b LEFT", "a b"),
            ("XGROUP CREATE a g $", "a"),
            ("XINFO HELP", ""),
            ("SSUBSCRIBE a b", "a b"),
            ("WATCH a b", "a b"),
            ("SMOVE a b m", "a b"),
        ] {
            let args: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
            let command = find(args[0]).expect("in the table");
            let found: Vec<_> =
                KeyPlaces::of(command, &args).keys(&args).map(String::from_utf8_lossy).collect();
            assert_eq!(found.join(" "), keys, "{request}");
        }
    }
}
