//! A look through a large append before it is decoded.
//!
//! Decoding makes structures many times larger than their bytes: two bytes can be an empty key of 48.
//! So the lists of a large frame are counted first, without keeping anything, and one that breaks a
//! cap is refused at the price of its bytes.

use crate::engine::as_request_error;
use atomic_store_core::codec::CodecError;
use atomic_store_core::protocol::Reply;
use atomic_store_core::record::KeyIn;
use atomic_store_core::{
    Answer, AppendId, ContentType, ExpectedHead, Invalid, JointAnswer, JointOutcome, Limits,
    Outcome, PartOutcome, ScopeName, Seq,
};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The number of `Request::Append` among the requests.
const APPEND: u32 = 0;

/// The number of `Request::AppendJoint`.
const APPEND_JOINT: u32 = 16;
/// The number of `Request::Judge`.
const JUDGE: u32 = 17;

/// The call, and what is too much in it. Nothing for other requests and for what is fine.
///
/// # Errors
/// Why it cannot be a request. It must not be decoded then: that could take memory for all of the lists
/// before it finds out.
pub(crate) fn too_much(body: &[u8], limits: &Limits) -> Result<Option<(u64, Invalid)>, String> {
    let ((call, request), _): ((u64, u32), _) =
        postcard::take_from_bytes(body).map_err(malformed)?;
    let (parts, found) = match request {
        APPEND => {
            let (skim, _): (Skim<'_>, _) = postcard::take_from_bytes(body).map_err(malformed)?;
            let condition = skim.condition.as_ref();
            let [resolved, watched] = condition.map_or([0, 0], ConditionSkim::lists);
            let [keys, triggers, pairs] = skim.proposals.most;
            (0, [skim.proposals.count, resolved, watched, keys, triggers, pairs])
        }
        APPEND_JOINT => {
            let (skim, _): (JointSkim<'_>, _) =
                postcard::take_from_bytes(body).map_err(malformed)?;
            (skim.parts.count, skim.parts.most)
        }
        JUDGE => return too_many_reasons(body, call, limits),
        _ => return Ok(None),
    };
    let caps = [
        ("proposals", limits.append_events_max),
        ("resolved", limits.resolved_max),
        ("condition keys", limits.keys_max),
        ("keys", limits.keys_max),
        ("triggers", limits.keys_max),
        ("metadata", limits.metadata_max),
    ];
    let lists = caps.into_iter().zip(found).map(|((field, max), found)| (field, found, max));
    let mut lists = std::iter::once(("parts", parts, limits.parts_max)).chain(lists);
    Ok(lists.find(|(_, found, max)| found > max).map(|found| (call, too_long(found))))
}

fn too_long((field, found, max): (&str, usize, usize)) -> Invalid {
    Invalid::new(field, format!("{found} in the list, at most {max} are allowed"))
}

/// What the session is told that sent such a frame; the same as when decoding finds it out.
pub(super) fn malformed(why: postcard::Error) -> String {
    format!("a frame is not a request: {}", CodecError::Malformed(why))
}

fn too_many_reasons(
    body: &[u8],
    call: u64,
    limits: &Limits,
) -> Result<Option<(u64, Invalid)>, String> {
    let (skim, _): (JudgeSkim<'_>, _) = postcard::take_from_bytes(body).map_err(malformed)?;
    let VerdictSkim::Fail { reasons, .. } = skim.verdict else { return Ok(None) };
    let lists = [
        ("reasons", reasons.count, limits.reasons_max),
        ("reason seqs", reasons.most[0], limits.append_events_max),
    ];
    let found = lists.into_iter().find(|(_, found, max)| found > max);
    Ok(found.map(|found| (call, too_long(found))))
}

/// The answer to a request with too much in it.
pub(crate) fn refusal(body: &[u8], invalid: Invalid) -> Reply {
    let outcome = Outcome::Invalid { field: invalid.field, why: invalid.why };
    match postcard::take_from_bytes::<(u64, u32)>(body) {
        Ok(((_, APPEND_JOINT), _)) => {
            let outcome =
                JointOutcome::Refused(PartOutcome { scope: ScopeName::system(), outcome });
            Reply::Joint(JointAnswer { outcome, duplicate: false })
        }
        Ok(((_, JUDGE), _)) => Reply::Error(as_request_error(outcome)),
        _ => Reply::Answer(Answer { outcome, duplicate: false }),
    }
}

/// The shape of a `ClientFrame` with the answer to a question.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
struct JudgeSkim<'a> {
    call: u64,
    request: u32,
    correlation: u64,
    #[serde(borrow)]
    verdict: VerdictSkim<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
enum VerdictSkim<'a> {
    Pass {
        reason: Option<&'a str>,
        #[serde(borrow, with = "serde_bytes")]
        meta: Option<&'a [u8]>,
    },
    Fail {
        #[serde(borrow)]
        reasons: Count<ReasonSkim<'a>, 1>,
        #[serde(borrow, with = "serde_bytes")]
        meta: Option<&'a [u8]>,
    },
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
struct ReasonSkim<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(borrow, with = "serde_bytes")]
    data: Option<&'a [u8]>,
    seqs: Count<Seq>,
}

/// The shape of a `ClientFrame` with a joint append.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
struct JointSkim<'a> {
    call: u64,
    request: u32,
    id: AppendId,
    repeated: bool,
    dry_run: bool,
    #[serde(borrow)]
    parts: Count<PartSkim<'a>, 6>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the other fields are there to be skipped")]
struct PartSkim<'a> {
    scope: &'a str,
    expected_head: ExpectedHead,
    #[serde(borrow)]
    condition: Option<ConditionSkim<'a>>,
    #[serde(borrow)]
    proposals: Count<ProposalSkim<'a>>,
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

impl ConditionSkim<'_> {
    fn lists(&self) -> [usize; 2] {
        [self.resolved.count, self.keys.count]
    }
}

/// A list of which only the length is kept, and the longest of the lists within.
pub(super) struct Count<T, const LISTS: usize = 3> {
    pub(super) count: usize,
    pub(super) most: [usize; LISTS],
    kind: PhantomData<T>,
}

/// How long the lists within an element are.
pub(super) trait Lists<const LISTS: usize = 3> {
    fn lists(&self) -> [usize; LISTS];
}

impl Lists<1> for ReasonSkim<'_> {
    fn lists(&self) -> [usize; 1] {
        [self.seqs.count]
    }
}

impl Lists<6> for PartSkim<'_> {
    fn lists(&self) -> [usize; 6] {
        let [resolved, watched] = self.condition.as_ref().map_or([0, 0], ConditionSkim::lists);
        let [keys, triggers, pairs] = self.proposals.most;
        [self.proposals.count, resolved, watched, keys, triggers, pairs]
    }
}

impl Lists for ProposalSkim<'_> {
    fn lists(&self) -> [usize; 3] {
        [self.keys.count, self.triggers.count, self.metadata.count]
    }
}

impl Lists for Seq {
    fn lists(&self) -> [usize; 3] {
        [0; 3]
    }
}

impl Lists for &str {
    fn lists(&self) -> [usize; 3] {
        [0; 3]
    }
}

impl Lists for KeyIn<'_> {
    fn lists(&self) -> [usize; 3] {
        [0; 3]
    }
}

impl Lists for (&str, &str) {
    fn lists(&self) -> [usize; 3] {
        [0; 3]
    }
}

impl<'de, T: Deserialize<'de> + Lists<N>, const N: usize> Deserialize<'de> for Count<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting(PhantomData))
    }
}

struct Counting<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Lists<N>, const N: usize> Visitor<'de> for Counting<T, N> {
    type Value = Count<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut counted = Count { count: 0, most: [0; N], kind: PhantomData };
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
    use atomic_store_core::{
        Append, Condition, JointAppend, Key, OriginatorVerdict, Part, Proposal, Reason, codec,
    };

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
        let found = |proposals| {
            too_much(&frame(proposals), &limits).unwrap().map(|(call, i)| (call, i.field))
        };
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
            let found = too_much(&codec::encode(&frame).unwrap(), &limits).unwrap();
            found.map(|(call, i)| (call, i.field))
        };
        assert_eq!(found(1_000, 32), None);
        assert_eq!(found(1_001, 0), Some((7, "resolved".to_owned())));
        assert_eq!(found(0, 33), Some((7, "condition keys".to_owned())));
    }

    #[test]
    fn the_lists_of_a_joint_append_are_counted_too() {
        let limits = Limits::default();
        let found = |parts: usize, proposals, resolved| {
            let condition = Condition { resolved: vec![Seq(9); resolved], ..Condition::default() };
            let part = Part {
                condition: Some(condition),
                ..Part::new(ScopeName::new("a").unwrap(), vec![Proposal::default(); proposals])
            };
            let (id, parts) = (AppendId::default(), vec![part; parts]);
            let joint = JointAppend { id, repeated: false, dry_run: false, parts };
            let request = Request::AppendJoint(joint);
            let frame = codec::encode(&ClientFrame { call: 7, request }).unwrap();
            too_much(&frame, &limits).unwrap().map(|(call, i)| (call, i.field))
        };
        assert_eq!(found(16, 1_000, 1_000), None);
        assert_eq!(found(17, 1, 0), Some((7, "parts".to_owned())));
        assert_eq!(found(2, 1_001, 0), Some((7, "proposals".to_owned())));
        assert_eq!(found(2, 1, 1_001), Some((7, "resolved".to_owned())));
    }

    #[test]
    fn the_reasons_of_a_verdict_are_counted_too() {
        let limits = Limits::default();
        let found = |reasons, seqs| {
            let (code, message) = (String::new(), String::new());
            let reason = Reason { code, message, data: Some(vec![7; 3]), seqs: vec![Seq(9); seqs] };
            let reasons = vec![reason; reasons];
            let verdict = OriginatorVerdict::Fail { reasons, meta: Some(vec![1; 300]) };
            let request = Request::Judge { correlation: 1 << 40, verdict };
            let frame = codec::encode(&ClientFrame { call: 7, request }).unwrap();
            too_much(&frame, &limits).unwrap().map(|(call, i)| (call, i.field))
        };
        assert_eq!(found(16, 1_000), None);
        assert_eq!(found(17, 0), Some((7, "reasons".to_owned())));
        assert_eq!(found(2, 1_001), Some((7, "reason seqs".to_owned())));
    }

    #[test]
    fn other_requests_are_left_to_the_decoder() {
        let frame = ClientFrame { call: 1, request: Request::Status };
        let found = too_much(&codec::encode(&frame).unwrap(), &Limits::default());
        assert_eq!(found, Ok(None));
    }

    /// The lists of such a frame used to be left to the decoder, which made structures of all of
    /// them, many times larger than the frame, before it met the missing end.
    #[test]
    fn an_append_that_breaks_off_behind_its_lists_is_refused_before_it_is_decoded() {
        let whole = frame(vec![Proposal::default(); 2_000]);
        for cut in [1, whole.len() / 2, whole.len() - 40] {
            let cut = &whole[..whole.len() - cut];
            assert!(too_much(cut, &Limits::default()).is_err(), "{} bytes", cut.len());
        }
        assert!(too_much(b"garbage", &Limits::default()).is_ok_and(|found| found.is_none()));
    }
}
