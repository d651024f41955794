//! The data behind the curves, as a file of tab separated values that is checked in: one line for each
//! curve, step and metric. What is measured again replaces the whole curve.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::ValueEnum as _;

use super::{CURVES, Curve, chart};
use crate::machine::Environment;
use crate::metric::Metric;
use crate::outcome::{Line, Outcome, Subject};
use crate::table::{Cell, number, summarize};

/// The file, below the directory of the charts.
pub const FILE: &str = "curves.tsv";
const OTTLA: &str = "ottla";
const HEAD: &str =
    "curve\tsize\tsubject\tmetric\truns\tleast\tmedian\tmost\tnoisy\tat\tcommit\tmachine";
/// A curve that is to be flat and takes more than so many times its least value is named.
const FLAT_MAX: f64 = 2.0;
/// So is one that may grow and takes, from one step to the next, more than so many times its size's share.
const LINEAR_MAX: f64 = 1.5;

/// One value of one curve.
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    /// The curve.
    pub curve: String,
    /// Where on it.
    pub size: u64,
    /// `ottla`, or the mode of the limit program.
    pub subject: String,
    /// The metric, as [`Metric::name`] says.
    pub metric: String,
    /// The runs.
    pub cell: Cell,
    /// When, at which commit, on what: the rest of the line.
    pub origin: String,
}

/// Takes results into the data below `folder`, draws every curve that there is data for, and says in
/// words what grows faster than it may.
///
/// # Errors
/// If the data there is none of ours, or nothing can be written.
pub fn update(lines: &[Line], folder: &Path) -> Result<String, String> {
    let told = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    fs::create_dir_all(folder).map_err(|e| told(folder, &e))?;
    let path = folder.join(FILE);
    let known = if path.exists() {
        let text = fs::read_to_string(&path).map_err(|e| told(&path, &e))?;
        parse(&text).map_err(|e| told(&path, &e))?
    } else {
        Vec::new()
    };
    let values = merged(known, measured(lines));
    fs::write(&path, written(&values)).map_err(|e| told(&path, &e))?;
    let mut said = String::new();
    for curve in CURVES {
        let own: Vec<&Value> = values.iter().filter(|v| v.curve == curve.name).collect();
        if own.is_empty() {
            continue;
        }
        let drawing = folder.join(format!("{}.svg", curve.name));
        fs::write(&drawing, chart::svg(curve, &own)).map_err(|e| told(&drawing, &e))?;
        said.push_str(&verdicts(curve, &own));
    }
    Ok(said)
}

/// The values of one metric, by size: of Ottla, or of the limit program.
#[must_use]
pub fn of<'a>(values: &[&'a Value], metric: Metric, is_limit: bool) -> Vec<&'a Value> {
    let mut own: Vec<&Value> = values
        .iter()
        .copied()
        .filter(|value| value.metric == metric.name() && is_limit != (value.subject == OTTLA))
        .collect();
    own.sort_by_key(|value| value.size);
    own
}

/// What the runs say of Ottla and of its limits.
fn measured(lines: &[Line]) -> Vec<Value> {
    let mut origin = String::new();
    let mut runs: BTreeMap<(&str, u64), Vec<&Outcome>> = BTreeMap::new();
    for line in lines {
        match line {
            Line::Environment(environment) => origin = origin_of(environment),
            Line::Run(outcome) => {
                if let Some(at) = outcome.at {
                    runs.entry((&outcome.row, at)).or_default().push(outcome);
                }
            }
        }
    }
    let mut values = Vec::new();
    for curve in CURVES {
        for &size in curve.steps {
            let Some(runs) = runs.get(&(curve.name, size)) else {
                continue;
            };
            let limits = curve.limits.iter().copied().map(Subject::Limit);
            let subjects = [Subject::Ottla].into_iter().chain(limits);
            let of_subjects = subjects.flat_map(|s| curve.metrics.iter().map(move |m| (s, m)));
            for (subject, metric) in of_subjects {
                if let Some(cell) = summarize(runs, subject, *metric) {
                    values.push(Value {
                        curve: curve.name.to_owned(),
                        size,
                        subject: name(subject),
                        metric: metric.name().to_owned(),
                        cell,
                        origin: origin.clone(),
                    });
                }
            }
        }
    }
    values
}

fn name(subject: Subject) -> String {
    let limit = match subject {
        Subject::Limit(limit) => limit.to_possible_value(),
        Subject::Ottla | Subject::Kafka => None,
    };
    limit.map_or(OTTLA.to_owned(), |limit| limit.get_name().to_owned())
}

fn origin_of(environment: &Environment) -> String {
    format!(
        "{}\t{}\t{}, {:.0} GB, {}, {}",
        environment.at,
        environment.commit,
        environment.processor,
        environment.memory_bytes as f64 / 1e9,
        environment.kernel,
        environment.file_system
    )
}

/// In the order of the curves; those measured now without what was known of them.
fn merged(known: Vec<Value>, new: Vec<Value>) -> Vec<Value> {
    let mut all = Vec::with_capacity(known.len() + new.len());
    for curve in CURVES {
        let is_new = new.iter().any(|value| value.curve == curve.name);
        let source = if is_new { &new } else { &known };
        all.extend(source.iter().filter(|v| v.curve == curve.name).cloned());
    }
    all
}

fn written(values: &[Value]) -> String {
    let mut text = format!("{HEAD}\n");
    for value in values {
        let cell = value.cell;
        let _ = writeln!(
            text,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            value.curve,
            value.size,
            value.subject,
            value.metric,
            cell.runs,
            number(cell.least),
            number(cell.middle),
            number(cell.most),
            if cell.is_noisy { "noisy" } else { "" },
            value.origin
        );
    }
    text
}

fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err("another head".to_owned());
    }
    lines
        .map(|line| value(line).ok_or_else(|| format!("not of ours: {line}")))
        .collect()
}

fn value(line: &str) -> Option<Value> {
    let mut fields = line.splitn(10, '\t');
    let mut next = || fields.next();
    Some(Value {
        curve: next()?.to_owned(),
        size: next()?.parse().ok()?,
        subject: next()?.to_owned(),
        metric: next()?.to_owned(),
        cell: Cell {
            runs: next()?.parse().ok()?,
            least: next()?.parse().ok()?,
            middle: next()?.parse().ok()?,
            most: next()?.parse().ok()?,
            is_noisy: next()? == "noisy",
        },
        origin: next()?.to_owned(),
    })
}

/// What grows faster than it may, each with its worst step.
fn verdicts(curve: &Curve, values: &[&Value]) -> String {
    let mut text = String::new();
    for metric in curve.metrics {
        let own: Vec<(u64, f64)> = of(values, *metric, false)
            .iter()
            .map(|value| (value.size, value.cell.least.max(metric.floor())))
            .collect();
        let may_grow = curve.grows.contains(metric);
        // What a size costs beside what it may cost, and the size that it is measured by.
        let steps = (1..own.len()).filter_map(|at| {
            let (size, value) = own[at];
            let (from, allowed) = if may_grow {
                let (from, before) = own[at - 1];
                (
                    (from, before),
                    before * size as f64 / from as f64 * LINEAR_MAX,
                )
            } else {
                let least = own[..at].iter().min_by(|a, b| a.1.total_cmp(&b.1));
                let least = *least?;
                (least, least.1 * FLAT_MAX)
            };
            Some((value / allowed, from, (size, value)))
        });
        let worst = steps.max_by(|one, other| one.0.total_cmp(&other.0));
        if let Some((excess, from, to)) = worst
            && excess > 1.0
        {
            let _ = writeln!(
                text,
                "{}: {} is {} at {} and {} at {}",
                curve.name,
                metric.name(),
                number(from.1),
                from.0,
                number(to.1),
                to.0
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Cores;

    fn run(curve: &str, at: u64, metric: Metric, value: f64) -> Line {
        Line::Run(Outcome {
            row: curve.to_owned(),
            at: Some(at),
            subject: Subject::Ottla,
            round: 1,
            metrics: [(metric, value)].into(),
            neighbours: 0.0,
            read_back: 1,
            cores: Cores::All,
        })
    }

    #[test]
    fn what_is_measured_again_replaces_its_curve_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let environment = || Line::Environment(Environment::default());
        let first = [
            environment(),
            run("topics", 1, Metric::CpuPerCreate, 50.0),
            run("consumers", 1, Metric::CpuPerGb, 0.2),
            run("consumers", 2, Metric::CpuPerGb, 0.25),
        ];
        update(&first, folder.path()).unwrap();
        let second = [environment(), run("consumers", 1, Metric::CpuPerGb, 0.1)];
        update(&second, folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        let values = parse(&text).unwrap();
        assert_eq!(written(&values), text);
        let found: Vec<(&str, u64, f64)> = values
            .iter()
            .map(|v| (v.curve.as_str(), v.size, v.cell.middle))
            .collect();
        assert_eq!(found, [("topics", 1, 50.0), ("consumers", 1, 0.1)]);
        assert!(folder.path().join("topics.svg").exists());
        assert!(parse("curve\n").is_err());
    }

    #[test]
    fn a_cliff_is_named_and_what_may_grow_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            run("topics", 10, Metric::CpuPerCreate, 50.0),
            run("topics", 100, Metric::CpuPerCreate, 60.0),
            run("topics", 1_000, Metric::CpuPerCreate, 600.0),
            run("topics", 10, Metric::Create, 1.0),
            run("topics", 100, Metric::Create, 10.0),
        ];
        assert_eq!(
            update(&lines, folder.path()).unwrap(),
            "topics: create CPU us/request is 50.0 at 10 and 600 at 1000\n"
        );
    }
}
