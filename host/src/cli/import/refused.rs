//! The file of rows that were not accepted: as they were read, with outcome and reason.

use super::source::{Row, Source};
use crate::cli::append::describe;
use crate::cli::failure::Failure;
use atomic_store_core::Outcome;
use serde_json::json;
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Why a row was not accepted.
pub(super) struct Why {
    /// The outcome's word.
    pub(super) outcome: &'static str,
    /// The reason's code, or what comes closest to one.
    pub(super) code: String,
    /// The reason's sentence.
    pub(super) message: String,
}

impl Why {
    /// Nothing if the row was accepted.
    pub(super) fn of(outcome: &Outcome) -> Option<Why> {
        let (code, message) = match outcome {
            Outcome::Committed(_) | Outcome::Noop { .. } => return None,
            Outcome::Rejected(refusal) => match refusal.reasons.first() {
                Some(reason) => (reason.code.clone(), reason.message.clone()),
                None => (String::new(), String::new()),
            },
            Outcome::Faulted(fault) => (fault.kind.word().to_owned(), describe(outcome)),
            Outcome::Overloaded(what) => (what.word().to_owned(), describe(outcome)),
            Outcome::Invalid { field, .. } => (field.clone(), describe(outcome)),
            other => (String::new(), describe(other)),
        };
        Some(Why { outcome: outcome.word(), code, message })
    }

    /// A row that did not even become an append.
    pub(super) fn unmapped(message: String) -> Why {
        Why { outcome: "invalid", code: "row".to_owned(), message }
    }
}

/// The file, if one was asked for.
pub(super) struct Refused(Option<(PathBuf, Writer)>);

enum Writer {
    Csv(Box<csv::Writer<BufWriter<File>>>),
    Json(BufWriter<File>),
}

impl Refused {
    /// Makes the file, with a header if the rows are CSV.
    pub(super) fn create(path: Option<&Path>, source: &Source) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Refused(None)) };
        let failed = |error: std::io::Error| Failure::file(path.display(), &error);
        let file = BufWriter::new(File::create(path).map_err(failed)?);
        let writer = match (source.columns(), source.delimiter()) {
            (Some(columns), Some(delimiter)) => {
                let mut csv = csv::WriterBuilder::new().delimiter(delimiter).from_writer(file);
                let more = ["row", "outcome", "code", "message"];
                let header = columns.iter().map(String::as_str).chain(more);
                csv.write_record(header).map_err(|error| failed(error.into()))?;
                Writer::Csv(Box::new(csv))
            }
            _ => Writer::Json(file),
        };
        Ok(Refused(Some((path.to_owned(), writer))))
    }

    /// Writes a row.
    pub(super) fn put(&mut self, row: &Row, why: &Why) -> Result<(), Failure> {
        let Some((path, writer)) = &mut self.0 else { return Ok(()) };
        let written = match writer {
            Writer::Csv(csv) => {
                let number = row.number.to_string();
                let more = [number.as_str(), why.outcome, &why.code, &why.message];
                let cells = row.record().into_iter().flatten().chain(more);
                csv.write_record(cells).map_err(std::io::Error::from)
            }
            Writer::Json(file) => json_line(file, row, why),
        };
        written.map_err(|error| Failure::file(path.display(), &error))
    }

    /// Hands everything to the operating system.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let Some((path, writer)) = self.0 else { return Ok(()) };
        let flushed = match writer {
            Writer::Csv(mut csv) => csv.flush(),
            Writer::Json(mut file) => file.flush(),
        };
        flushed.map_err(|error| Failure::file(path.display(), &error))
    }
}

fn json_line(file: &mut BufWriter<File>, row: &Row, why: &Why) -> std::io::Result<()> {
    let data = row.whole().ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let data = data.and_then(|text| RawValue::from_string(text).ok());
    let line = json!({
        "row": row.number, "outcome": why.outcome, "code": why.code, "message": why.message,
    });
    // The row is spliced in as text, so that its numbers stay as written.
    let line = line.to_string();
    let data = data.as_ref().map_or("null", |raw| raw.get());
    writeln!(file, "{},\"data\":{data}}}", line.strip_suffix('}').unwrap_or(&line))
}
