//! e: cold start, of the store and of a scope.

use crate::failure::Failure;
use crate::job::{Fill, Work};
use crate::runner::{Bench, Turn, load};
use crate::servers::{Peer, Server, bind_atomic, first_append};
use atomic_store_core::grouped;

/// Scopes over which the events of the store are spread.
const SCOPES: usize = 1_000;

fn turn<'a>(clients: usize, work: Work) -> Turn<'a> {
    Turn { case: "filling", clients, seconds: 0.0, work, tag: None }
}

/// Clients whose bids are refused, and their auctions: so many that the journal of rejections, which keeps
/// a thousand of each scope, becomes full.
const REFUSED_CLIENTS: usize = 256;
const REFUSED_SCOPES: usize = 200;
/// Seconds of it.
const REFUSED_SECONDS: f64 = 3.0;

/// Fills the journal of rejections.
fn refuse(bench: &mut Bench<'_>, server: &Server) -> Result<(), Failure> {
    let work = Work::Refused { scopes: REFUSED_SCOPES };
    let turn = Turn { seconds: REFUSED_SECONDS, ..turn(REFUSED_CLIENTS, work) };
    let refused = load(server, Peer::Atomic, 0.0, &turn, "low")?;
    let case = format!("{REFUSED_CLIENTS} clients whose bids are all too low");
    bench.fact(&case, "refused per second", refused.per_s());
    Ok(())
}

/// Fills a store, kills it, and takes the time of its start and of the first append to cold scopes.
pub(crate) fn cold(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let plan = bench.plan.clone();
    let mut server = Server::start(Peer::Atomic.program(), bench.options)?;
    bench.about(&server);
    let auctions: u64 = plan.cold_lengths.iter().sum();
    let events = plan.cold_store.saturating_sub(auctions).div_ceil(SCOPES as u64);
    let fill = Work::Fill(Fill { scopes: SCOPES, events });
    load(&server, Peer::Atomic, 0.0, &turn(8, fill), "cold")?;
    for length in &plan.cold_lengths {
        let fill = Work::FillBids(Fill { scopes: 1, events: *length });
        let filled = load(&server, Peer::Atomic, 0.0, &turn(1, fill), &format!("length{length}"))?;
        if filled.done >= 100_000 {
            bench.fact("storing bids, 500 in an append", "events per second", filled.per_s());
        }
    }
    refuse(bench, &server)?;
    let store = format!("the store, {} events", grouped(plan.cold_store));
    let mut appended = 0;
    let mut round = 0;
    while bench.another_round(round, plan.rounds)? {
        round += 1;
        for (snapshot, what) in [(true, "first append"), (false, "first append, no snapshot")] {
            let open = server.restart_atomic(bench.options)?;
            bench.fact(&store, "open after SIGKILL, ms", open.as_secs_f64() * 1e3);
            if !snapshot {
                // Another configuration is another rule: no snapshot was made under it.
                let config = format!(r#"{{"increment":"0.{round:02}"}}"#);
                bind_atomic(&server, None, Some(&config))?;
            }
            appended += 1;
            // The first append of all finds a validator that is not compiled, whatever its scope.
            let took = first_append(&server, "first", appended)?;
            bench.fact(
                "the first append of all, to a new scope",
                "first append, us",
                took.as_secs_f64() * 1e6,
            );
            for length in &plan.cold_lengths {
                let scope = format!("length{length}-0");
                let took = first_append(&server, &scope, length + appended)?;
                let case = format!("a scope of {}", grouped(*length));
                bench.fact(&case, &format!("{what}, us"), took.as_secs_f64() * 1e6);
            }
        }
        // Back to the rule whose snapshots are there.
        bind_atomic(&server, None, None)?;
    }
    Ok(())
}
