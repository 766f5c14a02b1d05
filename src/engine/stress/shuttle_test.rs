//! Small cases under a scheduler that chooses every order of the locks itself, and can repeat one: the sound
//! front is never convicted, each planted race is, and the schedule that showed it shows it again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId};
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

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 20; // statistics are copied whole
    config.failure_persistence = FailurePersistence::None; // schedules are kept here
    config
}

/// Which task ran at each step.
type Steps = Arc<Mutex<Vec<usize>>>;

/// Keeps the latest schedule of another scheduler.
struct Kept<S> {
    inner: S,
    steps: Steps,
}

impl<S: Scheduler> Scheduler for Kept<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.steps.lock().expect("only this thread has it").clear();
        self.inner.new_execution()
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let next = self.inner.next_task(runnable, current, is_yielding);
        self.steps.lock().expect("only this thread has it").extend(next.map(usize::from));
        next
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}

/// Runs one schedule again, once.
struct Repeat {
    steps: std::vec::IntoIter<usize>,
    begun: bool,
}

impl Scheduler for Repeat {
    fn new_execution(&mut self) -> Option<Schedule> {
        (!std::mem::replace(&mut self.begun, true)).then(|| Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], _: Option<TaskId>, _: bool) -> Option<TaskId> {
        let next = TaskId::from(self.steps.next()?);
        runnable.iter().any(|task| task.id() == next).then_some(next)
    }

    fn next_u64(&mut self) -> u64 {
        0 // the case draws nothing
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

/// What a scheduler's schedules come to: the first conviction.
fn conviction<S: Scheduler + 'static>(scheduler: S, race: Race) -> Option<String> {
    let runner = Runner::new(scheduler, config());
    catch_unwind(AssertUnwindSafe(|| runner.run(move || case(Some(race))))).err().map(|panic| said(&*panic))
}

/// Runs schedules until one convicts: what it said and the schedule, to be repeated.
fn first_failure<S: Scheduler + 'static>(inner: S, race: Race) -> Option<(String, Vec<usize>)> {
    let steps = Steps::default();
    let text = conviction(Kept { inner, steps: Arc::clone(&steps) }, race)?;
    let schedule = steps.lock().expect("no schedule runs any more").clone();
    Some((text, schedule))
}

#[test]
fn the_sound_front_stands_every_schedule_that_was_tried() {
    let random = Runner::new(RandomScheduler::new_from_seed(1, 400), config()).run(|| case(None));
    let pct = Runner::new(PctScheduler::new_from_seed(2, 3, 400), config()).run(|| case(None));
    assert_eq!((random, pct), (400, 400));
}

#[test]
fn each_planted_race_is_found_and_its_schedule_shows_it_again() {
    for race in Race::ALL {
        let by_pct = || first_failure(PctScheduler::new_from_seed(4, 3, 3000), race);
        let found = first_failure(RandomScheduler::new_from_seed(3, 3000), race).or_else(by_pct);
        let (text, schedule) = found.unwrap_or_else(|| panic!("no schedule showed {}", race.name()));
        println!("{}: {text}\n  schedule {schedule:?}", race.name());
        let again = conviction(Repeat { steps: schedule.into_iter(), begun: false }, race);
        assert_eq!(again, Some(text), "{}: the schedule shows it again", race.name());
    }
}
