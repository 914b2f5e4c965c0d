//! Loading a validator: its bytes in parts, in order, over one connection.

use crate::client::{Loaded, loaded};
use crate::feed::unexpected;
use crate::shared::CallRules;
use crate::{Client, ClientError};
use atomic_store_core::protocol::{Admitted, Reply, Request};
use atomic_store_core::{LoadOptions, ValidatorRef};
use std::time::Instant;

const PART_BYTES: usize = 1024 * 1024;
/// Bytes of a frame that a part leaves to what comes with it.
const SLACK_BYTES: usize = 16 * 1024;

/// One request for one part of a component, the last or not.
type Part<'a> = &'a (dyn Fn(Vec<u8>, bool) -> Request + Sync);

impl Client {
    /// Loads a validator. Loading the same bytes again changes nothing.
    ///
    /// An upload that the loss of the connection interrupts begins anew after the reconnect.
    ///
    /// # Errors
    /// [`ClientError::Request`] says why the component was not admitted.
    pub async fn load_validator(&self, component: &[u8]) -> Result<Loaded, ClientError> {
        let part = |part, last| Request::LoadValidator { part, last };
        loaded(self.upload(component, &part).await?)
    }

    /// The same, with a say in how it is let in, and with what its self-test found. With
    /// [`LoadOptions::check_only`] nothing is stored.
    ///
    /// # Errors
    /// [`ClientError::Request`] says why the component was not admitted.
    pub async fn admit_validator(
        &self,
        component: &[u8],
        options: &LoadOptions,
    ) -> Result<Admitted, ClientError> {
        let part = |part, last: bool| Request::AdmitValidator {
            part,
            last: last.then(|| options.clone()),
        };
        admitted(self.upload(component, &part).await?)
    }

    /// What a validator was given when it was loaded.
    ///
    /// # Errors
    /// [`ClientError::Request`] if there is none.
    pub async fn show_admission(&self, which: ValidatorRef) -> Result<Admitted, ClientError> {
        let request = Request::ShowAdmission { validator: which };
        admitted(self.call(request, CallRules { resend: true, link: None }).await?)
    }

    /// Sends a component for one backtest; nothing is loaded.
    pub(crate) async fn offer_validator(&self, component: &[u8]) -> Result<Loaded, ClientError> {
        let _alone = self.handle.upload.lock().await;
        let part = |part, last| Request::OfferValidator { part, last };
        loaded(self.upload_once(component, &part).await?)
    }

    async fn upload(&self, component: &[u8], part: Part<'_>) -> Result<Reply, ClientError> {
        // Parts of two uploads must not mix on the one connection.
        let _alone = self.handle.upload.lock().await;
        let give_up = Instant::now() + self.handle.shared.options.retry_for;
        loop {
            match self.upload_once(component, part).await {
                Err(ClientError::Closed { .. })
                    if self.handle.shared.reconnects && Instant::now() < give_up => {}
                end => return end,
            }
        }
    }

    async fn upload_once(&self, component: &[u8], part: Part<'_>) -> Result<Reply, ClientError> {
        // An empty part begins anew, whatever an abandoned upload left behind. Sent under no
        // condition, it also waits for the link.
        match self.call(part(Vec::new(), false), CallRules::default()).await? {
            Reply::Done => {}
            other => return Err(unexpected(&other)),
        }
        let link = Some(self.handle.shared.lock().links);
        let rules = CallRules { resend: false, link };
        let room = self.limits().frame_bytes_max;
        let room = (room - SLACK_BYTES.min(room / 2)).clamp(1, PART_BYTES);
        let mut parts = component.chunks(room).peekable();
        while let Some(bytes) = parts.next() {
            let last = parts.peek().is_none();
            match self.call(part(bytes.to_vec(), last), rules).await? {
                Reply::Done if !last => {}
                reply if last => return Ok(reply),
                other => return Err(unexpected(&other)),
            }
        }
        self.call(part(Vec::new(), true), rules).await
    }
}

fn admitted(reply: Reply) -> Result<Admitted, ClientError> {
    match reply {
        Reply::Admitted(admitted) => Ok(*admitted),
        other => Err(unexpected(&other)),
    }
}
