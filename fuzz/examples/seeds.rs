//! Writes the seeds of every target to `corpus/<target>/`: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! Decides nothing of what they are.

#[path = "../bodies/mod.rs"]
mod bodies;

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in ["operations", "naive", "settings", "scenario", "recording", "pickle", "reproducer"] {
        let folder = here.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        let seeds = bodies::seeds::of(target, &here.join(".."));
        for (name, bytes) in &seeds {
            fs::write(folder.join(name), bytes)?;
        }
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}
