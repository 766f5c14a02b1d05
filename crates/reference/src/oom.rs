//! The refusal for lack of memory, in PyTorch's words.

use std::fmt;

use super::allocator::{AllocError, DeviceAllocator, Request};
use super::block::Slot;
use super::defect::{Defect, Planting};
use crate::device::{Device, ProcessMemory};
use crate::op::Counter;
use crate::op::trace::Action;

/// Requests of this size or more are refused by the framework before the allocator sees them.
pub const TENSOR_LIMIT: u64 = 1 << 60;

/// What `torch.empty` says for [`TENSOR_LIMIT`] and more.
pub const TENSOR_LIMIT_MESSAGE: &str = "CUDA out of memory. Tried to allocate more than 1EB memory.";

/// The figures of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// By position.
    pub device: usize,
    /// The segment that was asked for.
    pub segment: u64,
    /// Bytes of the device.
    pub total: u64,
    /// Bytes of it that nobody holds.
    pub free: u64,
    /// What each process on the device holds; none where nobody tells.
    pub processes: Vec<ProcessMemory>,
    /// Bytes that may be reserved; `None` without a limit.
    pub limit: Option<u64>,
    /// Bytes handed out.
    pub allocated: u64,
    /// Cached in private pools.
    pub private: u64,
    /// Reserved but not allocated.
    pub unallocated: u64,
    /// What it advises.
    pub advice: Advice,
}

/// What a refusal advises, by release and settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Advice {
    /// To set `expandable_segments`, whether that is set or not.
    #[default]
    Expandable,
    /// The same with an older address of the documentation: before 2.11.
    ExpandableBefore,
    /// The same with the variable's newer name: 2.10 alone.
    ExpandableRenamed,
    /// Nothing: since 2.14 with `expandable_segments`.
    Nothing,
    /// How to reserve fewer addresses: since 2.15 with `expandable_segments`.
    FewerAddresses,
}

impl Advice {
    /// The same release's without `expandable_segments`.
    fn without_expandable(self) -> Self {
        match self {
            Advice::Nothing | Advice::FewerAddresses => Advice::Expandable,
            same => same,
        }
    }
}

/// The variable that is advised, and where its documentation is.
const HINT: (&str, &str) = (
    "PYTORCH_CUDA_ALLOC_CONF",
    "docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-cuda-alloc-conf",
);
const HINT_BEFORE: (&str, &str) =
    ("PYTORCH_CUDA_ALLOC_CONF", "pytorch.org/docs/stable/notes/cuda.html#environment-variables");
const HINT_RENAMED: (&str, &str) =
    ("PYTORCH_ALLOC_CONF", "pytorch.org/docs/stable/notes/cuda.html#environment-variables");

const FEWER_ADDRESSES: &str = " expandable_segments is enabled. If instead the process is running out of virtual address \
    space (VSZ), expandable segments may be over-reserving VA (each segment reserves ~9/8 of device memory, times the \
    number of streams); reduce it via PYTORCH_CUDA_ALLOC_CONF expandable_segments_reserve / \
    expandable_segments_reserve_by_class.";

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutOfMemory { device, segment, total, free, processes, limit, allocated, private, unallocated, advice } =
            self;
        write!(
            f,
            "CUDA out of memory. Tried to allocate {}. GPU {device} has a total capacity of {} of which {} is free. ",
            Size(*segment),
            Size(*total),
            Size(*free)
        )?;
        for ProcessMemory { process, bytes } in processes {
            match process {
                Some(number) => write!(f, "Process {number} has ")?,
                None => write!(f, "Including non-PyTorch memory, this process has ")?,
            }
            write!(f, "{} memory in use. ", Size(*bytes))?;
        }
        if let Some(limit) = limit {
            write!(f, "{} allowed; ", Size(*limit))?;
        }
        write!(f, "Of the allocated memory {} is allocated by PyTorch, ", Size(*allocated))?;
        if *private > 0 {
            write!(f, "with {} allocated in private pools (e.g., CUDA Graphs), ", Size(*private))?;
        }
        write!(f, "and {} is reserved by PyTorch but unallocated.", Size(*unallocated))?;
        let (variable, documentation) = match advice {
            Advice::Expandable => HINT,
            Advice::ExpandableBefore => HINT_BEFORE,
            Advice::ExpandableRenamed => HINT_RENAMED,
            Advice::Nothing => return Ok(()),
            Advice::FewerAddresses => return f.write_str(FEWER_ADDRESSES),
        };
        write!(
            f,
            " If reserved but unallocated memory is large try setting {variable}=expandable_segments:True to avoid \
             fragmentation.  See documentation for Memory Management  (https://{documentation})"
        )
    }
}

/// PyTorch's own format: a unit only above its first multiple, so that 1 MiB prints as `1024.00 KiB`.
///
/// By integers: the fraction of a double that two decimals are printed of ends within a power of two, so that they can be
/// rounded without it, as C does, and a refusal has half a dozen of them.
#[derive(Debug, Clone, Copy)]
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bits, unit) = match self.0 {
            bytes if bytes <= 1 << 10 => return write!(f, "{bytes} bytes"),
            bytes if bytes <= 1 << 20 => (10, "KiB"),
            bytes if bytes <= 1 << 30 => (20, "MiB"),
            _ => (30, "GiB"),
        };
        let hundredths = rounded(self.0, bits);
        write!(f, "{}.{:02} {unit}", hundredths / 100, hundredths % 100)
    }
}

/// Hundredths of two to the power of `bits`, rounded to the nearest; halfway between two to the even one.
fn rounded(bytes: u64, bits: u32) -> u128 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number"
    )]
    let as_double = bytes as f64 as u128;
    let all = as_double * 100;
    let (whole, rest, half) = (all >> bits, all & ((1 << bits) - 1), 1 << (bits - 1));
    whole + u128::from(rest > half || rest == half && whole & 1 == 1)
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Where there is nothing left to try: what pools that help out have, in releases that ask them last.
    pub(super) fn last_resort(&mut self, request: &Request) -> Result<Slot, AllocError> {
        self.private.unforeseeable |= self.helpers_last && self.private.deleted_helper;
        if self.helpers_last
            && let Some(slot) = self.find_in_helpers(request)?
        {
            return Ok(slot);
        }
        Err(self.out_of_memory(request))
    }

    /// Counts the refusal and gathers its figures.
    pub(super) fn out_of_memory(&mut self, request: &Request) -> AllocError {
        let total = self.device.total_bytes();
        // A driver that cannot say what is free has failed, and its error is what the caller gets.
        let free = match self.device.free_bytes() {
            Ok(free) => free,
            Err(error) => return error.into(),
        };
        self.note(Action::Oom, free, request.size, request.stream, request.pool);
        let segment = self.segment_for(request);
        let by_limit = self.limit.is_some() && free >= segment;
        if !(by_limit && self.planted.has(Defect::LimitOomNotCounted)) {
            *self.stats.counter_mut(Counter::NumOoms) += 1;
        }
        self.miscount_oom(request);
        let (mut allocated, private, mut unallocated) = self.message_figures();
        if self.planted.has(Defect::MessageReservedAsAllocated) {
            (allocated, unallocated) = (allocated + unallocated, 0);
        }
        let unset = self.planted.has(Defect::MessageLimitUnset).then_some(u64::MAX);
        let rounded = self.planted.has(Defect::MessageNamesBlock);
        AllocError::OutOfMemory(Box::new(OutOfMemory {
            advice: if self.settings.expandable_segments { self.advice } else { self.advice.without_expandable() },
            device: if self.planted.has(Defect::MessageDeviceZero) { 0 } else { self.index },
            segment: if rounded { request.size } else { segment },
            total,
            free,
            processes: self.processes(),
            // No limit at all, but for the sake of ages (`limit_to`).
            limit: self.limit.filter(|&limit| limit != u64::MAX).or(unset),
            allocated,
            private,
            unallocated,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_as_recorded() {
        let cases = [(100, "100 bytes"), (1 << 20, "1024.00 KiB"), (2 << 20, "2.00 MiB"), (1 << 30, "1024.00 MiB")];
        for (bytes, text) in cases {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn sizes_are_rounded_as_doubles_are() {
        let mut draw = 1_u64;
        let mut sizes = vec![1152, 3 * 1152, 1 << 53 | 1, u64::MAX];
        for _ in 0..20_000 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sizes.extend([draw >> (draw & 63), (draw >> 44) * 128, (draw >> 40) << 17, (draw >> 44) << 27]);
        }
        for bytes in sizes.into_iter().filter(|&bytes| bytes > 1 << 10) {
            let (bits, unit) =
                [(10, "KiB"), (20, "MiB"), (30, "GiB")][usize::from(bytes > 1 << 20) + usize::from(bytes > 1 << 30)];
            assert_eq!(Size(bytes).to_string(), format!("{:.2} {unit}", bytes as f64 / f64::from(1 << bits)));
        }
    }

    #[test]
    fn the_message_names_size_device_limit_and_whereabouts() {
        let refusal = OutOfMemory {
            advice: Advice::Expandable,
            device: 1,
            segment: 20 << 20,
            total: 64 << 20,
            free: 42 << 20,
            processes: Vec::new(),
            limit: Some(32 << 20),
            allocated: 19 << 20,
            private: 0,
            unallocated: 3 << 20,
        };
        let text = refusal.to_string();
        assert!(text.starts_with("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 1 has a total capacity of 64.00 MiB of which 42.00 MiB is free. 32.00 MiB allowed; Of the allocated memory 19.00 MiB is allocated by PyTorch, and 3.00 MiB is reserved by PyTorch but unallocated. If reserved"), "{text}");
        assert!(text.contains("Management  (https://"));
        let own = ProcessMemory { process: None, bytes: 22 << 20 };
        let processes = vec![ProcessMemory { process: Some(77), bytes: 20 << 20 }, own];
        let text = OutOfMemory { free: 22 << 20, processes, ..refusal }.to_string();
        assert!(text.contains("22.00 MiB is free. Process 77 has 20.00 MiB memory in use. Including non-PyTorch memory, this process has 22.00 MiB memory in use. 32.00 MiB allowed; Of"), "{text}");
    }
}
