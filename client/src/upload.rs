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
            match self.upload(component, load).await {
                Err(ClientError::Closed { .. })
                    if self.handle.shared.reconnects && Instant::now() < give_up => {}
                end => return end,
            }
        }
    }

    /// Sends a component for one backtest; nothing is loaded.
    pub(crate) async fn offer_validator(&self, component: &[u8]) -> Result<Loaded, ClientError> {
        let _alone = self.handle.upload.lock().await;
        self.upload(component, offer).await
    }

    async fn upload(
        &self,
        component: &[u8],
        request: fn(&[u8], bool) -> Request,
    ) -> Result<Loaded, ClientError> {
        // An empty part begins anew, whatever an abandoned upload left behind. Sent under no
        // condition, it also waits for the link.
        match self.call(request(&[], false), CallRules::default()).await? {
            Reply::Done => {}
            other => return Err(unexpected(&other)),
        }
        let link = Some(self.handle.shared.lock().links);
        let rules = CallRules { resend: false, link };
        let room = self.limits().frame_bytes_max.saturating_sub(64).clamp(1, PART_BYTES);
        let mut parts = component.chunks(room).peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            match self.call(request(part, last), rules).await? {
                Reply::Done if !last => {}
                Reply::Validator { info, new, bindings } if last => {
                    return Ok(Loaded { info, new, bindings });
                }
                other => return Err(unexpected(&other)),
            }
        }
        loaded(self.call(request(&[], true), rules).await?)
    }
}

fn load(part: &[u8], last: bool) -> Request {
    Request::LoadValidator { part: part.to_vec(), last }
}

fn offer(part: &[u8], last: bool) -> Request {
    Request::OfferValidator { part: part.to_vec(), last }
}
