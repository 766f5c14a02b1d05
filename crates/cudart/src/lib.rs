//! Floor 2, a runtime for others: the functions of CUDA's runtime, its driver and NVML over devices of the harness, for
//! allocators that call them and know nothing of it.
//!
//! Decides what a C function answers, which error it leaves behind, and what is written down as misuse. What a device does is
//! `device`'s. A function that is not here is answered with "not supported", and its name is kept: nothing silently succeeds.
//!
//! There is one runtime a process, as with the real one. [`install`] gives it devices, [`with`] reaches them beside the allocator.

mod codes;
mod contents;
mod contexts;
mod copies;
mod driver;
mod events;
mod exports;
mod launch;
mod memory;
mod nvml;
mod properties;
mod runtime;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_program;
mod world;

use poolproof_device as device;
use poolproof_words::op;

pub use exports::{Forwarder, bind};
pub use world::{Runtime, SharedDevice, install, install_for_program, set_current_device, uninstall, with};
