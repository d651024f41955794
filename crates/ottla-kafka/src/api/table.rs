//! The table of APIs for people.

use std::fmt::Write;

use super::TABLE;

/// An API that is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServedApi {
    /// Its key.
    pub key: i16,
    /// The versions that are answered, the lowest and the highest.
    pub versions: (i16, i16),
    /// How it differs from Kafka's; empty if it does not.
    pub note: &'static str,
}

/// The APIs that are served, by key.
pub fn served_apis() -> impl Iterator<Item = (String, ServedApi)> {
    TABLE.iter().map(|api| {
        let served = ServedApi {
            key: api.key.into(),
            versions: (*api.versions.start(), *api.versions.end()),
            note: api.note,
        };
        (format!("{:?}", api.key), served)
    })
}

/// The APIs that are served as a table of Markdown, for `docs/COMPATIBILITY.md`.
#[must_use]
pub fn api_table_markdown() -> String {
    let mut text = String::from("| key | API | versions | notes |\n|--|--|--|--|\n");
    for (name, api) in served_apis() {
        let (min, max) = api.versions;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {name} | {min}-{max} | {} |",
            api.key, api.note
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Handler, find, is_served};
    use ottla_wire::{AnyRequest, ApiKey};

    #[test]
    fn is_sorted_and_every_row_can_be_decoded() {
        assert!(TABLE.windows(2).all(|pair| pair[0].key < pair[1].key));
        for (place, api) in TABLE.iter().enumerate() {
            assert_eq!(find(api.key).map(|(at, _)| at), Some(place));
            assert!(matches!(api.handler, Handler::Submit(_)) == (api.key == ApiKey::Produce));
            for version in api.versions.clone() {
                assert!(is_served(api.key.into(), version));
                // An empty body is refused for what it lacks, not for its version.
                let refused =
                    AnyRequest::decode(api.key, &mut ottla_wire::Reader::new(&[]), version);
                if let Err(error) = refused {
                    assert!(
                        !matches!(
                            error.kind,
                            ottla_wire::DecodeErrorKind::UnsupportedVersion(_)
                        ),
                        "{:?} {version}: {error}",
                        api.key
                    );
                }
            }
        }
    }

    #[test]
    fn produce_begins_at_0() {
        // KAFKA-18659: librdkafka takes a Produce that does not start at 0 for a broker that cannot
        // compress.
        let (_, produce) = served_apis().next().unwrap();
        assert_eq!(produce.versions, (0, 13));
    }

    #[test]
    fn markdown_has_a_row_per_api() {
        let text = api_table_markdown();
        assert_eq!(text.lines().count(), TABLE.len() + 2);
        assert!(text.contains("| 0 | Produce | 0-13 |"), "{text}");
    }
}
