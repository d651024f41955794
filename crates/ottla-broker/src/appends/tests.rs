#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::*;

/// How long a test waits before it says that something hangs.
const HANGS: Duration = Duration::from_secs(60);

fn runtime(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

fn appends(runtime: &Runtime) -> Appends {
    let handle = runtime.handle().clone();
    Appends::new(handle, Backlog::new(1_000), Metrics::new().unwrap()).unwrap()
}

#[test]
fn there_is_a_seat_for_each_thread_but_one() {
    for workers in 1..5 {
        let runtime = runtime(workers);
        let appends = appends(&runtime);
        for _ in 0..2 {
            let seats: Vec<_> = std::iter::from_fn(|| appends.enter()).collect();
            assert_eq!(seats.len(), workers - 1);
        }
        appends.stop();
    }
}

#[test]
fn after_a_slow_append_the_pool_does_it_until_it_finds_the_disk_quick() {
    let runtime = runtime(2);
    let appends = appends(&runtime);
    appends.0.slow.store(true, Ordering::Relaxed);
    assert!(appends.enter().is_none());
    let (go, gate) = mpsc::channel::<()>();
    let (told, done) = mpsc::channel();
    let second = told.clone();
    appends.pool(Box::new(move || assert!(gate.recv().is_ok())));
    appends.pool(Box::new(move || told.send(()).unwrap()));
    done.recv_timeout(HANGS).unwrap();
    go.send(()).unwrap();
    appends.pool(Box::new(move || second.send(()).unwrap()));
    done.recv_timeout(HANGS).unwrap();
    // Ends when all of it is done.
    appends.stop();
    assert!(appends.enter().is_some());
}

#[test]
fn jobs_that_hang_hold_up_no_others() {
    let runtime = runtime(2);
    let appends = appends(&runtime);
    let (go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    for _ in 0..THREADS * 4 {
        let gate = Arc::clone(&gate);
        appends.pool(Box::new(move || {
            // The first one waits for the test, the others for the first one.
            let _ = gate.lock().unwrap().recv();
        }));
    }
    let (told, done) = mpsc::channel();
    appends.pool(Box::new(move || told.send(()).unwrap()));
    done.recv_timeout(HANGS).unwrap();
    drop(go);
    appends.stop();
    assert_eq!(appends.0.lock().threads, 0);
}

/// A panic costs its own job only.
#[test]
fn a_job_that_panics_takes_no_thread_along() {
    let runtime = runtime(2);
    let appends = appends(&runtime);
    for _ in 0..THREADS * 2 {
        appends.pool(Box::new(|| panic!("on purpose")));
    }
    let (told, done) = mpsc::channel();
    appends.pool(Box::new(move || told.send(()).unwrap()));
    done.recv_timeout(HANGS).unwrap();
    appends.stop();
}

/// Regression: a task that was woken just before an append stalled hung with it, because the other
/// threads of the runtime do not look where it lay.
#[test]
fn a_task_that_was_woken_before_an_append_stalls_runs_elsewhere() {
    let runtime = runtime(2);
    let appends = appends(&runtime);
    let (wake, woken) = oneshot::channel::<()>();
    let (told, done) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let (waits, is_waiting) = oneshot::channel();
    runtime.spawn(async move {
        waits.send(()).unwrap();
        woken.await.unwrap();
        told.send(()).unwrap();
    });
    let stalled = runtime.spawn(async move {
        is_waiting.await.unwrap();
        // The other one has had its turn, and waits.
        tokio::task::yield_now().await;
        note_wake();
        wake.send(()).unwrap();
        let seat = appends.enter().unwrap();
        let _ = gate.recv();
        drop(seat);
        appends.stop();
    });
    done.recv_timeout(HANGS).unwrap();
    drop(go);
    runtime.block_on(stalled).unwrap();
}

/// Regression: while the only append was in the kernel, nobody looked at timers and sockets.
#[test]
fn timers_ring_while_an_append_stalls() {
    let runtime = runtime(2);
    let appends = appends(&runtime);
    let (go, gate) = mpsc::channel::<()>();
    let (entered, is_in) = mpsc::channel();
    let stalled = runtime.spawn(async move {
        let seat = appends.enter().unwrap();
        entered.send(()).unwrap();
        let _ = gate.recv();
        drop(seat);
        appends.stop();
    });
    is_in.recv_timeout(HANGS).unwrap();
    let rung = runtime.spawn(async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(go);
    });
    let all = async { (stalled.await.unwrap(), rung.await.unwrap()) };
    runtime.block_on(async { tokio::time::timeout(HANGS, all).await.unwrap() });
}
