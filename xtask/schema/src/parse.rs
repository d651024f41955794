//! From the notation to the model. Every error names its file and line.

use crate::model::{Default, Field, KeyLine, Module, Role, Struct, Type, VersionPlace, Versions};

/// A schema file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path within the workspace, for errors.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// A line that says something: how deep it stands, its words, and the comment after them.
struct Line<'a> {
    at: String,
    depth: usize,
    words: Vec<&'a str>,
    docs: Option<String>,
}

/// Reads the list of API keys.
///
/// # Errors
/// What makes no sense, with its line.
pub fn keys(source: &Source) -> Result<Vec<KeyLine>, String> {
    let mut keys: Vec<KeyLine> = Vec::new();
    for line in lines(source)?.1 {
        let &[key, name, "flexible", flexible] = &line.words[..] else {
            return Err(format!(
                "{}: expected `KEY Name flexible VERSIONS`",
                line.at
            ));
        };
        let key = number(key, &line.at)?;
        if usize::from(key as u16) != keys.len() {
            return Err(format!("{}: expected key {}", line.at, keys.len()));
        }
        let flexible = versions(flexible, &line.at)?;
        keys.push(KeyLine {
            at: line.at,
            key,
            name: name.into(),
            flexible,
        });
    }
    Ok(keys)
}

/// Holds the messages against the list of keys.
///
/// # Errors
/// The first message that it does not know, or knows otherwise.
pub fn check_keys(keys: &[KeyLine], modules: &[Module]) -> Result<(), String> {
    for module in modules {
        for message in &module.structs {
            let (Role::Request(key) | Role::Response(key)) = message.role else {
                continue;
            };
            let Some(line) = keys.get(key as usize) else {
                return Err(format!(
                    "{}: key {key} is not in api_keys.schema",
                    module.path
                ));
            };
            if line.name != message.api_name() || line.flexible != message.flexible {
                return Err(format!(
                    "{}: name or flexible versions differ from {}",
                    module.path, line.at
                ));
            }
        }
    }
    Ok(())
}

/// Reads a file of messages or records.
///
/// # Errors
/// What makes no sense, with its line.
pub fn module(source: &Source) -> Result<Module, String> {
    let (docs, lines) = lines(source)?;
    let stem = source
        .path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".schema")
        .into();
    let mut parser = Parser {
        module: Module {
            path: source.path.clone(),
            stem,
            docs,
            structs: Vec::new(),
        },
        lines,
        next: 0,
        header: None,
    };
    while parser.next < parser.lines.len() {
        parser.section()?;
    }
    let module = parser.module;
    check(&module)?;
    Ok(module)
}

/// What an `api` line, or that of a record, says about the sections below it.
#[derive(Clone)]
struct Header {
    name: String,
    key: i16,
    versions: Versions,
    flexible: Versions,
}

struct Parser<'a> {
    module: Module,
    lines: Vec<Line<'a>>,
    next: usize,
    header: Option<Header>,
}

impl Parser<'_> {
    /// One line without indentation, and the fields below it.
    fn section(&mut self) -> Result<(), String> {
        let line = &self.lines[self.next];
        let (at, docs) = (line.at.clone(), line.docs.clone());
        if line.depth != 0 {
            return Err(format!("{at}: indented, but below no message"));
        }
        self.next += 1;
        let header = self
            .header
            .clone()
            .ok_or_else(|| format!("{at}: no api or record above"));
        let (name, role, header) = match &line.words[..] {
            ["api", name, rest @ ..] => {
                self.header = Some(header_of(name, rest, &at)?.0);
                return Ok(());
            }
            ["request"] => {
                header.map(|h| (format!("{}Request", h.name), Role::Request(h.key), h))?
            }
            ["response"] => {
                header.map(|h| (format!("{}Response", h.name), Role::Response(h.key), h))?
            }
            ["struct", name] => header.map(|h| (name.to_string(), Role::Part, h))?,
            [kind @ ("header" | "record" | "value"), name, rest @ ..] => {
                let (header, place) = header_of(name, rest, &at)?;
                let role = match (*kind, place) {
                    ("header", None) => Role::Header,
                    ("record", None) => Role::Record(header.key),
                    ("value", Some(place)) => Role::Value(place),
                    _ => {
                        return Err(format!(
                            "{at}: a value, and only a value, has `version before|inside`"
                        ));
                    }
                };
                self.header = Some(header.clone());
                (name.to_string(), role, header)
            }
            words => return Err(format!("{at}: `{}` begins no section", words.join(" "))),
        };
        self.structure(name, role, 1, header.versions, header.flexible, docs, &at)
    }

    /// The fields at `depth`, as a struct, and the structs within it.
    #[expect(clippy::too_many_arguments)] // One caller's line, taken apart.
    fn structure(
        &mut self,
        name: String,
        role: Role,
        depth: usize,
        versions: Versions,
        flexible: Versions,
        docs: Option<String>,
        at: &str,
    ) -> Result<(), String> {
        if self.module.find(&name).is_some() {
            return Err(format!("{at}: this file has two structs {name}"));
        }
        let place = self.module.structs.len();
        let docs = docs.into_iter().collect();
        self.module.structs.push(Struct {
            name,
            role,
            docs,
            versions,
            flexible,
            fields: Vec::new(),
        });
        while let Some(line) = self.lines.get(self.next).filter(|line| line.depth >= depth) {
            if line.depth > depth {
                return Err(format!(
                    "{}: indented, but the line above is no new struct",
                    line.at
                ));
            }
            let field = field(line)?;
            let fields = &self.module.structs[place].fields;
            if fields.iter().any(|other| other.name == field.name) {
                return Err(format!("{}: second field {}", field.at, field.name));
            }
            self.next += 1;
            if self
                .lines
                .get(self.next)
                .is_some_and(|line| line.depth > depth)
            {
                let (Type::Struct(inner), inside) =
                    (element(&field.ty), versions.and(field.versions))
                else {
                    return Err(format!(
                        "{}: indented, but the line above is no struct",
                        self.lines[self.next].at
                    ));
                };
                self.structure(
                    inner.clone(),
                    Role::Part,
                    depth + 1,
                    inside,
                    flexible,
                    None,
                    &field.at,
                )?;
            }
            self.module.structs[place].fields.push(field);
        }
        Ok(())
    }
}

/// `key 1 versions 4-18 flexible 12+ version before`, in this order.
fn header_of(
    name: &str,
    words: &[&str],
    at: &str,
) -> Result<(Header, Option<VersionPlace>), String> {
    let (key, words) = match words {
        ["key", key, rest @ ..] => (number(key, at)?, rest),
        rest => (-1, rest),
    };
    let (["versions", valid, "flexible", flexible], place) = words.split_at(words.len().min(4))
    else {
        return Err(format!(
            "{at}: expected `[key N] versions VERSIONS flexible VERSIONS`"
        ));
    };
    let place = match place {
        [] => None,
        ["version", "before"] => Some(VersionPlace::Before),
        ["version", "inside"] => Some(VersionPlace::Inside),
        _ => {
            return Err(format!(
                "{at}: expected `version before` or `version inside`"
            ));
        }
    };
    let (versions, flexible) = (versions(valid, at)?, versions(flexible, at)?);
    if versions.is_empty() || versions.max == i16::MAX {
        return Err(format!("{at}: versions need both ends"));
    }
    Ok((
        Header {
            name: name.into(),
            key,
            versions,
            flexible,
        },
        place,
    ))
}

/// `Name type versions attributes...`
fn field(line: &Line<'_>) -> Result<Field, String> {
    let at = &line.at;
    let [name, ty, valid, attributes @ ..] = &line.words[..] else {
        return Err(format!("{at}: expected `Name type VERSIONS`"));
    };
    let mut field = Field {
        at: at.clone(),
        name: name.to_string(),
        ty: type_of(ty, at)?,
        versions: versions(valid, at)?,
        nullable: Versions::NONE,
        tag: None,
        default: Default::Zero,
        ignorable: false,
        classic: false,
        docs: line.docs.clone(),
    };
    let mut rest = attributes;
    while !rest.is_empty() {
        rest = match rest {
            ["null", v, rest @ ..] => {
                field.nullable = versions(v, at)?;
                rest
            }
            ["tag", n, rest @ ..] => {
                field.tag = Some(number(n, at)?);
                rest
            }
            ["default", "null", rest @ ..] => {
                field.default = Default::Null;
                rest
            }
            ["default", "true", rest @ ..] => {
                field.default = Default::True;
                rest
            }
            ["default", n, rest @ ..] => {
                field.default = Default::Number(number(n, at)?);
                rest
            }
            ["ignorable", rest @ ..] => {
                field.ignorable = true;
                rest
            }
            ["classic", rest @ ..] => {
                field.classic = true;
                rest
            }
            other => return Err(format!("{at}: unknown attribute `{}`", other.join(" "))),
        };
    }
    Ok(field)
}

fn type_of(word: &str, at: &str) -> Result<Type, String> {
    Ok(match word {
        "bool" => Type::Bool,
        "int8" => Type::Number("i8"),
        "int16" => Type::Number("i16"),
        "int32" => Type::Number("i32"),
        "int64" => Type::Number("i64"),
        "uint16" => Type::Number("u16"),
        "uint32" => Type::Number("u32"),
        "float64" => Type::Number("f64"),
        "uuid" => Type::Uuid,
        "string" => Type::Str,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        _ => match word.strip_prefix("[]") {
            Some(element) => Type::Array(Box::new(type_of(element, at)?)),
            None if word.starts_with(|c: char| c.is_ascii_uppercase()) => Type::Struct(word.into()),
            None => return Err(format!("{at}: unknown type {word}")),
        },
    })
}

/// What an array holds; anything else as it is.
#[must_use]
pub fn element(ty: &Type) -> &Type {
    match ty {
        Type::Array(inner) => element(inner),
        other => other,
    }
}

fn versions(word: &str, at: &str) -> Result<Versions, String> {
    if word == "none" {
        return Ok(Versions::NONE);
    }
    let found = match (word.strip_suffix('+'), word.split_once('-')) {
        (Some(min), _) => Versions {
            min: number(min, at)?,
            max: i16::MAX,
        },
        (None, Some((min, max))) => Versions {
            min: number(min, at)?,
            max: number(max, at)?,
        },
        (None, None) => Versions {
            min: number(word, at)?,
            max: number(word, at)?,
        },
    };
    if found.is_empty() || found.min < 0 {
        return Err(format!("{at}: {word} is no range of versions"));
    }
    Ok(found)
}

fn number<T: std::str::FromStr>(word: &str, at: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("{at}: `{word}` is no number that fits here"))
}

/// The comment at the top of the file, and its lines.
fn lines(source: &Source) -> Result<(Vec<String>, Vec<Line<'_>>), String> {
    let (mut head, mut lines) = (Vec::new(), Vec::new());
    for (i, text) in source.text.lines().enumerate() {
        let at = format!("{}:{}", source.path, i + 1);
        let (text, comment) = match text.split_once('#') {
            Some((text, comment)) => (text, Some(comment.trim().to_string())),
            None => (text, None),
        };
        if text.trim().is_empty() {
            head.extend(comment.filter(|_| lines.is_empty()));
            continue;
        }
        let indent = text.len() - text.trim_start_matches(' ').len();
        if indent % 2 != 0 || text.contains('\t') {
            return Err(format!("{at}: indentation is two spaces per level"));
        }
        lines.push(Line {
            at,
            depth: indent / 2,
            words: text.split_whitespace().collect(),
            docs: comment,
        });
    }
    Ok((head, lines))
}

/// What single lines cannot show.
fn check(module: &Module) -> Result<(), String> {
    for s in &module.structs {
        let live = |field: &&Field| !field.versions.and(s.versions).is_empty();
        for field in &s.fields {
            let at = &field.at;
            if !live(&field) {
                return Err(format!(
                    "{at}: {} is in no version of {}",
                    field.name, s.name
                ));
            }
            if let Type::Struct(name) = element(&field.ty) {
                let inner = module
                    .find(name)
                    .ok_or_else(|| format!("{at}: no struct {name} here"))?;
                if inner.role != Role::Part {
                    return Err(format!("{at}: {name} is a message, not a part of one"));
                }
            }
            if field.tag.is_some() {
                if !s.flexible.covers(field.versions.and(s.versions)) {
                    return Err(format!(
                        "{at}: tagged, but not flexible in all its versions"
                    ));
                }
                if field.ty == Type::Records {
                    return Err(format!(
                        "{at}: records cannot be tagged, encoders keep them apart"
                    ));
                }
                if s.fields
                    .iter()
                    .filter(|other| other.tag == field.tag)
                    .count()
                    > 1
                {
                    return Err(format!("{at}: tag used twice in {}", s.name));
                }
            }
            let nullable = !field.nullable.is_empty();
            let fits = match (&field.default, &field.ty) {
                (Default::Zero, _) => true,
                (Default::Null, _) => nullable,
                (Default::True, ty) => *ty == Type::Bool,
                (Default::Number(_), ty) => matches!(ty, Type::Number(_)),
            };
            if !fits {
                return Err(format!("{at}: this default does not fit the type"));
            }
            if nullable && matches!(field.ty, Type::Bool | Type::Number(_) | Type::Uuid) {
                return Err(format!("{at}: this type cannot be null"));
            }
            if field.classic && !matches!(field.ty, Type::Str | Type::Bytes) {
                return Err(format!("{at}: only strings and bytes can be classic"));
            }
        }
    }
    Ok(())
}
