//! Private pools and captured graphs by name, and which of them an operation is about.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Op;

/// The name of a `MemPool` within one sequence. Never reused, as with blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PoolName(pub u32);

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// The name of a graph within one sequence. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct GraphName(pub u32);

impl fmt::Display for GraphName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// Where private memory comes from: a `MemPool`, or the pool that a capture made for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolSource {
    /// One that was made.
    Pool(PoolName),
    /// The pool of a captured graph.
    Graph(GraphName),
}

impl fmt::Display for PoolSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolSource::Pool(pool) => pool.fmt(f),
            PoolSource::Graph(graph) => write!(f, "the pool of {graph}"),
        }
    }
}

impl Op {
    /// The `MemPool` that the operation makes or needs.
    #[must_use]
    pub fn pool(&self) -> Option<PoolName> {
        self.clone().pool_mut().copied()
    }

    /// The same, to be renamed.
    pub fn pool_mut(&mut self) -> Option<&mut PoolName> {
        match self {
            Op::PoolCreate { pool, .. }
            | Op::PoolEnter { pool, .. }
            | Op::PoolExit { pool, .. }
            | Op::PoolDelete { pool }
            | Op::CaptureBegin { pool: Some(PoolSource::Pool(pool)), .. } => Some(pool),
            _ => None,
        }
    }

    /// The graph that the operation is about, to be renamed, and the one whose pool it shares.
    pub fn graphs_mut(&mut self) -> [Option<&mut GraphName>; 2] {
        match self {
            Op::CaptureBegin { graph, pool: Some(PoolSource::Graph(shared)), .. } => [Some(graph), Some(shared)],
            Op::CaptureBegin { graph, .. } | Op::CaptureEnd { graph } | Op::GraphReset { graph } => [Some(graph), None],
            _ => [None, None],
        }
    }

    /// The graph that the operation is about.
    #[must_use]
    pub fn graph(&self) -> Option<GraphName> {
        match self {
            Op::CaptureBegin { graph, .. } | Op::CaptureEnd { graph } | Op::GraphReset { graph } => Some(*graph),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceId, StreamId};

    #[test]
    fn names_are_found_and_can_be_changed() {
        let mut op = Op::CaptureBegin {
            graph: GraphName(4),
            device: DeviceId(0),
            stream: StreamId(1),
            pool: Some(PoolSource::Graph(GraphName(3))),
        };
        op.graphs_mut().into_iter().flatten().for_each(|g| g.0 += 10);
        assert_eq!((op.graph(), op.pool()), (Some(GraphName(14)), None));
        assert_eq!(op.to_line(), "capture_begin g14 on device 0, stream 1, into the pool of g13");
        let text = serde_json::to_string(&op).expect("plain data");
        assert_eq!(serde_json::from_str::<Op>(&text).expect("reads back"), op);
        assert_eq!(Op::PoolDelete { pool: PoolName(2) }.pool(), Some(PoolName(2)));
    }
}
