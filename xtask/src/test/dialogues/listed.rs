//! The list of differences, `tests/dialogues/differences.txt`, and that neither the dialogues nor
//! `docs/COMPATIBILITY.md` say anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;

use super::script::{Theme, What};

const LIST: &str = "tests/dialogues/differences.txt";
const DOCUMENT: &str = "docs/COMPATIBILITY.md";
const BEGIN: &str = "<!-- dialogue differences: begin -->\n";
const END: &str = "<!-- dialogue differences: end -->\n";

/// A difference: its name, what each broker does, and why.
struct Listed {
    id: String,
    kafka: String,
    ottla: String,
    why: String,
}

/// # Errors
/// If a dialogue names a difference that is not listed, a listed one occurs nowhere, or the document differs.
pub(super) fn check(root: &Path, themes: &[Theme]) -> Result<(), String> {
    let list = parse(&read(root, LIST)?)?;
    each_occurs(&list, themes)?;
    let table = table(list.values());
    let document = read(root, DOCUMENT)?;
    let place = document
        .find(BEGIN)
        .zip(document.find(END))
        .map(|(begin, end)| (begin + BEGIN.len(), end));
    let (from, to) = place.ok_or_else(|| format!("{DOCUMENT}: no marks for the differences"))?;
    if document[from..to] == table {
        return Ok(());
    }
    if env::var_os("OTTLA_BLESS").is_none() {
        return Err(format!(
            "{DOCUMENT} does not say what {LIST} says; write it with OTTLA_BLESS=1 cargo test -p xtask"
        ));
    }
    fs::write(
        root.join(DOCUMENT),
        format!("{}{table}{}", &document[..from], &document[to..]),
    )
    .map_err(|e| format!("{DOCUMENT}: {e}"))
}

/// Whether every difference in the dialogues is listed, and every listed one is there.
fn each_occurs(list: &BTreeMap<String, Listed>, themes: &[Theme]) -> Result<(), String> {
    let mut used = BTreeSet::new();
    for step in themes
        .iter()
        .flat_map(|theme| &theme.dialogues)
        .flat_map(|dialogue| &dialogue.steps)
    {
        let What::Receive {
            recorded,
            differs: Some(differs),
            ..
        } = &step.what
        else {
            continue;
        };
        for id in differs.id.split('+') {
            if !list.contains_key(id) {
                return Err(format!("{}: {id} is not in {LIST}", step.at));
            }
            used.insert(id);
        }
        if super::compare::agrees(recorded, &differs.answer) {
            return Err(format!("{}: no difference, and yet one is listed", step.at));
        }
    }
    if let Some(unused) = list.keys().find(|id| !used.contains(id.as_str())) {
        return Err(format!("{LIST}: {unused} occurs in no dialogue"));
    }
    Ok(())
}

fn parse(text: &str) -> Result<BTreeMap<String, Listed>, String> {
    let mut list = BTreeMap::new();
    let blocks = text
        .split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty() && !block.starts_with('#'));
    for block in blocks {
        let line = |name: &str| {
            let found = block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|line| line.trim().to_owned());
            found
                .filter(|line| !line.is_empty())
                .ok_or_else(|| format!("{LIST}: no `{name}` in:\n{block}"))
        };
        if block.lines().count() != 4 {
            return Err(format!(
                "{LIST}: four lines each: difference, kafka, ottla, why:\n{block}"
            ));
        }
        let listed = Listed {
            id: line("difference ")?,
            kafka: line("kafka ")?,
            ottla: line("ottla ")?,
            why: line("why ")?,
        };
        list.insert(listed.id.clone(), listed);
    }
    Ok(list)
}

fn table<'a>(list: impl Iterator<Item = &'a Listed>) -> String {
    let mut out = String::from("| name | Kafka | Ottla | why |\n|---|---|---|---|\n");
    for listed in list {
        out.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            listed.id, listed.kafka, listed.ottla, listed.why
        ));
    }
    out
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    fs::read_to_string(root.join(path)).map_err(|e| format!("{path}: {e}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::script::{Dialogue, Differs, Step};
    use super::*;

    #[test]
    fn dialogues_their_differences_and_the_document_agree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let themes = super::super::script::load(&root.join("tests/dialogues")).unwrap();
        check(root, &themes).unwrap();
    }

    #[test]
    fn the_list_and_the_dialogues_cannot_drift_apart() {
        let list = |ids: &[&str]| {
            let blocks: Vec<String> = ids
                .iter()
                .map(|id| format!("difference {id}\nkafka a\nottla b\nwhy c\n"))
                .collect();
            parse(&blocks.join("\n")).unwrap()
        };
        let theme = |id: &str, answer: &str| Theme {
            name: "one".into(),
            path: PathBuf::new(),
            settings: Vec::new(),
            dialogues: vec![Dialogue {
                name: "one".into(),
                steps: vec![Step {
                    at: "here".into(),
                    lines: (0, 1),
                    what: What::Receive {
                        connection: String::new(),
                        recorded: "A=1".into(),
                        differs: Some(Differs {
                            id: id.into(),
                            answer: answer.into(),
                        }),
                    },
                }],
            }],
        };
        let check = |ids: &[&str], theme: Theme| each_occurs(&list(ids), &[theme]).is_ok();
        assert!(check(&["a"], theme("a", "A=2")));
        assert!(check(&["a", "b"], theme("a+b", "A=2")));
        assert!(!check(&["a", "b"], theme("a", "A=2")), "b occurs nowhere");
        assert!(!check(&["a"], theme("UNLISTED", "A=2")), "not listed");
        assert!(!check(&["a"], theme("a", "A=1")), "no difference");
    }

    #[test]
    fn a_difference_without_a_reason_is_refused() {
        assert!(parse("difference a\nkafka b\nottla c\nwhy d\n").is_ok());
        assert!(parse("difference a\nkafka b\nottla c\n").is_err());
        assert!(parse("difference a\nkafka b\nottla c\nwhy \n").is_err());
    }
}
