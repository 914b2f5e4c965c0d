//! f: bytes on the disk, and memory.

use super::GROW_CLIENTS;
use crate::failure::Failure;
use crate::job::{Fill, Work};
use crate::procs;
use crate::runner::{Bench, Turn, load};
use crate::servers::{Peer, Server, Settings, first_append};
use crate::shape::PAYLOAD_BYTES;
use atomic_store_core::grouped;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Scopes whose instances are compared.
const INSTANCES: usize = 200;
/// The auction in each language: the file without its ending, and the language.
const AUCTIONS: [(&str, &str); 6] = [
    ("auction", "Rust"),
    ("auction-c", "C"),
    ("auction-zig", "Zig"),
    ("auction-go", "Go"),
    ("auction-js", "JavaScript"),
    ("auction-python", "Python"),
];
/// Seconds that a store without bulk appends gets to grow.
const GROW_SECONDS: f64 = 8.0;
/// How long a store may tidy up once it is filled, and for how long nothing must have changed.
const TIDY_MAX: u32 = 40;
const TIDY_STEP: Duration = Duration::from_millis(500);
const QUIET_STEPS: u32 = 4;

/// The unit in which a file is looked at.
const PAGE: usize = 4096;

/// Bytes of the pages below a directory that hold anything: some stores set aside space, full of
/// zeros, that says nothing about what an event takes. What keeps only the last writes safe does not
/// count either: PostgreSQL's write-ahead log has a size of its own, whatever is stored.
fn bytes_in_use(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && entry.file_name() == "pg_wal" => 0,
        Ok(kind) if kind.is_dir() => bytes_in_use(&entry.path()),
        // A file that is gone by now takes no space.
        Ok(kind) if kind.is_file() => written_pages(&entry.path()).unwrap_or(0),
        _ => 0,
    });
    sizes.sum()
}

fn written_pages(path: &Path) -> std::io::Result<u64> {
    let mut file = std::fs::File::open(path)?;
    let (mut buffer, mut bytes) = (vec![0; 256 * PAGE], 0);
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..])? {
                0 => break,
                more => filled += more,
            }
        }
        let pages = buffer[..filled].chunks(PAGE);
        bytes +=
            pages.filter(|page| page.iter().any(|byte| *byte != 0)).map(<[u8]>::len).sum::<usize>();
        if filled < buffer.len() {
            return Ok(bytes as u64);
        }
    }
}

/// Waits until the directory stays as it is.
fn settle(folder: &Path) {
    let (mut last, mut quiet) = (0, 0);
    for _ in 0..TIDY_MAX {
        let now = bytes_in_use(folder);
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
        if quiet == QUIET_STEPS {
            return;
        }
        std::thread::sleep(TIDY_STEP);
    }
}

/// Measures both.
pub(crate) fn sizes(bench: &mut Bench<'_>) -> Result<(), Failure> {
    for peer in Peer::ALL {
        // One server keeps all three ways of PostgreSQL in the same tables.
        if matches!(peer, Peer::PostgresSerializable | Peer::PostgresFunction) {
            continue;
        }
        if let Err(why) = disk(bench, peer) {
            bench.missing(peer.name(), &why);
        }
    }
    if let Err(why) = live(bench) {
        bench.missing("Atomic Store with many live scopes", &why);
    }
    guests(bench);
    Ok(())
}

fn disk(bench: &mut Bench<'_>, peer: Peer) -> Result<(), Failure> {
    let mut server = Server::start(peer.program(), bench.options)?;
    bench.about(&server);
    let before = bytes_in_use(server.dir());
    let events = bench.plan.disk_events;
    let work = match peer {
        Peer::Redis | Peer::Sqlite => Work::Grow { marks: vec![events] },
        _ => Work::Fill(Fill { scopes: 100, events: events / 100 }),
    };
    let turn = Turn { case: "", clients: GROW_CLIENTS, seconds: GROW_SECONDS, work, tag: None };
    let filled = load(&server, peer, 0.0, &turn, "disk")?;
    settle(server.dir());
    let case = match peer {
        Peer::PostgresRowLock => "PostgreSQL, without its write-ahead log",
        peer => peer.name(),
    };
    let done = filled.done.max(1) as f64;
    bench.fact(case, "events", done);
    // An orderly end, a new start and another end: what a store does at these moments counts for it.
    server.end()?;
    if peer == Peer::Atomic {
        server.restart_atomic(bench.options)?;
        settle(server.dir());
        server.end()?;
    }
    let at_rest = bytes_in_use(server.dir()).saturating_sub(before) as f64 / done;
    bench.fact(case, "bytes per event, after an orderly end", at_rest);
    bench.fact(case, "of the payload, after an orderly end", at_rest / PAYLOAD_BYTES as f64);
    Ok(())
}

/// Memory of the server with many live scopes.
fn live(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let scopes = bench.plan.live_scopes;
    let server = Server::start(Peer::Atomic.program(), bench.options)?;
    let pid = server.pid().ok_or_else(|| Failure::new("the server has no process"))?;
    let case = "Atomic Store, as started";
    bench.fact(case, "resident MiB", procs::rss(pid) as f64 / 1048576.0);
    open(&server, scopes)?;
    let case = format!("Atomic Store, after a bid on each of {} auctions", grouped(scopes as u64));
    bench.fact(&case, "resident MiB", procs::rss(pid) as f64 / 1048576.0);
    Ok(())
}

fn open(server: &Server, scopes: usize) -> Result<(), Failure> {
    let work = Work::Bids { scopes, zipf: None };
    let turn = Turn { case: "", clients: 1, seconds: 0.1, work, tag: None };
    load(server, Peer::Atomic, 0.0, &turn, "live").map(drop)
}

/// Memory of an instance, by the language of the auction.
fn guests(bench: &mut Bench<'_>) {
    for (validator, language) in AUCTIONS {
        if let Err(why) = guest(bench, validator, language) {
            bench.missing(&format!("the auction in {language}"), &why);
        }
    }
}

fn guest(bench: &mut Bench<'_>, validator: &str, language: &str) -> Result<(), Failure> {
    if !bench.options.guests.join(validator).with_extension("wasm").exists() {
        return Err(Failure::new("it is not built; make guests-all"));
    }
    let settings = Settings { validator: validator.to_owned() };
    let server = Server::start_atomic(bench.options, &settings)?;
    let pid = server.pid().ok_or_else(|| Failure::new("the server has no process"))?;
    // The first scope pays for what all share.
    first_append(&server, "first", 1)?;
    let before = procs::rss(pid);
    open(&server, INSTANCES)?;
    let each = procs::rss(pid).saturating_sub(before) as f64 / INSTANCES as f64;
    bench.fact(&format!("the auction in {language}"), "resident KiB per live scope", each / 1024.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PAGE, bytes_in_use};

    #[test]
    fn pages_of_zeros_take_no_space() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("deep")).expect("another");
        std::fs::create_dir(dir.path().join("pg_wal")).expect("another");
        let mut content = vec![0_u8; 300 * PAGE];
        content[5] = 1;
        content[290 * PAGE] = 1;
        content.extend([1, 2, 3]);
        std::fs::write(dir.path().join("deep/file"), &content).expect("a file");
        std::fs::write(dir.path().join("pg_wal/file"), &content).expect("a file");
        assert_eq!(bytes_in_use(dir.path()), 2 * PAGE as u64 + 3);
    }
}
