//! Loading a validator: its bytes in parts, in order, over one connection.

use crate::client::{Loaded, loaded};
use crate::feed::unexpected;
use crate::shared::CallRules;
use crate::{Client, ClientError};
use atomic_store_core::protocol::{Reply, Request};
use std::time::Instant;

const PART_BYTES: usize = 1024 * 1024;

impl Client {
    /// Loads a validator. Loading the same bytes again changes nothing.
    ///
    /// An upload that the loss of the connection interrupts begins anew after the reconnect.
    ///
    /// # Errors
    /// [`ClientError::Request`] says why the component was not admitted.
    pub async fn load_validator(&self, component: &[u8]) -> Result<Loaded, ClientError> {
        // Parts of two uploads must not mix on the one connection.
        let _alone = self.handle.upload.lock().await;
        let give_up = Instant::now() + self.handle.shared.options.retry_for;
        loop {
            match self.upload(component).await {
                Err(ClientError::Closed { .. })
                    if self.handle.shared.reconnects && Instant::now() < give_up => {}
                end => return end,
            }
        }
    }

    async fn upload(&self, component: &[u8]) -> Result<Loaded, ClientError> {
        // An empty part begins anew, whatever an abandoned upload left behind. Sent under no
        // condition, it also waits for the link.
        let begin = Request::LoadValidator { part: Vec::new(), last: false };
        match self.call(begin, CallRules::default()).await? {
            Reply::Done => {}
            other => return Err(unexpected(&other)),
        }
        let link = Some(self.handle.shared.lock().links);
        let rules = CallRules { resend: false, link };
        let room = self.limits().frame_bytes_max.saturating_sub(64).clamp(1, PART_BYTES);
        let mut parts = component.chunks(room).peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let request = Request::LoadValidator { part: part.to_vec(), last };
            match self.call(request, rules).await? {
                Reply::Done if !last => {}
                Reply::Validator { info, new, bindings } if last => {
                    return Ok(Loaded { info, new, bindings });
                }
                other => return Err(unexpected(&other)),
            }
        }
        let empty = Request::LoadValidator { part: Vec::new(), last: true };
        loaded(self.call(empty, rules).await?)
    }
}
