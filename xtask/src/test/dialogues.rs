//! Dialogues on the wire, spoken with Ottla and with Apache Kafka, their answers compared field by field.
//!
//! The files of `tests/dialogues/` hold each dialogue with Kafka's answers as they were recorded. A run speaks it with
//! both brokers: Kafka must answer as recorded, Ottla as Kafka, but for differences that are listed beside the answer
//! and, with their reason, in `differences.txt`, which `docs/COMPATIBILITY.md` repeats. A listed difference that no
//! longer occurs fails, too. `--record` writes down what was answered; a person then reads it and commits it.

mod batch;
mod codec;
mod compare;
mod consumer;
mod listed;
mod mask;
mod members;
mod notation;
mod record;
mod script;
mod stored;
mod talk;
mod unbatch;
mod wire;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::broker::{Broker, Target};
use super::report::Section;
use super::setup::{Java, Lack};

use self::codec::Codec;
use self::compare::{Spoken, judge};
use self::script::{Dialogue, Theme, What};
use self::talk::{Partner, speak};

/// Dialogues at a time: most of each is waiting for Kafka to create a topic.
const AT_ONCE: usize = 12;

/// What Kafka needs to be as quick as dialogues are, and Ottla has no need of: there nothing forbids short times, and
/// whoever waits for an assignment is answered when it is there.
const KAFKA_ONLY: &[&str] = &[
    "group.consumer.assignor.offload.enable=false",
    "group.consumer.min.session.timeout.ms=1000",
];

/// What a person may ask for.
#[derive(Clone, Default)]
pub(super) struct Options {
    /// Only themes and dialogues whose names contain this.
    pub(super) only: Option<String>,
    /// Write the answers into the files.
    pub(super) record: bool,
    /// A Kafka and an Ottla that already run.
    pub(super) kafka_at: Option<String>,
    pub(super) ottla_at: Option<String>,
}

/// Speaks every dialogue with Ottla and, if there is a JVM, with Kafka.
pub(super) fn run(
    section: &Section,
    root: &Path,
    binary: &Path,
    java: Result<&Java, &Lack>,
    work: &Path,
    options: &Options,
) -> Result<(), String> {
    let mut themes = script::load(&root.join("tests/dialogues"))?;
    if !options.record {
        listed::check(root, &themes)?;
    }
    if let Some(only) = &options.only {
        for theme in themes.iter_mut().filter(|theme| !theme.name.contains(only)) {
            theme
                .dialogues
                .retain(|dialogue| dialogue.name.contains(only));
        }
        themes.retain(|theme| !theme.dialogues.is_empty());
    }
    if let Err(why) = java
        && options.kafka_at.is_none()
    {
        why.tell(section, "Apache Kafka");
    }
    let codec = Codec::load()?;
    // Themes with the same settings share their brokers.
    let mut groups: BTreeMap<Vec<String>, Vec<Theme>> = BTreeMap::new();
    for theme in themes {
        groups
            .entry(theme.settings.clone())
            .or_default()
            .push(theme);
    }
    for (place, (settings, themes)) in groups.into_iter().enumerate() {
        let home = work.join(place.to_string());
        let plain = settings.is_empty();
        if !plain && java.is_err() && options.kafka_at.is_some() {
            section.say(&format!("left out, it needs a Kafka with {settings:?}"));
            continue;
        }
        let start = |given: &Option<String>, target: Target<'_>, name: &str| {
            if let Some(address) = given.as_ref().filter(|_| plain) {
                return Ok((address.clone(), None));
            }
            let started = Instant::now();
            let mut settings = settings.clone();
            if matches!(target, Target::Kafka(_)) {
                settings.extend(KAFKA_ONLY.iter().map(|setting| (*setting).to_owned()));
            }
            let broker = Broker::start_with(&target, &home.join(name), &settings)?;
            let took = started.elapsed().as_secs_f64();
            section.say(&format!("{name} at {} after {took:.1} s", broker.address));
            Ok::<_, String>((broker.address.clone(), Some(broker)))
        };
        let kafka = match java {
            Ok(java) => Some(start(&options.kafka_at, Target::Kafka(java), "kafka")?),
            Err(_) => options
                .kafka_at
                .clone()
                .filter(|_| plain)
                .map(|address| (address, None)),
        };
        let (ottla, ours) = start(&options.ottla_at, Target::Ottla(binary.to_owned()), "ottla")?;
        let kafka = kafka.as_ref().map(|(address, _)| Partner {
            address,
            prompt: false,
        });
        let ottla = Partner {
            address: &ottla,
            prompt: true,
        };
        let dialogues: Vec<&Dialogue> = themes.iter().flat_map(|theme| &theme.dialogues).collect();
        let mut spoken = speak_all(&codec, &dialogues, kafka.as_ref(), &ottla).into_iter();
        for theme in &themes {
            let spoken: Vec<Spoken> = spoken.by_ref().take(theme.dialogues.len()).collect();
            if !options.record {
                report(section, theme, &spoken);
            } else if kafka.is_some() {
                record::write(section, theme, &spoken)?;
            } else {
                section.failed(format!("{}: only Apache Kafka is recorded", theme.name));
            }
        }
        if let Some(broker) = ours {
            // It may warn of what it is sent here, and must not break of it.
            for line in broker.complaints() {
                if line.contains(" ERROR ") || line.contains("panicked") {
                    section.failed(format!("Ottla logged: {line}"));
                }
            }
            section.case("Ottla stops", broker.stop());
        }
    }
    Ok(())
}

fn report(section: &Section, theme: &Theme, spoken: &[Spoken]) {
    let (mut agreements, mut differences) = (0, 0);
    for (dialogue, spoken) in theme.dialogues.iter().zip(spoken) {
        let wrong = judge(dialogue, spoken);
        if wrong.is_empty() {
            section.passed(1);
        }
        for wrong in wrong {
            section.failed(format!("{}, {}: {wrong}", theme.name, dialogue.name));
        }
        for step in &dialogue.steps {
            if let What::Receive { differs, .. } = &step.what {
                agreements += usize::from(differs.is_none());
                differences += usize::from(differs.is_some());
            }
        }
    }
    section.say(&format!(
        "{:<24} {:>3} dialogues, {agreements:>3} answers alike, {differences:>2} listed differences",
        theme.name,
        theme.dialogues.len(),
    ));
}

fn speak_all(
    codec: &Codec,
    all: &[&Dialogue],
    kafka: Option<&Partner<'_>>,
    ottla: &Partner<'_>,
) -> Vec<Spoken> {
    let next = AtomicUsize::new(0);
    let spoken: Mutex<HashMap<usize, Spoken>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(all.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(dialogue) = all.get(index) else {
                        return;
                    };
                    let with = |partner: &Partner<'_>| {
                        let now = SystemTime::now()
                            .duration_since(UNIX_EPOCH)
                            .map_err(|e| e.to_string())?
                            .as_millis();
                        let now =
                            i64::try_from(now).map_err(|e| e.to_string())? - words::CLOCK_BEHIND_MS;
                        speak(
                            codec,
                            dialogue,
                            partner,
                            now,
                            // Of one length: it stands in what consumers tell each other, lengths and all.
                            &format!("{:07x}-{index:03}", now % 0x1000_0000),
                        )
                    };
                    let found = Spoken {
                        kafka: kafka.map(with),
                        ottla: with(ottla),
                    };
                    spoken
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(index, found);
                }
            });
        }
    });
    let mut spoken = spoken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing = || Spoken {
        kafka: None,
        ottla: Err("not spoken".into()),
    };
    (0..all.len())
        .map(|index| spoken.remove(&index).unwrap_or_else(missing))
        .collect()
}
