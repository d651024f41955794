//! The doc comments of what is generated.

use ottla_schema::model::{Default, Field, Module, Role, Struct, Type};
use ottla_schema::parse::element;

use super::structs::snake;

/// What a struct is, for one without a comment of its own.
pub(super) fn what(module: &Module, s: &Struct) -> String {
    match s.role {
        Role::Request(key) => format!("The request of {} (key {key}).", s.api_name()),
        Role::Response(key) => format!("The response of {} (key {key}).", s.api_name()),
        Role::Header => "A header.".into(),
        Role::Record(key) => format!("A record of the metadata log (key {key})."),
        Role::Value(_) => "A stored value.".into(),
        Role::Part => place(module, s),
    }
}

/// Where a part belongs: the first field that has it.
fn place(module: &Module, s: &Struct) -> String {
    let structs = module.structs.iter();
    let mut fields = structs.flat_map(|s| s.fields.iter().map(move |field| (s, field)));
    let here = Type::Struct(s.name.clone());
    match fields.find(|(_, field)| *element(&field.ty) == here) {
        Some((s, field)) => {
            let what = if field.ty == here {
                "The value"
            } else {
                "An element"
            };
            format!("{what} of [`{}::{}`].", s.name, snake(&field.name))
        }
        None => "Not used.".into(),
    }
}

/// The comment on a field, and the facts of its line.
pub(super) fn field(field: &Field) -> String {
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
    let docs = field
        .docs
        .as_ref()
        .map_or(String::new(), |docs| format!("/// {docs}\n///\n"));
    format!("{docs}/// {facts}.\n")
}

/// The type in the words of the notation.
fn type_name(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".into(),
        Type::Number(name) => match name.split_at(1) {
            ("i", bits) => format!("int{bits}"),
            ("u", bits) => format!("uint{bits}"),
            (_, bits) => format!("float{bits}"),
        },
        Type::Uuid => "uuid".into(),
        Type::Str => "string".into(),
        Type::Bytes => "bytes".into(),
        Type::Records => "records".into(),
        Type::Struct(name) => name.clone(),
        Type::Array(inner) => format!("[]{}", type_name(inner)),
    }
}
