//! What may stand after `?` in the name of `c10@sim` and `c10@cuda`.
//!
//! Decides which release is meant, and what is promised of it.

use std::sync::OnceLock;

use super::super::on_gpu::OnGpu;
use super::super::reference::{self, change, read_settings};
use super::super::registry::{TargetOption, unknown_option};
use super::super::released::{self, Released};
use super::super::{TargetError, TargetName};
use super::is_of_python;
use crate::op::{Capability, Contract, Policy, Setup};
use crate::reference::{Rules, Settings};

/// The newest release that is set up.
pub(in crate::target) fn newest() -> Option<Released> {
    released::RELEASES.into_iter().find_map(released::set_up)
}

/// The release that a target's name stands for, as the reference is told.
pub(in crate::target) fn version(name: &TargetName) -> Option<String> {
    match name.option("torch") {
        Some(asked) => asked.and_then(released::known).map(str::to_owned),
        None => match LOADED.get() {
            Some((None, released)) => Some(released.record.version.clone()),
            _ => newest().map(|released| released.record.version),
        },
    }
}

/// The release that was loaded, and as what it was asked for: a process has one, and each copy of it would look for it again.
static LOADED: OnceLock<(Option<String>, Released)> = OnceLock::new();

/// The options of a target's name.
#[derive(Debug, Clone, Default)]
pub(in crate::target) struct Options {
    /// As it was written; the newest that is set up, without it.
    torch: Option<String>,
    pub(super) settings: Settings,
    /// The same as they were written.
    pub(super) config: Option<String>,
    pub(super) uncached: bool,
    /// A scenario says under which settings: it knows what follows from them.
    is_configured: bool,
    pub(super) gpu: OnGpu,
}

impl Options {
    pub(in crate::target) const HELP: &[TargetOption] = &[
        TargetOption {
            usage: "torch=VERSION",
            what: "the release, as `poolproof setup torch` fetched it (the newest there)",
        },
        TargetOption { usage: "caching=on|off", what: "off: as under PYTORCH_NO_CUDA_MEMORY_CACHING=1" },
        TargetOption {
            usage: "config=SETTINGS",
            what: "as PYTORCH_CUDA_ALLOC_CONF has them, such as expandable_segments:True; `config=` may be left out",
        },
    ];

    /// # Errors
    /// As `read`.
    pub(super) fn of_world(name: &TargetName, setup: &Setup, on_gpu: bool) -> Result<Self, TargetError> {
        let mut options = Options::read(name, on_gpu)?;
        if let Some(text) = &setup.config {
            options.configure(name, text)?;
            options.is_configured = true;
        }
        Ok(options)
    }

    /// # Errors
    /// An option or a setting that does not exist.
    pub(super) fn read(name: &TargetName, on_gpu: bool) -> Result<Self, TargetError> {
        let mut options = Options::default();
        for (key, value) in &name.options {
            match (key.as_str(), value.as_deref()) {
                ("torch", Some(version)) => options.torch = Some(version.to_owned()),
                ("config", Some(text)) => options.configure(name, text)?,
                ("caching", Some("off")) => options.uncached = true,
                ("caching", Some("on")) => options.uncached = false,
                (text, None) if text.contains(':') => options.configure(name, text)?,
                (key, value) => {
                    if on_gpu && options.gpu.take(name, key, value)? {
                        continue;
                    }
                    return Err(unknown_option(name, key));
                }
            }
        }
        Ok(options)
    }

    /// The error that a release's text at its beginning is, where it speaks of the settings of a scenario: of a key that it does not
    /// know, or of a value that only later releases take (`Unrecognized CachingAllocator option: ...` up to 2.9, `Unrecognized key
    /// '...' in CUDA allocator config.` since).
    pub(super) fn refused_settings(&self, name: &TargetName, message: &str) -> Option<TargetError> {
        let settings = self.config.clone().filter(|_| self.is_configured)?;
        let speaks =
            ["CachingAllocator option", "allocator config", "AllocatorConfig"].iter().any(|w| message.contains(w));
        let (target, reason) = (name.to_string(), message.to_owned());
        speaks.then_some(TargetError::SettingsRefused { target, settings, reason })
    }

    fn configure(&mut self, name: &TargetName, text: &str) -> Result<(), TargetError> {
        self.settings = read_settings(name, text)?;
        self.config = Some(text.to_owned());
        Ok(())
    }

    /// The release that is meant.
    ///
    /// # Errors
    /// It was not set up.
    pub(super) fn release(&self, name: &TargetName) -> Result<Released, TargetError> {
        if let Some(released) = self.loaded() {
            return Ok(released.clone());
        }
        let bad = |reason: String| TargetError::BadOption { target: name.to_string(), reason };
        let unavailable = |reason: String| TargetError::Unavailable { target: name.to_string(), reason };
        let Some(asked) = &self.torch else {
            return newest().ok_or_else(|| unavailable("no release is set up (`poolproof setup torch`)".to_owned()));
        };
        let Some(version) = released::known(asked) else {
            let known = released::RELEASES.join(", ");
            return Err(bad(format!("`{asked}` is no release of PyTorch that is known here; known are {known}")));
        };
        let lacking =
            || unavailable(format!("PyTorch {version} is not set up (`poolproof setup torch --version {version}`)"));
        released::set_up(version).ok_or_else(lacking)
    }

    /// The same where it was loaded as what is asked for here.
    pub(super) fn loaded(&self) -> Option<&'static Released> {
        LOADED.get().filter(|(asked, _)| *asked == self.torch).map(|(_, released)| released)
    }

    /// This one was loaded.
    pub(super) fn keep(&self, released: Released) {
        LOADED.get_or_init(|| (self.torch.clone(), released));
    }

    /// The variable that settings are read from.
    pub(super) fn variable(&self) -> &'static str {
        "PYTORCH_CUDA_ALLOC_CONF"
    }

    /// Whether the allocator has this where the reference under the same settings claims it.
    pub(super) fn offers(&self, capability: Capability, minor: u32) -> bool {
        let is_claimed = match capability {
            // Which is written of the settings that everybody has.
            Capability::Policy(Policy::Pytorch2_11) => {
                minor == 11 && (self.is_configured || self.settings == Settings::default())
            }
            Capability::ExactPolicy => Rules::of(minor).is_some(),
            Capability::CachingSwitch => minor >= 6,
            _ => true,
        };
        is_claimed && !is_of_python(capability) && (!self.uncached || change::without_cache(capability))
    }

    pub(super) fn contract(&self, page: u64) -> Contract {
        if self.uncached { change::UNCACHED } else { reference::contract(&self.settings, page) }
    }
}
