//! A page of events as one frame, made without an intermediate copy of the records.

use super::out::Chunk;
use crate::engine::{Engine, Found, Scan, SelectError, Taken};
use atomic_store_core::protocol::Reply;
use atomic_store_core::{Digest, Limits, ScopeName, Seq, codec, frame};
use serde::Serialize;

/// Room in front of the entries: the frame's length, the call, the reply's number, and how many
/// entries there are. None of that is known before the last entry is.
const GAP: usize = frame::LENGTH_BYTES + 10 + 5 + 10;
/// First size of a page's buffer, unless the page before it was larger; it grows with what is read.
const FIRST_BYTES: usize = 16 * 1024;

/// Some events, encoded as a frame.
pub(crate) struct Page {
    bytes: Vec<u8>,
    pub(crate) events: u64,
    /// Where nothing is left out: the number before the next event.
    before: Option<u64>,
    /// First size of the buffer.
    room: usize,
    /// What the reader must hear first: events up to this one were deleted.
    pub(crate) skipped: Option<(Seq, Digest)>,
}

impl Page {
    fn empty() -> Page {
        Page { bytes: Vec::new(), events: 0, before: None, room: FIRST_BYTES, skipped: None }
    }

    /// Goes on with a scan by a step, or two if the first only found the bounds. Gives at most `limit`
    /// events, and perhaps none. `known` is the place that the client knows, `room` how many bytes the
    /// page may come to. Blocks on the disk.
    pub(crate) fn read(
        engine: &Engine,
        scan: &mut Scan,
        limit: u64,
        known: u64,
        room: usize,
    ) -> Result<Page, SelectError> {
        let limits = engine.limits();
        let before = scan.selection().is_contiguous().then_some(known);
        let mut page = Page { before, room: room.max(FIRST_BYTES), ..Page::empty() };
        let most = limit.min(limits.page_events_max.max(1) as u64);
        let all = scan.selection().scope.is_none();
        for _ in 0..2 {
            engine.step(scan, &mut |found| page.add(limits, most, all, found))?;
            if page.events > 0 || scan.is_done() {
                break;
            }
        }
        Ok(page)
    }

    fn add(&mut self, limits: &Limits, most: u64, all: bool, found: Found<'_>) -> Taken {
        let Found { scope, replayed, view } = found;
        let record = view.as_bytes();
        let bytes = self.bytes.len() + record.len() + Limits::SCOPE_NAME_BYTES_MAX;
        if self.events >= most || (self.events > 0 && bytes > limits.page_bytes_max) {
            return Taken::Not;
        }
        if let Some(before) = &mut self.before {
            // Only a deletion makes a hole here; it is told before the page, so it ends one.
            if view.seq().0 != before.saturating_add(1) {
                if self.events > 0 {
                    return Taken::Not;
                }
                self.skipped = Some((Seq(view.seq().0 - 1), view.previous()));
            }
            *before = view.seq().0;
        }
        if self.bytes.is_empty() {
            self.bytes = Vec::with_capacity(self.room.max(GAP + bytes));
            self.bytes.resize(GAP, 0);
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = put_entry(bytes, all.then_some(scope), replayed, record);
        self.events += 1;
        if self.events >= most { Taken::Enough } else { Taken::Next }
    }

    /// A page of entries that are encoded already, of so many bytes in all.
    pub(crate) fn of_entries<'a>(
        bytes: usize,
        entries: impl ExactSizeIterator<Item = &'a Box<[u8]>>,
    ) -> Page {
        let mut page = Page { events: entries.len() as u64, ..Page::empty() };
        page.bytes = Vec::with_capacity(GAP + bytes);
        page.bytes.resize(GAP, 0);
        for entry in entries {
            page.bytes.extend_from_slice(entry);
        }
        page
    }

    /// What it takes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
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

/// The bytes of an entry.
pub(crate) fn encode_entry(scope: Option<&ScopeName>, replayed: bool, record: &[u8]) -> Vec<u8> {
    let room = record.len() + 8 + scope.map_or(0, |scope| scope.as_str().len());
    put_entry(Vec::with_capacity(room), scope, replayed, record)
}

/// Appends the bytes of a `protocol::Entry`, the record in one piece.
fn put_entry(buffer: Vec<u8>, scope: Option<&ScopeName>, replayed: bool, record: &[u8]) -> Vec<u8> {
    let mut buffer = encode(buffer, &(scope, replayed, record.len()));
    buffer.extend_from_slice(record);
    buffer
}

fn encode<T: Serialize>(buffer: Vec<u8>, value: &T) -> Vec<u8> {
    codec::encode_into(value, buffer).expect("numbers, names and bytes can always be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_core::protocol::{Entry, ServerFrame};
    use atomic_store_core::record::RecordView;
    use atomic_store_core::record::{Body, Record};
    use atomic_store_core::{AppendId, ContentType};

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
        Record::encode(&Digest::default(), &body).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn a_page_has_the_bytes_of_the_plain_frame() {
        for (call, count) in [(1, 0), (3, 1), (u64::MAX, 3), (1 << 40, 200)] {
            for scope in [None, Some(ScopeName::new("auction/1").unwrap())] {
                let mut page = Page::empty();
                let mut entries = Vec::new();
                for seq in 1..=count {
                    let record = record(seq, usize::try_from(seq).unwrap());
                    let view = RecordView::parse(&record).unwrap();
                    let (replayed, name) = (seq % 2 == 0, ScopeName::new("auction/1").unwrap());
                    let found = Found { scope: &name, replayed, view };
                    let taken = page.add(&Limits::default(), 1_000, scope.is_some(), found);
                    assert_eq!(taken, Taken::Next);
                    entries.push(Entry { scope: scope.clone(), replayed, record: record.into() });
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
        let small = Limits { page_bytes_max: 1_000, ..Limits::default() };
        let name = ScopeName::new("auction/1").unwrap();
        let cases = [
            (10, vec![(5_000, Taken::Next), (1, Taken::Not)]),
            (2, vec![(1, Taken::Next), (1, Taken::Enough), (1, Taken::Not)]),
            (1, vec![(5_000, Taken::Enough)]),
        ];
        for (most, events) in cases {
            let mut page = Page::empty();
            for (seq, (bytes, taken)) in (1..).zip(events) {
                let record = record(seq, bytes);
                let view = RecordView::parse(&record).unwrap();
                let found = Found { scope: &name, replayed: false, view };
                assert_eq!(page.add(&small, most, false, found), taken);
            }
        }
    }
}
