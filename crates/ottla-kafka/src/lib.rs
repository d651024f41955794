//! The Kafka gateway: connections, framing, answers in order, one file per API, one error map.
//!
//! Guarantees: the answers of a connection leave in the order of its requests; a length, a count or a
//! name from the wire is checked before anything is done with it, and memory is taken for bytes that
//! came, not for bytes that were announced; what one connection sends, no other notices; an API and a
//! version are advertised because, and only because, there is a handler for them.
//! Never decides what becomes of data: that is the broker's.

mod address;
mod api;
mod close;
mod conn;
mod error_code;
pub mod error_map;
mod fetch_sessions;
mod gateway;
mod metrics;
mod stop;
mod wrong_protocol;

// For the fuzz harness, which has no socket.
pub use api::{ServedApi, api_table_markdown, served_apis};
#[doc(hidden)]
pub use conn::split_frames;
pub use gateway::{Gateway, GatewayOptions, bind};
