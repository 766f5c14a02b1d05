//! The driver's library, and its functions by name.
//!
//! Decides whether there is one: it is opened once, under the names that cudarc knows, and stays open for the life of the process. Every
//! function is looked up before it is called, so that a missing one is an error and never a panic.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::OnceLock;

use libloading::Library;

/// The library; `None` where the loader finds none, or a program's numbers have not the width that the functions take.
pub(super) fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let open = || {
        let names = ["cuda", "nvcuda"].into_iter().flat_map(cudarc::get_lib_name_candidates);
        // SAFETY: the initialisers of the driver's library are its vendor's, and it is never closed.
        names.filter(|_| usize::BITS == 64).find_map(|name| unsafe { Library::new(name) }.ok())
    };
    LIBRARY.get_or_init(open).as_ref()
}

/// Some functions of the driver as its header declares them, and how all of them are looked up.
macro_rules! entry_points {
    ($(#[$doc:meta])* $group:ident { $($name:ident = $symbol:literal ($($argument:ty),* $(,)?);)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $group { $(pub $name: unsafe extern "C" fn($($argument),*) -> std::ffi::c_int),+ }

        impl $group {
            /// The first that is not there, by its name, if any is not.
            pub(super) fn look_up(library: &libloading::Library) -> Result<Self, &'static str> {
                Ok($group { $($name: {
                    // SAFETY: the type is that of the function of this name in cuda.h.
                    let found = unsafe {
                        library.get::<unsafe extern "C" fn($($argument),*) -> std::ffi::c_int>(
                            concat!($symbol, "\0").as_bytes(),
                        )
                    };
                    *found.map_err(|_| $symbol)?
                }),+ })
            }
        }
    };
}

pub(super) use entry_points;

entry_points! {
    /// What every driver has, however old.
    First {
        init = "cuInit"(c_uint);
        version = "cuDriverGetVersion"(*mut c_int);
    }
}

entry_points! {
    /// What devices there are: nothing of this makes a context.
    Devices {
        count = "cuDeviceGetCount"(*mut c_int);
        get = "cuDeviceGet"(*mut c_int, c_int);
        name = "cuDeviceGetName"(*mut c_char, c_int, c_int);
        uuid = "cuDeviceGetUuid_v2"(*mut [u8; 16], c_int);
        total = "cuDeviceTotalMem_v2"(*mut u64, c_int);
    }
}
