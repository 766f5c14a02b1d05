//! What the environment asks for: how many devices of which size, and where refusals are told.
//!
//! Decides the names of the variables and what is meant where one is not set.
//!
//! | variable | means | if not set |
//! | --- | --- | --- |
//! | `POOLPROOF_SIM_DEVICES` | how many devices, 1 to 16 | 1 |
//! | `POOLPROOF_SIM_BYTES` | the size of each, such as `4GiB`, or of each in turn, joined by commas | `1GiB` |
//! | `POOLPROOF_SIM_LOG` | `stderr`, `off`, or a file that refusals are written to | `stderr` |
//! | `CUDA_VISIBLE_DEVICES` | the devices that the program sees, as numbers joined by commas | all |

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::OnceLock;

use crate::cudart::{self, SharedDevice};
use crate::device::sim::SimDevice;
use crate::op::StreamId;
use crate::op::size::parse;

pub(crate) const DEVICES: &str = "POOLPROOF_SIM_DEVICES";
pub(crate) const BYTES: &str = "POOLPROOF_SIM_BYTES";
pub(crate) const LOG: &str = "POOLPROOF_SIM_LOG";
pub(crate) const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

const MOST_DEVICES: usize = 16;
const USUAL_BYTES: &str = "1GiB";

/// The addresses of one device, and from one device to the next. The first begins behind all that a program of this machine can
/// have for its own, so that no address of a device is one of the host's, too, and whoever follows one is stopped.
const SPAN: u64 = 1 << 47;
const FIRST_INDEX: u32 = 1;

/// Where refusals are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Log {
    Off,
    Stderr,
    File(String),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct World {
    /// Bytes of each device.
    pub(crate) bytes: Vec<u64>,
    /// Those that the program sees, in its order.
    pub(crate) visible: Vec<usize>,
    pub(crate) log: Log,
}

/// Reads the variables; the reason of a refusal names the variable and what it may be.
pub(crate) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<World, String> {
    let set = |name| variable(name).filter(|value| !value.trim().is_empty());
    let count = match set(DEVICES) {
        None => None,
        Some(text) => {
            let count = text.trim().parse().ok().filter(|count| (1..=MOST_DEVICES).contains(count));
            Some(count.ok_or_else(|| format!("{DEVICES}={text}: how many devices, 1 to {MOST_DEVICES}"))?)
        }
    };
    let text = set(BYTES).unwrap_or_else(|| USUAL_BYTES.to_owned());
    let sizes: Result<Vec<u64>, _> = text.split(',').map(parse).collect();
    let mut sizes = sizes.map_err(|error| format!("{BYTES}={text}: {error}"))?;
    if let Some(bytes) = sizes.iter().find(|&&bytes| bytes == 0 || bytes > SPAN / 8) {
        return Err(format!("{BYTES}={text}: a device has at least 1 byte and at most 16TiB, not {bytes}"));
    }
    let count = count.unwrap_or(sizes.len());
    match sizes.as_slice() {
        [all] => sizes = vec![*all; count],
        several if several.len() == count => {}
        several => return Err(format!("{BYTES} has {} sizes, and {DEVICES} is {count}", several.len())),
    }
    let visible = match variable(VISIBLE) {
        Some(visible) => seen(&visible, sizes.len())?,
        None => (0..sizes.len()).collect(),
    };
    let log = match set(LOG).as_deref() {
        None | Some("stderr") => Log::Stderr,
        Some("off") => Log::Off,
        Some(file) => Log::File(file.to_owned()),
    };
    Ok(World { bytes: sizes, visible, log })
}

/// As CUDA reads it: up to the first number that is no device's; twice the same is an error there and here.
fn seen(visible: &str, count: usize) -> Result<Vec<usize>, String> {
    let mut numbers: Vec<usize> = Vec::new();
    for part in visible.split(',') {
        let Some(number) = part.trim().parse().ok().filter(|&number| number < count) else { break };
        if numbers.contains(&number) {
            return Err(format!("{VISIBLE}={visible}: {number} is there twice"));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

static REFUSALS: OnceLock<Log> = OnceLock::new();

/// Gives the process its devices.
pub(crate) fn install(world: &World) {
    let _ = REFUSALS.set(world.log.clone());
    let devices = SimDevice::spaced(FIRST_INDEX, &world.bytes, StreamId::LIMIT, SPAN).into_iter();
    let devices = devices.map(|device| Box::new(device) as SharedDevice).collect();
    cudart::install_for_program(devices, &world.visible, StreamId::LIMIT, refused);
}

/// A function was asked for, and is not here.
fn refused(name: &str) {
    let line = format!("poolproof-simcuda: not supported: {name}\n");
    // Nobody can be told that a refusal could not be told.
    let _ = match REFUSALS.get() {
        None | Some(Log::Off) => Ok(()),
        Some(Log::Stderr) => std::io::stderr().write_all(line.as_bytes()),
        Some(Log::File(file)) => {
            OpenOptions::new().create(true).append(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()))
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(set: &[(&str, &str)]) -> Result<World, String> {
        read(&|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn devices_are_as_many_and_as_large_as_the_environment_says() {
        let sizes = |set: &[(&str, &str)]| world(set).map(|world| world.bytes);
        assert_eq!(sizes(&[]), Ok(vec![1 << 30]));
        assert_eq!(sizes(&[(DEVICES, "2"), (BYTES, "64MiB")]), Ok(vec![64 << 20; 2]));
        assert_eq!(sizes(&[(BYTES, "64MiB, 4096")]), Ok(vec![64 << 20, 4096]));
        let seen = |visible| world(&[(DEVICES, "3"), (VISIBLE, visible)]).map(|world| world.visible);
        assert_eq!(world(&[(DEVICES, "3")]).map(|world| world.visible), Ok(vec![0, 1, 2]));
        assert_eq!([seen("2, 0"), seen("1,7,0"), seen("")], [Ok(vec![2, 0]), Ok(vec![1]), Ok(Vec::new())]);
        assert_eq!(world(&[(LOG, "off")]).map(|world| world.log), Ok(Log::Off));
        assert_eq!(world(&[(LOG, "a.log")]).map(|world| world.log), Ok(Log::File("a.log".to_owned())));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (set, word) in [
            (&[(DEVICES, "0")][..], DEVICES),
            (&[(DEVICES, "17")], DEVICES),
            (&[(DEVICES, "two")], DEVICES),
            (&[(BYTES, "4GB")], BYTES),
            (&[(BYTES, "0")], BYTES),
            (&[(BYTES, "99TiB")], BYTES),
            (&[(DEVICES, "2"), (BYTES, "1,2,3")], DEVICES),
            (&[(DEVICES, "2"), (VISIBLE, "1,1")], VISIBLE),
        ] {
            let refusal = world(set).expect_err("it makes no sense");
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
