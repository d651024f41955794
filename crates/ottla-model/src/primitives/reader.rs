//! Reading: every length is checked against the bytes that are there before it is believed.

use alloc::vec::Vec;
use core::ops::Range;

use super::error::{DecodeError, DecodeErrorKind as Kind};
use super::{STRING_BYTES_MAX, Value, Version};
use crate::uuid::Uuid;

/// A cursor over bytes that came from a socket or a file.
///
/// What it returns borrows from the input, not from the reader. After an error its position is
/// unspecified: give it up.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    /// The end of `input` that was not read yet.
    rest: &'a [u8],
    memory_left: usize,
}

/// Memory that decoded arrays may take, per byte of input. Elements are larger in memory than on the
/// wire (an empty string is 1 byte there and 16 here), but all that a client means is below this: names of
/// a dozen letters, partitions with a replica each.
const MEMORY_PER_INPUT_BYTE: usize = 4;
/// What even the smallest input may take, in bytes. So only an input of hundreds of kilobytes made of
/// empty elements is refused.
const MEMORY_BASE: usize = 1 << 20;

impl<'a> Reader<'a> {
    /// A reader at the start of `input`, which may spend 4 bytes of memory per byte of input (and 1 MiB)
    /// on arrays. It allocates for nothing else.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self::with_memory_limit(input, usize::MAX)
    }

    /// A reader at the start of `input` that may spend `bytes_max` of memory on arrays, and no more than
    /// [`Reader::new`] allows.
    #[must_use]
    pub fn with_memory_limit(input: &'a [u8], bytes_max: usize) -> Self {
        let allowed = input
            .len()
            .saturating_mul(MEMORY_PER_INPUT_BYTE)
            .saturating_add(MEMORY_BASE);
        Reader {
            input,
            rest: input,
            memory_left: bytes_max.min(allowed),
        }
    }

    /// Bytes read so far, counted from the start of the input.
    #[must_use]
    pub fn position(&self) -> usize {
        self.input.len() - self.rest.len()
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not read yet, without reading them.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Where `slice`, which this reader handed out, lies in its input: the owner of the buffer splits it
    /// there without copying. `None` if the slice comes from elsewhere.
    #[must_use]
    pub fn offset_of(&self, slice: &[u8]) -> Option<Range<usize>> {
        offset_of(self.input, slice)
    }

    /// An error of this kind at the current position.
    #[must_use]
    #[cold]
    pub fn error(&self, kind: Kind) -> DecodeError {
        let at = self.position();
        DecodeError { kind, at }
    }

    /// Refuses bytes after the end of the value.
    ///
    /// # Errors
    /// [`Kind::TrailingBytes`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(self.error(Kind::TrailingBytes))
        }
    }

    /// Reads the next `n` bytes as they are.
    ///
    /// # Errors
    /// [`Kind::Truncated`]; so do all methods below when the input ends too early.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(n) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.error(Kind::Truncated)),
        }
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => Err(self.error(Kind::Truncated)),
        }
    }

    /// Reads an unsigned varint of at most 5 bytes.
    ///
    /// # Errors
    /// [`Kind::VarintTooLong`] if it does not fit 32 bits.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        // Nearly all lengths, counts and tags.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u32::from(*byte));
        }
        let value = self.base128(5)?;
        u32::try_from(value).map_err(|_| self.error(Kind::VarintTooLong))
    }

    /// Reads an unsigned varint of at most 10 bytes.
    ///
    /// # Errors
    /// [`Kind::VarintTooLong`] if it does not fit 64 bits.
    pub fn unsigned_varlong(&mut self) -> Result<u64, DecodeError> {
        self.base128(10)
    }

    /// Reads a zigzag varint of at most 5 bytes.
    ///
    /// # Errors
    /// [`Kind::VarintTooLong`] if it does not fit 32 bits.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.unsigned_varint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// Reads a zigzag varint of at most 10 bytes.
    ///
    /// # Errors
    /// [`Kind::VarintTooLong`] if it does not fit 64 bits.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.unsigned_varlong()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn base128(&mut self, bytes_max: usize) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(bytes_max).enumerate() {
            // The tenth byte holds one bit; bits of a fifth byte beyond 32 are for the caller to refuse.
            if i == 9 && byte > 1 {
                return Err(self.error(Kind::VarintTooLong));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        let kind = if self.remaining() < bytes_max {
            Kind::Truncated
        } else {
            Kind::VarintTooLong
        };
        Err(self.error(kind))
    }

    /// Reads a string. UTF-8 is checked here, once.
    ///
    /// # Errors
    /// [`Kind::UnexpectedNull`], [`Kind::InvalidLength`], [`Kind::StringTooLong`], [`Kind::InvalidUtf8`].
    pub fn str(&mut self, flexible: bool) -> Result<&'a str, DecodeError> {
        let at = self.position();
        self.nullable_str(flexible)?.ok_or(DecodeError {
            kind: Kind::UnexpectedNull,
            at,
        })
    }

    /// Reads a string that may be null.
    ///
    /// # Errors
    /// As [`Reader::str`], but null is `None`.
    pub fn nullable_str(&mut self, flexible: bool) -> Result<Option<&'a str>, DecodeError> {
        let at = self.position();
        let length = if flexible {
            self.unsigned_varint()?.checked_sub(1)
        } else {
            let length = self.i16()?;
            checked_length(i32::from(length), at)?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        if length as usize > STRING_BYTES_MAX {
            return Err(DecodeError {
                kind: Kind::StringTooLong(length),
                at,
            });
        }
        let bytes = self.take(length as usize)?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(DecodeError {
                kind: Kind::InvalidUtf8,
                at,
            }),
        }
    }

    /// Reads bytes with their length.
    ///
    /// # Errors
    /// [`Kind::UnexpectedNull`], [`Kind::InvalidLength`].
    pub fn bytes(&mut self, flexible: bool) -> Result<&'a [u8], DecodeError> {
        let at = self.position();
        self.nullable_bytes(flexible)?.ok_or(DecodeError {
            kind: Kind::UnexpectedNull,
            at,
        })
    }

    /// Reads bytes with their length, which may be null. Record batches lie on the wire like this too.
    ///
    /// # Errors
    /// [`Kind::InvalidLength`].
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.nullable_length(flexible)? {
            Some(length) => self.take(length as usize).map(Some),
            None => Ok(None),
        }
    }

    /// Reads an array: its count, then its elements.
    ///
    /// # Errors
    /// [`Kind::UnexpectedNull`], [`Kind::InvalidLength`], [`Kind::CountTooLarge`], [`Kind::MemoryLimit`],
    /// and those of the elements.
    pub fn array<T: Value<'a>>(&mut self, v: Version) -> Result<Vec<T>, DecodeError> {
        let at = self.position();
        let kind = Kind::UnexpectedNull;
        let count = self.affordable_count(T::BYTES_MIN, size_of::<T>(), v)?;
        self.elements(count.ok_or(DecodeError { kind, at })?, v)
    }

    /// Reads an array that may be null.
    ///
    /// # Errors
    /// As [`Reader::array`], but null is `None`.
    pub fn nullable_array<T: Value<'a>>(
        &mut self,
        v: Version,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        match self.affordable_count(T::BYTES_MIN, size_of::<T>(), v)? {
            Some(count) => self.elements(count, v).map(Some),
            None => Ok(None),
        }
    }

    fn elements<T: Value<'a>>(&mut self, count: usize, v: Version) -> Result<Vec<T>, DecodeError> {
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::default());
            // Filled where it lies: many are large.
            if let Some(element) = elements.last_mut() {
                element.read(self, v)?;
            }
        }
        Ok(elements)
    }

    /// Reads the count of elements and spends the memory that they take: before anything is allocated, it
    /// is held against the bytes that are left, and against the memory that may be spent.
    fn affordable_count(
        &mut self,
        bytes_min: usize,
        memory_each: usize,
        v: Version,
    ) -> Result<Option<usize>, DecodeError> {
        let at = self.position();
        let Some(count) = self.count(bytes_min, v)? else {
            return Ok(None);
        };
        let memory = count.saturating_mul(memory_each);
        self.memory_left = self.memory_left.checked_sub(memory).ok_or(DecodeError {
            kind: Kind::MemoryLimit(count as u32),
            at,
        })?;
        Ok(Some(count))
    }

    /// Reads the count of elements that take at least so many bytes each; `None` is null.
    ///
    /// # Errors
    /// [`Kind::InvalidLength`], [`Kind::CountTooLarge`].
    pub fn count(&mut self, bytes_min: usize, v: Version) -> Result<Option<usize>, DecodeError> {
        let at = self.position();
        match self.nullable_length(v.is_flexible())? {
            Some(count) if count as usize > self.remaining() / bytes_min.max(1) => {
                let kind = Kind::CountTooLarge(count);
                Err(DecodeError { kind, at })
            }
            count => Ok(count.map(|count| count as usize)),
        }
    }

    /// Reads the tagged fields at the end of a struct, if the version is flexible. `known` gets each tag
    /// with a reader that ends where the field ends; it answers true if it read the value, false to have
    /// it skipped.
    ///
    /// # Errors
    /// [`Kind::TagOrder`], [`Kind::TaggedSize`], and those of `known`.
    #[inline]
    pub fn tagged_fields(
        &mut self,
        v: Version,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        match self.rest {
            _ if !v.is_flexible() => Ok(()),
            // Nearly always there are none.
            [0, rest @ ..] => {
                self.rest = rest;
                Ok(())
            }
            _ => self.some_tagged_fields(&mut known),
        }
    }

    /// Skips the tagged fields of a struct that knows none.
    ///
    /// # Errors
    /// As [`Reader::tagged_fields`].
    pub fn skip_tagged_fields(&mut self, v: Version) -> Result<(), DecodeError> {
        self.tagged_fields(v, |_, _| Ok(false))
    }

    fn some_tagged_fields(
        &mut self,
        known: &mut dyn FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let at = self.position();
        let count = self.unsigned_varint()?;
        // Each takes at least its tag and its size.
        if count as usize > self.remaining() / 2 {
            let kind = Kind::CountTooLarge(count);
            return Err(DecodeError { kind, at });
        }
        let mut tag_min = 0u64;
        for _ in 0..count {
            let at = self.position();
            let tag = self.unsigned_varint()?;
            if u64::from(tag) < tag_min {
                let kind = Kind::TagOrder(tag);
                return Err(DecodeError { kind, at });
            }
            tag_min = u64::from(tag) + 1;
            let size = self.unsigned_varint()? as usize;
            let rest = self.take(size)?;
            let mut field = Reader {
                input: &self.input[..self.position()],
                rest,
                memory_left: self.memory_left,
            };
            if known(tag, &mut field)? && field.remaining() != 0 {
                return Err(field.error(Kind::TaggedSize(tag)));
            }
            self.memory_left = field.memory_left;
        }
        Ok(())
    }

    /// The length or count of a nullable value: `None` is null.
    #[inline]
    fn nullable_length(&mut self, flexible: bool) -> Result<Option<u32>, DecodeError> {
        if flexible {
            Ok(self.unsigned_varint()?.checked_sub(1))
        } else {
            let at = self.position();
            let length = self.i32()?;
            checked_length(length, at)
        }
    }

    /// Reads a byte; anything but 0 is true.
    ///
    /// # Errors
    /// [`Kind::Truncated`].
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.fixed::<1>()? != [0])
    }

    /// Reads 16 bytes.
    ///
    /// # Errors
    /// [`Kind::Truncated`].
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid)
    }
}

macro_rules! numbers {
    ($($name:ident),*) => { impl Reader<'_> { $(
        /// Reads a big-endian number.
        ///
        /// # Errors
        /// [`Kind::Truncated`].
        #[inline]
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            self.fixed().map($name::from_be_bytes)
        }
    )* } };
}
numbers!(i8, i16, i32, i64, u16, u32, f64);

/// -1 is null, anything below a lie.
fn checked_length(length: i32, at: usize) -> Result<Option<u32>, DecodeError> {
    match length {
        -1 => Ok(None),
        0.. => Ok(Some(length as u32)),
        _ => Err(DecodeError {
            kind: Kind::InvalidLength(length),
            at,
        }),
    }
}

/// The byte range of `slice` within `input`, if it lies there.
#[must_use]
pub fn offset_of(input: &[u8], slice: &[u8]) -> Option<Range<usize>> {
    let start = slice.as_ptr().addr().checked_sub(input.as_ptr().addr())?;
    let end = start.checked_add(slice.len())?;
    (end <= input.len()).then_some(start..end)
}
