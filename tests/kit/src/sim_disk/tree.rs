//! Names and what they point at: directories, the name operations that no directory sync has covered
//! yet, and what a crash leaves of them.
//!
//! Rules (ALICE): each creation, removal and rename is lost or done on its own, a rename never half,
//! until its directory is synced (either directory of a rename across two). What was done to one
//! name happens in order: the later operation is never there without the earlier one. The removal of
//! a directory is never there without what emptied it. Syncing a file says nothing about its name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use super::file::{CrashPlan, FileState};
use super::random::Random;

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOTEMPTY: i32 = 39;

/// A file or directory, whatever its name is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Id(u64);

const ROOT: Id = Id(0);

/// A name in a directory.
type Slot = (Id, Arc<str>);
type Names = BTreeMap<Arc<str>, Id>;

#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<Id, Arc<Node>>,
    pending: Arc<Vec<Arc<NameOperation>>>,
    next_id: u64,
    moment: u64,
}

#[derive(Clone, Debug)]
enum Node {
    File(FileState),
    Dir(Dir),
}

#[derive(Clone, Default, Debug)]
struct Dir {
    current: Arc<Names>,
    durable: Arc<Names>,
}

/// Frees a name, gives a name, or both at once (a rename).
#[derive(Debug)]
struct NameOperation {
    at: u64,
    clear: Option<Slot>,
    set: Option<(Slot, Id)>,
    /// The directory that has no name after it.
    removed_dir: Option<Id>,
    /// It moves a directory to another one: kept after everything before it, so that no image
    /// has a directory within itself.
    moves_dir: bool,
}

/// What a walk to a path found.
pub(super) struct Found {
    slot: Slot,
    /// What has that name now.
    pub(super) id: Option<Id>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let root = Arc::new(Node::Dir(Dir::default()));
        Tree {
            nodes: BTreeMap::from([(ROOT, root)]),
            pending: Arc::default(),
            next_id: 1,
            moment: 0,
        }
    }

    /// The directory that a path's last name lies in, and what has that name.
    pub(super) fn find(&self, path: &Path) -> io::Result<Found> {
        let mut names = names_of(path)?;
        let last = names.pop().ok_or_else(|| os_error(EINVAL))?;
        let mut dir = ROOT;
        for name in names {
            dir = *self
                .dir(dir)?
                .current
                .get(&name)
                .ok_or_else(|| os_error(ENOENT))?;
        }
        let id = self.dir(dir)?.current.get(&last).copied();
        Ok(Found {
            slot: (dir, last),
            id,
        })
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<Option<Id>> {
        let found = self.find(path)?.id;
        match found {
            Some(id) => self.file(id).map(|_| Some(id)),
            None => Ok(None),
        }
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<Id> {
        if names_of(path)?.is_empty() {
            return Ok(ROOT);
        }
        let id = self.find(path)?.id.ok_or_else(|| os_error(ENOENT))?;
        self.dir(id).map(|_| id)
    }

    pub(super) fn is_dir(&self, id: Id) -> bool {
        self.dir(id).is_ok()
    }

    pub(super) fn file(&self, id: Id) -> io::Result<&FileState> {
        match self.nodes.get(&id).map(|node| &**node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(os_error(EISDIR)),
            None => Err(os_error(ENOENT)),
        }
    }

    /// Makes the content of all files durable.
    pub(super) fn sync_files(&mut self) {
        for node in self.nodes.values_mut() {
            if let Node::File(file) = Arc::make_mut(node) {
                file.sync();
            }
        }
    }

    /// A file to be changed, and the moment of the change.
    pub(super) fn file_mut(&mut self, id: Id) -> io::Result<(&mut FileState, u64)> {
        self.moment += 1;
        match self.nodes.get_mut(&id).map(Arc::make_mut) {
            Some(Node::File(file)) => Ok((file, self.moment)),
            Some(Node::Dir(_)) => Err(os_error(EISDIR)),
            None => Err(os_error(ENOENT)),
        }
    }

    /// Names in a directory, and whether each is one.
    pub(super) fn list(&self, dir: Id) -> io::Result<Vec<(String, bool)>> {
        let names = &self.dir(dir)?.current;
        Ok(names
            .iter()
            .map(|(name, id)| (name.to_string(), self.is_dir(*id)))
            .collect())
    }

    pub(super) fn create_file(&mut self, at: Found) -> Id {
        self.create(at, Node::File(FileState::default()))
    }

    pub(super) fn create_dir(&mut self, at: Found) -> Id {
        self.create(at, Node::Dir(Dir::default()))
    }

    /// Whether a rename may be done; `false` if there is nothing to do.
    pub(super) fn check_rename(&self, from: &Path, to: &Path) -> io::Result<bool> {
        let (source, target) = (self.find(from)?.id, self.find(to)?.id);
        let source = source.ok_or_else(|| os_error(ENOENT))?;
        if target == Some(source) {
            return Ok(false);
        }
        let moves_dir = self.is_dir(source);
        let (from, to) = (names_of(from)?, names_of(to)?);
        if moves_dir && to.starts_with(&from) {
            return Err(os_error(EINVAL));
        }
        if from.starts_with(&to) {
            return Err(os_error(ENOTEMPTY));
        }
        match target {
            Some(target) if self.is_dir(target) != moves_dir => {
                Err(os_error(if moves_dir { ENOTDIR } else { EISDIR }))
            }
            Some(target) if moves_dir && !self.dir(target)?.current.is_empty() => {
                Err(os_error(ENOTEMPTY))
            }
            _ => Ok(true),
        }
    }

    /// A rename that was checked.
    pub(super) fn rename(&mut self, from: Found, to: Found) {
        let Some(id) = from.id else { return };
        let across = from.slot.0 != to.slot.0;
        let removed_dir = to.id.filter(|id| self.is_dir(*id));
        let moves_dir = across && self.is_dir(id);
        self.apply_name(Some(from.slot), Some((to.slot, id)), removed_dir, moves_dir);
    }

    /// Removes a file or an empty directory.
    pub(super) fn remove(&mut self, at: Found) {
        let removed_dir = at.id.filter(|id| self.is_dir(*id));
        self.apply_name(Some(at.slot), None, removed_dir, false);
    }

    /// Everything below a directory and then itself, children before parents.
    pub(super) fn removal_order(&self, at: Found) -> io::Result<Vec<Found>> {
        let Some(id) = at.id else {
            return Ok(Vec::new());
        };
        let mut order = Vec::new();
        for (name, child) in self.dir(id)?.current.iter() {
            let child = Found {
                slot: (id, Arc::clone(name)),
                id: Some(*child),
            };
            if child.id.is_some_and(|id| self.is_dir(id)) {
                order.append(&mut self.removal_order(child)?);
            } else {
                order.push(child);
            }
        }
        order.push(at);
        Ok(order)
    }

    /// Makes the names in a directory durable, with what they depend on. `in_use` are the files
    /// that are open.
    pub(super) fn sync_dir(&mut self, dir: Id, in_use: impl Iterator<Item = Id>) {
        let mut wanted = Wanted::default();
        let mut kept = vec![false; self.pending.len()];
        for (index, operation) in self.pending.iter().enumerate().rev() {
            if operation.slots().any(|slot| slot.0 == dir) || wanted.has(operation) {
                wanted.add(operation);
                kept[index] = true;
            }
        }
        if !kept.contains(&true) {
            return;
        }
        let before = std::mem::take(&mut self.pending);
        let mut left = Vec::new();
        for (operation, kept) in before.iter().zip(kept) {
            if kept {
                self.make_durable(operation);
            } else {
                left.push(Arc::clone(operation));
            }
        }
        self.pending = Arc::new(left);
        self.collect(in_use);
    }

    /// The same tree for another process.
    pub(super) fn fork(&self) -> Tree {
        let mut tree = self.clone();
        tree.collect(std::iter::empty());
        tree
    }

    /// The tree as a crash may leave it.
    pub(super) fn crash(&self, random: &mut Random) -> Tree {
        let plan = match random.below(8) {
            0 => CrashPlan::Ordered(0),
            1 => CrashPlan::Ordered(self.moment),
            2 => CrashPlan::Ordered(random.between(self.first_pending() - 1, self.moment)),
            _ => CrashPlan::Loose,
        };
        let mut tree = Tree {
            nodes: self.nodes.clone(),
            pending: Arc::default(),
            ..*self
        };
        let eighths = [1, 4, 7][random.below(3) as usize];
        let mut lost = Lost::default();
        for operation in self.pending.iter() {
            let wished = match plan {
                CrashPlan::Ordered(until) => operation.at <= until,
                CrashPlan::Loose => random.chance(eighths),
            };
            if wished && lost.allow(operation) {
                tree.make_durable(operation);
            } else {
                lost.add(operation);
            }
        }
        for node in tree.nodes.values_mut() {
            let settled = match &**node {
                Node::Dir(dir) if Arc::ptr_eq(&dir.current, &dir.durable) => continue,
                Node::Dir(dir) => Node::Dir(Dir {
                    current: Arc::clone(&dir.durable),
                    durable: Arc::clone(&dir.durable),
                }),
                Node::File(file) if file.is_settled() => continue,
                Node::File(file) => Node::File(file.crash(plan, random)),
            };
            *node = Arc::new(settled);
        }
        tree.collect(std::iter::empty());
        tree
    }

    fn dir(&self, id: Id) -> io::Result<&Dir> {
        match self.nodes.get(&id).map(|node| &**node) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(os_error(ENOTDIR)),
            None => Err(os_error(ENOENT)),
        }
    }

    fn dir_mut(&mut self, id: Id) -> Option<&mut Dir> {
        match self.nodes.get_mut(&id).map(Arc::make_mut) {
            Some(Node::Dir(dir)) => Some(dir),
            _ => None,
        }
    }

    fn create(&mut self, at: Found, node: Node) -> Id {
        let id = Id(self.next_id);
        self.next_id += 1;
        self.nodes.insert(id, Arc::new(node));
        self.apply_name(None, Some((at.slot, id)), None, false);
        id
    }

    fn apply_name(
        &mut self,
        clear: Option<Slot>,
        set: Option<(Slot, Id)>,
        removed_dir: Option<Id>,
        moves_dir: bool,
    ) {
        self.moment += 1;
        let operation = NameOperation {
            at: self.moment,
            clear,
            set,
            removed_dir,
            moves_dir,
        };
        operation.apply(|(dir, name), id| {
            if let Some(dir) = self.dir_mut(*dir) {
                replace(Arc::make_mut(&mut dir.current), name, id);
            }
        });
        Arc::make_mut(&mut self.pending).push(Arc::new(operation));
    }

    fn make_durable(&mut self, operation: &NameOperation) {
        operation.apply(|(dir, name), id| {
            if let Some(dir) = self.dir_mut(*dir) {
                replace(Arc::make_mut(&mut dir.durable), name, id);
            }
        });
    }

    fn first_pending(&self) -> u64 {
        let names = self.pending.first().map(|operation| operation.at);
        let files = self.nodes.values().filter_map(|node| match &**node {
            Node::File(file) => file.first_change(),
            Node::Dir(_) => None,
        });
        files.chain(names).min().unwrap_or(self.moment).max(1)
    }

    /// Forgets what no name can lead to any more, whatever a crash does, and no one has open.
    fn collect(&mut self, in_use: impl Iterator<Item = Id>) {
        let mut work: Vec<Id> = in_use.chain([ROOT]).collect();
        for operation in self.pending.iter() {
            work.extend(operation.slots().map(|slot| slot.0));
            work.extend(operation.set.as_ref().map(|(_, id)| *id));
        }
        let mut reached = BTreeSet::new();
        while let Some(id) = work.pop() {
            if reached.insert(id)
                && let Ok(dir) = self.dir(id)
            {
                work.extend(dir.current.values());
                if !Arc::ptr_eq(&dir.current, &dir.durable) {
                    work.extend(dir.durable.values());
                }
            }
        }
        if reached.len() < self.nodes.len() {
            self.nodes.retain(|id, _| reached.contains(id));
        }
    }
}

impl NameOperation {
    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.clear
            .iter()
            .chain(self.set.as_ref().map(|(slot, _)| slot))
    }

    fn apply(&self, mut put: impl FnMut(&Slot, Option<Id>)) {
        if let Some(slot) = &self.clear {
            put(slot, None);
        }
        if let Some((slot, id)) = &self.set {
            put(slot, Some(*id));
        }
    }
}

/// What lost operations forbid to later ones.
#[derive(Default)]
struct Lost<'a> {
    slots: HashSet<&'a Slot>,
    dirs: HashSet<Id>,
}

impl<'a> Lost<'a> {
    fn allow(&self, operation: &NameOperation) -> bool {
        operation.slots().all(|slot| !self.slots.contains(slot))
            && operation
                .removed_dir
                .is_none_or(|dir| !self.dirs.contains(&dir))
            && (!operation.moves_dir || self.slots.is_empty())
    }

    fn add(&mut self, operation: &'a NameOperation) {
        for slot in operation.slots() {
            self.slots.insert(slot);
            self.dirs.insert(slot.0);
        }
    }
}

/// What durable operations demand of earlier ones.
#[derive(Default)]
struct Wanted<'a> {
    slots: HashSet<&'a Slot>,
    dirs: HashSet<Id>,
    all: bool,
}

impl<'a> Wanted<'a> {
    fn has(&self, operation: &NameOperation) -> bool {
        self.all
            || operation
                .slots()
                .any(|slot| self.slots.contains(slot) || self.dirs.contains(&slot.0))
    }

    fn add(&mut self, operation: &'a NameOperation) {
        self.slots.extend(operation.slots());
        self.dirs.extend(operation.removed_dir);
        self.all |= operation.moves_dir;
    }
}

fn replace(names: &mut Names, name: &Arc<str>, id: Option<Id>) {
    match id {
        Some(id) => names.insert(Arc::clone(name), id),
        None => names.remove(name),
    };
}

/// The names on the way from the root; relative paths start there too.
fn names_of(path: &Path) -> io::Result<Vec<Arc<str>>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into()),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(os_error(EINVAL)),
        }
    }
    Ok(names)
}

pub(super) fn os_error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

pub(super) fn already_exists() -> io::Error {
    os_error(EEXIST)
}
