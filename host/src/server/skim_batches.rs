//! A look through a large what-if before it is decoded: its batches and their lists are counted, as
//! those of an append are; see `skim.rs`.

use super::skim::{Count, Lists, ProposalSkim, malformed};
use atomic_store_core::{Invalid, Limits};
use serde::Deserialize;

/// The number of `Request::WhatIf` among the requests.
const WHAT_IF: u32 = 19;

/// The call, and which list is too long. Nothing for other requests and for what is fine.
///
/// # Errors
/// Why it cannot be a request. It must not be decoded then: that could take memory for all of the lists
/// before it finds out.
pub(crate) fn too_much(body: &[u8], limits: &Limits) -> Result<Option<(u64, Invalid)>, String> {
    let ((call, request), rest): ((u64, u32), _) =
        postcard::take_from_bytes(body).map_err(malformed)?;
    if request != WHAT_IF {
        return Ok(None);
    }
    let ((_, batches), _): ((&str, Count<Batch<'_>, 4>), _) =
        postcard::take_from_bytes(rest).map_err(malformed)?;
    // What all batches hold together is looked at once they are decoded.
    let [keys, triggers, metadata, proposals] = batches.most;
    let found = [
        ("batches", batches.count, limits.what_if_batches_max),
        ("batches", proposals, limits.append_events_max),
        ("keys", keys, limits.keys_max),
        ("triggers", triggers, limits.keys_max),
        ("metadata", metadata, limits.metadata_max),
    ];
    Ok(found.into_iter().find(|(_, found, max)| found > max).map(|(field, found, max)| {
        (call, Invalid::new(field, format!("{found} in the list, at most {max} are allowed")))
    }))
}

/// One batch.
struct Batch<'a>(Count<ProposalSkim<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Batch<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Count::deserialize(deserializer).map(Batch)
    }
}

impl Lists<4> for Batch<'_> {
    fn lists(&self) -> [usize; 4] {
        let [keys, triggers, metadata] = self.0.most;
        [keys, triggers, metadata, self.0.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_core::protocol::{ClientFrame, Request};
    use atomic_store_core::{Key, Proposal, ScopeName, codec};

    fn found(batches: Vec<Vec<Proposal>>) -> Option<(u64, String)> {
        let (scope, query) = (ScopeName::new("a").unwrap(), None);
        let request = Request::WhatIf { scope, batches, query };
        let frame = codec::encode(&ClientFrame { call: 7, request }).unwrap();
        let found = too_much(&frame, &Limits::default()).unwrap();
        assert!(too_much(&frame[..frame.len() / 2], &Limits::default()).is_err());
        found.map(|(call, invalid)| (call, invalid.field))
    }

    #[test]
    fn batches_and_lists_at_their_caps_pass_and_one_more_is_named() {
        let with = |keys, triggers, pairs| Proposal {
            keys: vec![Key::new("", ""); keys],
            triggers: vec![Key::new("", ""); triggers],
            metadata: vec![(String::new(), String::new()); pairs],
            ..Proposal::default()
        };
        let named = |field: &str| Some((7, field.to_owned()));
        assert_eq!(found(vec![vec![with(32, 32, 32); 3]; 100]), None);
        assert_eq!(found(vec![vec![with(0, 0, 0)]; 101]), named("batches"));
        assert_eq!(found(vec![vec![with(0, 0, 0)], vec![with(0, 0, 0); 1_001]]), named("batches"));
        assert_eq!(found(vec![vec![with(1, 1, 1)], vec![with(33, 0, 0)]]), named("keys"));
        assert_eq!(found(vec![vec![with(1, 1, 1)], vec![with(0, 33, 0)]]), named("triggers"));
        assert_eq!(found(vec![vec![with(1, 1, 1)], vec![with(0, 0, 33)]]), named("metadata"));
        let other = codec::encode(&ClientFrame { call: 7, request: Request::Status }).unwrap();
        assert_eq!(too_much(&other, &Limits::default()), Ok(None));
    }
}
