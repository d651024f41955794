//! One struct: its definition, its default, how it is read and written.

use ottla_schema::model::{Default, Field, Module, Role, Struct, Type, VersionPlace, Versions};
use ottla_schema::parse::element;

use super::{Target, docs};

/// A struct, where it stands, and for whom it is emitted.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    target: Target,
    module: &'a Module,
    s: &'a Struct,
}

impl<'a> Scope<'a> {
    pub(super) fn new(target: Target, module: &'a Module, s: &'a Struct) -> Self {
        Scope { target, module, s }
    }

    pub(super) fn emit(self) -> String {
        let is_derived = self
            .s
            .fields
            .iter()
            .all(|field| self.has_derived_default(field));
        let mut text = self.definition(if is_derived { ", Default" } else { "" });
        if !is_derived {
            text += &self.default_impl();
        }
        text += &self.face();
        text += &self.value_impl();
        if self.target == Target::Records && self.has_lifetime() {
            text += &self.into_owned();
        }
        text
    }

    /// True if values of this struct borrow.
    pub(super) fn has_lifetime(self) -> bool {
        self.s.fields.iter().any(|field| self.borrows(&field.ty))
    }

    fn borrows(self, ty: &Type) -> bool {
        match ty {
            Type::Str | Type::Bytes | Type::Records => true,
            Type::Array(inner) => self.borrows(inner) || self.is_numbers(inner),
            Type::Struct(name) => self.find(name).is_some_and(Scope::has_lifetime),
            _ => false,
        }
    }

    fn find(self, name: &str) -> Option<Self> {
        self.module.find(name).map(|s| Scope { s, ..self })
    }

    /// The name with its lifetime, if it has one.
    fn ty(self) -> String {
        self.s.name.clone() + if self.has_lifetime() { "<'a>" } else { "" }
    }

    fn definition(self, derived: &str) -> String {
        let Struct {
            docs,
            versions,
            flexible,
            fields,
            ..
        } = self.s;
        let docs = if docs.is_empty() {
            docs::what(self.module, self.s)
        } else {
            docs.join("\n/// ")
        };
        let mut text = format!(
            "/// {docs}\n///\n/// Versions {versions}, flexible {flexible}.\n\
             #[derive(Clone, Debug, PartialEq{derived})]\npub struct {} {{\n",
            self.ty()
        );
        for field in fields {
            let ty = self.field_type(field);
            text += &format!("{}pub {}: {ty},\n", docs::field(field), snake(&field.name));
        }
        text + "}\n\n"
    }

    /// True if the field may be null in some version, so that its type is an `Option`.
    fn is_optional(self, field: &Field) -> bool {
        !field
            .nullable
            .and(field.versions)
            .and(self.s.versions)
            .is_empty()
    }

    fn field_type(self, field: &Field) -> String {
        let plain = self.plain_type(&field.ty);
        if self.is_optional(field) {
            format!("Option<{plain}>")
        } else {
            plain
        }
    }

    fn plain_type(self, ty: &Type) -> String {
        let is_wire = self.target == Target::Wire;
        match ty {
            Type::Bool => "bool".into(),
            Type::Number(name) => (*name).into(),
            Type::Uuid => "Uuid".into(),
            Type::Str => if is_wire { "&'a str" } else { "Cow<'a, str>" }.into(),
            Type::Records if self.is_in_response() => "Records<'a>".into(),
            Type::Bytes | Type::Records => {
                if is_wire { "&'a [u8]" } else { "Cow<'a, [u8]>" }.into()
            }
            Type::Array(inner) if self.is_numbers(inner) => {
                format!("Numbers<'a, {}>", self.plain_type(inner))
            }
            Type::Array(inner) => format!("Vec<{}>", self.plain_type(inner)),
            Type::Struct(name) => self.find(name).map_or(String::new(), Scope::ty),
        }
    }

    /// True if an array of these stays where it was read.
    fn is_numbers(self, inner: &Type) -> bool {
        self.target == Target::Wire && matches!(inner, Type::Number(_))
    }

    /// True if this struct is part of a response: only there may record bytes be shared or elsewhere.
    fn is_in_response(self) -> bool {
        let name = &self.s.name;
        let reaches = |s: Option<&'a Struct>| s.is_some_and(|s| Scope { s, ..self }.reaches(name));
        reaches(self.module.response()) && !reaches(self.module.request())
    }

    fn reaches(self, name: &str) -> bool {
        let inner = |field: &Field| match element(&field.ty) {
            Type::Struct(inner) => self.find(inner).is_some_and(|inner| inner.reaches(name)),
            _ => false,
        };
        self.s.name == name || self.s.fields.iter().any(inner)
    }

    /// The value of this field where the wire has none.
    fn default(self, field: &Field) -> String {
        let zero = || match &field.ty {
            Type::Bool => "false".into(),
            Type::Number("f64") => "0.0".into(),
            Type::Number(_) => "0".into(),
            Type::Uuid => "Uuid::ZERO".into(),
            Type::Str if self.target == Target::Wire => "\"\"".into(),
            Type::Str => "Cow::Borrowed(\"\")".into(),
            Type::Array(inner) if !self.is_numbers(inner) => "Vec::new()".into(),
            Type::Struct(name) => format!("{name}::default()"),
            _ => "Default::default()".into(),
        };
        match &field.default {
            Default::Null => "None".into(),
            // As in Kafka, whose records have no other default.
            Default::Zero if field.ty == Type::Records && self.is_optional(field) => "None".into(),
            Default::Zero if self.is_optional(field) => format!("Some({})", zero()),
            Default::Zero => zero(),
            Default::True => "true".into(),
            Default::Number(n) => match (*n, &field.ty) {
                (n, Type::Number(name)) if [i64::from(i32::MAX), i64::MAX].contains(&n) => {
                    format!("{name}::MAX")
                }
                (n, Type::Number(name)) if n == i64::from(i32::MIN) => format!("{name}::MIN"),
                (n, _) => n.to_string(),
            },
        }
    }

    /// True if the derived default is that of the schema.
    fn has_derived_default(self, field: &Field) -> bool {
        self.default(field) == "None" || field.default == Default::Zero && !self.is_optional(field)
    }

    fn default_impl(self) -> String {
        let fields = self.s.fields.iter();
        let fields = fields.map(|f| format!("{}: {},\n", snake(&f.name), self.default(f)));
        let ty = self.ty().replace("'a", "'_");
        let fields: String = fields.collect();
        format!("impl Default for {ty} {{ fn default() -> Self {{ Self {{ {fields} }} }} }}\n\n")
    }

    /// An expression that is true if the field differs from its default.
    fn differs(self, field: &Field) -> String {
        let name = snake(&field.name);
        match (&field.default, &field.ty) {
            _ if self.default(field) == "None" => format!("self.{name}.is_some()"),
            (Default::Zero, Type::Bool) => format!("self.{name}"),
            (Default::True, _) => format!("!self.{name}"),
            (Default::Zero, Type::Str | Type::Bytes | Type::Array(_))
                if !self.is_optional(field) =>
            {
                format!("!self.{name}.is_empty()")
            }
            _ => format!("self.{name} != {}", self.default(field)),
        }
    }

    /// What those have that are read and written by themselves.
    fn face(self) -> String {
        let Struct { role, versions, .. } = self.s;
        if *role == Role::Part {
            return String::new();
        }
        let ty = self.ty().replace("'a", "'_");
        let flexible = flexible_min(self.s.flexible);
        let (min, max) = (versions.min, versions.max);
        let mut text = format!("message!({ty}, {min}..={max}, {flexible});\n\n");
        match role {
            Role::Record(key) => {
                text += &format!(
                    "impl {ty} {{ /// The key of this record in its frame.\n\
                     pub const KEY: i16 = {key}; }}\n\n"
                );
            }
            Role::Value(VersionPlace::Before) => text += &format!("versioned!({ty}, before);\n\n"),
            Role::Value(VersionPlace::Inside) => text += &format!("versioned!({ty}, inside);\n\n"),
            _ => {}
        }
        text
    }

    fn value_impl(self) -> String {
        let mut text = format!(
            "impl<'a> Value<'a> for {} {{\nconst BYTES_MIN: usize = {};\n\n\
             fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError> {{\n",
            self.ty(),
            self.bytes_min()
        );
        let fields = self.s.fields.iter().filter(|field| field.tag.is_none());
        for field in fields.clone() {
            text += &match when(field.versions, self.s.versions) {
                Some(when) => format!("if {when} {{ {}?; }}\n", self.read(field)),
                None => self.read(field) + "?;\n",
            };
        }
        text += &self.read_tags();
        text += "Ok(())\n}\n\n\
                 fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {\n";
        for field in fields {
            text += &match when(field.versions, self.s.versions) {
                Some(when) if field.ignorable => {
                    format!("if {when} {{ {}?; }}\n", self.write(field))
                }
                Some(when) => {
                    let (write, refuse) = (self.write(field), self.refuse(field));
                    format!("if {when} {{ {write}?; }} else {{ {refuse}?; }}\n")
                }
                None => self.write(field) + "?;\n",
            };
        }
        text += &self.write_tags();
        text + "Ok(())\n}\n}\n\n"
    }

    /// The least that this struct takes on the wire: what all its versions have, each at its shortest.
    fn bytes_min(self) -> usize {
        let everywhere =
            |field: &&Field| field.tag.is_none() && field.versions.covers(self.s.versions);
        let bytes = |field: &Field| match &field.ty {
            _ if self.is_optional(field) => 1,
            Type::Number(name) => name[1..].parse::<usize>().map_or(0, |bits| bits / 8),
            Type::Uuid => 16,
            Type::Struct(name) => self.find(name).map_or(0, Scope::bytes_min),
            _ => 1,
        };
        let fields = self
            .s
            .fields
            .iter()
            .filter(everywhere)
            .map(bytes)
            .sum::<usize>();
        fields + usize::from(self.s.flexible.covers(self.s.versions))
    }

    /// A call that reads the field in versions that have it.
    fn read(self, field: &Field) -> String {
        let (name, v) = (snake(&field.name), version(field));
        match self.nullable_when(field) {
            Some(when) => format!("read_optional(&mut self.{name}, {when}, r, {v})"),
            None => format!("self.{name}.read(r, {v})"),
        }
    }

    /// A call that writes the field in versions that have it.
    fn write(self, field: &Field) -> String {
        let (name, v) = (snake(&field.name), version(field));
        match self.nullable_when(field) {
            Some(when) => {
                format!(
                    "write_optional(&self.{name}, {when}, w, {v}, {})",
                    self.path(field)
                )
            }
            None => format!("self.{name}.write(w, {v})"),
        }
    }

    /// When the field may be null, if it may in some of the versions that have it, but not in all.
    fn nullable_when(self, field: &Field) -> Option<String> {
        let here = field.versions.and(self.s.versions);
        self.is_optional(field)
            .then(|| when(field.nullable, here))
            .flatten()
    }

    /// What becomes of a field in versions that do not have it.
    fn refuse(self, field: &Field) -> String {
        format!("v.refuse({}, {})", self.differs(field), self.path(field))
    }

    /// The field's name in errors.
    fn path(self, field: &Field) -> String {
        format!(
            "\"{}.{}\"",
            self.s.name,
            snake(&field.name).trim_start_matches("r#")
        )
    }

    /// The tagged fields, by tag, each with the versions that have it, if not all flexible ones do.
    fn tagged(self) -> Vec<(u32, &'a Field, Option<String>)> {
        let around = self.s.flexible.and(self.s.versions);
        let fields = self.s.fields.iter();
        let mut tagged: Vec<_> = fields
            .filter_map(|f| Some((f.tag?, f, when(f.versions, around))))
            .collect();
        tagged.sort_by_key(|(tag, ..)| *tag);
        tagged
    }

    fn read_tags(self) -> String {
        let tagged = self.tagged();
        if self.s.flexible.and(self.s.versions).is_empty() {
            return String::new();
        }
        if tagged.is_empty() {
            return "r.skip_tagged_fields(v)?;\n".into();
        }
        let arm = |(tag, field, when): &(u32, &Field, Option<String>)| {
            let guard = when
                .as_ref()
                .map_or(String::new(), |when| format!(" if {when}"));
            format!("{tag}{guard} => {}?,\n", self.read(field))
        };
        let arms: String = tagged.iter().map(arm).collect();
        format!(
            "r.tagged_fields(v, |tag, r| {{\nmatch tag {{\n{arms}_ => return Ok(false),\n}}\n\
             Ok(true)\n}})?;\n"
        )
    }

    fn write_tags(self) -> String {
        let tagged = self.tagged();
        if self.s.flexible.and(self.s.versions).is_empty() {
            return String::new();
        }
        if tagged.is_empty() {
            return "Tags::none(w, v);\n".into();
        }
        let mut text = String::from("let mut tags = Tags::new(w, v);\n");
        for (tag, field, when) in tagged {
            let (name, v, differs) = (snake(&field.name), version(field), self.differs(field));
            let mut condition = differs;
            if let Some(when) = when {
                condition = format!("({when}) && {condition}");
                if !field.ignorable {
                    text += &format!("if !({when}) {{ {}?; }}\n", self.refuse(field));
                }
            }
            text += &format!("tags.field({tag}, {condition}, &self.{name}, {v})?;\n");
        }
        text + "tags.finish();\n"
    }

    fn into_owned(self) -> String {
        let name = &self.s.name;
        let mut text = format!(
            "impl {name}<'_> {{ /// The same record, owning its text.\n#[must_use]\n\
             pub fn into_owned(self) -> {name}<'static> {{\n{name} {{\n"
        );
        for field in &self.s.fields {
            let f = snake(&field.name);
            let value = match &field.ty {
                ty if !self.borrows(ty) => format!("self.{f}"),
                ty if self.is_optional(field) => format!("self.{f}.map(|v| {})", owned(ty, "v")),
                ty => owned(ty, &format!("self.{f}")),
            };
            text += &format!("{f}: {value},\n");
        }
        text + "}\n}\n}\n\n"
    }
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

/// The version that a field is read and written with.
fn version(field: &Field) -> &'static str {
    let may_be_null = !field.nullable.is_empty();
    match field.ty {
        _ if field.classic => "v.classic()",
        Type::Struct(_) if may_be_null && field.tag.is_some() => "v.tagged()",
        _ => "v",
    }
}

/// The condition under which a version among those `around` is one of these; `None`: all of them are.
fn when(versions: Versions, around: Versions) -> Option<String> {
    let Versions { min, max } = versions.and(around);
    match (min == around.min, max == around.max) {
        (true, true) => None,
        _ if min > max => Some("false".into()),
        (false, true) => Some(format!("v >= {min}")),
        _ if min == max => Some(format!("v == {min}")),
        (true, false) => Some(format!("v <= {max}")),
        (false, false) => Some(format!("v >= {min} && v <= {max}")),
    }
}

/// The first flexible version, as an `Option`.
pub(super) fn flexible_min(flexible: Versions) -> String {
    if flexible.is_empty() {
        "None".into()
    } else {
        format!("Some({})", flexible.min)
    }
}

/// `KRaftVersion` as `kraft_version`, `LastKnownElr` as `last_known_elr`.
pub(super) fn snake(name: &str) -> String {
    let mut text = String::new();
    let letters: Vec<char> = name.replace("KRaft", "Kraft").chars().collect();
    for (i, c) in letters.iter().enumerate() {
        let after_small = i > 0 && !letters[i - 1].is_ascii_uppercase();
        let before_small = i > 0 && letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && (after_small || before_small) {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    match text.as_str() {
        "type" | "match" | "ref" | "move" | "use" | "where" | "in" | "loop" => format!("r#{text}"),
        _ => text,
    }
}
