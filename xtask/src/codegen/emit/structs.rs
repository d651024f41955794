//! One struct: its definition, its default, and the shell around its decoder and encoder.

use super::{Scope, Target, decode, encode, says, snake};
use ottla_schema::model::{Default, Field, Role, Type, VersionPlace};
use ottla_schema::parse::element;

pub(super) fn emit(scope: Scope<'_>) -> String {
    let name = &scope.s.name;
    let natural = scope
        .s
        .fields
        .iter()
        .all(|field| natural_default(scope, field));
    let derive = if natural { ", Default" } else { "" };
    let mut text = docs(scope);
    text += &format!("#[derive(Clone, Debug, PartialEq{derive})]\n");
    text += &format!("pub struct {name}{} {{\n", scope.generics());
    for field in &scope.s.fields {
        text += &field_docs(field);
        text += &format!("pub {}: {},\n", snake(&field.name), scope.field_type(field));
    }
    text += "}\n\n";
    if !natural {
        text += &default_impl(scope);
    }
    text += &methods(scope);
    text
}

/// True if the derived default is the default of the schema.
fn natural_default(scope: Scope<'_>, field: &Field) -> bool {
    match field.default {
        _ if scope.default(field) == "None" => true,
        // `Records` have no default of their own.
        Default::Zero => !scope.optional(field) && field.ty != Type::Records,
        Default::Null => true,
        Default::True => false,
        Default::Number(n) => n == 0,
    }
}

fn default_impl(scope: Scope<'_>) -> String {
    let generics = if scope.has_lifetime() { "<'_>" } else { "" };
    let mut text = format!("impl Default for {}{generics} {{\n", scope.s.name);
    text += "fn default() -> Self {\nSelf {\n";
    for field in &scope.s.fields {
        text += &format!("{}: {},\n", snake(&field.name), scope.default(field));
    }
    text + "}\n}\n}\n\n"
}

fn methods(scope: Scope<'_>) -> String {
    let name = &scope.s.name;
    let (generics, input) = if scope.has_lifetime() {
        ("<'a>", "'a")
    } else {
        ("", "'_")
    };
    let mut text = format!("impl{generics} {name}{generics} {{\n");
    if scope.s.role != Role::Part {
        let versions = scope.s.versions;
        text += "/// The versions that this build reads and writes.\n";
        text += &format!(
            "pub const VERSIONS: RangeInclusive<i16> = {}..={};\n\n",
            versions.min, versions.max
        );
    }
    if let Role::Record(key) = scope.s.role {
        text += "/// The key of this record in its frame.\n";
        text += &format!("pub const KEY: i16 = {key};\n\n");
    }
    let body = decode::body(scope);
    text += &format!(
        "/// Reads this version.\n///\n/// # Errors\n/// {}\n\
         pub fn decode({}: &mut Reader<{input}>, {}: i16) -> Result<Self, DecodeError> {{\n{body}}}\n\n",
        "What the reader refuses, and versions that do not exist.",
        argument(&body, "r"),
        argument(&body, "version"),
    );
    let body = encode::body(scope);
    text += &format!(
        "/// Writes this version.\n///\n/// # Errors\n/// {}\n\
         pub fn encode<W: Writer>(&self, {}: &mut W, {}: i16) -> Result<(), EncodeError> {{\n{body}}}\n",
        "Null, or a length, that this version cannot express, and versions that do not exist.",
        argument(&body, "w"),
        argument(&body, "version"),
    );
    if let Role::Value(place) = scope.s.role {
        text += &versioned(place, input);
    }
    if scope.target == Target::Records && scope.has_lifetime() {
        text += &into_owned(scope);
    }
    text + "}\n\n"
}

/// The name of an argument: with an underscore if the body has no use for it.
fn argument(body: &str, name: &str) -> String {
    if says(body, name) {
        name.into()
    } else {
        format!("_{name}")
    }
}

/// Reading and writing of a stored value together with its version.
fn versioned(place: VersionPlace, input: &str) -> String {
    let (look, put, what) = match place {
        VersionPlace::Before => ("r.i16()?", "w.i16(version);", "an int16 before it"),
        VersionPlace::Inside => ("r.clone().i16()?", "", "its first field"),
    };
    let mut text = format!(
        "\n/// Reads the value with its version, which is {what}, and answers both.\n///\n/// # Errors\n\
         /// As `decode`.\n\
         pub fn decode_versioned(r: &mut Reader<{input}>) -> Result<(Self, i16), DecodeError> {{\n\
         let version = {look};\nOk((Self::decode(r, version)?, version))\n}}\n"
    );
    if !put.is_empty() {
        text += &format!(
            "\n/// Writes the value after its version.\n///\n/// # Errors\n/// As `encode`.\n\
             pub fn encode_versioned<W: Writer>(&self, w: &mut W, version: i16) \
             -> Result<(), EncodeError> {{\n{put}\nself.encode(w, version)\n}}\n"
        );
    }
    text
}

fn into_owned(scope: Scope<'_>) -> String {
    let name = &scope.s.name;
    let mut text = String::from("\n/// The same record, owning its text.\n#[must_use]\n");
    text += &format!("pub fn into_owned(self) -> {name}<'static> {{\n{name} {{\n");
    for field in &scope.s.fields {
        let f = snake(&field.name);
        let value = match &field.ty {
            _ if !scope.borrows(&field.ty) => format!("self.{f}"),
            ty if scope.optional(field) => format!("self.{f}.map(|v| {})", owned(ty, "v")),
            ty => owned(ty, &format!("self.{f}")),
        };
        text += &format!("{f}: {value},\n");
    }
    text + "}\n}\n"
}

fn owned(ty: &Type, value: &str) -> String {
    match ty {
        Type::Array(inner) => {
            format!(
                "{value}.into_iter().map(|v| {}).collect()",
                owned(inner, "v")
            )
        }
        Type::Struct(_) => format!("{value}.into_owned()"),
        _ => format!("Cow::Owned({value}.into_owned())"),
    }
}

fn docs(scope: Scope<'_>) -> String {
    let s = scope.s;
    let what = match s.role {
        Role::Request(key) => format!("The request of {} (key {key}).", s.api_name()),
        Role::Response(key) => format!("The response of {} (key {key}).", s.api_name()),
        Role::Header => "A header.".into(),
        Role::Record(key) => format!("A record of the metadata log (key {key})."),
        Role::Value(_) => "A stored value.".into(),
        Role::Part => part_docs(scope),
    };
    let mut text = String::new();
    for line in &s.docs {
        text += &format!("/// {line}\n");
    }
    if s.docs.is_empty() {
        text += &format!("/// {what}\n");
    }
    text + &format!(
        "///\n/// Versions {}, flexible {}.\n",
        s.versions, s.flexible
    )
}

/// Where a part belongs: the first field that has it.
fn part_docs(scope: Scope<'_>) -> String {
    for outer in &scope.module.structs {
        for field in &outer.fields {
            if *element(&field.ty) == Type::Struct(scope.s.name.clone()) {
                let what = if matches!(field.ty, Type::Array(_)) {
                    "An element"
                } else {
                    "The value"
                };
                return format!("{what} of [`{}::{}`].", outer.name, snake(&field.name));
            }
        }
    }
    "Not used.".into()
}

fn field_docs(field: &Field) -> String {
    let mut facts = format!("`{}`, versions {}", type_name(&field.ty), field.versions);
    if !field.nullable.is_empty() {
        facts += &format!(", null in {}", field.nullable);
    }
    if let Some(tag) = field.tag {
        facts += &format!(", tag {tag}");
    }
    match field.default {
        Default::Zero => {}
        Default::Null => facts += ", default null",
        Default::True => facts += ", default true",
        Default::Number(n) => facts += &format!(", default {n}"),
    }
    match &field.docs {
        Some(docs) => format!("/// {docs}\n///\n/// {facts}.\n"),
        None => format!("/// {facts}.\n"),
    }
}

fn type_name(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".into(),
        Type::Number(name) => name
            .replace('u', "uint")
            .replace('i', "int")
            .replace("uintnt", "uint")
            .replace('f', "float"),
        Type::Uuid => "uuid".into(),
        Type::Str => "string".into(),
        Type::Bytes => "bytes".into(),
        Type::Records => "records".into(),
        Type::Struct(name) => name.clone(),
        Type::Array(inner) => format!("[]{}", type_name(inner)),
    }
}
