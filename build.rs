//! Rebuilds the crate when a scenario file appears, changes or goes: `specs/` is embedded in the binary.
//!
//! Does nothing else.

fn main() {
    println!("cargo::rerun-if-changed=specs");
}
