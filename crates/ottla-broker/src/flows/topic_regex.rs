//! Regular expressions that members of consumer groups subscribe by: RE2J's syntax in Kafka (KIP-848), the `regex` crate
//! here. Both match in linear time.
//!
//! Topic names are ASCII, so `\w`, `.` and the like mean ASCII here. What differs is in `docs/COMPATIBILITY.md`.

use regex::bytes::{Regex, RegexBuilder};

/// Memory of one compiled expression, roughly. RE2J bounds the counts of repetitions instead, at 1,000.
const SIZE_BYTES_MAX: usize = 1 << 20;

/// An expression that topics' whole names are held against.
#[derive(Debug)]
pub(crate) struct TopicRegex(Regex);

/// Why an expression does not compile, for a person.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTopicRegex(String);

/// Whether members may subscribe by an expression.
///
/// # Errors
/// Why they may not.
pub fn check_topic_regex(text: &str) -> Result<(), InvalidTopicRegex> {
    TopicRegex::new(text).map(drop)
}

impl TopicRegex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Why it does not compile, or that it takes too much memory.
    pub(crate) fn new(text: &str) -> Result<TopicRegex, InvalidTopicRegex> {
        let text = without_quotes(text);
        // By itself first: `a)|(b` is no expression, though it would be one in brackets.
        build(&text)?;
        build(&format!(r"\A(?:{text})\z")).map(TopicRegex)
    }

    /// True if the whole name matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name.as_bytes())
    }
}

fn build(text: &str) -> Result<Regex, InvalidTopicRegex> {
    let compile = |is_unicode| {
        RegexBuilder::new(text)
            .unicode(is_unicode)
            .size_limit(SIZE_BYTES_MAX)
            .build()
    };
    // `\pL` and letters of other alphabets in classes need the large tables; hardly anybody does.
    let compiled = compile(false).or_else(|_| compile(true));
    compiled.map_err(|error| {
        let told = error.to_string();
        // The drawing of the place above it is none for an error message.
        let last = told.lines().last().unwrap_or(&told);
        InvalidTopicRegex(last.trim_start_matches("error: ").to_owned())
    })
}

/// `\Q` and `\E`, which Java's `Pattern.quote` writes, replaced by escapes: `regex` does not know them.
fn without_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        out.push_str(before);
        match escaped.strip_prefix(r"\Q") {
            Some(quoted) => {
                let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                out.push_str(&regex::escape(literal));
                rest = after;
            }
            None => {
                // The character behind belongs to the backslash: `\\Q` quotes nothing.
                let mut taken = escaped.chars();
                out.extend(taken.by_ref().take(2));
                rest = taken.as_str();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What RE2J answers; `cargo xtask test judges` asks it again.
    const RE2J: &str = include_str!("topic_regex/re2j.txt");
    /// What is different, and our answers; `docs/COMPATIBILITY.md` has it in words.
    const DIFFERENT: &[(&str, &str)] = &[
        ("(?x)a b", "ab"),
        ("(?u)a", "a"),
        ("a++", "a"),
        ("a**", "a"),
        ("a{1001}", "-"),
        (r"[\Qa.\E]+", "a"),
        ("[[]", "error"),
        ("[[a]]", "a"),
        ("[a&&b]", "-"),
        ("[a--b]", "a"),
        (r"\p{Greek}", "error"),
        (r"\p{Latin}+", "error"),
        (r"\0141", "error"),
        (r"\141", "error"),
        ("a{,2}", "error"),
        ("a{", "error"),
        ("a{1", "error"),
    ];

    #[test]
    fn expressions_mean_the_topics_that_they_mean_to_apache_kafka() {
        let mut names = Vec::new();
        let mut wrong = Vec::new();
        let mut count = 0;
        for line in RE2J.lines().filter(|line| !line.starts_with('#')) {
            if let Some(list) = line.strip_prefix("names: ") {
                names.extend(list.split(' '));
                continue;
            }
            let (regex, theirs) = line.rsplit_once(" => ").expect("an arrow");
            let ours = match TopicRegex::new(regex) {
                Ok(regex) => {
                    let all = names.iter().copied();
                    let all: Vec<&str> = all.filter(|name| regex.matches(name)).collect();
                    if all.is_empty() {
                        "-".to_owned()
                    } else {
                        all.join(" ")
                    }
                }
                Err(_) => "error".to_owned(),
            };
            let different = DIFFERENT.iter().find(|(different, _)| *different == regex);
            assert!(
                different.is_none_or(|(_, ours)| *ours != theirs),
                "{regex} is not different"
            );
            let expected = different.map_or(theirs, |(_, ours)| ours);
            if ours != expected {
                wrong.push(format!("{regex}: {ours:?}, not {expected:?}"));
            }
            count += 1;
        }
        assert!(count > 100, "{count} expressions");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_does_not_compile_is_told_in_one_line() {
        for regex in [
            "[",
            "(",
            "a)|(b",
            "*",
            r"\",
            "a{2,1}",
            r"(a)\1",
            "(?=a)",
            r"\w{1000}{1000}",
        ] {
            let why = TopicRegex::new(regex).expect_err(regex).to_string();
            assert!(!why.is_empty() && !why.contains('\n'), "{regex}: {why}");
        }
    }
}
