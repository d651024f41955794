//! Messages between the notation and the wire, driven by the schemas of `crates/ottla-wire/schema`: every API that has
//! a schema can be spoken, and the generated codec of the broker is checked by one that shares no code with it.

use std::collections::BTreeMap;

use ottla_schema::Schema;
use ottla_schema::model::{Default, Field, Module, Struct, Type};

use super::batch;
use super::consumer;
use super::mask;
use super::notation::Node;
use super::unbatch;
use super::wire::{Reader, size, write_length};
use super::words::Words;

/// Every message that can be spoken.
pub(super) struct Codec {
    schema: Schema,
}

/// A message of one version, to be read or written.
#[derive(Clone, Copy)]
struct Scope<'a> {
    module: &'a Module,
    api: &'a str,
    version: i16,
    words: &'a Words,
    /// Nothing is masked, sorted or left out.
    plain: bool,
}

impl Codec {
    pub(super) fn load() -> Result<Self, String> {
        Ok(Self {
            schema: ottla_schema::load()?,
        })
    }

    fn module(&self, api: &str) -> Result<&Module, String> {
        let is = |module: &&Module| {
            module
                .request()
                .is_some_and(|request| request.api_name() == api)
        };
        self.schema
            .wire
            .iter()
            .find(is)
            .ok_or_else(|| format!("no schema of {api}"))
    }

    /// The number of an API, of all that Kafka has.
    pub(super) fn key(&self, api: &str) -> Result<i16, String> {
        let line = self.schema.keys.iter().find(|line| line.name == api);
        line.map(|line| line.key)
            .ok_or_else(|| format!("no API {api}"))
    }

    /// Whether requests of this version have a flexible header.
    pub(super) fn flexible(&self, api: &str, version: i16) -> bool {
        let line = self.schema.keys.iter().find(|line| line.name == api);
        line.is_some_and(|line| line.flexible.contains(version))
    }

    /// The body of a request.
    pub(super) fn request(
        &self,
        api: &str,
        version: i16,
        fields: &[(String, Node)],
        words: &Words,
    ) -> Result<Vec<u8>, String> {
        let module = self.module(api)?;
        let scope = Scope {
            module,
            api,
            version,
            words,
            plain: false,
        };
        let mut out = Vec::new();
        let request = module.request().ok_or("a module has a request")?;
        scope.write_struct(request, fields, &mut out)?;
        Ok(out)
    }

    /// The fields of an answer, without those that have their default value.
    pub(super) fn response(
        &self,
        api: &str,
        version: i16,
        body: &[u8],
        words: &Words,
    ) -> Result<Vec<(String, Node)>, String> {
        let mut fields = self.read(api, version, body, words, false)?;
        if api == "ApiVersions" {
            mask::keep_served(&mut fields);
        }
        if api == "ListGroups" {
            mask::keep_own(&mut fields);
        }
        Ok(fields)
    }

    /// All fields of an answer with their true values.
    pub(super) fn plain(
        &self,
        api: &str,
        version: i16,
        body: &[u8],
        words: &Words,
    ) -> Result<Vec<(String, Node)>, String> {
        self.read(api, version, body, words, true)
    }

    fn read(
        &self,
        api: &str,
        version: i16,
        body: &[u8],
        words: &Words,
        plain: bool,
    ) -> Result<Vec<(String, Node)>, String> {
        let module = self.module(api)?;
        let scope = Scope {
            module,
            api,
            version,
            words,
            plain,
        };
        let mut reader = Reader::new(body);
        let response = module.response().ok_or("a module has a response")?;
        let fields = scope.read_struct(response, &mut reader)?;
        if !reader.is_empty() {
            return Err(format!("{} bytes after the answer", reader.len()));
        }
        Ok(fields)
    }
}

impl<'a> Scope<'a> {
    fn inner(&self, name: &str) -> Result<&'a Struct, String> {
        self.module
            .find(name)
            .ok_or_else(|| format!("no struct {name}"))
    }

    fn live(&self, of: &'a Struct) -> impl Iterator<Item = &'a Field> {
        let version = self.version;
        of.fields
            .iter()
            .filter(move |field| field.versions.contains(version))
    }

    fn write_struct(
        &self,
        of: &Struct,
        given: &[(String, Node)],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        // The last one wins: what stands behind a macro overrides it.
        let given: BTreeMap<&str, &Node> = given
            .iter()
            .map(|(name, node)| (name.as_str(), node))
            .collect();
        for name in given.keys() {
            let field = of.fields.iter().find(|field| field.name == *name);
            let field = field.ok_or_else(|| format!("{} has no field {name}", of.name))?;
            if !field.versions.contains(self.version) && !field.ignorable {
                return Err(format!(
                    "{name} is not in version {} of {}",
                    self.version, of.name
                ));
            }
        }
        let flexible = of.flexible.contains(self.version);
        let mut tagged = BTreeMap::new();
        let module = self.module;
        let of = module.find(&of.name).ok_or("a struct is in its module")?;
        for field in self.live(of) {
            let node = given.get(field.name.as_str()).copied();
            let value = |out: &mut Vec<u8>| {
                let written = match node {
                    Some(node) => self.write(field, &field.ty, node, flexible, out),
                    None => self.write_default(field, flexible, out),
                };
                written.map_err(|why| format!("{}: {why}", field.name))
            };
            match field.tag {
                None => value(out)?,
                Some(tag) if node.is_some() => {
                    let mut bytes = Vec::new();
                    value(&mut bytes)?;
                    tagged.insert(tag, bytes);
                }
                Some(_) => {}
            }
        }
        if flexible {
            batch::unsigned(tagged.len() as u64, out);
            for (tag, bytes) in tagged {
                batch::unsigned(tag.into(), out);
                batch::unsigned(bytes.len() as u64, out);
                out.extend(bytes);
            }
        }
        Ok(())
    }

    fn write_default(
        &self,
        field: &Field,
        flexible: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let node = match (&field.default, &field.ty) {
            (Default::Null, _) => Node::word("null"),
            (Default::True, _) => Node::word("true"),
            (Default::Number(number), _) => Node::word(number),
            (Default::Zero, Type::Number(_)) => Node::word(0),
            (Default::Zero, Type::Bool) => Node::word("false"),
            (Default::Zero, Type::Array(_)) => Node::List(Vec::new()),
            (Default::Zero, Type::Struct(_)) => structure(Vec::new()),
            (Default::Zero, Type::Uuid) => Node::word("0"),
            (Default::Zero, Type::Records) => Node::word("null"),
            (Default::Zero, Type::Str | Type::Bytes) => Node::Text(Vec::new()),
        };
        self.write(field, &field.ty, &node, flexible, out)
    }

    fn write(
        &self,
        field: &Field,
        ty: &Type,
        node: &Node,
        flexible: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let null = self.words.is_null(node);
        let compact = flexible && !field.classic;
        match ty {
            Type::Bool => out.push(u8::from(node.line() == "true")),
            Type::Number("f64") => return Err("floats are not spoken yet".into()),
            Type::Number(kind) => {
                let size = size(kind);
                let value = self.words.number(node)?.to_be_bytes();
                out.extend(&value[8 - size..]);
            }
            Type::Uuid => match node.line().as_str() {
                "0" => out.extend([0; 16]),
                _ => {
                    let bytes = self.words.bytes(node)?;
                    if bytes.len() != 16 {
                        return Err(format!("`{}` is no id", node.line()));
                    }
                    out.extend(bytes);
                }
            },
            Type::Str | Type::Bytes | Type::Records => {
                let bytes = match ty {
                    _ if null => None,
                    Type::Records => Some(batch::encode(node, self.words)?),
                    Type::Bytes => Some(consumer::encode(node, self.words)?),
                    _ => Some(self.words.bytes(node)?),
                };
                write_length(bytes.as_ref().map(Vec::len), compact, *ty == Type::Str, out)?;
                out.extend(bytes.unwrap_or_default());
            }
            Type::Struct(_) if null && self.may_be_null(field, ty) => out.push(0xff),
            Type::Struct(name) => {
                let Node::Struct { fields, .. } = node else {
                    return Err(format!("`{}` is no {name}", node.line()));
                };
                if self.may_be_null(field, ty) {
                    out.push(1);
                }
                self.write_struct(self.inner(name)?, fields, out)?;
            }
            Type::Array(_) if null => write_length(None, flexible, false, out)?,
            Type::Array(element) => {
                let Node::List(items) = node else {
                    return Err(format!("`{}` is no list", node.line()));
                };
                write_length(Some(items.len()), flexible, false, out)?;
                for item in items {
                    self.write(field, element, item, flexible, out)?;
                }
            }
        }
        Ok(())
    }

    fn read_struct(
        &self,
        of: &'a Struct,
        reader: &mut Reader<'_>,
    ) -> Result<Vec<(String, Node)>, String> {
        let flexible = of.flexible.contains(self.version);
        let mut fields = Vec::new();
        for field in self.live(of).filter(|field| field.tag.is_none()) {
            let node = self
                .read(field, &field.ty, flexible, reader)
                .map_err(|why| format!("{}: {why}", field.name))?;
            fields.extend(node.map(|node| (field.name.clone(), node)));
        }
        if !flexible {
            return Ok(fields);
        }
        let mut last = None;
        for _ in 0..reader.unsigned()? {
            let tag = reader.unsigned()?;
            if last.is_some_and(|last| last >= tag) {
                return Err(format!("tag {tag} stands out of order"));
            }
            last = Some(tag);
            let size = reader.unsigned()?;
            let mut value = Reader::new(reader.take(size as usize)?);
            let Some(field) = self
                .live(of)
                .find(|field| field.tag.map(u64::from) == Some(tag))
            else {
                return Err(format!("tag {tag} is not in the schema of {}", of.name));
            };
            let node = self.read(field, &field.ty, true, &mut value)?;
            if !value.is_empty() {
                return Err(format!("{}: bytes after the tagged value", field.name));
            }
            // Written although it has its default value: that is a fact, too.
            let node = node.unwrap_or_else(|| Node::word("default"));
            fields.push((field.name.clone(), node));
        }
        Ok(fields)
    }

    /// A struct that may be null has a byte before it that says so; the elements of an array have none.
    fn may_be_null(&self, field: &Field, ty: &Type) -> bool {
        field.ty == *ty && field.nullable.contains(self.version)
    }

    /// `None` for what has its default value.
    fn read(
        &self,
        field: &'a Field,
        ty: &'a Type,
        flexible: bool,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Node>, String> {
        let compact = flexible && !field.classic;
        let null_default = field.default == Default::Null;
        let keep = |differs: bool, node: &dyn Fn() -> Node| (self.plain || differs).then(node);
        let node = match ty {
            Type::Bool => {
                let value = reader.take(1)?[0] != 0;
                keep(value != (field.default == Default::True), &|| {
                    Node::word(value)
                })
            }
            Type::Number(kind) => {
                let bytes = reader.take(size(kind))?;
                let sign = if kind.starts_with('u') {
                    i64::from(bytes[0])
                } else {
                    i64::from(bytes[0] as i8)
                };
                let value = bytes[1..]
                    .iter()
                    .fold(sign, |sum, byte| sum << 8 | i64::from(*byte));
                let default = match field.default {
                    Default::Number(number) => number,
                    _ => 0,
                };
                keep(value != default, &|| match self.plain {
                    true => Node::word(value),
                    false => mask::number(&field.name, value, self.words),
                })
            }
            Type::Uuid => {
                let bytes = reader.take(16)?;
                keep(bytes.iter().any(|byte| *byte != 0), &|| match self.plain {
                    true => Node::Word(uuid(bytes)),
                    false => self.words.shown_uuid(&uuid(bytes)),
                })
            }
            Type::Str | Type::Bytes | Type::Records => {
                match reader.length(compact, *ty == Type::Str)? {
                    None => keep(!null_default && *ty != Type::Records, &|| {
                        Node::word("null")
                    }),
                    Some(0) if *ty == Type::Records => Some(Node::List(Vec::new())),
                    Some(0) => keep(null_default, &|| Node::Text(Vec::new())),
                    Some(length) => {
                        let bytes = reader.take(length)?;
                        Some(match ty {
                            Type::Records => unbatch::decode(bytes, self.words),
                            _ if self.plain => Node::Text(bytes.to_vec()),
                            _ => mask::text(&field.name, bytes, self.words),
                        })
                    }
                }
            }
            Type::Struct(_) if self.may_be_null(field, ty) && reader.take(1)?[0] > 0x7f => {
                keep(!null_default, &|| Node::word("null"))
            }
            Type::Struct(name) => {
                let fields = self.read_struct(self.inner(name)?, reader)?;
                keep(null_default || !fields.is_empty(), &|| {
                    structure(fields.clone())
                })
            }
            Type::Array(element) => match reader.length(flexible, false)? {
                None => keep(!null_default, &|| Node::word("null")),
                Some(0) => keep(null_default, &|| Node::List(Vec::new())),
                Some(count) => {
                    let mut items = Vec::new();
                    for _ in 0..count {
                        let node = self.read(field, element, flexible, reader)?;
                        items.push(node.unwrap_or_else(|| match **element {
                            Type::Struct(_) => structure(Vec::new()),
                            Type::Str | Type::Bytes => Node::Text(Vec::new()),
                            _ => Node::word(0),
                        }));
                    }
                    if !self.plain && mask::is_unordered(self.api, &field.name) {
                        items.sort_by_key(Node::line);
                    }
                    Some(Node::List(items))
                }
            },
        };
        Ok(node)
    }
}

fn structure(fields: Vec<(String, Node)>) -> Node {
    Node::Struct {
        tag: String::new(),
        fields,
    }
}

/// As it can be sent again.
fn uuid(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hex:{digits}")
}
