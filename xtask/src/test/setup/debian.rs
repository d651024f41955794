//! Debian packages that are missing, where they may be installed.

use std::path::Path;
use std::process::Command;

use super::super::process::capture;
use super::super::report::Section;
use super::{ASK_LIMIT, DOWNLOAD_LIMIT, java, on_path, tries};

const LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";

/// Installs what is missing of the tools that the test run calls; says so if that fails. Whoever needs a tool that
/// is still not there skips, or fails in CI.
pub(super) fn complete(section: &Section) {
    let wanted = wanted();
    let missing: Vec<&Wanted> = wanted.iter().filter(|wanted| !wanted.present).collect();
    if !missing.is_empty()
        && let Err(why) = install(section, &missing)
    {
        section.say(&format!("packages: {why}"));
    }
}

fn wanted() -> Vec<Wanted> {
    let wanted = |program, packages, present| Wanted {
        program,
        packages,
        present,
    };
    let on_path = |program: &str| on_path(program).is_some();
    // What only root needs is often not on the path of others.
    let system = |program: &str| {
        ["/usr/sbin", "/sbin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
            || on_path(program)
    };
    let python = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|ended| ended.status.success());
    vec![
        wanted("kcat", &["kcat"], on_path("kcat")),
        wanted(
            "javac",
            &[
                "openjdk-17-jdk-headless",
                "openjdk-21-jdk-headless",
                "default-jdk-headless",
            ],
            java::is_here(),
        ),
        wanted("mvn", &["maven"], on_path("mvn")),
        wanted("python3", &["python3-venv"], python),
        wanted("go", &["golang-go"], on_path("go")),
        wanted("npm", &["npm"], on_path("npm")),
        wanted("fsfreeze", &["util-linux"], system("fsfreeze")),
        wanted("mkfs.ext4", &["e2fsprogs"], system("mkfs.ext4")),
    ]
}

struct Wanted {
    program: &'static str,
    /// The first of these that the distribution knows.
    packages: &'static [&'static str],
    present: bool,
}

fn install(section: &Section, missing: &[&Wanted]) -> Result<(), String> {
    let programs: Vec<&str> = missing.iter().map(|wanted| wanted.program).collect();
    let hint: Vec<&str> = missing.iter().map(|wanted| wanted.packages[0]).collect();
    if on_path("apt-get").is_none() {
        return Err(format!(
            "{programs:?} not found, and there is no apt-get here to install them"
        ));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(format!(
            "{programs:?} not found; as root: apt-get install {}",
            hint.join(" ")
        ));
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-y", "-o", LOCK_WAIT])
            .args(arguments);
        capture(&mut command, None, DOWNLOAD_LIMIT)
    };
    // An install that was cut off leaves a state in which every further one is refused.
    capture(
        Command::new("dpkg").args(["--configure", "-a"]),
        None,
        DOWNLOAD_LIMIT,
    )?;
    tries(|| apt(&["update"]))?;
    for wanted in missing {
        let known = wanted.packages.iter().find(|package| {
            let shown = capture(
                Command::new("apt-cache").args(["show", "--no-all-versions", package]),
                None,
                ASK_LIMIT,
            );
            shown.is_ok_and(|shown| !shown.stdout.is_empty())
        });
        let package = known.ok_or_else(|| {
            format!(
                "no package for {}: tried {:?}",
                wanted.program, wanted.packages
            )
        })?;
        section.say(&format!("apt-get install {package}"));
        tries(|| apt(&["install", "--no-install-recommends", package]))?;
    }
    Ok(())
}
