//! The threads that call a library: one for each caller of a sequence, so that what it keeps by thread is met.
//!
//! Decides which thread makes a call. Calls come one after another, whoever makes them: the next is asked for after the answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::library::{Call, Functions};

/// A thread that waits for calls.
#[derive(Debug)]
struct Thread {
    asks: Sender<Call>,
    answers: Receiver<u64>,
}

/// All threads of a sequence; the first is the one that serves.
#[derive(Debug)]
pub(super) struct Threads {
    functions: Functions,
    others: RefCell<BTreeMap<u8, Thread>>,
}

impl Threads {
    pub(super) fn new(functions: Functions) -> Self {
        Threads { functions, others: RefCell::new(BTreeMap::new()) }
    }

    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Makes the call from that thread. Where the system starts no more threads, this one makes it.
    pub(super) fn call(&self, thread: u8, call: Call) -> u64 {
        if thread == 0 {
            return self.functions.call(call);
        }
        let mut others = self.others.borrow_mut();
        let started = others.entry(thread).or_insert_with(|| start(self.functions, thread));
        let answer = started.asks.send(call).ok().and_then(|()| started.answers.recv().ok());
        answer.unwrap_or_else(|| self.functions.call(call))
    }
}

fn start(functions: Functions, number: u8) -> Thread {
    let (asks, asked) = channel::<Call>();
    let (answered, answers) = channel();
    let body = move || {
        for call in asked {
            if answered.send(functions.call(call)).is_err() {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name(format!("caller {number}")).spawn(body) {
        log::warn!("no thread for caller {number}: {error}");
    }
    Thread { asks, answers }
}
