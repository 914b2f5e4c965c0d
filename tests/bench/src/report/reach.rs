//! What was to be reached, and what was: the last table of the page.

use super::sections::name;
use super::{Results, stored};
use crate::failure::Failure;
use crate::servers::Peer;
use crate::stats::{Middle, ratio};
use atomic_store_core::counted;
use std::fmt::Write;
use std::path::Path;

/// Why more is not reached where both cores are busy.
const CORES: &str = "both cores are busy, with the clients on them, too: a bid costs about 16 us of CPU in all, of which the clients \
     take 3, the rules 2, the way into the sandbox 1, and the tree 5";
/// The same without rules, and with a key.
const KEYED: &str = "both cores are busy, with the clients on them, too: an append with a key costs about 18 us of CPU in all, of \
     which the clients take 3 and the tree 7: a key is a row of its index";
/// Why more is not reached with few clients.
const WAITS: &str =
    "with so few clients everybody waits for the same sync, and then for the same cores";

/// So many times as fast as a peer, in one case.
struct Times {
    section: char,
    case: &'static str,
    clients: usize,
    peer: Peer,
    reach: f64,
    otherwise: &'static str,
}

const fn times(
    section: char,
    case: &'static str,
    (clients, reach): (usize, f64),
    peer: Peer,
    otherwise: &'static str,
) -> Times {
    Times { section, case, clients, peer, reach, otherwise }
}

const TIMES: [Times; 10] = [
    times('a', "100 auctions", (1, 2.0), Peer::PostgresRowLock, WAITS),
    times('a', "100 auctions", (64, 15.0), Peer::PostgresRowLock, WAITS),
    times('a', "100 auctions", (1_024, 25.0), Peer::PostgresRowLock, CORES),
    times('a', "1 auction", (1_024, 10.0), Peer::Umadb, CORES),
    times('a', "100 auctions", (64, 10.0), Peer::Umadb, WAITS),
    times('a', "100 auctions", (1_024, 10.0), Peer::Umadb, CORES),
    times('b', "1 event per append", (1, 2.0), Peer::Umadb, WAITS),
    times('b', "1 event per append", (64, 6.0), Peer::Umadb, WAITS),
    times('b', "1 event per append", (256, 8.0), Peer::Umadb, KEYED),
    times('b', "1 event per append", (1_024, 10.0), Peer::Umadb, KEYED),
];

/// The table; empty without results.
pub(super) fn table(out: &Path) -> Result<String, Failure> {
    let mut rows = String::new();
    for goal in &TIMES {
        let Some(results) = stored(out, goal.section)? else { continue };
        let of = |peer| results.point(peer, goal.case, goal.clients);
        let (Some(ours), Some(theirs)) = (of(Peer::Atomic), of(goal.peer)) else { continue };
        let Some(found) = ours.times(theirs) else { continue };
        let (clients, peer) = (counted(goal.clients as u64, "client"), name(goal.peer, goal.case));
        let what = format!("{}. {}, {clients}: times {peer}", goal.section, goal.case);
        let (wanted, got) = (format!("at least {}", ratio(goal.reach)), ratio(found));
        row(&mut rows, &what, &wanted, &got, found >= goal.reach, goal.otherwise)?;
    }
    if let Some(results) = stored(out, 'd')? {
        for clients in ["100 subscribers", "1,000 subscribers"] {
            let Some(per_s) = deliveries(&results, clients) else { continue };
            let got = crate::stats::rate(per_s.median);
            let why = "each delivery is a write to a connection of its own";
            row(
                &mut rows,
                &format!("d. {clients}: deliveries per second"),
                "at least 1,000,000",
                &got,
                per_s.median >= 1e6,
                why,
            )?;
        }
    }
    for (section, what, wanted, most, why) in [
        (
            'e',
            "open after SIGKILL, ms",
            "at most 1,000",
            1_000.0,
            "what was not flushed is replayed",
        ),
        (
            'f',
            "of the payload, after an orderly end",
            "at most 1.3",
            1.3,
            "keys, hashes and ids do not compress",
        ),
    ] {
        let Some(results) = stored(out, section)? else { continue };
        let fact = results.facts.iter().find(|fact| fact.what == what);
        let Some(middle) = fact.and_then(|fact| Middle::of(fact.values.iter().copied())) else {
            continue;
        };
        let case = fact.map_or("", |fact| fact.case.as_str());
        let got = format!("{:.2}", middle.median);
        row(
            &mut rows,
            &format!("{section}. {case}: {what}"),
            wanted,
            &got,
            middle.median <= most,
            why,
        )?;
    }
    if rows.is_empty() {
        return Ok(rows);
    }
    let head = "\n## What was to be reached\n\n| what | to reach | reached | if not, why |\n|---|---:|---:|---|\n";
    Ok(format!("{head}{rows}"))
}

fn deliveries(results: &Results, case: &str) -> Option<Middle> {
    let of_case = |point: &&super::Point| point.peer == Peer::Atomic && point.case == case;
    results.points.iter().find(of_case)?.per_s()
}

fn row(
    rows: &mut String,
    what: &str,
    wanted: &str,
    got: &str,
    reached: bool,
    otherwise: &str,
) -> Result<(), Failure> {
    let (got, why) = if reached { (got.to_owned(), "") } else { (format!("**{got}**"), otherwise) };
    Ok(writeln!(rows, "| {what} | {wanted} | {got} | {why} |")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missed_has_a_reason() {
        let mut rows = String::new();
        row(&mut rows, "one", "at least 2", "3", true, "too slow").expect("it is text");
        row(&mut rows, "other", "at least 2", "1", false, "too slow").expect("it is text");
        assert_eq!(
            rows,
            "| one | at least 2 | 3 |  |\n| other | at least 2 | **1** | too slow |\n"
        );
    }
}
