//! The APIs that are served: one file each, and the table that everything else is made of.
//!
//! What ApiVersions advertises, which requests reach a handler, what permission they need and what the
//! documentation lists all come from [`TABLE`], so nothing is advertised without a handler.
//!
//! Each file opens with its versions, what it does, what its versions brought, and the KIPs that say so.
//! Kafka answers before it throttles since some version of each API (KIP-219): there are no quotas, and
//! the throttle time is always 0. Which error a refusal becomes is said in `error_map` alone.

pub(crate) mod call;
mod reply;
mod table;

pub(crate) mod p00_produce;
pub(crate) mod p01_fetch;
mod p02_list_offsets;
mod p03_metadata;
mod p08_offset_commit;
mod p09_offset_fetch;
mod p10_find_coordinator;
mod p11_join_group;
mod p12_heartbeat;
mod p13_leave_group;
mod p14_sync_group;
mod p15_describe_groups;
mod p16_list_groups;
mod p18_api_versions;
mod p19_create_topics;
mod p20_delete_topics;
mod p22_init_producer_id;
mod p23_offset_for_leader_epoch;
mod p32_describe_configs;
mod p42_delete_groups;
mod p47_offset_delete;
mod p60_describe_cluster;
mod p68_consumer_group_heartbeat;
mod p69_consumer_group_describe;

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;

use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::{ApiKey, Reader};

use crate::close::CloseReason;
pub(crate) use call::Call;
pub(crate) use reply::{FileSlice, Reply};
pub use table::{ServedApi, api_table_markdown, served_apis};

/// An API that is served.
pub(crate) struct Registration {
    /// Which.
    pub(crate) key: ApiKey,
    /// The versions that are answered, and so those that ApiVersions names.
    pub(crate) versions: RangeInclusive<i16>,
    /// What every request of it needs a permit for.
    pub(crate) needs: (Operation, ResourceKind),
    /// What answers it.
    pub(crate) handler: Handler,
    /// How it differs from Kafka's, for the documentation.
    pub(crate) note: &'static str,
}

/// How requests of an API are answered.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Once all before it on the connection are answered, and before anything after it is looked at.
    Alone(HandleAlone),
    /// Submitted together with its neighbours of the same kind, answered when the log is as far as
    /// they ask for.
    Submit(p00_produce::Judge),
}

/// Answers a request whose body the reader stands at.
pub(crate) type HandleAlone = for<'a> fn(&'a Call<'a>, Reader<'a>) -> Answering<'a>;

/// An answer in the making.
pub(crate) type Answering<'a> =
    Pin<Box<dyn Future<Output = Result<Reply, CloseReason>> + Send + 'a>>;

/// All APIs that are served, by key.
pub(crate) const TABLE: &[Registration] = &[
    p00_produce::API,
    p01_fetch::API,
    p02_list_offsets::API,
    p03_metadata::API,
    p08_offset_commit::API,
    p09_offset_fetch::API,
    p10_find_coordinator::API,
    p11_join_group::API,
    p12_heartbeat::API,
    p13_leave_group::API,
    p14_sync_group::API,
    p15_describe_groups::API,
    p16_list_groups::API,
    p18_api_versions::API,
    p19_create_topics::API,
    p20_delete_topics::API,
    p22_init_producer_id::API,
    p23_offset_for_leader_epoch::API,
    p32_describe_configs::API,
    p42_delete_groups::API,
    p47_offset_delete::API,
    p60_describe_cluster::API,
    p68_consumer_group_heartbeat::API,
    p69_consumer_group_describe::API,
];

/// Finds an API, with its place in the table.
pub(crate) fn find(key: ApiKey) -> Option<(usize, &'static Registration)> {
    TABLE.iter().enumerate().find(|(_, api)| api.key == key)
}

/// True if requests of this key and version reach a handler: their numbers as they stand on the wire.
pub(crate) fn is_served(key: i16, version: i16) -> bool {
    ApiKey::try_from(key)
        .ok()
        .and_then(find)
        .is_some_and(|(_, api)| {
            // ApiVersions answers every version.
            api.key == ApiKey::ApiVersions || api.versions.contains(&version)
        })
}
