//! The table: medians of the clean runs, what they are beside the limit and beside Kafka, and the gates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::ValueEnum as _;

use crate::machine::{Cores, Environment};
use crate::outcome::{Line, Outcome, Subject};
use crate::rows::{Bound, Gate, Limit, Metric, Promise, ROWS, Row};

/// More CPU than this used by others, as a share of all cores, and a run counts only if no better one
/// of its kind is there.
pub const NEIGHBOURS_MAX: f64 = 0.15;
/// The same where answers wait for the disk: there the kernel writes for the server, and nobody is charged
/// for it.
pub const NEIGHBOURS_MAX_DURABLE: f64 = 0.25;

/// One cell: what the clean runs of a subject say of a metric.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cell {
    /// The least of them.
    pub least: f64,
    /// The median.
    pub middle: f64,
    /// The most.
    pub most: f64,
    /// How many.
    pub runs: usize,
    /// None was clean: these are the others.
    pub is_noisy: bool,
}

/// One line of the table, and of the CSV.
struct Entry {
    row: &'static Row,
    metric: Metric,
    /// The limit that is best at what the row is judged by, and its name.
    limit: Option<Cell>,
    limit_name: Option<Limit>,
    ottla: Option<Cell>,
    kafka: Option<Cell>,
}

/// The table as Markdown, to be read as it is, too.
#[must_use]
pub fn markdown(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        if let Line::Environment(environment) = line {
            describe(&mut text, environment);
        }
    }
    let mut table = vec![
        [
            "row",
            "metric",
            "limit",
            "Ottla",
            "Kafka",
            "Ottla/limit",
            "Kafka/Ottla",
            "gate",
            "goal",
        ]
        .map(str::to_owned),
    ];
    let mut before = "";
    for entry in entries(lines) {
        let gate = entry
            .row
            .gates
            .iter()
            .find(|gate| gate.metric == entry.metric);
        let verdict = |which: fn(&Gate) -> Bound| {
            gate.map_or(String::new(), |gate| entry.verdict(which(gate)))
        };
        table.push([
            if entry.row.name == before {
                String::new()
            } else {
                title(entry.row)
            },
            entry.metric.name().to_owned(),
            limited(&entry),
            cell(entry.ottla),
            cell(entry.kafka),
            ratio(entry.ottla, entry.limit),
            ratio(entry.kafka, entry.ottla),
            verdict(|gate| gate.gate),
            verdict(|gate| gate.goal),
        ]);
        before = entry.row.name;
    }
    text.push_str(&aligned(&table));
    text.push_str(
        "\nEach cell: the median, and least to most in brackets; `~` where every run had noisy neighbours.\n\
         GB and MB are 10^9 and 10^6 bytes. [1]: the server had one core, else all; [d]: durable.\n",
    );
    text
}

/// The same as comma separated values, one line per metric and subject.
#[must_use]
pub fn csv(lines: &[Line]) -> String {
    let mut text = "row,metric,subject,runs,least,median,most,noisy\n".to_owned();
    for entry in entries(lines) {
        let subjects = [
            ("limit", entry.limit),
            ("ottla", entry.ottla),
            ("kafka", entry.kafka),
        ];
        for (subject, cell) in subjects {
            let Some(cell) = cell else { continue };
            let _ = writeln!(
                text,
                "{},{},{subject},{},{},{},{},{}",
                entry.row.name,
                entry.metric.name(),
                cell.runs,
                cell.least,
                cell.middle,
                cell.most,
                cell.is_noisy
            );
        }
    }
    text
}

/// True if others used so much CPU that the run says little.
#[must_use]
pub fn is_noisy(outcome: &Outcome) -> bool {
    let row = ROWS.iter().find(|row| row.name == outcome.row);
    let is_durable = row.is_some_and(|row| row.promise == Promise::Durable);
    let most = if is_durable {
        NEIGHBOURS_MAX_DURABLE
    } else {
        NEIGHBOURS_MAX
    };
    outcome.neighbours > most
}

/// One run as a line to read. Begins with `noisy` or `clean`.
#[must_use]
pub fn line(row: &Row, outcome: &Outcome) -> String {
    let mut text = if is_noisy(outcome) { "noisy" } else { "clean" }.to_owned();
    for metric in row.metrics {
        if let Some(value) = outcome.metrics.get(metric) {
            let _ = write!(text, ", {} {}", metric.name(), number(*value));
        }
    }
    let _ = write!(
        text,
        ", neighbours {:.0} %, {} records came back",
        outcome.neighbours * 100.0,
        outcome.read_back
    );
    text
}

fn entries(lines: &[Line]) -> Vec<Entry> {
    let mut runs: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for line in lines {
        if let Line::Run(outcome) = line {
            runs.entry(&outcome.row).or_default().push(outcome);
        }
    }
    let mut entries = Vec::new();
    for row in ROWS {
        let Some(runs) = runs.get(row.name) else {
            continue;
        };
        let judged = row.metrics[0];
        let cells = |limit| summarize(runs, Subject::Limit(limit), judged).map(|cell| cell.middle);
        let best = row
            .limits
            .iter()
            .copied()
            .filter(|limit| cells(*limit).is_some());
        let best = best.min_by(|one, other| {
            let [one, other] = [one, other].map(|limit| cells(*limit).unwrap_or(f64::NAN));
            let order = one.total_cmp(&other);
            if judged.rises() {
                order.reverse()
            } else {
                order
            }
        });
        for &metric in row.metrics {
            let of = |subject| summarize(runs, subject, metric);
            entries.push(Entry {
                row,
                metric,
                limit: best.and_then(|limit| of(Subject::Limit(limit))),
                limit_name: best,
                ottla: of(Subject::Ottla),
                kafka: of(Subject::Kafka),
            });
        }
    }
    entries
}

pub(crate) fn summarize(runs: &[&Outcome], subject: Subject, metric: Metric) -> Option<Cell> {
    let values = |only_clean: bool| {
        let mut values: Vec<f64> = runs
            .iter()
            .filter(|run| run.subject == subject && !(only_clean && is_noisy(run)))
            .filter_map(|run| run.metrics.get(&metric).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let clean = values(true);
    let is_noisy = clean.is_empty();
    let values = if is_noisy { values(false) } else { clean };
    Some(Cell {
        least: *values.first()?,
        middle: values[values.len() / 2],
        most: *values.last()?,
        runs: values.len(),
        is_noisy,
    })
}

impl Entry {
    fn verdict(&self, bound: Bound) -> String {
        let rises = self.metric.rises();
        let (words, wanted) = match bound {
            Bound::TimesLimit(times) => (
                format!("{times}x"),
                self.limit.map(|limit| limit.middle * times),
            ),
            Bound::Value(value) => (number(value), Some(value)),
        };
        let (Some(ottla), Some(wanted)) = (self.ottla, wanted) else {
            return format!("{words} ?");
        };
        let met = if rises {
            ottla.middle >= wanted
        } else {
            ottla.middle <= wanted
        };
        format!("{words} {}", if met { "met" } else { "MISSED" })
    }
}

fn describe(text: &mut String, environment: &Environment) {
    let _ = writeln!(
        text,
        "{}\n{}, {:.0} GB, {}, {}\ncommit {}; {}\n",
        environment.at,
        environment.processor,
        environment.memory_bytes as f64 / 1e9,
        environment.kernel,
        environment.file_system,
        environment.commit,
        environment.versions
    );
}

fn title(row: &Row) -> String {
    let core = if row.cores == Cores::First {
        " [1]"
    } else {
        ""
    };
    let durable = if row.promise == Promise::Durable {
        " [d]"
    } else {
        ""
    };
    format!("{}{core}{durable}", row.name)
}

/// The limit's cell, with the mode's name where the row has several.
fn limited(entry: &Entry) -> String {
    let text = cell(entry.limit);
    match entry.limit_name.and_then(|limit| limit.to_possible_value()) {
        Some(limit) if entry.row.limits.len() > 1 => format!("{text} {}", limit.get_name()),
        _ => text,
    }
}

fn cell(cell: Option<Cell>) -> String {
    let Some(cell) = cell else {
        return "-".to_owned();
    };
    let mark = if cell.is_noisy { "~" } else { "" };
    let middle = number(cell.middle);
    if cell.runs == 1 {
        return format!("{mark}{middle}");
    }
    format!(
        "{mark}{middle} [{}-{}]",
        number(cell.least),
        number(cell.most)
    )
}

fn ratio(one: Option<Cell>, other: Option<Cell>) -> String {
    match (one, other) {
        (Some(one), Some(other)) if other.middle > 0.0 => {
            format!("{:.2}", one.middle / other.middle)
        }
        _ => "-".to_owned(),
    }
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        value if value > 0.0 => 3,
        _ => 0,
    };
    format!("{value:.digits$}")
}

fn aligned(table: &[[String; 9]]) -> String {
    let width = |column: usize| {
        table
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = String::new();
    for (at, line) in table.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if at == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(subject: Subject, cpu: f64, neighbours: f64) -> Line {
        Line::Run(Outcome {
            row: "fetch-1mb-1".to_owned(),
            at: None,
            subject,
            round: 1,
            metrics: [(Metric::CpuPerGb, cpu)].into(),
            neighbours,
            read_back: 1,
            cores: Cores::All,
        })
    }

    fn cells(lines: &[Line]) -> Vec<String> {
        let text = markdown(lines);
        let line = text.lines().find(|line| line.contains("CPU s/GB")).unwrap();
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn the_cheapest_limit_counts_and_noisy_runs_do_not() {
        let lines = [
            run(Subject::Limit(Limit::Sendfile), 0.5, 0.0),
            run(Subject::Limit(Limit::Memory), 0.2, 0.0),
            run(Subject::Ottla, 0.24, 0.01),
            run(Subject::Ottla, 0.9, 0.5),
            run(Subject::Kafka, 0.48, 0.9),
        ];
        let cells = cells(&lines);
        assert_eq!(
            cells[3..10],
            [
                "0.200 memory",
                "0.240",
                "~0.480",
                "1.20",
                "2.00",
                "1.25x met",
                "1.1x MISSED"
            ]
        );
        assert!(csv(&lines).contains("fetch-1mb-1,CPU s/GB,kafka,1,0.48,0.48,0.48,true\n"));
    }

    #[test]
    fn what_the_kernel_writes_makes_no_durable_run_noisy() {
        let Line::Run(outcome) = run(Subject::Ottla, 0.1, 0.18) else {
            panic!("no run");
        };
        assert!(is_noisy(&outcome));
        let durable = Outcome {
            row: "durable-64".to_owned(),
            ..outcome
        };
        assert!(!is_noisy(&durable));
    }

    #[test]
    fn without_a_limit_nothing_is_met() {
        let cells = cells(&[run(Subject::Ottla, 0.1, 0.0), run(Subject::Ottla, 0.3, 0.0)]);
        assert_eq!(
            cells[3..10],
            [
                "-",
                "0.300 [0.100-0.300]",
                "-",
                "-",
                "-",
                "1.25x ?",
                "1.1x ?"
            ]
        );
    }

    #[test]
    fn lines_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let lines = [
            Line::Environment(Environment::read(folder.path(), "abc", "Ottla 0", 2)),
            run(Subject::Kafka, 1.0, 0.0),
        ];
        for line in &lines {
            crate::outcome::append(&path, line).unwrap();
        }
        assert_eq!(crate::outcome::read(&path).unwrap(), lines);
    }
}
