//! Events as the contract's `packed` interface has them: one piece of memory for the guest instead of
//! a dozen.

use atomic_store_core::record::BodyIn;
use atomic_store_core::{Proposal, Seq};

/// No time of the caller.
const NO_TIME: u64 = u64::MAX;
/// More than what an event needs beside its texts and its payload, if it has neither keys nor metadata.
const FIXED_BYTES: usize = 64;

/// Events, one behind the other.
pub(super) fn events(events: &[BodyIn<'_>]) -> Vec<u8> {
    let size = |event: &BodyIn<'_>| {
        FIXED_BYTES + event.kind.len() + event.content_type.as_str().len() + event.payload.len()
    };
    let mut bytes = Vec::with_capacity(events.iter().map(size).sum());
    for event in events {
        numbers(&mut bytes, event.seq, event.host_ms, event.caller_ms);
        for part in [event.kind.as_bytes(), event.content_type.as_str().as_bytes(), event.payload] {
            piece(&mut bytes, part);
        }
        pairs(&mut bytes, event.keys.iter().map(|key| (key.kind, key.id)));
        pairs(&mut bytes, event.metadata.iter().copied());
    }
    bytes
}

/// A proposal, as the event that it would become.
pub(super) fn proposal(proposal: &Proposal, seq: Seq, host_ms: u64) -> Vec<u8> {
    let content_type = proposal.content_type.as_str();
    let size = proposal.kind.len() + content_type.len() + proposal.payload.len();
    let mut bytes = Vec::with_capacity(FIXED_BYTES + size);
    numbers(&mut bytes, seq, host_ms, proposal.caller_ms);
    for part in [proposal.kind.as_bytes(), content_type.as_bytes(), &proposal.payload] {
        piece(&mut bytes, part);
    }
    pairs(&mut bytes, proposal.keys.iter().map(|key| (key.kind.as_str(), key.id.as_str())));
    pairs(
        &mut bytes,
        proposal.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())),
    );
    bytes
}

fn numbers(bytes: &mut Vec<u8>, seq: Seq, host_ms: u64, caller_ms: Option<u64>) {
    for number in [seq.0, host_ms, caller_ms.unwrap_or(NO_TIME)] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

fn piece(bytes: &mut Vec<u8>, piece: &[u8]) {
    count(bytes, piece.len());
    bytes.extend_from_slice(piece);
}

fn pairs<'a>(bytes: &mut Vec<u8>, pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
    count(bytes, pairs.len());
    for (one, other) in pairs {
        piece(bytes, one.as_bytes());
        piece(bytes, other.as_bytes());
    }
}

/// Lengths have 32 bits in the sandbox. More would not fit into its memory, and the call fails there.
fn count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}
