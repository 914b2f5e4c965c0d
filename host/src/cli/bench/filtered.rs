//! A read that finds one event in a thousand by its key, beside a read of all of them.

use super::driver::{Inbox, refusal};
use super::engine::{Setup, close};
use super::point::median;
use crate::cli::exit;
use crate::cli::failure::Failure;
use atomic_store::engine::{Engine, ReplyTo, Selection, Taken};
use atomic_store_core::{Append, AppendId, Filter, Key, Proposal, ScopeName};
use std::sync::Arc;
use std::time::Instant;

/// One event in so many is about the key.
const ONE_IN: u64 = 1_000;
/// Events of one append while the scope is filled.
const APPEND: u64 = 500;
/// Appends in flight meanwhile.
const IN_FLIGHT: u64 = 8;
/// Reads of each sort; the one in the middle counts.
const ROUNDS: usize = 5;

/// What was measured.
pub(super) struct Filtered {
    pub(super) events: u64,
    pub(super) matches: u64,
    pub(super) all_ms: f64,
    pub(super) filtered_ms: f64,
}

impl Filtered {
    /// How many times as long it takes to read all.
    pub(super) fn ratio(&self) -> f64 {
        self.all_ms / self.filtered_ms
    }
}

/// Fills a scope, opens the store again and reads. Events are judged by nobody: this is about reading.
pub(super) fn measure(setup: &Setup, events: u64) -> Result<Filtered, Failure> {
    let setup = Setup { dir: setup.dir.clone(), shape: setup.shape.clone(), component: None };
    let dir = tempfile::tempdir_in(&setup.dir)
        .map_err(|error| Failure::file(setup.dir.display(), &error))?;
    let scope = ScopeName::new("bench/0").map_err(|error| Failure::usage(error.to_string()))?;
    let store = setup.open(dir.path())?;
    setup.bind(store.engine(), None)?;
    fill(store.engine(), &setup, &scope, events)?;
    close(store)?;

    let store = setup.open(dir.path())?;
    let all = Selection::new(Some(scope));
    let filter = Filter { keys: vec![wanted()], ..Filter::default() };
    let filtered = Selection { filter, ..all.clone() };
    let (mut all_ms, mut filtered_ms, mut matches) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let (found, ms) = read(store.engine(), &all)?;
        if found != events {
            let why = format!("{found} of {events} events were read");
            return Err(Failure::new(exit::DAMAGED, why));
        }
        all_ms.push(ms);
        let (found, ms) = read(store.engine(), &filtered)?;
        matches = found;
        filtered_ms.push(ms);
    }
    close(store)?;
    let (all_ms, filtered_ms) = (median(&mut all_ms), median(&mut filtered_ms));
    Ok(Filtered { events, matches, all_ms, filtered_ms })
}

fn wanted() -> Key {
    Key::new("item", "wanted")
}

fn fill(engine: &Engine, setup: &Setup, scope: &ScopeName, events: u64) -> Result<(), Failure> {
    let inbox = Arc::new(Inbox::default());
    let to: Arc<dyn ReplyTo> = Arc::clone(&inbox) as _;
    let (mut sent, mut in_flight, mut answers) = (0, 0, Vec::new());
    while sent < events || in_flight > 0 {
        while sent < events && in_flight < IN_FLIGHT {
            let last = events.min(sent + APPEND);
            let proposals = (sent + 1..=last).map(|n| Proposal {
                keys: vec![match n % ONE_IN {
                    0 => wanted(),
                    _ => Key::new("item", &(n % 10_007).to_string()),
                }],
                ..setup.shape.proposal(n)
            });
            let id = AppendId(u128::from(last).to_be_bytes());
            engine.append(Append::new(scope.clone(), id, proposals.collect()), &to, last);
            (sent, in_flight) = (last, in_flight + 1);
        }
        inbox.take(&mut answers);
        for (_, answer) in answers.drain(..) {
            in_flight -= 1;
            if let Err(why) = answer {
                return Err(refusal(&why));
            }
        }
    }
    Ok(())
}

/// Reads a selection to its end; gives the number of events and the milliseconds that it took.
fn read(engine: &Engine, selection: &Selection) -> Result<(u64, f64), Failure> {
    let failed = |why: String| Failure::new(exit::DAMAGED, why);
    let (start, mut events) = (Instant::now(), 0);
    let mut scan = engine.select(selection.clone()).map_err(|why| failed(why.to_string()))?;
    while !scan.is_done() {
        let step = engine.step(&mut scan, &mut |_| {
            events += 1;
            Taken::Next
        });
        step.map_err(|why| failed(why.to_string()))?;
    }
    Ok((events, start.elapsed().as_secs_f64() * 1e3))
}
