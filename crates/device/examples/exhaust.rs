//! A simulated device that runs out, and a call that is made to fail: `cargo run -p poolproof-device --example exhaust`.

use poolproof_device::Device;
use poolproof_device::sim::SimDevice;
use poolproof_words::op::DeviceCall;

fn main() {
    let mut device = SimDevice::new(0, 64 << 20, 1);
    device.fault(DeviceCall::Reserve, 1);
    for bytes in [20 << 20, 20 << 20, 40 << 20, 80 << 20] {
        match device.reserve(bytes) {
            Ok(address) => println!("{bytes:>9} B at {address:#x}"),
            Err(error) => println!("{bytes:>9} B: {error}"),
        }
    }
}
