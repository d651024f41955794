//! A message as data: what its `Debug` text says, held against the JSON that Apache Kafka prints.

use std::fmt::Write as _;

use serde_json::Value;

/// Base64 as Kafka's JSON has bytes.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Struct(Vec<(String, Tree)>),
    /// How many bytes of records.
    Records(usize),
}

impl Tree {
    /// Reads the text that `Debug` writes.
    pub(crate) fn parse(debug: &str) -> Result<Tree, String> {
        let mut parser = Parser { rest: debug };
        let tree = parser.tree()?;
        if parser.rest.is_empty() {
            Ok(tree)
        } else {
            Err(format!("left over: {}", parser.rest))
        }
    }

    /// What Kafka says and this does not, field by field. Kafka leaves fields out that the version does not have, and
    /// tagged ones that have their default value: that nothing is encoded for those shows in the bytes.
    pub(crate) fn differences(&self, kafka: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.compare(kafka, "", &mut found);
        found
    }

    fn compare(&self, kafka: &Value, at: &str, found: &mut Vec<String>) {
        match (self, kafka) {
            (Tree::Struct(fields), Value::Object(expected)) => {
                for (name, value) in expected {
                    let (name, of_records) = match name.strip_suffix("SizeInBytes") {
                        Some(name) => (name, true),
                        None => (name.as_str(), false),
                    };
                    let at = format!("{at}.{name}");
                    let mut told = vec![format!("{at}: no such field")];
                    for (_, field) in fields.iter().filter(|(field, _)| is_named(field, name)) {
                        told.clear();
                        match field {
                            // Nobody but a broker looks into the records of a request: they are plain bytes.
                            Tree::List(bytes) if of_records => {
                                Tree::Records(bytes.len()).compare(value, &at, &mut told);
                            }
                            field => field.compare(value, &at, &mut told),
                        }
                        if told.is_empty() {
                            break;
                        }
                    }
                    found.append(&mut told);
                }
            }
            (Tree::List(items), Value::Array(expected)) => {
                if items.len() != expected.len() {
                    found.push(format!(
                        "{at}: {} items, not {}",
                        items.len(),
                        expected.len()
                    ));
                }
                for (place, (item, expected)) in items.iter().zip(expected).enumerate() {
                    item.compare(expected, &format!("{at}.{place}"), found);
                }
            }
            (Tree::Null, Value::Null) => {}
            (Tree::Records(bytes), Value::Number(expected))
                if expected.as_u64() == Some(*bytes as u64) => {}
            (Tree::Bool(value), Value::Bool(expected)) if value == expected => {}
            (Tree::Number(number), Value::Number(expected))
                if number.parse::<f64>().ok() == expected.as_f64()
                    && (expected.is_f64() || *number == expected.to_string()) => {}
            (Tree::Text(text), Value::String(expected)) if text == expected => {}
            (Tree::List(items), Value::String(expected)) if base64(items) == *expected => {}
            // What Kafka does not show in its log.
            (_, Value::String(expected)) if expected == "(redacted)" => {}
            _ => found.push(format!("{at}: {self:?}, Kafka says {kafka}")),
        }
    }

    /// All fields, also those that the version does not have.
    pub(crate) fn to_json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        let _ = match self {
            Tree::Null => write!(text, "null"),
            Tree::Bool(value) => write!(text, "{value}"),
            Tree::Number(number) => write!(text, "{number}"),
            Tree::Text(value) => write!(text, "{}", Value::from(value.as_str())),
            Tree::Records(bytes) => write!(text, "{bytes}"),
            Tree::List(items) if is_bytes(items) => write!(text, "\"{}\"", base64(items)),
            Tree::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    text.push(if place == 0 { '[' } else { ',' });
                    item.write(text);
                }
                write!(text, "{}", if items.is_empty() { "[]" } else { "]" })
            }
            Tree::Struct(fields) => {
                for (place, (name, field)) in fields.iter().enumerate() {
                    text.push(if place == 0 { '{' } else { ',' });
                    let _ = write!(text, "\"{}\":", camel(name));
                    field.write(text);
                }
                write!(text, "{}", if fields.is_empty() { "{}" } else { "}" })
            }
        };
    }
}

/// Whether this is Kafka's name of a field, or one that it had or got in another version.
fn is_named(field: &str, kafka: &str) -> bool {
    let (field, kafka) = (field.replace('_', ""), kafka.to_ascii_lowercase());
    let end = field.strip_prefix(&kafka);
    matches!(end, Some("" | "legacy" | "ormemberepoch"))
}

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}

/// Bytes look like any other list of small numbers; so many of them are bytes.
fn is_bytes(items: &[Tree]) -> bool {
    items.len() > 8 && items.iter().all(|item| byte(item).is_some())
}

fn byte(item: &Tree) -> Option<u8> {
    match item {
        Tree::Number(number) => number.parse().ok(),
        _ => None,
    }
}

fn base64(items: &[Tree]) -> String {
    let Some(bytes) = items.iter().map(byte).collect::<Option<Vec<u8>>>() else {
        return "no bytes".into();
    };
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut word = 0;
        for place in 0..3 {
            word = word << 8 | u32::from(three.get(place).copied().unwrap_or_default());
        }
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn tree(&mut self) -> Result<Tree, String> {
        if self.eat("\"") {
            return self.text();
        }
        if self.eat("[") {
            return Ok(Tree::List(self.until("]", Self::tree)?));
        }
        let word = self.word();
        if self.eat(" {") {
            let field = |parser: &mut Self| {
                let name = parser.word();
                if parser.eat(": ") {
                    Ok((name, parser.tree()?))
                } else {
                    Err(format!("no field: {}", parser.rest))
                }
            };
            self.eat(" ");
            let fields = self.until("}", field)?;
            return Ok(Tree::Struct(fields));
        }
        if self.eat("(") {
            if word == "Records" {
                let bytes = self.word().parse().map_err(|e| format!("records: {e}"))?;
                return if self.eat(" bytes)") {
                    Ok(Tree::Records(bytes))
                } else {
                    Err(format!("records: {}", self.rest))
                };
            }
            // `Some`, or the API's name around its message.
            let inner = self.tree()?;
            return if self.eat(")") {
                Ok(inner)
            } else {
                Err(format!("no end: {}", self.rest))
            };
        }
        Ok(match word.as_str() {
            "None" => Tree::Null,
            "true" => Tree::Bool(true),
            "false" => Tree::Bool(false),
            // A UUID; no number is as long.
            id if id.len() == 22 => Tree::Text(id.to_owned()),
            number if number.parse::<f64>().is_ok() => Tree::Number(number.to_owned()),
            // A message without fields.
            name if name.ends_with("Request") => Tree::Struct(Vec::new()),
            other => return Err(format!("what is {other:?}? {}", self.rest)),
        })
    }

    /// Items with commas between them.
    fn until<T>(
        &mut self,
        end: &str,
        mut item: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        loop {
            self.eat(" ");
            if self.eat(end) {
                return Ok(items);
            }
            items.push(item(self)?);
            self.eat(",");
        }
    }

    /// The rest of a string.
    fn text(&mut self) -> Result<Tree, String> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Tree::Text(text));
                }
                '\\' => match letters.next().map(|(_, letter)| letter) {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('0') => text.push('\0'),
                    Some('u') => {
                        let digits: String = letters
                            .by_ref()
                            .map(|(_, letter)| letter)
                            .skip(1)
                            .take_while(|letter| *letter != '}')
                            .collect();
                        let number = u32::from_str_radix(&digits, 16).map_err(|e| e.to_string())?;
                        text.extend(char::from_u32(number));
                    }
                    Some(other) => text.push(other),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Err("a string has no end".into())
    }

    fn word(&mut self) -> String {
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c));
        let (word, rest) = self
            .rest
            .split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    fn eat(&mut self, start: &str) -> bool {
        match self.rest.strip_prefix(start) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}
