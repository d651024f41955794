//! Kafka's broker configs: `--set NAME=VALUE`, and the table `[broker]` of the file.

use std::fmt;
use std::str::FromStr;

use ottla_model::configs::{BROKER_CONFIGS, BrokerSettings, ConfigProblem};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::own_keys::OWN_KEYS;
use super::slips::closest;

/// More differences than this are no slip of the pen.
const SLIPS_MAX: usize = 3;

/// A broker config and its value, both valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The table `[broker]`. Dots in an unquoted key make tables within tables in TOML; here they are
/// put together again, so `num.partitions = 3` means what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BrokerTable(pub(crate) Vec<Assignment>);

impl Assignment {
    fn check(name: &str, value: &str) -> Result<Assignment, String> {
        if let Some((_, key)) = OWN_KEYS.iter().find(|(own, _)| *own == name) {
            return Err(format!("{name} has a key of its own here: {key}"));
        }
        match BrokerSettings::default().set(name, value) {
            Ok(()) => Ok(Assignment {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            Err(error) if error.problem == ConfigProblem::Unknown => {
                let known = BROKER_CONFIGS.iter().map(|def| def.name);
                Err(match closest(name, known, SLIPS_MAX) {
                    Some(other) => format!("there is no broker config {name:?}; is it {other}?"),
                    None => format!("there is no broker config {name:?}"),
                })
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Assignment, String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err("there is no = between name and value".into());
        };
        Assignment::check(name.trim(), value)
    }
}

impl<'de> Deserialize<'de> for BrokerTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BrokerTable, D::Error> {
        let mut all = Vec::new();
        Below {
            name: String::new(),
            all: &mut all,
        }
        .deserialize(deserializer)?;
        Ok(BrokerTable(all))
    }
}

/// What lies below a name. Errors are made while the value is read, so that they get its place.
struct Below<'a> {
    name: String,
    all: &'a mut Vec<Assignment>,
}

impl Below<'_> {
    fn set<E: Error>(self, value: &str) -> Result<(), E> {
        if self.name.is_empty() {
            return Err(E::custom("broker is a table of Kafka broker configs"));
        }
        self.all
            .push(Assignment::check(&self.name, value).map_err(E::custom)?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Below<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of Kafka broker configs, or the value of one")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.set(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.set(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.set(&value.to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.set(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element::<String>()? {
            list.push(element);
        }
        self.set(&list.join(","))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let name = if self.name.is_empty() {
                key
            } else {
                format!("{}.{key}", self.name)
            };
            map.next_value_seed(Below {
                name,
                all: &mut *self.all,
            })?;
        }
        Ok(())
    }
}
