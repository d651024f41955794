//! The frame of a metadata record: the value of a record in `__cluster_metadata` and in its snapshots
//! (`server-common/.../serialization/AbstractApiMessageSerde.java`).
//!
//! ```text
//! [frame version 1][key][version][body]      the first three are unsigned varints
//! ```

use super::MetadataRecord;
use crate::primitives::{DecodeError, DecodeErrorKind as Kind, EncodeError, Reader, Writer};

/// The only frame version there is; 0 was a preview in Kafka 2.8.
const FRAME_VERSION: u32 = 1;

impl<'a> MetadataRecord<'a> {
    /// Writes the record with its frame, in this version of the record.
    ///
    /// # Errors
    /// As the record's own `encode`.
    pub fn encode_framed<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {
        w.unsigned_varint(FRAME_VERSION);
        w.unsigned_varint(self.key() as u32);
        w.unsigned_varint(version as u32);
        self.encode_body(w, version)
    }

    /// Reads a record with its frame, which must be all of `value`, and answers its version too.
    ///
    /// # Errors
    /// [`Kind::UnknownFrameVersion`], [`Kind::UnknownKey`] and [`Kind::UnsupportedVersion`], each with what
    /// was found: a record that is not understood must stop the reader, never be skipped.
    /// [`Kind::TrailingBytes`], and what the reader refuses.
    pub fn decode_framed(value: &'a [u8]) -> Result<(Self, i16), DecodeError> {
        let mut r = Reader::new(value);
        let frame_version = r.unsigned_varint()?;
        if frame_version != FRAME_VERSION {
            return Err(DecodeError {
                kind: Kind::UnknownFrameVersion(frame_version),
                at: 0,
            });
        }
        let at = r.position();
        let key = r.unsigned_varint()?;
        let key = i16::try_from(key).map_err(|_| DecodeError {
            kind: Kind::UnknownKey(key as i32),
            at,
        })?;
        let at = r.position();
        // Beyond i16 no record has a version; the largest says as much as the true one.
        let version = i16::try_from(r.unsigned_varint()?).map_err(|_| DecodeError {
            kind: Kind::UnsupportedVersion(i16::MAX),
            at,
        })?;
        let record = Self::decode_body(key, &mut r, version)?;
        r.finish()?;
        Ok((record, version))
    }
}
