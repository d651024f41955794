//! One file: what is synced, what the page cache shows, and the changes between the two.
//!
//! How a crash treats a file: the medium holds each sector as it was synced or as it was after any
//! later write to it, each sector on its own, and any of the sizes that the file had, or one in
//! between. A size from after a truncation never shows bytes from before it: holes are zeros.
//!
//! Example: 512 bytes synced, then `write(512 bytes at 512)`, then `write(512 bytes at 1024)`. Sizes
//! from 512 to 1536 are possible; at size 1536 the second sector may be zeros while the third is
//! there.

use std::io::IoSlice;
use std::sync::Arc;

use super::content::{Content, SECTOR};
use super::random::Random;

#[derive(Clone, Default, Debug)]
pub(super) struct FileState {
    synced: Content,
    current: Content,
    pending: Vec<Change>,
    /// The first so many pending changes met a failed sync: the kernel then takes their pages for
    /// clean, so no later sync writes them.
    unwritable: usize,
    /// The page cache shows bytes that no sync will write.
    diverged: bool,
}

#[derive(Clone, Debug)]
struct Change {
    at: u64,
    kind: ChangeKind,
}

#[derive(Clone, Debug)]
enum ChangeKind {
    Write { position: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

/// What a crash does to names and files together.
#[derive(Clone, Copy, Debug)]
pub(super) enum CrashPlan {
    /// Everything up to this moment reached the medium, nothing later.
    Ordered(u64),
    /// Each on its own.
    Loose,
}

impl FileState {
    pub(super) fn current(&self) -> &Content {
        &self.current
    }

    /// True if a crash leaves it as it is.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.diverged
    }

    pub(super) fn first_change(&self) -> Option<u64> {
        self.pending.first().map(|change| change.at)
    }

    /// Writes at most `bytes_max` bytes of `pieces`, at moment `at`.
    pub(super) fn write(
        &mut self,
        pieces: &[IoSlice<'_>],
        bytes_max: usize,
        position: u64,
        at: u64,
    ) {
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut bytes = Vec::with_capacity(size);
        for piece in pieces {
            bytes.extend_from_slice(piece);
        }
        bytes.truncate(bytes_max);
        if bytes.is_empty() {
            return;
        }
        self.current.write(&bytes, position);
        self.pending.push(Change {
            at,
            kind: ChangeKind::Write {
                position,
                bytes: bytes.into(),
            },
        });
    }

    pub(super) fn set_len(&mut self, length: u64, at: u64) {
        self.current.set_len(length);
        self.pending.push(Change {
            at,
            kind: ChangeKind::SetLen(length),
        });
    }

    pub(super) fn sync(&mut self) {
        if self.unwritable == 0 && !self.diverged {
            self.synced = self.current.clone();
        } else {
            for change in &self.pending[self.unwritable..] {
                match &change.kind {
                    ChangeKind::Write { position, bytes } => {
                        let end = position + bytes.len() as u64;
                        self.synced.take_pages(&self.current, *position, end);
                    }
                    ChangeKind::SetLen(length) => self.synced.set_len(*length),
                }
            }
            self.synced.set_len(self.current.len());
            self.diverged = true;
        }
        self.pending.clear();
        self.unwritable = 0;
    }

    /// A sync that failed.
    pub(super) fn fail_sync(&mut self) {
        self.unwritable = self.pending.len();
    }

    /// The file as a crash may leave it.
    pub(super) fn crash(&self, plan: CrashPlan, random: &mut Random) -> FileState {
        let content = match plan {
            CrashPlan::Ordered(until) => {
                let version = self.pending.partition_point(|change| change.at <= until);
                let torn = random.chance(4);
                self.at_version(version, torn, random)
            }
            CrashPlan::Loose => {
                let versions = self.pending.len() as u64;
                match random.below(8) {
                    0 => self.at_version(0, false, random),
                    1 => self.at_version(self.pending.len(), false, random),
                    2 | 3 => {
                        let version = random.between(0, versions) as usize;
                        self.at_version(version, true, random)
                    }
                    _ => self.scattered(random),
                }
            }
        };
        FileState {
            synced: content.clone(),
            current: content,
            ..FileState::default()
        }
    }

    /// Everything up to a version, and if `torn` some sectors of the next change.
    fn at_version(&self, version: usize, torn: bool, random: &mut Random) -> Content {
        let next = version + 1;
        if !torn || next > self.pending.len() {
            return self.blend(version, None, |_| version);
        }
        // A truncation that happened cut the size too: never the old size with its bytes gone.
        let (size_version, size) = match random.chance(4) {
            true => (next, self.size_at(next)),
            false => (version, self.pick_size(version, random)),
        };
        let eighths = [1, 4, 7][random.below(3) as usize];
        self.blend(size_version, Some(size), |versions| {
            if versions.contains(&next) && random.chance(eighths) {
                next
            } else {
                version
            }
        })
    }

    /// Each sector on its own; how many are new differs from image to image.
    fn scattered(&self, random: &mut Random) -> Content {
        let size_version = random.between(0, self.pending.len() as u64) as usize;
        let size = self.pick_size(size_version, random);
        let eighths = [0, 1, 4, 7, 8][random.below(5) as usize];
        self.blend(size_version, Some(size), |versions| match versions {
            [older @ .., newest] => {
                if random.chance(eighths) {
                    *newest
                } else {
                    let choice = random.below(older.len() as u64 + 1) as usize;
                    if choice == 0 { 0 } else { older[choice - 1] }
                }
            }
            [] => 0,
        })
    }

    /// The size at a version, or one between it and the next.
    fn pick_size(&self, version: usize, random: &mut Random) -> u64 {
        let size = self.size_at(version);
        if version < self.pending.len() && random.chance(4) {
            let next = self.size_at(version + 1);
            return random.between(size.min(next), size.max(next));
        }
        size
    }

    /// The size after so many pending changes.
    fn size_at(&self, version: usize) -> u64 {
        self.pending[..version]
            .iter()
            .fold(self.synced.len(), |size, change| match &change.kind {
                ChangeKind::Write { position, bytes } => size.max(position + bytes.len() as u64),
                ChangeKind::SetLen(length) => *length,
            })
    }

    /// The synced content with each sector at the version that `pick` takes of the writes that
    /// touched it, which it is handed in order (version n: after the n-th change; 0: as synced).
    /// `size_version` tells which truncations have happened; `size` is that version's by default.
    fn blend(
        &self,
        size_version: usize,
        size: Option<u64>,
        mut pick: impl FnMut(&[usize]) -> usize,
    ) -> Content {
        let chosen = self.choose(&mut pick);
        let mut content = self.synced.clone();
        for (index, change) in self.pending.iter().enumerate() {
            let version = index + 1;
            match &change.kind {
                ChangeKind::Write { position, bytes } => {
                    let end = position + bytes.len() as u64;
                    let first = chosen.partition_point(|(sector, _)| *sector < position / SECTOR);
                    for (sector, upto) in &chosen[first..] {
                        let from = (sector * SECTOR).max(*position);
                        if from >= end {
                            break;
                        }
                        let to = ((sector + 1) * SECTOR).min(end);
                        if *upto >= version {
                            let slice = (from - position) as usize..(to - position) as usize;
                            content.write(&bytes[slice], from);
                        }
                    }
                }
                ChangeKind::SetLen(length) if version <= size_version => {
                    content.set_len((*length).min(content.len()));
                }
                ChangeKind::SetLen(length) => {
                    // The truncation is lost, but a sector written back later shows its zeros.
                    let first =
                        chosen.partition_point(|(sector, _)| (sector + 1) * SECTOR <= *length);
                    for (sector, upto) in &chosen[first..] {
                        if *upto >= version {
                            content.zero((sector * SECTOR).max(*length), (sector + 1) * SECTOR);
                        }
                    }
                }
            }
        }
        content.set_len(size.unwrap_or_else(|| self.size_at(size_version)));
        content
    }

    /// Every sector that a pending write touched, in order, with the version picked for it.
    fn choose(&self, pick: &mut impl FnMut(&[usize]) -> usize) -> Vec<(u64, usize)> {
        let mut touched = Vec::new();
        for (index, change) in self.pending.iter().enumerate() {
            if let ChangeKind::Write { position, bytes } = &change.kind {
                let last = (position + bytes.len() as u64 - 1) / SECTOR;
                touched.extend((position / SECTOR..=last).map(|sector| (sector, index + 1)));
            }
        }
        touched.sort_unstable();
        let mut versions = Vec::new();
        touched
            .chunk_by(|one, other| one.0 == other.0)
            .map(|group| {
                versions.clear();
                versions.extend(group.iter().map(|(_, version)| *version));
                (group[0].0, pick(&versions))
            })
            .collect()
    }
}
