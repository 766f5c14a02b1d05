//! One safe method for each function of the driver that is used: arguments in, a value or a code out.
//!
//! Decides nothing. What makes each call safe is said at it: the driver checks handles and device addresses itself
//! and answers a code for wrong ones, so only host pointers matter, and those are made here.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

use cudarc::driver::sys;

use super::driver::{Driver, Handle, answer};
use super::error::Code;

type CudaResult<T> = Result<T, Code>;

/// Streams that do not wait for the default one.
const NON_BLOCKING: c_uint = 1;
const NO_TIMING: c_uint = 2;
/// Host memory that every context and the device can use.
const PORTABLE_AND_MAPPED: c_uint = 3;

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument {
    Word(u64),
    Half(u32),
}

/// Calls a function of the driver that writes one value through its first argument.
macro_rules! get {
    ($function:expr, $start:expr $(, $argument:expr)*) => {{
        let mut value = $start;
        // SAFETY: the first argument points to a value of the type that the function writes; the others are plain values.
        answer(unsafe { $function(&raw mut value $(, $argument)*) }).map(|()| value)
    }};
}

/// Calls a function of the driver whose arguments are all plain values.
macro_rules! tell {
    ($function:expr $(, $argument:expr)*) => {
        // SAFETY: plain values; wrong handles and addresses are answered with a code.
        answer(unsafe { $function($($argument),*) })
    };
}

/// Page-locked host memory that a kernel sees while the host changes it. Never given back: there is one a GPU.
#[derive(Debug, Clone, Copy)]
pub(super) struct PinnedWords {
    host: usize,
    /// The same memory as kernels address it.
    pub(super) address: u64,
    words: usize,
}

impl PinnedWords {
    /// A word of it. Whatever is beyond the end is the last one.
    pub(super) fn word(&self, index: usize) -> &AtomicU32 {
        let index = index.min(self.words - 1);
        // SAFETY: inside memory that is never given back, aligned to a page at its start, and only used atomically.
        unsafe { AtomicU32::from_ptr((self.host as *mut u32).add(index)) }
    }

    /// Where a kernel finds the word.
    pub(super) fn address_of(&self, index: usize) -> u64 {
        self.address + 4 * index.min(self.words - 1) as u64
    }
}

impl Driver {
    pub(super) fn device(&self, ordinal: c_int) -> CudaResult<c_int> {
        get!(self.listed.get, 0, ordinal)
    }

    pub(super) fn device_name(&self, device: c_int) -> CudaResult<String> {
        let name =
            get!(|buffer: *mut [u8; 128], device| (self.listed.name)(buffer.cast(), 127, device), [0_u8; 128], device)?;
        Ok(CStr::from_bytes_until_nul(&name).map_or_else(|_| String::new(), |n| n.to_string_lossy().into_owned()))
    }

    pub(super) fn device_uuid(&self, device: c_int) -> CudaResult<[u8; 16]> {
        get!(self.listed.uuid, [0; 16], device)
    }

    pub(super) fn device_total(&self, device: c_int) -> CudaResult<u64> {
        get!(self.listed.total, 0, device)
    }

    pub(super) fn attribute(&self, device: c_int, attribute: sys::CUdevice_attribute) -> CudaResult<i32> {
        get!(self.points.device_attribute, 0, attribute as c_int, device)
    }

    pub(super) fn retain_context(&self, device: c_int) -> CudaResult<Handle> {
        get!(self.points.context_retain, Handle(0), device)
    }

    pub(super) fn set_context(&self, context: Handle) -> CudaResult<()> {
        tell!(self.points.context_set, context)
    }

    pub(super) fn sync_context(&self) -> CudaResult<()> {
        tell!(self.points.context_sync)
    }

    /// Whether kernels of one device can be let at the memory of the other.
    pub(super) fn can_access_peer(&self, device: c_int, peer: c_int) -> CudaResult<bool> {
        get!(self.points.can_access_peer, 0, device, peer).map(|answer| answer != 0)
    }

    /// Lets kernels of the current context at what `cuMemAlloc` gets on the other.
    pub(super) fn enable_peer(&self, context: Handle) -> CudaResult<()> {
        match tell!(self.points.enable_peer, context, 0) {
            Err(Code::PEER_ACCESS_ALREADY_ENABLED) => Ok(()),
            answer => answer,
        }
    }

    /// Free and total bytes.
    pub(super) fn memory_info(&self) -> CudaResult<(u64, u64)> {
        let mut total = 0;
        let free = get!(self.points.memory_info, 0, &raw mut total)?;
        Ok((free, total))
    }

    pub(super) fn alloc(&self, bytes: u64) -> CudaResult<u64> {
        get!(self.points.alloc, 0, bytes)
    }

    pub(super) fn free(&self, address: u64) -> CudaResult<()> {
        tell!(self.points.free, address)
    }

    pub(super) fn board(&self, words: usize) -> CudaResult<PinnedWords> {
        let host = get!(self.points.host_alloc, std::ptr::null_mut(), 4 * words.max(1) as u64, PORTABLE_AND_MAPPED)?;
        let address = get!(self.points.host_address, 0, host, 0)?;
        // SAFETY: fresh memory of that many bytes, which nobody else knows yet.
        unsafe { std::ptr::write_bytes(host.cast::<u8>(), 0, 4 * words.max(1)) };
        Ok(PinnedWords { host: host as usize, address, words: words.max(1) })
    }

    /// Copies words to the device and waits for it.
    pub(super) fn write_words(&self, address: u64, words: &[u64], stream: Handle) -> CudaResult<()> {
        let bytes = size_of_val(words) as u64;
        // SAFETY: reads the slice, which outlives the wait.
        answer(unsafe { (self.points.copy_in)(address, words.as_ptr().cast(), bytes, stream) })?;
        self.sync_stream(stream)
    }

    /// Copies bytes from the device and waits for them.
    pub(super) fn read_bytes(&self, into: &mut [u8], address: u64, stream: Handle) -> CudaResult<()> {
        // SAFETY: writes the slice, which outlives the wait.
        answer(unsafe { (self.points.copy_out)(into.as_mut_ptr().cast(), address, into.len() as u64, stream) })?;
        self.sync_stream(stream)
    }

    /// Copies two numbers from the device onto a board and waits for them.
    pub(super) fn read_pair(
        &self,
        board: &PinnedWords,
        index: usize,
        address: u64,
        stream: Handle,
    ) -> CudaResult<[u64; 2]> {
        let words: [&AtomicU32; 4] = std::array::from_fn(|i| board.word(index + i));
        // SAFETY: writes 16 bytes of the board, which is never given back and is read only after the wait.
        answer(unsafe { (self.points.copy_out)(words[0].as_ptr().cast(), address, 16, stream) })?;
        self.sync_stream(stream)?;
        let [a, b, c, d] = words.map(|word| u64::from(word.load(Ordering::Acquire)));
        Ok([a | b << 32, c | d << 32])
    }

    pub(super) fn copy_within(&self, to: u64, from: u64, bytes: u64, stream: Handle) -> CudaResult<()> {
        tell!(self.points.copy_within, to, from, bytes, stream)
    }

    pub(super) fn granularity(&self, ordinal: c_int) -> CudaResult<u64> {
        let minimum = sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_MINIMUM as c_int;
        let wanted = pinned(ordinal);
        get!(self.points.granularity, 0, &raw const wanted, minimum)
    }

    pub(super) fn reserve_addresses(&self, bytes: u64) -> CudaResult<u64> {
        get!(self.points.address_reserve, 0, bytes, 0, 0, 0)
    }

    pub(super) fn free_addresses(&self, address: u64, bytes: u64) -> CudaResult<()> {
        tell!(self.points.address_free, address, bytes)
    }

    /// Physical memory of a device.
    pub(super) fn create_memory(&self, ordinal: c_int, bytes: u64) -> CudaResult<u64> {
        let wanted = pinned(ordinal);
        get!(self.points.memory_create, 0, bytes, &raw const wanted, 0)
    }

    pub(super) fn release_memory(&self, handle: u64) -> CudaResult<()> {
        tell!(self.points.memory_release, handle)
    }

    pub(super) fn map(&self, address: u64, bytes: u64, handle: u64) -> CudaResult<()> {
        tell!(self.points.map, address, bytes, 0, handle, 0)
    }

    /// Lets the kernels of these devices at mapped memory.
    pub(super) fn set_access(&self, ordinals: &[c_int], address: u64, bytes: u64) -> CudaResult<()> {
        let flags = sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
        let access = |&ordinal| sys::CUmemAccessDesc { location: place(ordinal), flags };
        let all: Vec<sys::CUmemAccessDesc> = ordinals.iter().map(access).collect();
        // SAFETY: reads as many descriptions as it is told there are.
        answer(unsafe { (self.points.set_access)(address, bytes, all.as_ptr(), all.len() as u64) })
    }

    pub(super) fn unmap(&self, address: u64, bytes: u64) -> CudaResult<()> {
        tell!(self.points.unmap, address, bytes)
    }

    pub(super) fn create_stream(&self) -> CudaResult<Handle> {
        get!(self.points.stream_create, Handle(0), NON_BLOCKING)
    }

    pub(super) fn sync_stream(&self, stream: Handle) -> CudaResult<()> {
        tell!(self.points.stream_sync, stream)
    }

    /// Makes what is enqueued on a stream from now on wait for what the event marks now; it may be recorded anew after.
    pub(super) fn wait_in_stream(&self, stream: Handle, event: Handle) -> CudaResult<()> {
        tell!(self.points.stream_wait, stream, event, 0)
    }

    pub(super) fn create_event(&self, timed: bool) -> CudaResult<Handle> {
        get!(self.points.event_create, Handle(0), if timed { 0 } else { NO_TIMING })
    }

    pub(super) fn record_event(&self, event: Handle, stream: Handle) -> CudaResult<()> {
        tell!(self.points.event_record, event, stream)
    }

    /// Whether what was enqueued before the event has finished.
    pub(super) fn query_event(&self, event: Handle) -> CudaResult<bool> {
        match tell!(self.points.event_query, event) {
            Ok(()) => Ok(true),
            Err(Code::NOT_READY) => Ok(false),
            Err(code) => Err(code),
        }
    }

    pub(super) fn sync_event(&self, event: Handle) -> CudaResult<()> {
        tell!(self.points.event_sync, event)
    }

    /// Milliseconds between two timed events that have passed.
    pub(super) fn elapsed(&self, from: Handle, to: Handle) -> CudaResult<f32> {
        get!(self.points.event_elapsed, 0.0, from, to)
    }

    pub(super) fn load_module(&self, text: &CStr) -> CudaResult<Handle> {
        get!(self.points.module_load, Handle(0), text.as_ptr().cast())
    }

    pub(super) fn function(&self, module: Handle, name: &CStr) -> CudaResult<Handle> {
        get!(self.points.module_function, Handle(0), module, name.as_ptr())
    }

    /// Starts a kernel with so many groups of threads.
    pub(super) fn launch<const N: usize>(
        &self,
        function: Handle,
        (groups, threads): (u32, u32),
        stream: Handle,
        arguments: [Argument; N],
    ) -> CudaResult<()> {
        let mut words = arguments.map(|a| match a {
            Argument::Word(word) => word,
            Argument::Half(half) => u64::from(half), // little-endian: its low half is read
        });
        let mut pointers = words.each_mut().map(|word| std::ptr::from_mut(word).cast::<c_void>());
        let no_more = std::ptr::null_mut();
        let launch = self.points.launch;
        // SAFETY: one pointer for each parameter of the kernel, each to 8 bytes; the driver copies them before it returns.
        answer(unsafe { launch(function, groups, 1, 1, threads, 1, 1, 0, stream, pointers.as_mut_ptr(), no_more) })
    }

    /// A pool of a device that grows to `most` bytes; 0 leaves it without a limit.
    pub(super) fn create_pool(&self, ordinal: c_int, most: u64) -> CudaResult<Handle> {
        let properties = sys::CUmemPoolProps {
            allocType: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
            handleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_NONE,
            location: place(ordinal),
            win32SecurityAttributes: std::ptr::null_mut(),
            maxSize: usize::try_from(most).unwrap_or(0),
            usage: 0,
            reserved: [0; 54],
        };
        get!(self.points.pool_create, Handle(0), &raw const properties)
    }

    pub(super) fn destroy_pool(&self, pool: Handle) -> CudaResult<()> {
        tell!(self.points.pool_destroy, pool)
    }

    pub(super) fn trim_pool(&self, pool: Handle, keep: u64) -> CudaResult<()> {
        tell!(self.points.pool_trim, pool, keep)
    }

    pub(super) fn pool_figure(&self, pool: Handle, attribute: sys::CUmemPool_attribute) -> CudaResult<u64> {
        let mut value = 0;
        // SAFETY: the attributes asked for are all 64-bit numbers.
        answer(unsafe { (self.points.pool_get)(pool, attribute as c_int, &raw mut value) }).map(|()| value)
    }

    pub(super) fn set_pool_figure(
        &self,
        pool: Handle,
        attribute: sys::CUmemPool_attribute,
        value: u64,
    ) -> CudaResult<()> {
        let mut value = value;
        // SAFETY: the attributes set are all 64-bit numbers.
        answer(unsafe { (self.points.pool_set)(pool, attribute as c_int, &raw mut value) })
    }

    /// Turns one of the reuse policies off, which are 32-bit switches.
    pub(super) fn switch_pool_off(&self, pool: Handle, attribute: sys::CUmemPool_attribute) -> CudaResult<()> {
        self.set_pool_figure(pool, attribute, 0) // 8 bytes of zeros are 4 bytes of zeros
    }

    pub(super) fn pool_alloc(&self, pool: Handle, bytes: u64, stream: Handle) -> CudaResult<u64> {
        get!(self.points.pool_alloc, 0, bytes, pool, stream)
    }

    pub(super) fn free_async(&self, address: u64, stream: Handle) -> CudaResult<()> {
        tell!(self.points.free_async, address, stream)
    }
}

fn place(ordinal: c_int) -> sys::CUmemLocation {
    sys::CUmemLocation { type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE, id: ordinal }
}

/// Ordinary memory of a device.
fn pinned(ordinal: c_int) -> sys::CUmemAllocationProp {
    sys::CUmemAllocationProp {
        type_: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
        requestedHandleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_NONE,
        location: place(ordinal),
        win32HandleMetaData: std::ptr::null_mut(),
        allocFlags: sys::CUmemAllocationProp_st__bindgen_ty_1 {
            compressionType: 0,
            gpuDirectRDMACapable: 0,
            usage: 0,
            reserved: [0; 4],
        },
    }
}
