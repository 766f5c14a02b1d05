//! What tests run on where there is no GPU: a CUDA driver and an NVML, built where tests may write.
//!
//! Decides how they are built. What they answer stands in their sources, beside this file and in `tests/fake_cuda`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The fake driver, compiled with these flags, in a folder of that name. Where no C compiler is, Rust cannot link
/// either.
///
/// # Errors
/// What the compiler has against it, or the file system.
pub fn cuda(name: &str, flags: &[&str]) -> Result<PathBuf, String> {
    let folder = folder(name)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_cuda/libcuda.c");
    build(&folder.join("libcuda.so.1"), |built| {
        let mut cc = Command::new("cc");
        cc.args(["-O3", "-shared", "-fPIC", "-o"]).arg(built).arg(source).args(flags).arg("-lpthread");
        cc
    })?;
    Ok(folder)
}

/// The fake NVML, in a folder.
///
/// # Errors
/// As `cuda`.
pub fn nvml(folder: &Path) -> Result<PathBuf, String> {
    let library = folder.join("libnvidia-ml.so.1");
    build(&library, |built| {
        let mut rustc = Command::new(rustc());
        rustc.args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", "fake_nvml"]);
        rustc.args(["-O", "-C", "panic=abort", "-C", "strip=debuginfo", "-o"]).arg(built);
        rustc.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fakes/nvml.rs"));
        rustc
    })?;
    Ok(library)
}

/// Set for the process that was started again on the fakes.
pub const FAKE: &str = "POOLPROOF_FAKE_CUDA";

/// Starts this test again, on the fakes in a folder, and answers how it ended.
///
/// # Errors
/// What the system says.
pub fn start_again(folder: &Path, variables: &[(&str, &str)]) -> std::io::Result<ExitCode> {
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).env(FAKE, "1").env("LD_LIBRARY_PATH", folder);
    let status = again.envs(variables.iter().copied()).status()?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A folder where tests may write.
///
/// # Errors
/// What the file system says.
pub fn folder(name: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// The compiler beside the cargo that runs the tests, or the one on the path.
fn rustc() -> PathBuf {
    let beside = std::env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("rustc"))
}

/// Runs a compiler whose result appears whole: another test may be using the last one.
fn build(result: &Path, compiler: impl FnOnce(&Path) -> Command) -> Result<(), String> {
    let mut built = result.as_os_str().to_owned();
    built.push(OsStr::new(&format!(".{}", std::process::id())));
    let mut command = compiler(Path::new(&built));
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    std::fs::rename(&built, result).map_err(|e| format!("{}: {e}", result.display()))
}
