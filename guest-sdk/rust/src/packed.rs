//! Events as the contract's `packed` interface has them: plain bytes, unpacked into memory that is
//! there already.
//!
//! Invariant: [`Scratch`] is filled within a call only, so its memory is the usual allocator's and
//! outlives the call.

use crate::{Event, Key, Pair};

/// Bytes that the store would not send; a trap is the right answer.
pub(crate) const NOT_PACKED: &str = "the store packs events as the contract says";

/// No time of the caller.
const NO_TIME: u64 = u64::MAX;

/// An event whose texts and payload are overwritten by the next one, so that the usual append asks for
/// no memory.
pub(crate) struct Scratch(Event);

impl Scratch {
    pub(crate) const fn new() -> Self {
        Scratch(blank())
    }

    /// Takes one event off the front; nothing if these are not the bytes of one.
    pub(crate) fn unpack(&mut self, bytes: &mut &[u8]) -> Option<&mut Event> {
        let event = &mut self.0;
        event.seq = number(bytes)?;
        event.host_ms = number(bytes)?;
        let caller_ms = number(bytes)?;
        event.caller_ms = (caller_ms != NO_TIME).then_some(caller_ms);
        refill(&mut event.kind, piece(bytes)?)?;
        refill(&mut event.content_type, piece(bytes)?)?;
        event.payload.clear();
        event.payload.extend_from_slice(piece(bytes)?);
        event.keys.clear();
        for _ in 0..count(bytes)? {
            let (kind, id) = (text(bytes)?, text(bytes)?);
            event.keys.push(Key { kind, id });
        }
        event.metadata.clear();
        for _ in 0..count(bytes)? {
            let (name, value) = (text(bytes)?, text(bytes)?);
            event.metadata.push(Pair { name, value });
        }
        Some(event)
    }
}

/// An event without anything, and without memory.
pub(crate) const fn blank() -> Event {
    Event {
        seq: 0,
        kind: String::new(),
        content_type: String::new(),
        payload: Vec::new(),
        keys: Vec::new(),
        metadata: Vec::new(),
        caller_ms: None,
        host_ms: 0,
    }
}

/// Most events are of the kind and type of the one before.
fn refill(text: &mut String, bytes: &[u8]) -> Option<()> {
    if text.as_bytes() != bytes {
        text.clear();
        text.push_str(std::str::from_utf8(bytes).ok()?);
    }
    Some(())
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

fn count(bytes: &mut &[u8]) -> Option<u32> {
    let (count, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*count))
}

fn piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = count(bytes)? as usize;
    let (piece, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(piece)
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    std::str::from_utf8(piece(bytes)?).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instance;
    use crate::{
        Acceptance, NewEvent, Proposal, Validator, Verdict, accept, accept_instead, reject,
    };

    fn pack(event: &Event) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [event.seq, event.host_ms, event.caller_ms.unwrap_or(NO_TIME)] {
            bytes.extend(number.to_le_bytes());
        }
        let mut piece = |piece: &[u8]| {
            bytes.extend((piece.len() as u32).to_le_bytes());
            bytes.extend(piece);
        };
        piece(event.kind.as_bytes());
        piece(event.content_type.as_bytes());
        piece(&event.payload);
        bytes.extend((event.keys.len() as u32).to_le_bytes());
        for part in event.keys.iter().flat_map(|key| [&key.kind, &key.id]) {
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes.extend((event.metadata.len() as u32).to_le_bytes());
        for part in event.metadata.iter().flat_map(|pair| [&pair.name, &pair.value]) {
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }

    fn event(seq: u64, kind: &str, payload: &[u8]) -> Event {
        let (kind, payload) = (kind.to_owned(), payload.to_vec());
        let content_type = "application/json".to_owned();
        let key = Key { kind: "k\u{e4}y".to_owned(), id: String::new() };
        let pair = Pair { name: "n".to_owned(), value: "v".to_owned() };
        let (keys, metadata) = (vec![key; (seq % 3) as usize], vec![pair; (seq % 2) as usize]);
        let caller_ms = seq.is_multiple_of(2).then_some(seq);
        Event { seq, kind, content_type, payload, keys, metadata, caller_ms, host_ms: seq + 7 }
    }

    #[test]
    fn events_one_behind_the_other_come_out_as_they_went_in() {
        let events = [event(1, "bid", b"1"), event(2, "", b""), event(3, "bid", &[0xff; 300])];
        let bytes: Vec<u8> = events.iter().flat_map(pack).collect();
        let (mut scratch, mut rest) = (Scratch::new(), &bytes[..]);
        for event in &events {
            assert_eq!(scratch.unpack(&mut rest).map(|event| &*event), Some(event));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn bytes_that_break_off_or_lie_are_nothing() {
        let bytes = pack(&event(5, "bid", b"12345"));
        for end in 0..bytes.len() {
            assert!(Scratch::new().unpack(&mut &bytes[..end]).is_none(), "cut at {end}");
        }
        let mut lying = bytes.clone();
        lying[24] = 0xff;
        assert!(Scratch::new().unpack(&mut &lying[..]).is_none());
        let mut odd = bytes;
        odd[28] = 0xff;
        assert!(Scratch::new().unpack(&mut &odd[..]).is_none(), "a kind that is not UTF-8");
    }

    /// Sums what it is told; refuses odd numbers, doubles 4, speaks of 6.
    struct Sum;

    impl Validator for Sum {
        const NAME: &'static str = "sum";
        const VERSION: &'static str = "1.0.0";
        type State = u64;
        type Config = ();

        fn init(_: &str, (): ()) -> Result<u64, String> {
            Ok(0)
        }

        fn apply(sum: &mut u64, event: &Event) {
            *sum += event.json::<u64>().unwrap_or(0) + event.seq;
        }

        fn validate(_: &u64, proposal: &Proposal) -> Verdict {
            match proposal.json::<u64>()? {
                4 => Ok(accept_instead([NewEvent::bytes("n", "application/json", *b"8")])),
                6 => Ok(accept().reason("six")),
                n if n % 2 == 1 => Err(reject("odd", "an odd number")),
                _ => Ok(accept()),
            }
        }
    }

    #[test]
    fn admit_answers_as_validate_does_and_folds_as_apply_does() {
        let mut plain = Instance::<Sum>::init("s", None).expect("it starts");
        let mut packed = Instance::<Sum>::init("s", None).expect("it starts");
        let mut head = 0;
        for payload in ["2", "3", "4", "x", "6", "8", "10", "11"] {
            let event = event(head + 1, "n", payload.as_bytes());
            let proposal = Proposal {
                kind: event.kind.clone(),
                content_type: event.content_type.clone(),
                payload: event.payload.clone(),
                keys: event.keys.clone(),
                metadata: event.metadata.clone(),
                caller_ms: event.caller_ms,
                host_ms: event.host_ms,
            };
            let (wanted, found) = (plain.validate(vec![proposal]), packed.admit(&pack(&event)));
            match found {
                Ok(None) => {
                    assert_eq!(wanted, Ok(vec![accept()]), "{payload}");
                    plain.apply(std::slice::from_ref(&event));
                    head += 1;
                }
                Ok(Some(acceptance)) => assert_eq!(wanted, Ok(vec![acceptance]), "{payload}"),
                Err(refusal) => assert_eq!(wanted, Err::<Vec<Acceptance>, _>(refusal), "{payload}"),
            }
            assert_eq!(plain.encode(), packed.encode(), "{payload}");
        }
        assert_eq!(head, 3);
        let more: Vec<_> = [5, 6].map(|seq| event(seq, "n", b"1")).into();
        plain.apply(&more);
        packed.apply_packed(&more.iter().flat_map(pack).collect::<Vec<u8>>());
        assert_eq!(plain.encode(), packed.encode());
    }
}
