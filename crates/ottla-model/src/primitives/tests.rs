use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::DecodeErrorKind as Kind;
use super::*;
use crate::uuid::Uuid;

fn kind<T: core::fmt::Debug>(result: Result<T, DecodeError>) -> Kind {
    result.expect_err("bytes that must be refused").kind
}

#[test]
fn numbers_are_big_endian() {
    let mut w = Vec::new();
    w.i8(-2);
    w.i16(-3);
    w.i32(0x0102_0304);
    w.i64(-5);
    w.u16(0xfffe);
    w.u32(0xfffffffd);
    w.f64(1.5);
    w.bool(true);
    w.uuid(Uuid::METADATA_TOPIC);
    assert_eq!(w[..7], [0xfe, 0xff, 0xfd, 1, 2, 3, 4]);
    let mut r = Reader::new(&w);
    assert_eq!(r.i8(), Ok(-2));
    assert_eq!(r.i16(), Ok(-3));
    assert_eq!(r.i32(), Ok(0x0102_0304));
    assert_eq!(r.i64(), Ok(-5));
    assert_eq!(r.u16(), Ok(0xfffe));
    assert_eq!(r.u32(), Ok(0xfffffffd));
    assert_eq!(r.f64(), Ok(1.5));
    assert_eq!(r.bool(), Ok(true));
    assert_eq!(r.uuid(), Ok(Uuid::METADATA_TOPIC));
    assert_eq!((r.position(), r.remaining()), (w.len(), 0));
    assert_eq!(
        r.i8(),
        Err(DecodeError {
            kind: Kind::Truncated,
            at: w.len()
        })
    );
    assert_eq!(
        Reader::new(&[7]).bool(),
        Ok(true),
        "Kafka takes any byte but 0 as true"
    );
}

#[test]
fn varints_have_kafkas_bytes_and_limits() {
    let golden: [(i32, &[u8]); 7] = [
        (0, &[0]),
        (-1, &[1]),
        (1, &[2]),
        (63, &[0x7e]),
        (64, &[0x80, 1]),
        (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    for (value, bytes) in golden {
        let mut w = Vec::new();
        w.varint(value);
        assert_eq!(w, bytes, "{value}");
        assert_eq!(Reader::new(bytes).varint(), Ok(value));
        assert_eq!(Reader::new(bytes).varlong(), Ok(i64::from(value)));
    }
    for value in [i64::MIN, i64::MAX, 0, -1, 1 << 40] {
        let mut w = Vec::new();
        w.varlong(value);
        assert_eq!(Reader::new(&w).varlong(), Ok(value));
    }
    let five = [0xff, 0xff, 0xff, 0xff, 0x10];
    assert_eq!(
        kind(Reader::new(&five).unsigned_varint()),
        Kind::VarintTooLong
    );
    assert_eq!(
        kind(Reader::new(&[0x80; 6]).unsigned_varint()),
        Kind::VarintTooLong
    );
    assert_eq!(
        kind(Reader::new(&[0x80; 4]).unsigned_varint()),
        Kind::Truncated
    );
    assert_eq!(
        kind(Reader::new(&[0x80; 11]).unsigned_varlong()),
        Kind::VarintTooLong
    );
    let mut ten = [0xff; 10];
    ten[9] = 2;
    assert_eq!(
        kind(Reader::new(&ten).unsigned_varlong()),
        Kind::VarintTooLong
    );
    ten[9] = 1;
    assert_eq!(Reader::new(&ten).unsigned_varlong(), Ok(u64::MAX));
}

#[test]
fn strings_in_both_forms() {
    let cases: [(bool, Option<&str>, &[u8]); 6] = [
        (false, Some("ab"), &[0, 2, b'a', b'b']),
        (false, Some(""), &[0, 0]),
        (false, None, &[0xff, 0xff]),
        (true, Some("ab"), &[3, b'a', b'b']),
        (true, Some(""), &[1]),
        (true, None, &[0]),
    ];
    for (flexible, value, bytes) in cases {
        let mut w = Vec::new();
        w.nullable_str(value, flexible).unwrap();
        assert_eq!(w, bytes);
        assert_eq!(Reader::new(bytes).nullable_str(flexible), Ok(value));
        let plain = Reader::new(bytes).str(flexible);
        assert_eq!(
            plain.is_ok(),
            value.is_some(),
            "null is refused where none is allowed"
        );
    }
    assert_eq!(
        kind(Reader::new(&[0xff, 0xfe]).nullable_str(false)),
        Kind::InvalidLength(-2)
    );
    assert_eq!(kind(Reader::new(&[2, 0xff]).str(true)), Kind::InvalidUtf8);
    assert_eq!(kind(Reader::new(&[3, b'a']).str(true)), Kind::Truncated);
    let mut long = vec![0x81, 0x80, 2];
    long.resize(40_000, b'a');
    assert_eq!(
        kind(Reader::new(&long).str(true)),
        Kind::StringTooLong(32_768)
    );
    let text: String = core::iter::repeat_n('a', 32_768).collect();
    assert_eq!(
        Vec::new().str(&text, true),
        Err(EncodeError::TooLong(32_768))
    );
}

#[test]
fn bytes_in_both_forms() {
    for flexible in [false, true] {
        for value in [None, Some(&b""[..]), Some(&b"xyz"[..])] {
            let mut w = Vec::new();
            w.nullable_bytes(value, flexible).unwrap();
            assert_eq!(Reader::new(&w).nullable_bytes(flexible), Ok(value));
        }
    }
    assert_eq!(
        kind(Reader::new(&(-2i32).to_be_bytes()).nullable_bytes(false)),
        Kind::InvalidLength(-2)
    );
    assert_eq!(
        kind(Reader::new(&i32::MAX.to_be_bytes()).nullable_bytes(false)),
        Kind::Truncated
    );
    assert_eq!(kind(Reader::new(&[0]).bytes(true)), Kind::UnexpectedNull);
}

#[test]
fn counts_are_checked_before_anything_is_allocated() {
    let lies: [(bool, &[u8], Kind); 6] = [
        (
            false,
            &[0x7f, 0xff, 0xff, 0xff],
            Kind::CountTooLarge(i32::MAX as u32),
        ),
        (false, &[0xff, 0xff, 0xff, 0xfe], Kind::InvalidLength(-2)),
        (false, &[0xff, 0xff, 0xff, 0xff], Kind::UnexpectedNull),
        (false, &[0, 0, 0, 2, 1, 2, 3], Kind::CountTooLarge(2)),
        (
            true,
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            Kind::CountTooLarge(u32::MAX - 1),
        ),
        (true, &[0xff, 0xff, 0xff, 0xff, 0x1f], Kind::VarintTooLong),
    ];
    for (flexible, bytes, expected) in lies {
        assert_eq!(
            kind(Reader::new(bytes).array::<Huge>(version(flexible))),
            expected,
            "{bytes:?}"
        );
    }
    // Three of half a mebibyte do fit into the bytes left, and are more than a short input may spend.
    let mut many = vec![0, 0, 0, 3];
    many.resize(4 + 3 * 2, 0);
    assert_eq!(
        kind(Reader::new(&many).array::<Huge>(version(false))),
        Kind::MemoryLimit(3)
    );
    let two = [0, 0, 0, 2, 1, 2, 3, 4];
    assert_eq!(
        Reader::new(&two).array::<i16>(version(false)),
        Ok(vec![0x102, 0x304])
    );
}

fn version(is_flexible: bool) -> Version {
    Version::new(0, is_flexible.then_some(0))
}

/// Memory by a claimed count of these would be a pebibyte, more than any machine gives.
#[derive(Debug, PartialEq)]
struct Huge([u8; 1 << 19]);

impl Default for Huge {
    fn default() -> Self {
        panic!("no element is made")
    }
}

impl Value<'_> for Huge {
    const BYTES_MIN: usize = 2;

    fn read(&mut self, _: &mut Reader<'_>, _: Version) -> Result<(), DecodeError> {
        panic!("no element is read")
    }

    fn write<W: Writer>(&self, _: &mut W, _: Version) -> Result<(), EncodeError> {
        panic!("no element is written")
    }
}

#[test]
fn elements_that_are_nearly_empty_cannot_take_four_times_their_bytes_and_a_mebibyte() {
    // Empty strings: 1 byte on the wire, 16 in memory.
    let read = |count: u32| {
        let mut bytes = Vec::new();
        bytes.unsigned_varint(count + 1);
        bytes.resize(bytes.len() + count as usize, 1);
        let limit = 4 * bytes.len() + (1 << 20);
        let read = Reader::new(&bytes).array::<&str>(version(true));
        read.map(|strings| assert!(16 * strings.len() <= limit))
            .map_err(|e| e.kind)
    };
    assert_eq!(read(80_000), Ok(()));
    assert_eq!(read(100_000), Err(Kind::MemoryLimit(100_000)));
}

#[test]
fn nested_arrays_share_one_memory_limit() {
    let read = |limit: usize| {
        let mut bytes = vec![0, 0, 0, 2];
        for _ in 0..2 {
            bytes.extend([0, 0, 0, 1, 9]);
        }
        let mut r = Reader::with_memory_limit(&bytes, limit);
        r.array::<Vec<i8>>(version(false)).map_err(|e| e.kind)
    };
    let outer = 2 * size_of::<Vec<i8>>();
    assert_eq!(read(outer + 2), Ok(vec![vec![9], vec![9]]));
    assert_eq!(read(outer + 1), Err(Kind::MemoryLimit(1)));
    assert_eq!(read(outer - 1), Err(Kind::MemoryLimit(2)));
}

#[test]
fn tagged_fields_in_order_with_honest_sizes() {
    let read = |bytes: &[u8]| {
        let mut seen = Vec::new();
        let mut r = Reader::new(bytes);
        let result = r.tagged_fields(version(true), |tag, r| {
            if tag == 1 {
                seen.push((tag, r.i16()?, r.position()));
            }
            Ok(tag == 1)
        });
        result.map(|()| (seen, r.position())).map_err(|e| e.kind)
    };
    assert_eq!(read(&[0]), Ok((vec![], 1)));
    // Tags 0 and 7 are unknown and skipped.
    assert_eq!(
        read(&[3, 0, 1, 9, 1, 2, 0, 5, 7, 0]),
        Ok((vec![(1, 5, 8)], 10))
    );
    assert_eq!(read(&[2, 1, 2, 0, 5, 1, 2, 0, 5]), Err(Kind::TagOrder(1)));
    assert_eq!(read(&[2, 3, 0, 1, 2, 0, 5]), Err(Kind::TagOrder(1)));
    assert_eq!(read(&[1, 1, 3, 0, 5, 0]), Err(Kind::TaggedSize(1)));
    assert_eq!(
        read(&[1, 1, 1, 0, 5]),
        Err(Kind::Truncated),
        "the value does not reach beyond its size"
    );
    assert_eq!(read(&[1, 1, 9, 0, 5]), Err(Kind::Truncated));
    assert_eq!(read(&[9, 0, 0]), Err(Kind::CountTooLarge(9)));
    assert_eq!(
        read(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
        Err(Kind::CountTooLarge(u32::MAX))
    );
}

#[test]
fn inflexible_versions_have_no_tagged_fields() {
    let mut r = Reader::new(&[1, 2]);
    let never = |_, _: &mut Reader<'_>| -> Result<bool, DecodeError> { panic!("there is none") };
    assert_eq!(r.tagged_fields(version(false), never), Ok(()));
    assert_eq!(r.position(), 0);
}

#[test]
fn the_count_and_the_sizes_of_tagged_fields_go_before_them() {
    for size in [0usize, 1, 126, 127, 128, 20_000] {
        let value: &[u8] = &vec![b'x'; size];
        let mut vec = vec![7u8];
        let mut buffer = bytes::BytesMut::from(&vec[..]);
        write_tags(&mut vec, value);
        write_tags(&mut buffer, value);
        assert_eq!(vec, buffer);
        let mut r = Reader::new(&vec);
        assert_eq!(r.i8(), Ok(7));
        for expected in [&[3, 4, 5][..], &[3, 5]] {
            let mut seen = Vec::new();
            r.tagged_fields(version(true), |tag, r| {
                seen.push(tag);
                assert_eq!(r.bytes(true), Ok(value));
                Ok(true)
            })
            .unwrap();
            assert_eq!(seen, expected);
        }
        assert_eq!(r.remaining(), 0);
    }
    let mut none = vec![7u8];
    Tags::new(&mut none, version(true)).finish();
    Tags::none(&mut none, version(true));
    assert_eq!(none, [7, 0, 0]);
    let mut tags = Tags::new(&mut none, version(false));
    tags.field(1, true, &5i32, version(false)).unwrap();
    tags.finish();
    Tags::none(&mut none, version(false));
    assert_eq!(none, [7, 0, 0], "inflexible versions have none");
}

/// Twice three tagged fields; the second time one of them is left out.
fn write_tags<W: Writer>(w: &mut W, value: &[u8]) {
    for is_written in [true, false] {
        let mut tags = Tags::new(w, version(true));
        for (tag, is_written) in [(3, true), (4, is_written), (5, true)] {
            tags.field(tag, is_written, &value, version(true)).unwrap();
        }
        tags.finish();
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct One(i32);

impl Value<'_> for One {
    const BYTES_MIN: usize = 4;

    fn read(&mut self, r: &mut Reader<'_>, v: Version) -> Result<(), DecodeError> {
        self.0.read(r, v)
    }

    fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {
        self.0.write(w, v)
    }
}

#[test]
fn a_byte_says_that_a_struct_is_null_and_a_varint_if_it_is_tagged() {
    let cases: [(Version, Option<One>, &[u8]); 4] = [
        (version(true), None, &[0xff]),
        (version(true), Some(One(5)), &[1, 0, 0, 0, 5]),
        (version(true).tagged(), None, &[0]),
        (version(true).tagged(), Some(One(5)), &[1, 0, 0, 0, 5]),
    ];
    for (v, value, bytes) in cases {
        let mut w = Vec::new();
        value.write(&mut w, v).unwrap();
        assert_eq!(w, bytes);
        let mut read = Some(One(7));
        read.read(&mut Reader::new(bytes), v).unwrap();
        assert_eq!(read, value);
    }
}

#[test]
fn null_is_read_and_written_only_where_a_version_has_it() {
    let v = version(true);
    let null = None::<&str>;
    let mut w = Vec::new();
    assert_eq!(
        write_optional(&null, false, &mut w, v, "S.name"),
        Err(EncodeError::UnexpectedNull("S.name"))
    );
    write_optional(&null, true, &mut w, v, "S.name").unwrap();
    write_optional(&Some("a"), false, &mut w, v, "S.name").unwrap();
    assert_eq!(w, [0, 2, b'a']);
    let mut read = Some("default");
    assert_eq!(
        kind(read_optional(&mut read, false, &mut Reader::new(&w), v)),
        Kind::UnexpectedNull
    );
    let mut r = Reader::new(&w);
    read_optional(&mut read, true, &mut r, v).unwrap();
    assert_eq!(read, None);
    read_optional(&mut read, false, &mut r, v).unwrap();
    assert_eq!(read, Some("a"));
}

#[test]
fn slices_are_found_again_in_the_input() {
    let input = *b"\x04abcdef";
    let mut r = Reader::new(&input);
    let slice = r.bytes(true).unwrap();
    assert_eq!(r.offset_of(slice), Some(1..4));
    assert_eq!(&input[r.offset_of(slice).unwrap()], b"abc");
    assert_eq!(
        r.finish(),
        Err(DecodeError {
            kind: Kind::TrailingBytes,
            at: 4
        })
    );
    assert_eq!(r.offset_of(&[1, 2]), None);
    assert_eq!(offset_of(&input[..3], slice), None);
}
