//! The user's cache: build output and downloads. It may be empty, and a run may have been cut off in the middle of
//! filling it: every entry is made under another name and renamed when it is whole.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process;

/// `$OTTLA_CACHE`, else `$XDG_CACHE_HOME/ottla`, else `~/.cache/ottla`.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// # Errors
    /// If no directory can be named or made.
    pub(crate) fn open() -> Result<Self, String> {
        let set = |name: &str| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = set("OTTLA_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|home| home.join("ottla")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/ottla")))
            .ok_or("no cache directory: set OTTLA_CACHE or HOME")?;
        fs::create_dir_all(&root).map_err(|e| format!("{}: {e}", root.display()))?;
        let root = root
            .canonicalize()
            .map_err(|e| format!("{}: {e}", root.display()))?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds: as the caller said, else here.
    pub(crate) fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// The directory of this name, filled by `fill` if it is not there yet.
    pub(super) fn entry(
        &self,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let whole = self.root.join(name);
        if whole.is_dir() {
            return Ok(whole);
        }
        let partial = self.root.join(format!("{name}.partial-{}", process::id()));
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(&partial).map_err(|e| format!("{}: {e}", partial.display()))?;
        let filled = fill(&partial).and_then(|()| match fs::rename(&partial, &whole) {
            // Another run was quicker; its entry is as good.
            Err(_) if whole.is_dir() => Ok(()),
            renamed => renamed.map_err(|e| format!("{}: {e}", whole.display())),
        });
        let _ = fs::remove_dir_all(&partial);
        filled.map(|()| whole)
    }

    /// An empty directory for one section of this run, on a real disk (`/tmp` may be memory). What runs that are over left behind goes.
    pub(crate) fn run_dir(&self, section: &str) -> Result<RunDir, String> {
        let entries =
            fs::read_dir(&self.root).map_err(|e| format!("{}: {e}", self.root.display()))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let owner = name
                .strip_prefix("run-")
                .or_else(|| name.split(".partial-").nth(1));
            let over = |owner: &str| {
                owner.parse::<u32>().is_ok() && !Path::new("/proc").join(owner).exists()
            };
            if owner.is_some_and(over) {
                let _ = fs::remove_dir_all(&path);
            }
        }
        let path = self
            .root
            .join(format!("run-{}", process::id()))
            .join(section);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(RunDir { path, keep: false })
    }
}

/// A directory that goes when the run ends, unless someone must look at it.
pub(crate) struct RunDir {
    pub(crate) path: PathBuf,
    pub(super) keep: bool,
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if self.keep {
            println!("kept for a look: {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
            // Goes with the last section's.
            let _ = self.path.parent().map(fs::remove_dir);
        }
    }
}

/// A name for a cache entry that was made from these bytes. Not for secrets: it only has to differ.
pub(super) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    format!("{:016x}", hasher.finish())
}
