//! What can be wrong around an honest batch: acks, partition, topic, version, sequence.

use ottla_model::batch::{BatchBuilder, BatchSpec, Codec};
use ottla_model::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_testkit::wire_client::WireClient;

use crate::batches::{
    INVALID_RECORD, Victim, Wanted, compressed, honest, honest_at, judge, now_ms, produce,
};
use crate::probe::Verdicts;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_REQUIRED_ACKS: i16 = 21;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;

/// What is wrong around an honest batch.
pub(crate) fn requests(victim: &Victim<'_>) -> Result<String, String> {
    use Wanted::{Closed, Code};
    let good = honest();
    let bad = {
        let mut bytes = good.clone();
        bytes[17] ^= 1;
        bytes
    };
    let mut verdicts = Verdicts::default();
    let mut case = |what: &str, topic: &str, partition, version, acks, batch: &[u8], wanted| {
        let got = produce(victim.address, topic, partition, version, acks, Some(batch));
        judge(&mut verdicts, what, got, wanted);
    };
    let topic = victim.topic;
    case(
        "acks 2",
        topic,
        0,
        12,
        2,
        &good,
        Code(INVALID_REQUIRED_ACKS),
    );
    case(
        "acks -2",
        topic,
        0,
        12,
        -2,
        &good,
        Code(INVALID_REQUIRED_ACKS),
    );
    case(
        "partition 99",
        topic,
        99,
        12,
        -1,
        &good,
        Code(UNKNOWN_TOPIC_OR_PARTITION),
    );
    case(
        "partition -1",
        topic,
        -1,
        12,
        -1,
        &good,
        Code(UNKNOWN_TOPIC_OR_PARTITION),
    );
    case(
        "no such topic",
        "no-such-topic",
        0,
        12,
        -1,
        &good,
        Code(UNKNOWN_TOPIC_OR_PARTITION),
    );
    case(
        "a path for a topic",
        "../../etc",
        0,
        12,
        -1,
        &good,
        Code(UNKNOWN_TOPIC_OR_PARTITION),
    );
    case(
        "an empty topic",
        "",
        0,
        12,
        -1,
        &good,
        Code(UNKNOWN_TOPIC_OR_PARTITION),
    );
    case("acks 0 and a wrong CRC", topic, 0, 12, 0, &bad, Closed);
    case(
        "acks 0 and no such topic",
        "no-such-topic",
        0,
        12,
        0,
        &good,
        Closed,
    );
    let zstd = compressed(&good, Codec::Zstd);
    case(
        "zstd in version 6",
        topic,
        0,
        6,
        -1,
        &zstd,
        Code(UNSUPPORTED_COMPRESSION_TYPE),
    );
    case("zstd in version 7", topic, 0, 7, -1, &zstd, Code(0));

    let keyless = {
        let mut builder = BatchBuilder::new(BatchSpec::default(), now_ms());
        builder.push(None, Some(b"value"), &[], now_ms());
        builder.build().bytes().to_vec()
    };
    case(
        "no key, compacted",
        victim.compacted,
        0,
        12,
        -1,
        &keyless,
        Code(INVALID_RECORD),
    );
    let sequenced = |id: i64, sequence: i32| {
        let spec = BatchSpec {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
            ..BatchSpec::default()
        };
        honest_at(now_ms(), spec)
    };
    let (code, id, _) = WireClient::connect(victim.address)
        .and_then(|mut client| client.init_producer_id())
        .map_err(|error| error.to_string())?;
    verdicts.holds("a producer id", code == 0, || format!("error {code}"));
    let mut case = |what: &str, batch: &[u8], wanted| {
        let got = produce(victim.address, topic, 0, 12, -1, Some(batch));
        judge(&mut verdicts, what, got, wanted);
    };
    case("sequence 0", &sequenced(id, 0), Code(0));
    case(
        "sequence 7 after 3",
        &sequenced(id, 7),
        Code(OUT_OF_ORDER_SEQUENCE_NUMBER),
    );
    case("sequence 3", &sequenced(id, 3), Code(0));
    case("sequence 3 again", &sequenced(id, 3), Code(0));
    case("sequence -5", &sequenced(id, -5), Code(INVALID_RECORD));
    verdicts.end()
}
