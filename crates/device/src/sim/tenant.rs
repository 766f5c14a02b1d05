//! A simulated device that several allocators share, as processes share a real one.
//!
//! Decides that each call is one step: no two of them meet. Which process a caller is, the device does not know.

use std::sync::{Arc, Mutex, PoisonError};

use super::SimDevice;
use crate::{Device, DeviceError, Event, StreamHandle};

/// One process's handle of a shared device. A clone is another process's.
#[derive(Debug, Clone)]
pub struct Tenant {
    device: Arc<Mutex<SimDevice>>,
}

impl Tenant {
    /// A tenant of the device.
    #[must_use]
    pub fn new(device: SimDevice) -> Self {
        Tenant { device: Arc::new(Mutex::new(device)) }
    }

    /// Does something with the device while nobody else does. After a panic it is as that left it.
    pub fn with<R>(&self, act: impl FnOnce(&mut SimDevice) -> R) -> R {
        act(&mut self.device.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

macro_rules! passed_on {
    ($($name:ident ( $($arg:ident : $type:ty),* ) -> $answer:ty;)+) => {
        impl Device for Tenant {
            fn total_bytes(&self) -> u64 {
                self.with(|d| d.total_bytes())
            }
            $(fn $name(&mut self, $($arg: $type),*) -> Result<$answer, DeviceError> {
                self.with(|d| d.$name($($arg),*))
            })+
        }
    };
}

passed_on! {
    free_bytes() -> u64;
    reserve(bytes: u64) -> u64;
    release(address: u64) -> ();
    reserve_addresses(bytes: u64) -> u64;
    free_addresses(address: u64, bytes: u64) -> ();
    map(address: u64, bytes: u64) -> ();
    set_access(address: u64, bytes: u64) -> ();
    unmap(address: u64, bytes: u64) -> ();
    record_event(stream: StreamHandle) -> Event;
    query_event(event: Event) -> bool;
    wait_event(event: Event) -> ();
    wait_stream(stream: StreamHandle) -> ();
}
