use super::*;

const FILE: &str = "/data/t-0/00000000000000000005.log";
const BATCH: &str = "baseOffset: 5 lastOffset: 6 count: 2 baseSequence: 0 lastSequence: 1 producerId: 7 \
    producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false \
    deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000010 size: 90 magic: 2 \
    compresscodec: zstd crc: 1994064048 isvalid: true";

fn check(view: View, file: &str, lines: &[&str], complaints: &[&str]) -> Dump {
    let file = Path::new(file);
    let mut dump = Dump::default();
    for line in lines {
        dump.line(file, view, line);
    }
    dump.close(
        view,
        excused(
            file,
            View::Log,
            complaints.iter().map(|line| (*line).to_owned()).collect(),
        ),
    );
    dump
}

fn log(lines: &[&str], complaints: &[&str]) -> Dump {
    let dumping = format!("Dumping {FILE}");
    let opening = [dumping.as_str(), "Log starting offset: 5"];
    check(View::Log, FILE, &[&opening, lines].concat(), complaints)
}

#[test]
fn a_sound_log_has_its_batches_and_no_problem() {
    let dump = log(
        &[
            BATCH,
            "| offset: 5 CreateTime: 1700000000000 keySize: 1 valueSize: 1 sequence: 0 headerKeys: []",
            "| offset: 6 CreateTime: 1700000000010 keySize: 1 valueSize: -1 sequence: 1 headerKeys: [a]",
        ],
        &[
            &format!("Non-consecutive offsets in {FILE}"),
            "  -1 is followed by 5",
        ],
    );
    assert_eq!(dump.problems, Vec::<String>::new());
    assert_eq!(dump.records, 2);
    let expected = Batch {
        position: 0,
        size: 90,
        base_offset: 5,
        last_offset: 6,
        count: 2,
        producer_id: 7,
        max_timestamp: 1_700_000_000_010,
        codec: "zstd".into(),
    };
    assert_eq!(dump.batches, [expected]);
}

#[test]
fn every_sign_of_damage_is_a_problem() {
    let problems = |lines: &[&str], complaints: &[&str]| log(lines, complaints).problems.len();
    assert_eq!(problems(&[BATCH], &[]), 0);
    assert_eq!(
        problems(&[&BATCH.replace("isvalid: true", "isvalid: false")], &[]),
        1
    );
    assert_eq!(problems(&[&BATCH.replace("magic: 2", "magic: 1")], &[]), 1);
    assert_eq!(problems(&[BATCH, "| offset: 7 CreateTime: 1"], &[]), 1);
    assert_eq!(
        problems(
            &[
                BATCH,
                "Found 3 invalid bytes at the end of 00000000000000000005.log"
            ],
            &[]
        ),
        1
    );
    assert_eq!(problems(&[BATCH, "something new"], &[]), 1);
    assert_eq!(
        problems(
            &[BATCH],
            &["the tool failed: java.lang.IllegalStateException"]
        ),
        1
    );
    let header = format!("Non-consecutive offsets in {FILE}");
    assert_eq!(problems(&[BATCH], &[&header, "  -1 is followed by 4"]), 1);
    assert_eq!(
        problems(
            &[BATCH],
            &[&header, "  -1 is followed by 5", "  6 is followed by 9"]
        ),
        1
    );
    assert_eq!(
        problems(
            &[BATCH],
            &[&header, "  -1 is followed by 5", "Mismatches in :x"]
        ),
        1
    );
    assert_eq!(
        check(View::Log, FILE, &[], &[]).problems,
        ["was not dumped"]
    );
}

#[test]
fn indexes_are_read_and_sanity_must_be_affirmed() {
    let file = "/data/t-0/00000000000000000000.index";
    let dumping = format!("Dumping {file}");
    let dump = check(
        View::Index,
        file,
        &[&dumping, "offset: 9 position: 4200"],
        &[],
    );
    assert_eq!((dump.entries, dump.problems), (vec![(9, 4200)], vec![]));
    let dump = check(
        View::TimeIndex,
        file,
        &[&dumping, "timestamp: 17 offset: 9"],
        &[],
    );
    assert_eq!((dump.entries, dump.problems), (vec![(17, 9)], vec![]));
    let sanity = |line: &str| {
        check(View::IndexSanity, file, &[&dumping, line], &[])
            .problems
            .len()
    };
    assert_eq!(sanity(&format!("{file} passed sanity check.")), 0);
    assert_eq!(sanity(&format!("{file} is empty.")), 0);
    assert_eq!(sanity("passed sanity check."), 2);
    assert_eq!(
        check(View::IndexSanity, file, &[&dumping], &[]).problems,
        ["did not pass the sanity check"]
    );
}

#[test]
fn metadata_records_must_decode() {
    let file = "/data/__cluster_metadata-0/00000000000000000000.log";
    let batch = BATCH.replace("baseOffset: 5", "baseOffset: 0");
    let opening = [
        format!("Dumping {file}"),
        "Log starting offset: 0".to_owned(),
        batch,
    ];
    let with = |record: &str| {
        let lines: Vec<&str> = opening.iter().map(String::as_str).chain([record]).collect();
        check(View::Metadata, file, &lines, &[])
    };
    let dump = with(
        r#"| offset: 1 CreateTime: 1 keySize: -1 payload: {"type":"NO_OP_RECORD","version":0,"data":{}}"#,
    );
    assert_eq!(dump.problems, Vec::<String>::new());
    assert_eq!(dump.payloads[0]["type"], "NO_OP_RECORD");
    assert_eq!(
        with("| offset: 1 CreateTime: 1 keySize: -1 payload: Error at 1, skipping. no such type")
            .problems
            .len(),
        1
    );
}
