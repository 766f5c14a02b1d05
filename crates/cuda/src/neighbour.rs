//! Memory of a GPU held by this process and used for nothing, so that others find a small or crowded card.
//!
//! Decides how it is taken and given back: plain allocations of whole granules, which nobody writes to. How much is
//! left to others, and when something changes, is the caller's. Two neighbours on a card count each other's memory
//! as taken.

use super::ballast;
use super::error::{Code, CudaError};
use super::gpu::Lease;
use crate::op::GRANULE;

/// A GPU with what is held of it. Everything is given back when it is dropped.
#[derive(Debug)]
pub struct Neighbour {
    lease: Lease,
    /// Address and bytes of what was taken piece by piece.
    pieces: Vec<(u64, u64)>,
}

fn at(call: &'static str) -> impl FnOnce(Code) -> CudaError {
    move |code| CudaError::Call { call, code }
}

impl Neighbour {
    /// Takes the GPU of this process, and nothing of its memory but what a context needs.
    ///
    /// # Errors
    /// What is missing, or what the driver answers; also where a context finds no memory.
    pub fn open(ordinal: u32) -> Result<Self, CudaError> {
        let lease = Lease::take(ordinal)?;
        lease.gpu.enter().map_err(at("cuCtxSetCurrent"))?;
        Ok(Neighbour { lease, pieces: Vec::new() })
    }

    /// What is free on the GPU now, by the driver.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn free_bytes(&self) -> Result<u64, CudaError> {
        self.lease.gpu.driver.memory_info().map(|(free, _)| free).map_err(at("cuMemGetInfo"))
    }

    /// Holds all but `leave` bytes, to a few granules.
    ///
    /// # Errors
    /// What the driver answers, other than that there is no more.
    pub fn hold(&mut self, leave: u64) -> Result<(), CudaError> {
        ballast::hold(self.lease.gpu, leave).map_err(at("cuMemAlloc"))
    }

    /// The most that changes may hold while `leave` bytes are left.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn most(&self, leave: u64) -> Result<u64, CudaError> {
        Ok((self.held() + self.free_bytes()?).saturating_sub(leave) / GRANULE * GRANULE)
    }

    /// Takes one piece or gives some back, so that about `share` of 2^64 of [`most`](Self::most) is held. `false` where
    /// the driver refused it, or somebody else took what was to be left.
    ///
    /// # Errors
    /// What the driver answers, other than that there is no more.
    pub fn change(&mut self, leave: u64, share: u64) -> Result<bool, CudaError> {
        let granules = (u128::from(self.most(leave)? / GRANULE) * u128::from(share)) >> 64;
        let goal = u64::try_from(granules).unwrap_or(0) * GRANULE;
        let held = self.held();
        if goal > held {
            return self.take(goal - held, leave);
        }
        while self.held() > goal {
            self.give_one()?;
        }
        Ok(true)
    }

    fn held(&self) -> u64 {
        self.pieces.iter().map(|(_, bytes)| bytes).sum()
    }

    fn take(&mut self, bytes: u64, leave: u64) -> Result<bool, CudaError> {
        match self.lease.gpu.driver.alloc(bytes) {
            Ok(address) => self.pieces.push((address, bytes)),
            Err(Code::OUT_OF_MEMORY) => return Ok(false),
            Err(code) => return Err(at("cuMemAlloc")(code)),
        }
        let enough = self.free_bytes()? >= leave;
        if !enough {
            self.give_one()?;
        }
        Ok(enough)
    }

    /// Gives back what was taken last.
    fn give_one(&mut self) -> Result<(), CudaError> {
        let Some((address, _)) = self.pieces.pop() else { return Ok(()) };
        self.lease.gpu.driver.free(address).map_err(at("cuMemFree"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        while !self.pieces.is_empty() {
            if let Err(error) = self.give_one() {
                log::warn!("{error}");
            }
        }
        if let Err(code) = ballast::drop_all(self.lease.gpu) {
            log::warn!("cuMemFree failed with error {code}");
        }
    }
}
