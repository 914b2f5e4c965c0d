//! Whether the contents of many events are those that were hashed, found out together.
//!
//! An event is a few hundred bytes: one hash of that size uses one lane of a processor that has
//! sixteen. Here the lanes hold one event each, which takes a third of the time.
//!
//! [`chain::link`] stays the definition. What this finds intact has the hash that the definition
//! gives; what it does not must be asked of the definition.

use crate::chain;
use crate::record::RecordView;
// Not part of what blake3 promises to keep. A version that changes it does not compile, or fails the
// test below, or finds nothing intact, which costs time and nothing else.
use blake3::IncrementCounter;
use blake3::platform::{Platform, le_bytes_from_words_32, words_from_le_bytes_32};
use std::cell::RefCell;

/// At most so many events are looked at together.
pub const TOGETHER: usize = 32;

/// Lanes of the widest processors.
const LANES: usize = 16;
const BLOCK: usize = 64;
/// Longer ones are hashed as a tree, in several lanes already.
const CHUNK: usize = 1024;
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;
/// The words that every BLAKE3 hash without a key begins with.
const IV: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

/// Which of some events have the content that was hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intact(u32);

/// Memory to do it in.
struct Contents {
    platform: Platform,
    lanes: [[u8; CHUNK]; LANES],
}

thread_local! {
    static CONTENTS: RefCell<Box<Contents>> = RefCell::default();
}

/// Looks at the first [`TOGETHER`] of these records, up to one that cannot be parsed.
#[must_use]
pub fn intact<'a>(records: impl Iterator<Item = &'a [u8]>) -> Intact {
    let mut events = Vec::with_capacity(TOGETHER);
    events.extend(records.take(TOGETHER).map_while(|record| RecordView::parse(record).ok()));
    CONTENTS.with_borrow_mut(|contents| contents.check(&events))
}

impl Intact {
    /// True if this event was found intact; false says nothing yet.
    #[must_use]
    pub fn has(self, at: usize) -> bool {
        at < TOGETHER && self.0 >> at & 1 == 1
    }
}

impl Default for Contents {
    fn default() -> Self {
        Contents { platform: Platform::detect(), lanes: [[0; CHUNK]; LANES] }
    }
}

impl Contents {
    fn check(&mut self, events: &[RecordView<'_>]) -> Intact {
        let mut left: u32 = 0;
        let mut intact = 0;
        for (at, event) in events.iter().enumerate() {
            match whole_blocks(event) {
                Some(_) => left |= 1 << at,
                None => {
                    let hash = chain::link(&event.previous(), event.body());
                    intact |= u32::from(hash == event.hash()) << at;
                }
            }
        }
        // Lanes go on together, so those of as many whole blocks are taken at a time.
        while left != 0 {
            let blocks = whole_blocks(&events[left.trailing_zeros() as usize]);
            let mut group = [0; LANES];
            let mut size = 0;
            for (at, event) in events.iter().enumerate() {
                if size < LANES && left >> at & 1 == 1 && whole_blocks(event) == blocks {
                    left &= !(1 << at);
                    group[size] = at;
                    size += 1;
                }
            }
            intact |= self.group(events, &group[..size], blocks.unwrap_or(1));
        }
        Intact(intact)
    }

    /// Those of a group that are intact. All have as many whole blocks before their last one.
    fn group(&mut self, events: &[RecordView<'_>], group: &[usize], blocks: usize) -> u32 {
        for (lane, at) in self.lanes.iter_mut().zip(group) {
            let (previous, body) = (events[*at].previous_bytes(), events[*at].body());
            lane[..32].copy_from_slice(previous);
            lane[32..32 + body.len()].copy_from_slice(body);
        }
        let mut values = [0; LANES * 32];
        self.whole(group.len(), blocks, &mut values);
        let mut intact = 0;
        for ((lane, value), at) in self.lanes.iter().zip(values.as_chunks().0).zip(group) {
            let rest = &lane[blocks * BLOCK..32 + events[*at].body().len()];
            let mut last = [0; BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            let mut value = words_from_le_bytes_32(value);
            let length = u8::try_from(rest.len()).unwrap_or(0);
            self.platform.compress_in_place(&mut value, &last, length, 0, CHUNK_END | ROOT);
            let same = le_bytes_from_words_32(&value) == events[*at].hash().0;
            intact |= u32::from(same) << *at;
        }
        intact
    }

    /// The values after the whole blocks of the first lanes.
    fn whole(&self, lanes: usize, blocks: usize, values: &mut [u8; LANES * 32]) {
        macro_rules! of_blocks {
            ($($blocks:literal)*) => {
                match blocks {
                    $($blocks => self.hash::<{ $blocks * BLOCK }>(lanes, values),)*
                    // Never: a chunk has sixteen blocks, and the last is not among these.
                    _ => {}
                }
            };
        }
        of_blocks!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }

    fn hash<const BYTES: usize>(&self, lanes: usize, values: &mut [u8; LANES * 32]) {
        let mut inputs = [&[0; BYTES]; LANES];
        for (input, lane) in inputs.iter_mut().zip(self.lanes.iter()) {
            if let Some(bytes) = lane.first_chunk() {
                *input = bytes;
            }
        }
        let (inputs, values) = (&inputs[..lanes], &mut values[..lanes * 32]);
        self.platform.hash_many(inputs, &IV, 0, IncrementCounter::No, 0, CHUNK_START, 0, values);
    }
}

/// How many whole blocks come before the last of what is hashed; nothing for what does not go lane by
/// lane.
fn whole_blocks(event: &RecordView<'_>) -> Option<usize> {
    let bytes = 32 + event.body().len();
    (bytes > BLOCK && bytes <= CHUNK).then_some((bytes - 1) / BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Body, Record};
    use crate::{AppendId, ContentType, Digest, Seq};

    fn record(seq: u64, bytes: usize) -> Vec<u8> {
        let body = Body {
            seq: Seq(seq),
            kind: "bid",
            content_type: ContentType::Json,
            payload: &vec![u8::try_from(seq % 251).unwrap_or(0); bytes],
            keys: [].as_slice(),
            triggers: [].as_slice(),
            metadata: [].as_slice(),
            caller_ms: None,
            host_ms: 1,
            append_id: AppendId::default(),
            validator: Digest::default(),
            binding: Seq(1),
        };
        Record::encode(&Digest::of(&seq.to_le_bytes()), &body).unwrap().as_bytes().to_vec()
    }

    fn check(records: &[Vec<u8>]) -> Vec<bool> {
        let found = intact(records.iter().map(Vec::as_slice));
        (0..records.len()).map(|at| found.has(at)).collect()
    }

    #[test]
    fn events_of_every_length_are_found_intact_and_damaged_ones_are_not() {
        for first in (0..2_100).step_by(TOGETHER) {
            let mut records: Vec<_> =
                (0..TOGETHER).map(|at| record(at as u64 + 1, first + at)).collect();
            assert_eq!(check(&records), vec![true; TOGETHER]);
            for (at, record) in records.iter_mut().enumerate().skip(1).step_by(3) {
                // Any byte of the hash, of the link or of the body; the position is not hashed.
                let byte = [1, 40, 80, record.len() - 1][at % 4];
                record[byte] ^= 1 << (at % 8);
            }
            let views = records.iter().map(|one| RecordView::parse(one).unwrap());
            let links = views.map(|view| chain::link(&view.previous(), view.body()) == view.hash());
            assert_eq!(check(&records), links.collect::<Vec<_>>());
        }
    }

    #[test]
    fn groups_of_every_size_and_mixed_lengths_are_found_intact() {
        for size in 0..=TOGETHER {
            let alike: Vec<_> = (0..size).map(|at| record(at as u64 + 1, 200)).collect();
            assert_eq!(check(&alike), vec![true; size]);
            let mixed: Vec<_> = (0..size).map(|at| record(at as u64 + 1, at * at * 3)).collect();
            assert_eq!(check(&mixed), vec![true; size]);
        }
        let many: Vec<_> = (0..40).map(|at| record(at + 1, 200)).collect();
        let (looked, beyond) = (vec![true; TOGETHER], vec![false; 40 - TOGETHER]);
        assert_eq!(check(&many), [looked, beyond].concat());
    }
}
