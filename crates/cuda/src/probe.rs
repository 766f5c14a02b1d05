//! Whether there is a CUDA driver here, and which devices it shows, without making a context.
//!
//! Decides nothing about memory. cudarc panics where the library or a symbol is missing, so both are looked for
//! first; and it asks the library for the words of an error, so errors are told by their codes alone.

use cudarc::driver::sys;

use super::telemetry::Uuid;

/// What was found of CUDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaProbe {
    /// The loader finds no driver library.
    NoLibrary,
    /// There is one, without a function that is needed.
    SymbolMissing {
        /// Its name.
        function: &'static str,
    },
    /// `cuInit` or a question after it failed, with CUDA's code (100: no device; 34: a stub; 803: versions differ).
    Failed {
        /// What was called.
        function: &'static str,
        /// What it answered.
        code: u32,
    },
    /// A driver that works.
    Found {
        /// It serves CUDA up to this (13000 is 13.0).
        version: i32,
        /// In CUDA's order.
        devices: Vec<CudaDeviceInfo>,
    },
}

/// A device as CUDA shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaDeviceInfo {
    /// The card's, as the driver says it.
    pub name: String,
    /// What NVML knows it by.
    pub uuid: Uuid,
    /// The size of its memory.
    pub total_bytes: u64,
}

const FUNCTIONS: [&str; 7] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetUuid_v2",
    "cuDeviceTotalMem_v2",
];

/// Looks. Never panics, whatever the machine has.
#[must_use]
pub fn cuda_probe() -> CudaProbe {
    // SAFETY: opens and closes the driver's library, whose initialisers are the vendor's; touches nothing of ours.
    if !unsafe { sys::is_culib_present() } {
        return CudaProbe::NoLibrary;
    }
    for function in FUNCTIONS {
        let symbol = format!("{function}\0");
        // SAFETY: the library is there, so this returns it; the symbol is looked up and not called.
        let found = unsafe { sys::culib().get::<*const ()>(symbol.as_bytes()).is_ok() };
        if !found {
            return CudaProbe::SymbolMissing { function };
        }
    }
    ask().unwrap_or_else(|(function, code)| CudaProbe::Failed { function, code })
}

fn checked(function: &'static str, result: sys::CUresult) -> Result<(), (&'static str, u32)> {
    if result == sys::CUresult::CUDA_SUCCESS { Ok(()) } else { Err((function, result as u32)) }
}

fn ask() -> Result<CudaProbe, (&'static str, u32)> {
    // SAFETY: the function is there; it takes no pointer, or one to a local that outlives the call.
    checked("cuInit", unsafe { sys::cuInit(0) })?;
    let (mut version, mut count) = (0, 0);
    // SAFETY: as above.
    checked("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut version) })?;
    // SAFETY: as above.
    checked("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&raw mut count) })?;
    let devices = (0..count).map(device).collect::<Result<_, _>>()?;
    Ok(CudaProbe::Found { version, devices })
}

fn device(ordinal: i32) -> Result<CudaDeviceInfo, (&'static str, u32)> {
    const ROOM: i32 = 128;
    let (mut handle, mut total_bytes, mut name) = (0, 0_usize, [0; ROOM as usize]);
    let mut uuid = sys::CUuuid { bytes: [0; 16] };
    // SAFETY: pointers to locals that outlive the calls; `handle` comes from cuDeviceGet, and the name is given its room.
    unsafe {
        checked("cuDeviceGet", sys::cuDeviceGet(&raw mut handle, ordinal))?;
        checked("cuDeviceGetName", sys::cuDeviceGetName(name.as_mut_ptr(), ROOM, handle))?;
        checked("cuDeviceGetUuid_v2", sys::cuDeviceGetUuid_v2(&raw mut uuid, handle))?;
        checked("cuDeviceTotalMem_v2", sys::cuDeviceTotalMem_v2(&raw mut total_bytes, handle))?;
    }
    let bytes: Vec<u8> = name.iter().map(|c| c.cast_unsigned()).take_while(|c| *c != 0).collect();
    Ok(CudaDeviceInfo {
        name: String::from_utf8_lossy(&bytes).into_owned(),
        uuid: Uuid(uuid.bytes.map(i8::cast_unsigned)),
        total_bytes: total_bytes as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_gets_an_answer() {
        match cuda_probe() {
            CudaProbe::Found { version, devices } => {
                assert!(version >= 1000, "{version}");
                assert!(devices.iter().all(|d| !d.name.is_empty() && d.total_bytes > 0), "{devices:?}");
            }
            // What looks here finds nothing where nothing can be used either.
            nothing => assert!(crate::probe().is_err(), "{nothing:?}"),
        }
    }
}
