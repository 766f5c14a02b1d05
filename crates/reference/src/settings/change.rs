//! Settings changed while the allocator runs (`torch.cuda.memory._set_allocator_settings`), as PyTorch 2.11 does it.
//!
//! Decides what a settings string replaces, what it leaves, and what is left behind by one that is refused. What a value
//! means from then on is read where it is used: every request, flush and collection looks at the settings of that moment.

use super::Settings;
use super::parse::{Cursor, SettingsError, tokens};

/// Settings that every accelerator's allocator has. PyTorch reads these of a string first, and those of CUDA in a second pass.
const GENERIC: [&str; 7] = [
    "max_split_size_mb",
    "max_non_split_rounding_mb",
    "garbage_collection_threshold",
    "roundup_power2_divisions",
    "expandable_segments",
    "large_segment_size_mb",
    "pinned_use_background_threads",
];

impl Settings {
    /// Puts a settings string in force. What it does not name is as in an empty string, but for `expandable_segments` and
    /// `large_segment_size_mb`, which stay. The fraction of a device is read when its allocator is made, and never again.
    ///
    /// # Errors
    /// The first thing that is wrong. PyTorch does not undo: what is not named is gone by then, and what was read before
    /// it counts. (Where `large_segment_size_mb` itself is wrong, it is taken that nothing else was read.)
    pub fn change(&mut self, text: &str) -> Result<(), SettingsError> {
        let kept = Settings {
            expandable_segments: self.expandable_segments,
            large_segment: self.large_segment,
            max_non_split_rounding: self.large_segment,
            fraction: self.fraction,
            ..Settings::default()
        };
        *self = kept;
        let tokens = tokens(text);
        self.read_large_segment(&tokens, &mut Err)?;
        for of_all in [true, false] {
            let mut cursor = Cursor { tokens: &tokens, at: 0 };
            while cursor.at < tokens.len() {
                let generic = GENERIC.contains(&cursor.key());
                // The first pass also finds what no pass knows.
                if generic == of_all || (of_all && !cursor.is_known()) {
                    self.apply(&mut cursor)?;
                } else {
                    cursor.pass()?;
                }
                cursor.at += 2; // past the value and the separator, which nobody checks
            }
        }
        self.fraction = kept.fraction;
        Ok(())
    }
}

impl SettingsError {
    /// The text that PyTorch 2.11 refuses a string with at run time, as far as it was recorded; else our own.
    #[must_use]
    pub fn as_raised(&self) -> String {
        match self {
            SettingsError::UnknownKey { key, .. } => {
                format!("Unrecognized key '{key}' in Accelerator allocator config.")
            }
            SettingsError::Missing { .. } => "Index out of bounds in ConfigTokenizer".to_owned(),
            SettingsError::BadValue { key, value, allowed } => {
                let is_number = value.starts_with(|c: char| c.is_ascii_digit());
                match key.as_str() {
                    "max_split_size_mb" | "max_non_split_rounding_mb" if is_number => {
                        let least: String = allowed.chars().filter(char::is_ascii_digit).collect();
                        format!("CachingAllocator option {key} too small, must be >= {least}")
                    }
                    "large_segment_size_mb" if is_number => {
                        format!("CachingAllocator option {key} must be > 10 MB")
                    }
                    "garbage_collection_threshold" if is_number => {
                        "garbage_collect_threshold is invalid, set it in (0.0, 1.0)".to_owned()
                    }
                    "per_process_memory_fraction" if is_number => {
                        format!("{key} is invalid, set it in [0.0, 1.0]")
                    }
                    "backend" if value == "cudaMallocAsync" => {
                        "Allocator backend parsed at runtime != allocator backend parsed at load time, cudaMallocAsync != native"
                            .to_owned()
                    }
                    "backend" => "Unknown allocator backend, options are native and cudaMallocAsync".to_owned(),
                    _ => self.to_string(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounding::MIB;

    fn changed(before: &str, text: &str) -> (Settings, Option<String>) {
        let mut settings: Settings = before.parse().expect("the settings before are right");
        let refused = settings.change(text).err().map(|e| e.as_raised());
        (settings, refused)
    }

    #[test]
    fn what_is_not_named_is_gone_but_for_what_stays() {
        let all = "max_split_size_mb:64,roundup_power2_divisions:4,garbage_collection_threshold:0.5,expandable_segments:True,\
                   large_segment_size_mb:32,max_non_split_rounding_mb:40,per_process_memory_fraction:0.5";
        let (settings, refused) = changed(all, "");
        assert_eq!(refused, None);
        let kept = Settings {
            expandable_segments: true,
            large_segment: 32 * MIB,
            max_non_split_rounding: 32 * MIB,
            fraction: 0.5,
            ..Settings::default()
        };
        assert_eq!(settings, kept);
        let (settings, _) = changed(all, "expandable_segments:False,per_process_memory_fraction:0.25,backend:native");
        assert_eq!(settings, Settings { expandable_segments: false, ..kept }, "no device looks at the fraction again");
        assert_eq!(changed("", "large_segment_size_mb:64").0.max_non_split_rounding, 64 * MIB);
        assert_eq!(changed("", "max_split_size_mb:64,large_segment_size_mb:64").0.max_split, 64 * MIB);
    }

    #[test]
    fn what_is_refused_leaves_what_was_read_before_it() {
        let before = "max_split_size_mb:64,roundup_power2_divisions:4";
        let (settings, refused) = changed(before, "expandable_segments:True,foo:1,garbage_collection_threshold:0.5");
        assert_eq!(refused.as_deref(), Some("Unrecognized key 'foo' in Accelerator allocator config."));
        assert_eq!(settings, Settings { expandable_segments: true, ..Settings::default() });
        // Settings of CUDA come after all others, wherever they stand.
        let (settings, refused) = changed(before, "backend:cudaMallocAsync,max_split_size_mb:32");
        assert!(refused.is_some_and(|text| text.contains("cudaMallocAsync != native")));
        assert_eq!(settings.max_split, 32 * MIB);
        let (settings, refused) = changed("large_segment_size_mb:32", "max_split_size_mb:31");
        assert_eq!(refused.as_deref(), Some("CachingAllocator option max_split_size_mb too small, must be >= 32"));
        assert_eq!((settings.max_split, settings.large_segment), (u64::MAX, 32 * MIB));
        assert_eq!(changed("", "max_split_size_mb").1.as_deref(), Some("Index out of bounds in ConfigTokenizer"));
        let gc = "garbage_collect_threshold is invalid, set it in (0.0, 1.0)";
        assert_eq!(changed("", "garbage_collection_threshold:1.0").1.as_deref(), Some(gc));
    }
}
