//! The bytes of one file: as processes see them, and as the device holds them.
//!
//! Processes see `pages` and `len`. Where the device holds something else, its page is in `stale`, and the changes
//! that lead from there to here wait in `log`. Writing back moves the device along the log; losing power chooses how
//! far each page had come, and makes that what processes see.

use std::collections::{BTreeMap, VecDeque};

use rand::Rng;

use super::durability::{Torn, Unsynced};

/// The unit in which the page cache writes back; the device overwrites a page's sectors in any order.
pub(super) const PAGE: u64 = 4096;
/// What a device writes whole or not at all, unless [`Torn::Byte`] says otherwise.
const SECTOR: usize = 512;

/// One page as processes see it. What lies behind the end of `bytes` is zero.
#[derive(Debug, Default, Clone)]
struct Page {
    bytes: Vec<u8>,
    /// In memory? If not, reading it takes an input from the device.
    cached: bool,
}

/// What the device holds of a page that has changed in memory.
#[derive(Debug, Default)]
struct Stale {
    /// Empty where the device has nothing: it reads as zeros.
    bytes: Vec<u8>,
    /// Changes of this page in the log.
    changes: u32,
    /// A write-back failed and the page counts as clean: only a later change of the page brings it to the device.
    given_up: bool,
}

#[derive(Debug)]
enum Change {
    Write {
        page: u64,
        at: usize,
        bytes: Box<[u8]>,
    },
    /// The file grew to this length.
    Grow(u64),
    /// The file was cut to this length.
    Cut(u64),
}

#[derive(Debug)]
struct Logged {
    number: u64,
    at_ns: u64,
    change: Change,
}

/// The content of one file.
#[derive(Debug, Default)]
pub(super) struct Content {
    len: u64,
    pages: BTreeMap<u64, Page>,
    stale: BTreeMap<u64, Stale>,
    durable_len: u64,
    log: VecDeque<Logged>,
    next: u64,
    dirty_bytes: u64,
    /// Cuts in the log.
    cuts: usize,
}

/// What the power loss did to unsynced changes of one or more files and to unsynced names.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Page writes of which nothing reached the device.
    pub(crate) lost: u64,
    /// Page writes of which a part reached the device.
    pub(crate) torn: u64,
    /// Page writes and names that reached the device without having been synced.
    pub(crate) survived: u64,
    /// Creations, renames and removals that did not reach the device.
    pub(crate) names_lost: u64,
}

impl Losses {
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, count) in
            bytes.chunks_exact_mut(8).zip([self.lost, self.torn, self.survived, self.names_lost])
        {
            chunk.copy_from_slice(&count.to_le_bytes());
        }
        bytes
    }
}

fn overlay(page: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if page.len() < at + bytes.len() {
        page.resize(at + bytes.len(), 0);
    }
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Pages that take room on the device.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Bytes written and not yet written back.
    pub(super) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.log.is_empty()
    }

    /// Does the length that the device knows differ, so that syncing must also commit metadata?
    pub(super) fn is_len_dirty(&self) -> bool {
        self.len != self.durable_len
    }

    /// A number above all changes so far: what [`Content::write_back`] is to cover.
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    /// The mark that covers all changes made at or before a moment.
    pub(super) fn mark_until(&self, at_ns: u64) -> u64 {
        let later = self.log.iter().find(|logged| logged.at_ns > at_ns);
        later.map_or(self.next, |logged| logged.number)
    }

    fn log(&mut self, at_ns: u64, change: Change) {
        self.log.push_back(Logged { number: self.next, at_ns, change });
        self.next += 1;
    }

    /// Reads up to `buffer.len()` bytes; fewer at the end of the file.
    pub(super) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> usize {
        let count = (self.len.saturating_sub(offset)).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let position = offset + done as u64;
            let (number, at) = (position / PAGE, (position % PAGE) as usize);
            let size = (PAGE as usize - at).min(count - done);
            let target = &mut buffer[done..done + size];
            target.fill(0);
            if let Some(page) = self.pages.get_mut(&number) {
                page.cached = true;
                if let Some(bytes) = page.bytes.get(at..) {
                    let size = size.min(bytes.len());
                    target[..size].copy_from_slice(&bytes[..size]);
                }
            }
            done += size;
        }
        count
    }

    /// Bytes of the range that must come from the device.
    pub(super) fn uncached(&self, offset: u64, len: usize) -> u64 {
        let end = offset.saturating_add(len as u64).min(self.len);
        if offset >= end {
            return 0;
        }
        let pages = self.pages.range(offset / PAGE..=(end - 1) / PAGE);
        pages.filter(|(_, page)| !page.cached).count() as u64 * PAGE
    }

    /// Pages that writing this range would newly take.
    pub(super) fn is_allocated(&self, page: u64) -> bool {
        self.pages.contains_key(&page)
    }

    /// Writes within one page.
    pub(super) fn write_in_page(&mut self, offset: u64, bytes: &[u8], now_ns: u64) {
        let (number, at) = (offset / PAGE, (offset % PAGE) as usize);
        let page = self.pages.entry(number).or_default();
        let stale = self.stale.entry(number);
        stale.or_insert_with(|| Stale { bytes: page.bytes.clone(), ..Stale::default() }).changes += 1;
        overlay(&mut page.bytes, at, bytes);
        page.cached = true;
        self.dirty_bytes += bytes.len() as u64;
        self.log(now_ns, Change::Write { page: number, at, bytes: bytes.into() });
        self.grow(offset + bytes.len() as u64, now_ns);
    }

    fn grow(&mut self, len: u64, now_ns: u64) {
        if len > self.len {
            self.len = len;
            self.log(now_ns, Change::Grow(len));
        }
    }

    /// Cuts the file, or lengthens it by zeros that take no room.
    pub(super) fn set_len(&mut self, len: u64, now_ns: u64) {
        if len >= self.len {
            self.grow(len, now_ns);
            return;
        }
        self.len = len;
        let (boundary, rest) = (len / PAGE, (len % PAGE) as usize);
        for (number, page) in self.pages.split_off(&boundary) {
            let kept = (number == boundary && rest > 0).then(|| {
                let bytes = page.bytes[..page.bytes.len().min(rest)].to_vec();
                Page { bytes, cached: page.cached }
            });
            self.stale.entry(number).or_insert_with(|| Stale { bytes: page.bytes, ..Stale::default() });
            if let Some(kept) = kept {
                self.pages.insert(number, kept);
            }
        }
        self.log(now_ns, Change::Cut(len));
        self.cuts += 1;
    }

    /// Brings all changes below the mark to the device. Returns the number of bytes written.
    pub(super) fn write_back(&mut self, mark: u64) -> u64 {
        let mut bytes_written = 0;
        while self.log.front().is_some_and(|logged| logged.number < mark) {
            let Some(logged) = self.log.pop_front() else { break };
            match logged.change {
                Change::Write { page, at, bytes } => {
                    bytes_written += bytes.len() as u64;
                    self.dirty_bytes -= bytes.len() as u64;
                    self.write_page_back(page, at, &bytes);
                }
                Change::Grow(len) => self.durable_len = len,
                Change::Cut(len) => {
                    self.cuts -= 1;
                    self.cut_device(len);
                }
            }
        }
        bytes_written
    }

    fn write_page_back(&mut self, number: u64, at: usize, bytes: &[u8]) {
        let Some(stale) = self.stale.get_mut(&number) else { return };
        overlay(&mut stale.bytes, at, bytes);
        stale.changes -= 1;
        // The page goes to the device as a whole: what an earlier failure left out goes with it.
        if std::mem::take(&mut stale.given_up)
            && let Some(page) = self.pages.get(&number)
        {
            stale.bytes.clone_from(&page.bytes);
        }
        if stale.changes == 0 && !self.cut_pending(number) {
            self.stale.remove(&number);
        }
    }

    /// Is a cut in the log that the device has yet to make to this page?
    fn cut_pending(&self, number: u64) -> bool {
        let from = number * PAGE + PAGE;
        self.cuts > 0 && self.log.iter().any(|logged| matches!(logged.change, Change::Cut(len) if len < from))
    }

    fn cut_device(&mut self, len: u64) {
        self.durable_len = len;
        let (boundary, rest) = (len / PAGE, (len % PAGE) as usize);
        if let Some(stale) = self.stale.get_mut(&boundary) {
            stale.bytes.truncate(rest);
        }
        let first_gone = if rest == 0 { boundary } else { boundary + 1 };
        for stale in self.stale.range_mut(first_gone..).map(|(_, stale)| stale) {
            stale.bytes.clear();
            stale.given_up = false;
        }
        let settled: Vec<u64> = self.stale.range(boundary..).map(|(number, _)| *number).collect();
        for number in settled {
            let stale = &self.stale[&number];
            if stale.changes == 0 && !stale.given_up && !self.cut_pending(number) {
                self.stale.remove(&number);
            }
        }
    }

    /// A write-back of everything below the mark fails: the pages count as clean, and keep in memory what they hold.
    /// Lengths stay to be written: they are metadata, which the journal carries.
    pub(super) fn give_up(&mut self, mark: u64) {
        let log = std::mem::take(&mut self.log);
        for logged in log {
            match &logged.change {
                Change::Write { page, bytes, .. } if logged.number < mark => {
                    self.dirty_bytes -= bytes.len() as u64;
                    if let Some(stale) = self.stale.get_mut(page) {
                        stale.changes -= 1;
                        stale.given_up = true;
                    }
                }
                _ => self.log.push_back(logged),
            }
        }
    }

    /// The power fails: processes will see what the device holds, which may include changes that were never synced.
    pub(super) fn lose_power(&mut self, how: &Survival, random: &mut impl Rng, losses: &mut Losses) {
        self.reach_the_device(how, random, losses);
        for (number, stale) in std::mem::take(&mut self.stale) {
            if stale.bytes.is_empty() {
                self.pages.remove(&number);
            } else {
                self.pages.insert(number, Page { bytes: stale.bytes, cached: false });
            }
        }
        self.len = self.durable_len;
        let (boundary, rest) = (self.len / PAGE, (self.len % PAGE) as usize);
        let mut behind = self.pages.split_off(&boundary);
        if let Some(mut page) = behind.remove(&boundary).filter(|_| rest > 0) {
            page.bytes.truncate(rest);
            self.pages.insert(boundary, page);
        }
        self.pages.values_mut().for_each(|page| page.cached = false);
        self.dirty_bytes = 0;
    }

    /// Applies to the device what by choice had come that far.
    ///
    /// Lengths are metadata: cuts happen in order, and nothing written after a cut is there without it, since the
    /// journal frees blocks before they are used again. Within that, each page has come any number of its changes
    /// far, whatever the other pages did, and the length any number of its steps.
    fn reach_the_device(&mut self, how: &Survival, random: &mut impl Rng, losses: &mut Losses) {
        self.cuts = 0;
        let log: Vec<Change> =
            std::mem::take(&mut self.log).into_iter().map(|logged| logged.change).collect();
        let cuts = log.iter().filter(|change| matches!(change, Change::Cut(_))).count();
        let cuts_made = how.reached(cuts, random);
        let next_cut = positions(&log, |change| matches!(change, Change::Cut(_))).nth(cuts_made);
        let end = next_cut.unwrap_or(log.len());
        let writes = log.iter().filter(|change| matches!(change, Change::Write { .. })).count() as u64;
        let mut planned: BTreeMap<u64, usize> = BTreeMap::new();
        for change in &log[..end] {
            if let Change::Write { page, .. } = change {
                *planned.entry(*page).or_default() += 1;
            }
        }
        let mut reached: BTreeMap<u64, (usize, bool)> = BTreeMap::new();
        for (page, changes) in planned {
            let whole = how.reached(changes, random);
            let torn = whole < changes && how.tears(random);
            reached.insert(page, (whole, torn));
        }
        let (survived_before, torn_before) = (losses.survived, losses.torn);
        for change in &log[..end] {
            match change {
                Change::Cut(len) => self.cut_device(*len),
                Change::Grow(_) => {}
                Change::Write { page, at, bytes } => {
                    let Some((whole, torn)) = reached.get_mut(page) else { continue };
                    let stale = self.stale.entry(*page).or_default();
                    if *whole > 0 {
                        *whole -= 1;
                        losses.survived += 1;
                        overlay(&mut stale.bytes, *at, bytes);
                    } else if std::mem::take(torn) {
                        losses.torn += 1;
                        how.tear(&mut stale.bytes, *at, bytes, random);
                    }
                }
            }
        }
        losses.lost += writes - (losses.survived - survived_before) - (losses.torn - torn_before);
        let last_cut = positions(&log[..end], |change| matches!(change, Change::Cut(_))).last();
        let growth = log[last_cut.map_or(0, |cut| cut + 1)..end].iter();
        let lengths: Vec<u64> = growth
            .filter_map(|change| if let Change::Grow(len) = change { Some(*len) } else { None })
            .collect();
        if let Some(len) = how.reached(lengths.len(), random).checked_sub(1).map(|step| lengths[step]) {
            self.durable_len = len;
        }
    }

    /// Flips one bit of what the device holds. False when it holds no byte there.
    pub(super) fn rot(&mut self, offset: u64, bit: u32) -> bool {
        let (number, at) = (offset / PAGE, (offset % PAGE) as usize);
        let bytes = match (self.stale.get_mut(&number), self.pages.get_mut(&number)) {
            (Some(stale), _) => Some(&mut stale.bytes),
            (None, Some(page)) => Some(&mut page.bytes),
            (None, None) => None,
        };
        let byte = bytes.and_then(|bytes| bytes.get_mut(at));
        byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }
}

fn positions(log: &[Change], wanted: impl Fn(&Change) -> bool) -> impl Iterator<Item = usize> {
    log.iter().enumerate().filter(move |(_, change)| wanted(change)).map(|(index, _)| index)
}

/// How much of what was not synced survives one power loss.
#[derive(Debug)]
pub(super) struct Survival {
    /// Chance, in quarters, that all changes of one page are there.
    quarters: u32,
    torn: Torn,
}

impl Survival {
    /// Draws the severity of one power loss: from nothing to everything survives, so that the extremes, where mistakes
    /// hide, are met as often as the mixtures.
    pub(super) fn draw(unsynced: Unsynced, torn: Torn, random: &mut impl Rng) -> Survival {
        let quarters = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Any => random.next_u32() % 5,
        };
        // Where nothing survives, nothing is torn.
        let torn = if unsynced == Unsynced::Lost { Torn::Never } else { torn };
        Survival { quarters, torn }
    }

    /// Is one thing there that can only be there or not?
    pub(super) fn survives(&self, random: &mut impl Rng) -> bool {
        random.next_u32() % 4 < self.quarters
    }

    /// How many of so many changes, in order, were made.
    fn reached(&self, changes: usize, random: &mut impl Rng) -> usize {
        match (changes, self.quarters) {
            (0, _) | (_, 0) => 0,
            _ if self.survives(random) => changes,
            _ => (random.next_u64() % changes as u64) as usize,
        }
    }

    fn tears(&self, random: &mut impl Rng) -> bool {
        self.torn != Torn::Never && random.next_u32().is_multiple_of(2)
    }

    /// Writes a part of a change.
    fn tear(&self, page: &mut Vec<u8>, at: usize, bytes: &[u8], random: &mut impl Rng) {
        if self.torn == Torn::Byte {
            let cut = (random.next_u64() % (bytes.len() as u64 + 1)) as usize;
            overlay(page, at, &bytes[..cut]);
            return;
        }
        // The device overwrites sectors in any order.
        let mut from = 0;
        while from < bytes.len() {
            let size = (SECTOR - (at + from) % SECTOR).min(bytes.len() - from);
            if random.next_u32().is_multiple_of(2) {
                overlay(page, at + from, &bytes[from..from + size]);
            }
            from += size;
        }
    }
}
