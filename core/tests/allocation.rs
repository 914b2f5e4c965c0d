//! Decoding must not cost far more memory than the bytes decoded, whatever lengths they claim.
//!
//! The promise: decoding n bytes allocates at most `FACTOR * n + FIXED` bytes, counted over the whole
//! call, also what was given back before its end. The factor comes from the smallest encodings: a
//! proposal of 8 bytes is a struct of about 170, a key of 2 bytes one of 48, and a vector that grows
//! by doubling is counted up to four times: all its sizes together are twice the last one, which is
//! at most twice what was needed. A session counts proposals and keys before it decodes an append, so
//! it never comes near the factor. The fixed part is what serde sets aside for a vector whose length
//! is only claimed: 1 MiB for each vector inside a vector, of which there are two.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(unreachable_pub, reason = "modules of a test have no public face")]

mod support;

use atomic_store_core::codec;
use atomic_store_core::protocol::{ClientFrame, ServerFrame};
use atomic_store_core::record::{Record, RecordView};
use atomic_store_core::{Append, AppendId, Digest, Event, Proposal, ScopeName};
use proptest::collection::vec;
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::{body, client_frame, config, reply};

const FACTOR: usize = 96;
const FIXED: usize = 2 << 20;

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the memory came from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + size);
        // SAFETY: the memory came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated by a call.
fn allocated<T>(call: impl FnOnce() -> T) -> usize {
    let before = ALLOCATED.get();
    drop(call());
    ALLOCATED.get() - before
}

/// Decodes as everything that comes from outside and holds each against the promise.
fn check(what: &str, bytes: &[u8]) {
    let decodings = [
        ("a client's frame", allocated(|| codec::decode::<ClientFrame>(bytes))),
        ("a server's frame", allocated(|| codec::decode::<ServerFrame>(bytes))),
        ("an append", allocated(|| codec::decode::<Append>(bytes))),
        ("an event", allocated(|| codec::decode::<Event>(bytes))),
        ("a body", allocated(|| RecordView::parse(bytes).map(|view| view.decode()))),
        ("a record", allocated(|| RecordView::parse(bytes).map(|view| view.to_event()))),
    ];
    for (decoding, allocated) in decodings {
        assert!(
            allocated <= FACTOR * bytes.len() + FIXED,
            "{what} as {decoding}: {} bytes of input, {allocated} allocated",
            bytes.len()
        );
    }
}

fn append(proposals: Vec<Proposal>) -> Append {
    Append::new(ScopeName::new("a").unwrap(), AppendId([1; 16]), proposals)
}

/// The beginning of an append whose vector of proposals claims a length.
fn claim(length: &[u8]) -> Vec<u8> {
    let mut bytes = codec::encode(&append(Vec::new())).unwrap();
    assert_eq!(bytes.pop(), Some(0), "the length of the proposals comes last");
    bytes.extend(length);
    bytes
}

const HUGE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

#[test]
fn the_count_counts() {
    assert_eq!(allocated(|| ()), 0);
    assert!(allocated(|| vec![1_u8; 12_345]) >= 12_345);
}

#[test]
fn lengths_that_lie_cost_nothing() {
    let lies: [&[u8]; 5] =
        [&HUGE, &[0x80, 0x80, 0x80, 0x80, 0x10], &[0xff, 0xff, 0x03], &[0xff, 0x7f], &[5]];
    for lie in lies {
        check("proposals", &claim(lie));
        // Within a proposal: the kind, the payload, the keys, the triggers, the metadata.
        for before in
            [&[][..], &[1, b'x', 0], &[1, b'x', 0, 0], &[1, b'x', 0, 0, 0], &[1, b'x', 0, 0, 0, 0]]
        {
            let mut bytes = claim(&[1]);
            bytes.extend(before);
            bytes.extend(lie);
            check("parts of a proposal", &bytes);
        }
        for variant in 0..24 {
            check("a call", &[&[1, variant], lie].concat());
            check("a call", &[&[1, variant, 0], lie].concat());
        }
    }
}

#[test]
fn lengths_that_could_be_true_cost_no_more_than_the_bytes_behind_them() {
    // As many bytes follow as are claimed, so the length is believed, and then the bytes are wrong.
    for bytes_behind in [100, 10_000, 1_000_000, 8_000_000] {
        let length = codec::encode(&(bytes_behind as u64)).unwrap();
        for filler in [0x00, 0x01, 0x7f, 0xff] {
            let mut bytes = claim(&length);
            bytes.resize(bytes.len() + bytes_behind, filler);
            check("believed proposals", &bytes);
            let mut bytes = claim(&[1]);
            bytes.extend([1, b'x', 0, 0]);
            bytes.extend(&length);
            bytes.resize(bytes.len() + bytes_behind, filler);
            check("believed keys", &bytes);
        }
    }
}

#[test]
fn the_smallest_elements_are_what_the_factor_is_made_for() {
    let empty = append(vec![Proposal::default(); 100_000]);
    let bytes = codec::encode(&empty).unwrap();
    check("empty proposals", &bytes);
    assert_eq!(codec::decode(&bytes), Ok(empty));
    let mut keys = Proposal::json("x", "");
    keys.keys = vec![atomic_store_core::Key { kind: String::new(), id: String::new() }; 500_000];
    keys.metadata = vec![(String::new(), String::new()); 500_000];
    let record = Record::encode(&Digest::default(), &body(1, &keys)).unwrap();
    check("a record of empty keys", record.as_bytes());
    check("an append of empty keys", &codec::encode(&append(vec![keys])).unwrap());
    // Many short vectors, each of which sets something aside.
    let mut pair = Proposal::json("", "");
    pair.keys = vec![atomic_store_core::Key { kind: "k".into(), id: "i".into() }];
    pair.metadata = vec![("n".to_owned(), "v".to_owned())];
    check("short keys", &codec::encode(&append(vec![pair; 50_000])).unwrap());
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn arbitrary_and_changed_bytes_keep_the_promise(
        any in vec(any::<u8>(), 0..300), frame in client_frame(), reply in reply(),
        at in any::<prop::sample::Index>(),
    ) {
        check("arbitrary bytes", &any);
        for mut bytes in
            [codec::encode(&frame).unwrap(), codec::encode(&ServerFrame { call: 1, reply }).unwrap()]
        {
            check("a good value", &bytes);
            let at = at.index(bytes.len());
            bytes.splice(at..=at, HUGE);
            check("a value with a lie", &bytes);
        }
    }
}
