//! The libraries beside this one, which carry CUDA's names and jump to `cudart`'s functions.
//!
//! Decides which are looked for, and that all of them must be there.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};

use crate::cudart::{self, Forwarder};

const NAMES: [&str; 4] = ["libcudart.so.13", "libcudart.so.12", "libcuda.so.1", "libnvidia-ml.so.1"];

/// The folder that this library was loaded from.
fn own_folder() -> Option<PathBuf> {
    let own = (open_beside as *const ()).cast::<c_void>();
    // SAFETY: all zeros are a `Dl_info` that says nothing.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the address is that of a function, and the structure is ours.
    let is_found = unsafe { libc::dladdr(own, &mut info) } != 0 && !info.dli_fname.is_null();
    // SAFETY: where something was found, it is the C string of a path, which lives as long as this library.
    let path = is_found.then(|| unsafe { CStr::from_ptr(info.dli_fname) })?;
    let path = std::fs::canonicalize(Path::new(OsStr::from_bytes(path.to_bytes()))).ok()?;
    path.parent().map(Path::to_owned)
}

/// Opens and binds them.
pub(crate) fn open_beside() -> Result<(), String> {
    let folder = own_folder().ok_or("the folder of libpoolproof_simcuda.so was not found")?;
    NAMES.iter().try_for_each(|name| {
        let path = folder.join(name);
        open(&path).map_err(|error| format!("{}: {error}; `poolproof simcuda` makes it", path.display()))
    })
}

fn open(path: &Path) -> Result<(), libloading::Error> {
    // SAFETY: it is built from `workers/c10/forward.c`, which runs nothing when it is opened.
    let library = unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_GLOBAL) }?;
    // SAFETY: it exports these three, and nothing of the program runs yet that could call it.
    unsafe {
        let names = *library.get::<*const *const c_char>(b"poolproof_names")?;
        let slots = *library.get::<*mut *mut c_void>(b"poolproof_slots")?;
        let unbound = *library.get::<*mut *mut c_void>(b"poolproof_unbound")?;
        cudart::bind(&Forwarder { names, slots, unbound });
    }
    std::mem::forget(library); // open as long as the process runs
    Ok(())
}
