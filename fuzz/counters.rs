//! Where libFuzzer reads how far the allocator's state got, beside the code that was covered.
//!
//! Decides nothing: a body says what it saw in [`Cells`], and this puts it where libFuzzer looks.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::bodies::coverage::{CELLS, Cells};

// SAFETY: libFuzzer's contract for this section of the program is an array of byte-sized counters, which it reads and sets
// to 0 between inputs. `AtomicU8` is such a byte, may be written from outside, and is writable memory.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static COUNTERS: [AtomicU8; CELLS] = [const { AtomicU8::new(0) }; CELLS];

/// Runs a body on an input, and hands over what it saw.
pub fn feed(body: fn(&[u8], &mut Cells), data: &[u8]) {
    let mut cells = Cells::default();
    body(data, &mut cells);
    for (counter, count) in COUNTERS.iter().zip(cells.counts()) {
        counter.store(*count, Ordering::Relaxed);
    }
}
