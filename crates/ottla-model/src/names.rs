//! Names that may reach a path: validated once, here, and carried as types afterwards.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use crate::ids::PartitionIndex;
use crate::uuid::Uuid;

/// Longest legal topic name in bytes (Kafka: `Topic.MAX_NAME_LENGTH`).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// A topic name that passed Kafka's rules (`Topic.validate`), so it holds nothing that a path could
/// trip over: letters, digits, `.`, `_` and `-` only, and neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a topic name was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicNameError {
    /// The empty string.
    Empty,
    /// `.` or `..`.
    Dots,
    /// More than [`TOPIC_NAME_BYTES_MAX`] bytes.
    TooLong,
    /// A character other than ASCII letters, digits, `.`, `_` and `-`.
    IllegalCharacter,
}

impl TopicName {
    /// Checks a name against Kafka's rules.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(name: &str) -> Result<TopicName, TopicNameError> {
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name == "." || name == ".." {
            return Err(TopicNameError::Dots);
        }
        if name.len() > TOPIC_NAME_BYTES_MAX {
            return Err(TopicNameError::TooLong);
        }
        if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        {
            return Err(TopicNameError::IllegalCharacter);
        }
        Ok(TopicName(Arc::from(name)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as text that costs nothing to pass on.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The name with `.` as `_`: two topics that agree in it collide in metric names, which Kafka
    /// refuses (`Topic.unifyCollisionChars`).
    #[must_use]
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }

    /// True if the name has a character that takes part in collisions.
    #[must_use]
    pub fn may_collide(&self) -> bool {
        self.0.contains(['.', '_'])
    }
}

impl Deref for TopicName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl core::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::Dots => "the name is '.' or '..'",
            Self::TooLong => "the name is longer than 249 characters",
            Self::IllegalCharacter => {
                "the name has a character other than ASCII alphanumerics, '.', '_' and '-'"
            }
        })
    }
}

/// One partition of one incarnation of a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id: a topic created again under the same name has another.
    pub topic_id: Uuid,
    /// Which partition.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// Name of the partition's directory: `<topic>-<partition>`.
    #[must_use]
    pub fn directory(&self) -> String {
        alloc::format!("{}-{}", self.topic, self.partition)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_a_path_could_trip_over() {
        use TopicNameError::{Dots, Empty, IllegalCharacter, TooLong};
        let long = "a".repeat(250);
        for (name, error) in [
            ("", Empty),
            (".", Dots),
            ("..", Dots),
            ("../x", IllegalCharacter),
            ("a/b", IllegalCharacter),
            ("a\0b", IllegalCharacter),
            ("ä", IllegalCharacter),
            (&long, TooLong),
        ] {
            assert_eq!(
                TopicName::parse(name).map(|n| n.len()),
                Err(error),
                "{name:?}"
            );
        }
        for name in ["a", "a.b_c-D9", "...", &long[..249]] {
            assert_eq!(TopicName::parse(name).as_deref(), Ok(name));
        }
    }
}
