//! The page as a whole.

use super::{Results, folder, reach, sections, stored};
use crate::failure::Failure;
use crate::stats::{Middle, rate};
use std::fmt::Write;
use std::path::Path;

const TITLES: [(char, &str); 6] = [
    ('a', "a. Read, decide, append"),
    ('b', "b. Conditional append without rules"),
    ('c', "c. One hot auction that grows"),
    ('d', "d. Reading"),
    ('e', "e. Cold start"),
    ('f', "f. Disk and memory"),
];

const HEAD: &str = "\
# Benchmarks

Atomic Store beside what people use for this today. `make bench` measures it all again and writes this page;
`make bench QUICK=1` takes about ten minutes, `make bench SECTION=a` measures one section. Every number on this page was
printed by such a run. Where a peer wins, its number is bold.

How it is measured:

- Every store syncs to the disk before it acknowledges; the settings of each are listed below.
- One load process holds all clients of a measurement, on one thread, on the same machine as the server. Each client
  has one operation in flight. Its share of the CPU time is in the tables.
- Turn by turn: in each round every store does the same work for the same short time, and another one begins. The other
  servers are stopped meanwhile (SIGSTOP). A number is the median of the rounds; \"spread\" is the distance from the lowest
  to the highest in percent of the median.
- R is what the disk does in the same minutes: one 256-byte write and fdatasync after another, in a file filled with
  zeros. Machines differ in R; multiples of it travel better than rates.
- Event payloads are 200 bytes of JSON.
";

/// Writes the page and the plots from the results that are there.
pub(crate) fn render(out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder(out))?;
    let mut page = HEAD.to_owned();
    for (letter, title) in TITLES {
        let Some(results) = stored(out, letter)? else {
            continue;
        };
        write!(page, "\n## {title}\n\n")?;
        page.push_str(&taken(&results)?);
        let body = match letter {
            'a' => sections::bids(&results, out)?,
            'b' => sections::conditional(&results, out)?,
            'c' => sections::grow(&results, out)?,
            'd' => sections::reading(&results)?,
            'e' => sections::cold(&results)?,
            _ => sections::sizes(&results)?,
        };
        page.push_str(&body);
    }
    page.push_str(&reach::table(out)?);
    Ok(std::fs::write(out.join("benchmarks.md"), page)?)
}

/// When and on what a section was measured, who took part, and who did not.
fn taken(results: &Results) -> Result<String, Failure> {
    let mut text = String::new();
    let run = if results.quick { "a quick run" } else { "a full run" };
    let Results { taken, idle_percent, .. } = results;
    writeln!(text, "Measured {taken}, {run}; the machine was {idle_percent:.0} % idle before it.")?;
    writeln!(text, "{}.", results.machine.line())?;
    if let Some(raw) = Middle::of(results.raw.iter().copied()) {
        let (median, low, high) = (rate(raw.median), rate(raw.low), rate(raw.high));
        writeln!(text, "R = {median} per second ({low} to {high}).")?;
    }
    writeln!(text)?;
    for about in &results.stores {
        writeln!(text, "- {}: {}.", about.version, about.settings)?;
    }
    for (peer, why) in &results.missing {
        writeln!(text, "- **{peer} did not take part**: {why}.")?;
    }
    for point in &results.points {
        if let Some(why) = &point.failed {
            let (peer, case, clients) = (point.peer.name(), &point.case, point.clients);
            let rounds = point.samples.len();
            let why = why.lines().next().unwrap_or_default();
            writeln!(
                text,
                "- **{peer} failed** at {case}, {clients} clients, after {rounds} good rounds: {why}."
            )?;
        }
    }
    writeln!(text)?;
    Ok(text)
}
