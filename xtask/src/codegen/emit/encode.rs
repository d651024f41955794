//! The body of an encoder.

use super::{Scope, Target, When, condition, nullable_struct, says, snake};
use ottla_schema::model::{Field, Role, Type};

pub(super) fn body(scope: Scope<'_>) -> String {
    let s = scope.s;
    let mut text = String::new();
    if s.role != Role::Part {
        text += &format!(
            "if !Self::VERSIONS.contains(&version) {{\n\
             return Err(EncodeError::UnsupportedVersion(\"{}\", version));\n}}\n",
            s.name
        );
    }
    let mut rest = String::new();
    for field in s.fields.iter().filter(|field| field.tag.is_none()) {
        let write = value(scope, field);
        rest += &match condition(field.versions, s.versions) {
            When::If(when) if field.ignorable => format!("if {when} {{\n{write}}}\n"),
            When::If(when) => {
                let differs = scope.differs(field);
                format!(
                    "if {when} {{\n{write}}} else if cfg!(debug_assertions) && {differs} {{\n{}}}\n",
                    refuse(scope, field)
                )
            }
            _ => write,
        };
    }
    let tags = tags(scope);
    rest += &match condition(s.flexible, s.versions) {
        When::Always => tags,
        When::If(_) => format!("if flexible {{\n{tags}}}\n"),
        When::Never => String::new(),
    };
    if let (When::If(when), true) = (condition(s.flexible, s.versions), says(&rest, "flexible")) {
        text += &format!("let flexible = {when};\n");
    }
    text + &rest + "Ok(())\n"
}

fn refuse(scope: Scope<'_>, field: &Field) -> String {
    format!(
        "return Err(EncodeError::NotInVersion(\"{}.{}\", version));\n",
        scope.s.name,
        snake(&field.name)
    )
}

/// The tagged fields: how many differ from their default, then those, by tag. What a version does not
/// have is refused or dropped after that, before anything of it was written.
fn tags(scope: Scope<'_>) -> String {
    let tagged = scope.tagged();
    if tagged.is_empty() {
        return "w.unsigned_varint(0);\n".into();
    }
    let around = scope.s.flexible.and(scope.s.versions);
    let (mut flags, mut counts, mut writes) = (String::new(), Vec::new(), String::new());
    for (tag, field) in tagged {
        let differs = scope.differs(field);
        let flag = format!("has_{}", snake(&field.name));
        match condition(field.versions, around) {
            When::If(when) => {
                flags += &format!("let {flag} = {when} && {differs};\n");
                if !field.ignorable {
                    let refuse = refuse(scope, field);
                    flags += &format!(
                        "if cfg!(debug_assertions) && !{flag} && {differs} {{\n{refuse}}}\n"
                    );
                }
            }
            _ => flags += &format!("let {flag} = {differs};\n"),
        }
        counts.push(format!("u32::from({flag})"));
        writes += &format!(
            "if {flag} {{\nw.tagged_field({tag}, |w| {{\n{}Ok(())\n}})?;\n}}\n",
            value(scope, field)
        );
    }
    format!(
        "{flags}w.unsigned_varint({});\n{writes}",
        counts.join(" + ")
    )
}

/// Statements that write the field in versions that have it.
fn value(scope: Scope<'_>, field: &Field) -> String {
    let here = field.versions.and(scope.s.versions);
    let name = snake(&field.name);
    let flexible = scope.flexible_of(field);
    if !scope.optional(field) {
        return write(scope, &field.ty, &format!("self.{name}"), flexible);
    }
    let required = format!(
        "{}.ok_or(EncodeError::UnexpectedNull(\"{}.{name}\"))?",
        as_ref(scope, field),
        scope.s.name
    );
    let plain = || match &field.ty {
        Type::Array(inner) => array(scope, "array", &required, inner, flexible),
        Type::Struct(_) => format!("{required}.encode(w, version)?;\n"),
        Type::Str => format!("w.str({required}, {flexible})?;\n"),
        Type::Records if scope.in_response() => {
            format!("Records::encode(Some({required}), w, {flexible})?;\n")
        }
        _ => format!("w.bytes({required}, {flexible})?;\n"),
    };
    let nullable = || {
        let value = as_ref(scope, field);
        match &field.ty {
            Type::Array(inner) => array(scope, "nullable_array", &value, inner, flexible),
            Type::Struct(_) => {
                let method = nullable_struct(field);
                format!("w.{method}({value}, |w, v| v.encode(w, version))?;\n")
            }
            Type::Str => format!("w.nullable_str({value}, {flexible})?;\n"),
            Type::Records if scope.in_response() => {
                format!("Records::encode({value}, w, {flexible})?;\n")
            }
            _ => format!("w.nullable_bytes({value}, {flexible})?;\n"),
        }
    };
    match condition(field.nullable, here) {
        When::Always => nullable(),
        When::Never => plain(),
        When::If(when) => format!("if {when} {{\n{}}} else {{\n{}}}\n", nullable(), plain()),
    }
}

/// An `Option` of a borrow, from the `Option` that a field is.
fn as_ref(scope: Scope<'_>, field: &Field) -> String {
    let name = snake(&field.name);
    match &field.ty {
        Type::Array(_) => format!("self.{name}.as_deref()"),
        Type::Str | Type::Bytes if scope.target == Target::Records => {
            format!("self.{name}.as_deref()")
        }
        Type::Struct(_) => format!("self.{name}.as_ref()"),
        Type::Records if scope.in_response() => format!("self.{name}.as_ref()"),
        _ => format!("self.{name}"),
    }
}

/// Statements that write a value that is there. `value` is a place, or behind a reference in arrays.
fn write(scope: Scope<'_>, ty: &Type, value: &str, flexible: &str) -> String {
    let cow = scope.target == Target::Records;
    match ty {
        Type::Bool => format!("w.bool({value});\n"),
        Type::Number(name) => format!("w.{name}({value});\n"),
        Type::Uuid => format!("w.uuid({value});\n"),
        Type::Str if cow => format!("w.str(&{value}, {flexible})?;\n"),
        Type::Str => format!("w.str({value}, {flexible})?;\n"),
        Type::Bytes if cow => format!("w.bytes(&{value}, {flexible})?;\n"),
        Type::Records if scope.in_response() => {
            format!("Records::encode(Some(&{value}), w, {flexible})?;\n")
        }
        Type::Bytes | Type::Records => format!("w.bytes({value}, {flexible})?;\n"),
        Type::Struct(_) => format!("{value}.encode(w, version)?;\n"),
        Type::Array(inner) => array(scope, "array", &format!("&{value}"), inner, flexible),
    }
}

fn array(scope: Scope<'_>, method: &str, value: &str, inner: &Type, flexible: &str) -> String {
    let element = match inner {
        Type::Struct(_) => "v.encode(w, version)".into(),
        Type::Str => format!("w.str(v, {flexible})"),
        Type::Bytes => format!("w.bytes(v, {flexible})"),
        ty => format!("{{ {}Ok(()) }}", write(scope, ty, "*v", flexible)),
    };
    format!("w.{method}({value}, {flexible}, |w, v| {element})?;\n")
}
