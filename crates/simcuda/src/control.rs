//! What a test may do to simulated devices beside CUDA's functions: C functions that this library exports, to be found by name
//! (`ctypes.CDLL("libpoolproof_simcuda.so")`).
//!
//! Decides their signatures. Their names begin with `poolproof_sim_`. Each answers CUDA's number, 0 where it was done.

use std::ffi::{c_char, c_int};

use crate::cudart::with;

const NOT_INITIALIZED: c_int = 3;
const INVALID_DEVICE: c_int = 101;

fn number(result: Option<Result<(), i32>>) -> c_int {
    match result {
        None => NOT_INITIALIZED,
        Some(Ok(())) => 0,
        Some(Err(code)) => code,
    }
}

/// Keeps a stream (a `cudaStream_t`, 0 for the default one of the current device) busy: events that are recorded on it from now on
/// do not pass until [`finish`] or a wait.
#[unsafe(export_name = "poolproof_sim_occupy")]
pub extern "C" fn occupy(stream: u64) -> c_int {
    number(with(|runtime| runtime.keep_busy(stream, true)))
}

/// Ends what keeps a stream busy, the first such work if there is more.
#[unsafe(export_name = "poolproof_sim_finish")]
pub extern "C" fn finish(stream: u64) -> c_int {
    number(with(|runtime| runtime.keep_busy(stream, false)))
}

/// Another process holds that much of a device from now on, or as much as is left.
#[unsafe(export_name = "poolproof_sim_neighbour")]
pub extern "C" fn neighbour(device: c_int, bytes: u64) -> c_int {
    number(with(|runtime| {
        let index = usize::try_from(device).map_err(|_| INVALID_DEVICE)?;
        runtime.device_mut(index).ok_or(INVALID_DEVICE)?.set_neighbour(bytes);
        Ok(())
    }))
}

fn write_lines(lines: &[String], into: *mut c_char, room: usize) -> usize {
    let text = lines.join("\n");
    if !into.is_null() && room > 0 {
        let length = text.len().min(room - 1);
        // SAFETY: not null, and the caller said that there is room for so many bytes.
        unsafe {
            into.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), length);
            into.add(length).write(0);
        }
    }
    text.len()
}

/// The functions that were asked for and are not here, one a line, as a C string of at most `room` bytes with its end; answers how long
/// the whole text is.
#[unsafe(export_name = "poolproof_sim_refused")]
pub extern "C" fn refused(into: *mut c_char, room: usize) -> usize {
    let lines = with(|runtime| runtime.unsupported().iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
    write_lines(&lines, into, room)
}

/// The names that were looked for (`cuGetProcAddress`) and are not here, in the same form.
#[unsafe(export_name = "poolproof_sim_not_found")]
pub extern "C" fn not_found(into: *mut c_char, room: usize) -> usize {
    let lines = with(|runtime| runtime.not_found().iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
    write_lines(&lines, into, room)
}

/// What the program did that no program may do, in the same form; it is not forgotten by being told.
#[unsafe(export_name = "poolproof_sim_misuse")]
pub extern "C" fn misuse(into: *mut c_char, room: usize) -> usize {
    let tell = |runtime: &mut crate::cudart::Runtime| {
        runtime.misuse().iter().map(|misuse| format!("{}: {}", misuse.call, misuse.what)).collect::<Vec<_>>()
    };
    write_lines(&with(tell).unwrap_or_default(), into, room)
}
