//! Tells when a file of a segment appears in a partition's directory, at once (inotify).

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

use crate::Event;

const BUFFER_BYTES: usize = 16 << 10;

/// The files of a roll; each appears at another step of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `.index` or `.timeindex`: the old segment is being sealed.
    Index,
    /// `.log`: the new segment is there, and empty.
    Log,
    /// `.snapshot`: the producers at its start are on file.
    Snapshot,
}

/// A file that appeared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct File {
    pub(crate) partition: i32,
    /// The offset in its name.
    pub(crate) base: i64,
    pub(crate) kind: Kind,
}

/// Sends [`Event::File`] for every new file of these partitions, until nobody listens.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn files(
    data: &Path,
    topic: &str,
    partitions: i32,
    events: Sender<Event>,
) -> Result<(), String> {
    let watcher = init(CreateFlags::CLOEXEC).map_err(|error| format!("inotify: {error}"))?;
    let mut watched = Vec::new();
    for partition in 0..partitions {
        let directory = data.join(format!("{topic}-{partition}"));
        let id = add_watch(
            &watcher,
            &directory,
            WatchFlags::CREATE | WatchFlags::MOVED_TO,
        )
        .map_err(|error| format!("{}: {error}", directory.display()))?;
        watched.push((id, partition));
    }
    thread::spawn(move || {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(watcher, &mut buffer);
        while let Ok(event) = reader.next() {
            let Some((_, partition)) = watched.iter().find(|(id, _)| *id == event.wd()) else {
                continue;
            };
            let file = event.file_name().and_then(|name| file(*partition, name));
            if file.is_some_and(|file| events.send(Event::File(file)).is_err()) {
                return;
            }
        }
    });
    Ok(())
}

/// What the name says; `None` for files that no roll makes.
fn file(partition: i32, name: &CStr) -> Option<File> {
    let (base, suffix) = name.to_str().ok()?.split_once('.')?;
    let kind = match suffix {
        "index" | "timeindex" => Kind::Index,
        "log" => Kind::Log,
        "snapshot" => Kind::Snapshot,
        _ => return None,
    };
    Some(File {
        partition,
        base: base.parse().ok()?,
        kind,
    })
}
