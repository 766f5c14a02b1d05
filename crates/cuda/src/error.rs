//! What the CUDA driver answers when it refuses, in words of our own, and why a GPU cannot be used at all.
//!
//! Decides which codes break a context for good. Never asks the driver for the text of a code: without a driver
//! that cannot be asked.

use std::fmt;

use crate::op::size::human;

/// A code of the driver other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub i32);

impl Code {
    pub(super) const INVALID_VALUE: Code = Code(1);
    pub(super) const OUT_OF_MEMORY: Code = Code(2);
    pub(super) const NO_DEVICE: Code = Code(100);
    pub(super) const PEER_ACCESS_ALREADY_ENABLED: Code = Code(704);
    pub(super) const NOT_READY: Code = Code(600);

    /// The name that the driver's documentation uses, for the codes that occur in practice.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            1 => "invalid value",
            2 => "out of memory",
            3 => "not initialized",
            4 => "deinitialized",
            34 => "stub library",
            46 => "device unavailable",
            100 => "no device",
            101 => "invalid device",
            200 => "invalid image",
            201 => "invalid context",
            209 => "no binary for this GPU",
            214 => "uncorrectable ECC error",
            218 => "invalid PTX",
            220 => "uncorrectable NVLink error",
            221 => "no JIT compiler",
            222 => "unsupported PTX version",
            304 => "operating system call failed",
            400 => "invalid handle",
            500 => "not found",
            600 => "not ready",
            700 => "illegal address",
            701 => "launch out of resources",
            702 => "launch timeout",
            704 => "peer access is already enabled",
            709 => "context is destroyed",
            710 => "assertion failed on the device",
            714 => "hardware stack error",
            715 => "illegal instruction",
            716 => "misaligned address",
            717 => "invalid address space",
            718 => "invalid program counter",
            719 => "launch failed",
            800 => "not permitted",
            801 => "not supported",
            802 => "system not ready",
            803 => "driver and library versions differ",
            804 => "compatibility mode not supported on this device",
            999 => "unknown error",
            _ => "a code without a name here",
        }
    }

    /// Whether every later call on the context fails with the same code: only a new process helps.
    #[must_use]
    pub fn is_sticky(self) -> bool {
        matches!(self.0, 214 | 220 | 700 | 702 | 709 | 710 | 714..=719)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name())
    }
}

/// Why a GPU cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum CudaError {
    #[error("no CUDA driver is installed here (libcuda was not found)")]
    NoDriver,
    #[error("the CUDA driver has no function {symbol}: it is too old, or a stub")]
    SymbolMissing { symbol: &'static str },
    #[error("the CUDA driver is for CUDA {}.{}, and CUDA {}.{} is the least that is needed", found / 1000, found % 1000 / 10, needed / 1000, needed % 1000 / 10)]
    DriverTooOld { found: i32, needed: i32 },
    #[error("there is a CUDA driver, but no GPU that it can use")]
    NoDevice,
    #[error("there is no GPU {ordinal}: {count} can be used here")]
    NoSuchDevice { ordinal: u32, count: u32 },
    #[error("GPU {ordinal} cannot map memory into reserved addresses in pages of 2 MiB")]
    NoVirtualMemory { ordinal: u32 },
    #[error(
        "GPU {ordinal} has {} free, and {} are to be played on it: `poolproof processes` says who holds the rest",
        human(*.free), human(*.wanted)
    )]
    Crowded { ordinal: u32, free: u64, wanted: u64 },
    #[error("GPU {ordinal} has {} of memory, and {} are to be played on it", human(*.total), human(*.wanted))]
    TooSmall { ordinal: u32, total: u64, wanted: u64 },
    #[error(
        "GPU {ordinal} has not enough memory free for a context ({call} ran out of memory): \
         `poolproof processes` says who holds it"
    )]
    NoRoom { ordinal: u32, call: &'static str },
    #[error("no neighbour holds the rest of GPU {ordinal}: {reason}")]
    NoNeighbour { ordinal: u32, reason: String },
    #[error("GPU {ordinal} cannot get at the memory of GPU {peer}")]
    NoPeerAccess { ordinal: u32, peer: u32 },
    #[error("peer access needs two GPUs, and there is one")]
    NoPeer,
    #[error("{call} failed with error {code}")]
    Call { call: &'static str, code: Code },
    /// Of a bad_kernels on request.
    #[error("GPU {ordinal} let a kernel write where there is no memory")]
    Unharmed { ordinal: u32 },
    #[error("GPU {ordinal} is unusable in this process since error {code}")]
    Poisoned { ordinal: u32, code: Code },
}

impl CudaError {
    /// Lack of memory while a GPU is made ready is told with the GPU's number.
    pub(super) fn on(self, ordinal: u32) -> Self {
        match self {
            CudaError::Call { call, code: Code::OUT_OF_MEMORY } => CudaError::NoRoom { ordinal, call },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_without_a_driver() {
        let old = CudaError::DriverTooOld { found: 10020, needed: 11040 };
        assert_eq!(old.to_string(), "the CUDA driver is for CUDA 10.2, and CUDA 11.4 is the least that is needed");
        let failed = CudaError::Call { call: "cuInit", code: Code(999) };
        assert_eq!(failed.to_string(), "cuInit failed with error 999 (unknown error)");
    }

    #[test]
    fn what_breaks_a_context_is_told_from_what_does_not() {
        assert!([700, 716, 719].into_iter().all(|code| Code(code).is_sticky()));
        assert!([1, 2, 201, 600, 999].into_iter().all(|code| !Code(code).is_sticky()));
    }
}
