//! Small cases under a scheduler that chooses every order of the locks itself, and can repeat one: the sound
//! front is never convicted, each planted race is, and the schedule that showed it shows it again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

use super::worker::Call;
use super::*;

/// Locks at which the scheduler may switch threads.
struct ShuttleLocks;

impl Locks for ShuttleLocks {
    type Mutex<T: Send> = shuttle::sync::Mutex<T>;
}

impl<T: Send> Guarded<T> for shuttle::sync::Mutex<T> {
    fn new(value: T) -> Self {
        shuttle::sync::Mutex::new(value)
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.lock().expect("a panic ends the schedule before anybody sees the poison"))
    }
}

const MIB: u64 = 1 << 20;

fn alloc(bytes: u64) -> Call {
    Call::Alloc { device: 0, stream: 0, bytes }
}

/// Three threads that meet in the cache, in the statistics and in the trimming of one device.
fn scripts() -> [Vec<Call>; 3] {
    [
        vec![alloc(3 * MIB), Call::Free(0), alloc(3 * MIB), Call::Read(0), Call::Free(0)],
        vec![alloc(3 * MIB), Call::Read(0), Call::Free(0), Call::ResetPeak(0), alloc(3 * MIB), Call::Read(0)],
        vec![Call::EmptyCache, Call::ResetPeak(0), Call::Read(0), alloc(100), Call::EmptyCache, Call::Leave(0)],
    ]
}

fn options(race: Option<Race>) -> StressOptions {
    StressOptions {
        target: "reference@sim".parse().expect("a target name"),
        threads: 3,
        calls: 0,
        devices: 1,
        device_bytes: 64 * MIB,
        streams: 2,
        seed: 0,
        time: Duration::ZERO,
        race,
    }
}

/// One schedule of the case; panics with what was convicted.
fn case(race: Option<Race>) {
    let (options, settings) = (options(race), Settings::default());
    let world: Arc<World<Sound, ShuttleLocks>> = Arc::new(world(&options, &settings, Sound));
    let threads = scripts().map(|calls| {
        let world = Arc::clone(&world);
        shuttle::thread::spawn(move || work(&world, &calls))
    });
    let records = threads.map(|thread| thread.join().expect("a panic ends the schedule"));
    let (found, _) = conclude(&world, &records, &options, &settings, Sound);
    if let Some(first) = found.first() {
        panic!("{}: {}", first.check.name(), first.text);
    }
}

fn config(folder: Option<&std::path::Path>) -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 20; // statistics are copied whole
    config.failure_persistence =
        folder.map_or(FailurePersistence::None, |folder| FailurePersistence::File(Some(folder.to_owned())));
    config
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

/// Runs schedules until one convicts: what it said and the schedule, to be repeated.
fn first_failure<S: Scheduler + 'static>(scheduler: S, race: Race) -> Option<(String, String)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runner = Runner::new(scheduler, config(Some(folder.path())));
    let panic = catch_unwind(AssertUnwindSafe(|| runner.run(move || case(Some(race))))).err()?;
    let file = std::fs::read_dir(folder.path()).expect("it is there").next().expect("one schedule").expect("readable");
    Some((said(&*panic), std::fs::read_to_string(file.path()).expect("readable")))
}

/// What one schedule says.
fn repeat(race: Race, schedule: &str) -> Option<String> {
    let runner = Runner::new(ReplayScheduler::new_from_encoded(schedule), config(None));
    catch_unwind(AssertUnwindSafe(|| runner.run(move || case(Some(race))))).err().map(|panic| said(&*panic))
}

#[test]
fn the_sound_front_stands_every_schedule_that_was_tried() {
    let random = Runner::new(RandomScheduler::new_from_seed(1, 400), config(None)).run(|| case(None));
    let pct = Runner::new(PctScheduler::new_from_seed(2, 3, 400), config(None)).run(|| case(None));
    assert_eq!((random, pct), (400, 400));
}

#[test]
fn each_planted_race_is_found_and_its_schedule_shows_it_again() {
    for race in Race::ALL {
        let by_pct = || first_failure(PctScheduler::new_from_seed(4, 3, 3000), race);
        let found = first_failure(RandomScheduler::new_from_seed(3, 3000), race).or_else(by_pct);
        let (text, schedule) = found.unwrap_or_else(|| panic!("no schedule showed {}", race.name()));
        println!("{}: {text}\n  schedule {}", race.name(), schedule.trim());
        let again = repeat(race, schedule.trim());
        assert_eq!(again, Some(text), "{}: the schedule shows it again", race.name());
    }
}
