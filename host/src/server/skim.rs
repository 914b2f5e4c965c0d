//! A look through a large append before it is decoded.
//!
//! Decoding makes structures many times larger than their bytes: two bytes can be an empty key of 48.
//! So the lists of a large frame are counted first, without keeping anything, and one that breaks a
//! cap is refused at the price of its bytes.

use atomic_store_core::record::KeyIn;
use atomic_store_core::{AppendId, ContentType, ExpectedHead, Invalid, Limits, Seq};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The number of `Request::Append` among the requests.
const APPEND: u32 = 0;

/// The call, and what is too much in it. Nothing for other requests, for what is fine, and for what
/// is no request at all, which decoding will find out.
pub(crate) fn too_much(body: &[u8], limits: &Limits) -> Option<(u64, Invalid)> {
    let ((call, request), _): ((u64, u32), _) = postcard::take_from_bytes(body).ok()?;
    if request != APPEND {
        return None;
    }
    let (skim, _): (Skim<'_>, _) = postcard::take_from_bytes(body).ok()?;
    let condition = skim.condition.as_ref();
    let condition = condition.map_or((0, 0), |c| (c.resolved.count, c.keys.count));
    let cap = |field: &str, found: usize, max: usize| {
        let why = || format!("{found} in the list, at most {max} are allowed");
        (found > max).then(|| (call, Invalid::new(field, why())))
    };
    cap("proposals", skim.proposals.count, limits.append_events_max)
        .or_else(|| cap("resolved", condition.0, limits.resolved_max))
        .or_else(|| cap("condition keys", condition.1, limits.keys_max))
        .or_else(|| cap("keys", skim.proposals.most[0], limits.keys_max))
        .or_else(|| cap("triggers", skim.proposals.most[1], limits.keys_max))
        .or_else(|| cap("metadata", skim.proposals.most[2], limits.metadata_max))
}

/// The shape of a `ClientFrame` with an append.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
struct Skim<'a> {
    call: u64,
    request: u32,
    scope: &'a str,
    id: AppendId,
    repeated: bool,
    expected_head: ExpectedHead,
    #[serde(borrow)]
    condition: Option<ConditionSkim<'a>>,
    dry_run: bool,
    known: Seq,
    #[serde(borrow)]
    proposals: Count<ProposalSkim<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
struct ConditionSkim<'a> {
    since: Seq,
    resolved: Count<Seq>,
    #[serde(borrow)]
    keys: Count<KeyIn<'a>>,
    all: bool,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
pub(super) struct ProposalSkim<'a> {
    kind: &'a str,
    content_type: ContentType,
    #[serde(borrow, with = "serde_bytes")]
    payload: &'a [u8],
    #[serde(borrow)]
    keys: Count<KeyIn<'a>>,
    #[serde(borrow)]
    triggers: Count<KeyIn<'a>>,
    #[serde(borrow)]
    metadata: Count<(&'a str, &'a str)>,
    caller_ms: Option<u64>,
}

/// A list of which only the length is kept, and the longest of the lists within.
pub(super) struct Count<T> {
    pub(super) count: usize,
    pub(super) most: [usize; 4],
    kind: PhantomData<T>,
}

/// How long the lists within an element are.
pub(super) trait Lists {
    fn lists(&self) -> [usize; 4];
}

impl Lists for ProposalSkim<'_> {
    fn lists(&self) -> [usize; 4] {
        [self.keys.count, self.triggers.count, self.metadata.count, 0]
    }
}

impl Lists for Seq {
    fn lists(&self) -> [usize; 4] {
        [0; 4]
    }
}

impl Lists for &str {
    fn lists(&self) -> [usize; 4] {
        [0; 4]
    }
}

impl Lists for KeyIn<'_> {
    fn lists(&self) -> [usize; 4] {
        [0; 4]
    }
}

impl Lists for (&str, &str) {
    fn lists(&self) -> [usize; 4] {
        [0; 4]
    }
}

impl<'de, T: Deserialize<'de> + Lists> Deserialize<'de> for Count<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting(PhantomData))
    }
}

struct Counting<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Lists> Visitor<'de> for Counting<T> {
    type Value = Count<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count<T>, A::Error> {
        let mut counted = Count { count: 0, most: [0; 4], kind: PhantomData };
        while let Some(element) = list.next_element::<T>()? {
            counted.count += 1;
            for (most, found) in counted.most.iter_mut().zip(element.lists()) {
                *most = (*most).max(found);
            }
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_core::protocol::{ClientFrame, Request};
    use atomic_store_core::{Append, Key, Proposal, ScopeName, codec};

    fn frame(proposals: Vec<Proposal>) -> Vec<u8> {
        let scope = ScopeName::new("a").unwrap();
        let append = Append::new(scope, AppendId::default(), proposals);
        codec::encode(&ClientFrame { call: 7, request: Request::Append(append) }).unwrap()
    }

    #[test]
    fn lists_at_their_caps_pass_and_one_more_is_named() {
        let limits = Limits::default();
        let key = Key { kind: String::new(), id: String::new() };
        let pair = (String::from("a"), String::new());
        let with = |keys, triggers, pairs| Proposal {
            content_type: ContentType::Other("x/y".to_owned()),
            payload: vec![1; 300],
            keys: vec![key.clone(); keys],
            triggers: vec![key.clone(); triggers],
            metadata: vec![pair.clone(); pairs],
            caller_ms: Some(1 << 40),
            ..Proposal::default()
        };
        let found =
            |proposals| too_much(&frame(proposals), &limits).map(|(call, i)| (call, i.field));
        assert_eq!(found(vec![with(32, 32, 32); 1_000]), None);
        assert_eq!(found(vec![with(0, 0, 0); 1_001]), Some((7, "proposals".to_owned())));
        let last = |proposal| vec![with(1, 1, 1), with(0, 0, 0), proposal];
        assert_eq!(found(last(with(33, 0, 0))), Some((7, "keys".to_owned())));
        assert_eq!(found(last(with(0, 33, 0))), Some((7, "triggers".to_owned())));
        assert_eq!(found(last(with(0, 0, 33))), Some((7, "metadata".to_owned())));
    }

    #[test]
    fn the_lists_of_a_condition_are_counted_too() {
        let limits = Limits::default();
        let found = |resolved, keys| {
            let scope = ScopeName::new("a").unwrap();
            let append = Append::new(scope, AppendId::default(), vec![Proposal::default(); 3])
                .resolved(vec![Seq(1 << 40); resolved])
                .watch(vec![Key { kind: String::new(), id: String::new() }; keys]);
            let frame = ClientFrame { call: 7, request: Request::Append(append) };
            too_much(&codec::encode(&frame).unwrap(), &limits).map(|(call, i)| (call, i.field))
        };
        assert_eq!(found(1_000, 32), None);
        assert_eq!(found(1_001, 0), Some((7, "resolved".to_owned())));
        assert_eq!(found(0, 33), Some((7, "condition keys".to_owned())));
    }

    #[test]
    fn other_requests_are_left_to_the_decoder() {
        let frame = ClientFrame { call: 1, request: Request::Status };
        assert!(too_much(&codec::encode(&frame).unwrap(), &Limits::default()).is_none());
        assert!(too_much(b"garbage", &Limits::default()).is_none());
    }
}
