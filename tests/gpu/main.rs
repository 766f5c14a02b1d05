//! The program on a GPU in trouble: killed, hung, without memory, in company, and with mistakes that only the memory
//! itself shows.
//!
//! Decides which trials there are and where each is tried. With a driver and a GPU they run on it, one at a time, since
//! they read how much of it is in use. Without, they run on a fake driver and a fake NVML (`tests/fakes`), each on
//! devices of its own; the trial's name says which. Nothing is waited for without a limit.

#[cfg(target_os = "linux")]
mod company;
#[cfg(target_os = "linux")]
mod defects;
#[path = "../fakes/mod.rs"]
mod fakes;
#[cfg(target_os = "linux")]
mod losses;
#[cfg(target_os = "linux")]
mod stage;

use std::error::Error;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::cuda;

/// Devices that the fake driver has.
const FAKE_DEVICES: &str = "2";

/// What a trial does on its stage.
type Body = Box<dyn FnOnce(&stage::Stage) -> Result<(), Failed> + Send>;

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<ExitCode, Box<dyn Error>> {
    let fake = std::env::var_os(fakes::FAKE).is_some();
    // Counted without a context: that would be memory in use.
    let gpus = cuda::count();
    if gpus.is_err()
        && !fake
        && let Ok(folder) = fakes::cuda("gpu-fakes", &[]).and_then(|f| fakes::nvml(&f).map(|_| f))
    {
        return Ok(fakes::start_again(&folder, &[("FAKE_CUDA_DEVICES", FAKE_DEVICES)])?);
    }
    let mut arguments = Arguments::from_args();
    if !fake {
        arguments.test_threads = Some(1);
    }
    let gpus = gpus.map_err(|e| e.to_string());
    Ok(libtest_mimic::run(&arguments, trials(fake, gpus.as_ref())).exit_code())
}

fn trials(fake: bool, gpus: Result<&u32, &String>) -> Vec<Trial> {
    let place = if fake { "fake" } else { "cuda" };
    let trial = |name: &str, needs: u32, body: Body| {
        let folder = name.replace("::", "-");
        let trial = Trial::test(format!("gpu@{place}::{name}"), move || body(&stage::Stage::new(&folder, fake)?));
        let lacks = match gpus {
            Err(reason) => Some(reason.clone()),
            Ok(&count) if count < needs => Some(format!("needs {needs} GPUs, and there is {count}")),
            Ok(_) => None,
        };
        match lacks {
            Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
            None => trial,
        }
    };
    let mut all = vec![
        trial("kill-worker", 1, Box::new(losses::killed_worker)),
        trial("kill-harness", 1, Box::new(losses::killed_harness)),
        trial("hung-kernel", 1, Box::new(losses::hung_kernel)),
        trial("illegal-address", 1, Box::new(losses::illegal_address)),
        trial("random-neighbour", 1, Box::new(company::random_neighbour)),
        trial("exhausted-card", 1, Box::new(company::exhausted_card)),
        trial("crowded-card", 1, Box::new(company::crowded_card)),
        trial("two-gpus", 2, Box::new(company::two_gpus)),
    ];
    all.extend(defects::PLANTED.iter().map(|planted| {
        trial(&format!("contents::{}", planted.name), planted.gpus, Box::new(|stage| planted.dies_by_contents(stage)))
    }));
    all
}
