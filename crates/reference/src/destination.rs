//! Where a request would go, for whoever explains what became of it. Asks for nothing and changes nothing.

use super::allocator::{DeviceAllocator, kind_of};
use super::defect::Planting;
use super::private::PoolId;
use crate::device::{Device, StreamHandle};
use crate::op::PoolKind;

/// What a request comes to before anything is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Rounded.
    pub size: u64,
    /// What is asked of the device where nothing cached serves.
    pub segment: u64,
    /// The size class.
    pub kind: PoolKind,
    /// The private pool; `(0, 0)` for none.
    pub pool: PoolId,
    /// The cache is given back before it is refused: not while a pool is used or a graph captured.
    pub flushes: bool,
    /// Nothing is reserved beyond this.
    pub limit: Option<u64>,
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Where a request would go now; `None` for one that cannot be represented.
    #[must_use]
    pub fn destination(&self, bytes: u64, stream: StreamHandle) -> Option<Destination> {
        let request = self.request(bytes, stream)?;
        Some(Destination {
            size: request.size,
            segment: request.segment(&self.settings),
            kind: kind_of(request.pool),
            pool: self.private.of(request.pool).map_or((0, 0), |pool| pool.id),
            flushes: !self.private.is_redirecting(),
            limit: self.limit,
        })
    }
}
