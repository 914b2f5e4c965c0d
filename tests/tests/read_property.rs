//! Every way to read, against a model that looks at the whole log: random logs with keys, triggers and
//! effects; random filters, bounds, directions, pages and replays. Seeds: SEED=n repeats one.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Client, Selection};
use atomic_store_core::protocol::Replay;
use atomic_store_core::{Event, Filter, Key, Limits, Outcome, Proposal, ScopeName, Span};
use atomic_store_tests::{Disk, Rng};
use net_support::*;
use std::collections::BTreeSet;

const SCOPES: u64 = 3;

fn key(rng: &mut Rng) -> Key {
    let kinds = ["book", "user", "door"];
    Key::new(kinds[rng.index(3)], &rng.below(4).to_string())
}

fn trigger(rng: &mut Rng) -> Key {
    Key::new("clock", &rng.below(4).to_string())
}

fn some<T>(rng: &mut Rng, most: u64, make: impl Fn(&mut Rng) -> T) -> Vec<T> {
    let count = rng.below(most + 1);
    (0..count).map(|_| make(rng)).collect()
}

fn proposal(rng: &mut Rng) -> Proposal {
    let kind = ["made", "lent", "lost"][rng.index(3)];
    let size = usize::try_from(rng.below(200)).unwrap();
    let mut proposal = Proposal::json(kind, vec![b'1'; size]);
    if rng.one_in(6) {
        proposal.triggers = vec![trigger(rng)];
    } else if !rng.one_in(5) {
        proposal.keys = some(rng, 2, key);
        if rng.one_in(3) && !proposal.keys.is_empty() {
            proposal.triggers = some(rng, 2, trigger);
        }
    }
    proposal.caller_ms = (!rng.one_in(4)).then(|| 1_000 + rng.below(50));
    proposal
}

async fn fill(client: &Client, rng: &mut Rng, events: u64) {
    let most = (events / 100).max(5);
    let mut left = events;
    while left > 0 {
        let scope = scope(&format!("s/{}", rng.below(SCOPES)));
        let count = 1 + rng.below(most).min(left - 1);
        let proposals: Vec<_> = (0..count).map(|_| proposal(rng)).collect();
        left -= count;
        let append = atomic_store_core::Append::new(scope, client.new_id(), proposals);
        let answer = client.append(append).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
        if rng.one_in(8) {
            // So that host times differ.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

fn filter(rng: &mut Rng, events: &[(ScopeName, Event)]) -> Filter {
    let mut filter = Filter::default();
    if rng.one_in(4) {
        return filter;
    }
    if rng.one_in(2) {
        filter.keys = some(rng, 3, key);
    }
    if rng.one_in(4) {
        filter.triggers = some(rng, 2, trigger);
    }
    if rng.one_in(4) {
        filter.key_kinds = vec![key(rng).kind];
    }
    if rng.one_in(4) {
        filter.kinds = vec!["lent".to_owned(), "lost".to_owned()];
    }
    if rng.one_in(5) {
        filter.caller_ms = Span { from: Some(1_010), until: Some(1_000 + 11 + rng.below(40)) };
    }
    if rng.one_in(4) {
        // The machine's clock may be set back.
        let times = || events.iter().map(|(_, event)| event.host_ms);
        let (first, last) = (times().min().unwrap(), times().max().unwrap() + 2);
        let from = first + rng.below(last - first);
        filter.host_ms.from = rng.one_in(2).then_some(from);
        filter.host_ms.until = rng.one_in(2).then_some(from + 1 + rng.below(last - from + 1));
    }
    filter
}

fn any<T>(wanted: &[T], fits: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

fn within(span: Span, ms: Option<u64>) -> bool {
    (span.from.is_none() && span.until.is_none())
        || ms.is_some_and(|ms| {
            span.from.is_none_or(|from| from <= ms) && span.until.is_none_or(|until| ms < until)
        })
}

fn passes(filter: &Filter, event: &Event) -> bool {
    any(&filter.keys, |key| event.keys.contains(key))
        && any(&filter.triggers, |key| event.triggers.contains(key))
        && any(&filter.kinds, |kind| event.kind == *kind)
        && any(&filter.key_kinds, |kind| event.keys.iter().any(|key| key.kind == *kind))
        && within(filter.caller_ms, event.caller_ms)
        && within(filter.host_ms, Some(event.host_ms))
}

struct Question {
    scope: Option<ScopeName>,
    after: u64,
    through: u64,
    backwards: bool,
    filter: Filter,
    replay: Replay,
}

/// What must come: places, and whether they are replayed.
fn model(log: &[(ScopeName, Event)], question: &Question) -> Vec<(ScopeName, u64, bool)> {
    let mut out = Vec::new();
    let number = |event: &Event| match question.scope {
        Some(_) => event.seq.0,
        None => event.position.0,
    };
    let of_scope = |name: &ScopeName| question.scope.as_ref().is_none_or(|scope| scope == name);
    let events: Vec<_> = log
        .iter()
        .filter(|(name, event)| of_scope(name) && number(event) <= question.through)
        .collect();
    let mut touched = BTreeSet::new();
    if question.replay != Replay::Off {
        let fired: BTreeSet<&Key> = events
            .iter()
            .filter(|(_, event)| event.is_effect() && number(event) > question.after)
            .flat_map(|(_, event)| &event.triggers)
            .collect();
        for (_, event) in &events {
            if event.triggers.iter().any(|trigger| fired.contains(trigger)) {
                touched.extend(&event.keys);
            }
        }
    }
    for (name, event) in &events {
        let replayed = number(event) <= question.after;
        let wanted = match replayed {
            true => event.keys.iter().any(|key| touched.contains(key)),
            false => !(question.replay == Replay::Touched && event.is_effect()),
        };
        if wanted && passes(&question.filter, event) {
            out.push((name.clone(), number(event), replayed));
        }
    }
    if question.backwards {
        out.reverse();
    }
    out
}

/// The same from the store, in pages of random size.
async fn ask(client: &Client, question: &Question, rng: &mut Rng) -> Vec<(ScopeName, u64, bool)> {
    let mut selection = match &question.scope {
        Some(scope) => Selection::of(scope),
        None => Selection::all(),
    };
    selection = selection
        .after(question.after)
        .through(question.through)
        .filter(question.filter.clone())
        .replay(question.replay);
    if question.backwards {
        selection = selection.backwards();
    }
    let paged = rng.one_in(2);
    let (mut out, mut token) = (Vec::new(), None);
    let pages = if client.limits().page_events_max > 20 { 20_000 } else { 7 };
    loop {
        let page = match &token {
            Some(token) => selection.clone().page(token).unwrap(),
            None => selection.clone(),
        };
        let page = if paged { page.limit(1 + rng.below(pages)) } else { page };
        let mut stream = client.select(&page);
        while let Some(found) = stream.next().await {
            let found = found.unwrap();
            let number = match question.scope {
                Some(_) => found.event.seq.0,
                None => found.event.position.0,
            };
            out.push((found.scope, number, found.replayed));
        }
        token = stream.page();
        if token.is_none() {
            return out;
        }
    }
}

/// Asks a store in memory. Gives the number of events that were replayed.
async fn run(seed: u64, limits: Limits, events: u64, questions: u64) -> usize {
    let server = Running::start(limits).await;
    let replayed = of_a_store(&server.client().await, seed, events, questions).await;
    server.stop().await;
    replayed
}

async fn of_a_store(client: &Client, seed: u64, events: u64, questions: u64) -> usize {
    let mut rng = Rng::new(seed);
    let mut replayed = 0;
    fill(client, &mut rng, events).await;
    let mut log = Vec::new();
    let mut all = client.select(&Selection::all());
    while let Some(found) = all.next().await {
        let found = found.unwrap();
        log.push((found.scope, found.event));
    }
    assert!(log.len() as u64 > events, "the store's own events are there, too");
    for number in 0..questions {
        let scope = (!rng.one_in(3)).then(|| scope(&format!("s/{}", rng.below(SCOPES + 1))));
        let most = if scope.is_some() { events / SCOPES + 5 } else { events + 5 };
        let replay = match (&scope, rng.below(3)) {
            (Some(_), 1) => Replay::Touched,
            (Some(_), 2) => Replay::TouchedAndEffects,
            _ => Replay::Off,
        };
        let after = if rng.one_in(3) { 0 } else { rng.below(most) };
        let question = Question {
            backwards: replay == Replay::Off && rng.one_in(2),
            after,
            through: if rng.one_in(2) { u64::MAX } else { rng.below(after + most) },
            filter: filter(&mut rng, &log),
            scope,
            replay,
        };
        let expected = model(&log, &question);
        let found = ask(client, &question, &mut rng).await;
        replayed += found.iter().filter(|(_, _, replayed)| *replayed).count();
        assert_eq!(
            found,
            expected,
            "seed {seed}, question {number}: {:?} after {} through {} backwards {} {:?} {:?}",
            question.scope,
            question.after,
            question.through,
            question.backwards,
            question.replay,
            question.filter
        );
    }
    replayed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_is_what_a_look_at_the_whole_log_gives() {
    let mut replayed = 0;
    for seed in Rng::seeds(1, 25) {
        let mut rng = Rng::new(seed);
        let limits = Limits {
            page_events_max: 1 + rng.index(20),
            page_bytes_max: 200 + rng.index(3_000),
            ..Limits::default()
        };
        replayed += run(seed, limits, 20 + rng.below(120), 60).await;
    }
    assert!(replayed > 0, "no effect touched anything");
}

/// So many events that every read takes several steps, and pages are full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_of_long_logs() {
    let mut replayed = 0;
    for seed in Rng::seeds(1, 2) {
        replayed += run(seed, Limits::default(), 40_000, 40).await;
    }
    assert!(replayed > 1_024, "only {replayed} were replayed");
}

/// A store on disk, before and after it was opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_of_stores_on_disk() {
    for seed in Rng::seeds(1, 3) {
        let disk = Disk::new(Limits { page_events_max: 50, ..Limits::default() });
        for round in 0..2 {
            let caller = disk.caller();
            if round == 0 {
                caller.bind("*", "accept-all");
            }
            let client = Client::over(atomic_store::server::attach(&caller.engine)).await.unwrap();
            of_a_store(&client, seed + round, 300, 60).await;
            drop(client);
            assert!(caller.engine.close(PATIENCE));
        }
    }
}
