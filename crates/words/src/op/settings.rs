//! The names of settings, as PyTorch writes them in a settings string.
//!
//! Decides which names there are. What a setting means, and which values it takes, is the target's to know.

/// Every setting of PyTorch 2.4 to 2.15.
pub const NAMES: [&str; 22] = [
    "max_split_size_mb",
    "max_non_split_rounding_mb",
    "garbage_collection_threshold",
    "roundup_power2_divisions",
    "expandable_segments",
    "large_segment_size_mb",
    "per_process_memory_fraction",
    "backend",
    "release_lock_on_cudamalloc",
    "release_lock_on_hipmalloc",
    "graph_capture_record_stream_reuse",
    "throw_on_cudamalloc_oom",
    "expandable_segments_reserve",
    "expandable_segments_reserve_by_class",
    "pinned_use_background_threads",
    "pinned_use_cuda_host_register",
    "pinned_use_hip_host_register",
    "pinned_num_register_threads",
    "pinned_reserve_segment_size_mb",
    "pinned_free_catch_all",
    "pinned_max_round_threshold_mb",
    "pinned_max_cached_size_mb",
];

/// Whether a settings string begins with a word that names no setting, so that it must be refused.
#[must_use]
pub fn begins_unknown(text: &str) -> bool {
    let characters = text.chars().filter(|c| !c.is_whitespace());
    let word: String = characters.take_while(|c| !matches!(c, ',' | ':' | '[' | ']')).collect();
    !word.is_empty() && !NAMES.contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_word_that_names_nothing_is_certainly_wrong() {
        for wrong in ["speed:9", " speed", "max_split_size:64", "max_split_size_mb_:64,backend:native", "é:1"] {
            assert!(begins_unknown(wrong), "{wrong}");
        }
        for right in ["", " ", "max_split_size_mb:64", "backend", " expandable_segments : True", ",speed:1", "[x"] {
            assert!(!begins_unknown(right), "{right}");
        }
    }
}
