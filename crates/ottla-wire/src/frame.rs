//! Whole frames: length, header, body.
//!
//! ```text
//! [length i32][request header  v1 or v2][body]
//! [length i32][response header v0 or v1][body]
//! ```

use ottla_model::primitives::{DecodeError, EncodeError, Reader};

use crate::encoder::{Encoder, Frame};
use crate::headers::{RequestHeader, ResponseHeader};
use crate::{ApiKey, Request};

/// Room for the head of most frames, so that it is allocated once.
const HEAD_BYTES: usize = 512;

/// Reads the header of a request and answers the API and a reader that stands at the body. `frame` is
/// what follows the 4-byte length. The version is not checked here: ApiVersions answers even versions
/// that nobody knows.
///
/// # Errors
/// [`UnknownKey`](crate::DecodeErrorKind::UnknownKey) if no API has this key, and what the reader refuses.
pub fn decode_request_header(
    frame: &[u8],
) -> Result<(ApiKey, RequestHeader<'_>, Reader<'_>), DecodeError> {
    let mut r = Reader::new(frame);
    let mut peek = r.clone();
    let (key, version) = (peek.i16()?, peek.i16()?);
    let key = ApiKey::try_from(key).map_err(|kind| r.error(kind))?;
    let header = RequestHeader::decode(&mut r, key.header_versions(version).request)?;
    Ok((key, header, r))
}

/// A request as a frame.
///
/// # Errors
/// As the request's `encode`, and [`EncodeError::TooLong`].
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Frame, EncodeError> {
    let mut w = Encoder::with_capacity(HEAD_BYTES);
    let header = RequestHeader {
        request_api_key: R::KEY.into(),
        request_api_version: version,
        correlation_id,
        client_id,
    };
    header.encode(&mut w, R::KEY.header_versions(version).request)?;
    request.encode_body(&mut w, version)?;
    w.finish()
}

/// Reads a response: its correlation id and its body. `frame` is what follows the 4-byte length.
///
/// # Errors
/// As the response's `decode`, and [`TrailingBytes`](crate::DecodeErrorKind::TrailingBytes).
pub fn decode_response<R: Request>(
    frame: &[u8],
    version: i16,
) -> Result<(i32, R::Response<'_>), DecodeError> {
    let mut r = Reader::new(frame);
    let header = ResponseHeader::decode(&mut r, R::KEY.header_versions(version).response)?;
    let body = R::decode_response(&mut r, version)?;
    r.finish()?;
    Ok((header.correlation_id, body))
}

/// A response as a frame. `body` writes the body, usually with the response's `encode`.
///
/// # Errors
/// Those of `body`, and [`EncodeError::TooLong`].
pub fn encode_response(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    body: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
) -> Result<Frame, EncodeError> {
    let mut w = Encoder::with_capacity(HEAD_BYTES);
    let header = ResponseHeader { correlation_id };
    header.encode(&mut w, key.header_versions(version).response)?;
    body(&mut w)?;
    w.finish()
}
