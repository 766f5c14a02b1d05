//! How the worker of a live PyTorch is started: which interpreter, under which settings, on which devices.
//!
//! Decides what stands in a target's name. The worker's files are embedded, and handed to the interpreter as texts: a command
//! names nothing of a source tree.

use std::path::Path;

use super::super::registry::{TargetOption, unknown_option};
use super::super::worker::{environment, own};
use super::super::{TargetError, TargetName};
use crate::child::Program;

/// The worker, the part that the others need first.
const WORKER: [(&str, &str); 7] = [
    ("worker_contents", include_str!("../../../workers/torch/worker_contents.py")),
    ("worker_graphs", include_str!("../../../workers/torch/worker_graphs.py")),
    ("worker_device", include_str!("../../../workers/torch/worker_device.py")),
    ("worker_shown", include_str!("../../../workers/torch/worker_shown.py")),
    ("worker_sequence", include_str!("../../../workers/torch/worker_sequence.py")),
    ("worker", include_str!("../../../workers/torch/worker.py")),
    ("worker_front", include_str!("../../../workers/torch/worker_front.py")),
];

/// Makes modules of the texts that it is given, so that errors show their lines, and starts the last.
const START: &str = "
import linecache, sys, types
count = int(sys.argv[1])
for at in range(count):
    name, text = sys.argv[2 + 2 * at : 4 + 2 * at]
    module = types.ModuleType(name)
    module.__file__ = f'<poolproof>/{name}.py'
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(True), module.__file__)
    sys.modules[name] = module
    exec(compile(text, module.__file__, 'exec'), module.__dict__)
sys.exit(module.main(*sys.argv[2 + 2 * count :]))
";

/// What `torch@sim` has where nobody says otherwise: each device plays the size that a scenario asks for.
const SIMULATED: [&str; 4] = ["--devices", "4", "--bytes", "64GiB"];

pub(in crate::target) const HELP: &[TargetOption] = &[
    TargetOption { usage: "python=PROGRAM", what: "the interpreter that has torch (python3)" },
    TargetOption {
        usage: "size=limited|whole",
        what: "limited: a memory fraction has each device play the size that a scenario asks for; whole: all of it is there",
    },
    TargetOption {
        usage: "config=SETTINGS",
        what: "as PYTORCH_CUDA_ALLOC_CONF has them, such as expandable_segments:True; `config=` may be left out",
    },
];

/// Options of the process, which the recipe reads.
const OF_THE_PROCESS: [&str; 4] = ["deadline", "env", "fresh", "framing"];

/// What a name says.
struct Asked {
    python: String,
    size: &'static str,
    config: String,
}

fn read(name: &TargetName) -> Result<Asked, TargetError> {
    let mut asked = Asked { python: "python3".to_owned(), size: "limited", config: String::new() };
    for (key, value) in &name.options {
        match (key.as_str(), value.as_deref()) {
            ("python", Some(program)) if !program.is_empty() => asked.python = program.to_owned(),
            ("size", Some("limited")) => asked.size = "limited",
            ("size", Some("whole")) => asked.size = "whole",
            ("config", Some(text)) => asked.config = text.to_owned(),
            (text, None) if text.contains(':') => asked.config = text.to_owned(),
            (key, _) if OF_THE_PROCESS.contains(&key) => {}
            (key @ ("python" | "size" | "config"), _) => {
                let usage = HELP.iter().find(|option| option.usage.starts_with(key)).map_or("", |option| option.usage);
                let reason = format!("`{key}` is written {usage}");
                return Err(TargetError::BadOption { target: name.to_string(), reason });
            }
            (key, _) => return Err(unknown_option(name, key)),
        }
    }
    Ok(asked)
}

/// The settings in a name, if any.
pub(super) fn config(name: &TargetName) -> Option<String> {
    read(name).ok().map(|asked| asked.config).filter(|config| !config.is_empty())
}

/// What starts the worker.
///
/// # Errors
/// An option that does not exist, a value that means nothing, or settings that ask for what is not simulated.
pub(in crate::target) fn program(name: &TargetName) -> Result<Program, TargetError> {
    let Asked { python, size, config } = read(name)?;
    if name.place == "sim" && config.contains("cudaMallocAsync") {
        let reason = "nothing here simulates the driver's memory pools: torch@cuda has them".to_owned();
        return Err(TargetError::Unavailable { target: name.to_string(), reason });
    }
    let mut words: Vec<String> = vec!["-c".to_owned(), START.to_owned(), WORKER.len().to_string()];
    words.extend(WORKER.iter().flat_map(|(name, text)| [(*name).to_owned(), (*text).to_owned()]));
    words.extend([config, size.to_owned(), name.place.clone()]);
    Ok(on_devices(name, python, words))
}

/// The interpreter that a live PyTorch's name asks for, with a script, on the same devices and in the same environment.
///
/// # Errors
/// An option that does not exist, or a value that means nothing.
pub fn script(name: &TargetName, file: &Path) -> Result<Program, TargetError> {
    let Asked { python, .. } = read(name)?;
    let program = on_devices(name, python, vec![file.to_string_lossy().into_owned()]);
    Ok(Program { environment: environment(name)?, ..program })
}

fn on_devices(name: &TargetName, python: String, words: Vec<String>) -> Program {
    if name.place != "sim" {
        return Program::new(python, words);
    }
    let before = ["simcuda"].into_iter().chain(SIMULATED).chain(["--log", "off", "--"]).map(str::to_owned);
    own(before.chain([python]).chain(words))
}
