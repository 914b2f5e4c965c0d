//! A look through a large read before it is decoded: the lists of its filter are counted, as those of
//! an append are; see `skim.rs`.

use super::skim::{Count, malformed};
use atomic_store_core::record::KeyIn;
use atomic_store_core::{Invalid, Limits, Position, Seq};
use serde::Deserialize;

/// The numbers of the requests with a filter.
const READ: u32 = 1;
const READ_ORDER: u32 = 2;
const SUBSCRIBE: u32 = 3;
const SUBSCRIBE_ORDER: u32 = 4;
const RESUME_REPLAY: u32 = 26;

/// The call, and which list of its filter is too long. Nothing for other requests and for what is fine.
///
/// # Errors
/// Why it cannot be a request. It must not be decoded then: that could take memory for all of the lists
/// before it finds out.
pub(crate) fn too_much(body: &[u8], limits: &Limits) -> Result<Option<(u64, Invalid)>, String> {
    let ((call, request), rest): ((u64, u32), _) =
        postcard::take_from_bytes(body).map_err(malformed)?;
    let Some(filter) = filter(request, rest).map_err(malformed)? else { return Ok(None) };
    let lists = [
        ("filter.keys", filter.keys.count),
        ("filter.key_kinds", filter.key_kinds.count),
        ("filter.kinds", filter.kinds.count),
        ("filter.triggers", filter.triggers.count),
    ];
    let max = limits.filter_max;
    Ok(lists.into_iter().find(|(_, found)| *found > max).map(|(field, found)| {
        (call, Invalid::new(field, format!("{found} in the list, at most {max} are allowed")))
    }))
}

fn filter(request: u32, rest: &[u8]) -> postcard::Result<Option<FilterSkim<'_>>> {
    // Each shape is what comes before the filter.
    type Read<'a> = (&'a str, Seq, Seq, u64, bool);
    type ReadOrder = (Position, Position, u64, bool);
    type Resume<'a> = (&'a str, Seq, Seq, Seq, Option<u64>);
    let rest = match request {
        READ => behind::<Read<'_>>(rest)?,
        READ_ORDER => behind::<ReadOrder>(rest)?,
        SUBSCRIBE => behind::<(&str, Seq)>(rest)?,
        SUBSCRIBE_ORDER => behind::<Position>(rest)?,
        RESUME_REPLAY => behind::<Resume<'_>>(rest)?,
        _ => return Ok(None),
    };
    postcard::take_from_bytes(rest).map(|(filter, _)| Some(filter))
}

fn behind<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> postcard::Result<&'a [u8]> {
    postcard::take_from_bytes::<T>(bytes).map(|(_, rest)| rest)
}

/// The shape of a `Filter`, as far as its lists go.
#[derive(Deserialize)]
struct FilterSkim<'a> {
    #[serde(borrow)]
    keys: Count<KeyIn<'a>>,
    #[serde(borrow)]
    key_kinds: Count<&'a str>,
    #[serde(borrow)]
    kinds: Count<&'a str>,
    #[serde(borrow)]
    triggers: Count<KeyIn<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_core::protocol::{ClientFrame, Replay, Request};
    use atomic_store_core::{Filter, Key, ScopeName, codec};

    fn requests(filter: &Filter) -> Vec<Request> {
        let scope = ScopeName::new("auction/1").unwrap();
        let (after, through, limit, backwards) = (Seq(1 << 40), Seq::MAX, u64::MAX, true);
        let (filter, replay) = (filter.clone(), Replay::Touched);
        vec![
            Request::Read {
                scope: scope.clone(),
                after,
                through,
                limit,
                backwards,
                filter: filter.clone(),
                replay,
            },
            Request::ReadOrder {
                after: Position(3),
                through: Position(u64::MAX),
                limit,
                backwards,
                filter: filter.clone(),
            },
            Request::Subscribe { scope: scope.clone(), after, filter: filter.clone(), replay },
            Request::SubscribeOrder { after: Position(3), filter: filter.clone() },
            Request::ResumeReplay {
                scope,
                after,
                through,
                past: Seq(9),
                limit: Some(4),
                filter,
                replay,
            },
        ]
    }

    #[test]
    fn lists_at_their_cap_pass_and_one_more_is_named_in_every_request() {
        let limits = Limits::default();
        let key = |n: usize| vec![Key::new("", ""); n];
        let text = |n: usize| vec![String::new(); n];
        let with = |k, kk, ki, t| Filter {
            keys: key(k),
            key_kinds: text(kk),
            kinds: text(ki),
            triggers: key(t),
            ..Filter::default()
        };
        let cases = [
            (with(64, 64, 64, 64), None),
            (with(65, 0, 0, 0), Some("filter.keys")),
            (with(1, 65, 0, 0), Some("filter.key_kinds")),
            (with(1, 1, 65, 0), Some("filter.kinds")),
            (with(1, 1, 1, 65), Some("filter.triggers")),
        ];
        for (filter, expected) in cases {
            for request in requests(&filter) {
                let frame = codec::encode(&ClientFrame { call: 7, request }).unwrap();
                let found = too_much(&frame, &limits).unwrap();
                let found = found.map(|(call, invalid)| (call, invalid.field));
                assert_eq!(found, expected.map(|field| (7, field.to_owned())));
                assert!(too_much(&frame[..frame.len() / 2], &limits).is_err() || found.is_some());
            }
        }
        let other = codec::encode(&ClientFrame { call: 7, request: Request::Status }).unwrap();
        assert_eq!(too_much(&other, &limits), Ok(None));
    }
}
