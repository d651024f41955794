//! The tables in `docs/` are made from the code. `OTTLA_BLESS=1` writes them anew.

#![allow(clippy::expect_used, reason = "the file is a test, its helpers too")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ottla_model::configs::{BROKER_CONFIGS, NOT_YET, broker_not_yet};

#[path = "../src/settings/own_keys.rs"]
mod own_keys;

/// Holds what lies between two marks of a document against `table`.
fn check(document: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(document);
    let text = fs::read_to_string(&path).expect("the document is there");
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let from = text.find(&begin).expect("the table's first mark") + begin.len();
    let to = text.find(&end).expect("the table's last mark");
    if text[from..to] == *table {
        return;
    }
    assert!(
        std::env::var_os("OTTLA_BLESS").is_some(),
        "docs/{document}: the {name} is not what the code says; run OTTLA_BLESS=1 cargo test -p ottla --test documents"
    );
    fs::write(&path, format!("{}{table}{}", &text[..from], &text[to..]))
        .expect("the document can be written");
}

#[test]
fn documents_say_what_the_code_does() {
    check(
        "COMPATIBILITY.md",
        "api table",
        &ottla_kafka::api_table_markdown(),
    );

    let mut without_effect = String::from("| topic config | instead |\n|---|---|\n");
    for config in NOT_YET {
        let _ = writeln!(without_effect, "| `{}` | {} |", config.name, config.instead);
    }
    check("COMPATIBILITY.md", "config table", &without_effect);

    let mut broker = String::from("| config | default | meaning |\n|---|---|---|\n");
    for config in BROKER_CONFIGS {
        let default = config
            .default
            .map_or(String::from("—"), |value| format!("`{value}`"));
        let mark = match (own_key(config.name), broker_not_yet(config.name)) {
            (Some(key), _) => format!(" **Set with `{key}`.**"),
            (None, Some(instead)) => format!(" **No effect yet:** {instead}."),
            (None, None) => String::new(),
        };
        let _ = writeln!(
            broker,
            "| `{}` | {default} | {}{mark} |",
            config.name, config.doc
        );
    }
    check("CONFIGURATION.md", "broker table", &broker);

    check("COMPATIBILITY.md", "client table", &clients());
}

/// The clients of the test run, as their lists of expected rows name them.
fn clients() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients");
    let mut lines = Vec::new();
    for entry in fs::read_dir(root).expect("the clients are there") {
        let list = entry.expect("an entry").path().join("expected-rows.txt");
        let text = fs::read_to_string(list).unwrap_or_default();
        let Some(client) = text.lines().find_map(|line| line.strip_prefix("client ")) else {
            continue;
        };
        let get = |name: &str| {
            client
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .expect("the test run refuses a list without it")
        };
        let version = match get("version") {
            "any" => "as Debian packages it",
            version => version,
        };
        let lacks = text.lines().filter_map(|line| line.strip_prefix("lacks "));
        let lacks: Vec<String> = lacks
            .filter_map(|line| line.split_once(": "))
            .map(|(what, why)| format!("`{what}`: {why}"))
            .collect();
        lines.push(format!(
            "| {} | {version} | {} | {} |\n",
            get("library"),
            get("language"),
            lacks.join("; ")
        ));
    }
    lines.sort();
    assert!(lines.len() > 3, "only {lines:?}");
    format!(
        "| library | version | language | what it cannot do itself |\n|---|---|---|---|\n{}",
        lines.concat()
    )
}

/// A claim whose test was renamed or is gone is a claim without a test.
#[test]
fn durability_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = fs::read_to_string(root.join("docs/DURABILITY.md")).expect("it is there");
    let table = document.split("## How we know").nth(1).expect("the table");
    let is_name = |word: &&str| {
        word.matches('_').count() >= 2 && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
    };
    let mut missing: Vec<&str> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(is_name)
        .collect();
    assert!(missing.len() > 20, "only {missing:?}");
    let mut folders = vec![root.join("crates"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let is_here = |name: &str| {
                    text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"))
                };
                missing.retain(|name| !is_here(name));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

fn own_key(name: &str) -> Option<&'static str> {
    let found = own_keys::OWN_KEYS.iter().find(|(own, _)| *own == name);
    found.map(|(_, key)| *key)
}
