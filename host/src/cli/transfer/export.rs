//! `export`: scopes as lines of text, as many events as there are, one in memory at a time.

use crate::cli::args::Global;
use crate::cli::connect::{Connection, Missing, connect};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Out, note};
use crate::cli::{exit, text};
use atomic_store::exchange::{Extent, Format};
use atomic_store_core::protocol::ScopeInfo;
use atomic_store_core::{ScopePattern, Seq};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Scopes asked for at a time.
const PAGE: u64 = 1_000;
/// Events between two looks at the progress bar.
const SHOWN_EVERY: u64 = 256;

/// Write scopes to a file that another store can restore
///
/// One line for each event, with all that its hash covers, so that `restore` can check the whole chain
/// and a restored scope is the same scope: numbers, times, append ids and hashes. Appends go on
/// meanwhile; of each scope the events are written that it has when its turn comes. A scope whose
/// events were all deleted has nothing to write.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store export auction/1 -o auction-1.ndjson
  atomic-store export 'auction/*' 'lot/*' --format cloudevents -o events.ndjson
  atomic-store export --all | zstd > store.ndjson.zst
  atomic-store export '$system' | jq .payload

The file appears under its name when it is complete.")]
pub(crate) struct Export {
    /// The scopes: names, or beginnings of names with a * behind
    #[arg(value_name = "SCOPE|PATTERN", required_unless_present = "all", value_parser = pattern)]
    scopes: Vec<ScopePattern>,
    /// All scopes but those of the store itself
    #[arg(long, conflicts_with = "scopes")]
    all: bool,
    /// What the lines are
    #[arg(long, value_enum, default_value_t = Lines::Ndjson)]
    format: Lines,
    /// The file, or - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// Formats of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lines {
    /// JSON objects with the names of `read --json`
    Ndjson,
    /// CloudEvents 1.0 in JSON
    Cloudevents,
}

fn pattern(text: &str) -> Result<ScopePattern, String> {
    ScopePattern::new(text).map_err(|error| error.to_string())
}

/// What was written.
#[derive(Default)]
struct Written {
    scopes: u64,
    events: u64,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Export, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let exported = export(&connection, &args).await;
    let told = exported.and_then(|written| {
        let Written { scopes, events } = written;
        if out.json() && args.output != Path::new("-") {
            let file = args.output.display().to_string();
            return out.document(&json!({ "file": file, "scopes": scopes, "events": events }));
        }
        note(&format!("{} of {}", text::counted(events, "event"), text::counted(scopes, "scope")));
        Ok(())
    });
    told.and(connection.close().await)
}

async fn export(connection: &Connection, args: &Export) -> Result<Written, Failure> {
    let mut target = Target::create(&args.output)?;
    let bar = bar();
    let mut written = Written::default();
    let patterns = match args.all {
        true => vec![ScopePattern::new("*").map_err(|why| Failure::usage(why.to_string()))?],
        false => args.scopes.clone(),
    };
    // One pattern is looked up by its beginning; more than one in a walk over all names, so that a
    // scope that two of them cover is written once.
    let prefix = match &patterns[..] {
        [one] => one.as_str().trim_end_matches('*').to_owned(),
        _ => String::new(),
    };
    let mut after = String::new();
    loop {
        let page = connection.client.list_scopes(&prefix, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.name.as_str().to_owned();
        let wanted = |info: &&ScopeInfo| patterns.iter().any(|pattern| pattern.matches(&info.name));
        for info in page.iter().filter(wanted).filter(|info| info.events() > 0) {
            bar.inc_length(info.events());
            scope(connection, args.format, info, &mut target, &bar).await?;
            written.scopes += 1;
            written.events += info.events();
        }
    }
    if let [one] = &patterns[..]
        && !one.as_str().ends_with('*')
        && written.scopes == 0
    {
        return Err(Failure::not_found(format!("no events in scope {one}; nothing was written")));
    }
    bar.finish_and_clear();
    target.finish()?;
    Ok(written)
}

async fn scope(
    connection: &Connection,
    format: Lines,
    info: &ScopeInfo,
    target: &mut Target,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let format = match format {
        Lines::Ndjson => Format::Ndjson,
        Lines::Cloudevents => Format::CloudEvents,
    };
    let store = connection.client.store();
    let mut extent = Some(Extent { after: info.floor, head: info.head });
    let mut last = info.floor;
    let mut events = connection.client.read(&info.name, info.floor, info.head, u64::MAX);
    while let Some(event) = events.next().await {
        let event = event?;
        target.line(&format.line(store, &info.name, &event, extent.take()))?;
        last = event.seq;
        if last.0.is_multiple_of(SHOWN_EVERY) {
            bar.inc(SHOWN_EVERY);
            bar.set_message(text::shown(info.name.as_str()).into_owned());
        }
    }
    match last {
        last if last == info.head => Ok(()),
        Seq(last) => Err(Failure::new(
            exit::TRY_AGAIN,
            format!(
                "scope {} changed while it was read, after event {last}: was it deleted?",
                info.name
            ),
        )),
    }
}

/// Where the lines go.
enum Target {
    Stdout(BufWriter<io::Stdout>),
    /// Under a name of its own until it is complete.
    File {
        file: BufWriter<File>,
        part: PathBuf,
        path: PathBuf,
    },
}

impl Target {
    fn create(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Target::Stdout(BufWriter::with_capacity(64 * 1024, io::stdout())));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|why| Failure::file(part.display(), &why))?;
        let file = BufWriter::with_capacity(64 * 1024, file);
        Ok(Target::File { file, part, path: path.to_owned() })
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        match self {
            Target::Stdout(stdout) => {
                writeln!(stdout, "{line}").map_err(|error| output::broken(&error))
            }
            Target::File { file, part, .. } => {
                writeln!(file, "{line}").map_err(|why| Failure::file(part.display(), &why))
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Target::Stdout(mut stdout) => stdout.flush().map_err(|error| output::broken(&error)),
            Target::File { mut file, part, path } => {
                let synced = file.flush().and_then(|()| file.get_ref().sync_all());
                let named = synced.and_then(|()| std::fs::rename(&part, &path));
                named.map_err(|why| Failure::file(path.display(), &why))
            }
        }
    }
}

fn bar() -> ProgressBar {
    if !output::has_watcher() {
        return ProgressBar::hidden();
    }
    let template = "export {bar:40} {human_pos}/{human_len} events, {per_sec}, {msg}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
