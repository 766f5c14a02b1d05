//! Kernels that go wrong on request, so that a harness can be seen to survive them.
//!
//! Decides what is started beside whatever a borrower does; takes no lease, since the borrower has it. Both leave the
//! process as such a kernel of an allocator's would: stuck in the driver, or without a usable context.

use super::error::{Code, CudaError};
use super::gpu::{Gpu, gpu};

/// So long a kernel spins that nobody lets go: far beyond the deadline of any call, and not for ever, in case that the
/// end of the process does not end it.
const SPIN: u64 = 600_000_000_000;

/// A page that is never mapped: allocations lie far above.
const NOWHERE: u64 = 1 << 20;

fn at(call: &'static str) -> impl FnOnce(Code) -> CudaError {
    move |code| CudaError::Call { call, code }
}

fn entered(ordinal: u32) -> Result<&'static Gpu, CudaError> {
    let gpu = gpu(ordinal)?;
    gpu.enter().map_err(at("cuCtxSetCurrent"))?;
    Ok(gpu)
}

/// Starts a kernel that does not end and waits for it in the driver.
///
/// # Errors
/// What is missing, or what the driver answers once the kernel has ended after all.
pub fn hang(ordinal: u32) -> Result<(), CudaError> {
    let gpu = entered(ordinal)?;
    gpu.start_stuck(gpu.aside, SPIN).map_err(at("cuLaunchKernel"))?;
    gpu.driver.sync_stream(gpu.aside).map_err(at("cuStreamSynchronize"))
}

/// Lets a kernel write where there is no memory, which breaks the context for good, and answers the driver's code.
///
/// # Errors
/// What is missing, or that the driver did not mind.
pub fn touch_nowhere(ordinal: u32) -> Result<i32, CudaError> {
    let gpu = entered(ordinal)?;
    let started = gpu.start_fill(gpu.aside, NOWHERE, 64, 0, 0);
    match started.and_then(|()| gpu.driver.sync_stream(gpu.aside)) {
        Err(code) if code.is_sticky() => {
            gpu.poison(code);
            Ok(code.0)
        }
        Err(code) => Err(at("cuStreamSynchronize")(code)),
        Ok(()) => Err(CudaError::Unharmed { ordinal }),
    }
}
