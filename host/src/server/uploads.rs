//! Components on their way in, part by part.

use super::hub::Hub;
use atomic_store_core::Limits;
use atomic_store_core::protocol::RequestError;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// The upload of one session. An empty part that is not the last begins anew.
#[derive(Default)]
pub(crate) struct Upload {
    bytes: Vec<u8>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Upload {
    /// Adds a part; gives the whole component after the last one.
    ///
    /// # Errors
    /// `Invalid` above the cap, `Overloaded` while too many others upload. The upload is then gone.
    pub(crate) fn part(
        &mut self,
        hub: &Hub,
        part: &[u8],
        last: bool,
    ) -> Result<Option<Upload>, RequestError> {
        if part.is_empty() && !last {
            *self = Upload::default();
            return Ok(None);
        }
        let added = self.add(hub, part);
        if last || added.is_err() {
            let whole = std::mem::take(self);
            return added.map(|()| Some(whole));
        }
        Ok(None)
    }

    fn add(&mut self, hub: &Hub, part: &[u8]) -> Result<(), RequestError> {
        let limits: &Limits = hub.engine.limits();
        let bytes = self.bytes.len() + part.len();
        limits
            .check_component(bytes)
            .map_err(|invalid| RequestError::Invalid { field: invalid.field, why: invalid.why })?;
        if self.permit.is_none() {
            let permit = Arc::clone(&hub.uploads).try_acquire_owned();
            let why = "others are loading validators; try again in a moment";
            self.permit = Some(permit.map_err(|_| RequestError::Overloaded(why.to_owned()))?);
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
