//! The pulse of a thread that runs sequences: that it still gets on, and whether it is inside the target.
//!
//! Decides what is noted of the call under way. `attempt` asks whose a panic was; `watchdog` asks whether a call returns;
//! `forked` has it in memory that outlives the process, and asks what that came to.

use std::cell::RefCell;
use std::io::{PipeWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::op::Op;
use crate::verdict::{Reproducer, TranscriptLine};

use super::locks::lock;
#[cfg(target_os = "linux")]
use super::marks::Marks;
use super::marks::{self, PLACES};

/// What a line of the transcript begins with where it is told.
pub(super) const TOLD: u8 = b'T';

/// The numbers of a pulse: its own, or some that another process sees, too.
#[derive(Debug)]
enum Numbers {
    Own([AtomicU64; PLACES]),
    #[cfg(target_os = "linux")]
    Shared(&'static [AtomicU64; PLACES]),
}

/// What one thread shows of itself. Only that thread writes.
#[derive(Debug)]
pub(super) struct Pulse {
    numbers: Numbers,
    /// The sequence under way.
    sequence: Mutex<Option<Reproducer>>,
    /// Where lines of the transcript go at once, lest they be lost with the process.
    teller: Mutex<Option<PipeWriter>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse {
            numbers: Numbers::Own(std::array::from_fn(|_| AtomicU64::new(0))),
            sequence: Mutex::default(),
            teller: Mutex::default(),
        }
    }
}

impl Pulse {
    #[inline]
    fn numbers(&self) -> &[AtomicU64; PLACES] {
        match &self.numbers {
            Numbers::Own(own) => own,
            #[cfg(target_os = "linux")]
            Numbers::Shared(shared) => shared,
        }
    }

    fn get(&self, place: usize) -> u64 {
        self.numbers()[place].load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, place: usize, number: u64) {
        self.numbers()[place].store(number, Ordering::Relaxed);
    }

    /// Moves with every call of the target.
    pub(super) fn steps(&self) -> u64 {
        self.get(marks::CALLS)
    }

    /// A call of the target has begun and not returned.
    pub(super) fn is_inside(&self) -> bool {
        self.get(marks::INSIDE) != 0
    }

    /// Nothing was called yet.
    #[cfg(target_os = "linux")]
    pub(super) fn begins(&self) {
        (0..PLACES).for_each(|place| self.set(place, 0));
    }

    /// The next call belongs to this step: it is the step's own operation, or one that the harness added.
    #[inline]
    pub(super) fn at(&self, step: usize, added: Option<&Op>) {
        self.set(marks::ASKED, self.get(marks::ASKED).wrapping_add(1));
        self.set(marks::STEP, step as u64);
        let (kind, which) = added.map_or((marks::GIVEN, 0), marks::packed);
        self.set(marks::KIND, kind);
        self.set(marks::WHICH, which);
    }

    /// The next call ends the sequence, after so many steps.
    pub(super) fn closes(&self, steps: usize) {
        self.set(marks::STEP, steps as u64);
        self.set(marks::KIND, marks::CLOSING);
    }

    /// The step under way, unless the call is one that the harness added.
    pub(super) fn place(&self) -> Option<usize> {
        let is_given = self.get(marks::KIND) == marks::GIVEN;
        usize::try_from(self.get(marks::STEP)).ok().filter(|_| is_given)
    }

    /// All that is noted.
    #[cfg(target_os = "linux")]
    pub(super) fn marks(&self) -> Marks {
        Marks::of(self.numbers())
    }

    /// Asks something of the target.
    #[inline]
    pub(super) fn inside<T>(&self, call: impl FnOnce() -> T) -> T {
        self.set(marks::CALLS, self.steps().wrapping_add(1));
        self.set(marks::INSIDE, 1);
        let answer = call();
        self.set(marks::INSIDE, 0);
        answer
    }

    /// From now on lines of the transcript are told here too.
    #[cfg(target_os = "linux")]
    pub(super) fn tells(&self, teller: PipeWriter) {
        *lock(&self.teller) = Some(teller);
    }

    /// Tells a line of the transcript, as `told` reads it.
    pub(super) fn tell(&self, line: &TranscriptLine) {
        if let Some(teller) = &mut *lock(&self.teller) {
            // Nobody to hear it: then nobody misses it.
            let _ = serde_json::to_vec(line).map(|text| teller.write_all(&[&[TOLD], &text[..], b"\n"].concat()));
        }
    }

    /// This sequence is to be run now.
    pub(super) fn runs(&self, sequence: Reproducer) {
        *lock(&self.sequence) = Some(sequence);
    }

    /// The sequence that is run, or was last.
    pub(super) fn sequence(&self) -> Option<Reproducer> {
        lock(&self.sequence).clone()
    }

    /// Whether a panic that was just caught came from inside the target.
    pub(super) fn leave(&self) -> bool {
        self.numbers()[marks::INSIDE].swap(0, Ordering::Relaxed) != 0
    }
}

thread_local! {
    static OWN: RefCell<Arc<Pulse>> = RefCell::default();
}

/// The pulse of the calling thread.
pub(super) fn own() -> Arc<Pulse> {
    OWN.with_borrow(Arc::clone)
}

/// From now on the calling thread shows its pulse in these numbers.
#[cfg(target_os = "linux")]
pub(super) fn show(numbers: &'static [AtomicU64; PLACES]) -> Arc<Pulse> {
    let pulse = Arc::new(Pulse { numbers: Numbers::Shared(numbers), ..Pulse::default() });
    OWN.set(Arc::clone(&pulse));
    pulse
}
