//! Floor 0, the law by number: every promise that a scenario may cite, with a stable id.
//!
//! Decides what is promised, how it is called, and how bad it is to break it. Does not decide how it is tested (`specs/`) or what a
//! given state should be (`model`, `reference`). An id is never reused; a retired one stays, marked so.

mod breach;
mod later;
mod registry;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use registry::ALL;

/// What a requirement is about. The order is the order of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "`title` names each")]
pub enum Area {
    Stat,
    Peak,
    Pool,
    Zero,
    Huge,
    Frac,
    Arg,
    Oom,
    Trim,
    Iso,
    Strm,
    Leak,
    Grow,
    Conc,
    Tele,
    Summ,
    Mem,
    Priv,
    Capt,
    Conf,
    Live,
    Same,
    Exact,
}

impl Area {
    /// Every area.
    pub const ALL: [Area; 23] = [
        Area::Stat,
        Area::Peak,
        Area::Pool,
        Area::Zero,
        Area::Huge,
        Area::Frac,
        Area::Arg,
        Area::Oom,
        Area::Trim,
        Area::Iso,
        Area::Strm,
        Area::Leak,
        Area::Grow,
        Area::Conc,
        Area::Tele,
        Area::Summ,
        Area::Mem,
        Area::Priv,
        Area::Capt,
        Area::Conf,
        Area::Live,
        Area::Same,
        Area::Exact,
    ];

    /// The prefix of requirement ids.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Area::Stat => "STAT",
            Area::Peak => "PEAK",
            Area::Pool => "POOL",
            Area::Zero => "ZERO",
            Area::Huge => "HUGE",
            Area::Frac => "FRAC",
            Area::Arg => "ARG",
            Area::Oom => "OOM",
            Area::Trim => "TRIM",
            Area::Iso => "ISO",
            Area::Strm => "STRM",
            Area::Leak => "LEAK",
            Area::Grow => "GROW",
            Area::Conc => "CONC",
            Area::Tele => "TELE",
            Area::Summ => "SUMM",
            Area::Mem => "MEM",
            Area::Priv => "PRIV",
            Area::Capt => "CAPT",
            Area::Conf => "CONF",
            Area::Live => "LIVE",
            Area::Same => "SAME",
            Area::Exact => "EXACT",
        }
    }

    /// The area's name in English and Chinese.
    #[must_use]
    pub fn title(self) -> (&'static str, &'static str) {
        match self {
            Area::Stat => ("Statistics", "统计"),
            Area::Peak => ("Peak tracking", "峰值统计"),
            Area::Pool => ("Small and large pools", "大池/小池"),
            Area::Zero => ("Size zero", "零大小分配"),
            Area::Huge => ("Huge sizes", "极大分配"),
            Area::Frac => ("Memory fraction", "内存比例上限"),
            Area::Arg => ("Bad arguments", "异常参数"),
            Area::Oom => ("Out-of-memory recovery", "内存不足恢复"),
            Area::Trim => ("Giving memory back", "缓存清理"),
            Area::Iso => ("Multi-device isolation", "多设备隔离性"),
            Area::Strm => ("Streams", "流与事件"),
            Area::Leak => ("Leaks", "泄漏"),
            Area::Grow => ("Growth", "内存增长"),
            Area::Conc => ("Concurrency", "并发"),
            Area::Tele => ("Telemetry", "遥测"),
            Area::Summ => ("Summary and dictionary", "摘要与字典结构"),
            Area::Mem => ("Memory itself", "内存内容与地址"),
            Area::Priv => ("Private pools", "私有内存池"),
            Area::Capt => ("Graph capture", "图捕获"),
            Area::Conf => ("Settings", "配置项"),
            Area::Live => ("Staying alive", "存活性"),
            Area::Same => ("What must make no difference", "不应有差别之处"),
            Area::Exact => ("The policy that is claimed", "所声称的策略"),
        }
    }
}

/// A requirement's id, `FRAC-02`. Any value of this type names a requirement that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequirementId {
    area: Area,
    number: u8,
}

impl RequirementId {
    /// The requirement of that number in an area, whether it is registered or not.
    pub const fn new(area: Area, number: u8) -> Self {
        RequirementId { area, number }
    }

    /// What the requirement is about.
    #[must_use]
    pub fn area(self) -> Area {
        self.area
    }

    /// What the id stands for.
    ///
    /// # Panics
    /// Never: ids are only made by the registry and by `from_str`, which looks them up.
    #[must_use]
    pub fn get(self) -> &'static Requirement {
        ALL.iter().find(|r| r.id == self).expect("an id exists only for a registered requirement")
    }
}

impl fmt::Display for RequirementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.area.code(), self.number)
    }
}

impl fmt::Debug for RequirementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is the id of no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no requirement `{id}`")]
pub struct UnknownRequirement {
    /// The text.
    pub id: String,
}

impl FromStr for RequirementId {
    type Err = UnknownRequirement;

    fn from_str(text: &str) -> Result<Self, UnknownRequirement> {
        let found = ALL.iter().find(|r| r.id.to_string() == text);
        found.map(|r| r.id).ok_or_else(|| UnknownRequirement { id: text.to_owned() })
    }
}

impl Serialize for RequirementId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequirementId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for RequirementId {
    fn schema_name() -> Cow<'static, str> {
        "RequirementId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let ids: Vec<String> = ALL.iter().map(|r| r.id.to_string()).collect();
        schemars::json_schema!({ "type": "string", "enum": ids })
    }
}

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of RFC 2119")]
pub enum Level {
    Must,
    Should,
}

/// How bad a violation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
// the worst is the first: a smaller one is worse
#[expect(missing_docs, reason = "ranks, worst first")]
pub enum Severity {
    High,
    Medium,
    Low,
}

impl Severity {
    /// As it is written in a scenario file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }
}

/// A numbered promise of an allocator to its callers.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// Its number, which is never reused.
    pub id: RequirementId,
    /// How firmly it binds.
    pub level: Level,
    /// How bad a violation is at least; a scenario may only raise it.
    pub severity: Severity,
    /// A violation can mean that two owners share bytes, that a write goes where no memory is, or that results are
    /// silently wrong. These come first among findings of one severity.
    pub corrupts: bool,
    /// The promise in English.
    pub en: &'static str,
    /// The promise in Chinese.
    pub zh: &'static str,
    /// What happened where the promise was broken, in English and Chinese: the title of a finding.
    pub broken: (&'static str, &'static str),
}

const fn must(area: Area, number: u8, en: &'static str, zh: &'static str) -> Requirement {
    new(Level::Must, area, number, en, zh)
}

const fn should(area: Area, number: u8, en: &'static str, zh: &'static str) -> Requirement {
    new(Level::Should, area, number, en, zh)
}

const fn new(level: Level, area: Area, number: u8, en: &'static str, zh: &'static str) -> Requirement {
    let breach = breach::of(area, number);
    let (severity, corrupts, broken) = (breach.severity, breach.corrupts, breach.broken);
    Requirement { id: RequirementId::new(area, number), level, severity, corrupts, en, zh, broken }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_sorted_and_read_back() {
        assert!(ALL.windows(2).all(|w| w[0].id < w[1].id), "sorted by area, then number");
        for requirement in &ALL {
            assert_eq!(requirement.id.to_string().parse(), Ok(requirement.id));
            assert!(!requirement.en.is_empty() && !requirement.zh.is_empty());
        }
    }

    #[test]
    fn what_a_breach_means_is_said_once_for_each_and_short() {
        assert_eq!(breach::BREACHES.len(), ALL.len(), "a line without its promise");
        for (breach, requirement) in breach::BREACHES.iter().zip(&ALL) {
            let id = requirement.id;
            assert_eq!((breach.area, breach.number), (id.area, id.number), "in the order of the registry");
            let (en, zh) = requirement.broken;
            assert!((4..=12).contains(&en.split(' ').count()), "{id}: {en}");
            assert!((6..=30).contains(&zh.chars().count()), "{id}: {zh}");
            for text in [en, zh] {
                let same = ALL.iter().filter(|r| r.broken.0 == text || r.broken.1 == text).count();
                assert_eq!(same, 1, "{id} and another have one title: {text}");
                assert!(!text.ends_with(['.', '。']) && !text.contains(|c: char| c.is_ascii_digit()), "{id}: {text}");
            }
            assert!(!requirement.corrupts || requirement.severity == Severity::High, "{id} can damage data");
        }
    }

    #[test]
    fn every_area_has_a_requirement() {
        for area in Area::ALL {
            assert!(ALL.iter().any(|r| r.id.area() == area), "{}", area.code());
        }
    }
}
