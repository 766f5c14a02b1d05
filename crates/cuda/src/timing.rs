//! How fast a GPU's memory is written and checked, and what the driver's own calls cost.
//!
//! Decides what is timed and how often. Bandwidth is measured by events on the device, calls by the clock of the host.

use std::time::Instant;

use super::driver::Handle;
use super::gpu::{Gpu, Lease};
use super::{Code, CudaError};

const ROUNDS: u32 = 10;

/// Bytes a second; a copy counts both what it reads and what it writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bandwidth {
    /// Of the buffer.
    pub bytes: u64,
    /// Bytes a second of writing a pattern.
    pub fill: f64,
    /// Bytes a second of reading it back and comparing.
    pub verify: f64,
    /// Bytes a second that the card's own copy reads and writes.
    pub copy: f64,
}

/// Nanoseconds that getting and giving back a piece of memory takes together, by the driver's two ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CallTimes {
    /// Of the request.
    pub bytes: u64,
    /// From the device and to it: `cuMemAlloc` and `cuMemFree`.
    pub alloc_free: f64,
    /// Out of a warm pool, in the order of a stream.
    pub pooled: f64,
}

fn at(call: &'static str) -> impl FnOnce(Code) -> CudaError {
    move |code| CudaError::Call { call, code }
}

/// Fill, check and copy of `bytes`, in one go on an otherwise idle GPU.
///
/// # Errors
/// What is missing, or what the driver answers.
pub fn bandwidth(ordinal: u32, bytes: u64) -> Result<Bandwidth, CudaError> {
    let lease = Lease::take(ordinal)?;
    let gpu = lease.gpu;
    gpu.enter().map_err(at("cuCtxSetCurrent"))?;
    let from = gpu.driver.alloc(bytes).map_err(at("cuMemAlloc"))?;
    let measured = gpu.driver.alloc(bytes).map_err(at("cuMemAlloc")).and_then(|to| {
        let measured = measure(gpu, from, to, bytes).map_err(at("cuLaunchKernel"));
        gpu.driver.free(to).map_err(at("cuMemFree"))?;
        measured
    });
    gpu.driver.free(from).map_err(at("cuMemFree"))?;
    measured
}

fn measure(gpu: &Gpu, from: u64, to: u64, bytes: u64) -> Result<Bandwidth, Code> {
    let events = (gpu.driver.create_event(true)?, gpu.driver.create_event(true)?);
    let time = |work: &dyn Fn(Handle) -> Result<(), Code>| -> Result<f64, Code> {
        work(gpu.aside)?;
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            gpu.driver.record_event(events.0, gpu.aside)?;
            work(gpu.aside)?;
            gpu.driver.record_event(events.1, gpu.aside)?;
            gpu.driver.sync_event(events.1)?;
            best = best.min(f64::from(gpu.driver.elapsed(events.0, events.1)?) / 1e3);
        }
        Ok(best)
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let volume = bytes as f64;
    Ok(Bandwidth {
        bytes,
        fill: volume / time(&|stream| gpu.start_fill(stream, from, bytes, 1, 0))?,
        verify: volume / time(&|stream| gpu.start_verify(stream, from, bytes, 1, 0))?,
        copy: 2.0 * volume / time(&|stream| gpu.driver.copy_within(to, from, bytes, stream))?,
    })
}

/// The driver's own ways to get `bytes` and give them back, the mean of `rounds`.
///
/// # Errors
/// What is missing, or what the driver answers.
pub fn call_times(ordinal: u32, bytes: u64, rounds: u32) -> Result<CallTimes, CudaError> {
    let lease = Lease::take(ordinal)?;
    let gpu = lease.gpu;
    gpu.enter().map_err(at("cuCtxSetCurrent"))?;
    let alloc_free = mean(rounds, || gpu.driver.free(gpu.driver.alloc(bytes)?)).map_err(at("cuMemAlloc"))?;
    let pool = gpu.driver.create_pool(gpu.device, 0).map_err(at("cuMemPoolCreate"))?;
    let keep = cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    gpu.driver.set_pool_figure(pool, keep, u64::MAX).map_err(at("cuMemPoolSetAttribute"))?;
    let once = || gpu.driver.free_async(gpu.driver.pool_alloc(pool, bytes, gpu.aside)?, gpu.aside);
    let pooled = mean(rounds, once).map_err(at("cuMemAllocFromPoolAsync"));
    gpu.driver.sync_stream(gpu.aside).map_err(at("cuStreamSynchronize"))?;
    gpu.driver.destroy_pool(pool).map_err(at("cuMemPoolDestroy"))?;
    Ok(CallTimes { bytes, alloc_free, pooled: pooled? })
}

/// Nanoseconds a round, after one that does not count.
#[expect(clippy::disallowed_methods, reason = "what a call takes is the result")]
fn mean(rounds: u32, mut once: impl FnMut() -> Result<(), Code>) -> Result<f64, Code> {
    once()?;
    let start = Instant::now();
    for _ in 0..rounds {
        once()?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds.max(1)))
}
