//! The first eight bytes: a world and the settings it runs under.
//!
//! Decides which settings are drawn, and how they combine.

use arbitrary::{Arbitrary, Result, Unstructured};
use poolproof::op::Setup;

/// The first bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Header {
    /// Bit 0 expandable, 1 two devices, 2 and 3 round-up, 4 a fraction, 5 collection, 6 and 7 a split limit.
    pub settings: u8,
    pub streams: u8,
    /// In granules of 2 MiB, less 8.
    pub capacity: u16,
    pub fraction: u8,
    pub collect: u8,
    pub large: u8,
    pub choice: u8,
}

impl<'a> Arbitrary<'a> for Header {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Header {
            settings: u.arbitrary()?,
            streams: u.arbitrary()?,
            capacity: u.arbitrary()?,
            fraction: u.arbitrary()?,
            collect: u.arbitrary()?,
            large: u.arbitrary()?,
            choice: u.arbitrary()?,
        })
    }
}

impl Header {
    pub fn config(&self) -> String {
        let mut parts = Vec::new();
        let bit = |n: u8| self.settings >> n & 1 == 1;
        // Pages of whole granules, as the device wants them.
        let large = if bit(0) { 12 + self.large % 14 * 2 } else { 11 + self.large % 29 };
        if self.large > 0 {
            parts.push(format!("large_segment_size_mb:{large}"));
        }
        if bit(0) {
            parts.push("expandable_segments:True".to_owned());
        }
        match self.settings >> 2 & 3 {
            1 => parts.push("roundup_power2_divisions:4".to_owned()),
            2 => parts.push("roundup_power2_divisions:[1:8,16:4,64:2,>:1]".to_owned()),
            _ => {}
        }
        if bit(4) {
            parts.push(format!("per_process_memory_fraction:{}", f64::from(self.fraction) / 255.0));
        }
        if bit(5) {
            parts.push(format!("garbage_collection_threshold:{}", (f64::from(self.collect) + 1.0) / 257.0));
        }
        match self.settings >> 6 & 3 {
            1 => parts.push("max_split_size_mb:40".to_owned()),
            2 => parts.push("max_split_size_mb:64,max_non_split_rounding_mb:44".to_owned()),
            3 => parts.push("max_split_size_mb:128".to_owned()),
            _ => {}
        }
        parts.join(",")
    }

    pub fn setup(&self) -> Setup {
        let bytes = (u64::from(self.capacity % 512) + 8) << 21;
        let devices = 1 + usize::from(self.settings >> 1 & 1);
        Setup { device_bytes: vec![bytes; devices], streams: 1 + self.streams % 4, config: None }
    }
}
