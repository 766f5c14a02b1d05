//! How long a planted defect survives: counts what is asked, and writes one line when it is found or the time is over.
//!
//! Decides when a run ends and what its line says. `fuzz/survival.sh` starts the runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::bodies::coverage::Cells;
use crate::bodies::survivor;

unsafe extern "C" {
    fn atexit(then: extern "C" fn()) -> i32;
    fn _exit(code: i32) -> !;
}

/// What one run is about.
struct Trial {
    defect: String,
    seed: u64,
    out: String,
    start: Instant,
}

static TRIAL: OnceLock<Trial> = OnceLock::new();
static WRITTEN: AtomicBool = AtomicBool::new(false);
static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static INPUTS: AtomicU64 = AtomicU64::new(0);

fn trial() -> &'static Trial {
    TRIAL.get_or_init(|| {
        let given = |name: &str| std::env::var(name).unwrap_or_else(|_| refuse(&format!("{name} is not set")));
        let (defect, out) = (given("POOLPROOF_DEFECT"), given("POOLPROOF_SURVIVAL_OUT"));
        if let Err(error) = survivor::check(&defect) {
            refuse(&error);
        }
        let seed = std::env::args().find_map(|a| a.strip_prefix("-seed=").and_then(|n| n.parse().ok())).unwrap_or(0);
        // SAFETY: libc's `atexit` keeps a function that takes and answers nothing; `over` is one, and lives for ever.
        if unsafe { atexit(over) } != 0 {
            refuse("the end of the process cannot be watched");
        }
        Trial { defect, seed, out, start: Instant::now() }
    })
}

fn refuse(why: &str) -> ! {
    eprintln!("survivor: {why}");
    // SAFETY: `_exit` takes any number. libFuzzer takes `exit` within an input for a crash.
    unsafe { _exit(2) }
}

/// Runs an input; the first conviction ends the process.
pub fn feed(data: &[u8], cells: &mut Cells) {
    let trial = trial();
    INPUTS.fetch_add(1, Ordering::Relaxed);
    let failure = survivor::failure(&trial.defect, data, cells);
    OPERATIONS.fetch_add(cells.asked(), Ordering::Relaxed);
    if let Some(failure) = failure {
        write(trial, Some(&failure.oracle));
        // SAFETY: as above.
        unsafe { _exit(0) };
    }
}

/// The time is over: libFuzzer leaves by `exit`.
extern "C" fn over() {
    if let Some(trial) = TRIAL.get() {
        write(trial, None);
    }
}

fn write(trial: &Trial, oracle: Option<&str>) {
    if WRITTEN.swap(true, Ordering::Relaxed) {
        return;
    }
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let seconds = (trial.start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let line = format!(
        "{{\"defect\":{},\"seed\":{},\"killed\":{},\"operations\":{},\"inputs\":{},\"seconds\":{seconds:.3},\"oracle\":{}}}\n",
        serde_json::json!(trial.defect),
        trial.seed,
        oracle.is_some(),
        count(&OPERATIONS),
        count(&INPUTS),
        serde_json::json!(oracle),
    );
    // One call, so that runs beside this one do not come in between.
    let file = OpenOptions::new().create(true).append(true).open(&trial.out);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("survivor: {}: {error}", trial.out);
        // SAFETY: as above. The run has no line, and its exit code says so.
        unsafe { _exit(2) };
    }
}
