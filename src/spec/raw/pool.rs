//! Steps about private pools and graph capture, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Name, Slot};

/// A new private pool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ pool: p, device: 0, use_on_oom: false, no_split: false }")]
pub struct RawPoolCreate {
    /// What the pool is called from here on.
    pub pool: Name,
    pub device: Slot<i32>,
    /// What it has cached serves requests outside of it before these are refused.
    #[serde(default)]
    pub use_on_oom: bool,
    /// Its blocks are whole segments.
    #[serde(default)]
    pub no_split: bool,
}

/// A private pool and a device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ pool: p, device: 0 }")]
pub struct PoolOnDevice {
    pub pool: Name,
    pub device: Slot<i32>,
}

/// A capture: into a pool of its own, into a private pool, or into the pool of an earlier graph.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ graph: g, device: 0, stream: 1 }, perhaps with `pool: p` or `pool_of: g`")]
pub struct RawCapture {
    /// What the graph is called from here on.
    pub graph: Name,
    pub device: Slot<i32>,
    /// Not the default stream.
    pub stream: Slot<u8>,
    #[serde(default)]
    pub pool: Option<Name>,
    #[serde(default)]
    pub pool_of: Option<Name>,
}
