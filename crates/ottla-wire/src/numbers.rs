//! Arrays of numbers, which requests and responses have by the thousand: one per partition and more.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use ottla_model::primitives::{DecodeError, EncodeError, Reader, Value, Version, Writer};

/// The numbers of an array. Reading leaves them where they lie and takes no memory; what is written can
/// be a slice that many messages share, or a `Vec`.
#[derive(Clone)]
pub struct Numbers<'a, T: Number>(Place<'a, T>);

#[derive(Clone)]
enum Place<'a, T: Number> {
    /// As on the wire, one after the other.
    Wire(&'a [u8]),
    Here(Cow<'a, [T]>),
}

/// A number that has the same size on the wire and in memory.
pub trait Number: for<'x> Value<'x> + Copy + PartialEq + fmt::Debug {}
impl Number for i8 {}
impl Number for i16 {}
impl Number for i32 {}
impl Number for i64 {}

impl<'a, T: Number> Numbers<'a, T> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::Wire(bytes) => bytes.len() / size_of::<T>(),
            Place::Here(numbers) => numbers.len(),
        }
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> {
        let (mut wire, here) = match &self.0 {
            Place::Wire(bytes) => (Reader::new(bytes), &[][..]),
            Place::Here(numbers) => (Reader::new(&[]), &numbers[..]),
        };
        (0..self.len()).map(move |i| match here.get(i) {
            Some(number) => *number,
            None => {
                let mut number = T::default();
                // The length was checked when they were read.
                let read = number.read(&mut wire, Version::INFLEXIBLE);
                debug_assert!(read.is_ok());
                number
            }
        })
    }
}

impl<'a, T: Number> Value<'a> for Numbers<'a, T> {
    const BYTES_MIN: usize = 1;

    fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError> {
        let start = r.clone();
        *self = Self::read_nullable(r, v)?
            .ok_or_else(|| start.error(crate::DecodeErrorKind::UnexpectedNull))?;
        Ok(())
    }

    fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), w, v)
    }

    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        Ok(match r.count(size_of::<T>(), v)? {
            Some(count) => Some(Numbers(Place::Wire(r.take(count * size_of::<T>())?))),
            None => None,
        })
    }

    fn write_nullable<W: Writer>(
        numbers: Option<&Self>,
        w: &mut W,
        v: Version,
    ) -> Result<(), EncodeError> {
        w.nullable_length(numbers.map(Numbers::len), v.is_flexible())?;
        match numbers.map(|numbers| &numbers.0) {
            None => Ok(()),
            Some(Place::Wire(bytes)) => {
                w.raw(bytes);
                Ok(())
            }
            Some(Place::Here(numbers)) => numbers.iter().try_for_each(|n| n.write(w, v)),
        }
    }
}

impl<T: Number> Default for Numbers<'_, T> {
    fn default() -> Self {
        Numbers(Place::Wire(&[]))
    }
}

impl<T: Number> From<Vec<T>> for Numbers<'_, T> {
    fn from(numbers: Vec<T>) -> Self {
        Numbers(Place::Here(Cow::Owned(numbers)))
    }
}

impl<'a, T: Number> From<&'a [T]> for Numbers<'a, T> {
    fn from(numbers: &'a [T]) -> Self {
        Numbers(Place::Here(Cow::Borrowed(numbers)))
    }
}

impl<T: Number> FromIterator<T> for Numbers<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(numbers: I) -> Self {
        Vec::from_iter(numbers).into()
    }
}

/// Numbers equal numbers, wherever they lie.
impl<T: Number> PartialEq for Numbers<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Number> PartialEq<[T]> for Numbers<'_, T> {
    fn eq(&self, other: &[T]) -> bool {
        self.iter().eq(other.iter().copied())
    }
}

impl<T: Number> fmt::Debug for Numbers<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
