//! What a field of a message or record can be: how a value of each type is read and written.
//!
//! Generated structs implement [`Value`] by doing so for their fields, one after the other.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{DecodeError, EncodeError, Reader, Writer};
use crate::uuid::Uuid;

/// The version of the message at hand. Compares with a number: `v >= 12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    number: i16,
    is_flexible: bool,
    is_tagged: bool,
}

impl Version {
    /// Any version that is not flexible, for what has no versions of its own.
    pub const INFLEXIBLE: Version = Version::new(0, None);

    /// This version of a message that is flexible from `flexible_min` on; `None`: never.
    #[must_use]
    pub const fn new(number: i16, flexible_min: Option<i16>) -> Version {
        Version {
            number,
            is_flexible: matches!(flexible_min, Some(min) if number >= min),
            is_tagged: false,
        }
    }

    /// True if lengths are varints and structs end with tagged fields (KIP-482).
    #[must_use]
    pub const fn is_flexible(self) -> bool {
        self.is_flexible
    }

    /// For a field that keeps the length of inflexible versions.
    #[must_use]
    pub const fn classic(self) -> Version {
        Version {
            is_flexible: false,
            ..self
        }
    }

    /// For a struct that may be null and is a tagged field: a varint, not a byte, says whether it is
    /// (`MessageDataGenerator.java`).
    #[must_use]
    pub const fn tagged(self) -> Version {
        Version {
            is_tagged: true,
            ..self
        }
    }

    /// What becomes of a field that this version does not have and that may not be ignored.
    ///
    /// # Errors
    /// [`EncodeError::NotInVersion`] if it is set, in debug builds.
    pub const fn refuse(self, is_set: bool, field: &'static str) -> Result<(), EncodeError> {
        if cfg!(debug_assertions) && is_set {
            return Err(EncodeError::NotInVersion(field, self.number));
        }
        Ok(())
    }
}

impl PartialEq<i16> for Version {
    #[inline]
    fn eq(&self, number: &i16) -> bool {
        self.number == *number
    }
}

impl PartialOrd<i16> for Version {
    #[inline]
    fn partial_cmp(&self, number: &i16) -> Option<core::cmp::Ordering> {
        self.number.partial_cmp(number)
    }
}

/// A value that can be a field.
pub trait Value<'a>: Default {
    /// The least that it takes on the wire, in bytes, in any version.
    const BYTES_MIN: usize;

    /// Reads it, over the default of its type.
    ///
    /// # Errors
    /// What the reader refuses.
    fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError>;

    /// Writes it.
    ///
    /// # Errors
    /// What the writer refuses, and a value that this version cannot express.
    fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError>;

    /// Reads one that may be null. As it is here, for structs: a byte below 0 says so.
    ///
    /// # Errors
    /// As [`Value::read`].
    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        let is_null = if v.is_tagged {
            r.unsigned_varint()? == 0
        } else {
            r.i8()? < 0
        };
        if is_null {
            return Ok(None);
        }
        let is_tagged = false;
        let mut value = Self::default();
        value.read(r, Version { is_tagged, ..v })?;
        Ok(Some(value))
    }

    /// Writes one that may be null.
    ///
    /// # Errors
    /// As [`Value::write`].
    fn write_nullable<W: Writer>(
        value: Option<&Self>,
        w: &mut W,
        v: Version,
    ) -> Result<(), EncodeError> {
        if v.is_tagged {
            w.unsigned_varint(u32::from(value.is_some()));
        } else {
            w.i8(if value.is_some() { 1 } else { -1 });
        }
        let is_tagged = false;
        value.map_or(Ok(()), |value| value.write(w, Version { is_tagged, ..v }))
    }
}

macro_rules! fixed {
    ($($name:ident: $type:ty, $bytes:literal;)*) => { $(
        impl Value<'_> for $type {
            const BYTES_MIN: usize = $bytes;

            #[inline]
            fn read(&mut self, r: &mut Reader<'_>, _: Version) -> Result<(), DecodeError> {
                *self = r.$name()?;
                Ok(())
            }

            #[inline]
            fn write<W: Writer>(&self, w: &mut W, _: Version) -> Result<(), EncodeError> {
                w.$name(*self);
                Ok(())
            }
        }
    )* };
}
fixed! {
    bool: bool, 1;
    i8: i8, 1;
    i16: i16, 2;
    i32: i32, 4;
    i64: i64, 8;
    u16: u16, 2;
    u32: u32, 4;
    f64: f64, 8;
    uuid: Uuid, 16;
}

/// Text and bytes: borrowed in messages, `Cow` in stored records.
macro_rules! lengthy {
    ($($type:ty: $one:ident, $nullable:ident, $from:expr;)*) => { $(
        impl<'a> Value<'a> for $type {
            const BYTES_MIN: usize = 1;

            #[inline]
            fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError> {
                *self = r.$one(v.is_flexible).map($from)?;
                Ok(())
            }

            #[inline]
            fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {
                w.$one(self, v.is_flexible)
            }

            #[inline]
            fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
                Ok(r.$nullable(v.is_flexible)?.map($from))
            }

            #[inline]
            fn write_nullable<W: Writer>(
                value: Option<&Self>,
                w: &mut W,
                v: Version,
            ) -> Result<(), EncodeError> {
                w.$nullable(value.map(|value| &**value), v.is_flexible)
            }
        }
    )* };
}
lengthy! {
    &'a str: str, nullable_str, |text| text;
    &'a [u8]: bytes, nullable_bytes, |bytes| bytes;
    Cow<'a, str>: str, nullable_str, Cow::Borrowed;
    Cow<'a, [u8]>: bytes, nullable_bytes, Cow::Borrowed;
}

impl<'a, T: Value<'a>> Value<'a> for Vec<T> {
    const BYTES_MIN: usize = 1;

    fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError> {
        *self = r.array(v)?;
        Ok(())
    }

    fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), w, v)
    }

    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        r.nullable_array(v)
    }

    fn write_nullable<W: Writer>(
        elements: Option<&Self>,
        w: &mut W,
        v: Version,
    ) -> Result<(), EncodeError> {
        w.nullable_length(elements.map(Vec::len), v.is_flexible)?;
        let Some(elements) = elements else {
            return Ok(());
        };
        w.reserve(elements.len() * T::BYTES_MIN);
        elements.iter().try_for_each(|element| element.write(w, v))
    }
}

/// A field that may be null in all its versions.
impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    const BYTES_MIN: usize = 1;

    #[inline]
    fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError> {
        *self = T::read_nullable(r, v)?;
        Ok(())
    }

    #[inline]
    fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), w, v)
    }
}

/// Reads a field that may be null in some versions: whether in this one, `is_nullable` says.
///
/// # Errors
/// As [`Value::read`].
pub fn read_optional<'a, T: Value<'a>>(
    field: &mut Option<T>,
    is_nullable: bool,
    r: &mut Reader<'a>,
    v: Version,
) -> Result<(), DecodeError> {
    if is_nullable {
        field.read(r, v)
    } else {
        field.insert(T::default()).read(r, v)
    }
}

/// Writes a field that may be null in some versions.
///
/// # Errors
/// As [`Value::write`], and [`EncodeError::UnexpectedNull`] with `name`.
pub fn write_optional<'a, T: Value<'a>, W: Writer>(
    field: &Option<T>,
    is_nullable: bool,
    w: &mut W,
    v: Version,
    name: &'static str,
) -> Result<(), EncodeError> {
    match field {
        Some(value) if !is_nullable => value.write(w, v),
        None if !is_nullable => Err(EncodeError::UnexpectedNull(name)),
        _ => field.write(w, v),
    }
}

/// The tagged fields of a struct that is being written, by ascending tags; in inflexible versions there
/// are none. Those that have their default are left out.
#[derive(Debug)]
#[must_use = "without `finish` their count is missing"]
pub struct Tags<'w, W> {
    w: &'w mut W,
    v: Version,
    /// Where the count belongs.
    at: usize,
    count: u32,
}

impl<'w, W: Writer> Tags<'w, W> {
    /// None so far.
    pub fn new(w: &'w mut W, v: Version) -> Self {
        let (at, count) = (w.position(), 0);
        Tags { w, v, at, count }
    }

    /// Those of a struct that has none.
    #[inline]
    pub fn none(w: &'w mut W, v: Version) {
        if v.is_flexible {
            w.unsigned_varint(0);
        }
    }

    /// Adds one, if it is to be written.
    ///
    /// # Errors
    /// As [`Value::write`].
    pub fn field<'a, T: Value<'a>>(
        &mut self,
        tag: u32,
        is_written: bool,
        value: &T,
        v: Version,
    ) -> Result<(), EncodeError> {
        if !is_written || !v.is_flexible {
            return Ok(());
        }
        self.count += 1;
        self.w.unsigned_varint(tag);
        let start = self.w.position();
        value.write(self.w, v)?;
        let size = self.w.position() - start;
        self.w.insert_varint(start, size as u64);
        Ok(())
    }

    /// Writes their count in front of them.
    pub fn finish(self) {
        if self.count == 0 {
            Self::none(self.w, self.v);
        } else {
            self.w.insert_varint(self.at, u64::from(self.count));
        }
    }
}
