//! Names in groups: text of clients that is only ever compared, so any text will do.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;

/// Longest text that a record of a group can hold: its length is an int16. Names of members grow by
/// 37 bytes when they are made, so what clients send must be shorter.
pub(super) const TEXT_BYTES_MAX: usize = i16::MAX as usize - 64;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(Arc::from(text))
            }
        }
        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// `group.id`. The empty one may only hold offsets.
    GroupId
);
name!(
    /// Identity of a member within its group, made by the broker (or by the client, KIP-848). Empty in
    /// a request of a member that has none yet.
    MemberId
);
name!(
    /// `group.instance.id`: makes a member static (KIP-345).
    InstanceId
);

/// A connection of a client, for as long as the broker runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);
