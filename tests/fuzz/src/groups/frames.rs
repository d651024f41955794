//! What a connection makes of bytes that arrive: frames, and their headers.

use std::sync::Arc;

use bytes::BytesMut;
use ottla_kafka::{GatewayOptions, split_frames};
use ottla_schema::Schema;
use ottla_schema::random::Random;
use ottla_wire::frame::decode_request_header;

use super::messages::{Messages, header};
use super::{INPUTS, REFUSED, seen};
use crate::meter::{bounded, metered};
use crate::mutate::change;
use crate::{Group, Maker, Seen};

/// Input: whether a request was understood before (the lowest bit), then what arrives.
pub(super) struct Frames {
    requests: Messages,
    options: GatewayOptions,
}

impl Frames {
    pub(super) fn new(schema: &Arc<Schema>) -> Frames {
        Frames {
            requests: Messages::requests(schema),
            options: GatewayOptions::default(),
        }
    }
}

impl Group for Frames {
    fn name(&self) -> &'static str {
        "frame"
    }

    fn variants(&self) -> Vec<String> {
        vec!["frames".into()]
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS
    }

    fn maker(&self, _: usize) -> Box<dyn Maker + '_> {
        Box::new(FramesMaker(&self.requests))
    }

    /// Some good frame reaches the decode of its header; all of them are understood.
    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let Some((flags, bytes)) = input.split_first() else {
            return Ok(REFUSED);
        };
        let arrived = BytesMut::from(bytes);
        let ((frames, headers, closed), peak) = metered(|| {
            let (frames, closed) = split_frames(arrived, flags & 1 == 1, &self.options);
            let read = frames
                .iter()
                .filter(|frame| match decode_request_header(frame) {
                    // Where the body begins, as the gateway looks at it.
                    Ok((_, _, body)) => body.position() <= frame.len(),
                    Err(_) => false,
                });
            let headers = read.count();
            (frames, headers, closed)
        });
        let above = bounded(peak, input)?;
        let taken: usize = frames.iter().map(|frame| frame.len() + 4).sum();
        if taken > bytes.len() || frames.iter().any(|frame| frame.is_empty()) {
            return Err(format!("{taken} bytes in frames of {}", bytes.len()));
        }
        if headers == 0 {
            return Ok(REFUSED);
        }
        Ok(seen(headers == frames.len() && closed.is_none(), above))
    }
}

struct FramesMaker<'a>(&'a Messages);

impl Maker for FramesMaker<'_> {
    fn make(&mut self, dice: &mut Random) -> Vec<u8> {
        let mut input = vec![dice.bits() as u8];
        for _ in 0..1 + dice.below(3) {
            let variant = dice.pick(&self.0.variants);
            let (_, s) = variant.find(&self.0.schema.wire);
            let key = match s.role {
                ottla_schema::model::Role::Request(key) => key,
                _ => 0,
            };
            let mut frame = header(key, variant.version, dice);
            frame.extend((0..dice.below(12)).map(|_| dice.bits() as u8));
            for _ in 0..dice.below(3) {
                change(&mut frame, &[], dice);
            }
            let length = match dice.below(20) {
                0 => *dice.pick(&[
                    -1,
                    0,
                    1,
                    7,
                    1 << 16,
                    1 << 22,
                    (1 << 22) + 1,
                    100 << 20,
                    i32::MAX,
                    i32::MIN,
                ]),
                1 => frame.len() as i32 + dice.below(20) as i32 - 10,
                _ => frame.len() as i32,
            };
            input.extend_from_slice(&length.to_be_bytes());
            input.extend_from_slice(&frame);
        }
        input
    }
}
