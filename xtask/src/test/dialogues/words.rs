//! What words mean to one broker: its variables, the dialogue's time; and the other way round, what is shown in place
//! of values that no two brokers share.

use std::collections::BTreeMap;

use super::notation::{Node, hex};

/// A dialogue's clock stands this far behind, so that a time set by a broker is told from one that the client sent.
pub(super) const CLOCK_BEHIND_MS: i64 = 1_000;
/// What a dialogue calls now, give or take this much, is the client's.
const CLIENT_SPAN_MS: i64 = 500;
/// Times within this distance are shown relative to now.
const NEAR_MS: i64 = 40 * 24 * 60 * 60 * 1_000;

/// The variables of one dialogue with one broker.
pub(super) struct Words {
    pub(super) now: i64,
    /// By name, with their text.
    variables: BTreeMap<String, String>,
}

impl Words {
    /// `$u` is what makes names unique.
    pub(super) fn new(now: i64, unique: &str) -> Self {
        Self {
            now,
            variables: BTreeMap::from([("u".into(), unique.into())]),
        }
    }

    pub(super) fn bind(&mut self, name: &str, text: String) {
        self.variables.insert(name.into(), text);
    }

    pub(super) fn get(&self, name: &str) -> Result<&str, String> {
        self.variables
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| format!("${name} is not bound"))
    }

    /// The text with every `$name` and `${name}` replaced.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        let mut pieces = text.split('$');
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            if let Some((name, rest)) = piece
                .strip_prefix('{')
                .and_then(|braced| braced.split_once('}'))
            {
                out.push_str(self.get(name)?);
                out.push_str(rest);
            } else {
                let end = piece
                    .find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_');
                let (name, rest) = piece.split_at(end.unwrap_or(piece.len()));
                out.push_str(self.get(name)?);
                out.push_str(rest);
            }
        }
        Ok(out)
    }

    pub(super) fn is_null(&self, node: &Node) -> bool {
        matches!(node, Node::Word(word) if word == "null")
    }

    /// `-1`, `$pid`, `now`, `now-5`.
    pub(super) fn number(&self, node: &Node) -> Result<i64, String> {
        let wrong = || format!("`{}` is no number", node.line());
        let Node::Word(word) = node else {
            return Err(wrong());
        };
        let word = self.fill(word)?;
        if let Some(distance) = word.strip_prefix("now") {
            let distance = if distance.is_empty() {
                Ok(0)
            } else {
                distance.parse::<i64>()
            };
            return distance
                .map(|distance| self.now + distance)
                .map_err(|_| wrong());
        }
        word.parse().map_err(|_| wrong())
    }

    /// The bytes of a string, or `hex:00ff`, or `fill:1000` for so many letters.
    pub(super) fn bytes(&self, node: &Node) -> Result<Vec<u8>, String> {
        let text = match node {
            Node::Word(word) => self.fill(word)?,
            // Bytes that are no text have no variables in them.
            Node::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.fill(text)?,
                Err(_) => return Ok(bytes.clone()),
            },
            other => return Err(format!("`{}` is no string", other.line())),
        };
        if let Some(digits) = text.strip_prefix("hex:") {
            return hex(digits);
        }
        if let Some(count) = text.strip_prefix("fill:") {
            return count
                .parse()
                .map(|count| vec![b'x'; count])
                .map_err(|_| format!("`{text}` is no count"));
        }
        Ok(text.into_bytes())
    }

    /// A string as it is shown: with the names of variables in place of their values.
    pub(super) fn shown_text(&self, bytes: &[u8]) -> Node {
        if bytes.len() > 64 && bytes.iter().all(|byte| *byte == b'x') {
            return Node::Word(format!("fill:{}", bytes.len()));
        }
        let mut variables: Vec<(&String, &String)> = self
            .variables
            .iter()
            .filter(|(_, value)| value.len() > 4)
            .collect();
        variables.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let mut text = bytes.to_vec();
        for (name, value) in variables {
            let shown = if text == value.as_bytes() {
                format!("${name}")
            } else {
                format!("${{{name}}}")
            };
            text = replace(&text, value.as_bytes(), shown.as_bytes());
        }
        Node::Text(text)
    }

    /// An id of a member: one that is not bound without what nobody can know of it.
    pub(super) fn shown_member(&self, bytes: &[u8]) -> Node {
        let shown = self.shown_text(bytes);
        match std::str::from_utf8(bytes).ok().and_then(without_uuid) {
            Some(owner) if shown == Node::Text(bytes.to_vec()) => {
                Node::Text(format!("{owner}-uuid").into_bytes())
            }
            _ => shown,
        }
    }

    /// Binds an id that a broker made to the connection that was told it, `$a`, then `$a2`; `$me` without a name.
    /// That of an owner who got no name before it is `$a_bare`.
    /// What is bound already stays.
    ///
    /// # Errors
    /// If it is not what `owner` gets: `owner-UUID`, or, without an owner or in a group of consumers, 22 letters and
    /// digits.
    pub(super) fn bind_member(
        &mut self,
        connection: &str,
        id: &str,
        owner: Option<&str>,
    ) -> Result<(), String> {
        if self.variables.values().any(|bound| bound == id) {
            return Ok(());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_bare = id.len() == 22 && id.bytes().all(plain);
        let name = if connection.is_empty() {
            "me"
        } else {
            connection
        };
        let name = match owner {
            Some(owner) if without_uuid(id) == Some(owner) => name.to_owned(),
            Some(_) if is_bare => format!("{name}_bare"),
            None if is_bare => name.to_owned(),
            _ => return Err(format!("`{id}` is no member id that {owner:?} gets")),
        };
        let mut names = (1..).map(|number| match number {
            1 => name.clone(),
            number => format!("{name}{number}"),
        });
        let free = names.find(|name| !self.variables.contains_key(name));
        self.bind(&free.ok_or("no name is free")?, id.to_owned());
        Ok(())
    }

    /// The variable with this value, of those whose names end so.
    fn variable(&self, ending: &str, value: &str) -> Option<Node> {
        let mut found = self
            .variables
            .iter()
            .filter(|(name, bound)| name.ends_with(ending) && *bound == value);
        found.next().map(|(name, _)| Node::Word(format!("${name}")))
    }

    pub(super) fn shown_uuid(&self, uuid: &str) -> Node {
        self.variable("id", uuid)
            .unwrap_or_else(|| Node::word("uuid"))
    }

    pub(super) fn shown_pid(&self, pid: i64) -> Node {
        if pid < 0 {
            return Node::word(pid);
        }
        self.variable("pid", &pid.to_string())
            .unwrap_or_else(|| Node::word("pid"))
    }

    pub(super) fn shown_session(&self, session: i64) -> Node {
        if session <= 0 {
            return Node::word(session);
        }
        self.variable("session", &session.to_string())
            .unwrap_or_else(|| Node::word("session"))
    }

    pub(super) fn shown_time(&self, time: i64) -> Node {
        match time - self.now {
            0 => Node::word("now"),
            // The broker's own clock: at least as late as the dialogue's true begin.
            distance if (CLIENT_SPAN_MS..CLOCK_BEHIND_MS + 60_000).contains(&distance) => {
                Node::word("time")
            }
            distance if distance.abs() < NEAR_MS => Node::Word(format!("now{distance:+}")),
            _ => Node::word(time),
        }
    }
}

fn replace(text: &[u8], value: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(byte) = rest.first() {
        if let Some(after) = rest.strip_prefix(value) {
            out.extend(by);
            rest = after;
        } else {
            out.push(*byte);
            rest = &rest[1..];
        }
    }
    out
}

/// What stands before the `-UUID` at the end.
fn without_uuid(id: &str) -> Option<&str> {
    let (owner, uuid) = id.split_at_checked(id.len().checked_sub(36)?)?;
    let dashes = [8, 13, 18, 23];
    let is_uuid = uuid.bytes().enumerate().all(|(at, byte)| {
        if dashes.contains(&at) {
            byte == b'-'
        } else {
            matches!(byte, b'0'..=b'9' | b'a'..=b'f')
        }
    });
    owner.strip_suffix('-').filter(|_| is_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_go_in_and_their_names_come_out() {
        let mut words = Words::new(1_000_000_000_000, "abcdef");
        words.bind("t", "t-abcdef".into());
        words.bind("t_id", "hex:00112233445566778899aabbccddeeff".into());
        words.bind("pid", "17".into());
        assert_eq!(
            words.fill("x${t}y-$t-$u").unwrap(),
            "xt-abcdefy-t-abcdef-abcdef"
        );
        assert!(words.fill("$nobody").is_err());
        let shown = |text: &str| words.shown_text(text.as_bytes()).line();
        assert_eq!(shown("t-abcdef"), "$t");
        assert_eq!(shown("new-abcdef"), "\"new-${u}\"");
        assert_eq!(
            words
                .shown_uuid("hex:00112233445566778899aabbccddeeff")
                .line(),
            "$t_id"
        );
        assert_eq!(words.shown_uuid("hex:ff").line(), "uuid");
        assert_eq!(words.shown_pid(17).line(), "$pid");
        assert_eq!(words.shown_pid(18).line(), "pid");
        assert_eq!(words.shown_pid(-1).line(), "-1");
    }

    #[test]
    fn ids_of_members_are_bound_to_who_was_told_them() {
        let mut words = Words::new(1_000_000_000_000, "u");
        let id = "i-one-01234567-89ab-cdef-0123-456789abcdef";
        let shown = |words: &Words| words.shown_member(id.as_bytes()).line();
        assert_eq!(shown(&words), "i-one-uuid");
        assert!(words.bind_member("a", id, Some("i")).is_err());
        assert!(words.bind_member("a", id, None).is_err());
        words.bind_member("a", id, Some("i-one")).unwrap();
        words.bind_member("a", id, Some("i-one")).unwrap();
        assert_eq!(shown(&words), "$a");
        let other = id.replace('9', "8");
        words.bind_member("a", &other, Some("i-one")).unwrap();
        assert_eq!(words.shown_member(other.as_bytes()).line(), "$a2");
        words
            .bind_member("", "AbCdEfGhIjKlMnOpQrS_-9", None)
            .unwrap();
        assert_eq!(words.get("me").unwrap(), "AbCdEfGhIjKlMnOpQrS_-9");
        assert!(
            words
                .bind_member("", "AbCdEfGhIjKlMnOpQrS/+9", None)
                .is_err()
        );
        words
            .bind_member("b", "AbCdEfGhIjKlMnOpQrSt-9", Some("i-one"))
            .unwrap();
        assert_eq!(words.get("b_bare").unwrap(), "AbCdEfGhIjKlMnOpQrSt-9");
        let within = [b"\xff\xff", other.as_bytes(), b"\x00"].concat();
        assert_eq!(words.shown_text(&within).line(), "\"\\xff\\xff${a2}\\x00\"");
    }

    #[test]
    fn times_are_shown_relative_to_now_but_for_the_brokers_own() {
        let words = Words::new(1_000_000_000_000, "u");
        let shown = |distance: i64| words.shown_time(words.now + distance).line();
        assert_eq!(shown(0), "now");
        assert_eq!(shown(-5), "now-5");
        assert_eq!(shown(499), "now+499");
        assert_eq!(shown(CLOCK_BEHIND_MS), "time");
        assert_eq!(shown(3_700_000), "now+3700000");
        assert_eq!(words.shown_time(-1).line(), "-1");
        let number = |text: &str| words.number(&Node::word(text));
        assert_eq!(number("now+5").unwrap(), words.now + 5);
        assert!(number("5x").is_err());
    }
}
