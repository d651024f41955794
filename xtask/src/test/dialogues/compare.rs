//! What is wrong with the answers to a dialogue: Kafka's against those that were recorded, Ottla's against Kafka's.

use super::notation::{self, Node};
use super::script::{Dialogue, What};
use super::talk::Answers;

/// What both brokers answered to one dialogue.
pub(super) struct Spoken {
    /// `None` if there is no Kafka here.
    pub(super) kafka: Option<Result<Answers, String>>,
    pub(super) ottla: Result<Answers, String>,
}

/// What is wrong with the answers to one dialogue.
pub(super) fn judge(dialogue: &Dialogue, spoken: &Spoken) -> Vec<String> {
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
pub(super) fn same(one: &str, other: &str) -> bool {
    matches!((fields(one), fields(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether Ottla says what Kafka says. It may explain an error where Kafka gives its number only.
pub(super) fn agrees(kafka: &str, ottla: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::super::script::{Differs, Step};
    use super::*;

    fn wrong(recorded: &str, differs: Option<&str>, kafka: Option<&str>, ottla: &str) -> usize {
        let differs = differs.map(|answer| Differs {
            id: "some-reason".into(),
            answer: answer.into(),
        });
        let what = What::Receive {
            connection: String::new(),
            recorded: recorded.into(),
            differs,
        };
        let step = Step {
            at: "here".into(),
            lines: (0, 1),
            what,
        };
        let dialogue = Dialogue {
            name: "one".into(),
            steps: vec![step],
        };
        let answers = |text: &str| Ok(Answers::from([(0, text.to_owned())]));
        let spoken = Spoken {
            kafka: kafka.map(answers),
            ottla: answers(ottla),
        };
        judge(&dialogue, &spoken).len()
    }

    #[test]
    fn whatever_is_not_listed_is_wrong() {
        assert_eq!(
            wrong("A=1 B=[x]", None, Some(" A=1 B=[x]"), " A=1\n    B=[x]"),
            0
        );
        assert_eq!(wrong("A=1", None, Some(" A=2"), " A=1"), 1);
        assert_eq!(wrong("A=1", None, Some(" A=1"), " A=2"), 1);
        assert_eq!(wrong("A=1", None, None, " A=2"), 1);
        assert_eq!(wrong("A=1", None, Some(" A=1"), " closed"), 1);
        assert_eq!(wrong("", None, Some(""), " A=1"), 1);
    }

    #[test]
    fn a_listed_difference_must_occur_as_it_is_listed() {
        assert_eq!(wrong("A=1", Some("A=2"), Some(" A=1"), " A=2"), 0);
        assert_eq!(wrong("A=1", Some("A=2"), Some(" A=1"), " A=1"), 1);
        assert_eq!(wrong("A=1", Some("A=2"), Some(" A=1"), " A=3"), 1);
    }

    #[test]
    fn ottla_may_explain_more_than_kafka_but_not_less() {
        let silent = "R=[{ErrorCode=X}]";
        let told = "R=[{ErrorCode=X ErrorMessage=text}]";
        assert!(agrees(silent, told));
        assert!(!agrees(told, silent));
        assert!(!agrees("R=[{ErrorCode=X ErrorMessage=null}]", told));
    }

    #[test]
    fn a_broker_that_could_not_be_spoken_with_is_wrong() {
        let dialogue = Dialogue {
            name: "one".into(),
            steps: Vec::new(),
        };
        let silent = || Err("silent".to_owned());
        let spoken = Spoken {
            kafka: Some(silent()),
            ottla: silent(),
        };
        assert_eq!(judge(&dialogue, &spoken).len(), 2);
    }
}
