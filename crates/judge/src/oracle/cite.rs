//! The requirements that oracles cite, and how a conviction is put into words.
//!
//! Decides no guilt. Every id here is checked against the registry by a test.

use crate::requirement::{Area, RequirementId};

macro_rules! cite {
    ($($name:ident = $area:ident $number:literal),+ $(,)?) => {
        $(pub(super) const $name: RequirementId = RequirementId::new(Area::$area, $number);)+

        #[cfg(test)]
        const USED: &[RequirementId] = &[$($name),+];
    };
}

cite! {
    STAT_01 = Stat 1, STAT_02 = Stat 2, STAT_03 = Stat 3, STAT_04 = Stat 4, STAT_05 = Stat 5, STAT_06 = Stat 6,
    STAT_07 = Stat 7, STAT_08 = Stat 8, STAT_09 = Stat 9, STAT_10 = Stat 10, STAT_11 = Stat 11,
    PEAK_01 = Peak 1, PEAK_02 = Peak 2, PEAK_03 = Peak 3,
    POOL_01 = Pool 1,
    ZERO_01 = Zero 1, ZERO_02 = Zero 2,
    HUGE_01 = Huge 1, HUGE_02 = Huge 2,
    FRAC_01 = Frac 1, FRAC_02 = Frac 2, FRAC_03 = Frac 3, FRAC_04 = Frac 4, FRAC_05 = Frac 5, FRAC_06 = Frac 6,
    ARG_01 = Arg 1, ARG_02 = Arg 2, ARG_03 = Arg 3,
    OOM_01 = Oom 1, OOM_02 = Oom 2, OOM_04 = Oom 4, OOM_05 = Oom 5, OOM_06 = Oom 6, OOM_07 = Oom 7,
    ISO_01 = Iso 1, ISO_02 = Iso 2, ISO_03 = Iso 3,
    STRM_01 = Strm 1, STRM_02 = Strm 2,
    LEAK_01 = Leak 1, LEAK_02 = Leak 2,
    LIVE_04 = Live 4,
    GROW_01 = Grow 1, GROW_02 = Grow 2,
    TELE_01 = Tele 1, TELE_02 = Tele 2, TELE_03 = Tele 3, TELE_04 = Tele 4,
    SUMM_01 = Summ 1, SUMM_02 = Summ 2, SUMM_03 = Summ 3, SUMM_04 = Summ 4,
    MEM_01 = Mem 1, MEM_02 = Mem 2, MEM_03 = Mem 3, MEM_04 = Mem 4,
    PRIV_01 = Priv 1, PRIV_02 = Priv 2, PRIV_04 = Priv 4, PRIV_05 = Priv 5,
    PRIV_06 = Priv 6,
    CONF_04 = Conf 4, CONF_05 = Conf 5, CONF_06 = Conf 6, CONF_07 = Conf 7,
    CAPT_01 = Capt 1, CAPT_02 = Capt 2, CAPT_03 = Capt 3, CAPT_05 = Capt 5, CAPT_06 = Capt 6,
    TRIM_01 = Trim 1,
}

/// A sentence in both languages from two format strings over the same variables.
macro_rules! say {
    ($en:literal, $zh:literal $(,)?) => {
        $crate::op::Text::new(format!($en), format!($zh))
    };
}
pub(super) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cited_requirement_is_registered() {
        for id in USED {
            assert_eq!(id.to_string().parse(), Ok(*id));
        }
    }
}
