//! When the durable mark moves, and who is told.

use std::sync::{Arc, Mutex, Weak};

use ottla_log::{LogFault, LogStore, MarkListener};
use ottla_model::ids::Offset;
use ottla_model::marks::Marks;

use super::batches::BatchMaker;
use super::{log, partition};

#[derive(Default)]
struct Listener(Mutex<(Vec<Marks>, Vec<String>)>);

impl MarkListener for Listener {
    fn advanced(&self, marks: Marks) {
        self.0.lock().expect("no test panics in here").0.push(marks);
    }
    fn closed(&self, fault: &LogFault) {
        self.0
            .lock()
            .expect("no test panics in here")
            .1
            .push(fault.to_string());
    }
}

impl Listener {
    fn told(&self) -> (Vec<Marks>, Vec<String>) {
        std::mem::take(&mut *self.0.lock().expect("no test panics in here"))
    }
}

pub(super) fn waits_for_a_round<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    while store.flush_round() {}
    let listener = Arc::new(Listener::default());
    let weak: Weak<dyn MarkListener> = Arc::downgrade(&(listener.clone() as Arc<dyn MarkListener>));
    log.listen(weak);
    // How the log stands is told at once.
    assert_eq!(listener.told(), (vec![log.marks()], vec![]));
    let mut maker = BatchMaker::new(seed);
    for _ in 0..3 {
        let marks = log
            .append(&[maker.batch().item()])
            .expect("the disk is well");
        assert_eq!(marks.written, maker.next);
        assert_eq!(marks, log.marks());
        assert!(marks.durable < marks.written);
    }
    assert_eq!(listener.told().0, []);
    assert!(store.wait_dirty(std::time::Duration::ZERO));
    assert!(store.flush_round());
    let durable = Marks {
        log_start: Offset(0),
        written: maker.next,
        durable: maker.next,
    };
    assert_eq!(listener.told().0, [durable]);
    assert_eq!(log.marks(), durable);
    // A round without appends moves nothing.
    while store.flush_round() {}
    assert_eq!(listener.told(), (vec![], vec![]));
    assert!(!store.wait_dirty(std::time::Duration::ZERO));

    store
        .remove_log(&partition("conformance", 1))
        .expect("the disk is well");
    let (advanced, closed) = listener.told();
    assert_eq!((advanced.len(), closed.len()), (0, 1));
    // Who comes later hears of it, too.
    let weak: Weak<dyn MarkListener> = Arc::downgrade(&(listener.clone() as Arc<dyn MarkListener>));
    log.listen(weak);
    assert_eq!(listener.told(), (vec![durable], closed));
}

pub(super) fn follows_the_write<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let listener = Arc::new(Listener::default());
    let weak: Weak<dyn MarkListener> = Arc::downgrade(&(listener.clone() as Arc<dyn MarkListener>));
    log.listen(weak);
    // How the log stands is told at once.
    assert_eq!(listener.told(), (vec![log.marks()], vec![]));
    let mut maker = BatchMaker::new(seed);
    for _ in 0..3 {
        let marks = log
            .append(&[maker.batch().item()])
            .expect("the disk is well");
        assert_eq!((marks.written, marks.durable), (maker.next, maker.next));
        assert_eq!(listener.told().0, [marks]);
    }
    while store.flush_round() {}
    assert_eq!(log.marks().durable, maker.next);
}
