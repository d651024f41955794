//! Rows of what real clients did, against the checked-in list of what they must do.
//!
//! A row is a set of `name=value` fields. An expected row is met by a found row that has all its fields and
//! `result=ok`; a found row may say more (a version, a number of batches). A missing row fails, so does a failed one,
//! and one that the list does not know: the list is the whole truth.

use std::collections::BTreeSet;

/// One line of either side, its fields in the order they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(Vec<(String, String)>);

impl Row {
    /// # Errors
    /// If a word is not `name=value`.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let field = |word: &str| {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("{word:?} is not name=value in {line:?}"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        line.split_whitespace()
            .map(field)
            .collect::<Result<_, String>>()
            .map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// A row that passed.
    pub(super) fn ok(fields: &[(&str, &str)]) -> Self {
        let mut row = Self(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        );
        row.0.push(("result".into(), "ok".into()));
        row
    }

    fn meets(&self, expected: &Self) -> bool {
        self.get("result") == Some("ok")
            && expected
                .0
                .iter()
                .all(|(name, value)| self.get(name) == Some(value))
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        f.write_str(&words.join(" "))
    }
}

/// The lines of a checked-in list: `#` starts a comment.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
}

/// What is wrong with the found rows.
pub(super) fn compare(expected: &[Row], found: &[Row]) -> Vec<String> {
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in expected {
        match (0..found.len()).find(|index| !used.contains(index) && found[*index].meets(row)) {
            Some(index) => drop(used.insert(index)),
            None => wrong.push(format!("missing or failed row: {row}")),
        }
    }
    for (index, row) in found.iter().enumerate() {
        if !used.contains(&index) && row.get("result") == Some("ok") {
            wrong.push(format!("a row that the list does not have: {row}"));
        }
    }
    wrong
}

/// Cells under their heads, in columns.
pub(super) fn table<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> Vec<String> {
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let render = |line: &[String; COLUMNS]| {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}", width = *width))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(render).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &[&str], found: &[&str]) -> Vec<String> {
        let rows = |lines: &[&str]| -> Vec<Row> {
            lines.iter().map(|line| Row::parse(line).unwrap()).collect()
        };
        compare(&rows(expected), &rows(found))
    }

    const TWO: &[&str] = &[
        "client=a codec=gzip records=10",
        "client=b codec=none records=10",
    ];

    #[test]
    fn every_expected_row_needs_its_own_row_that_passed() {
        let a = "client=a version=1 codec=gzip records=10 result=ok";
        let b = "client=b codec=none records=10 result=ok";
        assert_eq!(check(TWO, &[b, a]), Vec::<String>::new());
        assert_eq!(
            check(TWO, &[a]),
            ["missing or failed row: client=b codec=none records=10"]
        );
        let fewer = "client=b codec=none records=9 result=ok";
        assert_eq!(check(TWO, &[a, fewer]).len(), 2);
        let failed = "client=b codec=none records=10 result=failed";
        assert_eq!(check(TWO, &[a, failed]).len(), 1);
        assert_eq!(check(TWO, &[a, a, b]).len(), 1);
    }

    #[test]
    fn a_word_without_a_value_is_refused() {
        assert!(Row::parse("client=a gzip").is_err());
    }

    #[test]
    fn comments_and_empty_lines_are_no_rows() {
        let text = "# a comment\na=1\n\nb=2 # another\n";
        assert_eq!(lines(text).collect::<Vec<_>>(), ["a=1", "b=2"]);
    }
}
