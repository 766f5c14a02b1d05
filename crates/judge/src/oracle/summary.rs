//! Summary: the dictionary, the table and the snapshot that a user gets agree with the figures. What a snapshot must
//! show is `snapshot`'s.
//!
//! Does not cover: how a target's own figures come about (`accounts`), and tables of targets that do not promise the
//! documented one.

use super::cite::{SUMM_01, SUMM_02, say};
use super::snapshot::Snapshots;
use super::{Oracle, Seen, table};
use crate::op::stats::Key;
use crate::op::{Capability, DeviceId, Op, OracleName, Reply, Stats, TargetInfo, Text, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

pub(super) struct Summary {
    snapshots: Snapshots,
}

impl Summary {
    pub(super) fn can_judge(info: &TargetInfo) -> bool {
        [Capability::Dictionary, Capability::Summary, Capability::Snapshot].into_iter().any(|c| info.can(c))
    }

    pub(super) fn new(info: &TargetInfo) -> Self {
        Summary { snapshots: Snapshots::new(info) }
    }
}

fn judge_dictionary(device: usize, entries: &[(String, i64)], stats: &Stats, found: &mut Vec<Violation>) {
    if let Some(pair) = entries.windows(2).find(|w| w[0].0 >= w[1].0) {
        let (first, second) = (&pair[0].0, &pair[1].0);
        let message = say!(
            "the dictionary of device {device} is not sorted: {first} stands before {second}",
            "设备 {device} 的字典未排序：{first} 位于 {second} 之前"
        );
        let what = say!("keys of the dictionary of device {device}", "设备 {device} 字典的键");
        let expected = Text::new("sorted, each once", "有序且各出现一次");
        let actual = say!("{first} before {second}", "{first} 位于 {second} 之前");
        found.push(convict(SUMM_01, message).figure(what, expected, actual));
        return;
    }
    let wanted = stats.dictionary();
    let off = wanted.iter().find_map(|(key, value)| {
        let at = entries.binary_search_by(|(k, _)| k.cmp(key)).ok().map(|i| entries[i].1);
        (at != Some(*value)).then(|| (key.clone(), *value, at))
    });
    if let Some((key, value, at)) = off {
        let read = |value| Key::parse(&key).map_or_else(|| i64::to_string(&value), |key| wording::amount(key, value));
        let (value, at) = (read(value), at.map(read));
        let message = match &at {
            Some(at) => say!(
                "the dictionary of device {device} says {key} = {at}, but the figure is {value}",
                "设备 {device} 的字典中 {key} = {at}，而统计值为 {value}"
            ),
            None => say!("the dictionary of device {device} has no {key}", "设备 {device} 的字典缺少 {key}"),
        };
        let what = say!("{key} in the dictionary of device {device}", "设备 {device} 字典中的 {key}");
        let actual = at.map_or_else(|| Text::new("missing", "缺失"), Text::from);
        found.push(convict(SUMM_01, message).figure(what, value, actual));
    } else if entries.len() != Stats::KEYS {
        let count = entries.len();
        let extra = entries.iter().find(|(k, _)| wanted.binary_search_by(|(w, _)| w.cmp(k)).is_err());
        let name = extra.map_or("", |(k, _)| k);
        let message = say!(
            "the dictionary of device {device} has {count} keys, among them {name}, which is not documented",
            "设备 {device} 的字典有 {count} 个键，其中 {name} 未见于文档"
        );
        let what = say!("number of keys in the dictionary of device {device}", "设备 {device} 字典的键数");
        found.push(convict(SUMM_01, message).figure(what, Stats::KEYS.to_string(), count.to_string()));
    }
}

fn judge_table(device: DeviceId, abbreviated: bool, text: &str, stats: &Stats, found: &mut Vec<Violation>) {
    let wanted: Vec<String> =
        table::lines(stats, device.0, abbreviated).into_iter().map(|line| format!("|{line}|")).collect();
    let lines: Vec<&str> = text.lines().collect();
    let off = wanted.iter().zip(&lines).position(|(w, l)| w != l);
    let (count, documented) = (lines.len(), wanted.len());
    if let Some(at) = off {
        let (number, id) = (at + 1, device.0);
        let (line, right) = (lines[at], &wanted[at]);
        let message = say!(
            "line {number} of the summary of device {id} does not read as documented for its figures",
            "设备 {id} 的摘要第 {number} 行与文档格式及统计值不符"
        );
        let what = say!("line {number} of the summary", "摘要的第 {number} 行");
        let violation =
            convict(SUMM_02, message).figure(what, right.trim_matches('|').trim(), line.trim_matches('|').trim());
        let violation = violation.with("line", "该行", line);
        found.push(violation.with("as documented", "按文档应为", right));
    } else if count != documented {
        let message =
            say!("the summary has {count} lines instead of {documented}", "摘要有 {count} 行，而非 {documented} 行");
        let what = Text::new("lines of the summary", "摘要的行数");
        found.push(convict(SUMM_02, message).figure(what, documented.to_string(), count.to_string()));
    } else if !text.ends_with('\n') {
        let message = say!("the summary does not end in a line break", "摘要末尾没有换行");
        let (what, expected) = (Text::new("end of the summary", "摘要的末尾"), Text::new("a line break", "换行"));
        found.push(convict(SUMM_02, message).figure(what, expected, Text::new("none", "无")));
    }
}

pub(super) fn convict(requirement: RequirementId, message: Text) -> Violation {
    Violation::new(OracleName::Summary, Some(requirement), message)
}

impl Oracle for Summary {
    fn name(&self) -> OracleName {
        OracleName::Summary
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        let Some(op) = seen.op else { return };
        self.snapshots.note(seen);
        if let Reply::Snapshot(snapshot) = seen.reply {
            self.snapshots.judge(seen, snapshot, found);
            return;
        }
        if !matches!(seen.reply, Reply::Dictionary(_) | Reply::Text(_)) {
            return;
        }
        let Some((device, view)) = seen.model.device_of(op).and_then(|d| Some((d, seen.after.devices.get(d)?))) else {
            return;
        };
        if seen.may_have_noticed(device) {
            return; // before the figures were read, or after
        }
        match (op, seen.reply) {
            (Op::Dictionary { .. }, Reply::Dictionary(entries)) => {
                judge_dictionary(device, entries, &view.stats, found)
            }
            (Op::Summary { device, abbreviated }, Reply::Text(text)) => {
                judge_table(*device, *abbreviated, text, &view.stats, found);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "summary_test.rs"]
mod tests;
