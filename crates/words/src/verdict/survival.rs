//! Survival: how long planted defects live under each way of drawing sequences.
//!
//! Decides the shape of `survival.json`, and what of the hunts may be called a difference between two generators: what
//! their intervals tell apart, and not which figure is the higher. Whatever differs between two runs of one seed stands
//! under `stamp`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interval::{Spread, spread, wilson};
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
    /// Every one.
    pub const ALL: [Generator; 3] = [Generator::Random, Generator::Swarm, Generator::Guided];
    /// Those that `poolproof` itself draws by.
    pub const DRAWN: [Generator; 2] = [Generator::Random, Generator::Swarm];

    /// As records write it.
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
    /// The version of poolproof that hunted.
    pub version: String,
    /// The target that defects are options of.
    pub base: String,
    /// The first seed.
    pub seed: u64,
    /// How many seeds, one after the other.
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
    /// By the order of the catalogue.
    pub defects: Vec<SurvivalRow>,
    /// What differs between two hunts of one seed.
    pub stamp: RunStamp,
}

/// A defect and its hunts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SurvivalRow {
    /// The defect's name in target options.
    pub name: String,
    /// One entry a generator.
    pub hunts: Vec<Hunts>,
}

/// The hunts of one generator; entry `i` of each list is the i-th seed's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hunts {
    /// How the sequences came about.
    pub generator: Generator,
    /// Operations asked up to the conviction, or to the end.
    pub operations: Vec<u64>,
    /// Whether the defect was found.
    pub killed: Vec<bool>,
    /// What differs between two hunts of one seed.
    pub stamp: HuntStamp,
}

/// How long hunts took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HuntStamp {
    /// Of wall-clock time, entry by entry.
    pub seconds: Vec<f64>,
}

/// A coverage-guided hunt of one defect with one seed, as `fuzz/survival.sh` writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GuidedHunt {
    /// The defect's name.
    pub defect: String,
    /// The seed of libFuzzer.
    pub seed: u64,
    /// Whether the defect was found.
    pub killed: bool,
    /// Operations asked up to the conviction, or to the end.
    pub operations: u64,
    /// Seconds of wall-clock time.
    pub seconds: f64,
}

/// Of how many defects a difference between the drawn generators is shown, and of how many none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Apart {
    /// Random sequences find it sooner.
    pub random: u64,
    /// Sequences by weights of their own do.
    pub swarm: u64,
    /// Their intervals meet.
    pub neither: u64,
}

impl Survival {
    /// What `format` says.
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

    /// How many of the defects one seed kills under a drawn generator. Hunts of several defects with one seed ask the
    /// same sequences, so that seeds are independent of each other and hunts are not. `None` where the hunts of the
    /// defects are not of the same seeds.
    #[must_use]
    pub fn killed_by_a_seed(&self, generator: Generator) -> Option<Spread> {
        let hunts: Vec<&Hunts> = self.hunts(generator).collect();
        let seeds = hunts.first()?.killed.len();
        if generator == Generator::Guided || hunts.iter().any(|h| h.killed.len() != seeds) {
            return None;
        }
        let kills = |seed: usize| hunts.iter().filter(|h| h.killed.get(seed) == Some(&true)).count();
        #[expect(clippy::cast_precision_loss, reason = "there are few defects")]
        let counts = (0..seeds).map(|seed| (kills(seed) as f64, true));
        Some(spread(counts))
    }

    /// Which drawn generator kills more: none where the intervals of `killed_by_a_seed` overlap.
    #[must_use]
    pub fn kills_more(&self) -> Option<Generator> {
        let [random, swarm] = Generator::DRAWN.map(|g| self.killed_by_a_seed(g));
        let (random, swarm) = random.zip(swarm)?;
        if swarm.is_below(&random) {
            Some(Generator::Random)
        } else if random.is_below(&swarm) {
            Some(Generator::Swarm)
        } else {
            None
        }
    }

    /// For how many defects the share of hunts that kill is shown to be higher under each drawn generator: their
    /// Wilson score intervals do not overlap.
    #[must_use]
    pub fn shares_apart(&self) -> Apart {
        self.apart(|better, worse| better.share().zip(worse.share()).is_some_and(|(b, w)| w.1 < b.0))
    }

    /// For how many defects fewer operations are shown to lead to a kill under each drawn generator: the rank
    /// intervals of the medians do not overlap.
    #[must_use]
    pub fn operations_apart(&self) -> Apart {
        #[expect(clippy::cast_precision_loss, reason = "counts of operations are far below 2^53")]
        let limit = self.limit as f64;
        // What survives is known to live longer than the limit, and no more than that.
        let within = |spread: &Spread| spread.high.is_some_and(|high| high <= limit);
        self.apart(|better, worse| {
            let (better, worse) = (better.operations(), worse.operations());
            better.is_below(&worse) && (worse.low.is_some() || within(&better))
        })
    }

    fn apart(&self, is_better: impl Fn(&Hunts, &Hunts) -> bool) -> Apart {
        let mut apart = Apart::default();
        for row in &self.defects {
            let Some((random, swarm)) = row.of(Generator::Random).zip(row.of(Generator::Swarm)) else { continue };
            let count = match (is_better(random, swarm), is_better(swarm, random)) {
                (true, _) => &mut apart.random,
                (_, true) => &mut apart.swarm,
                _ => &mut apart.neither,
            };
            *count += 1;
        }
        apart
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
    /// Hunts that found the defect.
    #[must_use]
    pub fn kills(&self) -> u64 {
        self.killed.iter().filter(|&&k| k).count() as u64
    }

    /// The share of hunts that kill, as Wilson's score interval of 95 %; `None` without a hunt.
    #[must_use]
    pub fn share(&self) -> Option<(f64, f64)> {
        wilson(self.kills(), self.killed.len() as u64)
    }

    /// Operations to kill.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of operations are far below 2^53")]
    pub fn operations(&self) -> Spread {
        spread(self.operations.iter().map(|&n| n as f64).zip(self.killed.iter().copied()))
    }

    /// Seconds to kill.
    #[must_use]
    pub fn seconds(&self) -> Spread {
        spread(self.stamp.seconds.iter().copied().zip(self.killed.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunts(operations: &[u64], killed: &[bool]) -> Hunts {
        let stamp = HuntStamp { seconds: operations.iter().map(|_| 1.0).collect() };
        Hunts { generator: Generator::Random, operations: operations.to_vec(), killed: killed.to_vec(), stamp }
    }

    #[test]
    fn a_hunt_without_a_kill_is_longer_than_any() {
        let spread = hunts(&[100, 7, 100, 8, 9], &[false, true, false, true, true]).operations();
        assert_eq!((spread.median, spread.low, spread.high), (Some(9.0), Some(7.0), None));
        let most = hunts(&[100, 7, 100, 100], &[false, true, false, false]).operations();
        assert_eq!((most.median, most.low), (None, Some(7.0)));
        assert_eq!(hunts(&[], &[]).operations().median, None);
    }

    fn survival(rows: Vec<SurvivalRow>) -> Survival {
        Survival {
            format: Survival::FORMAT.to_owned(),
            version: String::new(),
            base: String::new(),
            seed: 0,
            seeds: 20,
            limit: 100,
            ended: EndedBy::Complete,
            untried: 0,
            scenarios: 1,
            selection: Vec::new(),
            defects: rows,
            stamp: RunStamp::default(),
        }
    }

    /// A defect whose hunts take these operations under either generator; more than 100 is no kill.
    fn row(name: &str, random: &[u64], swarm: &[u64]) -> SurvivalRow {
        let of = |generator, operations: &[u64]| {
            let killed: Vec<bool> = operations.iter().map(|&n| n <= 100).collect();
            Hunts { generator, ..hunts(operations, &killed) }
        };
        SurvivalRow { name: name.to_owned(), hunts: vec![of(Generator::Random, random), of(Generator::Swarm, swarm)] }
    }

    #[test]
    fn the_longest_lived_come_first_and_what_nothing_kills_is_not_hunted_further() {
        let mut all = survival(vec![row("a", &[10, 10], &[5, 5]), row("b", &[10, 10], &[5, 200])]);
        assert_eq!(all.hardest(1), ["b"]);
        all.defects.push(row("c", &[200, 200], &[200, 200]));
        assert_eq!((all.hardest(1), all.longest_lived()[0].name.as_str()), (vec!["b"], "c"));
    }

    #[test]
    fn more_kills_are_stated_only_where_the_intervals_of_seeds_are_apart() {
        let (kills, lives) = ([10; 20], [200; 20]);
        let some = |n: usize| [vec![10; n], vec![200; 20 - n]].concat();
        let same = survival(vec![row("a", &kills, &kills), row("b", &lives, &lives)]);
        assert_eq!(same.kills_more(), None);
        // 14 kills against none: the medians differ, and the intervals have a value in common.
        let close = survival(vec![row("a", &kills, &kills), row("b", &some(14), &lives)]);
        let [random, swarm] = Generator::DRAWN.map(|g| close.killed_by_a_seed(g).expect("the same seeds"));
        assert_eq!((random.median, random.low, random.high), (Some(2.0), Some(1.0), Some(2.0)));
        assert_eq!((swarm.median, swarm.high, close.kills_more()), (Some(1.0), Some(1.0), None));
        let apart = |of: [Vec<SurvivalRow>; 2]| of.map(|rows| survival(rows).kills_more());
        let more = [vec![row("b", &some(15), &lives)], vec![row("b", &lives, &some(15))]];
        assert_eq!(apart(more), [Some(Generator::Random), Some(Generator::Swarm)]);
        let few = [vec![row("b", &[10; 5], &[200; 5])], vec![row("b", &[10; 6], &[200; 6])]];
        assert_eq!(apart(few), [None, Some(Generator::Random)], "five seeds give no interval of 95 %");
        assert_eq!(survival(vec![row("a", &kills, &kills), row("b", &[10], &[10])]).kills_more(), None);
        assert_eq!(survival(Vec::new()).kills_more(), None);
    }

    #[test]
    fn each_defect_differs_only_where_its_intervals_are_apart() {
        let counted = |random: &[u64], swarm: &[u64]| {
            let all = survival(vec![row("a", random, swarm)]);
            [all.shares_apart(), all.operations_apart()].map(|a| (a.random, a.swarm, a.neither))
        };
        let (one, other, neither) = ((1, 0, 0), (0, 1, 0), (0, 0, 1));
        let some = |n: usize| [vec![10; n], vec![200; 20 - n]].concat();
        assert_eq!(counted(&[10; 20], &[10; 20]), [neither, neither]);
        assert_eq!(counted(&[10; 20], &[11; 20]), [neither, one]);
        assert_eq!(counted(&[200; 20], &some(20)), [other, other]);
        // 20 of 20 is 83.9 % at least, 12 of 20 are 78.1 % at most and 13 of 20 81.9 %, 14 of 20 85.5 %.
        assert_eq!(counted(&[10; 20], &some(13)), [one, neither]);
        assert_eq!(counted(&[10; 20], &some(14)), [neither, neither]);
        let spread: Vec<u64> = (1..=20).collect();
        let later = |by: u64| (1 + by..=20 + by).collect::<Vec<u64>>();
        assert_eq!(counted(&spread, &later(9))[1], neither, "6 to 15 and 15 to 24 touch");
        assert_eq!(counted(&spread, &later(10))[1], one);
        assert_eq!(counted(&[10; 5], &[90; 5])[1], neither, "five seeds give no interval of 95 %");
    }

    #[test]
    fn a_kill_past_the_limit_is_not_sooner_than_what_lives_longer_than_the_limit() {
        let late = |generator, killed| Hunts { generator, ..hunts(&[105; 20], &[killed; 20]) };
        let hunts = vec![late(Generator::Random, true), late(Generator::Swarm, false)];
        let all = survival(vec![SurvivalRow { name: "a".to_owned(), hunts }]);
        assert_eq!(all.operations_apart(), Apart { neither: 1, ..Apart::default() });
    }
}
