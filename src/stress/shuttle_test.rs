//! Small cases under a scheduler that chooses every order of the locks itself, and can repeat one: the sound
//! front is never convicted, each planted race is, and the schedule that showed it shows it again; and the spans of a
//! history never contradict the order of the locks. Moments are no place at which threads are switched: the spans are
//! then as short as they can be, and claim the most.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, Runner};

use super::worker::{Call, Event, Span, make};
use super::*;
use crate::reference::shared::Outcome;

/// Locks at which the scheduler may switch threads.
struct ShuttleLocks;

struct ShuttleLock<T>(shuttle::sync::Mutex<T>);

impl Locks for ShuttleLocks {
    type Mutex<T: Send> = ShuttleLock<T>;
}

impl<T: Send> Guarded<T> for ShuttleLock<T> {
    fn new(value: T) -> Self {
        ShuttleLock(shuttle::sync::Mutex::new(value))
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.0.lock().expect("a panic ends the schedule before anybody sees the poison"))
    }
}

const MIB: u64 = 1 << 20;

fn alloc(bytes: u64) -> Call {
    Call::Alloc { device: 0, stream: 0, bytes }
}

/// Three threads that meet in the cache, in the statistics and in the trimming of one device.
fn meeting() -> Vec<Vec<Call>> {
    vec![
        vec![alloc(3 * MIB), Call::Free(0), alloc(3 * MIB), Call::Read(0), Call::Free(0)],
        vec![alloc(3 * MIB), Call::Read(0), Call::Free(0), Call::ResetPeak(0), alloc(3 * MIB), Call::Read(0)],
        vec![Call::EmptyCache, Call::ResetPeak(0), Call::Read(0), alloc(100), Call::EmptyCache, Call::Leave(0)],
    ]
}

/// Three threads that free what others left, and ask for as much again.
fn leaving() -> Vec<Vec<Call>> {
    vec![
        vec![alloc(3 * MIB), Call::Leave(0), alloc(3 * MIB), Call::Leave(0), Call::Read(0)],
        vec![Call::FreeLeft, alloc(3 * MIB), Call::FreeLeft, Call::Read(0)],
        vec![alloc(100), Call::FreeLeft, alloc(3 * MIB), Call::Free(0), Call::Leave(0)],
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

type Small = World<Sound, ShuttleLocks>;
/// Makes the calls of a script and keeps the record, as `work` does.
type Clerk = fn(&Small, &[Call]) -> Record;

/// One schedule of some scripts: the allocator afterwards, and what the threads recorded.
fn play(scripts: Vec<Vec<Call>>, race: Option<Race>, clerk: Clerk) -> (Arc<Small>, Vec<Record>) {
    let world: Arc<Small> = Arc::new(world(&options(race), &Settings::default(), Sound));
    let mut threads = Vec::new();
    for calls in scripts {
        let world = Arc::clone(&world);
        threads.push(shuttle::thread::spawn(move || clerk(&world, &calls)));
    }
    let records = threads.into_iter().map(|thread| thread.join().expect("a panic ends the schedule")).collect();
    (world, records)
}

/// The calls of a script, which nobody interrupts.
fn work(world: &Small, script: &[Call]) -> Record {
    worker::work(world, script, &Stop::default())
}

/// One schedule with everything that is checked; panics with what was convicted.
fn case(scripts: Vec<Vec<Call>>, race: Option<Race>) {
    let (world, records) = play(scripts, race, work);
    let (found, _) = conclude(&world, &records, &options(race), &Settings::default(), Sound);
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
fn conviction<S: Scheduler + 'static>(scheduler: S, case: impl Fn() + Send + Sync + 'static) -> Option<String> {
    let runner = Runner::new(scheduler, config());
    catch_unwind(AssertUnwindSafe(|| runner.run(case))).err().map(|panic| said(&*panic))
}

/// Runs schedules until one convicts: what it said and the schedule, to be repeated.
fn first_failure<S: Scheduler + 'static>(
    inner: S,
    case: impl Fn() + Send + Sync + 'static,
) -> Option<(String, Vec<usize>)> {
    let steps = Steps::default();
    let text = conviction(Kept { inner, steps: Arc::clone(&steps) }, case)?;
    let schedule = steps.lock().expect("no schedule runs any more").clone();
    Some((text, schedule))
}

fn repeat(schedule: Vec<usize>) -> Repeat {
    Repeat { steps: schedule.into_iter(), begun: false }
}

#[test]
fn the_sound_front_stands_every_schedule_that_was_tried() {
    for scripts in [meeting, leaving] {
        let random = Runner::new(RandomScheduler::new_from_seed(1, 400), config()).run(move || case(scripts(), None));
        let pct = Runner::new(PctScheduler::new_from_seed(2, 3, 400), config()).run(move || case(scripts(), None));
        assert_eq!((random, pct), (400, 400));
    }
}

#[test]
fn each_planted_race_is_found_and_its_schedule_shows_it_again() {
    for race in Race::ALL {
        let case = move || case(meeting(), Some(race));
        let by_pct = || first_failure(PctScheduler::new_from_seed(4, 3, 3000), case);
        let found = first_failure(RandomScheduler::new_from_seed(3, 3000), case).or_else(by_pct);
        let (text, schedule) = found.unwrap_or_else(|| panic!("no schedule showed {}", race.name()));
        println!("{}: {text}\n  schedule {schedule:?}", race.name());
        let again = conviction(repeat(schedule), case);
        assert_eq!(again, Some(text), "{}: the schedule shows it again", race.name());
    }
}

/// A clerk with another idea of when a call began; all else is as `work` does it, at every lock.
fn stamped(world: &Small, script: &[Call], from: impl Fn(u64, &Event) -> u64) -> Record {
    let mut record = Record::default();
    for &call in script {
        let (before, known) = (world.now(), record.events.len());
        make(world, call, &mut record);
        for event in &mut record.events[known..] {
            event.span.from = from(before, event);
        }
    }
    record
}

/// What the checks once took for a call's beginning: the block that it frees may not be in hand, nor got, by then.
fn before_the_block_is_in_hand(world: &Small, script: &[Call]) -> Record {
    stamped(world, script, |before, _| before)
}

/// And how they once went on: in the order of the moments a block comes, goes, and shares its bytes with nobody.
fn taken_as_seen(records: &[Record]) {
    let mut moments = Vec::new();
    for event in records.iter().flat_map(|r| &r.events) {
        match event.what {
            What::Got(block) => moments.push((event.span.to, true, block)),
            What::GaveBack(block) => moments.push((event.span.from, false, block)),
            _ => {}
        }
    }
    moments.sort_by_key(|&(moment, ..)| moment);
    let mut held: Vec<u64> = Vec::new(); // every block here that shares bytes with another begins where it does
    for (_, got, block) in moments {
        assert!(!got || !held.contains(&block.address), "two blocks were held at once");
        if got { held.push(block.address) } else { held.retain(|&address| address != block.address) }
    }
}

#[test]
fn the_schedule_that_once_convicted_the_sound_front_does_so_no_more() {
    let once = || taken_as_seen(&play(leaving(), None, before_the_block_is_in_hand).1);
    let (text, schedule) = first_failure(RandomScheduler::new_from_seed(5, 1000), once).expect("a schedule shows it");
    assert_eq!(text, "two blocks were held at once");
    println!("schedule {schedule:?}");
    assert_eq!(conviction(repeat(schedule.clone()), once), Some(text), "the schedule shows it again");

    let freed = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&freed);
    let now = move || {
        let (world, records) = play(leaving(), None, work);
        let gave_back = |e: &&Event| matches!(e.what, What::GaveBack(_));
        *counted.lock().expect("one at a time") = records.iter().flat_map(|r| &r.events).filter(gave_back).count();
        taken_as_seen(&records);
        let (found, _) = conclude(&world, &records, &options(None), &Settings::default(), Sound);
        assert_eq!(found, [], "convicted");
    };
    assert_eq!(conviction(repeat(schedule), now), None);
    assert!(
        *freed.lock().expect("all is done") > 1,
        "the schedule ran to its end, and blocks that were left were freed"
    );
}

/// The spans of requests and frees in the order in which the lock of the device was taken.
fn in_lock_order(world: &Small, records: &[Record]) -> Vec<Span> {
    let (order, _) = world.shared.order(0);
    let mut spans: Vec<(u64, bool, Span)> = Vec::new();
    for event in records.iter().flat_map(|r| &r.events) {
        match event.what {
            What::Got(block) => spans.push((block.address, true, event.span)),
            What::GaveBack(block) => spans.push((block.address, false, event.span)),
            _ => {}
        }
    }
    // On one address: an answer comes before the free begins, and that before the next answer.
    spans.sort_by_key(|&(_, got, span)| if got { span.to } else { span.from });
    let mut next = |address, got| {
        let at = spans.iter().position(|&(a, g, _)| (a, g) == (address, got)).expect("every act is in a record");
        spans.remove(at).2
    };
    let mut ordered = Vec::new();
    for act in order {
        match act {
            (Act::Alloc { .. }, Outcome::Address(address)) => ordered.push(next(address, true)),
            (Act::Free { address }, Outcome::Done) => ordered.push(next(address, false)),
            _ => {}
        }
    }
    assert_eq!(spans, [], "every event is an act");
    ordered
}

/// Panics where a history says that one call was over before another began, and the lock was taken the other way.
fn spans_agree_with_locks(clerk: Clerk) {
    for scripts in [meeting(), leaving()] {
        let (world, records) = play(scripts, None, clerk);
        let mut latest_start = 0;
        for span in in_lock_order(&world, &records) {
            latest_start = latest_start.max(span.from);
            assert!(latest_start < span.to, "the order of the moments contradicts that of the locks");
        }
    }
}

/// A beginning that comes too late claims what is not known.
fn after_the_answer(world: &Small, script: &[Call]) -> Record {
    stamped(world, script, |_, event| event.span.to - 1)
}

#[test]
fn what_a_history_claims_of_before_and_after_the_locks_bear_out() {
    let ran = Runner::new(RandomScheduler::new_from_seed(6, 400), config()).run(|| spans_agree_with_locks(work));
    assert_eq!(ran, 400);
    let late = conviction(RandomScheduler::new_from_seed(7, 400), || spans_agree_with_locks(after_the_answer));
    assert_eq!(late.as_deref(), Some("the order of the moments contradicts that of the locks"));
}
