//! Broker configs that have a key of their own here, so that there is one place for each thing.

/// The broker config, and the key that sets it.
pub(crate) const OWN_KEYS: &[(&str, &str)] = &[
    ("advertised.listeners", "advertise"),
    ("listeners", "listen"),
    ("log.dir", "data"),
    ("log.dirs", "data"),
    ("node.id", "node-id"),
];
