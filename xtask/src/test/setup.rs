//! Everything that the run needs and the machine may lack: Debian packages, Maven jars, compiled Java.
//!
//! A missing tool is no error here: whoever wants it learns why it is missing and skips, or fails in CI.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::{Cache, fingerprint};
use super::process::capture;
use super::report::Section;

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(900);
const COMPILE_LIMIT: Duration = Duration::from_secs(300);
const ASK_LIMIT: Duration = Duration::from_secs(30);
/// Downloads fail now and then on a good day.
const DOWNLOAD_TRIES: usize = 3;
/// Apache Kafka 4 and its tools need it.
const JAVA_MIN: u32 = 17;

/// The tools of the real-client tests, or why they are not there.
pub(super) struct Tools {
    pub(super) java: Result<Java, String>,
    pub(super) kcat: Result<Kcat, String>,
}

/// A JVM with the pinned jars and our compiled classes.
pub(super) struct Java {
    class_path: String,
    logging: PathBuf,
}

impl Java {
    /// A JVM that will run this main class and log from this level up.
    pub(super) fn command(&self, main: &str, heap_mb: u32, level: &str) -> Command {
        let mut command = Command::new("java");
        command
            .arg(format!("-Xmx{heap_mb}m"))
            .arg(format!("-Dottla.log.level={level}"))
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                self.logging.display()
            ))
            .arg("-cp")
            .arg(&self.class_path)
            .arg(main);
        command
    }
}

/// kcat, its version, and that of the client library in it.
pub(super) struct Kcat {
    pub(super) program: PathBuf,
    pub(super) version: String,
    pub(super) librdkafka: String,
}

pub(super) fn run(section: &Section, cache: &Cache, root: &Path) -> Tools {
    let wanted = [
        Wanted {
            program: "kcat",
            packages: &["kcat"],
            present: on_path("kcat").is_some(),
        },
        Wanted {
            program: "javac",
            packages: &[
                "openjdk-17-jdk-headless",
                "openjdk-21-jdk-headless",
                "default-jdk-headless",
            ],
            present: java_version().is_ok_and(|version| version >= JAVA_MIN),
        },
        Wanted {
            program: "mvn",
            packages: &["maven"],
            present: on_path("mvn").is_some(),
        },
    ];
    let missing: Vec<&Wanted> = wanted.iter().filter(|wanted| !wanted.present).collect();
    if !missing.is_empty()
        && let Err(why) = install(section, &missing)
    {
        section.say(&format!("packages: {why}"));
    }
    let tools = Tools {
        java: java(section, cache, root),
        kcat: kcat(),
    };
    match &tools.kcat {
        Ok(kcat) => {
            section.say(&format!(
                "kcat {} with librdkafka {}",
                kcat.version, kcat.librdkafka
            ));
            section.passed(1);
        }
        Err(why) => section.skipped("kcat", why),
    }
    match &tools.java {
        Ok(java) => {
            section.say(&format!("Java classes in {}", java.class_path));
            section.passed(1);
        }
        Err(why) => section.skipped("Java", why),
    }
    tools
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
            .args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"])
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

fn java(section: &Section, cache: &Cache, root: &Path) -> Result<Java, String> {
    let version = java_version()?;
    if version < JAVA_MIN {
        return Err(format!("javac is {version}, Apache Kafka needs {JAVA_MIN}"));
    }
    let clients = root.join("tests/clients");
    let pom = clients.join("pom.xml");
    let pom_text = fs::read(&pom).map_err(|e| format!("{}: {e}", pom.display()))?;
    let pom_print = fingerprint([pom_text.as_slice()]);
    let jars = cache.entry(&format!("jars-{pom_print}"), |partial| {
        section.say("fetching the jars of tests/clients/pom.xml");
        let fetched = tries(|| {
            let mut maven = Command::new("mvn");
            maven
                .args(["--batch-mode", "--quiet", "--strict-checksums", "--file"])
                .arg(&pom)
                .arg("dependency:copy-dependencies")
                .arg(format!("-DoutputDirectory={}", partial.display()));
            capture(&mut maven, None, DOWNLOAD_LIMIT)
        });
        fetched.map(drop)
    })?;

    let sources = sources(&clients.join("java/ottla/clients"))?;
    let texts = sources
        .iter()
        .map(|source| fs::read(source).map_err(|e| format!("{}: {e}", source.display())));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let print = fingerprint(texts.iter().map(Vec::as_slice).chain([pom_text.as_slice()]));
    let classes = cache.entry(&format!("classes-{print}"), |partial| {
        let mut javac = Command::new("javac");
        javac
            .args([
                "--release",
                "17",
                "-proc:none",
                "-Xlint:unchecked,rawtypes,deprecation",
                "-Werror",
                "-cp",
            ])
            .arg(jars.join("*"))
            .arg("-d")
            .arg(partial)
            .args(&sources);
        capture(&mut javac, None, COMPILE_LIMIT).map(drop)
    })?;
    Ok(Java {
        class_path: format!("{}:{}/*", classes.display(), jars.display()),
        logging: clients.join("log4j2.properties"),
    })
}

fn kcat() -> Result<Kcat, String> {
    let program = on_path("kcat").ok_or("kcat is not installed (Debian: apt-get install kcat)")?;
    let said = capture(Command::new(&program).arg("-V"), None, ASK_LIMIT)?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let after = |mark: &str| {
        let rest = said.split(mark).nth(1)?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    Ok(Kcat {
        version: after("Version ").ok_or_else(|| format!("kcat -V says no version: {said}"))?,
        librdkafka: after("librdkafka ").unwrap_or_else(|| "unknown".into()),
        program,
    })
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    found.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "java")
    });
    found.sort();
    Ok(found)
}

/// The major version of the Java compiler.
fn java_version() -> Result<u32, String> {
    if on_path("java").is_none() || on_path("javac").is_none() {
        return Err("no JDK installed (Debian: apt-get install openjdk-17-jdk-headless)".into());
    }
    let said = capture(Command::new("javac").arg("-version"), None, ASK_LIMIT)?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &said.stderr;
    let number = said
        .split_whitespace()
        .nth(1)
        .and_then(|version| version.split(['.', '-']).next());
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("javac -version says {said:?}"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn tries<T>(mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let mut last = String::new();
    for _ in 0..DOWNLOAD_TRIES {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(why) => last = why,
        }
    }
    Err(last)
}
