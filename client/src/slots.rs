//! The calls in flight, by number.
//!
//! A slab: the low bits of a call's number are its place, the high bits count how often the place
//! was used. A reply to a call that is gone therefore finds nothing, rather than another call.

use crate::ClientError;
use atomic_store_core::protocol::{Reply, Request};
use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

const PLACE_BITS: u32 = 20;
/// Places of the slab; the last one is never used, for calls whose reply nobody waits for.
const PLACES: usize = (1 << PLACE_BITS) - 1;
const GENERATIONS: u64 = 1 << 32;

/// What is kept of a call in flight.
#[expect(clippy::large_enum_variant, reason = "most slots are calls; a box each would cost more")]
pub(crate) enum Slot {
    /// One request, one reply.
    Call(CallSlot),
    /// One request, many replies.
    Stream(StreamSlot),
}

/// One request, one reply.
pub(crate) struct CallSlot {
    /// Kept until the reply is there, to be sent again.
    pub(crate) request: Request,
    /// True if sending it twice does no harm.
    pub(crate) resend: bool,
    /// True if the server may have seen it.
    pub(crate) sent: bool,
    /// Nobody waits for the reply any more.
    pub(crate) abandoned: bool,
    /// Counts calls, so that they are sent again in the order in which they were made.
    pub(crate) number: u64,
    /// When to give up; set once the connection was lost.
    pub(crate) deadline: Option<Instant>,
    /// What came of it.
    pub(crate) end: Option<CallEnd>,
    /// Who waits.
    pub(crate) waker: Option<Waker>,
}

/// What came of a call.
pub(crate) enum CallEnd {
    /// The reply.
    Reply(Reply),
    /// There will be none.
    Failed {
        /// Why.
        why: ClientError,
        /// True if the server may have acted on it.
        sent: bool,
    },
}

/// One request, many replies.
#[derive(Default)]
pub(crate) struct StreamSlot {
    /// Replies not yet taken.
    pub(crate) replies: VecDeque<Reply>,
    /// Bytes of their frames.
    pub(crate) bytes: usize,
    /// No more will come: it was cancelled because its consumer does not keep up, or the
    /// connection was lost.
    pub(crate) cut: bool,
    /// Who waits.
    pub(crate) waker: Option<Waker>,
}

struct Place {
    generation: u64,
    slot: Option<Slot>,
}

/// The calls in flight.
pub(crate) struct Slots {
    places: Vec<Place>,
    free: Vec<u32>,
    unheard: u64,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots { places: Vec::new(), free: Vec::new(), unheard: 0 }
    }

    /// Gives the slot a number; nothing if a million calls are in flight.
    pub(crate) fn insert(&mut self, slot: Slot) -> Option<u64> {
        if let Some(at) = self.free.pop() {
            let place = &mut self.places[at as usize];
            place.generation = place.generation % GENERATIONS + 1;
            place.slot = Some(slot);
            return Some(place.generation << PLACE_BITS | u64::from(at));
        }
        if self.places.len() >= PLACES {
            return None;
        }
        self.places.push(Place { generation: 1, slot: Some(slot) });
        Some(1 << PLACE_BITS | (self.places.len() - 1) as u64)
    }

    /// A number for a call whose reply nobody waits for.
    pub(crate) fn unheard(&mut self) -> u64 {
        self.unheard = self.unheard % GENERATIONS + 1;
        self.unheard << PLACE_BITS | PLACES as u64
    }

    pub(crate) fn get_mut(&mut self, call: u64) -> Option<&mut Slot> {
        let place = self.places.get_mut(Self::at(call))?;
        if place.generation == call >> PLACE_BITS { place.slot.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, call: u64) -> Option<Slot> {
        let at = Self::at(call);
        let place = self.places.get_mut(at)?;
        if place.generation != call >> PLACE_BITS {
            return None;
        }
        let slot = place.slot.take()?;
        self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
        Some(slot)
    }

    /// All calls in flight with their numbers.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Slot)> {
        self.places.iter_mut().enumerate().filter_map(|(at, place)| {
            let call = place.generation << PLACE_BITS | at as u64;
            place.slot.as_mut().map(|slot| (call, slot))
        })
    }

    fn at(call: u64) -> usize {
        usize::try_from(call & PLACES as u64).unwrap_or(PLACES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Slot {
        Slot::Stream(StreamSlot::default())
    }

    #[test]
    fn a_number_is_not_used_for_two_calls() {
        let mut slots = Slots::new();
        let first = slots.insert(stream()).unwrap();
        assert!(slots.remove(first).is_some());
        let second = slots.insert(stream()).unwrap();
        assert_ne!(first, second);
        assert!(slots.get_mut(first).is_none());
        assert!(slots.remove(first).is_none());
        assert!(slots.get_mut(second).is_some());
    }

    #[test]
    fn zero_and_unheard_numbers_find_nothing() {
        let mut slots = Slots::new();
        slots.insert(stream()).unwrap();
        let unheard = slots.unheard();
        assert!(slots.get_mut(0).is_none());
        assert!(slots.get_mut(unheard).is_none());
        assert_ne!(unheard, slots.unheard());
    }
}
