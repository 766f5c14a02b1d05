//! The settings of PyTorch's native backend that change what it does.
//!
//! Decides what each value means; how the settings string is read is said in `parse`.

mod change;
mod parse;
mod remark;

pub use parse::SettingsError;
pub use remark::Remark;

use super::rounding::MIB;

/// Settings in force. `Default` is an empty settings string.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Blocks of this size or more are never split; `u64::MAX` when unset.
    pub max_split: u64,
    /// How much larger than an oversize request a cached block may be.
    pub max_non_split_rounding: u64,
    /// Share of the limit above which old cached segments are collected; 0 when unset.
    pub gc_threshold: f64,
    /// Divisions by power of two of the request in MiB, from below 2 MiB to 32 GiB and more.
    pub roundup_divisions: [u64; 16],
    /// Segments grow page by page in a range of addresses.
    pub expandable_segments: bool,
    /// Segment size for large requests below 10 MiB, and the page of large expandable segments.
    pub large_segment: u64,
    /// The fraction every device starts with.
    pub fraction: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_split: u64::MAX,
            max_non_split_rounding: 20 * MIB,
            gc_threshold: 0.0,
            roundup_divisions: [0; 16],
            expandable_segments: false,
            large_segment: 20 * MIB,
            fraction: 1.0,
        }
    }
}

impl Settings {
    /// The divisions that serve a request of `bytes` (not 0).
    #[must_use]
    pub fn divisions(&self, bytes: u64) -> u64 {
        let index = bytes.max(1).ilog2().saturating_sub(20).min(15);
        self.roundup_divisions[index as usize]
    }
}
