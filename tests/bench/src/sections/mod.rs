//! The sections of the page, and what each of them measures.

mod cold;
mod sizes;

use crate::failure::Failure;
use crate::job::{Fill, Work};
use crate::runner::{Bench, Turn};
use crate::servers::Peer;
use atomic_store_core::grouped;

pub(crate) use cold::cold;
pub(crate) use sizes::sizes;

/// Clients of an auction that grows.
pub(crate) const GROW_CLIENTS: usize = 256;
/// Writers while subscribers listen.
const WRITERS: usize = 16;
/// Events of a short scope.
const SHORT: u64 = 100;
/// Subscribers of a scope.
const SUBSCRIBERS: [usize; 3] = [1, 100, 1_000];

/// What tables call a spread of bids.
fn spread_name(scopes: usize, zipf: Option<f64>) -> String {
    let of = if scopes == 1 { "auction" } else { "auctions" };
    match zipf {
        None => format!("{} {of}", grouped(scopes as u64)),
        Some(exponent) => format!("{} {of}, Zipf {exponent}", grouped(scopes as u64)),
    }
}

/// a: read, decide, append.
pub(crate) fn bids(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.start(&Peer::ALL);
    let peers = bench.running(&Peer::ALL);
    let plan = bench.plan.clone();
    let mut round = 0;
    while bench.another_round(round, plan.rounds)? {
        for (scopes, zipf) in &plan.spreads {
            for clients in &plan.clients {
                let work = Work::Bids { scopes: *scopes, zipf: *zipf };
                let case = &spread_name(*scopes, *zipf);
                let seconds = plan.seconds;
                let turn = Turn { case, clients: *clients, seconds, work, tag: None };
                bench.round(round, &peers, &turn);
            }
        }
        round += 1;
    }
    Ok(())
}

/// b: conditional appends without rules.
pub(crate) fn conditional(bench: &mut Bench<'_>) -> Result<(), Failure> {
    const PEERS: [Peer; 2] = [Peer::Atomic, Peer::Umadb];
    bench.start(&PEERS);
    let peers = bench.running(&PEERS);
    let plan = bench.plan.clone();
    let mut round = 0;
    while bench.another_round(round, plan.rounds)? {
        for (case, events) in [("1 event per append", 1), ("100 events per append", 100)] {
            for clients in &plan.conditional_clients {
                let (clients, seconds) = (*clients, plan.seconds);
                let work = Work::Conditional { events };
                bench.round(round, &peers, &Turn { case, clients, seconds, work, tag: None });
            }
        }
        round += 1;
    }
    Ok(())
}

/// c: one auction that grows.
pub(crate) fn grow(bench: &mut Bench<'_>) -> Result<(), Failure> {
    bench.start(&Peer::ALL);
    let peers = bench.running(&Peer::ALL);
    let plan = bench.plan.clone();
    let tenth = plan.grow_to / 10;
    let mut marks = vec![1_000, 10_000];
    marks.extend((1..=10).map(|n| n * tenth));
    let mut round = 0;
    while bench.another_round(round, plan.grow_rounds)? {
        let turn = Turn {
            case: "one auction that grows",
            clients: GROW_CLIENTS,
            seconds: plan.grow_seconds,
            work: Work::Grow { marks: marks.clone() },
            tag: None,
        };
        bench.round(round, &peers, &turn);
        round += 1;
    }
    Ok(())
}

/// d: reading and live subscriptions.
pub(crate) fn reading(bench: &mut Bench<'_>) -> Result<(), Failure> {
    const PEERS: [Peer; 3] = [Peer::Atomic, Peer::Umadb, Peer::PostgresRowLock];
    bench.start(&PEERS);
    let peers = bench.running(&PEERS);
    let plan = bench.plan.clone();
    let long = Fill { scopes: 1, events: plan.long_scope };
    let short = Fill { scopes: plan.short_scopes, events: SHORT };
    let all = plan.long_scope + plan.short_scopes as u64 * SHORT;
    let long_name = format!("one scope of {}", grouped(plan.long_scope));
    let short_name = format!("{} scopes of {SHORT}", grouped(plan.short_scopes as u64));
    let turn = |case, clients, work, tag| Turn { case, clients, seconds: 0.0, work, tag };
    bench.round(
        0,
        &peers,
        &turn("storing the long scope", 1, Work::Fill(long.clone()), Some("long")),
    );
    let fill = Work::Fill(short.clone());
    bench.round(0, &peers, &turn("storing the short scopes", 8, fill, Some("short")));
    let mut round = 0;
    while bench.another_round(round, plan.rounds)? {
        let read = Work::ReadScopes(long.clone());
        bench.round(round, &peers, &turn(&long_name, 1, read, Some("long")));
        let read = Work::ReadScopes(short.clone());
        bench.round(round, &peers, &turn(&short_name, 8, read, Some("short")));
        let read = Work::ReadAll { events: all };
        bench.round(round, &peers, &turn("all, in global order", 1, read, None));
        round += 1;
    }
    subscriptions(bench)
}

fn subscriptions(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let peers = bench.running(&[Peer::Atomic, Peer::Umadb]);
    let plan = bench.plan.clone();
    let mut round = 0;
    while bench.another_round(round, plan.rounds)? {
        for subscribers in SUBSCRIBERS {
            let of = if subscribers == 1 { "subscriber" } else { "subscribers" };
            let case = &format!("{} {of}", grouped(subscribers as u64));
            let work = Work::Subscribe { subscribers };
            let seconds = plan.subscribe_seconds;
            let turn = Turn { case, clients: WRITERS, seconds, work, tag: None };
            bench.round(round, &peers, &turn);
        }
        round += 1;
    }
    Ok(())
}
