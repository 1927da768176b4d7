//! Files and directories, the names that lead to them, and which of the names the device knows.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};

use super::content::{Content, Losses, PAGE, Survival};
use super::names::{Entry, NameChange, NameLog, NodeId};

/// Longest name of one file (Linux: `NAME_MAX`), in bytes.
const NAME_BYTES_MAX: usize = 255;

pub(super) const ROOT: NodeId = NodeId(0);

/// The error that Linux gives, by its number.
pub(super) fn os_error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

type Names = BTreeMap<OsString, NodeId>;

#[derive(Debug)]
pub(super) enum Body {
    File(Content),
    Directory { names: Names, durable: Names },
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) body: Body,
    /// Names that stand for it: as processes see it, on the device, and in changes on the way there.
    links: u32,
    /// Open handles.
    opens: u32,
    /// Failed write-backs so far: a handle that has seen fewer has an error to report (Linux: `errseq_t`).
    pub(super) errors: u32,
    /// The last failure has been reported to somebody.
    pub(super) error_reported: bool,
}

impl Node {
    fn new(body: Body) -> Node {
        Node { body, links: 0, opens: 0, errors: 0, error_reported: true }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }
}

fn directory() -> Body {
    Body::Directory { names: Names::new(), durable: Names::new() }
}

/// All files and directories of a disk.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next: u64,
    pub(super) log: NameLog,
    /// Files with changes that have not been written back.
    pub(super) dirty: BTreeSet<NodeId>,
    pub(super) dirty_bytes: u64,
    /// Pages taken by files and directories.
    pub(super) used_pages: u64,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let mut root = Node::new(directory());
        root.links = 1;
        Tree {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: 1,
            log: NameLog::default(),
            dirty: BTreeSet::new(),
            dirty_bytes: 0,
            used_pages: 1,
        }
    }

    /// # Errors
    /// `EBADF`: only handles that the disk no longer knows lead to nodes that are gone.
    pub(super) fn node(&mut self, id: NodeId) -> io::Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(|| os_error(libc::EBADF))
    }

    fn names(&self, id: NodeId) -> io::Result<&Names> {
        match self.nodes.get(&id).map(|node| &node.body) {
            Some(Body::Directory { names, .. }) => Ok(names),
            _ => Err(os_error(libc::ENOTDIR)),
        }
    }

    fn is_directory(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(Node::is_directory)
    }

    /// Works on a file's content, keeping the sums over all files right.
    pub(super) fn content<R>(&mut self, id: NodeId, work: impl FnOnce(&mut Content) -> R) -> io::Result<R> {
        let Body::File(content) = &mut self.node(id)?.body else { return Err(os_error(libc::EISDIR)) };
        let before = (content.allocated(), content.dirty_bytes());
        let result = work(content);
        let after = (content.allocated(), content.dirty_bytes());
        let is_dirty = content.is_dirty();
        self.used_pages = self.used_pages + after.0 - before.0;
        self.dirty_bytes = self.dirty_bytes + after.1 - before.1;
        if is_dirty {
            self.dirty.insert(id);
        } else {
            self.dirty.remove(&id);
        }
        Ok(result)
    }

    /// Follows a path from the root. `.` and `..` are taken literally: there are no symbolic links.
    fn walk(&self, parts: &[&OsStr]) -> io::Result<NodeId> {
        let mut at = ROOT;
        for part in parts {
            at = *self.names(at)?.get(*part).ok_or_else(|| os_error(libc::ENOENT))?;
        }
        Ok(at)
    }

    pub(super) fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        self.walk(&parts(path)?)
    }

    /// The directory that holds a path's last name, and that name.
    pub(super) fn place(&self, path: &Path) -> io::Result<(NodeId, OsString)> {
        let parts = parts(path)?;
        let Some((name, above)) = parts.split_last() else { return Err(os_error(libc::EBUSY)) };
        let directory = self.walk(above)?;
        self.names(directory)?;
        Ok((directory, (*name).to_owned()))
    }

    pub(super) fn entry(&self, directory: NodeId, name: &OsStr) -> Option<NodeId> {
        self.names(directory).ok()?.get(name).copied()
    }

    /// Names in a directory, in order, and whether each is a directory.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let names = self.names(self.resolve(path)?)?;
        Ok(names.iter().map(|(name, id)| (name.clone(), self.is_directory(*id))).collect())
    }

    pub(super) fn create(
        &mut self,
        (place, name): (NodeId, OsString),
        is_directory: bool,
        now_ns: u64,
    ) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        let body = if is_directory { directory() } else { Body::File(Content::default()) };
        self.used_pages += u64::from(is_directory);
        self.nodes.insert(id, Node::new(body));
        self.change(vec![Entry { directory: place, name, node: Some(id) }], false, now_ns);
        id
    }

    pub(super) fn remove(&mut self, path: &Path, directory: bool, now_ns: u64) -> io::Result<()> {
        let (place, name) = self.place(path)?;
        let id = self.entry(place, &name).ok_or_else(|| os_error(libc::ENOENT))?;
        match (directory, self.names(id)) {
            (false, Ok(_)) => return Err(os_error(libc::EISDIR)),
            (true, Err(error)) => return Err(error),
            (true, Ok(names)) if !names.is_empty() => return Err(os_error(libc::ENOTEMPTY)),
            _ => {}
        }
        self.change(vec![Entry { directory: place, name, node: None }], directory, now_ns);
        Ok(())
    }

    /// Gives a file or directory another name, replacing what had it: nobody ever sees neither or both.
    pub(super) fn rename(&mut self, from: &Path, to: &Path, now_ns: u64) -> io::Result<()> {
        let (old_place, old_name) = self.place(from)?;
        let (new_place, new_name) = self.place(to)?;
        let id = self.entry(old_place, &old_name).ok_or_else(|| os_error(libc::ENOENT))?;
        let moves_directory = self.is_directory(id);
        let (old_parts, new_parts) = (parts(from)?, parts(to)?);
        if moves_directory && new_parts.len() > old_parts.len() && new_parts.starts_with(&old_parts) {
            return Err(os_error(libc::EINVAL));
        }
        if let Some(target) = self.entry(new_place, &new_name) {
            match (moves_directory, self.names(target)) {
                _ if target == id => return Ok(()),
                (true, Err(error)) => return Err(error),
                (true, Ok(names)) if !names.is_empty() => return Err(os_error(libc::ENOTEMPTY)),
                (false, Ok(_)) => return Err(os_error(libc::EISDIR)),
                _ => {}
            }
        }
        let gone = Entry { directory: old_place, name: old_name, node: None };
        let there = Entry { directory: new_place, name: new_name, node: Some(id) };
        self.change(vec![gone, there], moves_directory, now_ns);
        Ok(())
    }

    /// Sets names as processes see them, and notes that the device does not know.
    fn change(&mut self, entries: Vec<Entry>, moves_directory: bool, now_ns: u64) {
        for entry in &entries {
            self.link(entry.node);
            self.set(entry, false);
        }
        self.log.push(now_ns, entries, moves_directory);
    }

    /// The device learns of changes.
    pub(super) fn commit(&mut self, changes: Vec<NameChange>) {
        for entry in changes.into_iter().flat_map(|change| change.entries) {
            self.set(&entry, true);
            self.unlink(entry.node);
        }
    }

    fn set(&mut self, entry: &Entry, on_device: bool) {
        self.link(entry.node);
        let Some(Node { body: Body::Directory { names, durable }, .. }) =
            self.nodes.get_mut(&entry.directory)
        else {
            self.unlink(entry.node);
            return;
        };
        let names = if on_device { durable } else { names };
        let before = match entry.node {
            Some(node) => names.insert(entry.name.clone(), node),
            None => names.remove(&entry.name),
        };
        self.unlink(before);
    }

    fn link(&mut self, id: Option<NodeId>) {
        if let Some(node) = id.and_then(|id| self.nodes.get_mut(&id)) {
            node.links += 1;
        }
    }

    fn unlink(&mut self, id: Option<NodeId>) {
        if let Some((id, node)) = id.and_then(|id| Some((id, self.nodes.get_mut(&id)?))) {
            node.links -= 1;
            self.free_if_unused(id);
        }
    }

    pub(super) fn open(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.opens += 1;
        }
    }

    pub(super) fn close(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.opens = node.opens.saturating_sub(1);
            self.free_if_unused(id);
        }
    }

    /// All handles are gone at once.
    pub(super) fn close_all(&mut self) {
        let open: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.opens > 0).map(|(id, _)| *id).collect();
        for id in open {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.opens = 0;
            }
            self.free_if_unused(id);
        }
    }

    /// Forgets what no name and no handle leads to any more, with all that only it led to.
    fn free_if_unused(&mut self, id: NodeId) {
        let mut unused = vec![id];
        while let Some(id) = unused.pop() {
            if self.nodes.get(&id).is_none_or(|node| node.links > 0 || node.opens > 0) {
                continue;
            }
            let Some(node) = self.nodes.remove(&id) else { continue };
            self.dirty.remove(&id);
            match node.body {
                Body::File(content) => {
                    self.used_pages -= content.allocated();
                    self.dirty_bytes -= content.dirty_bytes();
                }
                Body::Directory { names, durable } => {
                    self.used_pages -= 1;
                    for child in names.into_values().chain(durable.into_values()) {
                        if let Some(child_node) = self.nodes.get_mut(&child) {
                            child_node.links -= 1;
                            unused.push(child);
                        }
                    }
                }
            }
        }
    }

    /// The power fails: the tree becomes what the device holds.
    pub(super) fn lose_power(&mut self, how: &Survival, random: &mut impl rand::Rng, losses: &mut Losses) {
        let known = self.log.lose_power(how, random, losses);
        for entry in known.into_iter().flat_map(|change| change.entries) {
            self.set(&entry, true);
        }
        let mut links: BTreeMap<NodeId, u32> = BTreeMap::from([(ROOT, 1)]);
        let mut reached = vec![ROOT];
        while let Some(id) = reached.pop() {
            let Some(Node { body: Body::Directory { names, durable }, .. }) = self.nodes.get_mut(&id) else {
                continue;
            };
            names.clone_from(durable);
            for child in names.values() {
                // Once by the name that processes see, once by that on the device.
                *links.entry(*child).or_default() += 2;
                reached.push(*child);
            }
        }
        self.nodes.retain(|id, _| links.contains_key(id));
        (self.used_pages, self.dirty_bytes) = (0, 0);
        self.dirty.clear();
        for (id, node) in &mut self.nodes {
            (node.links, node.opens, node.errors, node.error_reported) = (links[id], 0, 0, true);
            self.used_pages += match &mut node.body {
                Body::Directory { .. } => 1,
                Body::File(content) => {
                    content.lose_power(how, random, losses);
                    content.allocated()
                }
            };
        }
    }

    /// Room taken, in bytes.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_pages * PAGE
    }
}

/// The names on the way to a path; a relative path starts at the root as well.
///
/// # Errors
/// `ENAMETOOLONG` for a name above 255 bytes, `InvalidInput` for one with a zero byte, as the standard library says.
fn parts(path: &Path) -> io::Result<Vec<&OsStr>> {
    if path.as_os_str().is_empty() {
        return Err(os_error(libc::ENOENT));
    }
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => {
                if name.len() > NAME_BYTES_MAX {
                    return Err(os_error(libc::ENAMETOOLONG));
                }
                if name.as_encoded_bytes().contains(&0) {
                    let message = "file name contained an unexpected NUL byte";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
                }
                parts.push(name);
            }
        }
    }
    Ok(parts)
}
