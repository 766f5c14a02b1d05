//! Operations that a worker is asked before it has answered those before them: while the harness judges one answer, the worker is at the
//! next operation.
//!
//! Decides which answer belongs to what is asked, and what becomes of those that nobody asked for. A worker ends a run of them itself:
//! after an answer that the harness may act on it passes over what was asked ahead.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::super::lost::ProtocolError;
use super::protocol::{Answer, Ask};
use super::target::WorkerTarget;
use crate::op::{Op, Reply};

/// What one worker is asked ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// What comes next, as far as it is known; not asked yet. The thread that it comes from.
    planned: Vec<Op>,
    thread: u8,
    /// Asked and not answered yet, in order.
    in_flight: VecDeque<Op>,
}

/// What came of an operation that may have been asked ahead.
pub(super) enum Foretold {
    /// The answer to it.
    Answered(Reply),
    /// It has to be asked.
    Unasked,
    /// The worker is lost.
    Lost,
}

impl WorkerTarget {
    /// Whether it would like to hear what is asked next: it can be asked ahead, and nothing is under way.
    pub(in crate::target) fn wants_plan(&self) -> bool {
        self.told.described.ahead && self.ahead.in_flight.is_empty()
    }

    /// What is asked next, from this thread.
    pub(in crate::target) fn plan(&mut self, next: Vec<Op>, thread: u8) {
        if self.wants_plan() {
            (self.ahead.planned, self.ahead.thread) = (next, thread);
        }
    }

    /// The answer to an operation, where it was asked ahead or begins what is planned.
    pub(super) fn foretold(&mut self, op: &Op, thread: u8) -> Foretold {
        if let Some(foretold) = self.answered_ahead(op) {
            return foretold;
        }
        let planned = std::mem::take(&mut self.ahead.planned);
        if planned.len() < 2 || planned[0] != *op || thread != self.ahead.thread {
            return Foretold::Unasked;
        }
        let asked = planned.iter().enumerate().map(|(nth, op)| Ask::Apply {
            op: Cow::Borrowed(op),
            about: None,
            thread,
            busy: Cow::Borrowed(&[]),
            ahead: nth > 0,
        });
        let asked: Vec<Ask<'_>> = asked.collect();
        let patience = self.patience();
        let Some(process) = self.process.as_mut() else { return Foretold::Lost };
        if let Err(lost) = process.tell_all(&asked, patience) {
            self.lose(lost);
            return Foretold::Lost;
        }
        drop(asked);
        self.ahead.in_flight = planned.into();
        self.answered_ahead(op).unwrap_or(Foretold::Unasked)
    }

    /// The answer to an operation that is in flight; `None` where none is any more.
    fn answered_ahead(&mut self, op: &Op) -> Option<Foretold> {
        while let Some(next) = self.ahead.in_flight.pop_front() {
            match self.hear() {
                None => return Some(Foretold::Lost),
                // So are all that are left.
                Some(Answer::PassedOver {}) => {}
                Some(answer) => {
                    let answered = self.told.applied(answer);
                    let Some(reply) = self.note(answered) else { return Some(Foretold::Lost) };
                    if next == *op {
                        return Some(Foretold::Answered(reply));
                    }
                    // The harness did not ask what would have been dropped.
                    if !matches!(reply, Reply::Dropped(_)) {
                        self.broke(ProtocolError::Foretold { done: next.to_line(), asked: op.to_line() });
                        return Some(Foretold::Lost);
                    }
                }
            }
        }
        None
    }

    /// Takes in what is in flight: nobody asks for it any more.
    pub(super) fn land(&mut self) {
        self.ahead.planned.clear();
        while self.ahead.in_flight.pop_front().is_some() {
            let Some(answer) = self.hear() else { return };
            if !matches!(answer, Answer::PassedOver {}) {
                let answered = self.told.applied(answer);
                if self.note(answered).is_none() {
                    return;
                }
            }
        }
    }

    fn hear(&mut self) -> Option<Answer> {
        let patience = self.patience();
        match self.process.as_mut()?.hear(patience, None) {
            Ok(answer) => Some(answer),
            Err(lost) => {
                self.lose(lost);
                None
            }
        }
    }
}
