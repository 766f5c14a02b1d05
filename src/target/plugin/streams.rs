//! Streams as a library on the host sees them: handles made up by the harness, and stand-ins for the two calls of CUDA's that
//! an allocator makes on a stream.
//!
//! Decides what a handle looks like and what the stand-ins answer. Which streams are busy is the harness's to say.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

/// Busy streams, as device and stream, and those that were waited for since it was last asked.
#[derive(Debug, Default)]
struct Known {
    busy: BTreeSet<(usize, u8)>,
    waited: Vec<(usize, u8)>,
    devices: usize,
    streams: u8,
}

/// A library has no place to keep whose streams it asks about, as it has none with CUDA.
static KNOWN: Mutex<Known> = Mutex::new(Known { busy: BTreeSet::new(), waited: Vec::new(), devices: 0, streams: 0 });

fn known<T>(with: impl FnOnce(&mut Known) -> T) -> T {
    with(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The handle of a stream: 0 for the default stream, as with CUDA, and for the others a number that no address of the process
/// is, different on every device.
pub(super) fn handle(device: usize, stream: u8) -> usize {
    if stream == 0 { 0 } else { (device + 1) << 16 | usize::from(stream) << 4 }
}

fn stream_of(device: c_int, handle: usize, known: &Known) -> Option<(usize, u8)> {
    let device = usize::try_from(device).ok().filter(|&device| device < known.devices)?;
    let stream = (0..known.streams).find(|&stream| self::handle(device, stream) == handle)?;
    Some((device, stream))
}

/// A new life begins, with so many devices and streams.
pub(super) fn begin(devices: usize, streams: u8) {
    known(|known| *known = Known { devices, streams, ..Known::default() });
}

pub(super) fn set_busy(busy: &[(usize, u8)]) {
    known(|known| {
        known.busy.clear();
        known.busy.extend(busy);
    });
}

pub(super) fn take_waited() -> Vec<(usize, u8)> {
    known(|known| std::mem::take(&mut known.waited))
}

/// `cudaStreamQuery`: 1 if all work of the stream is done, 0 if not, -1 if there is no such stream.
pub(super) extern "C" fn is_idle(device: c_int, stream: *mut c_void) -> c_int {
    known(|known| match stream_of(device, stream.addr(), known) {
        Some(stream) => c_int::from(!known.busy.contains(&stream)),
        None => -1,
    })
}

/// `cudaStreamSynchronize`: the work of the stream is done from here on.
pub(super) extern "C" fn synchronize(device: c_int, stream: *mut c_void) {
    known(|known| {
        if let Some(stream) = stream_of(device, stream.addr(), known)
            && known.busy.remove(&stream)
        {
            known.waited.push(stream);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_busy_until_it_is_waited_for() {
        begin(2, 4);
        set_busy(&[(1, 3)]);
        let stream = |device, stream| std::ptr::without_provenance_mut(handle(device, stream));
        assert_eq!((is_idle(1, stream(1, 3)), is_idle(1, stream(1, 2)), is_idle(0, stream(0, 3))), (0, 1, 1));
        assert_eq!((is_idle(0, stream(1, 3)), is_idle(2, stream(2, 1)), is_idle(-1, stream(0, 1))), (-1, -1, -1));
        synchronize(1, stream(1, 3));
        synchronize(1, stream(1, 2));
        assert_eq!((is_idle(1, stream(1, 3)), take_waited(), take_waited()), (1, vec![(1, 3)], vec![]));
        let mut all: Vec<usize> = (0..4).flat_map(|device| (1..64).map(move |s| handle(device, s))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), all[0] > 0, handle(3, 0)), (4 * 63, true, 0));
    }
}
