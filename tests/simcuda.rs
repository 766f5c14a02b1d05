//! A whole PyTorch over simulated CUDA devices: the tour of `workers/simcuda/tour.py` goes through, and what cannot be run says why. Without
//! a Python that has torch, or without the library, listed as ignored with what is missing.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};

/// Names the interpreter that has torch.
const PYTHON: &str = "POOLPROOF_TORCH_PYTHON";

const PROGRAM: &str = env!("CARGO_BIN_EXE_poolproof");

fn main() -> ExitCode {
    let library = Path::new(PROGRAM).with_file_name("libpoolproof_simcuda.so");
    let no_library = (!library.is_file()).then(|| "needs the library: cargo build -p poolproof-simcuda".to_owned());
    let no_compiler = !Command::new("c++").arg("--version").output().is_ok_and(|output| output.status.success());
    let no_compiler = no_compiler.then(|| "needs c++: apt-get install g++".to_owned());
    let ready = no_library.or(no_compiler);
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    let no_python = python.is_none();
    let no_python = no_python.then(|| {
        format!("needs torch: {PYTHON}=.venv/bin/python cargo test --test simcuda (pip install torch==2.11.0)")
    });
    let mut trials = Vec::new();
    add(&mut trials, "any-program::finds-its-devices", ready.clone(), any_program);
    add(&mut trials, "any-program::is-told-what-makes-no-sense", ready.clone(), nonsense);
    add(&mut trials, "any-program::takes-the-place-of-this-one", ready.clone(), takes_the_place);
    add(&mut trials, "torch::tour", ready.or(no_python), move || tour(&python.unwrap_or_default()));
    add(&mut trials, "without-the-library::says-how-to-get-it", None, without_library);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn add(
    trials: &mut Vec<Trial>,
    name: &str,
    missing: Option<String>,
    trial: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) {
    let is_ignored = missing.is_some();
    trials.push(Trial::test(name, trial).with_kind(missing.unwrap_or_default()).with_ignored_flag(is_ignored));
}

fn simcuda(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new(PROGRAM).arg("simcuda").args(arguments).env_remove("CUDA_VISIBLE_DEVICES").output()?)
}

fn expect(output: &Output, code: i32, words: &str) -> Result<(), Failed> {
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(code) && format!("{said}{complained}").contains(words) {
        return Ok(());
    }
    Err(format!("{}, and not {code} with `{words}`\n{said}\n{complained}", output.status).into())
}

/// A program that was built against nothing of CUDA finds it by name, as PyTorch's Python side does.
const C: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define FIND(library, name) dlsym(dlopen(library, RTLD_LAZY), name)

int main(void) {
    int (*count)(int *) = (int (*)(int *))FIND("libcudart.so.13", "cudaGetDeviceCount");
    int (*allocate)(void **, size_t) = (int (*)(void **, size_t))FIND("libcudart.so.12", "cudaMalloc");
    int (*copy)(void *, const void *, size_t, int) =
        (int (*)(void *, const void *, size_t, int))FIND("libcudart.so.13", "cudaMemcpy");
    int (*graph)(void *, void *) = (int (*)(void *, void *))FIND("libcudart.so.13", "cudaGraphLaunch");
    int (*start)(unsigned) = (int (*)(unsigned))FIND("libcuda.so.1", "cuInit");
    int (*known)(unsigned *) = (int (*)(unsigned *))FIND("libnvidia-ml.so.1", "nvmlDeviceGetCount_v2");
    int devices = 0;
    unsigned listed = 0;
    char from[] = "carried", into[sizeof from] = "";
    void *memory = NULL;
    int codes[] = {start(0), count(&devices), known(&listed), allocate(&memory, 1 << 20),
                   copy(memory, from, sizeof from, 1), copy(into, memory, sizeof into, 2), allocate(&memory, 1ul << 40)};
    for (unsigned place = 0; place < sizeof codes / sizeof *codes; place++) printf("%d ", codes[place]);
    printf("%d %u %s %d\n", devices, listed, into, graph(NULL, NULL));
    return 0;
}
"#;

fn any_program() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let (source, program) = (folder.path().join("a.c"), folder.path().join("a"));
    std::fs::write(&source, C)?;
    let built = Command::new("c++").args(["-x", "c"]).arg(&source).arg("-o").arg(&program).arg("-ldl").output()?;
    expect(&built, 0, "")?;
    let program = program.to_str().ok_or("a temporary path is text")?;
    let output = simcuda(&["--devices", "3", "--bytes", "64MiB", "--", program])?;
    expect(&output, 0, "0 0 0 0 0 0 2 3 3 carried 801\n")?;
    expect(&output, 0, "poolproof-simcuda: not supported: cudaGraphLaunch\n")
}

fn nonsense() -> Result<(), Failed> {
    expect(&simcuda(&["--devices", "17", "--", "true"])?, 2, "17")?;
    expect(&simcuda(&["--bytes", "4GB", "--", "true"])?, 2, "4GB")?;
    let output = simcuda(&["--devices", "2", "--bytes", "1MiB,2MiB,3MiB", "--", "true"])?;
    expect(&output, 0, "POOLPROOF_SIM_BYTES has 3 sizes, and POOLPROOF_SIM_DEVICES is 2")?;
    expect(&simcuda(&["--", "no-such-program"])?, 3, "no-such-program")
}

fn takes_the_place() -> Result<(), Failed> {
    expect(&simcuda(&["--", "sh", "-c", "exit 7"])?, 7, "")?;
    expect(&simcuda(&["--devices", "2", "--", "env"])?, 0, "POOLPROOF_SIM_DEVICES=2\n")?;
    expect(&simcuda(&["--bytes", "1MiB"])?, 0, "export POOLPROOF_SIM_BYTES=1048576\nexport LD_PRELOAD=")
}

fn tour(python: &Path) -> Result<(), Failed> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/simcuda/tour.py");
    let (python, script) = (python.to_str().ok_or("text")?, script.to_str().ok_or("text")?);
    let output = simcuda(&["--devices", "2", "--bytes", "1GiB", "--log", "off", "--", python, script])?;
    expect(&output, 0, "goes     torch.cuda.MemPool")?;
    expect(&output, 0, "refused  backend:cudaMallocAsync")
}

fn without_library() -> Result<(), Failed> {
    let output = simcuda(&["--library", "/no/such/library.so", "--", "true"])?;
    expect(&output, 3, "cargo build --release -p poolproof-simcuda")
}
