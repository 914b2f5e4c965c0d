//! Values survive encoding and decoding, and what is decoded uses up its bytes: trailing bytes, other
//! versions and impossible frames are refused, arbitrary bytes never panic.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(unreachable_pub, reason = "modules of a test have no public face")]

mod support;

use atomic_store_core::codec::{self, CodecError};
use atomic_store_core::frame::{self, FrameError};
use atomic_store_core::protocol::{self, ClientFrame, Reply, Request, ServerFrame};
use atomic_store_core::record::{self, Record, RecordError, RecordView, placed};
use atomic_store_core::{
    Answer, Append, Digest, Event, Limits, Outcome, Position, Proposal, ScopeName, Seq, chain,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use support::{answer, body, client_frame, config, digest, outcome, proposal, reply};

fn survives<T>(value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let bytes = codec::encode(value).unwrap();
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(codec::decode::<T>(&longer), Err(CodecError::Trailing(1)));
    let versioned = codec::encode_versioned(3, value).unwrap();
    assert_eq!((versioned[0], &versioned[1..]), (3, &bytes[..]));
    assert_eq!(codec::decode_versioned::<T>(3, &versioned).as_ref(), Ok(value));
    let other = CodecError::Version { found: 3, supported: 4 };
    assert_eq!(codec::decode_versioned::<T>(4, &versioned), Err(other));
    let longer = [&versioned[..], b"ab"].concat();
    assert_eq!(codec::decode_versioned::<T>(3, &longer), Err(CodecError::Trailing(2)));
    for len in 0..bytes.len() {
        assert!(codec::decode::<T>(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn requests_survive(frame in client_frame()) {
        survives(&frame);
    }

    #[test]
    fn replies_survive(call in any::<u64>(), reply in reply()) {
        let frame = ServerFrame { call, reply };
        survives(&frame);
        // The same, by the way that leaves records where they are.
        let bytes = Bytes::from(codec::encode(&frame).unwrap());
        assert_eq!(protocol::decode_reply(&bytes).as_ref(), Ok(&frame));
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        assert_eq!(protocol::decode_reply(&longer), Err(CodecError::Trailing(1)));
        for len in 0..bytes.len() {
            assert!(protocol::decode_reply(&bytes.slice(..len)).is_err());
        }
    }

    #[test]
    fn outcomes_survive(outcome in outcome(), answer in answer()) {
        survives(&outcome);
        survives(&answer);
    }

    #[test]
    fn a_frame_is_its_length_and_its_value(before in vec(any::<u8>(), 0..9), frame in client_frame()) {
        let bytes = frame::put(before.clone(), &frame).unwrap();
        let (kept, rest) = bytes.split_at(before.len());
        let (length, rest) = rest.split_at(frame::LENGTH_BYTES);
        prop_assert_eq!(kept, before);
        prop_assert_eq!(frame::length(length.try_into().unwrap(), rest.len()), Ok(rest.len()));
        prop_assert_eq!(codec::decode::<ClientFrame>(rest), Ok(frame));
    }

    #[test]
    fn records_keep_every_field_and_byte(
        seq in any::<u64>(), proposal in proposal(), previous in digest(), position in any::<u64>(),
    ) {
        let record = Record::encode(&previous, &body(seq, &proposal)).unwrap();
        prop_assert_eq!(RecordView::parse(record.as_bytes()).unwrap().position(), Position(0));
        let hash = record.hash();
        let mut buffer = b"whatever was in here".to_vec();
        let stored = placed(record.as_bytes(), Position(position), &mut buffer);
        let view = RecordView::parse(stored).unwrap();
        prop_assert_eq!(view.as_bytes(), stored);
        prop_assert_eq!((view.seq(), view.position()), (Seq(seq), Position(position)));
        prop_assert_eq!((view.previous(), view.hash()), (previous, hash));
        prop_assert_eq!(chain::link(&previous, view.body()), hash);
        let event = view.to_event().unwrap();
        check_event(&event, seq, &proposal);
        // What was decoded makes the same bytes again.
        let again = Proposal {
            kind: event.kind,
            content_type: event.content_type,
            payload: event.payload,
            keys: event.keys,
            triggers: event.triggers,
            metadata: event.metadata,
            caller_ms: event.caller_ms,
        };
        let same = Record::encode(&previous, &body(seq, &again)).unwrap();
        prop_assert_eq!(same.as_bytes(), record.as_bytes());
        prop_assert_eq!(Record::from_bytes(stored).unwrap(), record);
    }

    #[test]
    fn a_body_with_a_tail_is_no_event(proposal in proposal(), tail in vec(any::<u8>(), 1..9)) {
        let record = Record::encode(&Digest::default(), &body(1, &proposal)).unwrap();
        let longer = [record.as_bytes(), &tail].concat();
        let error = RecordError::Codec(CodecError::Trailing(tail.len()));
        prop_assert_eq!(RecordView::parse(&longer).unwrap().to_event(), Err(error));
    }
}

fn check_event(event: &Event, seq: u64, proposal: &Proposal) {
    assert_eq!((event.seq, &event.kind), (Seq(seq), &proposal.kind));
    assert_eq!(event.content_type, proposal.content_type);
    assert_eq!((&event.payload, &event.keys), (&proposal.payload, &proposal.keys));
    assert_eq!((&event.triggers, &event.metadata), (&proposal.triggers, &proposal.metadata));
    assert_eq!((event.caller_ms, event.host_ms), (proposal.caller_ms, body(seq, proposal).host_ms));
    assert_eq!(event.append_id, body(seq, proposal).append_id);
    assert_eq!((event.validator, event.binding), (Digest([3; 32]), Seq(2)));
}

/// Decodes as everything that comes from outside. The results do not matter: none may panic.
fn decode_as_everything(bytes: &[u8]) {
    drop(codec::decode::<ClientFrame>(bytes));
    drop(codec::decode::<Request>(bytes));
    drop(codec::decode::<ServerFrame>(bytes));
    drop(protocol::decode_reply(&Bytes::copy_from_slice(bytes)));
    drop(codec::decode::<Reply>(bytes));
    drop(codec::decode::<Append>(bytes));
    drop(codec::decode::<Answer>(bytes));
    drop(codec::decode::<Outcome>(bytes));
    drop(codec::decode::<Event>(bytes));
    drop(codec::decode::<Limits>(bytes));
    drop(codec::decode_versioned::<Outcome>(1, bytes));
    if let Ok(view) = RecordView::parse(bytes) {
        drop((view.decode(), view.to_event()));
    }
    drop(chain::Walk::from_start(&ScopeName::system()).step(bytes));
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
        // Likely enough to be a record.
        if let Some(first) = bytes.first_mut() {
            *first = record::VERSION;
            decode_as_everything(&bytes);
        }
    }

    #[test]
    fn changed_bytes_never_panic(
        frame in client_frame(), reply in reply(), proposal in proposal(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let record = Record::encode(&Digest::default(), &body(1, &proposal)).unwrap();
        let good = [
            codec::encode(&frame).unwrap(),
            codec::encode(&ServerFrame { call: 1, reply }).unwrap(),
            record.as_bytes().to_vec(),
        ];
        for mut bytes in good {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            decode_as_everything(&bytes);
        }
    }
}

#[test]
fn a_frame_has_at_least_one_byte_and_at_most_the_cap() {
    let max = Limits::default().frame_bytes_max;
    let table = [
        (0, max, false),
        (1, max, true),
        (max - 1, max, true),
        (max, max, true),
        (max + 1, max, false),
        (u32::MAX as usize, max, false),
        (u32::MAX as usize, usize::MAX, true),
        (1, 1, true),
        (2, 1, false),
        (1, 0, false),
    ];
    for (found, max, allowed) in table {
        let bytes = u32::try_from(found).unwrap().to_le_bytes();
        let expected = if allowed { Ok(found) } else { Err(FrameError::Length { found, max }) };
        assert_eq!(frame::length(bytes, max), expected, "{found} of {max}");
    }
}

#[test]
fn a_hello_is_exact() {
    let table: [([u8; 8], Result<(), FrameError>); 8] = [
        (frame::HELLO, Ok(())),
        (*b"ATSTORE\x00", Err(FrameError::Version { found: 0 })),
        (*b"ATSTORE\x02", Err(FrameError::Version { found: 2 })),
        (*b"ATSTORE\xff", Err(FrameError::Version { found: 255 })),
        (*b"atstore\x01", Err(FrameError::Magic)),
        (*b"\x01ATSTORE", Err(FrameError::Magic)),
        (*b"GET / HT", Err(FrameError::Magic)),
        ([0; 8], Err(FrameError::Magic)),
    ];
    for (bytes, expected) in table {
        assert_eq!(frame::check_hello(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn a_record_is_of_this_version_and_longer_than_its_header() {
    let version = |found| RecordError::Codec(CodecError::Version { found, supported: 1 });
    let table = [
        (Vec::new(), RecordError::Short(0)),
        (vec![1], RecordError::Short(1)),
        (vec![1; 73], RecordError::Short(73)),
        (vec![0; 80], version(0)),
        (vec![2; 80], version(2)),
        (vec![255], version(255)),
    ];
    for (bytes, error) in table {
        assert_eq!(RecordView::parse(&bytes).unwrap_err(), error, "{bytes:?}");
    }
    let mut endless = vec![1; 73];
    endless.extend([0xff; 11]);
    assert!(matches!(
        RecordView::parse(&endless),
        Err(RecordError::Codec(CodecError::Malformed(_)))
    ));
}

#[test]
fn a_row_without_a_version_is_malformed() {
    assert!(matches!(codec::decode_versioned::<u8>(1, &[]), Err(CodecError::Malformed(_))));
}
