//! Which device of NVML a device of CUDA is: the two number them differently, and only the UUID is common.
//!
//! Decides by UUID alone. CUDA sorts by speed unless told otherwise, leaves out what `CUDA_VISIBLE_DEVICES`
//! leaves out and follows its order; NVML sorts by PCI bus and always shows all.

use std::fmt;
use std::str::FromStr;

/// The 16 bytes that name a device, or an instance of a partitioned one (MIG).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// Text that is no UUID of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a device's UUID (GPU- or MIG- and 32 hexadecimal digits)")]
pub struct UuidError {
    /// What was read.
    pub text: String,
}

impl FromStr for Uuid {
    type Err = UuidError;

    /// Reads `GPU-…`, `MIG-…`, the digits alone, and the older `MIG-GPU-…/1/0`, which is its parent's.
    fn from_str(text: &str) -> Result<Self, UuidError> {
        let error = || UuidError { text: text.to_owned() };
        let bare = text.trim();
        let bare = bare.strip_prefix("MIG-").unwrap_or(bare);
        let bare = bare.strip_prefix("GPU-").unwrap_or(bare);
        let bare = bare.split_once('/').map_or(bare, |(uuid, _)| uuid);
        let mut bytes = [0; 16];
        let mut digits = bare.chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
        for byte in &mut bytes {
            for _ in 0..2 {
                let digit = digits.next().flatten().and_then(|d| u8::try_from(d).ok()).ok_or_else(error)?;
                *byte = *byte << 4 | digit;
            }
        }
        if digits.next().is_some() { Err(error()) } else { Ok(Uuid(bytes)) }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU-")?;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Where a device of CUDA is found in NVML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NvmlMatch {
    /// The device with this index.
    Device(u32),
    /// A part of the device with this index, which other CUDA devices share: NVML's figures are of the whole.
    PartOf(u32),
    /// NVML shows no such UUID: an instance of a partitioned device, or a device hidden from NVML.
    Unknown,
    /// Several devices of NVML carry the UUID.
    Ambiguous,
}

/// For each device of CUDA, in the order of its ordinals, where it is in NVML. `nvml` holds index and UUID as
/// NVML prints it; one that cannot be read matches nothing.
#[must_use]
pub fn places(cuda: &[Uuid], nvml: &[(u32, &str)]) -> Vec<NvmlMatch> {
    let known: Vec<(u32, Uuid, bool)> = nvml
        .iter()
        .filter_map(|(index, text)| Some((*index, text.parse().ok()?, text.trim().starts_with("MIG-"))))
        .collect();
    let place = |uuid: &Uuid| {
        // A driver that has no UUID answers zeros.
        let mut matching = known.iter().filter(|(_, other, _)| other == uuid && uuid.0 != [0; 16]);
        let shared = cuda.iter().filter(|other| *other == uuid).count() > 1;
        match (matching.next(), matching.next()) {
            (None, _) => NvmlMatch::Unknown,
            (Some(_), Some(_)) => NvmlMatch::Ambiguous,
            (Some((index, _, is_instance)), None) if shared || *is_instance => NvmlMatch::PartOf(*index),
            (Some((index, ..)), None) => NvmlMatch::Device(*index),
        }
    };
    cuda.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "GPU-11111111-1111-1111-1111-111111111111";
    const B: &str = "GPU-22222222-2222-2222-2222-222222222222";
    const C: &str = "GPU-33333333-3333-3333-3333-3333333333ff";

    fn cuda(texts: &[&str]) -> Vec<Uuid> {
        texts.iter().map(|t| t.parse().expect("a UUID")).collect()
    }

    #[test]
    fn a_uuid_is_read_and_written() {
        let uuid: Uuid = C.parse().expect("a UUID");
        assert_eq!(uuid.to_string(), C);
        assert_eq!(uuid.0[15], 0xff);
        assert_eq!(uuid, format!("{}FF", "3".repeat(30)).parse().expect("digits"));
        assert_eq!(Ok(uuid), C.replace("GPU-", "MIG-").parse());
        assert_eq!(Ok(uuid), format!("MIG-{C}/7/0").parse(), "the older form names its parent");
        for text in
            ["", "GPU-", "GPU-11", "GPU-é1111111-1111-1111-1111-111111111111", "11111111111111111111111111111111f"]
        {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_order_is_not_trusted() {
        let nvml = [(0, A), (1, B), (2, C)];
        assert_eq!(
            places(&cuda(&[A, B, C]), &nvml),
            [NvmlMatch::Device(0), NvmlMatch::Device(1), NvmlMatch::Device(2)]
        );
        // CUDA_VISIBLE_DEVICES=2,0: reordered, and one is hidden.
        assert_eq!(places(&cuda(&[C, A]), &nvml), [NvmlMatch::Device(2), NvmlMatch::Device(0)]);
        assert_eq!(places(&[], &nvml), []);
    }

    #[test]
    fn parts_and_strangers_are_not_taken_for_devices() {
        let mig = B.replace("GPU-", "MIG-");
        assert_eq!(places(&cuda(&[&mig]), &[(0, A)]), [NvmlMatch::Unknown], "NVML lists parents, CUDA the instance");
        assert_eq!(places(&cuda(&[&mig]), &[(0, A), (1, &mig)]), [NvmlMatch::PartOf(1)]);
        assert_eq!(
            places(&cuda(&[A, A]), &[(4, A)]),
            [NvmlMatch::PartOf(4), NvmlMatch::PartOf(4)],
            "two instances, one card"
        );
        assert_eq!(places(&cuda(&[A]), &[(0, A), (1, A)]), [NvmlMatch::Ambiguous]);
        let none = "GPU-00000000-0000-0000-0000-000000000000";
        assert_eq!(places(&cuda(&[none]), &[(0, none), (1, "?")]), [NvmlMatch::Unknown], "zeros name nothing");
    }
}
