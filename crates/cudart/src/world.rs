//! What the runtime of a process knows: its devices, whose each stream is, and what was done that a program must not do.
//!
//! Decides which device a call is about. One at a time is in it: each C function is one step.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::codes;
use crate::contents::Contents;
use crate::device::StreamHandle;
use crate::device::physical::{PhysicalHandle, PhysicalMemory};
use crate::device::told::{DeviceLog, ToldDevice};
use crate::events::Events;
use crate::op::{Misuse, StreamId};
use crate::streams::MadeStreams;

/// A device that an allocator calls through this runtime, while the harness plays on it.
pub type SharedDevice = Box<dyn PhysicalMemory + Send>;

/// Physical memory that the program has a handle of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Created {
    pub(crate) device: usize,
    pub(crate) bytes: u64,
    pub(crate) handle: PhysicalHandle,
    /// What it holds, where contents are kept.
    pub(crate) physical: Option<u64>,
}

/// A range of addresses that the program reserved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) device: usize,
    pub(crate) bytes: u64,
}

/// Devices, and everything of theirs that a program has a handle of.
pub struct Runtime {
    pub(crate) devices: Vec<SharedDevice>,
    /// The number of each, as NVML counts, which lists those that the program does not see, too.
    numbers: Vec<usize>,
    /// Devices that the program does not see, by number.
    hidden: BTreeMap<usize, SharedDevice>,
    /// What devices answer, for whoever lives beside the allocator.
    logs: Vec<DeviceLog>,
    /// The device of each stream but the default ones.
    streams: FxHashMap<u64, usize>,
    pub(crate) events: Events,
    /// The device of each segment from `cudaMalloc`.
    pub(crate) segments: BTreeMap<u64, usize>,
    pub(crate) reserved: BTreeMap<u64, Reserved>,
    pub(crate) created: BTreeMap<u64, Created>,
    pub(crate) next_handle: u64,
    /// Streams that capture.
    capturing: BTreeSet<u64>,
    misuse: Vec<Misuse>,
    /// Functions that were called and are not here.
    unsupported: BTreeSet<String>,
    /// Names that were looked for and are not here. A library that brings CUDA's runtime along looks for all there are.
    not_found: BTreeSet<String>,
    /// Who is told of each function when it is first called, and of the first name that is not found.
    announce: Option<fn(&str)>,
    pub(crate) made: MadeStreams,
    /// What memory holds; `None` where memory is addresses alone.
    pub(crate) contents: Option<Contents>,
    /// Memory of the host by its address: how much, and whether it was made here or only registered.
    pub(crate) pinned: BTreeMap<usize, (usize, bool)>,
    /// Devices that were used, and have a primary context by that.
    contexts: BTreeSet<usize>,
}

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    static LATEST: Cell<i32> = const { Cell::new(codes::SUCCESS) };
}

/// Gives the process a runtime with these devices, in place of the one before.
pub fn install(devices: Vec<SharedDevice>) {
    let mut streams = FxHashMap::default();
    for (index, device) in devices.iter().enumerate() {
        let handles = (1..StreamId::LIMIT).map(|stream| device.stream_handle(StreamId(stream)).0);
        streams.extend(handles.map(|handle| (handle, index)));
    }
    let runtime = Runtime {
        numbers: (0..devices.len()).collect(),
        devices,
        hidden: BTreeMap::new(),
        logs: Vec::new(),
        streams,
        events: Events::default(),
        segments: BTreeMap::new(),
        reserved: BTreeMap::new(),
        created: BTreeMap::new(),
        next_handle: 1,
        capturing: BTreeSet::new(),
        misuse: Vec::new(),
        unsupported: BTreeSet::new(),
        not_found: BTreeSet::new(),
        announce: None,
        made: MadeStreams::default(),
        contents: None,
        pinned: BTreeMap::new(),
        contexts: BTreeSet::new(),
    };
    CURRENT.set(0);
    LATEST.set(codes::SUCCESS);
    *RUNTIME.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
}

/// The same for a whole program, which makes streams and copies: each device has that many streams to put behind those that it
/// makes, and memory holds what was copied to it. `announce` is told of every function that is asked for and not here, once.
/// Of the devices the program sees those whose places are in `visible`, in that order; NVML lists all. A place that no device has
/// is left out.
pub fn install_for_program(devices: Vec<SharedDevice>, visible: &[usize], streams: u8, announce: fn(&str)) {
    let mut hidden: BTreeMap<usize, SharedDevice> = devices.into_iter().enumerate().collect();
    let seen = visible.iter().filter_map(|number| Some((*number, hidden.remove(number)?)));
    let (numbers, seen): (Vec<usize>, Vec<SharedDevice>) = seen.unzip();
    install(seen);
    with(|runtime| {
        runtime.numbers = numbers;
        runtime.hidden = hidden;
        runtime.made.per_device = streams;
        runtime.contents = Some(Contents::default());
        runtime.announce = Some(announce);
    });
}

/// Takes the runtime away: its functions answer "not initialized" from then on.
pub fn uninstall() -> Option<Runtime> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Does something with the runtime while no C function runs; `None` where there is none.
pub fn with<R>(act: impl FnOnce(&mut Runtime) -> R) -> Option<R> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
}

/// The device of the calling thread from now on, as `cudaSetDevice` sets it; one that is not there is not looked for.
pub fn set_current_device(device: usize) {
    CURRENT.set(device);
}

pub(crate) fn current_device() -> usize {
    CURRENT.get()
}

/// A function of the runtime's: what it came to, also for `cudaGetLastError`.
pub(crate) fn call(act: impl FnOnce(&mut Runtime) -> Result<(), i32>) -> i32 {
    let code = match with(act) {
        Some(Ok(())) => return codes::SUCCESS,
        Some(Err(code)) => code,
        None => codes::NOT_INITIALIZED,
    };
    LATEST.set(code);
    code
}

/// A function of the driver's, which remembers no error.
pub(crate) fn driver_call(act: impl FnOnce(&mut Runtime) -> Result<(), i32>) -> i32 {
    match with(act) {
        Some(Ok(())) => codes::SUCCESS,
        Some(Err(code)) => code,
        None => codes::NOT_INITIALIZED,
    }
}

/// The latest error of this thread's.
pub(crate) fn latest() -> i32 {
    LATEST.get()
}

pub(crate) fn set_latest(code: i32) {
    LATEST.set(code);
}

impl Runtime {
    /// How many devices there are.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// A device, for whoever plays on it.
    pub fn device_mut(&mut self, index: usize) -> Option<&mut SharedDevice> {
        self.devices.get_mut(index)
    }

    /// How many devices there are, with those that the program does not see.
    pub(crate) fn listed(&self) -> usize {
        self.devices.len() + self.hidden.len()
    }

    /// The number of a device among all.
    pub(crate) fn number(&self, device: usize) -> usize {
        self.numbers.get(device).copied().unwrap_or(device)
    }

    /// The device of a number that the program sees, by its place.
    pub(crate) fn place_of(&self, number: usize) -> Option<usize> {
        self.numbers.iter().position(|&known| known == number)
    }

    /// A device by its number among all.
    pub(crate) fn numbered(&mut self, number: usize) -> Option<&mut SharedDevice> {
        match self.place_of(number) {
            Some(place) => self.devices.get_mut(place),
            None => self.hidden.get_mut(&number),
        }
    }

    /// Devices that answer from now on as these answer the allocator, each with that many streams.
    pub fn tell(&mut self, streams: u8) -> Vec<(ToldDevice, DeviceLog)> {
        self.logs = self.devices.iter().map(|_| DeviceLog::default()).collect();
        let told = |(device, log): (&SharedDevice, &DeviceLog)| {
            (ToldDevice::beside(&**device, streams, log.clone()), log.clone())
        };
        self.devices.iter().zip(&self.logs).map(told).collect()
    }

    /// Where the answers of all devices go.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &DeviceLog> {
        self.logs.iter()
    }

    /// Where the answers of a device go, if anybody wants them.
    pub(crate) fn log(&self, device: usize) -> Option<&DeviceLog> {
        self.logs.get(device)
    }

    /// A stream of a device captures from now on, or no more.
    pub fn set_capturing(&mut self, stream: StreamHandle, captures: bool) {
        if captures {
            self.capturing.insert(stream.0);
        } else {
            self.capturing.remove(&stream.0);
        }
    }

    /// Whether a stream captures.
    #[must_use]
    pub fn is_capturing(&self, stream: u64) -> bool {
        !self.capturing.is_empty() && self.capturing.contains(&stream)
    }

    /// Whether any stream captures.
    pub(crate) fn captures(&self) -> bool {
        !self.capturing.is_empty()
    }

    /// Devices on which a stream captures allow for now what a capture forbids, or do not.
    pub fn lift_captures(&mut self, lifted: bool) {
        let capturing: BTreeSet<usize> = self.capturing.iter().filter_map(|&s| self.device_of(s).ok()).collect();
        capturing.into_iter().for_each(|device| self.devices[device].capture(!lifted));
    }

    /// What the program should not have done, since this was last asked.
    pub fn take_misuse(&mut self) -> Vec<Misuse> {
        std::mem::take(&mut self.misuse)
    }

    /// The same, which stays to be taken.
    #[must_use]
    pub fn misuse(&self) -> &[Misuse] {
        &self.misuse
    }

    /// Functions that were called and are not here, by name.
    #[must_use]
    pub fn unsupported(&self) -> &BTreeSet<String> {
        &self.unsupported
    }

    pub(crate) fn note_unsupported(&mut self, name: String) {
        if let Some(announce) = self.announce.filter(|_| !self.unsupported.contains(&name)) {
            announce(&name);
        }
        self.unsupported.insert(name);
    }

    /// The same of names that were looked for and are not here: whoever looked was told so, and called none of them.
    #[must_use]
    pub fn not_found(&self) -> &BTreeSet<String> {
        &self.not_found
    }

    pub(crate) fn note_not_found(&mut self, name: &str) {
        if let Some(announce) = self.announce.filter(|_| self.not_found.is_empty()) {
            announce(&format!("cuGetProcAddress of {name:?}, and perhaps of more that are not told of one by one"));
        }
        self.not_found.insert(name.to_owned());
    }

    /// Whether a device has a primary context: it was used.
    pub(crate) fn has_context(&self, device: usize) -> bool {
        self.contexts.contains(&device)
    }

    /// A device is used.
    pub(crate) fn enter(&mut self, device: usize) {
        self.contexts.insert(device);
    }

    pub(crate) fn misused<T>(&mut self, call: &'static str, what: String, code: i32) -> Result<T, i32> {
        self.misuse.push(Misuse { call, what });
        Err(code)
    }

    /// What the program still holds of the driver's, in words: nothing, if it gave all back.
    #[must_use]
    pub fn left_behind(&self) -> Vec<Misuse> {
        let segments = self.segments.keys().map(|at| ("cudaMalloc", format!("the segment at {at:#x} was never freed")));
        let handles = self.created.values().map(|created| {
            ("cuMemCreate", format!("{} bytes of device {} were never released", created.bytes, created.device))
        });
        let ranges =
            self.reserved.keys().map(|at| ("cuMemAddressReserve", format!("the range at {at:#x} was never freed")));
        segments.chain(handles).chain(ranges).map(|(call, what)| Misuse { call, what }).collect()
    }

    /// The current device of the thread.
    pub(crate) fn current(&mut self) -> Result<&mut SharedDevice, i32> {
        let device = self.devices.get_mut(current_device()).ok_or(codes::INVALID_DEVICE)?;
        self.contexts.insert(current_device());
        Ok(device)
    }

    /// The device of a stream; the default one is that of the current device.
    pub(crate) fn device_of(&self, stream: u64) -> Result<usize, i32> {
        // `cudaStreamLegacy` is 1.
        if stream <= 1 {
            return Ok(current_device());
        }
        let device = self.streams.get(&stream).copied().or_else(|| self.device_of_made(stream));
        device.ok_or(codes::INVALID_HANDLE)
    }

    pub(crate) fn at(&mut self, device: usize) -> Result<&mut SharedDevice, i32> {
        self.devices.get_mut(device).ok_or(codes::INVALID_DEVICE)
    }
}
