//! A call that makes no sense to a device: what no allocator may do with its memory.
//!
//! Decides nothing: whoever has the device says what is misuse, and answers it with an error as well, as a driver does.

/// One such call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misuse {
    /// What was called, such as `cuMemUnmap`.
    pub call: &'static str,
    /// What was wrong with it.
    pub what: String,
}
