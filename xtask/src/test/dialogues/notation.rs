//! The notation of requests and answers: words, lists and structs, as text and as a tree.
//!
//! `Acks=-1 TopicData=[{Name=$t PartitionData=[{Records=[batch{records=[a b]}]}]}]`

use std::fmt::Write as _;

/// Lines longer than this are broken.
const WIDTH: usize = 150;

/// A value in the notation.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Node {
    /// A number, `null`, `true`, an error's name, a wildcard; or a string that needs no quotes.
    Word(String),
    /// A string; in quotes where it would not read as one word. Any bytes, so that bad text can be sent.
    Text(Vec<u8>),
    List(Vec<Node>),
    Struct {
        /// What stands before the brace: `batch{`.
        tag: String,
        fields: Vec<(String, Node)>,
    },
}

impl Node {
    pub(super) fn word(text: impl ToString) -> Self {
        Self::Word(text.to_string())
    }

    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        let Self::Struct { fields, .. } = self else {
            return None;
        };
        fields
            .iter()
            .find_map(|(found, node)| (found == name).then_some(node))
    }

    /// As one line, which reads back as the same tree.
    pub(super) fn line(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Word(text) => out.push_str(text),
            Self::Text(bytes) => quote(bytes, &mut out),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::line).collect();
                let _ = write!(out, "[{}]", items.join(" "));
            }
            Self::Struct { tag, fields } => {
                let _ = write!(out, "{tag}{{{}}}", fields_line(fields));
            }
        }
        out
    }

    /// As lines that fit a page; all but the first one are indented by `indent`.
    pub(super) fn lines(&self, indent: usize) -> String {
        let line = self.line();
        if line.len() + indent <= WIDTH {
            return line;
        }
        let inner = " ".repeat(indent + 2);
        let end = " ".repeat(indent);
        match self {
            Self::List(items) => {
                let mut out = String::from("[");
                for item in items {
                    let _ = write!(out, "\n{inner}{}", item.lines(indent + 2));
                }
                let _ = write!(out, "\n{end}]");
                out
            }
            Self::Struct { tag, fields } => {
                format!("{tag}{{{}\n{end}}}", fields_lines(fields, indent + 2))
            }
            Self::Word(_) | Self::Text(_) => line,
        }
    }
}

/// The fields of a message, without braces.
pub(super) fn fields_line(fields: &[(String, Node)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, node)| format!("{name}={}", node.line()))
        .collect();
    fields.join(" ")
}

/// The fields of a message, each on its own line below what stands before them, unless one line holds them all.
pub(super) fn message_lines(fields: &[(String, Node)], indent: usize) -> String {
    let line = fields_line(fields);
    if line.len() + indent <= WIDTH {
        return if line.is_empty() {
            line
        } else {
            format!(" {line}")
        };
    }
    fields_lines(fields, indent)
}

fn fields_lines(fields: &[(String, Node)], indent: usize) -> String {
    let mut out = String::new();
    for (name, node) in fields {
        let _ = write!(out, "\n{}{name}={}", " ".repeat(indent), node.lines(indent));
    }
    out
}

fn quote(bytes: &[u8], out: &mut String) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/$+@*".contains(byte);
    // What looks like a number or a keyword is told from it by its quotes only where both could stand: nowhere but null.
    if !bytes.is_empty() && bytes != b"null" && bytes.iter().all(plain) {
        out.extend(bytes.iter().map(|byte| char::from(*byte)));
        return;
    }
    out.push('"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
}

/// Reads fields without braces: what stands behind the name of a message.
pub(super) fn fields(text: &str) -> Result<Vec<(String, Node)>, String> {
    let mut parser = Parser {
        text: text.as_bytes(),
        at: 0,
    };
    let fields = parser.fields(None)?;
    Ok(fields)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self
            .text
            .get(self.at)
            .is_some_and(|byte| byte.is_ascii_whitespace())
        {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn fields(&mut self, end: Option<u8>) -> Result<Vec<(String, Node)>, String> {
        let mut fields = Vec::new();
        loop {
            let next = self.peek();
            if next == end {
                self.at += 1;
                return Ok(fields);
            }
            let name = self.bare()?;
            if self.text.get(self.at) != Some(&b'=') {
                return Err(format!("no `=` after `{name}`"));
            }
            self.at += 1;
            fields.push((name, self.node()?));
        }
    }

    fn node(&mut self) -> Result<Node, String> {
        match self.peek() {
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                while self.peek() != Some(b']') {
                    items.push(self.node()?);
                }
                self.at += 1;
                Ok(Node::List(items))
            }
            Some(b'{') => {
                self.at += 1;
                let fields = self.fields(Some(b'}'))?;
                Ok(Node::Struct {
                    tag: String::new(),
                    fields,
                })
            }
            Some(b'"') => self.quoted(),
            _ => {
                let word = self.bare()?;
                if self.text.get(self.at) == Some(&b'{') && !word.ends_with('$') {
                    self.at += 1;
                    let fields = self.fields(Some(b'}'))?;
                    return Ok(Node::Struct { tag: word, fields });
                }
                Ok(Node::Word(word))
            }
        }
    }

    fn bare(&mut self) -> Result<String, String> {
        let start = self.at;
        while self
            .text
            .get(self.at)
            .is_some_and(|byte| !byte.is_ascii_whitespace() && !b"=[]{}\"".contains(byte))
        {
            self.at += 1;
        }
        if start == self.at {
            let rest = String::from_utf8_lossy(self.text.get(start..).unwrap_or_default());
            return Err(format!("a word is missing before `{rest}`"));
        }
        Ok(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    fn quoted(&mut self) -> Result<Node, String> {
        let mut out = Vec::new();
        self.at += 1;
        loop {
            let byte = *self.text.get(self.at).ok_or("a quote is not closed")?;
            self.at += 1;
            match byte {
                b'"' => return Ok(Node::Text(out)),
                b'\\' => {
                    let escaped = *self.text.get(self.at).ok_or("a quote is not closed")?;
                    self.at += 1;
                    if escaped != b'x' {
                        out.push(escaped);
                        continue;
                    }
                    let digits = self.text.get(self.at..self.at + 2);
                    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    out.push(byte.ok_or("\\x wants two hexadecimal digits")?);
                    self.at += 2;
                }
                byte => out.push(byte),
            }
        }
    }
}

/// Bytes from hexadecimal digits.
pub(super) fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |at: usize| {
        let pair = digits.get(at..at + 2);
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or_else(|| format!("`{digits}` is not hexadecimal"))
    };
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "A=1 B=[a b] C=[{D=\"\" E=null} batch{F=[] G=\"\\xff\\\" x\"}]",
            "",
            "A=\"null\" B={} C=[[1 2] [3]]",
        ] {
            let read = fields(text).unwrap();
            assert_eq!(fields_line(&read), text);
            let broken = message_lines(&read, 140);
            assert_eq!(fields(&broken).unwrap(), read, "{broken}");
        }
        assert!(fields("A").is_err());
        assert!(fields("A=[b").is_err());
        assert!(fields("A={b=c").is_err());
        assert!(fields("A=\"b").is_err());
    }
}
