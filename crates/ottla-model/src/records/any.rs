//! Any record of the metadata log: the macro that turns the generated table into `MetadataRecord`.

/// From `Name: module::NameRecord<'a> into_owned;`, the last word for records that borrow.
macro_rules! metadata_records {
    ($($name:ident: $module:ident::$type:ident $(<$a:lifetime> $into_owned:ident)?;)*) => {
        /// A record of `__cluster_metadata`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord<'a> {
            $(#[doc = concat!("See [`", stringify!($module), "::", stringify!($type), "`].")]
            $name($module::$type $(<$a>)?),)*
        }

        impl<'a> MetadataRecord<'a> {
            /// The key in the record's frame.
            #[must_use]
            pub fn key(&self) -> i16 {
                match self { $(Self::$name(_) => $module::$type::KEY),* }
            }

            /// The versions of this kind of record that this build reads and writes.
            #[must_use]
            pub fn versions(&self) -> core::ops::RangeInclusive<i16> {
                match self { $(Self::$name(_) => $module::$type::VERSIONS),* }
            }

            /// Reads the body of the record with this key.
            ///
            /// # Errors
            /// As the record's own `decode`; [`DecodeErrorKind::UnknownKey`].
            pub fn decode_body(key: i16, r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
                Ok(match key {
                    $($module::$type::KEY => Self::$name($module::$type::decode(r, version)?),)*
                    _ => return Err(r.error(DecodeErrorKind::UnknownKey(i32::from(key)))),
                })
            }

            /// Writes the body of the record.
            ///
            /// # Errors
            /// As the record's own `encode`.
            pub fn encode_body<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {
                match self { $(Self::$name(body) => body.encode(w, version)),* }
            }

            /// The same record, owning its text.
            #[must_use]
            pub fn into_owned(self) -> MetadataRecord<'static> {
                match self { $(Self::$name(body) => MetadataRecord::$name(body$(.$into_owned())?)),* }
            }
        }
    };
}
pub(super) use metadata_records;
