//! Byte counts as people write them: `64MiB`, `1 KiB`, `512`.

/// Why a size could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum SizeError {
    #[error("`{text}` is not a size: write a number of bytes, or a number and one of B, KiB, MiB, GiB, TiB")]
    Malformed { text: String },
    #[error("`{text}` does not fit in 64 bits")]
    TooLarge { text: String },
}

const UNITS: [(&str, u32); 5] = [("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// Reads a size such as `512`, `64MiB` or `1.5 GiB`. A fraction must come to whole bytes.
///
/// # Errors
/// `Malformed` for anything else (`KB` and `MB` included: they mean two things), `TooLarge` past 64 bits.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let malformed = || SizeError::Malformed { text: text.to_owned() };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let number = number.trim().replace('_', "");
    let shift = if unit.is_empty() { 0 } else { UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?.1 };
    let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
    let whole: u128 = whole.parse().map_err(|_| malformed())?;
    let mut bytes = whole.checked_shl(shift).filter(|b| b >> shift == whole).ok_or_else(malformed)?;
    if !part.is_empty() {
        let scale = u32::try_from(part.len()).ok().and_then(|n| 10_u128.checked_pow(n)).ok_or_else(malformed)?;
        let digits: u128 = part.parse().map_err(|_| malformed())?;
        let scaled = digits.checked_mul(1 << shift).ok_or_else(malformed)?;
        if scaled % scale != 0 {
            return Err(malformed());
        }
        bytes += scaled / scale;
    }
    u64::try_from(bytes).map_err(|_| SizeError::TooLarge { text: text.to_owned() })
}

/// The shortest exact-looking form: `1.5 MiB`, `512 B`. Two decimals at most.
#[must_use]
pub fn human(bytes: u64) -> String {
    let (unit, shift) = UNITS.iter().rev().find(|(_, s)| bytes >= 1 << s).copied().unwrap_or(UNITS[0]);
    if shift == 0 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "two decimals are printed")]
    let value = bytes as f64 / (1_u64 << shift) as f64;
    let text = format!("{value:.2}");
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Both forms where they differ: `1.5 MiB (1572864 B)`.
#[must_use]
pub fn both(bytes: u64) -> String {
    if bytes < 1024 { human(bytes) } else { format!("{} ({bytes} B)", human(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [("0", 0), ("512", 512), ("64MiB", 64 << 20), ("1.5 GiB", 3 << 29), ("1_000", 1000)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "MiB", "1MB", "-1", "1.3B", "1e3", "0.1.2KiB"] {
            assert!(matches!(parse(text), Err(SizeError::Malformed { .. })), "{text}");
        }
        assert!(matches!(parse("16777216TiB"), Err(SizeError::TooLarge { .. })));
    }

    #[test]
    fn prints_them_back() {
        assert_eq!(human(1_572_864), "1.5 MiB");
        assert_eq!(human(1023), "1023 B");
        assert_eq!(both(2048), "2 KiB (2048 B)");
    }
}
