//! Which operation a byte stands for.
//!
//! Decides how often each is drawn: the first 64 bytes come three times round, the last 64 once.

/// Kinds and how many bytes in a row stand for each: every operation once, then what fills and empties the pools.
const COMMON: [(&str, u8); 34] = [
    ("alloc", 1),
    ("free", 1),
    ("record_stream", 1),
    ("use", 1),
    ("occupy", 1),
    ("finish", 1),
    ("synchronize", 1),
    ("empty_cache", 1),
    ("reset_peak", 1),
    ("reset_accumulated", 1),
    ("set_fraction", 1),
    ("get_fraction", 1),
    ("set_current", 1),
    ("caller", 1),
    ("dictionary", 1),
    ("summary", 1),
    ("snapshot", 1),
    ("memory_info", 1),
    ("free_pointer", 1),
    ("fault", 1),
    ("alloc_tensor", 1),
    ("alloc_zero", 1),
    ("bad_device", 1),
    ("bad_fraction", 1),
    ("alloc", 16),
    ("free", 11),
    ("record_stream", 4),
    ("use", 1),
    ("occupy", 2),
    ("finish", 2),
    ("empty_cache", 1),
    ("fault", 1),
    ("wait_stream", 1),
    ("neighbour", 1),
];

/// Private pools and captures, and what shows where memory is while they last.
const PRIVATE: [(&str, u8); 12] = [
    ("pool_create", 5),
    ("pool_enter", 9),
    ("pool_exit", 8),
    ("pool_delete", 4),
    ("capture_begin", 8),
    ("capture_end", 7),
    ("graph_reset", 5),
    ("bad_pool", 2),
    ("alloc", 8),
    ("free", 6),
    ("empty_cache", 1),
    ("snapshot", 1),
];

/// Bytes from here on are those of `PRIVATE`.
const PRIVATE_FROM: u8 = 192;

/// What a byte stands for.
pub fn of(byte: u8) -> &'static str {
    let (table, mut at) =
        if byte >= PRIVATE_FROM { (&PRIVATE[..], byte - PRIVATE_FROM) } else { (&COMMON[..], byte % 64) };
    for &(kind, bytes) in table {
        if at < bytes {
            return kind;
        }
        at -= bytes;
    }
    "alloc"
}

/// The first byte that stands for a kind.
pub fn byte(kind: &str) -> Option<u8> {
    (0..=u8::MAX).find(|&byte| of(byte) == kind)
}
