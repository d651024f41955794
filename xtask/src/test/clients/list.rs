//! `expected-rows.txt` of a client's folder: the whole truth of what this client must do.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use super::super::rows::{Row, compare, lines};

/// One run of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::test) enum Part {
    Cases,
    /// Those of groups by this protocol; they have a broker of their own.
    Groups(&'static str),
}

impl Part {
    fn has(self, row: &Row) -> bool {
        match self {
            Self::Cases => row.get("protocol").is_none(),
            Self::Groups(protocol) => row.get("protocol") == Some(protocol),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cases => f.write_str("cases"),
            Self::Groups(protocol) => write!(f, "{protocol} groups"),
        }
    }
}

/// What one client must do, and what it cannot.
#[derive(Debug)]
pub(in crate::test) struct List {
    version: String,
    rows: Vec<Row>,
    stored: Vec<Row>,
    /// `case=…`, `codec=…` or `acks=…`, each with its reason.
    lacks: Vec<(String, String)>,
    /// Why it cannot run against Apache Kafka.
    needs_ottla: Option<String>,
}

impl List {
    /// # Errors
    /// If the file cannot be read or understood.
    pub(in crate::test) fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join("expected-rows.txt");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut version, mut needs_ottla) = (None, None);
        let (mut rows, mut stored, mut lacks) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines(text) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "client" if version.is_none() => {
                    let row = Row::parse(rest)?;
                    let get =
                        |name: &str| row.get(name).ok_or_else(|| format!("no {name} in: {line}"));
                    get("library")?;
                    get("language")?;
                    version = Some(get("version")?.to_owned());
                }
                "row" => rows.push(Row::parse(rest)?),
                "stored" => stored.push(Row::parse(rest)?),
                "lacks" => {
                    let (what, why) = rest
                        .split_once(": ")
                        .ok_or_else(|| format!("no reason in: {line}"))?;
                    lacks.push((what.to_owned(), why.trim().to_owned()));
                }
                "needs" => {
                    let why = rest.strip_prefix("ottla: ");
                    let why = why.ok_or_else(|| format!("not understood: {line}"))?;
                    needs_ottla = Some(why.trim().to_owned());
                }
                _ => return Err(format!("not understood: {line}")),
            }
        }
        Ok(Self {
            version: version.ok_or("no line \"client library=… language=… version=…\"")?,
            rows,
            stored,
            lacks,
            needs_ottla,
        })
    }

    /// Why the client cannot run against Apache Kafka, if it cannot.
    pub(in crate::test) fn needs_ottla(&self) -> Option<&str> {
        self.needs_ottla.as_deref()
    }

    /// What its program is run for.
    pub(in crate::test) fn parts(&self) -> Vec<Part> {
        let groups = PROTOCOLS.iter().map(|protocol| Part::Groups(protocol));
        let groups = groups.filter(|part| self.rows.iter().any(|row| part.has(row)));
        std::iter::once(Part::Cases).chain(groups).collect()
    }

    /// How many rows the program must print.
    pub(in crate::test) fn cases(&self) -> usize {
        self.rows.len()
    }

    /// What the client cannot do, in short.
    pub(in crate::test) fn lacks(&self) -> String {
        let lacks: Vec<&str> = self.lacks.iter().map(|(what, _)| what.as_str()).collect();
        lacks.join(" ")
    }

    /// What is wrong with the rows that a program printed.
    pub(in crate::test) fn compare(&self, part: Part, found: &[Row]) -> Vec<String> {
        let rows = self.rows.iter().filter(|row| part.has(row)).cloned();
        let mut wrong = compare(&rows.collect::<Vec<_>>(), found);
        let versions: BTreeSet<&str> = found.iter().filter_map(|row| row.get("version")).collect();
        for version in versions {
            if self.version != "any" && self.version != version {
                wrong.push(format!(
                    "version {version} ran, the list is for {}",
                    self.version
                ));
            }
        }
        wrong
    }

    /// What is wrong with the rows of kafka-dump-log over this client's topics.
    pub(in crate::test) fn compare_stored(&self, found: &[Row]) -> Vec<String> {
        compare(&self.stored, found)
    }

    /// What the contract demands and this list neither has nor says to lack, and what it has although it says to lack it.
    #[cfg(test)]
    pub(super) fn gaps(&self) -> Vec<String> {
        let produces = |name: &str, value: &str| {
            self.rows.iter().any(|row| {
                ["produce", "produce-consume"].contains(&row.get("case").unwrap_or_default())
                    && row.get("records") == Some("10000")
                    && row.get(name) == Some(value)
            })
        };
        let has = |what: &str| match what.split_once('=') {
            Some(("case", "produce-consume")) => produces("case", "produce-consume"),
            Some(("case", value)) => self.rows.iter().any(|row| row.get("case") == Some(value)),
            Some((name, value)) => produces(name, value),
            None => false,
        };
        let lacks = |what: &str| self.lacks.iter().any(|(lacks, _)| lacks == what);
        let mut gaps: Vec<String> = CONTRACT
            .iter()
            .filter(|what| has(what) == lacks(what))
            .map(|what| format!("{what}: a row of it, or a line that says why it lacks it"))
            .collect();
        for protocol in PROTOCOLS {
            for case in GROUP_CASES {
                let of_protocol = |row: &Row| row.get("protocol") == Some(protocol);
                let has = |row: &Row| row.get("case") == Some(case) && of_protocol(row);
                let has = self.rows.iter().any(has);
                let lacks =
                    lacks(&format!("case={case}")) || lacks(&format!("protocol={protocol}"));
                if has == lacks {
                    gaps.push(format!(
                        "{case} by {protocol}: a row of it, or a line that says why it lacks it"
                    ));
                }
            }
        }
        let known = |what: &str| match what.split_once('=') {
            Some(("protocol", protocol)) => PROTOCOLS.contains(&protocol),
            Some(("case", case)) if GROUP_CASES.contains(&case) => true,
            _ => CONTRACT.contains(&what),
        };
        let unknown = self
            .lacks
            .iter()
            .filter(|(what, why)| !known(what) || why.is_empty());
        gaps.extend(unknown.map(|(what, _)| format!("lacks {what}: not of the contract")));
        gaps
    }
}

/// What every client does, or says why not.
#[cfg(test)]
const CONTRACT: &[&str] = &[
    "case=create-topic",
    "case=produce-consume",
    "case=large-records",
    "case=list-offsets",
    "case=seek-offset",
    "case=seek-time",
    "case=recreate-topic",
    "codec=none",
    "codec=gzip",
    "codec=snappy",
    "codec=lz4",
    "codec=zstd",
    "acks=0",
    "acks=1",
    "acks=all",
    "idempotent=on",
];

/// What members of groups do, by each protocol.
#[cfg(test)]
const GROUP_CASES: &[&str] = &[
    "group-subscribe",
    "group-rebalance",
    "group-resume",
    "group-seek",
    "group-pause",
    "group-auto-commit",
    "group-idle",
    "group-apart",
    "group-lag",
    "group-restart",
    "group-kill",
    "group-member-killed",
];

const PROTOCOLS: &[&str] = &["classic", "consumer"];

#[cfg(test)]
mod tests {
    use super::super::table::CLIENTS;
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
    }

    #[test]
    fn every_folder_with_a_list_is_a_client_and_the_other_way_round() {
        let folders: BTreeSet<String> = fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("expected-rows.txt").is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != "judges")
            .collect();
        let names: BTreeSet<String> = CLIENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(folders, names);
        for name in &names {
            let prefix = format!("{name}-");
            let other = names.iter().find(|other| other.starts_with(&prefix));
            assert_eq!(other, None, "their topics could not be told apart: {name}");
        }
    }

    #[test]
    fn every_client_has_every_case_or_says_why_not() {
        for (name, _) in CLIENTS {
            let list = List::open(&folder().join(name)).unwrap();
            assert_eq!(list.gaps(), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn a_gap_is_found() {
        let mut text = String::from("client library=x language=y version=1\n");
        for what in CONTRACT {
            text.push_str(&format!("lacks {what}: because\n"));
        }
        text.push_str("lacks protocol=classic: because\n");
        for case in GROUP_CASES {
            text.push_str(&format!("row case={case} protocol=consumer\n"));
        }
        assert_eq!(List::parse(&text).unwrap().gaps(), Vec::<String>::new());
        let gaps = |text: &str| List::parse(text).unwrap().gaps().len();
        assert_eq!(gaps(&text.replace("lacks codec=zstd: because\n", "")), 1);
        assert_eq!(gaps(&format!("{text}row case=seek-time\n")), 1);
        let no_seek = text.replace("row case=group-seek protocol=consumer\n", "");
        assert_eq!(gaps(&no_seek), 1);
        assert_eq!(
            gaps(&format!("{no_seek}lacks case=group-seek: because\n")),
            0
        );
        let classic = "row case=group-seek protocol=classic\n";
        assert_eq!(gaps(&format!("{text}{classic}")), 1);
        assert_eq!(
            gaps(&text.replace("lacks protocol=classic: because\n", "")),
            GROUP_CASES.len()
        );
        assert_eq!(gaps(&format!("{text}lacks codec=bzip2: because\n")), 1);
        let few = "row case=produce-consume codec=zstd records=100\n";
        assert_eq!(gaps(&format!("{text}{few}")), 0);
    }

    #[test]
    fn another_version_than_the_listed_one_is_wrong() {
        let row = |version: &str| Row::parse(&format!("version={version} case=a result=ok"));
        let list = |version: &str| {
            let client = format!("client library=x language=y version={version}");
            List::parse(&format!("{client}\nrow case=a # why\n")).unwrap()
        };
        let found = [row("2").unwrap()];
        assert_eq!(list("2").compare(Part::Cases, &found), Vec::<String>::new());
        assert_eq!(
            list("any").compare(Part::Cases, &found),
            Vec::<String>::new()
        );
        assert_eq!(list("1").compare(Part::Cases, &found).len(), 1);
    }

    #[test]
    fn a_line_that_is_not_understood_is_refused() {
        let client = "client library=x language=y version=1\n";
        for bad in [
            "rows case=a",
            "lacks case=seek-time",
            "row case",
            "client library=x",
        ] {
            assert!(List::parse(&format!("{client}{bad}")).is_err(), "{bad}");
        }
        assert!(List::parse("row case=a").is_err());
    }
}
