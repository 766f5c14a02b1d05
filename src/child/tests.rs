//! Children that end, that do not, and that leave others behind.

use std::time::Duration;

use super::talk::Silence;
use super::*;

const LONG: Duration = Duration::from_secs(60);

fn shell(script: &str) -> Program {
    Program::new("sh", ["-c", script])
}

#[test]
fn what_a_program_prints_is_kept_with_its_end() {
    let program = Program {
        environment: vec![("WORD".to_owned(), "hello".to_owned())],
        ..shell("echo $WORD; echo no >&2; exit 3")
    };
    let finished = finish(&program, LONG).expect("it ends");
    assert_eq!((finished.text().as_ref(), finished.complaint(), finished.status.code()), ("hello\n", "no", Some(3)));
    assert!(matches!(finish(&Program::new("no-such-program", [""; 0]), LONG), Err(Unfinished::NotStarted(_))));
}

#[test]
fn one_that_does_not_end_is_ended_when_its_time_is_over() {
    let slow = finish(&shell("exec tail -f /dev/null"), Duration::from_millis(50));
    assert!(matches!(slow, Err(Unfinished::TooSlow(_))), "{slow:?}");
}

/// A process that holds the pipes and outlives the one that started it costs no deadline, and is gone afterwards.
#[cfg(target_os = "linux")]
#[test]
fn what_it_leaves_behind_is_ended_with_it() {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let finished = finish(&shell("tail -f /dev/null & echo $!"), LONG).expect("it ends");
    let left: i32 = finished.text().trim().parse().expect("a number");
    // One that cannot be opened has ended and was taken note of; one that can is waited for.
    if let Ok(process) = pidfd_open(Pid::from_raw(left).expect("not 0"), PidfdFlags::empty()) {
        let ended = wait([std::os::fd::AsFd::as_fd(&process)], Until::after(LONG)).expect("Linux");
        assert_eq!(ended, [true]);
    }
}

#[test]
fn lines_go_back_and_forth() {
    let mut talk = Talk::start(&shell("while read line; do [ $line = bye ] && exit 4; echo \"got $line\"; done"))
        .expect("a shell");
    talk.tell("one").expect("it reads");
    assert_eq!(talk.hear(LONG).expect("it answers"), "got one");
    assert!(talk.is_running() && talk.id() > 0);
    assert!(matches!(talk.hear(Duration::from_millis(10)), Err(Silence::TooSlow(_))));
    talk.tell("bye").expect("it reads");
    let Err(Silence::Ended { status: Some(status) }) = talk.hear(LONG) else { panic!("it ends") };
    assert_eq!(status.code(), Some(4));
}
