//! A file system of its own that can be frozen, and that is thawed and gone whatever happens.
//!
//! ext4 in a file, mounted through a loop device. A guard in a process group of its own thaws it after
//! [`FROZEN_MAX_SECONDS`] at most, at once if the test dies, and then clears everything away. What an
//! earlier run left all the same (both were killed) is cleared away at the next start.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ottla_e2e::subject;
use tempfile::TempDir;

/// Sparse: only what is written takes room.
const IMAGE_BYTES: u64 = 4 << 30;
const FROZEN_MAX_SECONDS: u32 = 45;
const PREFIX: &str = "stall";

/// $1: the directory, $2: the test's process, $3: seconds.
const GUARD: &str = r#"
alive() { kill -0 "$2" 2>/dev/null; }
seconds=0
while [ $seconds -lt "$3" ] && alive "$@" && [ ! -e "$1/thawed" ]; do
    sleep 1
    seconds=$((seconds + 1))
done
fsfreeze --unfreeze "$1/mount" 2>/dev/null
while alive "$@" && [ -e "$1" ]; do sleep 1; done
[ -e "$1" ] || exit 0
broker=$(cat "$1/broker" 2>/dev/null)
case "$broker" in
    ?*) case "$(readlink "/proc/$broker/exe")" in */ottla) kill -9 "$broker" ;; esac ;;
esac
sleep 1
umount "$1/mount" || umount --lazy "$1/mount"
rm -rf "$1"
"#;

/// The mounted file system.
pub(crate) struct Mount {
    directory: TempDir,
    guard: Option<Child>,
    /// One run at a time below the same directory: held until the end.
    _lock: File,
}

impl Mount {
    /// Makes and mounts it below `parent`.
    ///
    /// # Errors
    /// Why this machine cannot.
    pub(crate) fn make(parent: &str) -> Result<Mount, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("loop devices and fsfreeze are for root".into());
        }
        fs::create_dir_all(parent).map_err(|error| format!("{parent}: {error}"))?;
        let lock = Path::new(parent).join(format!("{PREFIX}.lock"));
        let lock = File::create(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
        lock.lock().map_err(|error| format!("lock: {error}"))?;
        clear_leftovers(Path::new(parent)).map_err(|error| format!("{parent}: {error}"))?;

        let mount = Mount {
            directory: subject::directory(parent, PREFIX),
            guard: None,
            _lock: lock,
        };
        let (image, path) = (mount.directory.path().join("image"), mount.path());
        let made = File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
        made.and_then(|()| fs::create_dir(&path))
            .map_err(|error| format!("{}: {error}", image.display()))?;
        call(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        call(
            Command::new("mount")
                .args(["-o", "loop"])
                .arg(&image)
                .arg(&path),
        )?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// Tells the guard which broker to end if this process is killed.
    pub(crate) fn used_by(&self, broker: u32) -> io::Result<()> {
        fs::write(self.directory.path().join("broker"), broker.to_string())
    }

    /// Stops all writes, once the guard is there. May wait for those that are under way.
    pub(crate) fn freeze(&mut self) -> Result<(), String> {
        let guard = Command::new("setsid")
            .args(["--wait", "sh", "-c", GUARD, "guard"])
            .arg(self.directory.path())
            .arg(std::process::id().to_string())
            .arg(FROZEN_MAX_SECONDS.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        self.guard = Some(guard.map_err(|error| format!("setsid: {error}"))?);
        call(Command::new("fsfreeze").arg("--freeze").arg(self.path()))
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// It was not frozen any more: the guard was faster, and the test proved nothing.
    pub(crate) fn thaw(&self) -> Result<(), String> {
        let thawed = call(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()));
        fs::write(self.directory.path().join("thawed"), "").map_err(|error| error.to_string())?;
        thawed
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        clear(self.directory.path());
        // It ends by itself when the directory is gone; it only must not stay a zombie.
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.wait();
        }
    }
}

fn clear_leftovers(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_dir() && name.is_some_and(|name| name.starts_with(PREFIX)) {
            println!("an earlier run left {}: cleared away", path.display());
            clear(&path);
        }
    }
    Ok(())
}

/// Thaws, unmounts (which frees the loop device) and removes; of what is not there, nothing.
fn clear(directory: &Path) {
    let mount = directory.join("mount");
    let quiet = |program: &str, options: &[&str]| {
        let ended = Command::new(program)
            .args(options)
            .arg(&mount)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ended.is_ok_and(|status| status.success())
    };
    quiet("fsfreeze", &["--unfreeze"]);
    if !quiet("umount", &[]) {
        quiet("umount", &["--lazy"]);
    }
    let _ = fs::remove_dir_all(directory);
}

fn call(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let ended = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{program}: {}: {}", ended.status, said.trim()))
}
