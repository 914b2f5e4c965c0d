//! The tables of each section.

use super::plot::{Axis, Line, Plot};
use super::{Fact, Point, Results, folder};
use crate::failure::Failure;
use crate::job::Latency;
use crate::sections::GROW_CLIENTS;
use crate::servers::Peer;
use crate::stats::{Middle, bytes, rate, ratio, time};
use atomic_store_core::{counted, grouped};
use std::fmt::Write;
use std::path::Path;

const BIDS: &str = "\
One operation is one accepted bid, under the rules of `examples/auction`, judged against all bids before it. A bid that is
refused, or loses a race, is made again with a higher amount; that is part of its latency. Each measurement has new
auctions, opened before it begins. Numbers are accepted bids per second; in brackets, how many times as fast Atomic
Store is.

- Atomic Store: the client sends the bid; the rules run in the store.
- PostgreSQL, row lock: a row per auction keeps the fold. `BEGIN`, `SELECT .. FOR UPDATE`, the client bids and decides,
  `INSERT`, `UPDATE`, `COMMIT`.
- PostgreSQL, serializable: the same without the lock, and again from the start when the transaction fails.
- PostgreSQL, rules in a function: the row lock and the rules in PL/pgSQL, one round trip. The function raises a bid that
  was overtaken on its way, instead of refusing it.
- UmaDB: the client keeps the folds, decides, and appends on condition that nothing happened to the auction since. The
  bids of the load process on one auction take turns, so that it never races against itself; many processes would.
- Redis: a Lua script holds the rules; a hash keeps the fold, a stream the events.
- SQLite: in the client's process, on one connection.

";

/// What a section without rules calls a peer.
fn plain_name(peer: Peer) -> &'static str {
    match peer {
        Peer::PostgresRowLock => "PostgreSQL",
        Peer::Umadb => "UmaDB",
        peer => peer.name(),
    }
}

/// What the table of a case calls a peer.
pub(super) fn name(peer: Peer, case: &str) -> &'static str {
    if case.ends_with("per append") { plain_name(peer) } else { peer.name() }
}

/// The line of a table's head, and the line below it.
fn head(
    text: &mut String,
    first: &str,
    columns: impl IntoIterator<Item = String>,
) -> Result<(), Failure> {
    let columns: Vec<String> = columns.into_iter().collect();
    writeln!(text, "| {first} | {} |", columns.join(" | "))?;
    writeln!(text, "|---|{}", "---:|".repeat(columns.len()))?;
    Ok(())
}

fn clients_head(clients: &[usize]) -> impl Iterator<Item = String> {
    clients.iter().map(|count| counted(*count as u64, "client"))
}

/// A rate, and how many times as fast Atomic Store is, round by round; bold where it is not.
fn beside(own: Option<&Point>, point: Option<&Point>) -> String {
    let Some((point, per_s)) = point.and_then(|point| Some((point, point.per_s()?))) else {
        return "failed".to_owned();
    };
    let per_s = rate(per_s.median);
    match own.and_then(|own| own.times(point)) {
        Some(times) if point.peer != Peer::Atomic && times < 1.0 => {
            format!("**{per_s}** ({})", ratio(times))
        }
        Some(times) if point.peer != Peer::Atomic => format!("{per_s} ({})", ratio(times)),
        _ => per_s,
    }
}

/// A row for each peer, a column for each number of clients.
fn rates(text: &mut String, results: &Results, case: &str) -> Result<(), Failure> {
    let clients = results.clients(case);
    head(text, case, clients_head(&clients))?;
    for peer in results.peers() {
        let cells = clients.iter().map(|clients| {
            let point = |peer| results.point(peer, case, *clients);
            beside(point(Peer::Atomic), point(peer))
        });
        writeln!(text, "| {} | {} |", name(peer, case), cells.collect::<Vec<_>>().join(" | "))?;
    }
    writeln!(text)?;
    Ok(())
}

/// Latency, spread, attempts and shares of the CPU at one number of clients.
fn details(
    text: &mut String,
    results: &Results,
    case: &str,
    clients: usize,
) -> Result<(), Failure> {
    let columns = [
        "p50",
        "p99",
        "p99.9",
        "spread",
        "attempts per operation",
        "client's share of CPU time",
        "CPU per operation",
    ];
    let first = format!("{case}, {} clients", grouped(clients as u64));
    head(text, &first, columns.map(str::to_owned))?;
    for peer in results.peers() {
        let Some(point) = results.point(peer, case, clients) else { continue };
        let Some(per_s) = point.per_s() else { continue };
        let at = |of: fn(&Latency) -> u64| {
            point.middle(|sample| of(&sample.latency) as f64).map_or_else(String::new, time)
        };
        let attempts =
            point.middle(|one| 1.0 + one.retries as f64 / one.done.max(1) as f64).unwrap_or(0.0);
        let cpu = |one: &crate::job::Sample| (one.client_cpu + one.server_cpu).max(1e-9);
        let share = point.middle(|one| one.client_cpu / cpu(one) * 100.0).unwrap_or(0.0);
        let each = point.middle(|one| cpu(one) / one.done.max(1) as f64 * 1e6).unwrap_or(0.0);
        writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} % | {attempts:.1} | {share:.0} % | {} |",
            name(peer, case),
            at(|latency| latency.p50),
            at(|latency| latency.p99),
            at(|latency| latency.p999),
            per_s.spread_percent(),
            time(each),
        )?;
    }
    writeln!(text)?;
    Ok(())
}

/// Throughput against clients.
fn plot_rates(results: &Results, case: &str, name: &str, out: &Path) -> Result<String, Failure> {
    let clients = results.clients(case);
    let lines = results.peers().into_iter().map(|peer| Line {
        name: self::name(peer, case).to_owned(),
        points: clients
            .iter()
            .filter_map(|clients| {
                let per_s = results.point(peer, case, *clients)?.per_s()?;
                Some((*clients as f64, per_s.median))
            })
            .collect(),
    });
    let plot = Plot {
        title: format!("{case}: per second, by clients"),
        x: Axis::powers(clients.iter().map(|clients| *clients as f64)),
        y_name: "per second",
        lines: lines.collect(),
    };
    save(&plot, name, out)
}

/// A percentile and its name.
type Percentile = (&'static str, fn(&Latency) -> u64);

/// Latency at its percentiles.
fn plot_latency(
    results: &Results,
    case: &str,
    clients: usize,
    name: &str,
    out: &Path,
) -> Result<String, Failure> {
    let percentiles: [Percentile; 5] = [
        ("p50", |latency| latency.p50),
        ("p90", |latency| latency.p90),
        ("p99", |latency| latency.p99),
        ("p99.9", |latency| latency.p999),
        ("max", |latency| latency.max),
    ];
    let lines = results.peers().into_iter().map(|peer| Line {
        name: peer.name().to_owned(),
        points: percentiles
            .iter()
            .enumerate()
            .filter_map(|(at, (_, of))| {
                let point = results.point(peer, case, clients)?;
                let us = point.middle(|sample| of(&sample.latency) as f64)?;
                Some((at as f64, us))
            })
            .collect(),
    });
    let plot = Plot {
        title: format!("{case}, {} clients: latency in us", grouped(clients as u64)),
        x: Axis::named(percentiles.iter().map(|(name, _)| (*name).to_owned())),
        y_name: "us",
        lines: lines.collect(),
    };
    save(&plot, name, out)
}

fn save(plot: &Plot, name: &str, out: &Path) -> Result<String, Failure> {
    std::fs::write(folder(out).join(name), plot.svg())?;
    Ok(format!("![{}](benchmarks/{name})\n\n", plot.title))
}

/// Section a.
pub(super) fn bids(results: &Results, out: &Path) -> Result<String, Failure> {
    let mut text = BIDS.to_owned();
    for (at, case) in results.cases().into_iter().enumerate() {
        rates(&mut text, results, case)?;
        if let Some(raw) = Middle::of(results.raw.iter().copied()) {
            let own = results.clients(case).into_iter().filter_map(|clients| {
                let per_s = results.point(Peer::Atomic, case, clients)?.per_s()?;
                let multiple = ratio(per_s.median / raw.median).replace('x', "R");
                Some(format!("{multiple} at {}", grouped(clients as u64)))
            });
            let own: Vec<_> = own.collect();
            let own = if own.is_empty() { "none, it failed".to_owned() } else { own.join(", ") };
            writeln!(text, "Atomic Store in multiples of R: {own}.\n")?;
        }
        text += &plot_rates(results, case, &format!("a{}-rate.svg", at + 1), out)?;
        let clients = results.clients(case);
        let middle = clients.get(clients.len() / 2).copied().unwrap_or(1);
        details(&mut text, results, case, middle)?;
        let name = format!("a{}-latency.svg", at + 1);
        text += &plot_latency(results, case, middle, &name, out)?;
    }
    Ok(text)
}

/// Section b.
pub(super) fn conditional(results: &Results, out: &Path) -> Result<String, Failure> {
    let mut text = "\
Each client appends events about an entity of its own, on condition that nothing happened to it since the last answer;
Atomic Store with the built-in `accept-all`. Numbers are events per second.\n\n"
        .to_owned();
    for (at, case) in results.cases().into_iter().enumerate() {
        rates(&mut text, results, case)?;
        text += &plot_rates(results, case, &format!("b{}-rate.svg", at + 1), out)?;
        let clients = results.clients(case);
        details(&mut text, results, case, clients.get(clients.len() / 2).copied().unwrap_or(1))?;
    }
    Ok(text)
}

/// The median over the rounds at each length that every round reached.
fn lengths(point: &Point) -> Vec<(u64, f64, f64, f64)> {
    let steps = point.samples.iter().map(|sample| sample.steps.len()).min().unwrap_or(0);
    let at = |step: usize, of: fn(&crate::job::Step) -> f64| {
        point.middle(|sample| of(&sample.steps[step])).unwrap_or(0.0)
    };
    let row = |step| {
        let length = at(step, |one| one.length as f64) as u64;
        let p50 = at(step, |one| one.latency.p50 as f64);
        (length, at(step, |one| one.per_s), p50, at(step, |one| one.latency.p99 as f64))
    };
    (0..steps).map(row).collect()
}

/// Section c.
pub(super) fn grow(results: &Results, out: &Path) -> Result<String, Failure> {
    let mut text = format!(
        "{GROW_CLIENTS} clients bid on one auction until it has a million events, or the time is over. \
         Accepted bids per second and latency in the stretch that ends at each length.\n\n"
    );
    let case = results.cases().first().copied().unwrap_or_default();
    let mut lines = Vec::new();
    for peer in results.peers() {
        let Some(point) = results.point(peer, case, GROW_CLIENTS) else { continue };
        let rows = lengths(point);
        head(&mut text, peer.name(), ["bids per second", "p50", "p99"].map(str::to_owned))?;
        for (length, per_s, p50, p99) in &rows {
            let (length, per_s) = (grouped(*length), rate(*per_s));
            writeln!(
                text,
                "| up to {length} events | {per_s} | {} | {} |",
                time(*p50),
                time(*p99)
            )?;
        }
        writeln!(text)?;
        let points = rows.iter().map(|row| (row.0 as f64, row.1)).collect();
        lines.push(Line { name: peer.name().to_owned(), points });
    }
    let plot = Plot {
        title: "one hot auction: bids per second, by its length".to_owned(),
        x: Axis::powers([1_000.0, 10_000.0, 100_000.0, 1_000_000.0]),
        y_name: "per second",
        lines,
    };
    text += &save(&plot, "c-length.svg", out)?;
    Ok(text)
}

/// Section d.
pub(super) fn reading(results: &Results) -> Result<String, Failure> {
    let mut text = "\
Events are stored in large appends, then read by one load process. Atomic Store checks numbering and the chain of hashes
of all that it reads. With subscribers, 16 writers append to one scope as fast as the subscribers follow, and every
subscriber gets every event; numbers are then deliveries per second, all subscribers together, and the latency is that
from before an append is sent to the event's arrival at a subscriber. Numbers are events per second; in brackets, how
many times as fast Atomic Store is. PostgreSQL is not there: it has no subscription to what is stored (`NOTIFY` is a signal).\n\n"
        .to_owned();
    let peers = results.peers();
    head(&mut text, "what", peers.iter().map(|peer| plain_name(*peer).to_owned()))?;
    for case in results.cases() {
        let clients = results.clients(case).first().copied().unwrap_or(1);
        let cells = peers.iter().map(|peer| {
            let point = results.point(*peer, case, clients);
            if point.is_none() {
                return "-".to_owned();
            }
            let rate = beside(results.point(Peer::Atomic, case, clients), point);
            let p99 = point.and_then(|point| point.middle(|one| one.latency.p99 as f64));
            match p99.filter(|p99| *p99 > 0.0) {
                Some(p99) => format!("{rate}; p99 {}", time(p99)),
                None => rate,
            }
        });
        writeln!(text, "| {case} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
    }
    writeln!(text)?;
    Ok(text)
}

/// A row for each number, with its unit behind the last comma.
fn facts(text: &mut String, facts: &[Fact]) -> Result<(), Failure> {
    head(text, "what", ["number", "median", "lowest", "highest"].map(str::to_owned))?;
    for fact in facts {
        let Some(middle) = Middle::of(fact.values.iter().copied()) else { continue };
        let (what, unit) = fact.what.rsplit_once(", ").unwrap_or((&fact.what, ""));
        let show = |value: f64| match unit {
            "us" => time(value),
            "ms" => time(value * 1e3),
            _ if fact.what.starts_with("bytes") => bytes(value),
            _ if fact.what.starts_with("of the payload") => ratio(value),
            _ if value < 100.0 => format!("{value:.1}"),
            _ => rate(value),
        };
        let what = if matches!(unit, "us" | "ms") { what } else { &fact.what };
        let cells = [middle.median, middle.low, middle.high].map(show).join(" | ");
        writeln!(text, "| {} | {what} | {cells} |", fact.case)?;
    }
    writeln!(text)?;
    Ok(())
}

/// Section e.
pub(super) fn cold(results: &Results) -> Result<String, Failure> {
    let mut text = "\
Atomic Store alone. The store is filled, and the journal of what was refused, too. The server is killed with SIGKILL and started again on the same directory; open is the time until
clients can connect. The first append of all goes to a new scope and waits for the validator to be ready. Then one bid
goes to each of some scopes that nobody has touched since: with the snapshot that the store made
by itself (it makes one every 10,000 events), and under another configuration of the validator, for which there is
none. Binding it folds scopes of many events ahead, before it returns; shorter ones are folded whole by their first append.\n\n"
        .to_owned();
    facts(&mut text, &results.facts)?;
    Ok(text)
}

/// Section f.
pub(super) fn sizes(results: &Results) -> Result<String, Failure> {
    let mut text = "\
Bytes on the disk for each event with its 200 bytes of payload, which hardly compress, beyond what the empty store takes;
pages that are set aside and full of zeros do not count. Atomic Store's journal does, up to 128 MiB whatever is stored. Resident memory is that of the server's process.\n\n"
        .to_owned();
    facts(&mut text, &results.facts)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{Peer, Point, Results, bids};

    #[test]
    fn a_case_that_atomic_store_failed_has_no_multiples_of_r() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(super::folder(dir.path())).expect("a folder");
        let mut point = Point::new(Peer::Atomic, "1 auction", 64);
        point.failed = Some("not accepted".to_owned());
        let results = Results { raw: vec![10_000.0], points: vec![point], ..Results::default() };
        let text = bids(&results, dir.path()).expect("a text");
        assert!(text.contains("in multiples of R: none, it failed.\n"), "{text}");
        assert!(text.contains("| Atomic Store | failed |"), "{text}");
    }
}
