//! What a device says of itself: attributes by number, and the structure that holds most of them.
//!
//! Decides the values: those of a card of compute capability 9.0, without what a simulated one cannot do (peers, memory pools,
//! managed memory, cooperative launches, multicast, fabric). Only name, memory and place differ from device to device.

use std::ffi::{c_char, c_int};

use crate::codes;
use crate::world::{Runtime, call};

type Code = c_int;

/// Compute capability.
pub(crate) const CAPABILITY: [c_int; 2] = [9, 0];

const SHARED_PER_BLOCK: c_int = 48 << 10;
const SHARED_PER_MULTIPROCESSOR: c_int = 228 << 10;
const SHARED_PER_BLOCK_IF_ASKED: c_int = 227 << 10;
const SHARED_RESERVED: c_int = 1 << 10;

/// Attributes by number, `cudaDeviceAttr` and `CUdevice_attribute` alike. Those that depend on the device are not here.
#[rustfmt::skip]
const ATTRIBUTES: [(c_int, c_int); 72] = [
    (1, 1024), (2, 1024), (3, 1024), (4, 64), (5, c_int::MAX), (6, 65_535), (7, 65_535), // threads, blocks
    (8, SHARED_PER_BLOCK), (9, 64 << 10), (10, 32), (11, c_int::MAX), (12, 65_536), (14, 512), (15, 1), // memory, warp
    (16, 132), (17, 0), (18, 0), (19, 1), (20, 0), // multiprocessors, timeout, integrated, maps host memory, compute mode
    (30, 512), (31, 1), (32, 1), (35, 0), (37, 5120), (38, 50 << 20), (39, 2048), (40, 3), (41, 1), // L2, threads, engines, UVA
    (51, 32), (75, CAPABILITY[0]), (76, CAPABILITY[1]), (78, 1), (79, 1), (80, 1),
    (81, SHARED_PER_MULTIPROCESSOR), (82, 65_536), (83, 0), (84, 0), (86, 0), (88, 0), (89, 0), (90, 1), (91, 0),
    (95, 0), (97, SHARED_PER_BLOCK_IF_ASKED), (98, 0), (99, 1), (100, 0), (101, 0), // cooperative, host register
    (102, 1), (103, 0), (106, 32), (108, 0), (109, 0), (111, SHARED_RESERVED), (112, 0), (113, 0), (114, 0), // memory by addresses
    (115, 0), (116, 0), (117, 0), (118, 0), (119, 0), (120, 0), (121, 0), (124, 0), (125, 0), (126, 1), // pools, clusters, IPC
    (128, 0), (130, 0), (132, 0), (133, 0),
];

/// Attributes that say where the device is: bus, device, domain.
const BUS: c_int = 33;
const SLOT: c_int = 34;
const DOMAIN: c_int = 50;

/// The bus of a device by its number: the first is on bus 1.
fn bus(number: usize) -> c_int {
    number as c_int + 1 // there are few
}

/// The value of an attribute of the device of a number; `None` where it is not known here.
pub(crate) fn attribute(number: usize, attribute: c_int) -> Option<c_int> {
    match attribute {
        BUS => Some(bus(number)),
        SLOT | DOMAIN => Some(0),
        _ => ATTRIBUTES.iter().find(|(known, _)| *known == attribute).map(|(_, value)| *value),
    }
}

/// Where each field of 4 bytes lies in `cudaDeviceProp` of CUDA 12 and of 13 (`driver_types.h`), and its attribute.
#[rustfmt::skip]
const FIELDS: [(usize, usize, c_int); 50] = [
    (304, 304, 12), (308, 308, 10), (320, 320, 1), (324, 324, 2), (328, 328, 3), (332, 332, 4), (336, 336, 5), (340, 340, 6),
    (344, 344, 7), (360, 360, 75), (364, 364, 76), (388, 384, 16), (396, 388, 18), (400, 392, 19), (576, 560, 31), (580, 564, 32),
    (584, 568, BUS), (588, 572, SLOT), (592, 576, DOMAIN), (596, 580, 35), (600, 584, 40), (604, 588, 41), (612, 592, 37),
    (616, 596, 38), (620, 600, 108), (624, 604, 39), (628, 608, 78), (632, 612, 79), (636, 616, 80), (648, 632, 82), (652, 636, 83),
    (656, 640, 84), (664, 648, 86), (672, 652, 88), (676, 656, 89), (680, 660, 90), (684, 664, 91), (688, 668, 95), (704, 680, 100),
    (708, 684, 101), (712, 688, 106), (716, 692, 109), (728, 704, 99), (732, 708, 112), (736, 712, 113), (740, 716, 114),
    (744, 720, 115), (748, 724, 116), (768, 744, 125), (772, 748, 120),
];

/// The same of fields of 8 bytes.
const LONG_FIELDS: [(usize, usize, c_int); 8] = [
    (296, 296, 8),
    (312, 312, 11),
    (352, 352, 9),
    (368, 368, 14),
    (376, 376, 51),
    (640, 624, 81),
    (696, 672, 97),
    (720, 696, 111),
];

const NAME: usize = 256;
const UNIQUE: usize = 256;
const TOTAL: usize = 288;

/// All fields that have a name: what comes after them in the structure is reserved.
const LENGTH_12: usize = 780;
const LENGTH_13: usize = 784;

/// What tells the device of a number apart, in 16 bytes.
pub(crate) fn unique(number: usize) -> [u8; 16] {
    let mut bytes = *b"poolproof-sim\0\0\0";
    bytes[15] = number as u8; // there are few
    bytes
}

impl Runtime {
    fn properties<const LENGTH: usize>(&mut self, device: c_int, is_13: bool) -> Result<[u8; LENGTH], i32> {
        let index = usize::try_from(device).map_err(|_| codes::INVALID_DEVICE)?;
        let number = self.number(index);
        let device = self.at(index)?;
        let (words, total) = (device.name(), device.total_bytes());
        let mut all = [0; LENGTH];
        let length = words.len().min(NAME - 1);
        all[..length].copy_from_slice(&words.as_bytes()[..length]);
        all[UNIQUE..UNIQUE + 16].copy_from_slice(&unique(number));
        all[TOTAL..TOTAL + 8].copy_from_slice(&total.to_ne_bytes());
        let place = |(at_12, at_13): (usize, usize)| if is_13 { at_13 } else { at_12 };
        for (at_12, at_13, field) in FIELDS {
            let at = place((at_12, at_13));
            all[at..at + 4].copy_from_slice(&attribute(number, field).unwrap_or(0).to_ne_bytes());
        }
        for (at_12, at_13, field) in LONG_FIELDS {
            let at = place((at_12, at_13));
            let value = i64::from(attribute(number, field).unwrap_or(0));
            all[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        Ok(all)
    }
}

/// `cudaGetDeviceProperties` as CUDA 13 has it, where it is the only one.
pub(crate) extern "C" fn get_device_properties(into: *mut u8, device: c_int) -> Code {
    call(|runtime| {
        let properties = runtime.properties::<LENGTH_13>(device, true)?;
        if into.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: not null, and a caller's `cudaDeviceProp` has 1,008 bytes in CUDA 13.
        unsafe { into.cast::<[u8; LENGTH_13]>().write(properties) };
        Ok(())
    })
}

/// `cudaGetDeviceProperties_v2`, as a program of CUDA 12 calls it.
pub(crate) extern "C" fn get_device_properties_v2(into: *mut u8, device: c_int) -> Code {
    call(|runtime| {
        let properties = runtime.properties::<LENGTH_12>(device, false)?;
        if into.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: not null, and a caller's `cudaDeviceProp` has 1,032 bytes in CUDA 12.
        unsafe { into.cast::<[u8; LENGTH_12]>().write(properties) };
        Ok(())
    })
}

/// An attribute that is not known here is refused, and kept by its number.
pub(crate) extern "C" fn device_get_attribute(value: *mut c_int, number: c_int, device: c_int) -> Code {
    call(|runtime| {
        let index = usize::try_from(device).map_err(|_| codes::INVALID_DEVICE)?;
        runtime.at(index)?;
        if value.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        let Some(found) = attribute(runtime.number(index), number) else {
            runtime.note_unsupported(format!("cudaDeviceGetAttribute of attribute {number}"));
            return Err(codes::NOT_SUPPORTED);
        };
        // SAFETY: not null, and the caller's number.
        unsafe { value.write(found) };
        Ok(())
    })
}

/// The place of the device of a number on the bus, as CUDA and NVML write it.
pub(crate) fn bus_id(number: usize) -> String {
    format!("0000:{:02X}:00.0", bus(number))
}

/// The number of the device at a place, with a domain of four digits or of eight.
pub(crate) fn device_at(bus_id: &str) -> Option<usize> {
    let mut parts = bus_id.split(':');
    let (domain, bus, slot) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let is_ours = number(domain)? == 0 && slot == "00.0" && parts.next().is_none();
    let bus = usize::try_from(number(bus)?).ok()?;
    is_ours.then(|| bus.checked_sub(1))?
}

pub(crate) extern "C" fn device_get_pci_bus_id(text: *mut c_char, length: c_int, device: c_int) -> Code {
    call(|runtime| {
        let index = usize::try_from(device).map_err(|_| codes::INVALID_DEVICE)?;
        runtime.at(index)?;
        let id = bus_id(runtime.number(index));
        write_text(text, length, &id)
    })
}

/// Writes a C string where there is room for it.
pub(crate) fn write_text(into: *mut c_char, length: c_int, text: &str) -> Result<(), i32> {
    let room = usize::try_from(length).unwrap_or(0);
    if into.is_null() || room <= text.len() {
        return Err(codes::INVALID_VALUE);
    }
    // SAFETY: not null, and the caller said that there is room for so many bytes and one more.
    unsafe {
        into.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        into.add(text.len()).write(0);
    }
    Ok(())
}
