//! Every random choice of a simulation, recorded and replayed.
//!
//! All generators are [`Source`]s, one for each purpose (the scheduler, the network, each host, …). With
//! [`Config::record`] each writes what it drew to a stream of its own; the streams together are [`Choices`], which
//! [`Config::replay`] takes back: the sources then give what was recorded as far as it fits. A recording replays a
//! run under any seed, and still does when a generator, or how it is seeded, has changed since.
//!
//! ## The byte form
//! `RHCH`, the version (1), the number of streams; then each stream by ascending name: length of the name, name
//! (UTF-8), number of choices, length in bytes, choices; at the end XXH3-64 over all that, little-endian. Numbers are
//! LEB128. A choice begins with a byte: below 252 it is an index itself; 252 an index as LEB128; 253 and four
//! bytes, 254 and eight bytes, an integer, little-endian; 255 a length as LEB128 and so many bytes.
//!
//! [`Config::record`]: crate::sim::Config::record
//! [`Config::replay`]: crate::sim::Config::replay

mod bytes;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

pub use self::bytes::ChoicesError;
use self::bytes::Stream;
use crate::interpose;

/// One choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// One of several, counted from 0: a task among those that are ready, a number of a range.
    Index(u64),
    /// 32 bits.
    Bits32(u32),
    /// 64 bits.
    Bits64(u64),
    /// That many bytes.
    Bytes(Vec<u8>),
}

/// The choices of a run, by purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    streams: BTreeMap<String, Stream>,
}

impl Choices {
    /// The purposes and how many choices each has, by name.
    pub fn streams(&self) -> impl Iterator<Item = (&str, u64)> {
        self.streams.iter().map(|(name, stream)| (name.as_str(), stream.count))
    }

    /// How many choices there are in all.
    pub fn count(&self) -> u64 {
        self.streams.values().map(|stream| stream.count).sum()
    }

    /// The choices of one purpose; none for a purpose that made none.
    pub fn of(&self, purpose: &str) -> Vec<Choice> {
        self.streams.get(purpose).map(|stream| stream.choices().collect()).unwrap_or_default()
    }

    /// Replaces the choices of one purpose: how a record is edited.
    pub fn set(&mut self, purpose: &str, choices: impl IntoIterator<Item = Choice>) {
        let mut stream = Stream::default();
        choices.into_iter().for_each(|choice| stream.push(&choice));
        self.streams.insert(purpose.to_owned(), stream);
    }

    /// The byte form; see the module.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes::write(&self.streams)
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// For anything that [`Choices::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Choices, ChoicesError> {
        bytes::read(bytes).map(|streams| Choices { streams })
    }
}

/// How far a recording fitted the run that replayed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Choices in the recording.
    pub recorded: u64,
    /// Choices taken from it.
    pub taken: u64,
    /// The first choice that had to be drawn instead. `None`: everything that the run asked for was there.
    pub first_mismatch: Option<Mismatch>,
}

impl Replayed {
    /// Did the run take exactly what was recorded, all of it?
    pub fn is_exact(&self) -> bool {
        self.first_mismatch.is_none() && self.taken == self.recorded
    }
}

/// Where a recording first failed to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The purpose.
    pub stream: String,
    /// Which of its choices, from 0.
    pub position: u64,
    /// Simulated time since the start.
    pub at: Duration,
    /// In what way.
    pub why: Misfit,
}

/// In what way a recorded choice does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The recording has no more choices for this purpose.
    Ended,
    /// The recorded index is too large for what there is to choose from.
    OutOfRange {
        /// What was recorded.
        index: u64,
        /// How many there are to choose from.
        among: u64,
    },
    /// The recording has a choice of another kind here.
    OtherKind,
}

thread_local! {
    /// The recorder of this thread's simulation; a thread runs one in its life.
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

struct Desk {
    record: bool,
    replay: Option<Choices>,
    recorded: u64,
    tapes: BTreeMap<String, Rc<RefCell<Tape>>>,
    replayed: Rc<RefCell<Replaying>>,
    /// The machine's randomness as the C library gives it.
    entropy: Option<Source>,
}

#[derive(Default)]
struct Replaying {
    taken: u64,
    first_mismatch: Option<Mismatch>,
}

/// One purpose's stream while it is written, read, or both.
struct Tape {
    name: String,
    written: Option<Stream>,
    /// What is left to replay.
    read: Option<bytes::Reader>,
    position: u64,
    replaying: Rc<RefCell<Replaying>>,
}

/// Starts to record, to replay, or both; sources made from now on take part.
pub(crate) fn begin(record: bool, replay: Option<Choices>) {
    if !record && replay.is_none() {
        return;
    }
    let recorded = replay.as_ref().map_or(0, Choices::count);
    let desk =
        Desk { record, replay, recorded, tapes: BTreeMap::new(), replayed: Rc::default(), entropy: None };
    DESK.with(|cell| *cell.borrow_mut() = Some(desk));
    // What it draws itself does not matter: it passes on what the C library's override draws.
    let entropy = Source::new(ChaCha8Rng::from_seed([0; 32]), "entropy");
    with_desk(|desk| desk.entropy = Some(entropy));
    interpose::tape_entropy();
}

/// Ends the recording: what was recorded, and how far the replay fitted.
pub(crate) fn end() -> (Option<Choices>, Option<Replayed>) {
    let Some(desk) = DESK.with(|cell| cell.borrow_mut().take()) else { return (None, None) };
    let streams = desk.tapes.into_iter().filter_map(|(name, tape)| {
        let stream = tape.borrow_mut().written.take()?;
        (stream.count > 0).then_some((name, stream))
    });
    let choices = desk.record.then(|| Choices { streams: streams.collect() });
    let replaying = std::mem::take(&mut *desk.replayed.borrow_mut());
    let replayed = desk.replay.is_some().then_some(Replayed {
        recorded: desk.recorded,
        taken: replaying.taken,
        first_mismatch: replaying.first_mismatch,
    });
    (choices, replayed)
}

/// Passes eight bytes of the machine's randomness through the recorder.
#[cfg(not(madsim))]
pub(crate) fn entropy(drawn: u64) -> u64 {
    let taken = DESK.try_with(|cell| {
        let mut desk = cell.try_borrow_mut().ok()?;
        let tape = desk.as_mut()?.entropy.as_mut()?.tape.clone()?;
        drop(desk);
        Some(tape.borrow_mut().bits64(drawn))
    });
    taken.ok().flatten().unwrap_or(drawn)
}

fn with_desk<R>(f: impl FnOnce(&mut Desk) -> R) -> Option<R> {
    DESK.try_with(|cell| cell.borrow_mut().as_mut().map(f)).ok().flatten()
}

impl Desk {
    fn tape(&mut self, purpose: &str) -> Rc<RefCell<Tape>> {
        // A second source for the same purpose has a stream of its own, numbered in the order of creation.
        let mut name = purpose.to_owned();
        let mut number = 1;
        while self.tapes.contains_key(&name) {
            number += 1;
            name = format!("{purpose} #{number}");
        }
        let read = self.replay.as_mut().map(|choices| {
            let stream = choices.streams.remove(&name).unwrap_or_default();
            bytes::Reader::new(stream)
        });
        let written = self.record.then(Stream::default);
        let replaying = Rc::clone(&self.replayed);
        let tape = Tape { name: name.clone(), written, read, position: 0, replaying };
        let tape = Rc::new(RefCell::new(tape));
        self.tapes.insert(name, Rc::clone(&tape));
        tape
    }
}

impl Tape {
    fn note(&mut self, choice: &Choice) {
        if let Some(written) = &mut self.written {
            written.push(choice);
        }
    }

    /// The recorded choice, if `fits` accepts it. Counts; the caller notes what is used in the end.
    fn replay<T>(&mut self, fits: impl FnOnce(Choice) -> Result<T, Misfit>) -> Option<T> {
        let read = self.read.as_mut()?;
        let result = read.next().ok_or(Misfit::Ended).and_then(fits);
        let position = self.position;
        self.position += 1;
        let mut replaying = self.replaying.borrow_mut();
        match result {
            Ok(value) => {
                replaying.taken += 1;
                Some(value)
            }
            Err(why) => {
                replaying.first_mismatch.get_or_insert_with(|| Mismatch {
                    stream: self.name.clone(),
                    position,
                    at: Duration::from_nanos(interpose::now_ns()),
                    why,
                });
                None
            }
        }
    }

    fn index(&mut self, drawn: u64, among: u64) -> u64 {
        let replayed = self.replay(|choice| match choice {
            Choice::Index(index) if index < among => Ok(index),
            Choice::Index(index) => Err(Misfit::OutOfRange { index, among }),
            _ => Err(Misfit::OtherKind),
        });
        let value = replayed.unwrap_or(drawn);
        self.note(&Choice::Index(value));
        value
    }

    fn bits32(&mut self, drawn: u32) -> u32 {
        let replayed = self.replay(|choice| match choice {
            Choice::Bits32(bits) => Ok(bits),
            _ => Err(Misfit::OtherKind),
        });
        let value = replayed.unwrap_or(drawn);
        self.note(&Choice::Bits32(value));
        value
    }

    fn bits64(&mut self, drawn: u64) -> u64 {
        let replayed = self.replay(|choice| match choice {
            Choice::Bits64(bits) => Ok(bits),
            _ => Err(Misfit::OtherKind),
        });
        let value = replayed.unwrap_or(drawn);
        self.note(&Choice::Bits64(value));
        value
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let replayed = self.replay(|choice| match choice {
            Choice::Bytes(recorded) if recorded.len() == bytes.len() => Ok(recorded),
            _ => Err(Misfit::OtherKind),
        });
        if let Some(recorded) = replayed {
            bytes.copy_from_slice(&recorded);
        }
        self.note(&Choice::Bytes(bytes.to_vec()));
    }
}

/// A generator for one purpose: ChaCha8, with a tape on it while the run is recorded or replayed.
///
/// It draws from its generator also while it replays, so that whatever does not fit falls back to what the seed
/// gives at that place. Implements `rand`'s traits.
pub(crate) struct Source {
    random: ChaCha8Rng,
    tape: Option<Rc<RefCell<Tape>>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("taped", &self.tape.is_some()).finish_non_exhaustive()
    }
}

impl Default for Source {
    /// A source for no purpose, to stand in for another.
    fn default() -> Source {
        Source { random: ChaCha8Rng::from_seed([0; 32]), tape: None }
    }
}

impl Source {
    pub(crate) fn new(random: ChaCha8Rng, purpose: &str) -> Source {
        Source { random, tape: with_desk(|desk| desk.tape(purpose)) }
    }

    /// One of `among`, which is not 0, any equally likely (up to a bias below 2⁻³² × `among`). Draws 32 bits.
    #[inline]
    pub(crate) fn index(&mut self, among: u32) -> u32 {
        let drawn = ((u64::from(self.random.next_u32()) * u64::from(among)) >> 32) as u32;
        match &self.tape {
            None => drawn,
            Some(tape) => tape.borrow_mut().index(u64::from(drawn), u64::from(among)) as u32,
        }
    }

    /// One of `among`, which is not 0, any equally likely (up to a bias below 2⁻⁶⁴ × `among`). Draws 64 bits.
    #[inline]
    pub(crate) fn below(&mut self, among: u64) -> u64 {
        let drawn = ((u128::from(self.random.next_u64()) * u128::from(among)) >> 64) as u64;
        match &self.tape {
            None => drawn,
            Some(tape) => tape.borrow_mut().index(drawn, among),
        }
    }

    /// Any 64 bits.
    #[inline]
    pub(crate) fn number(&mut self) -> u64 {
        let drawn = self.random.next_u64();
        match &self.tape {
            None => drawn,
            Some(tape) => tape.borrow_mut().bits64(drawn),
        }
    }
}

impl TryRng for Source {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let drawn = self.random.next_u32();
        Ok(match &self.tape {
            None => drawn,
            Some(tape) => tape.borrow_mut().bits32(drawn),
        })
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.number())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.random.fill_bytes(bytes);
        if let Some(tape) = &self.tape {
            tape.borrow_mut().fill(bytes);
        }
        Ok(())
    }
}
