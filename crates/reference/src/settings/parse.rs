//! The settings string (`PYTORCH_CUDA_ALLOC_CONF`), with PyTorch's own rules for what is accepted.
//!
//! Decides which strings are settings. A refused string here leaves nothing half-set; what it leaves in a process that goes
//! on is said in `change`.

use super::Settings;
use crate::rounding::MIB;

/// Why a settings string was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum SettingsError {
    #[error("`{key}` is not a setting of the native allocator{}", hint.as_ref().map_or_else(String::new, |h| format!(": did you mean `{h}`?")))]
    UnknownKey { key: String, hint: Option<String> },
    #[error("{key}: `{value}` is not allowed; it must be {allowed}")]
    BadValue { key: String, value: String, allowed: String },
    #[error("{key}: the value is missing")]
    Missing { key: String },
}

/// What becomes of a setting here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changes what the reference does.
    Taken,
    /// It is read and checked, and changes nothing that is predicted.
    Without,
    /// It concerns pinned host memory alone.
    Host,
}

/// Every setting of PyTorch 2.4 to 2.15.
const KEYS: [(&str, Effect); 22] = [
    ("max_split_size_mb", Effect::Taken),
    ("max_non_split_rounding_mb", Effect::Taken),
    ("garbage_collection_threshold", Effect::Taken),
    ("roundup_power2_divisions", Effect::Taken),
    ("expandable_segments", Effect::Taken),
    ("large_segment_size_mb", Effect::Taken),
    ("per_process_memory_fraction", Effect::Taken),
    ("backend", Effect::Taken),
    ("release_lock_on_cudamalloc", Effect::Without),
    ("release_lock_on_hipmalloc", Effect::Without),
    ("graph_capture_record_stream_reuse", Effect::Without),
    ("throw_on_cudamalloc_oom", Effect::Without),
    ("expandable_segments_reserve", Effect::Without),
    ("expandable_segments_reserve_by_class", Effect::Without),
    ("pinned_use_background_threads", Effect::Host),
    ("pinned_use_cuda_host_register", Effect::Host),
    ("pinned_use_hip_host_register", Effect::Host),
    ("pinned_num_register_threads", Effect::Host),
    ("pinned_reserve_segment_size_mb", Effect::Host),
    ("pinned_free_catch_all", Effect::Host),
    ("pinned_max_round_threshold_mb", Effect::Host),
    ("pinned_max_cached_size_mb", Effect::Host),
];

/// What becomes of a key, if any release has it.
pub(super) fn effect_of(key: &str) -> Option<Effect> {
    KEYS.iter().find(|(known, _)| *known == key).map(|(_, effect)| *effect)
}

impl std::str::FromStr for Settings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        Settings::read(text, Err)
    }
}

impl Settings {
    /// Reads settings; `object` says whether to go on after what is wrong with one of them.
    pub(super) fn read(
        text: &str,
        mut object: impl FnMut(SettingsError) -> Result<(), SettingsError>,
    ) -> Result<Settings, SettingsError> {
        let tokens = tokens(text);
        let mut settings = Settings::default();
        settings.read_large_segment(&tokens, &mut object)?;
        let mut cursor = Cursor { tokens: &tokens, at: 0 };
        while cursor.at < tokens.len() {
            let start = cursor.at;
            if let Err(error) = settings.apply(&mut cursor) {
                object(error)?;
                cursor.at = start;
                // A key alone has no value to pass over.
                let _ = cursor.pass();
            }
            cursor.at += 2; // past the value and the separator, which nobody checks
        }
        Ok(settings)
    }

    /// This one bounds others, so it counts wherever it stands.
    pub(super) fn read_large_segment(
        &mut self,
        tokens: &[String],
        object: &mut impl FnMut(SettingsError) -> Result<(), SettingsError>,
    ) -> Result<(), SettingsError> {
        for at in (0..tokens.len()).filter(|&i| tokens[i] == "large_segment_size_mb") {
            match (Cursor { tokens, at }).large_segment() {
                Ok(size) => self.large_segment = size,
                Err(error) => object(error)?,
            }
        }
        self.max_non_split_rounding = self.large_segment;
        Ok(())
    }

    pub(super) fn apply(&mut self, cursor: &mut Cursor<'_>) -> Result<(), SettingsError> {
        let least = self.large_segment / MIB;
        let at_least = format!("an integer of at least {least} (MiB)");
        match cursor.key() {
            "max_split_size_mb" => {
                let size = cursor.integer()?;
                cursor.require(size >= least, &at_least)?;
                self.max_split = size.min(u64::MAX / MIB) * MIB;
            }
            "max_non_split_rounding_mb" => {
                let size = cursor.integer()?;
                cursor.require(size >= least, &at_least)?;
                self.max_non_split_rounding = size.min(u64::MAX / MIB) * MIB;
            }
            "garbage_collection_threshold" => {
                let threshold = cursor.float()?;
                cursor.require(threshold > 0.0 && threshold < 1.0, "between 0 and 1, both excluded")?;
                self.gc_threshold = threshold;
            }
            // What a second list leaves out stays as the first had it.
            "roundup_power2_divisions" => self.roundup_divisions = cursor.divisions(self.roundup_divisions)?,
            "expandable_segments" => self.expandable_segments = cursor.boolean()?,
            "large_segment_size_mb" => {
                cursor.integer()?;
            }
            "per_process_memory_fraction" => {
                let fraction = cursor.float()?;
                cursor.require((0.0..=1.0).contains(&fraction), "between 0 and 1, both included")?;
                self.fraction = fraction;
            }
            "backend" => {
                let native = cursor.value()? == "native";
                cursor.require(native, "`native`: the reference predicts no other backend")?;
            }
            "release_lock_on_cudamalloc"
            | "release_lock_on_hipmalloc"
            | "graph_capture_record_stream_reuse"
            | "throw_on_cudamalloc_oom"
            | "pinned_use_background_threads"
            | "pinned_use_cuda_host_register"
            | "pinned_use_hip_host_register"
            | "pinned_free_catch_all" => {
                cursor.boolean()?;
            }
            "pinned_num_register_threads" => {
                let threads = cursor.integer()?;
                cursor.require(threads.is_power_of_two() && threads <= 128, "a power of two up to 128")?;
            }
            "pinned_reserve_segment_size_mb" => {
                let size = cursor.integer()?;
                cursor.require(size > 0, "above 0 (MiB)")?;
            }
            // PyTorch logs and ignores what it cannot read of these, and bounds host memory by the others.
            "expandable_segments_reserve" | "expandable_segments_reserve_by_class" => cursor.pass()?,
            "pinned_max_round_threshold_mb" | "pinned_max_cached_size_mb" => {
                cursor.integer()?;
            }
            key => {
                let like = |name: &str| strsim::jaro_winkler(name, key);
                let hint = KEYS.iter().map(|(name, _)| *name).max_by(|a, b| like(a).total_cmp(&like(b)));
                let hint = hint.filter(|name| like(name) > 0.8).map(str::to_owned);
                return Err(SettingsError::UnknownKey { key: key.to_owned(), hint });
            }
        }
        Ok(())
    }
}

/// Words and separators, without blanks.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        if matches!(c, ',' | ':' | '[' | ']') {
            if !word.is_empty() {
                tokens.push(std::mem::take(&mut word));
            }
            tokens.push(c.to_string());
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

/// A place among the tokens: at a key, and after reading its value at the value's last token.
pub(super) struct Cursor<'a> {
    pub(super) tokens: &'a [String],
    pub(super) at: usize,
}

impl Cursor<'_> {
    pub(super) fn key(&self) -> &str {
        &self.tokens[self.at]
    }

    /// Whether any release has the setting.
    pub(super) fn is_known(&self) -> bool {
        effect_of(self.key()).is_some()
    }

    /// The key that the last read value belongs to.
    fn key_before(&self) -> String {
        let read = &self.tokens[..self.at.min(self.tokens.len())]; // a missing value is past the end
        let start = read.iter().rposition(|t| effect_of(t).is_some());
        start.map_or_else(String::new, |i| self.tokens[i].clone())
    }

    /// Moves two tokens on (a separator, then the value).
    fn value(&mut self) -> Result<&str, SettingsError> {
        let key = self.tokens[self.at].clone();
        self.at += 2;
        self.tokens.get(self.at).map(String::as_str).ok_or(SettingsError::Missing { key })
    }

    fn bad(&self, allowed: &str) -> SettingsError {
        let value = self.tokens.get(self.at).cloned().unwrap_or_default();
        SettingsError::BadValue { key: self.key_before(), value, allowed: allowed.to_owned() }
    }

    fn require(&self, holds: bool, allowed: &str) -> Result<(), SettingsError> {
        if holds { Ok(()) } else { Err(self.bad(allowed)) }
    }

    fn integer(&mut self) -> Result<u64, SettingsError> {
        let value = leading_integer(self.value()?);
        value.ok_or_else(|| self.bad("an integer"))
    }

    fn float(&mut self) -> Result<f64, SettingsError> {
        let value = self.value()?.parse().ok();
        value.ok_or_else(|| self.bad("a number"))
    }

    fn boolean(&mut self) -> Result<bool, SettingsError> {
        match self.value()? {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => Err(self.bad("exactly True or False")),
        }
    }

    fn large_segment(&mut self) -> Result<u64, SettingsError> {
        let size = self.integer()?;
        self.require(size > 10, "an integer above 10 (MiB)")?;
        Ok(size.min(u64::MAX / MIB) * MIB)
    }

    /// Moves to the end of a value, whatever it is: one word, or a list in brackets.
    pub(super) fn pass(&mut self) -> Result<(), SettingsError> {
        if self.value()? == "[" {
            while self.tokens.get(self.at).is_some_and(|token| token != "]") {
                self.at += 1;
            }
        }
        Ok(())
    }

    /// One value for all sizes, or a list of `boundary in MiB : value` with `>` for all that follow.
    fn divisions(&mut self, mut table: [u64; 16]) -> Result<[u64; 16], SettingsError> {
        const POWER: &str = "a power of two";
        if self.value()? != "[" {
            let value = leading_integer(self.key());
            let value = value.filter(|v| v.is_power_of_two()).ok_or_else(|| self.bad(POWER))?;
            return Ok([value; 16]);
        }
        let mut last = 0;
        let mut first = true;
        loop {
            self.at += 1;
            let Some(boundary) = self.tokens.get(self.at).cloned() else {
                return Err(SettingsError::Missing { key: self.key_before() });
            };
            match boundary.as_str() {
                "]" => return Ok(table),
                "," | ":" => continue,
                _ => {}
            }
            let index = leading_integer(&boundary).filter(|b| b.is_power_of_two()).map(|b| b.ilog2().min(15) as usize);
            let index = if boundary == ">" { None } else { Some(index.ok_or_else(|| self.bad(POWER))?) };
            self.at += 2;
            let value = self.tokens.get(self.at).and_then(|t| leading_integer(t));
            let value = value.filter(|&v| v == 0 || v.is_power_of_two());
            let value = value.ok_or_else(|| self.bad("a power of two, or 0 for none"))?;
            match index {
                Some(index) => {
                    table[index] = value;
                    if first {
                        table[..index].fill(value);
                    }
                    last = index;
                }
                None => table[(last + 1).min(16)..].fill(value),
            }
            first = false;
        }
    }
}

/// The digits a text starts with, as C reads them: `20abc` is 20, and a negative number wraps.
fn leading_integer(text: &str) -> Option<u64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let value: u64 = digits[..end].parse().ok()?;
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn every_recorded_configuration_is_read() {
        assert_eq!(read(""), Settings::default());
        assert_eq!(read("max_split_size_mb:64").max_split, 64 * MIB);
        assert_eq!(read("max_split_size_mb:64,expandable_segments:True,").max_split, 64 * MIB);
        assert_eq!(read("large_segment_size_mb:64").max_non_split_rounding, 64 * MIB);
        let combined = read(
            "max_split_size_mb:128,roundup_power2_divisions:[1:4,64:2,>:8],garbage_collection_threshold:0.7,max_non_split_rounding_mb:40",
        );
        assert_eq!(combined.roundup_divisions, [4, 0, 0, 0, 0, 0, 2, 8, 8, 8, 8, 8, 8, 8, 8, 8]);
        assert_eq!((combined.gc_threshold, combined.max_non_split_rounding), (0.7, 40 * MIB));
    }

    #[test]
    fn lists_of_divisions_fill_as_documented() {
        let listed = |text: &str| read(&format!("roundup_power2_divisions:{text}")).roundup_divisions;
        assert_eq!(listed("8"), [8; 16]);
        assert_eq!(listed("[64:8]")[..8], [8, 8, 8, 8, 8, 8, 8, 0]);
        assert_eq!(listed("[64:8,16:4]")[..8], [8, 8, 8, 8, 4, 8, 8, 0]);
        assert_eq!(listed("[>:2]")[..3], [0, 2, 2]);
        assert_eq!(listed("[256:1,512:2,1024:4,>:8]")[7..12], [1, 1, 2, 4, 8]);
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(read("max_split_size_mb:20abc").max_split, 20 * MIB);
        assert_eq!(read("max_split_size_mb:-1").max_split, u64::MAX / MIB * MIB);
        assert_eq!(read("large_segment_size_mb:-1").large_segment, u64::MAX / MIB * MIB);
        assert_eq!(read(" max_split_size_mb : 32 ").max_split, 32 * MIB);
    }

    #[test]
    fn refusals_name_key_value_and_range() {
        let refused = |text: &str| text.parse::<Settings>().map(|_| ()).map_err(|e| e.to_string());
        let cases = [
            ("foo:1", "`foo` is not a setting of the native allocator"),
            ("expandable_segment:True", "did you mean `expandable_segments`?"),
            (
                "max_split_size_mb:19",
                "max_split_size_mb: `19` is not allowed; it must be an integer of at least 20 (MiB)",
            ),
            ("max_split_size_mb", "max_split_size_mb: the value is missing"),
            ("large_segment_size_mb:10", "an integer above 10"),
            ("garbage_collection_threshold:1.0", "between 0 and 1, both excluded"),
            ("garbage_collection_threshold:nan", "between 0 and 1, both excluded"),
            ("expandable_segments:true", "exactly True or False"),
            ("roundup_power2_divisions:3", "a power of two"),
            ("roundup_power2_divisions:0", "a power of two"),
            ("roundup_power2_divisions:[3:4]", "a power of two"),
            ("roundup_power2_divisions:[4:3]", "a power of two, or 0"),
            ("roundup_power2_divisions:[4:4", "the value is missing"),
            ("per_process_memory_fraction:1.1", "between 0 and 1, both included"),
            ("backend:cudaMallocAsync", "`native`"),
            ("pinned_num_register_threads:256", "a power of two up to 128"),
        ];
        for (text, part) in cases {
            let message = refused(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
