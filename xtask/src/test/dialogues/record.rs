//! Writes answers into the files of dialogues, for a person to read before they are committed.

use std::fs;

use super::Section;
use super::compare::{Spoken, agrees};
use super::script::{Theme, What};

/// What a difference is called until somebody has given it a name and a reason.
pub(super) const UNLISTED: &str = "UNLISTED";

/// Replaces each answer of a theme by what Kafka said now, with Ottla's below it where that differs.
pub(super) fn write(section: &Section, theme: &Theme, spoken: &[Spoken]) -> Result<(), String> {
    let shown = theme.path.display();
    let text = fs::read_to_string(&theme.path).map_err(|e| format!("{shown}: {e}"))?;
    let mut lines: Vec<Option<String>> = text.lines().map(|line| Some(line.to_owned())).collect();
    for (dialogue, spoken) in theme.dialogues.iter().zip(spoken) {
        let kafka = match spoken.kafka.as_ref() {
            Some(Ok(kafka)) => kafka,
            Some(Err(why)) => {
                section.failed(format!("{}: Kafka: {why}", dialogue.name));
                continue;
            }
            None => continue,
        };
        for (index, step) in dialogue.steps.iter().enumerate() {
            let (
                What::Receive {
                    connection,
                    differs,
                    ..
                },
                Some(kafka),
            ) = (&step.what, kafka.get(&index))
            else {
                continue;
            };
            let mut answer = format!("  {connection}<{kafka}");
            match spoken.ottla.as_ref().map(|ottla| ottla.get(&index)) {
                Ok(Some(ottla)) if !agrees(kafka, ottla) => {
                    let id = differs.as_ref().map_or(UNLISTED, |differs| &differs.id);
                    answer.push_str(&format!("\n  ottla {id}{ottla}"));
                }
                Err(why) => section.failed(format!("{}: Ottla: {why}", dialogue.name)),
                _ => {}
            }
            let (first, count) = step.lines;
            for line in lines.iter_mut().skip(first).take(count) {
                *line = None;
            }
            if let Some(line) = lines.get_mut(first) {
                *line = Some(answer);
            }
        }
        section.passed(1);
    }
    let mut text: String = lines.into_iter().flatten().collect::<Vec<_>>().join("\n");
    text.push('\n');
    fs::write(&theme.path, text).map_err(|e| format!("{shown}: {e}"))
}
