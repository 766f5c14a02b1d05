//! The words that asker, judge and subject share: what can be asked of an allocator and what it answers (`op`), the numbered
//! promises (`requirement`), outcomes and the record of a run (`verdict`).
//!
//! Decides nothing about behaviour. `verdict` sees the other two, which see nobody.

pub mod op;
pub mod requirement;
pub mod verdict;
