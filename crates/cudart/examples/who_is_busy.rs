//! Devices behind CUDA's functions, and the harness beside them: a stream is kept busy, and the device shows it.

use poolproof_cudart::{SharedDevice, install, uninstall, with};
use poolproof_device::sim::SimDevice;
use poolproof_words::op::StreamId;

fn main() {
    let device = |index| Box::new(SimDevice::new(index, 64 << 20, 2)) as SharedDevice;
    install((0..2).map(device).collect());
    // A library that calls cudaMalloc and its like would do so from here on.
    let idle = with(|runtime| {
        let device = runtime.device_mut(1)?;
        device.occupy(StreamId(1)).ok()?;
        Some(device.idle_mask())
    });
    println!("idle streams of device 1: {:#b}", idle.flatten().unwrap_or_default());
    let left = uninstall().map(|runtime| runtime.left_behind());
    println!("left behind: {left:?}");
}
