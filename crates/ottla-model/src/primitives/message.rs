//! The face of a message or record that is read and written by itself. What generated files say in one
//! line stands here once.

/// Gives a type its versions, `decode` and `encode`.
///
/// ```text
/// message!(FetchRequest<'_>, 0..=18, Some(12));      type, versions, the first that is flexible
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! message {
    ($name:ident $(<$a:lifetime>)?, $versions:expr, $flexible_min:expr) => {
        impl $name $(<$a>)? {
            /// The versions that this build reads and writes.
            pub const VERSIONS: core::ops::RangeInclusive<i16> = $versions;

            /// Reads this version.
            ///
            /// # Errors
            /// What the reader refuses, and versions that do not exist.
            pub fn decode<'r>(
                r: &mut $crate::primitives::Reader<'r>,
                version: i16,
            ) -> Result<Self, $crate::primitives::DecodeError>
            where
                Self: $crate::primitives::Value<'r>,
            {
                use $crate::primitives::{DecodeErrorKind, Value, Version};
                if !Self::VERSIONS.contains(&version) {
                    return Err(r.error(DecodeErrorKind::UnsupportedVersion(version)));
                }
                let mut message = Self::default();
                Value::read(&mut message, r, Version::new(version, $flexible_min))?;
                Ok(message)
            }

            /// Writes this version.
            ///
            /// # Errors
            /// Null, or a length, that this version cannot express, and versions that do not exist.
            pub fn encode<W: $crate::primitives::Writer>(
                &self,
                w: &mut W,
                version: i16,
            ) -> Result<(), $crate::primitives::EncodeError> {
                use $crate::primitives::{EncodeError, Value, Version};
                if !Self::VERSIONS.contains(&version) {
                    return Err(EncodeError::UnsupportedVersion(stringify!($name), version));
                }
                Value::write(self, w, Version::new(version, $flexible_min))
            }
        }
    };
}

/// Gives a stored value `decode_versioned`; and `encode_versioned`, if its version stands `before` it and
/// not `inside`, in its first field.
macro_rules! versioned {
    ($name:ident $(<$a:lifetime>)?, before) => {
        versioned!(@decode $name $(<$a>)?, |r| r.i16(), "an int16 before it");

        impl $name $(<$a>)? {
            /// Writes the value after its version.
            ///
            /// # Errors
            /// As `encode`.
            pub fn encode_versioned<W: Writer>(
                &self,
                w: &mut W,
                version: i16,
            ) -> Result<(), EncodeError> {
                w.i16(version);
                self.encode(w, version)
            }
        }
    };
    ($name:ident $(<$a:lifetime>)?, inside) => {
        versioned!(@decode $name $(<$a>)?, |r| r.clone().i16(), "its first field");
    };
    (@decode $name:ident $(<$a:lifetime>)?, $version:expr, $place:literal) => {
        impl $name $(<$a>)? {
            #[doc = concat!("Reads the value with its version, which is ", $place, ", and answers both.")]
            ///
            /// # Errors
            /// As `decode`.
            pub fn decode_versioned<'r>(r: &mut Reader<'r>) -> Result<(Self, i16), DecodeError>
            where
                Self: Value<'r>,
            {
                let version: fn(&mut Reader<'r>) -> Result<i16, DecodeError> = $version;
                let version = version(r)?;
                Ok((Self::decode(r, version)?, version))
            }
        }
    };
}
pub(crate) use versioned;
