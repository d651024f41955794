//! Java: jars by Maven, and our own sources compiled against them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::super::cache::{Cache, fingerprint};
use super::super::process::capture;
use super::super::report::Section;
use super::{ASK_LIMIT, COMPILE_LIMIT, DOWNLOAD_LIMIT, Lack, Program, files, on_path, tries};

/// Apache Kafka 4 and its tools need it.
const JAVA_MIN: u32 = 17;

/// A JVM with pinned jars and our compiled classes.
pub(crate) struct Java {
    pub(in crate::test) class_path: String,
    logging: PathBuf,
}

impl Java {
    /// A JVM that will run this main class and log from this level up.
    pub(crate) fn command(&self, main: &str, heap_mb: u32, level: &str) -> Command {
        self.program(main, heap_mb, level).command()
    }

    pub(super) fn program(&self, main: &str, heap_mb: u32, level: &str) -> Program {
        let logging = self.logging.display();
        Program::new("java")
            .arg(format!("-Xmx{heap_mb}m"))
            .arg(format!("-Dottla.log.level={level}"))
            .arg(format!("-Dlog4j2.configurationFile={logging}"))
            .arg("-cp")
            .arg(&self.class_path)
            .arg(main)
    }
}

/// Whether there is a compiler that is new enough.
pub(super) fn is_here() -> bool {
    version().is_ok_and(|version| version >= JAVA_MIN)
}

/// The jars of the `pom.xml` in `folder`, and the Java below `sources` compiled against them.
pub(super) fn make(
    section: &Section,
    cache: &Cache,
    clients: &Path,
    folder: &Path,
    sources: &Path,
) -> Result<Java, Lack> {
    /// Two Mavens at a time would fill one local repository.
    static MAVEN: Mutex<()> = Mutex::new(());

    let version = version().map_err(Lack::Missing)?;
    if version < JAVA_MIN {
        let why = format!("javac is {version}, Apache Kafka needs {JAVA_MIN}");
        return Err(Lack::Missing(why));
    }
    if on_path("mvn").is_none() {
        let why = "no Maven installed (Debian: apt-get install maven)";
        return Err(Lack::Missing(why.into()));
    }
    let pom = folder.join("pom.xml");
    let pom_text = fs::read(&pom).map_err(|e| format!("{}: {e}", pom.display()))?;
    let pom_print = fingerprint([pom_text.as_slice()]);
    let jars = cache.entry(&format!("jars-{pom_print}"), |partial| {
        let _one = MAVEN.lock().unwrap_or_else(PoisonError::into_inner);
        section.say(&format!("fetching the jars of {}", pom.display()));
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

    let mut sources = files(sources)?;
    sources.retain(|(path, _)| {
        path.extension()
            .is_some_and(|extension| extension == "java")
    });
    let texts = sources.iter().map(|(_, text)| text.as_slice());
    let print = fingerprint(texts.chain([pom_text.as_slice()]));
    let classes = cache.entry(&format!("classes-{print}"), |partial| {
        let mut javac = Command::new("javac");
        javac
            .args(["--release", "17", "-proc:none", "-Werror"])
            .args(["-Xlint:unchecked,rawtypes,deprecation", "-cp"])
            .arg(jars.join("*"))
            .arg("-d")
            .arg(partial)
            .args(sources.iter().map(|(path, _)| path));
        capture(&mut javac, None, COMPILE_LIMIT).map(drop)
    })?;
    Ok(Java {
        class_path: format!("{}:{}/*", classes.display(), jars.display()),
        logging: clients.join("java-common/log4j2.properties"),
    })
}

/// The major version of the Java compiler.
fn version() -> Result<u32, String> {
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
