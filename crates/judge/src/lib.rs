//! What any allocator owes its callers (`model`), and who convicts one that does not give it (`oracle`).
//!
//! Knows no allocator's policy: nothing here can see the reference.

pub mod model;
pub mod oracle;

use poolproof_words::{op, requirement, verdict};
