//! What is said of every API: the macros that turn the generated tables into [`ApiKey`](crate::ApiKey),
//! [`AnyRequest`](crate::AnyRequest), [`AnyResponse`](crate::AnyResponse) and the pairs of
//! [`Request`](crate::Request).

/// From `KEY Name FIRST_FLEXIBLE_VERSION;`, by ascending keys without a gap.
macro_rules! api_keys {
    ($($key:literal $name:ident $flexible_min:expr;)*) => {
        /// An API of the protocol. Keys 4 to 7 were removed in Kafka 4.0 and stay reserved.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("Key ", $key, ".")] $name = $key,)*
        }

        impl ApiKey {
            /// Every key, ascending.
            pub const ALL: [ApiKey; [$($key),*].len()] = [$(Self::$name),*];

            /// The name that Kafka gives it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// The first flexible version; `None` if no version is.
            #[must_use]
            pub const fn flexible_min(self) -> Option<i16> {
                match self { $(Self::$name => $flexible_min),* }
            }
        }
    };
}
pub(crate) use api_keys;

/// From `Name: module::Request<'a>, module::Response<'r>;`.
macro_rules! messages {
    ($($name:ident: $q:ident::$request:ident $(<$a:lifetime>)?,
        $p:ident::$response:ident $(<$b:lifetime>)?;)*) => {
        impl ApiKey {
            /// The versions that this build reads and writes; `None` if it does not know the messages.
            #[must_use]
            pub const fn schema_versions(self) -> Option<core::ops::RangeInclusive<i16>> {
                match self {
                    $(Self::$name => Some($q::$request::VERSIONS),)*
                    _ => None,
                }
            }
        }

        crate::apis::messages!(@any AnyRequest<'a> "request": $($name $q::$request $(<$a>)?;)*);
        crate::apis::messages!(@any AnyResponse<'r> "response": $($name $p::$response $(<$b>)?;)*);

        $(impl $(<$a>)? Request for $q::$request $(<$a>)? {
            const KEY: ApiKey = ApiKey::$name;
            type Response<'r> = $p::$response $(<$b>)?;

            fn encode_body<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {
                self.encode(w, version)
            }

            fn decode_response<'r>(
                r: &mut Reader<'r>,
                version: i16,
            ) -> Result<Self::Response<'r>, DecodeError> {
                $p::$response::decode(r, version)
            }
        })*
    };
    (@any $any:ident<$l:lifetime> $what:literal: $($name:ident $module:ident::$type:ident $(<$a:lifetime>)?;)*) => {
        #[doc = concat!("The body of any ", $what, ", for code that learns the API at run time.")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum $any<$l> {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $name($module::$type $(<$a>)?),)*
        }

        impl<$l> $any<$l> {
            #[doc = concat!("The API that this ", $what, " belongs to.")]
            #[must_use]
            pub fn key(&self) -> ApiKey {
                match self { $(Self::$name(_) => ApiKey::$name),* }
            }

            #[doc = concat!("Reads a ", $what, ".")]
            ///
            /// # Errors
            /// As its own `decode`; [`DecodeErrorKind::UnknownKey`] if this build does not know the
            /// messages of `key`.
            pub fn decode(key: ApiKey, r: &mut Reader<$l>, version: i16) -> Result<Self, DecodeError> {
                Ok(match key {
                    $(ApiKey::$name => Self::$name($module::$type::decode(r, version)?),)*
                    _ => return Err(r.error(DecodeErrorKind::UnknownKey(i32::from(i16::from(key))))),
                })
            }

            #[doc = concat!("Writes a ", $what, ".")]
            ///
            /// # Errors
            /// As its own `encode`.
            pub fn encode<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {
                match self { $(Self::$name(body) => body.encode(w, version)),* }
            }
        }
    };
}
pub(crate) use messages;
