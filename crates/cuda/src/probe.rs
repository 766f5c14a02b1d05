//! Whether there is a CUDA driver here, and which devices it shows, without making a context.
//!
//! Decides nothing about memory: of a driver that borrowers could not use, this tells as much as there is. Errors are told by their
//! codes alone.

use std::ffi::c_int;

use super::library::{Devices, First, library};
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

/// Looks. Never panics, whatever the machine has.
#[must_use]
pub fn cuda_probe() -> CudaProbe {
    let Some(library) = library() else { return CudaProbe::NoLibrary };
    let found = First::look_up(library).and_then(|first| Ok((first, Devices::look_up(library)?)));
    match found {
        Err(function) => CudaProbe::SymbolMissing { function },
        Ok((first, devices)) => {
            ask(&first, &devices).unwrap_or_else(|(function, code)| CudaProbe::Failed { function, code })
        }
    }
}

fn checked(function: &'static str, result: c_int) -> Result<(), (&'static str, u32)> {
    if result == 0 { Ok(()) } else { Err((function, result.cast_unsigned())) }
}

fn ask(first: &First, listed: &Devices) -> Result<CudaProbe, (&'static str, u32)> {
    let (mut version, mut count) = (0, 0);
    // SAFETY: each takes no pointer, or one to a local that outlives the call.
    unsafe {
        checked("cuInit", (first.init)(0))?;
        checked("cuDriverGetVersion", (first.version)(&raw mut version))?;
        checked("cuDeviceGetCount", (listed.count)(&raw mut count))?;
    }
    let devices = (0..count).map(|ordinal| device(listed, ordinal)).collect::<Result<_, _>>()?;
    Ok(CudaProbe::Found { version, devices })
}

fn device(listed: &Devices, ordinal: c_int) -> Result<CudaDeviceInfo, (&'static str, u32)> {
    const ROOM: c_int = 128;
    let (mut handle, mut total_bytes, mut name, mut uuid) = (0, 0, [0; ROOM as usize], [0; 16]);
    // SAFETY: pointers to locals that outlive the calls; `handle` comes from cuDeviceGet, and the name is given its room.
    unsafe {
        checked("cuDeviceGet", (listed.get)(&raw mut handle, ordinal))?;
        checked("cuDeviceGetName", (listed.name)(name.as_mut_ptr(), ROOM, handle))?;
        checked("cuDeviceGetUuid_v2", (listed.uuid)(&raw mut uuid, handle))?;
        checked("cuDeviceTotalMem_v2", (listed.total)(&raw mut total_bytes, handle))?;
    }
    let bytes: Vec<u8> = name.iter().map(|c| c.cast_unsigned()).take_while(|c| *c != 0).collect();
    Ok(CudaDeviceInfo { name: String::from_utf8_lossy(&bytes).into_owned(), uuid: Uuid(uuid), total_bytes })
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
