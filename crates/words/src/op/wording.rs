//! Figures as people read them: a statistic by its name in words, bytes in units, both in English and Chinese.
//!
//! Decides how a figure reads in a sentence or a table. Two figures that differ never read the same.

use super::size;
use super::stats::{Column, Counter, Family, Key, Oversize, Row};
use super::text::Text;

/// An amount of bytes: in its unit where that is exact, `97.66 KiB (100001 B)` where it is rounded.
#[must_use]
pub fn bytes(amount: impl Into<i128>) -> String {
    let amount: i128 = amount.into();
    let sign = if amount < 0 { "-" } else { "" };
    let Ok(size) = u64::try_from(amount.unsigned_abs()) else { return format!("{amount} B") };
    let human = size::human(size);
    match size::parse(&human) {
        Ok(same) if same == size => format!("{sign}{human}"),
        _ => format!("{sign}{human} ({amount} B)"),
    }
}

/// A value of a statistic: bytes in units, counts as they are.
#[must_use]
pub fn amount(key: Key, value: i64) -> String {
    match key {
        Key::Family(family, ..) => of_family(family, value),
        Key::Counter(_) | Key::Oversize(..) => value.to_string(),
    }
}

/// The same for any column of a family.
#[must_use]
pub fn of_family(family: Family, value: i64) -> String {
    if is_bytes(family) { bytes(value) } else { value.to_string() }
}

fn is_bytes(family: Family) -> bool {
    match family {
        Family::AllocatedBytes
        | Family::ReservedBytes
        | Family::ActiveBytes
        | Family::InactiveSplitBytes
        | Family::RequestedBytes => true,
        Family::Allocation | Family::Segment | Family::Active | Family::InactiveSplit => false,
    }
}

/// A statistic of a device: `allocated bytes of device 0, small pool, current`.
#[must_use]
pub fn statistic(key: Key, device: impl std::fmt::Display) -> Text {
    match key {
        Key::Counter(which) => counter(which, device),
        Key::Family(family, row, column) => {
            let (en, zh) = words_of_family(family);
            let (pool, pool_zh) = match row {
                Row::All => ("", ""),
                Row::SmallPool => (", small pool", "小池"),
                Row::LargePool => (", large pool", "大池"),
            };
            let (part, part_zh) = words_of_column(column);
            Text::new(
                format!("{en} of device {device}{pool}, {part}"),
                format!("设备 {device} {pool_zh}的{zh}（{part_zh}）"),
            )
        }
        Key::Oversize(which, column) => {
            let (en, zh) = match which {
                Oversize::Allocations => ("oversize allocations", "超大分配数"),
                Oversize::Segments => ("oversize segments", "超大段数"),
            };
            let (part, part_zh) = words_of_column(column);
            Text::new(format!("{en} of device {device}, {part}"), format!("设备 {device} 的{zh}（{part_zh}）"))
        }
    }
}

fn counter(which: Counter, device: impl std::fmt::Display) -> Text {
    let (en, zh) = match which {
        Counter::NumAllocRetries => ("retries after a flush", "清空缓存后的重试次数"),
        Counter::NumOoms => ("out-of-memory refusals", "内存不足拒绝次数"),
        Counter::MaxSplitSize => ("max_split_size", " max_split_size"),
        Counter::NumSyncAllStreams => ("synchronizations of all streams", "全部流的同步次数"),
        Counter::NumDeviceAlloc => ("device allocations", "设备分配次数"),
        Counter::NumDeviceFree => ("device frees", "设备释放次数"),
    };
    Text::new(format!("{en} of device {device}"), format!("设备 {device} 的{zh}"))
}

/// What a figure moved by: `change of allocated bytes of device 0, current`.
#[must_use]
pub fn change_of(what: &Text) -> Text {
    Text::new(format!("change of {}", what.en), format!("{}的变化", what.zh))
}

/// A family in words.
#[must_use]
pub fn words_of_family(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::Allocation => ("allocations", "分配数"),
        Family::Segment => ("segments", "段数"),
        Family::Active => ("active blocks", "活跃块数"),
        Family::InactiveSplit => ("inactive split blocks", "非活跃切分块数"),
        Family::AllocatedBytes => ("allocated bytes", "已分配字节"),
        Family::ReservedBytes => ("reserved bytes", "已保留字节"),
        Family::ActiveBytes => ("active bytes", "活跃字节"),
        Family::InactiveSplitBytes => ("inactive split bytes", "非活跃切分字节"),
        Family::RequestedBytes => ("requested bytes", "请求字节"),
    }
}

fn words_of_column(column: Column) -> (&'static str, &'static str) {
    match column {
        Column::Current => ("current", "当前值"),
        Column::Peak => ("peak", "峰值"),
        Column::Allocated => ("total allocated", "累计分配"),
        Column::Freed => ("total freed", "累计释放"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_differ_never_read_the_same() {
        for (size, read) in [
            (0_i64, "0 B"),
            (513, "513 B"),
            (1 << 20, "1 MiB"),
            ((1 << 20) + 512, "1 MiB (1049088 B)"),
            (3 << 19, "1.5 MiB"),
            (100_001, "97.66 KiB (100001 B)"),
            (-(2 << 20), "-2 MiB"),
            (-1025, "-1 KiB (-1025 B)"),
        ] {
            assert_eq!(bytes(size), read);
        }
        assert_eq!(bytes(i128::MAX), format!("{} B", i128::MAX));
    }

    #[test]
    fn statistics_read_as_words() {
        let read = |name: &str| statistic(Key::parse(name).expect("a key"), 0);
        let small = read("allocated_bytes.small_pool.current");
        assert_eq!(small.en, "allocated bytes of device 0, small pool, current");
        assert_eq!(small.zh, "设备 0 小池的已分配字节（当前值）");
        assert_eq!(read("num_ooms").en, "out-of-memory refusals of device 0");
        assert_eq!(read("oversize_segments.peak").zh, "设备 0 的超大段数（峰值）");
        let texts: std::collections::BTreeSet<Text> = Key::all().map(|key| statistic(key, 1)).collect();
        assert_eq!(texts.len(), crate::op::Stats::KEYS, "each key has words of its own");
    }
}
