//! What the notation says, checked: modules of structs of fields, each with its versions.

/// A range of versions, both ends included; empty if `min > max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The first.
    pub min: i16,
    /// The last.
    pub max: i16,
}

impl Versions {
    /// No version.
    pub const NONE: Versions = Versions { min: 1, max: 0 };

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.min > self.max
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether all of the other range are among them.
    #[must_use]
    pub fn covers(self, other: Versions) -> bool {
        other.is_empty() || (self.min <= other.min && other.max <= self.max)
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Versions) -> Versions {
        Versions {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }

    /// One after the other.
    pub fn each(self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            v if v.is_empty() => write!(f, "none"),
            Versions { min, max: i16::MAX } => write!(f, "{min}+"),
            Versions { min, max } if min == max => write!(f, "{min}"),
            Versions { min, max } => write!(f, "{min}-{max}"),
        }
    }
}

/// A line of the list of API keys.
#[derive(Debug)]
pub struct KeyLine {
    /// `file:line`, for errors.
    pub at: String,
    /// The key.
    pub key: i16,
    /// The API's name: `Fetch`.
    pub name: String,
    /// The versions of its messages that are flexible (KIP-482).
    pub flexible: Versions,
}

/// One schema file, and the Rust module made of it.
#[derive(Debug)]
pub struct Module {
    /// Path within the workspace.
    pub path: String,
    /// File name without its ending: `01_fetch`.
    pub stem: String,
    /// The comment at the top of the file.
    pub docs: Vec<String>,
    /// Messages and the structs in them, outer before inner, in file order.
    pub structs: Vec<Struct>,
}

impl Module {
    /// The struct of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|s| s.name == name)
    }

    /// The body of the request, if this is the module of an API.
    #[must_use]
    pub fn request(&self) -> Option<&Struct> {
        self.structs
            .iter()
            .find(|s| matches!(s.role, Role::Request(_)))
    }

    /// The body of the response, if this is the module of an API.
    #[must_use]
    pub fn response(&self) -> Option<&Struct> {
        self.structs
            .iter()
            .find(|s| matches!(s.role, Role::Response(_)))
    }
}

/// What a struct is, beside a list of fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The body of a request, with its API key.
    Request(i16),
    /// The body of a response, with its API key.
    Response(i16),
    /// A header of requests or responses.
    Header,
    /// A record of the metadata log, with its key.
    Record(i16),
    /// Another stored value, and where its version stands.
    Value(VersionPlace),
    /// A part of those.
    Part,
}

/// Where a stored value has its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionPlace {
    /// In an int16 before it.
    Before,
    /// In its first field.
    Inside,
}

/// A message, a record, or a part of one.
#[derive(Debug)]
pub struct Struct {
    /// Its name in Rust.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// The comment above it.
    pub docs: Vec<String>,
    /// The versions in which it occurs.
    pub versions: Versions,
    /// The versions that are flexible (KIP-482).
    pub flexible: Versions,
    /// In the order of the wire.
    pub fields: Vec<Field>,
}

impl Struct {
    /// The API that a request or response belongs to: `Fetch`.
    #[must_use]
    pub fn api_name(&self) -> &str {
        self.name
            .trim_end_matches("Request")
            .trim_end_matches("Response")
    }
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// `file:line`, for errors.
    pub at: String,
    /// Its name in Kafka.
    pub name: String,
    /// What it holds.
    pub ty: Type,
    /// The versions that have it.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Versions,
    /// Its number among the tagged fields, if it is one of them (KIP-482).
    pub tag: Option<u32>,
    /// What it is in versions that do not have it.
    pub default: Default,
    /// May be dropped without notice in versions that do not have it.
    pub ignorable: bool,
    /// Keeps the classic length prefix in flexible versions.
    pub classic: bool,
    /// The comment beside it.
    pub docs: Option<String>,
}

/// What a field holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Type {
    /// A byte that is 0 or 1.
    Bool,
    /// A number: its name in Rust.
    Number(&'static str),
    /// 16 bytes.
    Uuid,
    /// UTF-8 behind its length.
    Str,
    /// Anything behind its length.
    Bytes,
    /// Record batches behind their length.
    Records,
    /// The struct of this name in the same module.
    Struct(String),
    /// Any number of them behind their count.
    Array(Box<Type>),
}

/// What a field is in versions that do not have it.
#[derive(Clone, PartialEq, Debug)]
pub enum Default {
    /// Zero, false, empty, or a struct of defaults.
    Zero,
    /// Null.
    Null,
    /// True.
    True,
    /// Another number.
    Number(i64),
}
