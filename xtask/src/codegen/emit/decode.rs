//! The body of a decoder.

use super::{Scope, Target, When, condition, local, nullable_struct, says, snake};
use ottla_schema::model::{Field, Role, Type, Versions};

pub(super) fn body(scope: Scope<'_>) -> String {
    let s = scope.s;
    let mut text = String::new();
    if s.role != Role::Part {
        text += "if !Self::VERSIONS.contains(&version) {\n\
                 return Err(r.error(DecodeErrorKind::UnsupportedVersion(version)));\n}\n";
    }
    let mut rest = String::new();
    let tagged = scope.tagged();
    for field in &s.fields {
        let name = local(field);
        if field.tag.is_some() {
            rest += &format!("let mut {name} = {};\n", scope.default(field));
            continue;
        }
        let value = value(scope, field);
        rest += &match condition(field.versions, s.versions) {
            When::If(when) => {
                format!(
                    "let {name} = if {when} {{ {value} }} else {{ {} }};\n",
                    scope.default(field)
                )
            }
            _ => format!("let {name} = {value};\n"),
        };
    }
    let tags = tags(scope, &tagged);
    rest += &match condition(s.flexible, s.versions) {
        When::Always => tags,
        When::If(_) => format!("if flexible {{\n{tags}}}\n"),
        When::Never => String::new(),
    };
    if let (When::If(when), true) = (condition(s.flexible, s.versions), says(&rest, "flexible")) {
        text += &format!("let flexible = {when};\n");
    }
    text += &rest;
    text += "Ok(Self {";
    for field in &s.fields {
        let (name, local) = (snake(&field.name), local(field));
        text += &if name == local {
            format!("{name},")
        } else {
            format!("{name}: {local},")
        };
    }
    text + "})\n"
}

fn tags(scope: Scope<'_>, tagged: &[(u32, &Field)]) -> String {
    if tagged.is_empty() {
        return "r.skip_tagged_fields()?;\n".into();
    }
    let mut text = String::from("r.tagged_fields(|tag, r| {\nmatch tag {\n");
    let around = scope.s.flexible.and(scope.s.versions);
    for (tag, field) in tagged {
        let guard = match condition(field.versions, around) {
            When::If(when) => format!(" if {when}"),
            _ => String::new(),
        };
        text += &format!(
            "{tag}{guard} => {} = {},\n",
            local(field),
            value(scope, field)
        );
    }
    text + "_ => return Ok(false),\n}\nOk(true)\n})?;\n"
}

/// An expression that reads the field in versions that have it.
fn value(scope: Scope<'_>, field: &Field) -> String {
    let here = field.versions.and(scope.s.versions);
    let flexible = scope.flexible_of(field);
    let plain = format!("{}?", read(scope, &field.ty, here, flexible));
    let nullable = || read_nullable(scope, field, here, flexible);
    match condition(field.nullable, here) {
        When::Never if scope.optional(field) => format!("Some({plain})"),
        When::Never => plain,
        When::Always => nullable(),
        When::If(when) => format!("if {when} {{ {} }} else {{ Some({plain}) }}", nullable()),
    }
}

/// An expression that reads a value, which occurs `here`: a `Result`.
fn read(scope: Scope<'_>, ty: &Type, here: Versions, flexible: &str) -> String {
    let cow = scope.target == Target::Records;
    match ty {
        Type::Bool => "r.bool()".into(),
        Type::Number(name) => format!("r.{name}()"),
        Type::Uuid => "r.uuid()".into(),
        Type::Str if cow => format!("r.str({flexible}).map(Cow::Borrowed)"),
        Type::Str => format!("r.str({flexible})"),
        Type::Bytes if cow => format!("r.bytes({flexible}).map(Cow::Borrowed)"),
        Type::Records if scope.in_response() => {
            format!("r.bytes({flexible}).map(Records::Borrowed)")
        }
        Type::Bytes | Type::Records => format!("r.bytes({flexible})"),
        Type::Struct(name) => format!("{name}::decode(r, version)"),
        Type::Array(inner) => array(scope, "array", inner, here, flexible),
    }
}

fn read_nullable(scope: Scope<'_>, field: &Field, here: Versions, flexible: &str) -> String {
    let cow = scope.target == Target::Records;
    match &field.ty {
        Type::Str if cow => format!("r.nullable_str({flexible})?.map(Cow::Borrowed)"),
        Type::Str => format!("r.nullable_str({flexible})?"),
        Type::Bytes if cow => format!("r.nullable_bytes({flexible})?.map(Cow::Borrowed)"),
        Type::Records if scope.in_response() => {
            format!("r.nullable_bytes({flexible})?.map(Records::Borrowed)")
        }
        Type::Array(inner) => format!("{}?", array(scope, "nullable_array", inner, here, flexible)),
        Type::Struct(name) => {
            let method = nullable_struct(field);
            format!("r.{method}(|r| {name}::decode(r, version))?")
        }
        _ => format!("r.nullable_bytes({flexible})?"),
    }
}

fn array(scope: Scope<'_>, method: &str, inner: &Type, here: Versions, flexible: &str) -> String {
    let bytes_min = scope.bytes_min_expression(inner, here);
    let read = read(scope, inner, here, flexible);
    format!("r.{method}({flexible}, {bytes_min}, |r| {read})")
}
