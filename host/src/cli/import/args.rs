//! The options of `import`.

use super::mapping::{Field, Template};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Append the rows of a CSV, NDJSON or CloudEvents file, many scopes at a time
///
/// Each row is one append, judged by the validators of this store like any other. (To take scopes as
/// they were in another store, with their numbers and hashes and unjudged, use `export` and `restore`.) The rows of a scope are submitted in order, each after the answer to the
/// one before it; different scopes run side by side. Running an import again is safe: the append id
/// of a row is made of the file's digest, the row's number and the event, so a row that was decided
/// is not decided twice, as long as the store remembers its id (one day). A CloudEvent has an id of its
/// own: there the append id is made of its source, its id and the event.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store import bids.csv --header --scope 'auction/{auction}' --kind bid \\
      --field bidder:text --field amount=bid
  atomic-store import bids.csv --columns auction,bid,time,bidder --scope 'auction/{auction}' \\
      --kind bid --field bidder:text --field amount=bid --order-by time --rejected refused.csv
  atomic-store import events.ndjson --scope '{account}' --kind '{type}' --key 'account:{account}'
  atomic-store import orders.jsonl --format cloudevents --scope 'order/{subject}'

Templates: {name} stands for the value of a column, or of a top-level member of an NDJSON row.

Fields: the payload is a JSON object of the --field options, or of all columns if there are none.
  --field NAME           the column of that name
  --field NAME=COLUMN    another column
  --field NAME:TYPE      text, number or json; without it, a value that is a JSON number stays a
                         number and everything else is text. Numbers stay exactly as written.

CloudEvents: the kind is the type and the scope the subject, unless --kind and --scope say otherwise. The \
payload is the data as it stands, with its media type; time becomes the caller's time; id and source \
become metadata.

Exit code 0 if every row was decided, accepted or not; otherwise that of the worst outcome.")]
pub(crate) struct Import {
    /// The file, or - for standard input
    pub(super) file: PathBuf,
    /// What the file holds [default: by its name]
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
    /// CSV: the first row names the columns
    #[arg(long, conflicts_with = "columns")]
    pub(super) header: bool,
    /// CSV without a header: the names of its columns
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub(super) columns: Option<Vec<String>>,
    /// CSV: what separates the columns
    #[arg(long, value_name = "CHAR", default_value = ",", value_parser = one_byte)]
    pub(super) delimiter: u8,
    /// The scope of a row [default: {subject}, for CloudEvents]
    #[arg(long, value_name = "TEMPLATE", required_unless_present = "format")]
    pub(super) scope: Option<Template>,
    /// The kind of a row's event [default: {type}, for CloudEvents]
    #[arg(long, value_name = "TEMPLATE", required_unless_present = "format")]
    pub(super) kind: Option<Template>,
    /// A member of the payload; may be given more than once
    #[arg(long, value_name = "NAME[=COLUMN][:TYPE]")]
    pub(super) field: Vec<Field>,
    /// A key of the event, KIND:ID; may be given more than once
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) key: Vec<Template>,
    /// Metadata of the event, NAME=VALUE; may be given more than once
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) meta: Vec<Template>,
    /// Submit in the order of the numbers in this column; equal ones stay in the file's order
    #[arg(long, value_name = "COLUMN")]
    pub(super) order_by: Option<String>,
    /// Appends in flight, over all scopes
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) in_flight: u32,
    /// Write the rows that were not accepted to a file, with outcome and reason
    #[arg(long, value_name = "FILE")]
    pub(super) rejected: Option<PathBuf>,
}

/// Formats of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values
    Csv,
    /// One JSON object on each line
    Ndjson,
    /// One CloudEvent 1.0 in JSON on each line
    #[value(name = "cloudevents")]
    CloudEvents,
}

fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] => Ok(*byte),
        _ => Err("expected one ASCII character, or \\t".to_owned()),
    }
}
