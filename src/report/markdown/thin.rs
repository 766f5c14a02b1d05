//! The headline of a run that came to a verdict on too few promises.
//!
//! Decides how it is said whether more could have been had, and what to ask for instead.

use crate::verdict::conclusion::Musts;

/// In English and in Chinese. What a target lacks is no fault of it, and whoever knows that may ask for less.
pub(super) fn headline(musts: &Musts, asked_for: f64, target: &str, violation: &str, wrong: &str) -> (String, String) {
    let (judged, all, open) = (musts.judged, musts.all, musts.open.len());
    let (percent, enough) = ((asked_for * 100.0).round(), judged * 100 / all.max(1));
    let (apply, apply_zh) = if open == 0 {
        ("They are all that apply to what it can do".to_owned(), "适用于其能力的需求均已得出结论".to_owned())
    } else {
        (
            format!("Of those that apply to what it can do, {open} have none"),
            format!("适用于其能力的需求中还有 {open} 项没有结论"),
        )
    };
    (
        format!(
            "**Too little to judge.** No {violation} was found on {target}, but {judged} of {all} requirements of level must have a verdict, fewer than the {percent} % asked for (`--min-coverage`): this says little of the target. {apply}; `--min-coverage {enough}` asks for no more than there are."
        ),
        format!(
            "**覆盖不足。** 在 {target} 上未发现{wrong}，但 {all} 项“必须”级需求中只有 {judged} 项得出结论，低于要求的 {percent}%（`--min-coverage`），不足以评价该目标。{apply_zh}；`--min-coverage {enough}` 则不要求更多。"
        ),
    )
}
