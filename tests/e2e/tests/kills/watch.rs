//! Tells when a segment appears in a partition's directory, at once (inotify).

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

use crate::Event;

const BUFFER_BYTES: usize = 16 << 10;

/// Sends [`Event::Segment`] for every new segment of these partitions, until nobody listens.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn segments(
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
            let partition = watched.iter().find(|(id, _)| *id == event.wd());
            let (Some((_, partition)), Some(base)) =
                (partition, event.file_name().and_then(base_offset))
            else {
                continue;
            };
            if events
                .send(Event::Segment {
                    partition: *partition,
                    base,
                })
                .is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// The base offset that the name of a segment says; `None` for other files.
fn base_offset(name: &CStr) -> Option<i64> {
    name.to_str().ok()?.strip_suffix(".log")?.parse().ok()
}
