//! What PyTorch would do with a few requests on an 8 GiB card: `cargo run -p poolproof-reference --example predict`.

use poolproof_device::StreamHandle;
use poolproof_device::sim::SimDevice;
use poolproof_reference::{Reference, Settings, Sound};
use poolproof_words::op::Family;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let card = SimDevice::new(0, 8 << 30, 2);
    let settings: Settings = "roundup_power2_divisions:4".parse()?;
    let mut allocator = Reference::new(vec![card], &settings, Sound);
    for bytes in [700, 3 << 20, 13 << 20] {
        let address = allocator.device_mut(0).alloc(bytes, StreamHandle(0))?;
        let stats = allocator.device(0).stats();
        let of = |family| stats.all(family).current;
        let (held, reserved) = (of(Family::AllocatedBytes), of(Family::ReservedBytes));
        println!("{bytes:>9} B at {address:#x}: {held:>9} B allocated, {reserved:>9} B reserved");
    }
    Ok(())
}
