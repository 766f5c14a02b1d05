//! What is switched while the target runs.
//!
//! Decides what it promises from then on. What a switch does is the reference's.

use super::apply::Answer;
use super::{ReferenceTarget, contract, options, page};
use crate::device::Playground;
use crate::op::{RefusalClass, Reply};
use crate::reference::Planting;

impl<D: Playground, P: Planting> ReferenceTarget<D, P> {
    /// Pages that no device maps are refused, though PyTorch would take them and serve no large request from then on.
    pub(super) fn change_settings(&mut self, text: &str) -> Answer {
        let refused = |message: String| Reply::refused(RefusalClass::InvalidArgument, message);
        let mut wanted = *self.reference.settings();
        if wanted.change(text).is_ok()
            && let Some(reason) = options::unmappable(&wanted)
        {
            return Err(refused(reason));
        }
        let changed = self.reference.change_settings(text);
        let settings = self.reference.settings();
        self.page = page(settings, self.page);
        changed.map_err(|error| refused(error.as_raised()))?;
        Ok(Reply::Terms(Box::new(contract(settings, self.page))))
    }
}
