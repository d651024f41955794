//! Which real clients there are. A folder `tests/clients/NAME` and a line here make one: `tests/clients/README.md`.

/// How a program is made ready, and how it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::test) enum Kind {
    /// `requirements.txt` with hashes, and `main.py`.
    Python,
    /// `go.mod`, `go.sum`, and a main package.
    Go,
    /// `package.json`, `package-lock.json`, and `main.js`.
    Node,
    /// A package of its own with its `Cargo.lock`.
    Rust,
    /// `pom.xml`: `tests/clients/java-common` against its jars.
    Java,
    /// Debian's kcat, driven by [`super::super::kcat`].
    Kcat,
}

/// Those that take longest come first.
pub(in crate::test) const CLIENTS: &[(&str, Kind)] = &[
    ("kcat", Kind::Kcat),
    ("java-4.3", Kind::Java),
    ("java-3.9", Kind::Java),
    ("kafka-python", Kind::Python),
    ("v0-kafka-python", Kind::Python),
    ("v1-kafka-python", Kind::Python),
    ("aiokafka", Kind::Python),
    ("confluent-kafka", Kind::Python),
    ("kafkajs", Kind::Node),
    ("rdkafka", Kind::Rust),
    ("rskafka", Kind::Rust),
    ("krafka", Kind::Rust),
    ("franz-go", Kind::Go),
];
