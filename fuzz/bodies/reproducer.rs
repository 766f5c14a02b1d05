//! Kept sequences: JSON as it is, or a sequence of hostile values written as one; run again on the reference.
//!
//! The first byte says which: `{` is text. The target that the file names is never opened: it may be anything.

use arbitrary::{Arbitrary, Result, Unstructured};
use poolproof::engine::{regressions, replay_file};
use poolproof::op::{BlockId, DeviceId, Names, Op, OracleName, Setup, Step, StreamId};
use poolproof::requirement;
use poolproof::verdict::Reproducer;

use super::coverage::Cells;
use super::draft::Draft;
use super::files::on_disk;
use super::header::Header;
use super::held::Held;
use super::operations;
use super::value::{number, rarely};

pub fn run(data: &[u8], _: &mut Cells) {
    if matches!(data.first(), None | Some(b'{')) {
        return read(data);
    }
    if let Ok(made) = made(&mut Unstructured::new(data)) {
        read(&regressions::to_json(&made));
    }
}

fn read(bytes: &[u8]) {
    on_disk(bytes, |path| match replay_file(path, Some(&operations::reference(""))) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(replayed) => {
            assert_eq!(replayed.panic, None);
            for violation in replayed.conviction.iter().flat_map(|c| &c.violations) {
                let odd = replayed.reproducer.setup.device_bytes.iter().any(|&b| b > 1 << 38);
                let excused = match violation.oracle {
                    OracleName::Expectation | OracleName::Growth => true, // what an author wrote may be anything
                    OracleName::Exhaustion | OracleName::Limit => odd, // more memory than addresses, or than a float can count
                    _ => false,
                };
                assert!(excused, "{}: {}", violation.oracle.name(), violation.message.en);
            }
        }
    });
}

fn made(u: &mut Unstructured<'_>) -> Result<Reproducer> {
    let mut setup = Header::arbitrary(u)?.setup();
    if rarely(u, 4)? {
        setup = Setup {
            device_bytes: vec![number(u)?; usize::from(u.arbitrary::<u8>()? & 3)],
            streams: u.arbitrary()?,
            config: None,
        };
    }
    let plain = Setup { device_bytes: vec![1 << 30; 2], streams: 8, config: None };
    let mut held = Held::default();
    let mut steps = Vec::new();
    while u.len() >= 8 && steps.len() < 200 {
        let Some(mut op) = Draft::arbitrary(u)?.op(&mut held, &plain) else { continue };
        if rarely(u, 8)? {
            astray(&mut op, u)?;
        }
        steps.push(Step::from(op));
    }
    Ok(Reproducer {
        format: Reproducer::FORMAT.to_owned(),
        target: "reference@sim".to_owned(),
        scenario: "arg::fuzz".to_owned(),
        requirement: requirement::ALL[0].id,
        setup,
        oracles: OracleName::ALL.to_vec(),
        steps,
        names: Names::default(),
        epilogue: true,
    })
}

/// Names that no sequence of ours would use.
pub fn astray(op: &mut Op, u: &mut Unstructured<'_>) -> Result<()> {
    if let Some(block) = op.block_mut() {
        *block = BlockId(if rarely(u, 2)? { u32::MAX - u32::from(u.arbitrary::<u8>()? & 3) } else { u.arbitrary()? });
    }
    let mut odd = || Ok(if rarely(u, 2)? { u32::MAX } else { u32::from(u.arbitrary::<u8>()? & 7) });
    if let Some(pool) = op.pool_mut() {
        pool.0 = odd()?;
    }
    for graph in op.graphs_mut().into_iter().flatten() {
        graph.0 = odd()?;
    }
    match op {
        Op::Alloc { stream, bytes, .. } => (*stream, *bytes) = (StreamId(u.arbitrary()?), number(u)?),
        Op::RecordStream { stream, .. } | Op::Use { stream, .. } => *stream = StreamId(u.arbitrary()?),
        Op::Occupy { device, stream } | Op::Finish { device, stream } => {
            (*device, *stream) = (DeviceId(u.arbitrary()?), StreamId(u.arbitrary()?));
        }
        Op::Neighbour { device, bytes } => (*device, *bytes) = (DeviceId(u.arbitrary()?), number(u)?),
        Op::WaitStream { device, stream, on } => {
            (*device, *stream, *on) = (DeviceId(u.arbitrary()?), StreamId(u.arbitrary()?), StreamId(u.arbitrary()?));
        }
        Op::PoolCreate { device, .. } | Op::PoolEnter { device, .. } | Op::PoolExit { device, .. } => {
            *device = DeviceId(u.arbitrary()?);
        }
        Op::CaptureBegin { device, stream, .. } => {
            (*device, *stream) = (DeviceId(u.arbitrary()?), StreamId(u.arbitrary()?));
        }
        Op::Synchronize { device } | Op::Summary { device, .. } | Op::Fault { device, .. } => {
            *device = DeviceId(u.arbitrary()?);
        }
        Op::Caller { caller } => *caller = u.arbitrary()?,
        Op::SetFraction { fraction, .. } => *fraction = f64::from_bits(u.arbitrary()?),
        _ => {}
    }
    Ok(())
}
