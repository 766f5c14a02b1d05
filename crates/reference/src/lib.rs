//! Floor 2, the reference allocator: PyTorch's caching allocator, predicted figure by figure and address by address.
//!
//! Decides what PyTorch 2.11's native backend would do on any [`Device`]. Generic over the device, so
//! that the same code runs on a simulation, on a GPU and on the addresses of a recording. Never looks at `model`.

mod allocator;
mod bitmap;
mod block;
mod capture_context;
mod collect;
mod defect;
mod defect_bodies;
mod destination;
mod events;
mod expandable;
mod flat_table;
mod free;
mod free_index;
mod grow;
mod hand_out;
mod limit;
mod live;
#[cfg(any(test, fuzzing))]
pub mod naive;
mod needless_segments;
mod oom;
mod ordered;
mod pool;
mod prime;
mod private;
mod release;
pub mod rounding;
mod rules;
mod settings;
pub mod shared;
mod snapshot;
pub mod summary;
mod trace;
mod variation;
mod waits;

pub use allocator::{AllocError, DeviceAllocator};
pub use block::Order;
#[cfg(any(test, feature = "planted-defects"))]
pub use defect::Planted;
pub use defect::{Defect, OWN, Planting, Sound};
pub use destination::Destination;
pub use free::FreeError;
pub use oom::{Advice, OutOfMemory, TENSOR_LIMIT, TENSOR_LIMIT_MESSAGE};
pub use prime::{Holds, Part, PrimeError, Standing};
pub use private::{Catch, PoolError, PoolFlags, PoolId};
pub use rules::Rules;
pub use settings::{Remark, Settings, SettingsError};
pub use variation::{Variation, Variations};

use poolproof_device as device;
use poolproof_words::{op, requirement};
use rustc_hash::FxHashMap;

use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::snapshot::Snapshot;

/// A setting that releases before 2.11 do not know.
const LARGE_SEGMENTS: &str = "large_segment_size_mb";

/// Sizes are checked against the range of the signed accounts before they get here.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The same for what the device gave: no device has half of the 64-bit range.
#[inline]
fn counted(bytes: u64) -> i64 {
    bytes.cast_signed()
}

/// Why a fraction was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("Invalid fraction value: {fraction}. Allowed range: 0~1")]
pub struct FractionError {
    /// As it was given.
    pub fraction: f64,
}

/// The allocator of a process: one [`DeviceAllocator`] a device.
#[derive(Debug)]
pub struct Reference<D, P = Sound> {
    devices: Vec<DeviceAllocator<D, P>>,
    /// In force, as they were asked for.
    settings: Settings,
    /// How many graphs use each id, as the allocator of pinned memory counts: it never forgets one.
    graphs: FxHashMap<PoolId, u32>,
    planted: P,
    /// The caller's current device.
    current: usize,
    /// Nothing of PyTorch is around it but c10's library.
    library_alone: bool,
}

impl<D: Device, P: Planting> Reference<D, P> {
    /// An allocator on each device, in the order given.
    #[must_use]
    pub fn new(devices: Vec<D>, settings: &Settings, planted: P) -> Self {
        let devices =
            devices.into_iter().enumerate().map(|(i, d)| DeviceAllocator::new(i, d, *settings, planted)).collect();
        Reference {
            devices,
            settings: *settings,
            graphs: FxHashMap::default(),
            planted,
            current: 0,
            library_alone: false,
        }
    }

    /// Puts a settings string in force on every device, from the next call on.
    ///
    /// # Errors
    /// As [`Settings::change`], which also says what a refused string leaves behind.
    pub fn change_settings(&mut self, text: &str) -> Result<(), SettingsError> {
        if text.contains(LARGE_SEGMENTS) && self.devices.iter().any(|device| !device.large_segments_known) {
            // What of the string was in force by then is not known.
            self.devices.iter_mut().for_each(|device| device.private.unforeseeable = true);
            return Err(SettingsError::UnknownKey { key: LARGE_SEGMENTS.to_owned(), hint: None });
        }
        let changed = self.settings.change(text);
        let planted = self.planted;
        for (index, device) in self.devices.iter_mut().enumerate() {
            let told = index == 0 || !planted.has(Defect::SettingsOnFirstDevice);
            if told && !planted.has(Defect::SettingsReadOnce) {
                device.change_settings(self.settings);
            }
        }
        changed
    }

    /// The settings in force, as they were asked for.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it does otherwise.
    #[must_use]
    pub fn planted(&self) -> P {
        self.planted
    }

    /// How many devices it has.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// The allocator of a device, by position; panics where there is none.
    #[must_use]
    pub fn device(&self, index: usize) -> &DeviceAllocator<D, P> {
        &self.devices[index]
    }

    /// The same, to be asked.
    pub fn device_mut(&mut self, index: usize) -> &mut DeviceAllocator<D, P> {
        &mut self.devices[index]
    }

    /// The allocators of all devices, in order.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceAllocator<D, P>> {
        self.devices.iter()
    }

    /// Takes a block back, whichever device it is on.
    ///
    /// # Errors
    /// No device has a live block there, or a device call failed.
    pub fn free(&mut self, address: u64) -> Result<(), FreeError> {
        if address == 0 {
            return Ok(());
        }
        let owner = self.devices.iter().position(|d| d.owns(address));
        if owner.is_none() {
            self.devices.iter_mut().for_each(DeviceAllocator::note_refused);
        }
        self.devices.get_mut(owner.unwrap_or(0)).map_or(Err(FreeError::InvalidPointer { address }), |d| d.free(address))
    }

    /// Records that a stream uses a live block, whichever device it is on.
    pub fn record_stream(&mut self, address: u64, stream: StreamHandle) {
        if let Some(owner) = self.devices.iter_mut().find(|d| d.owns(address)) {
            owner.record_stream(address, stream);
        }
    }

    /// Gives the cache of every device back.
    ///
    /// # Errors
    /// The first device call that failed; the other devices were emptied all the same.
    pub fn empty_cache(&mut self) -> Result<(), DeviceError> {
        let mut result = Ok(());
        for index in 0..self.devices.len() {
            result = result.and(self.give_back_on(index, |device| {
                device.note_trim();
                device.release_cached()
            }));
        }
        result
    }

    /// It goes by the rules of another release than 2.11. Before the first call.
    #[must_use]
    pub fn by(mut self, rules: Rules) -> Self {
        self.devices.iter_mut().for_each(|device| device.go_by(rules));
        self
    }

    /// It follows what a real allocator did: also where that takes a part of a segment for one, and the driver refuses it.
    #[must_use]
    pub fn as_recorded(mut self) -> Self {
        self.devices.iter_mut().for_each(|device| device.raises_for_parts = true);
        self
    }

    /// It stands for c10's library alone, without ATen and Python around it: nobody counts a graph's uses of pinned memory.
    /// Streams are known by their handles, so that those that are waited for come in the order of the library's hash table.
    #[must_use]
    pub fn library_alone(mut self) -> Self {
        self.library_alone = true;
        self.devices.iter_mut().for_each(DeviceAllocator::stand_alone);
        self
    }

    /// Calls come from a thread with this current device from now on.
    pub fn set_current(&mut self, device: usize) {
        self.current = device;
    }

    /// Has a device give memory back while the caller's current device may be another one.
    fn give_back_on(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut DeviceAllocator<D, P>) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let current = self.current;
        let device = &mut self.devices[index];
        device.elsewhere = index != current;
        let result = act(device);
        device.elsewhere = false;
        let due = std::mem::take(&mut device.wait_due);
        match self.devices.get_mut(current).filter(|_| due) {
            Some(waited) => result.and(waited.device_mut().wait_stream(StreamHandle(0))),
            None => result,
        }
    }

    /// A stream of a device begins to capture into a pool, which is made if need be.
    ///
    /// # Errors
    /// The pool, or what pinned memory knows of it, lost its last graph before. PyTorch 2.11 fails an assertion then, in one
    /// place or the other; what it leaves behind where only the second fails was not observed, and is taken to be nothing.
    pub fn begin_capture(&mut self, device: usize, id: PoolId, stream: StreamHandle) -> Result<(), PoolError> {
        if self.devices[device].is_dead(id) || (!self.library_alone && self.graphs.get(&id) == Some(&0)) {
            return Err(PoolError::Spent { id });
        }
        self.devices[device].enter_pool(id, Catch::Stream(stream))?;
        *self.graphs.entry(id).or_default() += 1;
        Ok(())
    }

    /// A captured graph is gone.
    ///
    /// # Errors
    /// As [`DeviceAllocator::release_pool_user`].
    pub fn reset_graph(&mut self, device: usize, id: PoolId) -> Result<(), PoolError> {
        if let Some(graphs) = self.graphs.get_mut(&id) {
            *graphs = graphs.saturating_sub(1);
        }
        self.devices[device].release_pool_user(id)
    }

    /// The last reference to a `MemPool` made on device `home` is gone: its memory is given back wherever nobody uses it.
    ///
    /// # Errors
    /// As [`DeviceAllocator::drop_pool`]; inside, the first device call that failed.
    pub fn drop_pool(&mut self, home: usize, id: PoolId) -> Result<Result<(), DeviceError>, PoolError> {
        let mut refused = None;
        let mut result = self.give_back_on(home, |device| match device.drop_pool(id) {
            Ok(flushed) => flushed,
            Err(error) => {
                refused = Some(error);
                Ok(())
            }
        });
        if let Some(error) = refused {
            return Err(error);
        }
        for index in (0..self.devices.len()).filter(|&index| index != home) {
            result = result.and(self.give_back_on(index, |device| device.release_dead(Some(id))));
        }
        Ok(result)
    }

    /// Allows `fraction` of the device's memory from now on.
    ///
    /// # Errors
    /// Outside [0, 1], or not a number.
    pub fn set_fraction(&mut self, device: usize, mut fraction: f64) -> Result<(), FractionError> {
        if self.planted.has(Defect::FractionActsThoughRefused) {
            self.devices[device].set_limit(fraction);
        }
        if self.planted.has(Defect::FractionClamped) {
            fraction = fraction.clamp(0.0, 1.0);
        }
        let lenient = self.planted.has(Defect::FractionNanAccepted) && fraction.is_nan();
        if !(0.0..=1.0).contains(&fraction) && !lenient {
            return Err(FractionError { fraction });
        }
        self.devices[device].set_limit(fraction);
        Ok(())
    }

    /// Segments and blocks of every device.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { segments: self.devices.iter().flat_map(DeviceAllocator::segments).collect() }
    }

    /// Starts to record what each device's allocator does.
    pub fn record_trace(&mut self) {
        for device in &mut self.devices {
            device.start_trace();
        }
    }
}

#[cfg(test)]
mod faults_test;
#[cfg(test)]
mod planted_test;
#[cfg(test)]
mod private_test;
#[cfg(test)]
mod processes_test;
#[cfg(test)]
mod tests;
