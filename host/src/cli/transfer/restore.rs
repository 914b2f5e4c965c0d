//! `restore`: scopes from the files of `export`, checked before they are seen.

use super::lines::LineReader;
use super::rename::{Rename, Renames};
use crate::cli::args::Global;
use crate::cli::connect::{Connection, Missing, connect};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Out, note};
use crate::cli::{exit, text};
use atomic_store::exchange::{self, Exported};
use atomic_store_client::{ClientError, Restore};
use atomic_store_core::chain::{self, Walk};
use atomic_store_core::protocol::Origin;
use atomic_store_core::{Digest, Event, ScopeName, Seq};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

/// Lines between two looks at the progress bar.
const SHOWN_EVERY: u64 = 256;

/// Take scopes from files that `export` wrote
///
/// The chain of each scope is checked while it is read: a line that is missing, changed or out of
/// its place is refused by its number. A scope becomes visible with all its events at once, or not
/// at all, and only where there has never been a scope of that name. Its events are the same:
/// numbers, times, append ids and hashes; no validator is asked. (To have events judged by the
/// validators of this store, use `import`.) Both formats of `export` are read, told apart line by line.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store restore auction-1.ndjson
  zstd -dc store.ndjson.zst | atomic-store restore -
  atomic-store restore all.ndjson --rename auction/1=archive/1 --rename 'lot/*=old-lot/*'
  atomic-store restore all.ndjson --skip-existing

A new name makes a new chain, because a chain begins with the name; the event scope-restored in \
$system keeps the old name and the old hash. Exit code 65 if a line is not what was exported.")]
pub(crate) struct RestoreArgs {
    /// The files, or - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Give a scope another name: OLD=NEW, or OLD*=NEW* for a beginning; may be given more than once
    #[arg(long, value_name = "OLD=NEW")]
    rename: Vec<Rename>,
    /// The same from a file, one on each line
    #[arg(long, value_name = "FILE")]
    rename_file: Option<PathBuf>,
    /// Pass over scopes that are here already, to go on after an interruption
    #[arg(long)]
    skip_existing: bool,
}

/// A restored scope, for the summary.
struct Restored {
    from: ScopeName,
    scope: ScopeName,
    events: u64,
    head: Seq,
    skipped: bool,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: RestoreArgs, out: &mut Out) -> Result<(), Failure> {
    let renames = Renames::new(args.rename.clone(), args.rename_file.as_deref())?;
    let connection = connect(global, Missing::Create).await?;
    let bar = bar(LineReader::total(&args.files));
    let mut job = Job {
        connection: &connection,
        renames,
        skip_existing: args.skip_existing,
        done: Vec::new(),
        names: HashSet::new(),
        validators: BTreeSet::new(),
    };
    let restored = job.all(args.files, &bar).await;
    bar.finish_and_clear();
    // What was restored before a failure stays, so it is told.
    let told = show(&job.done, out);
    let unknown = match restored.is_ok() {
        true => unknown(&connection, &job.validators).await,
        false => Ok(()),
    };
    restored.and(told).and(unknown).and(connection.close().await)
}

/// The work, and what came of it so far.
struct Job<'a> {
    connection: &'a Connection,
    renames: Renames,
    skip_existing: bool,
    done: Vec<Restored>,
    /// The scopes that were met.
    names: HashSet<ScopeName>,
    validators: BTreeSet<Digest>,
}

/// A scope that is being read.
struct Running<'a> {
    from: ScopeName,
    to: ScopeName,
    after: Seq,
    head: Seq,
    /// The chain as it was.
    walk: Walk,
    /// The hash of the new chain, if the name is new.
    renamed: Option<Digest>,
    /// Nothing if the scope is passed over.
    restore: Option<Restore<'a>>,
}

impl<'a> Job<'a> {
    async fn all(&mut self, files: Vec<PathBuf>, bar: &ProgressBar) -> Result<(), Failure> {
        let mut lines = LineReader::new(files);
        let mut running: Option<Running<'a>> = None;
        let mut count = 0_u64;
        while let Some(line) = lines.next()? {
            let read = exchange::read(line);
            let place = || lines.place();
            let Exported { scope, extent, event } =
                read.map_err(|why| Failure::usage(format!("{}: {why}", place())))?;
            count += 1;
            if count.is_multiple_of(SHOWN_EVERY) {
                bar.set_position(lines.bytes);
                bar.set_message(text::shown(scope.as_str()).into_owned());
            }
            if running.as_ref().is_some_and(|running| running.from != scope)
                && let Some(before) = running.take()
            {
                self.finish(before).await?;
            }
            let current = match &mut running {
                Some(current) => current,
                None => {
                    let (after, head) = match extent {
                        Some(extent) => (extent.after, extent.head),
                        None => {
                            return Err(Failure::new(
                                exit::DAMAGED,
                                format!("{}: the first line of scope {scope} is missing", place()),
                            ));
                        }
                    };
                    let begun = self.begin(scope, after, head, &event).await;
                    running.insert(begun.map_err(|failure| at(&place(), failure))?)
                }
            };
            self.validators.insert(event.validator);
            let added = current.add(event).await;
            added.map_err(|failure| at(&place(), failure))?;
        }
        match running {
            Some(last) => self.finish(last).await,
            None if self.done.is_empty() => Err(Failure::usage("the files hold no events")),
            None => Ok(()),
        }
    }

    async fn begin(
        &mut self,
        from: ScopeName,
        after: Seq,
        head: Seq,
        first: &Event,
    ) -> Result<Running<'a>, Failure> {
        if !self.names.insert(from.clone()) {
            return Err(Failure::usage(format!(
                "scope {from} comes again; the lines of a scope must stand together"
            )));
        }
        let walk = match after {
            Seq::ZERO => Walk::from_start(&from),
            after => Walk::from(after, first.previous),
        };
        let to = self.renames.of(&from)?;
        let renamed = (to != from).then(|| chain::genesis(&to));
        let client = &self.connection.client;
        let exists = self.skip_existing && client.show_scope(&to).await?.is_some();
        let restore = match exists {
            true => None,
            false => Some(client.restore_scope(&to).await?),
        };
        Ok(Running { from, to, after, head, walk, renamed, restore })
    }

    async fn finish(&mut self, running: Running<'a>) -> Result<(), Failure> {
        let Running { from, to, after, head, walk, renamed, restore } = running;
        let found = walk.head();
        if found != head {
            return Err(Failure::new(
                exit::DAMAGED,
                format!(
                    "the export of scope {from} ends at event {found}, but says that it goes to {head}: it was \
                 cut short"
                ),
            ));
        }
        let hash = walk.hash().unwrap_or_default();
        let skipped = restore.is_none();
        if let Some(restore) = restore {
            let origin = renamed.map(|_| Origin { scope: from.clone(), hash });
            restore.finish(origin).await?;
        }
        let events = head.0.saturating_sub(after.0);
        self.done.push(Restored { from, scope: to, events, head, skipped });
        Ok(())
    }
}

impl Running<'_> {
    /// Checks an event against the one before it and sends it.
    async fn add(&mut self, mut event: Event) -> Result<(), Failure> {
        let encode = |event: &Event| {
            event.to_record().map_err(|why| Failure::new(exit::DAMAGED, why.to_string()))
        };
        let record = encode(&event)?;
        let damaged =
            |found: String| Failure::new(exit::DAMAGED, format!("scope {}: {found}", self.from));
        if record.hash() != event.hash {
            return Err(damaged(chain::Broken::Content(event.seq).to_string()));
        }
        let step = self.walk.step(record.as_bytes()).map(|_| ());
        step.map_err(|found| damaged(found.to_string()))?;
        let record = match &mut self.renamed {
            None => record,
            Some(hash) => {
                event.previous = *hash;
                let record = encode(&event)?;
                *hash = record.hash();
                record
            }
        };
        if let Some(restore) = &mut self.restore {
            restore.push(record.as_bytes().to_vec()).await?;
        }
        Ok(())
    }
}

fn at(place: &str, failure: Failure) -> Failure {
    Failure::new(failure.code, format!("{place}: {}", failure.message))
}

fn show(done: &[Restored], out: &mut Out) -> Result<(), Failure> {
    if out.json() {
        return done.iter().try_for_each(|restored| {
            out.document(&json!({
                "scope": restored.scope,
                "from": restored.from,
                "events": restored.events,
                "head": restored.head,
                "skipped": restored.skipped,
            }))
        });
    }
    if done.is_empty() {
        return Ok(());
    }
    let row = |restored: &Restored| {
        let from = if restored.from == restored.scope { "" } else { restored.from.as_str() };
        let events = text::count(restored.events);
        let head = text::count(restored.head.0);
        let what = if restored.skipped { "was here" } else { "restored" };
        vec![restored.scope.to_string(), events, head, what.to_owned(), from.to_owned()]
    };
    out.table(&["scope", "events", "head", "", "named before"], done.iter().map(row).collect())
}

/// Says which validators let events in that this store does not have. Nothing needs them to read; to
/// prove the events anew somebody will.
async fn unknown(connection: &Connection, seen: &BTreeSet<Digest>) -> Result<(), Failure> {
    let loaded = connection.client.list_validators().await;
    let (loaded, _) = loaded.map_err(|error: ClientError| Failure::from(error))?;
    let known: HashSet<Digest> = loaded.iter().map(|info| info.digest).collect();
    for digest in seen.iter().filter(|digest| !known.contains(digest)) {
        note(&format!("note: events were let in by validator {digest}, which is not loaded here"));
    }
    Ok(())
}

fn bar(bytes: u64) -> ProgressBar {
    if !output::has_watcher() {
        return ProgressBar::hidden();
    }
    let template = "restore {bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {msg} [eta {eta}]";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
