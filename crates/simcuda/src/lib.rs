//! A library that is loaded before any other (`LD_PRELOAD`), and by which a program finds simulated CUDA devices.
//!
//! Decides in which order a process gets them: when the library is loaded, before anything of the program runs, devices are
//! installed as the environment says, and the libraries beside this one that carry CUDA's names are opened and bound. Whoever
//! needs `libcudart.so.13` later finds that one is there. What a function does is `cudart`'s.
//!
//! What goes wrong is said on stderr, and the program goes on without devices.

#[cfg(target_os = "linux")]
mod control;
mod environment;
#[cfg(target_os = "linux")]
mod libraries;

use poolproof_cudart as cudart;
use poolproof_device as device;
use poolproof_words::op;

/// A program's libraries are opened after those that were preloaded have run this.
#[cfg(target_os = "linux")]
#[used]
#[cfg_attr(not(test), unsafe(link_section = ".init_array"))]
static START: extern "C" fn() = start;

#[cfg(target_os = "linux")]
extern "C" fn start() {
    let result = environment::read(&|name| std::env::var(name).ok()).and_then(|world| {
        environment::install(&world);
        libraries::open_beside()
    });
    if let Err(reason) = result {
        eprintln!("poolproof-simcuda: {reason}; there are no simulated devices in process {}", std::process::id());
    }
}
