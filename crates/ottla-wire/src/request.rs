//! What all requests share, and which headers a message has.

use ottla_model::primitives::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};

use crate::ApiKey;

/// A request that knows its API and the type of its response: what a client needs.
pub trait Request {
    /// The API.
    const KEY: ApiKey;
    /// The response, borrowing from its frame.
    type Response<'r>;

    /// Writes the body.
    ///
    /// # Errors
    /// As the request's own `encode`.
    fn encode_body<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError>;

    /// Reads the body of the response.
    ///
    /// # Errors
    /// As the response's own `decode`.
    fn decode_response<'r>(
        r: &mut Reader<'r>,
        version: i16,
    ) -> Result<Self::Response<'r>, DecodeError>;
}

/// The versions of the headers around a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderVersions {
    /// Of [`RequestHeader`](crate::headers::RequestHeader).
    pub request: i16,
    /// Of [`ResponseHeader`](crate::headers::ResponseHeader).
    pub response: i16,
}

impl ApiKey {
    /// True if this version of the API's messages is flexible (KIP-482).
    #[must_use]
    pub fn is_flexible(self, version: i16) -> bool {
        self.flexible_min().is_some_and(|min| version >= min)
    }

    /// The headers that go with this version of the API's messages.
    ///
    /// A response of ApiVersions always has the old header: who asks does not know yet what the other
    /// side speaks (KIP-511).
    #[must_use]
    pub fn header_versions(self, version: i16) -> HeaderVersions {
        match (self.is_flexible(version), self) {
            (true, ApiKey::ApiVersions) => HeaderVersions {
                request: 2,
                response: 0,
            },
            (true, _) => HeaderVersions {
                request: 2,
                response: 1,
            },
            (false, _) => HeaderVersions {
                request: 1,
                response: 0,
            },
        }
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> i16 {
        key as i16
    }
}

impl From<ApiKey> for u16 {
    fn from(key: ApiKey) -> u16 {
        key as u16
    }
}

/// Refuses numbers that name no API, with [`DecodeErrorKind::UnknownKey`].
impl TryFrom<i16> for ApiKey {
    type Error = DecodeErrorKind;

    fn try_from(key: i16) -> Result<ApiKey, DecodeErrorKind> {
        let known = usize::try_from(key)
            .ok()
            .and_then(|index| ApiKey::ALL.get(index));
        known
            .copied()
            .ok_or(DecodeErrorKind::UnknownKey(i32::from(key)))
    }
}
