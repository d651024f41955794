//! Random values of a message, as the bytes that a correct encoder writes.

use super::super::model::{Default, Field, Module, Role, Struct, Type, VersionPlace};

/// SplitMix64, so that a seed alone repeats a failure.
pub(super) struct Random(u64);

impl Random {
    /// Takes `OTTLA_SEED`, or one that never was, and prints it: a failing test shows it.
    pub(super) fn new() -> Random {
        let given = std::env::var("OTTLA_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given
            .unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0));
        println!("OTTLA_SEED={seed}");
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A value in bytes.
#[derive(Clone, std::default::Default)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    /// Where counts and lengths stand, and whether they are varints. Not those within tagged fields.
    pub(super) lengths: Vec<(usize, usize, bool)>,
}

impl Value {
    /// The bytes with one length replaced by another.
    pub(super) fn with_length(&self, which: usize, length: &[u8]) -> Vec<u8> {
        let (at, size, _) = self.lengths[which];
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
        self.lengths.push((at, self.bytes.len() - at, flexible));
    }
}

fn varint(bytes: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        bytes.push(n as u8 & 0x7f | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// A value of this struct in this version.
pub(super) fn value(rng: &mut Random, module: &Module, s: &Struct, version: i16) -> Value {
    let mut out = Value::default();
    structure(rng, module, s, version, &mut out);
    // A value that carries its version tells the truth: kafka-protocol decodes by what it says.
    if s.role == Role::Value(VersionPlace::Inside) {
        out.bytes[..2].copy_from_slice(&version.to_be_bytes());
    }
    out
}

fn structure(rng: &mut Random, module: &Module, s: &Struct, version: i16, out: &mut Value) {
    let flexible = s.flexible.contains(version);
    for field in s
        .fields
        .iter()
        .filter(|f| f.tag.is_none() && f.versions.contains(version))
    {
        random_field(rng, module, field, version, flexible, out);
    }
    if !flexible {
        return;
    }
    let mut tagged: Vec<_> = s
        .fields
        .iter()
        .filter(|f| f.versions.contains(version))
        .collect();
    tagged.retain(|field| field.tag.is_some());
    tagged.sort_by_key(|field| field.tag);
    let mut written = Vec::new();
    for field in tagged {
        let mut value = Value::default();
        random_field(rng, module, field, version, flexible, &mut value);
        // A field that has its default is left out.
        if rng.one_in(3) || value.bytes == default(module, field, version) {
            continue;
        }
        written.push((field.tag.unwrap(), value.bytes));
    }
    varint(&mut out.bytes, written.len() as u64);
    for (tag, bytes) in written {
        varint(&mut out.bytes, u64::from(tag));
        varint(&mut out.bytes, bytes.len() as u64);
        out.bytes.extend(bytes);
    }
}

fn random_field(
    rng: &mut Random,
    module: &Module,
    field: &Field,
    version: i16,
    flexible: bool,
    out: &mut Value,
) {
    let nullable = field.nullable.contains(version);
    let start = out.bytes.len();
    typed(
        rng,
        module,
        &field.ty,
        version,
        (flexible && !field.classic, nullable),
        out,
    );
    // A varint of 0, not the byte -1 of other fields, says that a tagged struct is null.
    if field.tag.is_some() && matches!(field.ty, Type::Struct(_)) && out.bytes[start..] == [0xff] {
        out.bytes[start] = 0;
    }
}

fn typed(
    rng: &mut Random,
    module: &Module,
    ty: &Type,
    version: i16,
    (flexible, nullable): (bool, bool),
    out: &mut Value,
) {
    let null = nullable && rng.one_in(4);
    match ty {
        Type::Bool => out.bytes.push(rng.below(2) as u8),
        Type::Number(name) => {
            let size = name[1..].parse::<usize>().unwrap() / 8;
            // Small and extreme numbers are worth more than the rest.
            let n = match rng.below(6) {
                0 => 0,
                1 => u64::MAX,
                2 => 1 << (8 * size - 1),
                3 => (1 << (8 * size - 1)) - 1,
                _ => rng.next(),
            };
            out.bytes.extend_from_slice(&n.to_be_bytes()[8 - size..]);
        }
        Type::Uuid => (0..2).for_each(|_| out.bytes.extend(rng.next().to_be_bytes())),
        Type::Str if null => out.length(None, 2, flexible),
        Type::Str => {
            let length = if rng.one_in(20) { 300 } else { rng.below(12) };
            let text: String = (0..length)
                .map(|_| ['a', 'Z', '-', 'ä', '日'][rng.below(5) as usize])
                .collect();
            out.length(Some(text.len()), 2, flexible);
            out.bytes.extend(text.bytes());
        }
        Type::Bytes | Type::Records if null => out.length(None, 4, flexible),
        Type::Bytes | Type::Records => {
            let length = if rng.one_in(4) {
                rng.below(5000)
            } else {
                rng.below(10)
            } as usize;
            out.length(Some(length), 4, flexible);
            out.bytes.extend((0..length).map(|_| rng.next() as u8));
        }
        Type::Array(_) if null => out.length(None, 4, flexible),
        Type::Array(inner) => {
            let count = rng.below(4) as usize;
            out.length(Some(count), 4, flexible);
            for _ in 0..count {
                typed(rng, module, inner, version, (flexible, false), out);
            }
        }
        Type::Struct(_) if null => out.bytes.push(0xff),
        Type::Struct(name) => {
            if nullable {
                out.bytes.push(1);
            }
            structure(rng, module, module.find(name).unwrap(), version, out);
        }
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
            let size = name[1..].parse::<usize>().unwrap() / 8;
            bytes.extend_from_slice(&n.to_be_bytes()[8 - size..]);
        }
        (_, Type::Number(name)) => bytes.resize(name[1..].parse::<usize>().unwrap() / 8, 0),
        (_, Type::Bool) => bytes.push(0),
        (_, Type::Uuid) => bytes.resize(16, 0),
        (_, Type::Str | Type::Bytes | Type::Records | Type::Array(_)) => bytes.push(1),
        (_, Type::Struct(name)) => {
            let s = module.find(name).unwrap();
            bytes.extend(field.nullable.contains(version).then_some(1));
            for field in s
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
