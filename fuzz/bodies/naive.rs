//! The reference against the second allocator, which is compiled for tests and for fuzzing alone.
//!
//! Decides nothing: what the bytes mean and what must agree is said beside that allocator.

use poolproof::reference::naive;

use super::coverage::Cells;

pub fn run(data: &[u8], cells: &mut Cells) {
    if let Err(difference) = naive::differ(data, &mut |before, after| cells.state(before, after, 0)) {
        panic!("{difference}");
    }
}
