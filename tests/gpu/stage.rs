//! Where a trial plays: a folder of its own, the program with the right environment, and limits for every wait.
//!
//! Decides how long is waited and that nothing started here outlives its trial. Judges nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use poolproof::target::TargetName;
use poolproof::verdict::record::RunRecord;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Bytes that the use of a device may differ by and be called the same: what a driver keeps for itself moves.
const NOISE: u64 = 16 << 20;

pub struct Stage {
    pub folder: PathBuf,
    pub fake: bool,
    variables: Vec<(&'static str, String)>,
    calls: AtomicU32,
}

impl Stage {
    /// An empty folder; on the fake driver also devices that no other trial has.
    pub fn new(name: &str, fake: bool) -> Result<Self, Failed> {
        let folder = super::fakes::folder("gpu")?.join(name);
        let _ = fs::remove_dir_all(&folder); // of the last time, if there was one
        fs::create_dir_all(&folder)?;
        let mut variables = Vec::new();
        if fake {
            variables.push(("FAKE_CUDA_SHARED", folder.join("shared").display().to_string()));
        }
        Ok(Stage { folder, fake, variables, calls: AtomicU32::new(0) })
    }

    /// The same with one more variable for every process.
    pub fn with(&self, name: &'static str, value: &str) -> Stage {
        let mut variables = self.variables.clone();
        variables.push((name, value.to_owned()));
        let calls = AtomicU32::new(100 + self.calls.load(Ordering::Relaxed));
        Stage { folder: self.folder.clone(), fake: self.fake, variables, calls }
    }

    /// How long anything may take: real drivers need seconds to start and to clean up.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(if self.fake { 60 } else { 180 })
    }

    pub fn start(&self, arguments: &[&str]) -> Result<Running, Failed> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.folder.join(format!("call{number}.{end}"));
        let (out, err) = (file("out"), file("err"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
        command.args(arguments).current_dir(&self.folder).envs(self.variables.iter().map(|(n, v)| (n, v)));
        for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG"] {
            command.env_remove(name);
        }
        // Files, so that nobody has to read while it runs.
        command.stdin(Stdio::piped()).stdout(File::create(&out)?).stderr(File::create(&err)?);
        let said = arguments.join(" ");
        Ok(Running { child: command.spawn()?, said, out, err, limit: self.limit() })
    }

    /// Starts it, lets it end, and answers the exit code.
    pub fn call(&self, arguments: &[&str]) -> Result<Ended, Failed> {
        self.start(arguments)?.ended()
    }

    /// A neighbour that holds all but `leave` by now. It ends when it is dropped, or with this thread.
    pub fn neighbour(&self, arguments: &[&str]) -> Result<Running, Failed> {
        let mut neighbour = self.start(&[&["neighbour"], arguments].concat())?;
        until(self.limit(), "the neighbour holds", || {
            let ended = neighbour.child.try_wait()?;
            let said = fs::read_to_string(&neighbour.out)?;
            match ended {
                Some(status) => Err(format!("the neighbour ended with {status}: {}", neighbour.complaints()).into()),
                None => Ok(said.ends_with("are left\n")),
            }
        })?;
        Ok(neighbour)
    }

    /// The bytes of a device that NVML calls used.
    pub fn used(&self, device: u32) -> Result<u64, Failed> {
        let ended = self.call(&["processes", "--json", "--device", &device.to_string()])?;
        let value: Value = serde_json::from_str(&ended.out)?;
        let used = value["devices"][0]["memory"]["used_bytes"].as_u64();
        used.ok_or_else(|| format!("NVML says nothing of device {device}: {}{}", ended.out, ended.err).into())
    }

    /// Waits until no more of the device is used than before, noise aside.
    pub fn is_back_to(&self, device: u32, before: u64) -> Result<(), Failed> {
        until(Duration::from_secs(20), "the memory is given back", || Ok(self.used(device)? <= before + NOISE))
    }

    /// Where a run on a target leaves its results.
    pub fn results(&self, target: &str) -> Result<PathBuf, Failed> {
        Ok(self.folder.join("o").join(target.parse::<TargetName>()?.folder()))
    }

    pub fn record(&self, target: &str) -> Result<RunRecord, Failed> {
        Ok(serde_json::from_slice(&fs::read(self.results(target)?.join("run.json"))?)?)
    }
}

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A process that is killed when it is dropped.
pub struct Running {
    child: Child,
    said: String,
    out: PathBuf,
    err: PathBuf,
    limit: Duration,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn complaints(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Whether it has ended by now.
    pub fn is_over(&mut self) -> Result<bool, Failed> {
        Ok(self.child.try_wait()?.is_some())
    }

    pub fn kill(&mut self) -> Result<(), Failed> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Closes its stdin and waits for its end.
    pub fn ended(mut self) -> Result<Ended, Failed> {
        drop(self.child.stdin.take());
        let mut code = None;
        until(self.limit, &format!("the end of `{}`", self.said), || {
            let ended = self.child.try_wait()?;
            code = ended.and_then(|status| status.code());
            Ok(ended.is_some())
        })?;
        Ok(Ended { code, out: fs::read_to_string(&self.out)?, err: self.complaints() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so, at most so long.
pub fn until(limit: Duration, what: &str, mut is_so: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    #[expect(clippy::disallowed_methods, reason = "a trial must not hang")]
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > limit {
            return Err(format!("waited {limit:?} in vain: {what}").into());
        }
        pause(Duration::from_millis(10));
    }
    Ok(())
}

/// Lets some time go by.
pub fn pause(time: Duration) {
    std::thread::park_timeout(time);
}

/// The living processes that a process started.
pub fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|child: &u32| state(*child).is_some_and(|(_, parent)| parent == pid)).collect()
}

/// Whether a process is there and no mere entry of one that has ended.
pub fn lives(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| !"ZX".contains(state))
}

fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

pub fn kill(pid: u32) -> Result<(), Failed> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    Ok(kill_process(pid, Signal::KILL)?)
}

/// A trial's complaint unless something is so.
pub fn expect(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if is_so { Ok(()) } else { Err(otherwise().into()) }
}
