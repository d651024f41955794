//! What waits for a mark, sorted by the position that it saw.

use std::collections::VecDeque;

use ottla_machine::contract::{Machine, Wait};
use ottla_model::ids::Offset;
use ottla_model::marks::Marks;

use super::outlet::{Outcome, Outlet};

/// Something on its way out of a shard.
pub(super) enum Out<M: Machine, O: Outlet<M>> {
    Answer(O::Handle, Outcome<M>),
    Effect(M::Effect),
    Records(Vec<(Offset, M::Record)>),
    Advanced(Marks),
}

impl<M: Machine, O: Outlet<M>> Out<M, O> {
    pub(super) fn hand_to(self, outlet: &O) {
        match self {
            Out::Answer(to, outcome) => outlet.answer(to, outcome),
            Out::Effect(effect) => outlet.effect(effect),
            Out::Records(records) => outlet.records(records),
            Out::Advanced(marks) => outlet.advanced(marks),
        }
    }
}

/// Two queues, one for each mark. Positions mostly grow, so putting in place is a look at the end.
pub(super) struct Parked<M: Machine, O: Outlet<M>> {
    written: VecDeque<(Offset, Out<M, O>)>,
    durable: VecDeque<(Offset, Out<M, O>)>,
}

impl<M: Machine, O: Outlet<M>> Parked<M, O> {
    pub(super) fn new() -> Self {
        Parked {
            written: VecDeque::new(),
            durable: VecDeque::new(),
        }
    }

    /// Lets `out` leave at once, or parks it until the mark that it waits for has passed `saw`.
    pub(super) fn park(
        &mut self,
        saw: Offset,
        wait: Wait,
        out: Out<M, O>,
        marks: Marks,
        outbox: &mut Vec<Out<M, O>>,
    ) {
        let (queue, mark) = match wait {
            Wait::None => return outbox.push(out),
            Wait::Written => (&mut self.written, marks.written),
            Wait::Durable => (&mut self.durable, marks.durable),
        };
        if saw <= mark && queue.front().is_none_or(|(first, _)| *first > saw) {
            return outbox.push(out);
        }
        let place = match queue.back() {
            Some((last, _)) if *last > saw => queue.partition_point(|(other, _)| *other <= saw),
            _ => queue.len(),
        };
        queue.insert(place, (saw, out));
    }

    /// Moves out what the marks have passed, in order.
    pub(super) fn release(&mut self, marks: Marks, outbox: &mut Vec<Out<M, O>>) {
        for (queue, mark) in [
            (&mut self.written, marks.written),
            (&mut self.durable, marks.durable),
        ] {
            while queue.front().is_some_and(|(saw, _)| *saw <= mark) {
                outbox.extend(queue.pop_front().map(|(_, out)| out));
            }
        }
    }

    /// Takes out all that saw more than `kept`: after a failed append it saw what is not to be.
    pub(super) fn take_above(&mut self, kept: Offset) -> Vec<Out<M, O>> {
        let mut taken = Vec::new();
        for queue in [&mut self.written, &mut self.durable] {
            let from = queue.partition_point(|(saw, _)| *saw <= kept);
            taken.extend(queue.drain(from..).map(|(_, out)| out));
        }
        taken
    }
}
