//! What an append costs the store, in allocations: a count that is the same on every machine, busy or
//! not, where a time is not. The engine runs by hand on a log in memory, so all of the path from the
//! append to its answer is on this thread: mailbox, conditions, sandbox, chain, commit, answer.
//!
//! The bounds are what was counted when they were last changed. More fails: find out where it comes
//! from, or raise the bound in the commit that explains why. Less is good: lower the bound.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{ACCEPT_ALL, Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store::plugin::WasmLoader;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{Append, AppendId, Key, Limits, Outcome, Proposal, Seq};
use atomic_store_tests::{Caller, Hands, JumpingClock, guest, scope};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts the calls of each thread. Freeing does not count: each
/// allocation is freed once.
struct Counting;

fn count() {
    // A thread that ends may allocate after its counter is gone; nobody asks for that one.
    if COUNT.try_with(|count| count.set(count.get() + 1)).is_err() {}
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Appends that are not counted: caches fill, tables grow to their size.
const WARM_UP: u64 = 300;
/// Rounds that are counted. Now and then a table grows, and hash tables do so at random; what an append
/// itself allocates is in every round, so the fewest of all rounds is exact.
const ROUNDS: u64 = 100;
/// Appends in flight in a crowd.
const CROWD: u64 = 64;

/// What an append says beside its payload.
#[derive(Clone, Copy)]
enum Says {
    Nothing,
    KeyAndCondition,
}

struct Bench {
    caller: Caller,
    name: &'static str,
    sent: u64,
}

impl Bench {
    /// A store in which accept-all judges `plain/*` and the Rust auction judges `auction/*`.
    fn new(name: &'static str) -> Self {
        let limits = Limits::default();
        let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
        let loader = WasmLoader::new(limits.clone()).unwrap();
        let (hands, clock) = (Arc::<Hands>::default(), Arc::<JumpingClock>::default());
        let drive = Drive::Manual(Arc::clone(&hands) as _);
        let engine = Engine::open(log, Arc::new(loader), clock, limits, drive).unwrap();
        let caller = Caller::by_hand(engine, &hands);
        if name.starts_with("auction/") {
            caller.rule("auction/*", &guest("auction"));
        } else {
            caller.bind("plain/*", ACCEPT_ALL);
        }
        Bench { caller, name, sent: 0 }
    }

    fn next(&mut self, says: Says) -> Append {
        self.sent += 1;
        let note = "x".repeat(160);
        let payload = format!(r#"{{"bidder":"ann","amount":{},"note":"{note}"}}"#, self.sent);
        let mut proposal = Proposal::json("bid", payload);
        let id = AppendId(u128::from(self.sent).to_be_bytes());
        match says {
            Says::Nothing => Append::new(scope(self.name), id, vec![proposal]),
            Says::KeyAndCondition => {
                proposal.keys.push(Key::new("lot", &(self.sent % 16).to_string()));
                let append = Append::new(scope(self.name), id, vec![proposal]);
                append.since(Seq(self.sent - 1))
            }
        }
    }

    /// Allocations from sending so many appends at once to having their answers, those that make the
    /// appends not included.
    fn round(&mut self, says: Says, in_flight: u64) -> u64 {
        let appends: Vec<_> = (0..in_flight).map(|_| self.next(says)).collect();
        let mut calls = Vec::with_capacity(appends.len());
        let mut answers = Vec::with_capacity(appends.len());
        let before = COUNT.get();
        for append in appends {
            calls.push(self.caller.send(append));
        }
        for call in calls {
            answers.push(self.caller.wait(call));
        }
        let counted = COUNT.get() - before;
        for answer in answers {
            assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
        }
        counted
    }

    /// The fewest of many rounds.
    fn fewest(&mut self, says: Says, in_flight: u64) -> u64 {
        for _ in 0..WARM_UP.div_ceil(in_flight) {
            self.round(says, in_flight);
        }
        (0..ROUNDS).map(|_| self.round(says, in_flight)).min().unwrap()
    }
}

/// The bounds on a single append, and on 64 to one scope together.
fn assert_within(name: &'static str, says: Says, bounds: [u64; 2]) {
    let counted = [1, CROWD].map(|in_flight| Bench::new(name).fewest(says, in_flight));
    let within = counted.iter().zip(&bounds).all(|(counted, bound)| counted <= bound);
    assert!(within, "1 and {CROWD} appends took {counted:?} allocations, and may take {bounds:?}");
}

#[test]
fn the_counter_counts_one_for_one() {
    let before = COUNT.get();
    let one = Box::new([7_u8; 100]);
    assert_eq!(COUNT.get() - before, 1, "so one allocation above a bound fails");
    drop(one);
    assert_eq!(COUNT.get() - before, 1);
}

#[test]
fn an_append_that_nobody_judges_stays_within_its_allocations() {
    assert_within("plain/1", Says::Nothing, [12, 526]);
}

#[test]
fn an_append_with_a_key_and_a_condition_stays_within_its_allocations() {
    assert_within("plain/1", Says::KeyAndCondition, [14, 660]);
}

#[test]
fn an_append_that_the_auction_judges_stays_within_its_allocations() {
    assert_within("auction/1", Says::Nothing, [13, 590]);
}
