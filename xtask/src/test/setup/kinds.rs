//! How each kind of client program is made ready: pinned dependencies into the cache, under the fingerprint of what
//! they were made from. See `tests/clients/README.md`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::cache::{Cache, fingerprint};
use super::super::clients::table::Kind;
use super::super::process::capture;
use super::super::report::Section;
use super::{
    ASK_LIMIT, BUILD_LIMIT, DOWNLOAD_LIMIT, Lack, Program, files, java, kcat, on_path, tries,
};

/// A client that can run.
pub(in crate::test) enum Ready {
    Program(Program),
    Kcat(kcat::Kcat),
}

/// Makes the client of this folder ready.
pub(super) fn make(
    section: &Section,
    cache: &Cache,
    clients: &Path,
    name: &str,
    kind: Kind,
) -> Result<Ready, Lack> {
    let place = Place {
        cache,
        clients,
        folder: clients.join(name),
        name,
    };
    let program = match kind {
        Kind::Kcat => return kcat::find().map(Ready::Kcat),
        Kind::Java => {
            let sources = clients.join("java-common");
            java::make(section, cache, clients, &place.folder, &sources)?.program(
                "ottla.clients.Matrix",
                512,
                "WARN",
            )
        }
        Kind::Python => place.python()?,
        Kind::Go => place.go()?,
        Kind::Node => place.node()?,
        Kind::Rust => place.rust()?,
    };
    Ok(Ready::Program(program.env("OTTLA_CLIENT", name)))
}

struct Place<'a> {
    cache: &'a Cache,
    clients: &'a Path,
    folder: PathBuf,
    name: &'a str,
}

impl Place<'_> {
    /// A venv for these requirements and this interpreter; it may be moved, for only its `bin/python` is called.
    fn python(&self) -> Result<Program, Lack> {
        let python = tool("python3", "python3-venv")?;
        let mut ask = Command::new(&python);
        ask.args(["-c", "import sys; print(sys.version, sys.executable)"]);
        let interpreter = capture(&mut ask, None, ASK_LIMIT)?.stdout;
        let requirements = self.folder.join("requirements.txt");
        let text =
            fs::read(&requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
        let print = fingerprint([text.as_slice(), interpreter.as_slice()]);
        let venv = self.entry("python", &print, |partial| {
            let mut make = Command::new(&python);
            make.args(["-m", "venv"]).arg(partial);
            capture(&mut make, None, BUILD_LIMIT)?;
            tries(|| {
                let mut pip = Command::new(partial.join("bin/python"));
                pip.args(["-m", "pip", "install", "--quiet", "--require-hashes"])
                    .args(["--disable-pip-version-check", "--requirement"])
                    .arg(&requirements);
                capture(&mut pip, None, DOWNLOAD_LIMIT)
            })
        })?;
        Ok(Program::new(venv.join("bin/python"))
            .arg("-B") // The checkout stays as it is.
            .arg(self.folder.join("main.py"))
            .env("PYTHONPATH", self.clients.join("python-common")))
    }

    fn go(&self) -> Result<Program, Lack> {
        let go = tool("go", "golang-go")?;
        let built = self.entry("go", &self.print()?, |partial| {
            let go = |arguments: &[&str]| {
                let mut go = Command::new(&go);
                go.current_dir(&self.folder).args(arguments);
                go
            };
            tries(|| capture(&mut go(&["mod", "download"]), None, DOWNLOAD_LIMIT))?;
            let mut build = go(&["build", "-mod=readonly", "-trimpath", "-o"]);
            build.arg(partial.join("program")).arg(".");
            capture(&mut build, None, BUILD_LIMIT)
        })?;
        Ok(Program::new(built.join("program")))
    }

    /// `node_modules` must lie beside the program.
    fn node(&self) -> Result<Program, Lack> {
        let node = tool("node", "nodejs")?;
        let npm = tool("npm", "npm")?;
        let installed = self.entry("node", &self.print()?, |partial| {
            for (path, text) in files(&self.folder)? {
                let inside = path.strip_prefix(&self.folder).map_err(|e| e.to_string())?;
                let to = partial.join(inside);
                let parent = to.parent().unwrap_or(partial);
                fs::create_dir_all(parent)
                    .and_then(|()| fs::write(&to, text))
                    .map_err(|e| format!("{}: {e}", to.display()))?;
            }
            tries(|| {
                let mut install = Command::new(&npm);
                install.current_dir(partial).args([
                    "ci",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                ]);
                capture(&mut install, None, DOWNLOAD_LIMIT)
            })
        })?;
        Ok(Program::new(node).arg(installed.join("main.js")))
    }

    /// One target directory for all: they share most of what they are made of.
    fn rust(&self) -> Result<Program, Lack> {
        let target = self.cache.root().join("target-clients");
        let common = self.clients.join("rust-common");
        let print = print_of(&[&self.folder, &common])?;
        let built = self.entry("rust", &print, |partial| {
            let cargo = |arguments: &[&str]| {
                let mut cargo =
                    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                cargo
                    .current_dir(&self.folder)
                    .env("CARGO_TARGET_DIR", &target)
                    .args(arguments);
                cargo
            };
            tries(|| capture(&mut cargo(&["fetch", "--locked"]), None, DOWNLOAD_LIMIT))?;
            let mut build = cargo(&["build", "--quiet", "--release", "--locked"]);
            capture(&mut build, None, BUILD_LIMIT)?;
            let binary = target.join("release").join(self.name);
            fs::copy(&binary, partial.join("program"))
                .map_err(|e| format!("{}: {e}", binary.display()))
        })?;
        Ok(Program::new(built.join("program")))
    }

    fn entry<T>(
        &self,
        kind: &str,
        print: &str,
        fill: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Result<PathBuf, String> {
        let entry = format!("{kind}-{}-{print}", self.name);
        self.cache.entry(&entry, |partial| fill(partial).map(drop))
    }

    /// Of everything that the program is made of.
    fn print(&self) -> Result<String, String> {
        print_of(&[&self.folder])
    }
}

/// A fingerprint of the files of these folders, wherever they lie.
fn print_of(folders: &[&Path]) -> Result<String, String> {
    let mut parts = Vec::new();
    for folder in folders {
        for (path, text) in files(folder)? {
            let inside = path.strip_prefix(folder).unwrap_or(&path);
            parts.push(inside.as_os_str().as_encoded_bytes().to_vec());
            parts.push(text);
        }
    }
    Ok(fingerprint(parts.iter().map(Vec::as_slice)))
}

fn tool(program: &str, package: &str) -> Result<PathBuf, Lack> {
    on_path(program).ok_or_else(|| {
        Lack::Missing(format!(
            "no {program} installed (Debian: apt-get install {package})"
        ))
    })
}
