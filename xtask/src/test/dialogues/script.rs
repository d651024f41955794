//! The files of `tests/dialogues/`: themes of dialogues of steps, each with the lines it stands on.
//!
//! The notation is described in `tests/dialogues/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub(super) struct Theme {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Broker configs that this theme needs: `name=value`, both brokers have them.
    pub(super) settings: Vec<String>,
    pub(super) dialogues: Vec<Dialogue>,
}

pub(super) struct Dialogue {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One step, and where it stands.
pub(super) struct Step {
    /// `file:line`.
    pub(super) at: String,
    /// The first line (from 0) and how many.
    pub(super) lines: (usize, usize),
    pub(super) what: What,
}

pub(super) enum What {
    /// Creates a topic and binds its name and id.
    Topic {
        name: String,
        settings: Vec<(String, String)>,
    },
    /// Takes a producer id and binds it.
    Pid { name: String },
    /// Sends a request, named with its fields, macros expanded.
    Send { connection: String, text: String },
    /// Sends bytes as they are.
    Raw { connection: String, text: String },
    /// Closes the connection from the client's side.
    Close { connection: String },
    /// What Kafka answered when it was recorded, and what Ottla answers instead.
    Receive {
        connection: String,
        recorded: String,
        differs: Option<Differs>,
    },
    /// Binds a name to a field of the last answer.
    Bind { name: String, path: String },
    /// Waits until every broker that needs time for it knows the topic, or has forgotten it.
    Await { topic: String, gone: bool },
    /// Binds a group's name, and waits until its coordinator serves.
    Group { name: String },
    /// Brings a member into a classic group, with those that were brought before, until all are told what is theirs.
    Member {
        connection: String,
        group: String,
        /// Fields of its JoinGroup.
        fields: String,
    },
    /// Waits until the group is in a state, and has so many members if they are counted.
    State {
        group: String,
        state: String,
        members: Option<usize>,
    },
    /// Lets time pass.
    Wait { ms: u64 },
}

/// A listed difference.
pub(super) struct Differs {
    /// Its name in `differences.txt`, or several, with `+` between them.
    pub(super) id: String,
    pub(super) answer: String,
}

struct Macro {
    arguments: Vec<String>,
    body: String,
}

/// Reads every theme, in order of their names.
pub(super) fn load(folder: &Path) -> Result<Vec<Theme>, String> {
    let macros = read(&folder.join("macros.txt"))?;
    let mut shared = BTreeMap::new();
    for (at, _, text) in blocks("macros.txt", &macros, 0)? {
        add_macro(&mut shared, &text).map_err(|why| format!("{at}: {why}"))?;
    }
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "dialogues"));
    paths.sort();
    paths.iter().map(|path| theme(path, &shared)).collect()
}

fn theme(path: &Path, macros: &BTreeMap<String, Macro>) -> Result<Theme, String> {
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let text = read(path)?;
    let mut settings = Vec::new();
    let mut dialogues: Vec<Dialogue> = Vec::new();
    for (at, lines, text) in blocks(&format!("{name}.dialogues"), &text, 2)? {
        let fail = |why: String| format!("{at}: {why}");
        if let Some(title) = text.strip_prefix("dialogue ") {
            let title = title.trim().to_owned();
            if dialogues.iter().any(|other| other.name == title) {
                return Err(fail(format!("second dialogue `{title}`")));
            }
            dialogues.push(Dialogue {
                name: title,
                steps: Vec::new(),
            });
            continue;
        }
        if let (Some(words), true) = (text.strip_prefix("settings "), dialogues.is_empty()) {
            settings.extend(words.split_whitespace().map(str::to_owned));
            continue;
        }
        let steps = dialogues.last_mut().map(|dialogue| &mut dialogue.steps);
        let steps = steps.ok_or_else(|| fail("a step outside a dialogue".into()))?;
        if let Some(rest) = text.strip_prefix("ottla ") {
            let (id, answer) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let Some(Step {
                what: What::Receive { differs, .. },
                lines: place,
                ..
            }) = steps.last_mut()
            else {
                return Err(fail("`ottla` stands below an answer".into()));
            };
            *differs = Some(Differs {
                id: id.to_owned(),
                answer: answer.trim().to_owned(),
            });
            place.1 = lines.0 + lines.1 - place.0;
            continue;
        }
        let what = step(&text, macros).map_err(fail)?;
        steps.push(Step { at, lines, what });
    }
    if let Some(empty) = dialogues.iter().find(|dialogue| {
        !dialogue
            .steps
            .iter()
            .any(|step| matches!(step.what, What::Receive { .. }))
    }) {
        return Err(format!(
            "{name}.dialogues: `{}` compares nothing",
            empty.name
        ));
    }
    Ok(Theme {
        name,
        path: path.to_owned(),
        settings,
        dialogues,
    })
}

fn step(text: &str, macros: &BTreeMap<String, Macro>) -> Result<What, String> {
    let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let connection = |mark: &str| {
        let name = head.strip_suffix(mark)?;
        name.chars()
            .all(|c| c.is_ascii_lowercase())
            .then(|| name.to_owned())
    };
    if let Some(connection) = connection(">") {
        return Ok(match rest.split_once(' ').unwrap_or((rest, "")) {
            ("raw", bytes) => What::Raw {
                connection,
                text: bytes.to_owned(),
            },
            ("close", "") => What::Close { connection },
            _ => What::Send {
                connection,
                text: expand(rest, macros)?,
            },
        });
    }
    if let Some(connection) = connection("<") {
        return Ok(What::Receive {
            connection,
            recorded: rest.to_owned(),
            differs: None,
        });
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let mut word = || {
        words
            .next()
            .ok_or_else(|| format!("`{head}` wants more words"))
    };
    match head {
        "topic" => {
            let name = word()?;
            let setting = |word: String| {
                let (name, value) = word
                    .split_once('=')
                    .ok_or_else(|| format!("`{word}` is no setting"))?;
                Ok((name.to_owned(), value.to_owned()))
            };
            let settings = words.map(setting).collect::<Result<_, String>>()?;
            Ok(What::Topic { name, settings })
        }
        "pid" => Ok(What::Pid { name: word()? }),
        "bind" => Ok(What::Bind {
            name: word()?,
            path: word()?,
        }),
        "exists" | "gone" => Ok(What::Await {
            topic: word()?,
            gone: head == "gone",
        }),
        "group" => Ok(What::Group { name: word()? }),
        "member" => Ok(What::Member {
            connection: word()?,
            group: word()?,
            fields: words.collect::<Vec<_>>().join(" "),
        }),
        "state" => {
            let (group, state) = (word()?, word()?);
            let members = words
                .next()
                .map(|word| {
                    let count = word.strip_prefix("members=");
                    count
                        .and_then(|count| count.parse().ok())
                        .ok_or_else(|| format!("`{word}` counts no members"))
                })
                .transpose()?;
            Ok(What::State {
                group,
                state,
                members,
            })
        }
        "wait" => {
            let word = word()?;
            let ms = word.parse();
            ms.map(|ms| What::Wait { ms })
                .map_err(|_| format!("`{word}` is no time in ms"))
        }
        _ => Err(format!("no step begins with `{head}`")),
    }
}

/// Replaces a macro at the start by its body; what follows stays behind it.
fn expand(text: &str, macros: &BTreeMap<String, Macro>) -> Result<String, String> {
    let Some((name, rest)) = text.split_once('(') else {
        return Ok(text.to_owned());
    };
    let Some(found) = macros.get(name) else {
        return Ok(text.to_owned());
    };
    let mut depth = 1;
    let end = rest.char_indices().find(|(_, c)| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    let end = end.ok_or_else(|| format!("`{name}(` is not closed"))?.0;
    let given: Vec<&str> = rest[..end].split(';').map(str::trim).collect();
    if given.len() != found.arguments.len() {
        return Err(format!("`{name}` wants {:?}", found.arguments));
    }
    let mut body = found.body.clone();
    for (argument, value) in found.arguments.iter().zip(given) {
        body = body.replace(&format!("%{argument}"), value);
    }
    expand(&format!("{body} {}", &rest[end + 1..]), macros)
}

fn add_macro(macros: &mut BTreeMap<String, Macro>, text: &str) -> Result<(), String> {
    let (head, body) = text
        .split_once(" = ")
        .ok_or("a macro reads `name(arguments) = request`")?;
    let (name, arguments) = head.split_once('(').ok_or("a macro has arguments")?;
    let arguments = arguments
        .trim_end_matches(')')
        .split(';')
        .map(|a| a.trim().to_owned());
    macros.insert(
        name.to_owned(),
        Macro {
            arguments: arguments.collect(),
            body: body.trim().to_owned(),
        },
    );
    Ok(())
}

/// `file:line`, first line and number of lines, and the text of a block.
type Block = (String, (usize, usize), String);

/// Lines joined with those that are indented deeper than a step; comments and empty lines are left out.
fn blocks(file: &str, text: &str, step_indent: usize) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        // The bracket that closes a broken value stands below its step.
        if indent > step_indent {
            let (_, lines, before) = blocks
                .last_mut()
                .ok_or_else(|| format!("{file}: begins indented"))?;
            before.push(' ');
            before.push_str(trimmed);
            lines.1 = index + 1 - lines.0;
        } else {
            blocks.push((
                format!("{file}:{}", index + 1),
                (index, 1),
                trimmed.to_owned(),
            ));
        }
    }
    Ok(blocks)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Theme, String> {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("ottla-script-{}-{:p}", std::process::id(), text));
        fs::write(&path, text).unwrap();
        let mut macros = BTreeMap::new();
        add_macro(&mut macros, "ask(what; more) = Api v1 A=%what B=[%more]").unwrap();
        let theme = theme(&path, &macros);
        fs::remove_file(&path).unwrap();
        theme
    }

    #[test]
    fn steps_are_read_with_the_lines_they_stand_on() {
        let text = "# about\n\nsettings a=1\nsettings b=2\n\ndialogue one\n  topic t x=y\n  > ask($t; {C=(1)}) v2\n    D=3\n  <\n    E=[\n    ]\n  ottla why\n    F=1\n  b< closed\n";
        let theme = read(text).unwrap();
        assert_eq!(theme.settings, ["a=1", "b=2"]);
        let steps = &theme.dialogues[0].steps;
        let lines: Vec<(usize, usize)> = steps.iter().map(|step| step.lines).collect();
        assert_eq!(lines, [(6, 1), (7, 2), (9, 5), (14, 1)]);
        assert!(
            matches!(&steps[1].what, What::Send { text, .. } if text == "Api v1 A=$t B=[{C=(1)}]  v2 D=3"),
        );
        let What::Receive {
            recorded, differs, ..
        } = &steps[2].what
        else {
            panic!("an answer");
        };
        assert_eq!(recorded, "E=[ ]");
        let differs = differs.as_ref().unwrap();
        assert_eq!((&*differs.id, &*differs.answer), ("why", "F=1"));
        assert!(matches!(&steps[3].what, What::Receive { connection, .. } if connection == "b"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "  > ask(1; 2)\n",
            "dialogue one\n",
            "dialogue one\n  topic t\n",
            "dialogue one\n  <\ndialogue one\n  <\n",
            "dialogue one\n  > ask(1; 2)\n  ottla why A=1\n",
            "dialogue one\n  > ask(1)\n  <\n",
            "dialogue one\n  shout\n  <\n",
            "dialogue one\n  bind x\n  <\n",
            "dialogue one\n  wait long\n  <\n",
            "dialogue one\n  state g\n  <\n",
            "dialogue one\n  state g Empty 2\n  <\n",
            "dialogue one\n  member a\n  <\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
