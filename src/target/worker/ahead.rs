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
use crate::op::{Op, RefusalClass, Reply};

/// Where so few are under way, more are asked: a worker that has to wait for the next question does nothing.
const FEW: usize = 32;

/// What one worker is asked ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// What comes next, as far as it is known; not asked yet. The thread that it comes from.
    planned: Vec<Op>,
    thread: u8,
    /// Asked and not answered yet, in order.
    in_flight: VecDeque<Op>,
    /// More than what is under way cannot be foretold for now.
    is_whole: bool,
}

impl Ahead {
    /// Whether something was asked that is not answered yet.
    pub(super) fn is_under_way(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// How these are asked, one after the other; the first too, ahead of an answer, or not.
    fn asks<'a>(&self, next: &'a [Op], is_ahead: bool) -> Vec<Ask<'a>> {
        let ask = |(nth, op)| Ask::Apply {
            op: Cow::Borrowed(op),
            about: None,
            thread: self.thread,
            busy: Cow::Borrowed(&[]),
            ahead: is_ahead || nth > 0,
            more: nth + 1 < next.len(),
        };
        next.iter().enumerate().map(ask).collect()
    }
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
    /// Whether it would like to hear what is asked next: it can be asked ahead, and little is under way.
    pub(in crate::target) fn wants_plan(&self) -> bool {
        let Ahead { in_flight, is_whole, .. } = &self.ahead;
        self.told.described.ahead && (in_flight.is_empty() || (in_flight.len() <= FEW && !is_whole))
    }

    /// What is asked next, from this thread. What follows that which is under way is asked at once.
    pub(in crate::target) fn plan(&mut self, next: Vec<Op>, thread: u8) {
        if !self.ahead.is_under_way() {
            (self.ahead.planned, self.ahead.thread, self.ahead.is_whole) = (next, thread, false);
            return;
        }
        let under_way = self.ahead.in_flight.len();
        let goes_on =
            next.len() > under_way && next.iter().zip(&self.ahead.in_flight).all(|(next, asked)| next == asked);
        self.ahead.is_whole = !goes_on || thread != self.ahead.thread;
        if self.ahead.is_whole {
            return;
        }
        let patience = self.patience();
        let Some(process) = self.process.as_mut() else { return };
        match process.tell_more(&self.ahead.asks(&next[under_way..], true), patience) {
            Ok(true) => self.ahead.in_flight.extend(next.into_iter().skip(under_way)),
            Ok(false) => self.ahead.is_whole = true,
            Err(lost) => self.lose(lost),
        }
    }

    /// The answer to an operation, where it was asked ahead or begins what is planned.
    /// `unstated` is what a refusal was for that does not say so.
    pub(super) fn foretold(&mut self, op: &Op, thread: u8, unstated: Option<RefusalClass>) -> Foretold {
        if let Some(foretold) = self.answered_ahead(op, unstated) {
            return foretold;
        }
        let planned = std::mem::take(&mut self.ahead.planned);
        if planned.len() < 2 || planned[0] != *op || thread != self.ahead.thread {
            return Foretold::Unasked;
        }
        let patience = self.patience();
        let Some(process) = self.process.as_mut() else { return Foretold::Lost };
        if let Err(lost) = process.tell_all(&self.ahead.asks(&planned, false), patience) {
            self.lose(lost);
            return Foretold::Lost;
        }
        self.ahead.in_flight = planned.into();
        self.answered_ahead(op, unstated).unwrap_or(Foretold::Unasked)
    }

    /// The answer to an operation that is in flight; `None` where none is any more.
    fn answered_ahead(&mut self, op: &Op, unstated: Option<RefusalClass>) -> Option<Foretold> {
        while let Some(next) = self.ahead.in_flight.pop_front() {
            match self.hear(unstated) {
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
            // What a refusal was for matters to nobody now.
            let Some(answer) = self.hear(Some(RefusalClass::InvalidArgument)) else { return };
            if !matches!(answer, Answer::PassedOver {}) {
                let answered = self.told.applied(answer);
                if self.note(answered).is_none() {
                    return;
                }
            }
        }
    }

    fn hear(&mut self, unstated: Option<RefusalClass>) -> Option<Answer> {
        let patience = self.patience();
        match self.process.as_mut()?.hear(patience, unstated) {
            Ok(answer) => Some(answer),
            Err(lost) => {
                self.lose(lost);
                None
            }
        }
    }
}
