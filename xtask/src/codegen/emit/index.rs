//! What spans messages: the list of modules, the API keys, and the enums over all requests, responses
//! and metadata records.

use super::{Scope, Target, apis, generated, module_name};
use ottla_schema::model::{KeyLine, Module, Role, Struct, Versions};

const SCHEMA: &str = "crates/ottla-wire/schema";

pub(super) fn wire_mod(modules: &[Module]) -> String {
    let mut text = generated(SCHEMA);
    text += "//! The messages, one module per API.\n\n";
    for module in modules {
        let file = if module.request().is_some() {
            format!("p{}", module.stem)
        } else {
            module.stem.clone()
        };
        text += &format!(
            "#[path = \"{file}.rs\"]\npub mod {};\n",
            module_name(module)
        );
    }
    text + "mod any;\nmod api_key;\n\npub use any::{AnyRequest, AnyResponse};\npub use api_key::ApiKey;\n"
}

pub(super) fn records_mod(modules: &[Module]) -> String {
    let mut text = generated(&format!("{SCHEMA}/records"));
    text += "//! The stored records.\n\n";
    for module in modules {
        text += &format!("pub mod {};\n", module_name(module));
    }
    text + "mod metadata_record;\n\npub use metadata_record::MetadataRecord;\n"
}

/// Ties a request to its response.
pub(super) fn request_impl(module: &Module, request: &Struct) -> String {
    let lifetime = |s: &Struct, name: &str| {
        let scope = Scope {
            target: Target::Wire,
            module,
            s,
        };
        format!("{}{}", s.name, if scope.has_lifetime() { name } else { "" })
    };
    let Some(response) = module.response() else {
        return String::new();
    };
    format!(
        "impl Request for {} {{\n\
         const KEY: ApiKey = ApiKey::{};\n\
         type Response<'r> = {};\n\n\
         fn encode_body<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {{\n\
         self.encode(w, version)\n}}\n\n\
         fn decode_response<'r>(r: &mut Reader<'r>, version: i16) \
         -> Result<Self::Response<'r>, DecodeError> {{\n\
         {}::decode(r, version)\n}}\n}}\n",
        lifetime(request, "<'_>"),
        request.api_name(),
        lifetime(response, "<'r>"),
        response.name,
    )
}

pub(super) fn api_key(keys: &[KeyLine], modules: &[Module]) -> String {
    let mut text = generated(&format!("{SCHEMA}/api_keys.schema"));
    text += "//! The API keys.\n\nuse core::ops::RangeInclusive;\n\n";
    text +=
        "/// An API of the protocol. Keys 4 to 7 were removed in Kafka 4.0 and stay reserved.\n";
    text += "#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]\n#[repr(i16)]\npub enum ApiKey {\n";
    for key in keys {
        text += &format!("/// Key {}.\n{} = {},\n", key.key, key.name, key.key);
    }
    text += "}\n\nimpl ApiKey {\n/// Every key, ascending.\n";
    text += &format!("pub const ALL: [ApiKey; {}] = [\n", keys.len());
    for key in keys {
        text += &format!("Self::{},\n", key.name);
    }
    text += "];\n\n/// The name that Kafka gives it.\n#[must_use]\npub const fn name(self) -> &'static str {\nmatch self {\n";
    for key in keys {
        text += &format!("Self::{0} => \"{0}\",\n", key.name);
    }
    text += "}\n}\n\n/// The first flexible version; `None` if no version is.\n#[must_use]\npub const fn flexible_min(self) -> Option<i16> {\nmatch self {\n";
    // One arm per answer.
    let mut floors: Vec<Versions> = keys.iter().map(|key| key.flexible).collect();
    floors.sort_by_key(|v| (v.is_empty(), v.min));
    floors.dedup();
    for floor in floors {
        let names: Vec<_> = keys
            .iter()
            .filter(|key| key.flexible == floor)
            .map(|key| format!("Self::{}", key.name))
            .collect();
        let answer = if floor.is_empty() {
            "None".into()
        } else {
            format!("Some({})", floor.min)
        };
        text += &format!("{} => {answer},\n", names.join(" | "));
    }
    text += "}\n}\n\n/// The versions that this build reads and writes; `None` if it does not know the messages.\n#[must_use]\npub const fn schema_versions(self) -> Option<RangeInclusive<i16>> {\nmatch self {\n";
    for (_, _, request, _) in apis(modules) {
        let v = request.versions;
        text += &format!(
            "Self::{} => Some({}..={}),\n",
            request.api_name(),
            v.min,
            v.max
        );
    }
    text + "_ => None,\n}\n}\n}\n"
}

pub(super) fn any(modules: &[Module]) -> String {
    let mut text = generated(SCHEMA);
    text += "//! Messages whose API is known only at run time.\n\nuse crate::ApiKey;\n";
    text += "use ottla_model::primitives::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};\n\n";
    for (name, what, pick) in [("AnyRequest", "request", 0), ("AnyResponse", "response", 1)] {
        let variants: Vec<(String, String)> = apis(modules)
            .into_iter()
            .map(|(module, _, request, response)| {
                let s = [request, response][pick];
                let generics = Scope {
                    target: Target::Wire,
                    module,
                    s,
                }
                .generics();
                (
                    s.api_name().into(),
                    format!("super::{}::{}{generics}", module_name(module), s.name),
                )
            })
            .collect();
        text += &format!(
            "/// The body of any {what}.\n#[derive(Clone, Debug, PartialEq)]\npub enum {name}<'a> {{\n"
        );
        for (variant, ty) in &variants {
            text += &format!("/// {variant}.\n{variant}({ty}),\n");
        }
        text += &format!(
            "}}\n\nimpl<'a> {name}<'a> {{\n/// The API that this {what} belongs to.\n#[must_use]\npub fn key(&self) -> ApiKey {{\nmatch self {{\n"
        );
        for (variant, _) in &variants {
            text += &format!("Self::{variant}(_) => ApiKey::{variant},\n");
        }
        text += &format!(
            "}}\n}}\n\n/// Reads a {what}.\n///\n/// # Errors\n/// As the {what}'s own `decode`; \
             [`DecodeErrorKind::UnknownKey`] if this build does not know the messages of `key`.\n\
             pub fn decode(key: ApiKey, r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {{\nOk(match key {{\n"
        );
        for (variant, ty) in &variants {
            let path = ty.trim_end_matches("<'a>");
            text +=
                &format!("ApiKey::{variant} => Self::{variant}({path}::decode(r, version)?),\n");
        }
        text += &format!(
            "_ => return Err(r.error(DecodeErrorKind::UnknownKey(i32::from(i16::from(key))))),\n}})\n}}\n\n\
             /// Writes a {what}.\n///\n/// # Errors\n/// As the {what}'s own `encode`.\n\
             pub fn encode<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {{\nmatch self {{\n"
        );
        for (variant, _) in &variants {
            text += &format!("Self::{variant}(body) => body.encode(w, version),\n");
        }
        text += "}\n}\n}\n\n";
    }
    text
}

/// The enum over the records of the metadata log.
pub(super) fn metadata_record(modules: &[Module]) -> String {
    let mut text = generated(&format!("{SCHEMA}/records"));
    text += "//! Any record of the metadata log. Its frame is written and read beside this, by hand.\n\n";
    text += "use core::ops::RangeInclusive;\n\n";
    text +=
        "use crate::primitives::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};\n\n";
    let all: Vec<(String, String, bool)> = modules
        .iter()
        .flat_map(|module| {
            module.structs.iter().map(move |s| Scope {
                target: Target::Records,
                module,
                s,
            })
        })
        .filter(|scope| matches!(scope.s.role, Role::Record(_)))
        .map(|scope| {
            let path = format!("super::{}::{}", module_name(scope.module), scope.s.name);
            (
                scope.s.name.trim_end_matches("Record").into(),
                path,
                scope.has_lifetime(),
            )
        })
        .collect();
    text += "/// A record of `__cluster_metadata`.\n#[derive(Clone, Debug, PartialEq)]\npub enum MetadataRecord<'a> {\n";
    for (variant, path, lifetime) in &all {
        let generics = if *lifetime { "<'a>" } else { "" };
        text += &format!("/// See [`{path}`].\n{variant}({path}{generics}),\n");
    }
    let methods = [
        ("The key in the record's frame.", "key", "i16", "KEY"),
        (
            "The versions of this kind of record that this build reads and writes.",
            "versions",
            "RangeInclusive<i16>",
            "VERSIONS",
        ),
    ];
    text += "}\n\nimpl<'a> MetadataRecord<'a> {\n";
    for (docs, name, answer, constant) in methods {
        text += &format!(
            "/// {docs}\n#[must_use]\npub fn {name}(&self) -> {answer} {{\nmatch self {{\n"
        );
        for (variant, path, _) in &all {
            text += &format!("Self::{variant}(_) => {path}::{constant},\n");
        }
        text += "}\n}\n\n";
    }
    text += "/// Reads the body of the record with this key.\n///\n/// # Errors\n/// As the record's own \
             `decode`; [`DecodeErrorKind::UnknownKey`].\n\
             pub fn decode_body(key: i16, r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {\nOk(match key {\n";
    for (variant, path, _) in &all {
        text += &format!("{path}::KEY => Self::{variant}({path}::decode(r, version)?),\n");
    }
    text += "_ => return Err(r.error(DecodeErrorKind::UnknownKey(i32::from(key)))),\n})\n}\n\n";
    text += "/// Writes the body of the record.\n///\n/// # Errors\n/// As the record's own `encode`.\n\
             pub fn encode_body<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {\nmatch self {\n";
    for (variant, _, _) in &all {
        text += &format!("Self::{variant}(body) => body.encode(w, version),\n");
    }
    text += "}\n}\n\n/// The same record, owning its text.\n#[must_use]\n\
             pub fn into_owned(self) -> MetadataRecord<'static> {\nmatch self {\n";
    for (variant, _, lifetime) in &all {
        let own = if *lifetime { ".into_owned()" } else { "" };
        text += &format!("Self::{variant}(body) => MetadataRecord::{variant}(body{own}),\n");
    }
    text + "}\n}\n}\n"
}
