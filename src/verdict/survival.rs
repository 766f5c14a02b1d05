//! Survival: how long planted defects live under each way of drawing sequences.
//!
//! Decides the shape of `survival.json`, and what a median is where some hunts ended without a kill. Whatever
//! differs between two runs of one seed stands under `stamp`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{EndedBy, RunStamp};

/// How sequences come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// Drawn by the weights of the scenario.
    Random,
    /// Drawn by weights of their own, with some kinds of operations left out.
    Swarm,
    /// Made by libFuzzer, which follows code and the allocator's states.
    Guided,
}

impl Generator {
    pub const ALL: [Generator; 3] = [Generator::Random, Generator::Swarm, Generator::Guided];
    /// Those that `poolproof` itself draws by.
    pub const DRAWN: [Generator; 2] = [Generator::Random, Generator::Swarm];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Generator::Random => "random",
            Generator::Swarm => "swarm",
            Generator::Guided => "guided",
        }
    }
}

/// Every defect hunted with several seeds by each generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Survival {
    /// `poolproof-survival/1`.
    pub format: String,
    pub version: String,
    /// The target that defects are options of.
    pub base: String,
    pub seed: u64,
    pub seeds: u64,
    /// A drawn hunt ends without a kill after so many operations.
    pub limit: u64,
    /// How the hunts came to their end.
    #[serde(default)]
    pub ended: EndedBy,
    /// Defects that were not hunted to the end before that.
    #[serde(default)]
    pub untried: u64,
    /// Generated scenarios that sequences were drawn from.
    pub scenarios: u64,
    /// What narrowed the hunt, as the command line says it.
    #[serde(default)]
    pub selection: Vec<String>,
    pub defects: Vec<SurvivalRow>,
    pub stamp: RunStamp,
}

/// A defect and its hunts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SurvivalRow {
    pub name: String,
    pub hunts: Vec<Hunts>,
}

/// The hunts of one generator; entry `i` of each list is the i-th seed's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hunts {
    pub generator: Generator,
    /// Operations asked up to the conviction, or to the end.
    pub operations: Vec<u64>,
    pub killed: Vec<bool>,
    pub stamp: HuntStamp,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HuntStamp {
    pub seconds: Vec<f64>,
}

/// A coverage-guided hunt of one defect with one seed, as `fuzz/survival.sh` writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GuidedHunt {
    pub defect: String,
    pub seed: u64,
    pub killed: bool,
    /// Operations asked up to the conviction, or to the end.
    pub operations: u64,
    pub seconds: f64,
}

/// A median and an interval around it; `None` stands for "longer than was hunted".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// The probability that the interval holds the true median, whatever the distribution.
    pub coverage: f64,
}

impl Survival {
    pub const FORMAT: &'static str = "poolproof-survival/1";

    /// The defects, those first that live longest under drawn sequences: by how often they survive, then by their
    /// median under the better of the two generators.
    #[must_use]
    pub fn longest_lived(&self) -> Vec<&SurvivalRow> {
        let mut rows: Vec<(u64, f64, &SurvivalRow)> =
            self.defects.iter().map(|row| (row.survived(), row.best_median(), row)).collect();
        rows.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.name.cmp(&b.2.name)));
        rows.into_iter().map(|(.., row)| row).collect()
    }

    /// The names of the longest-lived of those that some drawn hunt killed. What none kills is shown by explicit
    /// scenarios' own expectations, and sequences without any cannot convict it however they come about.
    #[must_use]
    pub fn hardest(&self, count: usize) -> Vec<&str> {
        let found = self.longest_lived().into_iter().filter(|row| row.hunts.iter().any(|h| h.kills() > 0));
        found.take(count).map(|row| row.name.as_str()).collect()
    }

    /// The drawn generator that kills in more hunts; with as many, the one with the lower median more often.
    #[must_use]
    pub fn better(&self) -> Generator {
        let kills = |g| self.hunts(g).map(Hunts::kills).sum::<u64>();
        let (random, swarm) = (kills(Generator::Random), kills(Generator::Swarm));
        let (wins, losses) = self.duel(Generator::Swarm, Generator::Random);
        if (swarm, wins) > (random, losses) { Generator::Swarm } else { Generator::Random }
    }

    /// How many defects have a lower, and how many a higher median number of operations under the first.
    #[must_use]
    pub fn duel(&self, first: Generator, second: Generator) -> (u64, u64) {
        let median = |row: &SurvivalRow, g| row.of(g).map(|h| h.operations().median.unwrap_or(f64::INFINITY));
        let pairs = self.defects.iter().filter_map(|row| Some((median(row, first)?, median(row, second)?)));
        pairs.fold((0, 0), |(wins, losses), (a, b)| (wins + u64::from(a < b), losses + u64::from(a > b)))
    }

    /// Puts these coverage-guided hunts in place of any there were.
    pub fn set_guided(&mut self, hunts: impl Iterator<Item = GuidedHunt>) {
        self.defects.iter_mut().for_each(|row| row.hunts.retain(|h| h.generator != Generator::Guided));
        for hunt in hunts {
            let Some(row) = self.defects.iter_mut().find(|row| row.name == hunt.defect) else { continue };
            if row.of(Generator::Guided).is_none() {
                let (operations, killed, stamp) = (Vec::new(), Vec::new(), HuntStamp::default());
                row.hunts.push(Hunts { generator: Generator::Guided, operations, killed, stamp });
            }
            if let Some(all) = row.hunts.iter_mut().find(|h| h.generator == Generator::Guided) {
                all.operations.push(hunt.operations);
                all.killed.push(hunt.killed);
                all.stamp.seconds.push(hunt.seconds);
            }
        }
    }

    /// All hunts of one generator.
    pub fn hunts(&self, generator: Generator) -> impl Iterator<Item = &Hunts> {
        self.defects.iter().filter_map(move |row| row.of(generator))
    }
}

impl SurvivalRow {
    /// The hunts of one generator, if it hunted.
    #[must_use]
    pub fn of(&self, generator: Generator) -> Option<&Hunts> {
        self.hunts.iter().find(|h| h.generator == generator)
    }

    fn drawn(&self) -> impl Iterator<Item = &Hunts> {
        Generator::DRAWN.iter().filter_map(|&g| self.of(g))
    }

    fn survived(&self) -> u64 {
        self.drawn().map(|h| h.killed.len() as u64 - h.kills()).sum()
    }

    fn best_median(&self) -> f64 {
        self.drawn().map(|h| h.operations().median.unwrap_or(f64::INFINITY)).fold(f64::INFINITY, f64::min)
    }
}

impl Hunts {
    #[must_use]
    pub fn kills(&self) -> u64 {
        self.killed.iter().filter(|&&k| k).count() as u64
    }

    /// Operations to kill.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // counts of operations are far below 2^53
    pub fn operations(&self) -> Spread {
        spread(self.operations.iter().map(|&n| n as f64).zip(self.killed.iter().copied()))
    }

    /// Seconds to kill.
    #[must_use]
    pub fn seconds(&self) -> Spread {
        spread(self.stamp.seconds.iter().copied().zip(self.killed.iter().copied()))
    }
}

/// The median and a distribution-free interval of 95 % around it: the ranks between which the median of all
/// possible seeds lies so often. With too few values for that, the least and the greatest.
fn spread(hunts: impl Iterator<Item = (f64, bool)>) -> Spread {
    let mut values: Vec<f64> = hunts.map(|(value, killed)| if killed { value } else { f64::INFINITY }).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let at = |rank: usize| values.get(rank).copied().filter(|v| v.is_finite());
    let (rank, coverage) = rank_for(n);
    let median = match n % 2 {
        1 => at(n / 2),
        // Halfway to a value beyond the limit is beyond it.
        _ => at((n / 2).wrapping_sub(1)).zip(at(n / 2)).map(|(a, b)| f64::midpoint(a, b)),
    };
    Spread { median, low: at(rank), high: at((n.wrapping_sub(1)).wrapping_sub(rank)), coverage }
}

/// The rank (from 0) of the interval's lower end among `n` sorted values, and the interval's coverage: the
/// largest with at most 2.5 % in each tail of the binomial distribution, or 0.
fn rank_for(n: usize) -> (usize, f64) {
    let mut term = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let (mut tail, mut best) = (0.0, (0, 0.0));
    for k in 0..n / 2 {
        tail += term; // how often at most k of the values lie below the median
        if k == 0 || tail <= 0.025 {
            best = (k, 1.0 - 2.0 * tail);
        }
        #[allow(clippy::cast_precision_loss)] // few seeds
        let ratio = (n - k) as f64 / (k + 1) as f64;
        term *= ratio;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunts(operations: &[u64], killed: &[bool]) -> Hunts {
        let stamp = HuntStamp { seconds: operations.iter().map(|_| 1.0).collect() };
        Hunts { generator: Generator::Random, operations: operations.to_vec(), killed: killed.to_vec(), stamp }
    }

    #[test]
    fn twenty_seeds_give_the_sixth_and_the_fifteenth() {
        let all: Vec<u64> = (1..=20).rev().collect();
        let spread = hunts(&all, &[true; 20]).operations();
        assert_eq!((spread.median, spread.low, spread.high), (Some(10.5), Some(6.0), Some(15.0)));
        assert!((spread.coverage - 0.9586).abs() < 1e-4, "{}", spread.coverage);
    }

    #[test]
    fn five_seeds_give_the_least_and_the_greatest() {
        let spread = hunts(&[5, 1, 4, 2, 3], &[true; 5]).operations();
        assert_eq!((spread.median, spread.low, spread.high), (Some(3.0), Some(1.0), Some(5.0)));
        assert!((spread.coverage - 0.9375).abs() < 1e-9, "{}", spread.coverage);
    }

    #[test]
    fn a_hunt_without_a_kill_is_longer_than_any() {
        let spread = hunts(&[100, 7, 100, 8, 9], &[false, true, false, true, true]).operations();
        assert_eq!((spread.median, spread.low, spread.high), (Some(9.0), Some(7.0), None));
        let most = hunts(&[100, 7, 100, 100], &[false, true, false, false]).operations();
        assert_eq!((most.median, most.low), (None, Some(7.0)));
        assert_eq!(hunts(&[], &[]).operations().median, None);
    }

    #[test]
    fn the_one_that_kills_more_often_is_better() {
        let row = |name: &str, random: &[bool], swarm: &[bool]| {
            let mut hunted = [hunts(&[10, 10], random), hunts(&[5, 5], swarm)];
            hunted[1].generator = Generator::Swarm;
            SurvivalRow { name: name.to_owned(), hunts: hunted.to_vec() }
        };
        let mut survival = Survival {
            format: Survival::FORMAT.to_owned(),
            version: String::new(),
            base: String::new(),
            seed: 0,
            seeds: 2,
            limit: 10,
            ended: EndedBy::Complete,
            untried: 0,
            scenarios: 1,
            selection: Vec::new(),
            defects: vec![row("a", &[true, true], &[true, true]), row("b", &[true, true], &[true, false])],
            stamp: RunStamp::default(),
        };
        assert_eq!((survival.better(), survival.hardest(1)), (Generator::Random, vec!["b"]));
        survival.defects.push(row("c", &[false, false], &[false, false]));
        assert_eq!((survival.hardest(1), survival.longest_lived()[0].name.as_str()), (vec!["b"], "c"));
        survival.defects.pop();
        survival.defects.pop();
        assert_eq!((survival.better(), survival.duel(Generator::Swarm, Generator::Random)), (Generator::Swarm, (1, 0)));
    }
}
