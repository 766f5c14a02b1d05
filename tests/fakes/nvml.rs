//! A library that answers like NVML, or like NVML in trouble: compiled by `tests/telemetry.rs`, never linked.
//!
//! Decides what each case answers. The case is a word in the file itself, which the test writes over, so that one
//! compilation serves all. A missing function is made the same way: its name is written over. Where FAKE_CUDA_SHARED
//! names a file, the devices are those of the fake CUDA driver, with the memory that living processes have of them, or
//! FAKE_NVML_SHOWS hundredths of it; with FAKE_NVML_OTHERS the parent of this process is on every device too.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

#[used]
static CASE: [u8; 32] = *b"@case:plain.....................";

/// How often anything was listed, for cases that change between two calls.
static CALLS: AtomicU32 = AtomicU32::new(0);

const GIB: u64 = 1 << 30;

const NOT_SUPPORTED: c_uint = 3;
const NO_PERMISSION: c_uint = 4;
const INVALID_ARGUMENT: c_uint = 2;
const TOO_SMALL: c_uint = 7;
const DRIVER_NOT_LOADED: c_uint = 9;
const LOST: c_uint = 15;
const MISMATCH: c_uint = 18;

fn case() -> &'static str {
    // SAFETY: a static of this library; volatile, so that the word is read from the file and not from the source.
    let bytes = unsafe { std::ptr::read_volatile(&raw const CASE) };
    let text: &'static [u8] = Box::leak(Box::new(bytes));
    std::str::from_utf8(&text[6..]).unwrap_or("").trim_end_matches('.')
}

/// Processes with what they have of each device, as `tests/fake_cuda/libcuda.c` writes them.
const MOST: usize = 8;

fn shared() -> Option<Vec<(u32, [u64; MOST])>> {
    let bytes = std::fs::read(std::env::var_os("FAKE_CUDA_SHARED")?).unwrap_or_default();
    let word = |chunk: &[u8], i: usize| u64::from_le_bytes(std::array::from_fn(|b| chunk[8 * i + b]));
    let slots = bytes.chunks_exact(8 * (1 + MOST));
    let slots = slots.map(|slot| (word(slot, 0) as u32, std::array::from_fn(|device| word(slot, 1 + device))));
    Some(slots.filter(|(pid, _)| lives(*pid)).collect())
}

fn lives(pid: u32) -> bool {
    // Places that nobody has taken: there are many, and each is looked at for every figure.
    if pid == 0 {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[repr(C)]
pub struct Memory {
    version: c_uint,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

#[repr(C)]
pub struct Process {
    pid: c_uint,
    used: u64,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_uint {
    match case() {
        "driver-not-loaded" => DRIVER_NOT_LOADED,
        "mismatch" => MISMATCH,
        "init-denied" => NO_PERMISSION,
        "init-strange" => 77,
        _ => 0,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_uint {
    0
}

/// # Safety
/// `into` has room for `room` bytes.
unsafe fn say(text: &str, into: *mut c_char, room: c_uint) -> c_uint {
    if text.len() >= room as usize {
        return TOO_SMALL;
    }
    for (i, byte) in text.bytes().chain([0]).enumerate() {
        unsafe { into.add(i).write(byte as c_char) };
    }
    0
}

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(into: *mut c_char, room: c_uint) -> c_uint {
    unsafe { say("580.00.01", into, room) }
}

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(into: *mut c_int) -> c_uint {
    unsafe { into.write(13_000) };
    0
}

fn devices() -> usize {
    if shared().is_some() {
        return number("FAKE_CUDA_DEVICES", 1) as usize;
    }
    match case() {
        "none" => 0,
        "two" => 2,
        _ => 1,
    }
}

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(into: *mut c_uint) -> c_uint {
    unsafe { into.write(devices() as c_uint) };
    0
}

/// A device is its index and 1.
///
/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, into: *mut *mut c_void) -> c_uint {
    if index as usize >= devices() {
        return INVALID_ARGUMENT;
    }
    unsafe { into.write((index as usize + 1) as *mut c_void) };
    0
}

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(device: *mut c_void, into: *mut c_char, room: c_uint) -> c_uint {
    if shared().is_some() {
        let byte = format!("{:02x}", device as usize);
        return unsafe { say(&"GPU-bbbb-bb-bb-bb-bbbbbb".replace('b', &byte), into, room) };
    }
    // Not in the order of the indices: nothing may rely on that.
    let digit = if device as usize == 1 { "2" } else { "1" };
    let text = "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".replace('x', digit);
    unsafe { say(&text, into, room) }
}

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(_device: *mut c_void, into: *mut c_char, room: c_uint) -> c_uint {
    if case() == "not-text" {
        return unsafe {
            into.write(0xff_u8 as c_char);
            0
        };
    }
    let name = if case() == "escapes" { "NVIDIA \x1b[31mred" } else { "NVIDIA Fake" };
    unsafe { say(name, into, room) }
}

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: *mut c_void, into: *mut Memory) -> c_uint {
    match case() {
        "lost" => return LOST,
        "memory-unavailable" => return NOT_SUPPORTED,
        _ => {}
    }
    let memory = unsafe { &mut *into };
    if let Some(slots) = shared() {
        let total = number("FAKE_CUDA_BYTES", 8 * GIB);
        let used: u64 = slots.iter().map(|(_, used)| used[device as usize - 1]).sum();
        let used = used / 100 * number("FAKE_NVML_SHOWS", 100);
        (memory.total, memory.reserved, memory.free, memory.used) = (total, 0, total.saturating_sub(used), used);
        return 0;
    }
    let used = device as u64 * GIB;
    (memory.total, memory.reserved, memory.free, memory.used) = (80 * GIB, GIB / 2, 80 * GIB - GIB / 2 - used, used);
    0
}

fn process(pid: u32, used: u64) -> Process {
    Process { pid, used, gpu_instance: c_uint::MAX, compute_instance: c_uint::MAX }
}

/// Numbers that no process can have.
const SOMEBODY: u32 = 4_194_400;

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: *mut c_void,
    count: *mut c_uint,
    into: *mut Process,
) -> c_uint {
    let calls = CALLS.fetch_add(1, SeqCst);
    let is_count = into.is_null();
    let own = std::process::id();
    if let Some(slots) = shared() {
        let on = slots.iter().map(|(pid, used)| process(*pid, used[device as usize - 1])).filter(|p| p.used > 0);
        let parent = std::env::var_os("FAKE_NVML_OTHERS").map(|_| process(std::os::unix::process::parent_id(), GIB));
        let on = on.chain(parent);
        return unsafe { hand_over(&on.collect::<Vec<_>>(), count, into) };
    }
    let list = match case() {
        "lost" => return LOST,
        "denied" => return NO_PERMISSION,
        "impossible" => return unsafe { announce(u32::MAX, count) },
        "none" | "idle" => vec![],
        "gone" if is_count => vec![process(SOMEBODY, GIB), process(SOMEBODY + 1, GIB)],
        "gone" => vec![process(SOMEBODY, GIB)],
        "all-gone" if is_count => vec![process(SOMEBODY, GIB)],
        "all-gone" => vec![],
        "memory-unavailable" => vec![process(SOMEBODY, u64::MAX)],
        // Three newcomers more than there is room for, the first time.
        "growing-once" => (0..if calls == 0 { 1 } else { 9 }).map(|i| process(SOMEBODY + i, GIB)).collect(),
        "growing" => (0..1 + 9 * calls).map(|i| process(SOMEBODY + i, GIB)).collect(),
        "two" if device as usize == 2 => vec![],
        _ => vec![process(own, 3 << 20), process(SOMEBODY, GIB)],
    };
    unsafe { hand_over(&list, count, into) }
}

/// # Safety
/// As NVML's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: *mut c_void,
    count: *mut c_uint,
    into: *mut Process,
) -> c_uint {
    let list = match case() {
        "no-graphics" => return NOT_SUPPORTED,
        "two" if device as usize == 1 => vec![process(SOMEBODY + 1, u64::MAX)],
        _ => vec![],
    };
    unsafe { hand_over(&list, count, into) }
}

unsafe fn announce(length: u32, count: *mut c_uint) -> c_uint {
    unsafe { count.write(length) };
    if length == 0 { 0 } else { TOO_SMALL }
}

unsafe fn hand_over(list: &[Process], count: *mut c_uint, into: *mut Process) -> c_uint {
    let room = unsafe { count.read() } as usize;
    unsafe { count.write(list.len() as c_uint) };
    if list.len() > room {
        return TOO_SMALL;
    }
    for (i, one) in list.iter().enumerate() {
        unsafe { into.add(i).write(Process { ..*one }) };
    }
    0
}
