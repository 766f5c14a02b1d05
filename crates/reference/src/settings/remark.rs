//! Settings as a snapshot of any release of PyTorch holds them: those that this program does not know do not make it
//! unreadable.
//!
//! Decides what is said of settings that change nothing here.

use std::fmt;

use super::Settings;
use super::parse::{Effect, SettingsError, effect_of};

/// What is to be said of one setting of a settings string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// It is right, and changes nothing that is predicted.
    NoEffect {
        /// As it was written.
        key: String,
    },
    /// It concerns pinned host memory, which no device allocator knows of.
    HostOnly {
        /// As it was written.
        key: String,
    },
    /// No release known here has it, or not with that value; it is left out.
    LeftOut {
        /// What is wrong with it.
        error: SettingsError,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::NoEffect { key } => write!(f, "setting `{key}`: accepted, has no effect on a replay"),
            Remark::HostOnly { key } => {
                write!(f, "setting `{key}`: accepted, concerns pinned host memory and has no effect on a replay")
            }
            Remark::LeftOut { error } => write!(f, "warning: a setting is left out: {error}"),
        }
    }
}

impl Settings {
    /// Reads the settings string of a snapshot, and leaves out what it does not understand.
    #[must_use]
    pub fn of_any_release(text: &str) -> (Settings, Vec<Remark>) {
        let mut wrong = Vec::new();
        let keep = |error| {
            if !wrong.contains(&error) {
                wrong.push(error);
            }
            Ok(())
        };
        let settings = Settings::read(text, keep).unwrap_or_default(); // nothing is refused
        let mut remarks = Settings::without_effect(text);
        for error in wrong {
            remarks.push(match error {
                SettingsError::UnknownKey { key, .. } if key.starts_with("pinned_") => Remark::HostOnly { key },
                error => Remark::LeftOut { error },
            });
        }
        (settings, remarks)
    }

    /// The settings of a string that change nothing that is predicted.
    #[must_use]
    pub fn without_effect(text: &str) -> Vec<Remark> {
        let mut remarks = Vec::new();
        for word in text.split([',', ':', '[', ']']).map(str::trim) {
            let remark = match effect_of(word) {
                Some(Effect::Without) => Remark::NoEffect { key: word.to_owned() },
                Some(Effect::Host) => Remark::HostOnly { key: word.to_owned() },
                Some(Effect::Taken) | None => continue,
            };
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> (Settings, Vec<String>) {
        let (settings, remarks) = Settings::of_any_release(text);
        (settings, remarks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn settings_of_every_release_are_read_and_what_they_do_not_change_is_said() {
        let (settings, remarks) = said(
            "throw_on_cudamalloc_oom:True,expandable_segments_reserve_by_class:[a:1,b:2],pinned_use_hip_host_register:True,\
             expandable_segments:True",
        );
        assert!(settings.expandable_segments);
        assert_eq!(
            remarks,
            [
                "setting `throw_on_cudamalloc_oom`: accepted, has no effect on a replay",
                "setting `expandable_segments_reserve_by_class`: accepted, has no effect on a replay",
                "setting `pinned_use_hip_host_register`: accepted, concerns pinned host memory and has no effect on a replay",
            ]
        );
        assert_eq!(said("graph_capture_record_stream_reuse:True").1.len(), 1);
        assert_eq!(said("max_split_size_mb:64,garbage_collection_threshold:0.5").1.len(), 0);
    }

    #[test]
    fn what_no_release_knows_is_warned_of_and_the_rest_counts() {
        let (settings, remarks) =
            said("speed:[1:2,3:4],max_split_size_mb:64,pinned_of_tomorrow:7,expandable_segments:yes");
        assert_eq!((settings.max_split, settings.expandable_segments), (64 << 20, false));
        assert_eq!(
            remarks,
            [
                "warning: a setting is left out: `speed` is not a setting of the native allocator",
                "setting `pinned_of_tomorrow`: accepted, concerns pinned host memory and has no effect on a replay",
                "warning: a setting is left out: expandable_segments: `yes` is not allowed; it must be exactly True or False",
            ]
        );
        assert_eq!(said("speed").1.len(), 1);
        assert_eq!(said("large_segment_size_mb:5,max_split_size_mb:20").0.max_split, 20 << 20);
    }
}
