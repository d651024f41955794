//! The suite against every store that there is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_log::disk::{Disk, LocalDisk};
use ottla_log::{Durability, LocalStore, MemoryStore, StoreOptions};
use ottla_model::ids::NodeId;

use crate::conformance::{Random, run};
use crate::sim_disk::SimDisk;

fn options(durability: Durability) -> StoreOptions {
    let counter = AtomicU64::new(1);
    let random = move || {
        let mut random = Random::new(counter.fetch_add(1, Ordering::Relaxed));
        let (a, b) = (random.number().to_be_bytes(), random.number().to_be_bytes());
        std::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] })
    };
    let mut options = StoreOptions::new(NodeId(1), durability, Arc::new(random));
    options.index_chunk_entries = 8;
    options
}

fn local(disk: Arc<dyn Disk>, root: &Path, durability: Durability) -> Arc<LocalStore> {
    let (store, report) =
        LocalStore::open(disk, root, options(durability)).expect("an empty directory");
    assert!(report.created);
    store
}

#[test]
fn memory_store_conforms() {
    for durability in [Durability::Synced, Durability::Os] {
        for seed in 0..3 {
            run(durability, seed, || MemoryStore::new(durability));
        }
    }
}

#[test]
fn local_store_conforms_on_the_real_disk() {
    for durability in [Durability::Synced, Durability::Os] {
        let root = tempfile::tempdir().expect("a temporary directory");
        let count = AtomicU64::new(0);
        run(durability, 11, || {
            let name = count.fetch_add(1, Ordering::Relaxed).to_string();
            local(Arc::new(LocalDisk), &root.path().join(name), durability)
        });
    }
}

#[test]
fn local_store_conforms_on_the_simulated_disk() {
    for durability in [Durability::Synced, Durability::Os] {
        for seed in 0..3 {
            run(durability, seed, || {
                local(Arc::new(SimDisk::new()), Path::new("/data"), durability)
            });
        }
    }
}
