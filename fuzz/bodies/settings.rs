//! The settings string, and the allocator under whatever was accepted.
//!
//! The input is text, up to a NUL; what follows is operations, as in `operations`. Decides that accepted settings are
//! within their bounds and leave an allocator that no oracle convicts.

use arbitrary::{Arbitrary, Unstructured};
use poolproof::reference::rounding::{self, MIN_BLOCK};
use poolproof::reference::{Settings, SettingsError};

use super::coverage::Cells;
use super::draft::Plan;
use super::operations;

pub fn run(data: &[u8], cells: &mut Cells) {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let text = String::from_utf8_lossy(&data[..end]);
    let settings = match text.parse::<Settings>() {
        Ok(settings) => settings,
        Err(error) => return complaint(&error),
    };
    assert!((0.0..=1.0).contains(&settings.fraction), "{settings:?}");
    assert!((0.0..1.0).contains(&settings.gc_threshold), "{settings:?}");
    assert!(settings.max_split >= settings.large_segment, "{settings:?}");
    for shift in 0..64 {
        for bytes in [1_u64 << shift, (1 << shift) + 1, (1_u64 << shift).wrapping_mul(3)] {
            let Some(size) = rounding::block_size(bytes, &settings) else { continue };
            assert!(size >= bytes && size.is_multiple_of(MIN_BLOCK), "{bytes} became {size} under {settings:?}");
            if size <= rounding::LARGEST {
                let segment = rounding::segment_size(size, &settings);
                assert!(segment >= size, "{size} in {segment:?} under {settings:?}");
            }
        }
    }
    if let Ok(plan) = Plan::arbitrary(&mut Unstructured::new(data.get(end + 1..).unwrap_or_default())) {
        operations::judge(&operations::reference(&text), &plan, cells);
    }
}

fn complaint(error: &SettingsError) {
    assert!(!error.to_string().is_empty());
}
