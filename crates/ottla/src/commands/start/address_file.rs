//! `ottla.address` in the data directory: `HOST:PORT` and a line end, as long as a broker is ready
//! there. A reader sees all of it or nothing. One that was killed leaves it behind.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::settings::HostPort;

const NAME: &str = "ottla.address";
/// The log store clears away what ends like this after a crash.
const UNFINISHED: &str = "ottla.address.tmp";
const BYTES_MAX: u64 = 1024;

/// The file for a data directory.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join(NAME)
}

/// What the file says; `None` if it is not there.
pub(crate) fn read(data: &Path) -> Result<Option<HostPort>, String> {
    let mut text = String::new();
    match File::open(path(data)).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => text.trim().parse().map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Says where the broker listens. Not synced: after a power loss nobody listens.
pub(super) fn write(data: &Path, address: SocketAddr) -> io::Result<()> {
    let unfinished = data.join(UNFINISHED);
    fs::write(&unfinished, format!("{address}\n"))?;
    fs::rename(&unfinished, path(data))
}

/// Fine if it is not there.
pub(super) fn remove(data: &Path) -> io::Result<()> {
    match fs::remove_file(path(data)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
