//! Ballast: allocations that hold the rest of a card, so that the driver itself refuses what is beyond a small size.
//!
//! Decides how much is held. It leaves `SLACK` more than is asked for: of the free memory that a driver states, the last
//! granules cannot be had.

use super::error::Code;
use super::gpu::Gpu;
use crate::op::GRANULE;

const TRIES: u32 = 64;

/// Granules that are held in small pieces: 4 GiB.
const FINE: u64 = 2048;

/// On an H200 requests of 2 MiB are refused with 3.1 MiB free.
pub(super) const SLACK: u64 = 2 * GRANULE;

/// Leaves `leave` bytes to be had, taking or giving back what it needs to. Sizes that are played change from sequence to
/// sequence: the first piece is nearly everything and stays, the rest are ever smaller ones, of which the last few go.
pub(super) fn hold(gpu: &Gpu, leave: u64) -> Result<(), Code> {
    let leave = leave.saturating_add(SLACK);
    let mut kept = gpu.kept();
    let free = || gpu.driver.memory_info().map(|(free, _)| free);
    while free()? < leave
        && let Some(address) = kept.ballast.pop()
    {
        gpu.driver.free(address)?;
    }
    let mut most = u64::MAX;
    for _ in 0..TRIES {
        let bytes = next_piece((free()?.saturating_sub(leave) / GRANULE).min(most)) * GRANULE;
        if bytes == 0 {
            break;
        }
        match gpu.driver.alloc(bytes) {
            Ok(address) => kept.ballast.push(address),
            Err(Code::OUT_OF_MEMORY) => most = bytes / GRANULE / 2,
            Err(code) => return Err(code),
        }
    }
    Ok(())
}

/// Granules of the next piece when so many are to be held: all but `FINE`, then halves of that, of a quarter, and so on.
fn next_piece(granules: u64) -> u64 {
    if granules > FINE { granules - FINE } else { granules.checked_ilog2().map_or(0, |log| 1 << log) }
}

/// Gives all ballast back.
pub(super) fn drop_all(gpu: &Gpu) -> Result<(), Code> {
    let mut kept = gpu.kept();
    kept.ballast.drain(..).try_for_each(|address| gpu.driver.free(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_get_smaller_and_come_to_the_whole() {
        let mut left = 70_000;
        let pieces: Vec<u64> = std::iter::from_fn(|| {
            let piece = next_piece(left);
            left -= piece;
            (piece > 0).then_some(piece)
        })
        .collect();
        assert_eq!(pieces, [70_000 - FINE, FINE]);
        assert_eq!((next_piece(FINE - 1), next_piece(3), next_piece(1), next_piece(0)), (1024, 2, 1, 0));
    }
}
