//! A replay bundle: all that one verdict depended on, in one file. Whoever has it can ask again without
//! a store.
//!
//! ```text
//! "atomic-store bundle 1\n" | BLAKE3 of the rest, 32 bytes | postcard of [`Bundle`]
//! ```

use crate::chain::Walk;
use crate::codec::{self, CodecError};
use crate::record::RecordView;
use crate::{Digest, Limits, Outcome, Proposal, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// What every bundle begins with; the number is the version of the format.
const MAGIC: &[u8] = b"atomic-store bundle 1\n";

/// All that one verdict depended on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The scope.
    pub scope: ScopeName,
    /// The validator's component.
    #[serde(with = "serde_bytes")]
    pub component: Vec<u8>,
    /// Its configuration.
    #[serde(with = "serde_bytes")]
    pub config: Option<Vec<u8>>,
    /// The state to begin with, if the events before it are not here.
    #[serde(with = "serde_bytes")]
    pub snapshot: Option<Vec<u8>>,
    /// The event before the first one here.
    pub after: Seq,
    /// The chain's hash there.
    pub hash: Digest,
    /// The events up to the head that the verdict was given at, as they are stored.
    pub records: Vec<serde_bytes::ByteBuf>,
    /// The store's time of the append.
    pub host_ms: u64,
    /// What was proposed.
    pub proposals: Vec<Proposal>,
    /// What the client was told, if it was told something.
    pub recorded: Option<Outcome>,
    /// The store's caps: a fault may be one of them.
    pub limits: Box<Limits>,
}

/// What a replay of a bundle gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The outcome. Positions and the hash in it are zero: nothing was stored.
    pub outcome: Outcome,
    /// Which call ended it: `start`, `fold`, `judge`, or `apply` if it was accepted and could not be
    /// folded.
    pub call: &'static str,
    /// Whether it is what the client was told, if that is known. Of a fault the kind counts.
    pub same: Option<bool>,
}

/// Bytes that are not a whole bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Over the cap.
    #[error("{0} bytes, at most {max} are allowed", max = Limits::BUNDLE_BYTES_MAX)]
    TooLarge(usize),
    /// Something else, or another version.
    #[error("this is not a bundle of this version; make one with: atomic-store validator bundle")]
    Foreign,
    /// The file is not the one that was written.
    #[error("the bundle is damaged: its digest does not match its content")]
    Digest,
    /// It cannot be decoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Its events do not follow from each other.
    #[error("its events are damaged: {0}")]
    Chain(String),
}

impl Bundle {
    /// The head that the verdict was given at.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.after.plus(self.records.len() as u64)
    }

    /// The file.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let mut bytes = MAGIC.to_vec();
        bytes.resize(MAGIC.len() + 32, 0);
        let mut bytes = codec::encode_into(self, bytes)?;
        let digest = Digest::of(&bytes[MAGIC.len() + 32..]);
        bytes[MAGIC.len()..MAGIC.len() + 32].copy_from_slice(&digest.0);
        match bytes.len() {
            len if len > Limits::BUNDLE_BYTES_MAX => Err(BundleError::TooLarge(len)),
            _ => Ok(bytes),
        }
    }

    /// The bundle in a file: whole, unchanged, and with events that follow from each other.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn decode(bytes: &[u8]) -> Result<Bundle, BundleError> {
        if bytes.len() > Limits::BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge(bytes.len()));
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(BundleError::Foreign)?;
        let (digest, body) = rest.split_first_chunk::<32>().ok_or(BundleError::Digest)?;
        if Digest::of(body).0 != *digest {
            return Err(BundleError::Digest);
        }
        let bundle: Bundle = codec::decode(body)?;
        let mut walk = Walk::from(bundle.after, bundle.hash);
        for record in &bundle.records {
            let body = walk.step(record).map(|view: RecordView<'_>| view.decode());
            match body {
                Ok(Ok(_)) => {}
                Ok(Err(why)) => return Err(BundleError::Chain(why.to_string())),
                Err(why) => return Err(BundleError::Chain(why.to_string())),
            }
        }
        Ok(bundle)
    }
}

/// What to make a bundle of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BundleOf {
    /// An entry of the journal of rejections whose payload was kept.
    Rejection(u64),
    /// These proposals, as an append to the last durable event.
    Proposals(Vec<Proposal>),
}
