//! What the notation says, checked: modules of structs of fields, each with its versions.

/// A range of versions, both ends included; empty if `min > max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Versions {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Versions {
    pub(crate) const NONE: Versions = Versions { min: 1, max: 0 };

    pub(crate) fn is_empty(self) -> bool {
        self.min > self.max
    }

    pub(crate) fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    pub(crate) fn covers(self, other: Versions) -> bool {
        other.is_empty() || (self.min <= other.min && other.max <= self.max)
    }

    pub(crate) fn and(self, other: Versions) -> Versions {
        Versions {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }

    pub(crate) fn each(self) -> impl Iterator<Item = i16> {
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
pub(crate) struct KeyLine {
    pub(crate) at: String,
    pub(crate) key: i16,
    pub(crate) name: String,
    pub(crate) flexible: Versions,
}

/// One schema file, and the Rust module made of it.
#[derive(Debug)]
pub(crate) struct Module {
    /// Path within the workspace.
    pub(crate) path: String,
    /// File name without its ending: `01_fetch`.
    pub(crate) stem: String,
    /// The comment at the top of the file.
    pub(crate) docs: Vec<String>,
    /// Messages and the structs in them, outer before inner, in file order.
    pub(crate) structs: Vec<Struct>,
}

impl Module {
    pub(crate) fn find(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|s| s.name == name)
    }

    pub(crate) fn request(&self) -> Option<&Struct> {
        self.structs
            .iter()
            .find(|s| matches!(s.role, Role::Request(_)))
    }

    pub(crate) fn response(&self) -> Option<&Struct> {
        self.structs
            .iter()
            .find(|s| matches!(s.role, Role::Response(_)))
    }
}

/// What a struct is, beside a list of fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
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
pub(crate) enum VersionPlace {
    /// In an int16 before it.
    Before,
    /// In its first field.
    Inside,
}

#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) docs: Vec<String>,
    /// The versions in which it occurs.
    pub(crate) versions: Versions,
    pub(crate) flexible: Versions,
    pub(crate) fields: Vec<Field>,
}

impl Struct {
    /// The API that a request or response belongs to: `Fetch`.
    pub(crate) fn api_name(&self) -> &str {
        self.name
            .trim_end_matches("Request")
            .trim_end_matches("Response")
    }
}

#[derive(Debug)]
pub(crate) struct Field {
    /// `file:line`, for errors.
    pub(crate) at: String,
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    pub(crate) tag: Option<u32>,
    pub(crate) default: Default,
    /// May be dropped without notice in versions that do not have it.
    pub(crate) ignorable: bool,
    /// Keeps the classic length prefix in flexible versions.
    pub(crate) classic: bool,
    pub(crate) docs: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    Bool,
    /// A number: its name in Rust.
    Number(&'static str),
    Uuid,
    Str,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Default {
    /// Zero, false, empty, or a struct of defaults.
    Zero,
    Null,
    True,
    Number(i64),
}
