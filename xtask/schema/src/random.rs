//! Random values of a message, as the bytes that a correct encoder writes.

use std::hash::{BuildHasher, RandomState};

use crate::model::{Default, Field, Module, Role, Struct, Type, VersionPlace};

/// SplitMix64, so that a seed alone repeats a failure.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Takes `OTTLA_SEED`, or one that never was, and prints it: a failing test shows it.
    #[allow(clippy::print_stdout, reason = "a seed that nobody saw is lost")]
    #[must_use]
    pub fn announced() -> Random {
        let seed = Random::seed();
        println!("OTTLA_SEED={seed}");
        Random(seed)
    }

    /// `OTTLA_SEED`, or one that never was. Whoever uses it prints it.
    #[must_use]
    pub fn seed() -> u64 {
        let given = std::env::var("OTTLA_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        given.unwrap_or_else(|| RandomState::new().hash_one(0))
    }

    /// Equal seeds give equal rolls.
    #[must_use]
    pub fn from_seed(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `n`, which is above zero.
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    /// The same for what is counted in memory.
    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// A number below two to the power of `bits_max`, small ones as often as large ones.
    pub fn magnitude(&mut self, bits_max: u64) -> u64 {
        let bits = 1 + self.below(bits_max);
        self.below(1 << bits)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of them. There must be some.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }
}

/// A value in bytes.
#[derive(Clone, Debug, std::default::Default)]
pub struct Value {
    /// What an encoder writes.
    pub bytes: Vec<u8>,
    /// Where counts and lengths stand. Not those within tagged fields.
    pub lengths: Vec<Length>,
}

/// Where a count or a length stands in a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Length {
    /// Its first byte.
    pub at: usize,
    /// How many bytes it takes.
    pub bytes: usize,
    /// A varint of one more, as in flexible versions; else a number with -1 for null.
    pub is_varint: bool,
}

impl Value {
    /// The bytes with one length replaced by another.
    #[must_use]
    pub fn with_length(&self, which: usize, length: &[u8]) -> Vec<u8> {
        let Length {
            at, bytes: size, ..
        } = self.lengths[which];
        let mut bytes = self.bytes.clone();
        bytes.splice(at..at + size, length.iter().copied());
        bytes
    }

    fn length(&mut self, length: Option<usize>, classic_bytes: usize, flexible: bool) {
        let at = self.bytes.len();
        let length = length.map_or(-1, |n| n as i64);
        if flexible {
            varint(&mut self.bytes, (length + 1) as u64);
        } else {
            self.bytes
                .extend_from_slice(&length.to_be_bytes()[8 - classic_bytes..]);
        }
        self.lengths.push(Length {
            at,
            bytes: self.bytes.len() - at,
            is_varint: flexible,
        });
    }
}

/// Appends an unsigned varint.
pub fn varint(bytes: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        bytes.push(n as u8 & 0x7f | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// A value of this struct in this version.
pub fn value(rng: &mut Random, module: &Module, s: &Struct, version: i16) -> Value {
    Maker::new(rng, module, version).value(s)
}

/// A value that is as small as can be, but for one of its arrays, which has so many elements that are as
/// small as can be: what takes the most memory for its bytes. Has no large array if the version has no
/// array at all.
pub fn crowd(
    rng: &mut Random,
    module: &Module,
    s: &Struct,
    version: i16,
    elements: usize,
) -> Value {
    Maker {
        crowd: Some(elements),
        ..Maker::new(rng, module, version)
    }
    .value(s)
}

/// A value twice: with tagged fields that no version knows in its structs, and without them. Where the
/// version is not flexible both are the same.
pub fn value_with_unknown_tags(
    rng: &mut Random,
    module: &Module,
    s: &Struct,
    version: i16,
) -> (Value, Value) {
    let mut same = rng.clone();
    let unknown_tags = Some(Random(rng.bits()));
    same.bits();
    let with = Maker {
        unknown_tags,
        ..Maker::new(rng, module, version)
    };
    let with = with.value(s);
    (with, value(&mut same, module, s, version))
}

struct Maker<'a> {
    rng: &'a mut Random,
    module: &'a Module,
    version: i16,
    /// Dice of their own, so that the value is the same without them.
    unknown_tags: Option<Random>,
    /// How many elements the large array of a [`crowd`] will have; 0 once it is there.
    crowd: Option<usize>,
}

impl<'a> Maker<'a> {
    fn new(rng: &'a mut Random, module: &'a Module, version: i16) -> Self {
        Maker {
            rng,
            module,
            version,
            unknown_tags: None,
            crowd: None,
        }
    }

    fn value(mut self, s: &Struct) -> Value {
        let mut out = Value::default();
        self.structure(s, &mut out);
        // A value that carries its version tells the truth: kafka-protocol decodes by what it says.
        if s.role == Role::Value(VersionPlace::Inside) {
            out.bytes[..2].copy_from_slice(&self.version.to_be_bytes());
        }
        out
    }

    fn structure(&mut self, s: &Struct, out: &mut Value) {
        let flexible = s.flexible.contains(self.version);
        let version = self.version;
        let fields = || s.fields.iter().filter(|f| f.versions.contains(version));
        for field in fields().filter(|f| f.tag.is_none()) {
            self.field(field, flexible, out);
        }
        if !flexible {
            return;
        }
        let mut tagged: Vec<(u32, &Field)> = fields().filter_map(|f| Some((f.tag?, f))).collect();
        tagged.sort_by_key(|(tag, _)| *tag);
        let mut written = Vec::new();
        for (tag, field) in tagged {
            let mut value = Value::default();
            self.field(field, flexible, &mut value);
            // A field that has its default is left out.
            if self.crowd.is_some()
                || self.rng.one_in(3)
                || value.bytes == default(self.module, field, version)
            {
                continue;
            }
            written.push((tag, value.bytes));
        }
        if let Some(dice) = &mut self.unknown_tags {
            let known = s.fields.iter().filter_map(|field| field.tag).max();
            let mut tag = known.map_or(0, |tag| tag + 1);
            for _ in 0..dice.below(3) {
                tag += dice.below(200) as u32;
                let bytes = (0..dice.below(6)).map(|_| dice.bits() as u8).collect();
                written.push((tag, bytes));
                tag += 1;
            }
        }
        varint(&mut out.bytes, written.len() as u64);
        for (tag, bytes) in written {
            varint(&mut out.bytes, u64::from(tag));
            varint(&mut out.bytes, bytes.len() as u64);
            out.bytes.extend(bytes);
        }
    }

    fn field(&mut self, field: &Field, flexible: bool, out: &mut Value) {
        let nullable = field.nullable.contains(self.version);
        let start = out.bytes.len();
        self.typed(&field.ty, (flexible && !field.classic, nullable), out);
        // A varint of 0, not the byte -1 of other fields, says that a tagged struct is null.
        if field.tag.is_some()
            && matches!(field.ty, Type::Struct(_))
            && out.bytes[start..] == [0xff]
        {
            out.bytes[start] = 0;
        }
    }

    fn typed(&mut self, ty: &Type, (flexible, nullable): (bool, bool), out: &mut Value) {
        let null = nullable && self.crowd.is_none() && self.rng.one_in(4);
        match ty {
            Type::Bool => out.bytes.push(self.rng.below(2) as u8),
            Type::Number(name) => {
                let size = number_bytes(name);
                // Small and extreme numbers are worth more than the rest.
                let n = match self.rng.below(6) {
                    0 => 0,
                    1 => u64::MAX,
                    2 => 1 << (8 * size - 1),
                    3 => (1 << (8 * size - 1)) - 1,
                    _ => self.rng.bits(),
                };
                out.bytes.extend_from_slice(&n.to_be_bytes()[8 - size..]);
            }
            Type::Uuid => {
                (0..2).for_each(|_| out.bytes.extend(self.rng.bits().to_be_bytes()));
            }
            Type::Str if null => out.length(None, 2, flexible),
            Type::Str => {
                let length = match self.crowd {
                    Some(_) => 0,
                    None if self.rng.one_in(20) => 300,
                    None => self.rng.below(12),
                };
                let text: String = (0..length)
                    .map(|_| *self.rng.pick(&['a', 'Z', '-', 'ä', '日']))
                    .collect();
                out.length(Some(text.len()), 2, flexible);
                out.bytes.extend(text.bytes());
            }
            Type::Bytes | Type::Records if null => out.length(None, 4, flexible),
            Type::Bytes | Type::Records => {
                let most = match self.crowd {
                    Some(_) => 1,
                    None if self.rng.one_in(4) => 5000,
                    None => 10,
                };
                let length = self.rng.index(most);
                out.length(Some(length), 4, flexible);
                out.bytes.extend((0..length).map(|_| self.rng.bits() as u8));
            }
            Type::Array(_) if null => out.length(None, 4, flexible),
            Type::Array(inner) => {
                let count = match &mut self.crowd {
                    None => self.rng.index(4),
                    Some(0) => 0,
                    // Or one element, in which there may be another array.
                    Some(_) if holds_array(self.module, inner) && self.rng.one_in(2) => 1,
                    Some(left) => std::mem::take(left),
                };
                out.length(Some(count), 4, flexible);
                for _ in 0..count {
                    self.typed(inner, (flexible, false), out);
                }
            }
            Type::Struct(_) if null => out.bytes.push(0xff),
            Type::Struct(name) => {
                if nullable {
                    out.bytes.push(1);
                }
                self.structure(part(self.module, name), out);
            }
        }
    }
}

/// Whether a value of this type has an array in it.
fn holds_array(module: &Module, ty: &Type) -> bool {
    match ty {
        Type::Array(_) => true,
        Type::Struct(name) => {
            let s = part(module, name);
            s.fields.iter().any(|field| holds_array(module, &field.ty))
        }
        _ => false,
    }
}

/// The default of a tagged field, in bytes.
fn default(module: &Module, field: &Field, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    match (&field.default, &field.ty) {
        (Default::Null, Type::Struct(_)) if field.tag.is_none() => bytes.push(0xff),
        (Default::Null, _) => bytes.push(0),
        (Default::True, _) => bytes.push(1),
        (Default::Number(n), Type::Number(name)) => {
            bytes.extend_from_slice(&n.to_be_bytes()[8 - number_bytes(name)..]);
        }
        (_, Type::Number(name)) => bytes.resize(number_bytes(name), 0),
        (_, Type::Bool) => bytes.push(0),
        (_, Type::Uuid) => bytes.resize(16, 0),
        (_, Type::Str | Type::Bytes | Type::Records | Type::Array(_)) => bytes.push(1),
        (_, Type::Struct(name)) => {
            bytes.extend(field.nullable.contains(version).then_some(1));
            for field in part(module, name)
                .fields
                .iter()
                .filter(|f| f.tag.is_none() && f.versions.contains(version))
            {
                bytes.extend(default(module, field, version));
            }
            bytes.push(0);
        }
    }
    bytes
}

/// Bytes of a number: `i16` has 2.
fn number_bytes(name: &str) -> usize {
    match &name[1..] {
        "8" => 1,
        "16" => 2,
        "32" => 4,
        _ => 8,
    }
}

#[allow(clippy::expect_used, reason = "names its invariant")]
fn part<'a>(module: &'a Module, name: &str) -> &'a Struct {
    module
        .find(name)
        .expect("invariant: the parser refuses fields of a struct that is not there")
}
