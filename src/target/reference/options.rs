//! What may stand after `?` in the name of a reference target.
//!
//! Decides which options there are and what they mean; the registry shows them, and errors name them.

use super::super::meant::likely;
use super::super::on_gpu::OnGpu;
use super::super::registry::{TargetOption, unknown_option};
use super::super::{TargetError, TargetName};
use crate::op::GRANULE;
use crate::op::{Setup, size};
use crate::reference::{Defect, Rules, Settings, Variation, Variations};

/// The options of a target's name.
#[derive(Debug, Clone, Default)]
pub(in crate::target) struct Options {
    pub(in crate::target) defect: Option<Defect>,
    pub(in crate::target) variations: Option<Variations>,
    pub(in crate::target) settings: Settings,
    /// The same as they were written.
    pub(super) config: Option<String>,
    /// `caching=off`: as under `PYTORCH_NO_CUDA_MEMORY_CACHING=1`. `caching=on` (default).
    pub(super) uncached: bool,
    /// `layer=library`: c10's library without Python and ATen around it. `layer=all` (default).
    pub(super) library_alone: bool,
    /// `torch=2.13`: as that release does it; 2.11 without it.
    pub(super) rules: Rules,
    /// Expectations of PyTorch's figures hold: they are written for default settings or for those of their scenario.
    pub(super) follows: bool,
    pub(super) gpu: OnGpu,
    /// `placement=ordered`: segments lie where a simulated device would put them, by the virtual-memory calls.
    /// `placement=driver` (default): `cuMemAlloc`, wherever the driver puts them.
    pub(super) ordered: bool,
    /// `peers=on`: GPUs get at each other's memory, and read every block from their side too. `peers=off` (default).
    pub(super) peers: bool,
}

impl Options {
    pub(in crate::target) const HELP: &[TargetOption] = &[
        TargetOption { usage: "defect=NAME", what: "a planted mistake (`poolproof list defects`)" },
        TargetOption {
            usage: "variation=NAME",
            what: "another lawful policy, or several joined by + (`poolproof list variations`)",
        },
        TargetOption {
            usage: "unfaithful=KEY/KIND/WHEN",
            what: "one figure or answer told wrongly (`poolproof list observables`)",
        },
        TargetOption {
            usage: "torch=2.11|2.13|2.14|2.15",
            what: "as that release does it, so far as `c10@sim` in lockstep has shown; keys stay those of 2.11 (2.11)",
        },
        TargetOption {
            usage: "layer=all|library",
            what: "library: what c10's library does without ATen and Python around it, as for `c10@sim` (all)",
        },
        TargetOption { usage: "caching=on|off", what: "off: as under PYTORCH_NO_CUDA_MEMORY_CACHING=1" },
        TargetOption {
            usage: "config=SETTINGS",
            what: "as PYTORCH_CUDA_ALLOC_CONF has them, such as expandable_segments:True; `config=` may be left out",
        },
    ];

    pub(in crate::target) const HELP_ON_GPU: &[TargetOption] = &[
        TargetOption {
            usage: "placement=driver|ordered",
            what: "ordered: segments lie where a simulated device would put them, by the virtual-memory calls",
        },
        TargetOption { usage: "peers=on|off", what: "on: GPUs get at each other's memory, and read every block too" },
    ];

    /// The options of a name in a world, whose settings come instead of those of the name.
    ///
    /// # Errors
    /// As `read`.
    pub(super) fn of_world(name: &TargetName, setup: &Setup, on_gpu: bool) -> Result<Self, TargetError> {
        let mut options = Options::read(name, on_gpu)?;
        options.follows = options.settings == Settings::default();
        if let Some(text) = &setup.config {
            (options.settings, options.follows) = (read_settings(name, text)?, true);
            options.config = Some(text.clone());
        }
        Ok(options)
    }

    /// # Errors
    /// An option, a defect, a variation or a setting that does not exist.
    pub(in crate::target) fn read(name: &TargetName, on_gpu: bool) -> Result<Self, TargetError> {
        let mut options = Options::default();
        for (key, value) in &name.options {
            match (key.as_str(), value.as_deref()) {
                ("defect", Some(value)) => options.defect = Some(find_defect(name, value)?),
                ("variation", Some(value)) => options.variations = Some(find_variations(name, value)?),
                ("config", Some(text)) => options.configure(name, text)?,
                ("torch", Some(version)) => options.rules = find_rules(name, version)?,
                ("layer", Some("library")) => options.library_alone = true,
                ("layer", Some("all")) => options.library_alone = false,
                ("caching", Some("off")) => options.uncached = true,
                ("caching", Some("on")) => options.uncached = false,
                ("peers", Some("on")) if on_gpu => options.peers = true,
                ("peers", Some("off")) if on_gpu => options.peers = false,
                ("placement", Some("ordered")) if on_gpu => options.ordered = true,
                ("placement", Some("driver")) if on_gpu => options.ordered = false,
                (text, None) if text.contains(':') => options.configure(name, text)?,
                (key, value) => {
                    if on_gpu && options.gpu.take(name, key, value)? {
                        continue;
                    }
                    return Err(unknown_option(name, key));
                }
            }
        }
        if cfg!(not(feature = "planted-defects")) && (options.defect.is_some() || options.variations.is_some()) {
            let reason =
                "this build has no planted defects and variations; one with its default features has".to_owned();
            return Err(TargetError::BadOption { target: name.to_string(), reason });
        }
        if options.defect.is_some() && options.variations.is_some() {
            let reason = "a defect cannot be planted in a variation".to_owned();
            return Err(TargetError::BadOption { target: name.to_string(), reason });
        }
        Ok(options)
    }

    fn configure(&mut self, name: &TargetName, text: &str) -> Result<(), TargetError> {
        self.settings = read_settings(name, text)?;
        self.config = Some(text.to_owned());
        Ok(())
    }
}

/// The rules of `2.13`, or of a patch of it.
fn find_rules(name: &TargetName, version: &str) -> Result<Rules, TargetError> {
    let minor = version.strip_prefix("2.").and_then(|rest| rest.split('.').next()?.parse().ok());
    minor.and_then(Rules::of).ok_or_else(|| {
        let known: Vec<String> = Rules::RELEASES.iter().map(|minor| format!("2.{minor}")).collect();
        let reason = format!("torch={version}: the rules known here are those of {}", known.join(", "));
        TargetError::BadOption { target: name.to_string(), reason }
    })
}

fn find_variations(name: &TargetName, text: &str) -> Result<Variations, TargetError> {
    text.parse().map_err(|unknown: String| {
        let all: Vec<_> = Variation::ALL.iter().map(|v| (v.name(), v.what())).collect();
        let hint = likely(&unknown, &all);
        TargetError::UnknownVariation { target: name.to_string(), variation: unknown, hint }
    })
}

fn find_defect(name: &TargetName, text: &str) -> Result<Defect, TargetError> {
    text.parse().map_err(|()| {
        let all: Vec<_> = Defect::ALL.iter().map(|d| (d.name(), d.what())).collect();
        let hint = likely(text, &all);
        TargetError::UnknownDefect { target: name.to_string(), defect: text.to_owned(), hint }
    })
}

pub(in crate::target) fn read_settings(name: &TargetName, text: &str) -> Result<Settings, TargetError> {
    let refused =
        |e: crate::reference::SettingsError| TargetError::BadOption { target: name.to_string(), reason: e.to_string() };
    let settings: Settings = text.parse().map_err(refused)?;
    match unmappable(&settings) {
        Some(reason) => Err(TargetError::BadOption { target: name.to_string(), reason }),
        None => Ok(settings),
    }
}

/// Why no device could map what these settings ask for, if that is so.
pub(super) fn unmappable(settings: &Settings) -> Option<String> {
    (settings.expandable_segments && !settings.large_segment.is_multiple_of(GRANULE)).then(|| {
        format!(
            "expandable_segments: pages of {} are no multiple of {}, the least that a device maps, so no large request would ever be served",
            size::human(settings.large_segment),
            size::human(GRANULE)
        )
    })
}
