//! Dialogues on the wire, spoken with Ottla and with Apache Kafka, their answers compared field by field.
//!
//! The files of `tests/dialogues/` hold each dialogue with Kafka's answers as they were recorded. A run speaks it with
//! both brokers: Kafka must answer as recorded, Ottla as Kafka, but for differences that are listed beside the answer
//! and, with their reason, in `differences.txt`, which `docs/COMPATIBILITY.md` repeats. A listed difference that no
//! longer occurs fails, too. `--record` writes down what was answered; a person then reads it and commits it.

mod batch;
mod codec;
mod listed;
mod mask;
mod notation;
mod record;
mod script;
mod stored;
mod talk;
mod words;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::broker::{Broker, Target};
use super::report::Section;
use super::setup::{Java, Lack};

use self::codec::Codec;
use self::notation::Node;
use self::script::{Dialogue, What};
use self::talk::{Answers, Partner, speak};

/// Dialogues at a time: most of each is waiting for Kafka to create a topic.
const AT_ONCE: usize = 12;

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

/// What both brokers answered to one dialogue.
struct Spoken {
    kafka: Option<Result<Answers, String>>,
    ottla: Result<Answers, String>,
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
    let folder = root.join("tests/dialogues");
    let mut themes = script::load(&folder)?;
    if !options.record {
        listed::check(root, &themes)?;
    }
    if let Some(only) = &options.only {
        for theme in &mut themes {
            if !theme.name.contains(only) {
                theme
                    .dialogues
                    .retain(|dialogue| dialogue.name.contains(only));
            }
        }
    }
    let codec = Codec::load()?;

    let mut brokers = Vec::new();
    let mut start =
        |given: &Option<String>, target: Target<'_>, name: &str| -> Result<String, String> {
            if let Some(address) = given {
                return Ok(address.clone());
            }
            let started = Instant::now();
            let broker = Broker::start(&target, &work.join(name))?;
            section.say(&format!(
                "{name} at {} after {:?}",
                broker.address,
                started.elapsed()
            ));
            let address = broker.address.clone();
            brokers.push(broker);
            Ok(address)
        };
    let kafka = match (&options.kafka_at, java) {
        (None, Err(why)) => {
            why.tell(section, "Apache Kafka");
            None
        }
        (_, Ok(java)) => Some(start(&options.kafka_at, Target::Kafka(java), "kafka")?),
        (Some(address), Err(_)) => Some(address.clone()),
    };
    let ottla = start(&options.ottla_at, Target::Ottla(binary.to_owned()), "ottla")?;
    let kafka = kafka.as_ref().map(|address| Partner {
        address,
        prompt: false,
    });
    let ottla = Partner {
        address: &ottla,
        prompt: true,
    };

    let all: Vec<(usize, &Dialogue)> = themes
        .iter()
        .enumerate()
        .flat_map(|(theme, found)| {
            found
                .dialogues
                .iter()
                .map(move |dialogue| (theme, dialogue))
        })
        .collect();
    let spoken = speak_all(&codec, &all, kafka.as_ref(), &ottla);
    if options.record {
        if kafka.is_none() {
            return Err("only Apache Kafka's answers are recorded".into());
        }
        for (index, theme) in themes.iter().enumerate() {
            let answers: Vec<(&Dialogue, &Spoken)> = all
                .iter()
                .zip(&spoken)
                .filter(|((at, _), _)| *at == index)
                .map(|((_, dialogue), spoken)| (*dialogue, spoken))
                .collect();
            record::write(section, theme, &answers)?;
        }
        return Ok(());
    }
    for (index, theme) in themes.iter().enumerate() {
        let (mut dialogues, mut agreements, mut differences) = (0, 0, 0);
        for ((at, dialogue), spoken) in all.iter().zip(&spoken) {
            if *at != index {
                continue;
            }
            dialogues += 1;
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
        if dialogues > 0 {
            section.say(&format!(
                "{:<24} {dialogues:>3} dialogues, {agreements:>3} answers alike, {differences:>2} listed differences",
                theme.name
            ));
        }
    }
    Ok(())
}

fn speak_all(
    codec: &Codec,
    all: &[(usize, &Dialogue)],
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
                    let Some((_, dialogue)) = all.get(index) else {
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
                            &format!("{:x}-{index}", now % 0x1000_0000),
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

/// What is wrong with the answers to one dialogue.
fn judge(dialogue: &Dialogue, spoken: &Spoken) -> Vec<String> {
    let mut wrong = Vec::new();
    let given =
        |name: &str, answers: &Result<Answers, String>, wrong: &mut Vec<String>| match answers {
            Ok(answers) => answers.clone(),
            Err(why) => {
                wrong.push(format!("{name}: {why}"));
                Answers::new()
            }
        };
    let kafka = spoken
        .kafka
        .as_ref()
        .map(|answers| given("Kafka", answers, &mut wrong));
    let ottla = given("Ottla", &spoken.ottla, &mut wrong);
    for (index, step) in dialogue.steps.iter().enumerate() {
        let What::Receive {
            recorded, differs, ..
        } = &step.what
        else {
            continue;
        };
        if let Some(answer) = kafka.as_ref().and_then(|kafka| kafka.get(&index))
            && !same(answer, recorded)
        {
            wrong.push(format!("{}: Kafka's answer is not the recorded one:\n   recorded {recorded}\n   answered{answer}", step.at));
        }
        let Some(answer) = ottla.get(&index) else {
            continue;
        };
        match differs {
            None if !agrees(recorded, answer) => {
                wrong.push(format!(
                    "{}: a difference that is not listed:\n   Kafka {recorded}\n   Ottla{answer}",
                    step.at
                ));
            }
            Some(differs) if !same(answer, &differs.answer) => {
                wrong.push(format!("{}: the listed difference {} is another one now, or gone:\n   Kafka {recorded}\n   listed {}\n   Ottla{answer}", step.at, differs.id, differs.answer));
            }
            _ => {}
        }
    }
    wrong
}

/// Whether two answers say the same, however they are broken into lines.
fn same(one: &str, other: &str) -> bool {
    matches!((fields(one), fields(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether Ottla says what Kafka says. It may explain an error where Kafka gives its number only.
fn agrees(kafka: &str, ottla: &str) -> bool {
    let (Ok(kafka), Ok(mut ottla)) = (fields(kafka), fields(ottla)) else {
        return false;
    };
    forgive_texts(&kafka, &mut ottla);
    kafka == ottla
}

fn forgive_texts(kafka: &Node, ottla: &mut Node) {
    match (kafka, ottla) {
        (Node::List(kafka), Node::List(ottla)) => {
            for (kafka, ottla) in kafka.iter().zip(ottla) {
                forgive_texts(kafka, ottla);
            }
        }
        (kafka @ Node::Struct { .. }, Node::Struct { fields, .. }) => {
            fields
                .retain(|(name, _)| !name.ends_with("ErrorMessage") || kafka.field(name).is_some());
            for (name, ottla) in fields {
                if let Some(kafka) = kafka.field(name) {
                    forgive_texts(kafka, ottla);
                }
            }
        }
        _ => {}
    }
}

fn fields(answer: &str) -> Result<Node, String> {
    match answer.trim() {
        "closed" => Ok(Node::word("closed")),
        text => notation::fields(text).map(|fields| Node::Struct {
            tag: String::new(),
            fields,
        }),
    }
}
