//! A page of events as one frame, made without an intermediate copy of the records.

use super::out::Chunk;
use crate::engine::Engine;
use crate::log::ReadError;
use atomic_store_core::protocol::Reply;
use atomic_store_core::record::RecordView;
use atomic_store_core::{Limits, Position, ScopeName, Seq, codec, frame};
use serde::Serialize;
use std::ops::ControlFlow;

/// Room in front of the entries: the frame's length, the call, the reply's number, and how many
/// entries there are. None of that is known before the last entry is.
const GAP: usize = frame::LENGTH_BYTES + 10 + 5 + 10;
/// First size of a page's buffer; it grows with what is read.
const FIRST_BYTES: usize = 16 * 1024;

/// What is being read.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// One scope, up to an event.
    Scope(ScopeName, Seq),
    /// All scopes in their common order.
    Order,
}

/// Where a reader stands: after the last event it got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) seq: Seq,
    pub(crate) position: Position,
}

/// Some events, encoded as a frame.
pub(crate) struct Page {
    bytes: Vec<u8>,
    pub(crate) events: u64,
    /// After the last event of the page.
    pub(crate) place: Place,
    /// The page was full: there may be more at once.
    pub(crate) full: bool,
}

/// An entry by reference; it has the bytes of a `protocol::Entry`.
#[derive(Serialize)]
struct EntryOut<'a> {
    scope: Option<&'a ScopeName>,
    replayed: bool,
    #[serde(with = "serde_bytes")]
    record: &'a [u8],
}

impl Page {
    /// Reads a page of at most `limit` events. Blocks on the disk.
    pub(crate) fn read(
        engine: &Engine,
        source: &Source,
        place: Place,
        limit: u64,
    ) -> Result<Page, ReadError> {
        let limits = engine.limits();
        let mut page = Page { bytes: Vec::new(), events: 0, place, full: false };
        let most = limit.min(limits.page_events_max.max(1) as u64);
        let add = |page: &mut Page, scope: Option<&ScopeName>, view: RecordView<'_>| {
            page.add(limits, most, scope, view)
        };
        match source {
            Source::Scope(scope, through) => {
                engine.read(scope, place.seq, *through, &mut |view| add(&mut page, None, view))?
            }
            Source::Order => engine
                .read_order(place.position, &mut |scope, view| add(&mut page, Some(scope), view))?,
        }
        Ok(page)
    }

    fn add(
        &mut self,
        limits: &Limits,
        most: u64,
        scope: Option<&ScopeName>,
        view: RecordView<'_>,
    ) -> ControlFlow<()> {
        let record = view.as_bytes();
        let bytes = self.bytes.len() + record.len() + Limits::SCOPE_NAME_BYTES_MAX;
        if self.events >= most || (self.events > 0 && bytes > limits.page_bytes_max) {
            self.full = true;
            return ControlFlow::Break(());
        }
        if self.bytes.is_empty() {
            self.bytes = Vec::with_capacity(FIRST_BYTES.max(GAP + bytes));
            self.bytes.resize(GAP, 0);
        }
        self.bytes =
            encode(std::mem::take(&mut self.bytes), &EntryOut { scope, replayed: false, record });
        self.events += 1;
        self.place = Place { seq: view.seq(), position: view.position() };
        ControlFlow::Continue(())
    }

    /// The page as the frame of a call.
    pub(crate) fn into_chunk(mut self, call: u64) -> Chunk {
        // An empty page ends in the number of its entries, which is a zero of one byte.
        let mut head = encode(vec![0; frame::LENGTH_BYTES], &(call, Reply::Events(Vec::new())));
        head.pop();
        let mut head = encode(head, &self.events);
        if self.bytes.is_empty() {
            self.bytes.resize(GAP, 0);
        }
        let from = GAP - head.len();
        let length = self.bytes.len() - from - frame::LENGTH_BYTES;
        let length = u32::try_from(length).expect("a page is capped far below 4 GiB");
        head[..frame::LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.bytes[from..GAP].copy_from_slice(&head);
        Chunk { bytes: self.bytes, from, permit: None }
    }
}

fn encode<T: Serialize>(buffer: Vec<u8>, value: &T) -> Vec<u8> {
    codec::encode_into(value, buffer).expect("numbers, names and bytes can always be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_core::protocol::{Entry, ServerFrame};
    use atomic_store_core::record::{Body, Record};
    use atomic_store_core::{AppendId, ContentType, Digest};

    fn record(seq: u64, bytes: usize) -> Vec<u8> {
        let body = Body {
            seq: Seq(seq),
            kind: "bid",
            content_type: ContentType::Json,
            payload: &vec![7; bytes],
            keys: [].as_slice(),
            triggers: [].as_slice(),
            metadata: [].as_slice(),
            caller_ms: None,
            host_ms: 1,
            append_id: AppendId::default(),
            validator: Digest::default(),
            binding: Seq(1),
        };
        Record::encode(&Digest::default(), &body).unwrap().into_bytes()
    }

    #[test]
    fn a_page_has_the_bytes_of_the_plain_frame() {
        for (call, count) in [(1, 0), (3, 1), (u64::MAX, 3), (1 << 40, 200)] {
            for scope in [None, Some(ScopeName::new("auction/1").unwrap())] {
                let mut page =
                    Page { bytes: Vec::new(), events: 0, place: Place::default(), full: false };
                let mut entries = Vec::new();
                for seq in 1..=count {
                    let record = record(seq, usize::try_from(seq).unwrap());
                    let view = RecordView::parse(&record).unwrap();
                    let flow = page.add(&Limits::default(), 1_000, scope.as_ref(), view);
                    assert!(flow.is_continue());
                    entries.push(Entry { scope: scope.clone(), replayed: false, record });
                }
                let chunk = page.into_chunk(call);
                let plain = ServerFrame { call, reply: Reply::Events(entries) };
                let plain = frame::put(Vec::new(), &plain).unwrap();
                assert_eq!(chunk.bytes[chunk.from..], plain);
            }
        }
    }

    #[test]
    fn a_page_ends_at_its_caps_but_holds_one_event() {
        let limits = Limits { page_bytes_max: 1_000, ..Limits::default() };
        let mut page = Page { bytes: Vec::new(), events: 0, place: Place::default(), full: false };
        for (seq, bytes, stays) in [(1, 5_000, true), (2, 1, false)] {
            let record = record(seq, bytes);
            let view = RecordView::parse(&record).unwrap();
            assert_eq!(page.add(&limits, 10, None, view).is_continue(), stays);
        }
        assert!(page.full && page.events == 1 && page.place.seq == Seq(1));
        let mut page = Page { bytes: Vec::new(), events: 0, place: Place::default(), full: false };
        for (seq, stays) in [(1, true), (2, true), (3, false)] {
            let record = record(seq, 1);
            let view = RecordView::parse(&record).unwrap();
            assert_eq!(page.add(&limits, 2, None, view).is_continue(), stays);
        }
    }
}
