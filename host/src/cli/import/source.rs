//! The rows of a file. Standard input is copied to a temporary file first: the digest of the whole
//! stands in the append ids, so nothing can be submitted before the end is known.

use super::args::{Format, Import};
use super::mapping::{is_number, quote};
use crate::cli::failure::Failure;
use crate::cli::{input, json};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;

/// Bytes of one NDJSON line. More cannot be one append anyway.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A row as it was read.
pub(super) struct Row {
    /// Counted from 1; a header does not count.
    pub(super) number: u64,
    cells: Cells,
}

enum Cells {
    Csv { columns: Arc<[String]>, record: csv::StringRecord },
    Json { line: String, members: BTreeMap<String, Box<RawValue>> },
}

impl Row {
    /// The value of a column as text.
    pub(super) fn text(&self, column: &str) -> Result<String, String> {
        match &self.cells {
            Cells::Csv { .. } => self.cell(column).map(str::to_owned),
            Cells::Json { .. } => {
                let raw = self.member(column)?.get();
                // A string stands for its content; a number or anything else for itself, as written.
                match raw.starts_with('"') {
                    true => serde_json::from_str(raw).map_err(|error| error.to_string()),
                    false => Ok(raw.to_owned()),
                }
            }
        }
    }

    /// The value of a column as JSON.
    pub(super) fn json(&self, column: &str) -> Result<String, String> {
        match &self.cells {
            Cells::Csv { .. } => self.cell(column).map(cell_json),
            Cells::Json { .. } => self.member(column).map(|raw| raw.get().to_owned()),
        }
    }

    /// All columns as one JSON object.
    pub(super) fn whole(&self) -> Result<Vec<u8>, String> {
        match &self.cells {
            Cells::Csv { columns, record } => {
                let members = columns
                    .iter()
                    .zip(record)
                    .map(|(name, cell)| format!("{}:{}", quote(name), cell_json(cell)));
                Ok(format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into_bytes())
            }
            Cells::Json { line, .. } => {
                let compact = json::compact(line).ok_or("not JSON")?;
                Ok(compact.get().as_bytes().to_vec())
            }
        }
    }

    /// The line of a row that is JSON.
    pub(super) fn line(&self) -> &str {
        match &self.cells {
            Cells::Csv { .. } => "",
            Cells::Json { line, .. } => line,
        }
    }

    /// The cells of a CSV row, as they were.
    pub(super) fn record(&self) -> Option<&csv::StringRecord> {
        match &self.cells {
            Cells::Csv { record, .. } => Some(record),
            Cells::Json { .. } => None,
        }
    }

    fn cell(&self, column: &str) -> Result<&str, String> {
        let Cells::Csv { columns, record } = &self.cells else { return Err("no CSV".into()) };
        let index = columns.iter().position(|name| name == column);
        index.and_then(|index| record.get(index)).ok_or_else(|| format!("no column {column:?}"))
    }

    fn member(&self, name: &str) -> Result<&RawValue, String> {
        let Cells::Json { members, .. } = &self.cells else { return Err("no JSON".into()) };
        members.get(name).map(|raw| &**raw).ok_or_else(|| format!("no member {name:?}"))
    }
}

fn cell_json(cell: &str) -> String {
    if is_number(cell) { cell.to_owned() } else { quote(cell) }
}

/// A file of rows.
pub(super) struct Source {
    /// The digest of the file.
    pub(super) digest: blake3::Hash,
    /// Its lines: about as many as it has rows.
    pub(super) lines: u64,
    rows: Rows,
    number: u64,
}

enum Rows {
    Csv { columns: Arc<[String]>, reader: csv::Reader<BufReader<File>>, delimiter: u8 },
    Json(BufReader<File>),
}

impl Source {
    /// Opens the file and reads it once, for its digest.
    pub(super) fn open(args: &Import) -> Result<Self, Failure> {
        let mut file = file(&args.file)?;
        let failed = |error: std::io::Error| input::unreadable(&args.file, &error);
        let (digest, lines) = digest(&mut file).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let rows = match format(args)? {
            Format::Csv => csv_rows(args, file)?,
            Format::Ndjson | Format::CloudEvents => Rows::Json(BufReader::new(file)),
        };
        Ok(Source { digest, lines, rows, number: 0 })
    }

    /// The names of the columns, where the file has them once for all rows.
    pub(super) fn columns(&self) -> Option<&[String]> {
        match &self.rows {
            Rows::Csv { columns, .. } => Some(columns),
            Rows::Json(_) => None,
        }
    }

    /// What separates columns.
    pub(super) fn delimiter(&self) -> Option<u8> {
        match &self.rows {
            Rows::Csv { delimiter, .. } => Some(*delimiter),
            Rows::Json(_) => None,
        }
    }

    /// The next row. A row that cannot be read ends the import: nobody knows what the rest means.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Failure> {
        self.number += 1;
        let number = self.number;
        let cells = match &mut self.rows {
            Rows::Csv { columns, reader, .. } => next_csv(columns, reader),
            Rows::Json(reader) => next_json(reader),
        };
        match cells {
            Ok(cells) => Ok(cells.map(|cells| Row { number, cells })),
            Err(why) => Err(Failure::usage(format!("row {number}: {why}"))),
        }
    }
}

fn next_csv(
    columns: &Arc<[String]>,
    reader: &mut csv::Reader<BufReader<File>>,
) -> Result<Option<Cells>, String> {
    let mut record = csv::StringRecord::new();
    if !reader.read_record(&mut record).map_err(|error| error.to_string())? {
        return Ok(None);
    }
    if record.len() != columns.len() {
        let (found, expected) = (record.len(), columns.len());
        return Err(format!("{found} columns, expected {expected}: {}", columns.join(", ")));
    }
    Ok(Some(Cells::Csv { columns: Arc::clone(columns), record }))
}

fn next_json(reader: &mut BufReader<File>) -> Result<Option<Cells>, String> {
    loop {
        let mut line = String::new();
        let read = reader.take(LINE_BYTES_MAX + 1).read_line(&mut line);
        if read.map_err(|error| error.to_string())? == 0 {
            return Ok(None);
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(format!("a line of more than {LINE_BYTES_MAX} bytes"));
        }
        if line.trim().is_empty() {
            continue;
        }
        let members = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        return Ok(Some(Cells::Json { line, members }));
    }
}

fn file(path: &Path) -> Result<File, Failure> {
    if path != Path::new("-") {
        return File::open(path).map_err(|error| input::unreadable(path, &error));
    }
    let copied = tempfile::tempfile().and_then(|mut copy| {
        std::io::copy(&mut std::io::stdin().lock(), &mut copy)?;
        copy.rewind()?;
        Ok(copy)
    });
    copied.map_err(|error| Failure::file("standard input could not be copied", &error))
}

fn digest(file: &mut File) -> std::io::Result<(blake3::Hash, u64)> {
    let (mut hasher, mut lines) = (blake3::Hasher::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
        lines += part.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    Ok((hasher.finalize(), lines))
}

/// What the file holds, as told or by its name.
pub(super) fn format(args: &Import) -> Result<Format, Failure> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    let extension = args.file.extension().and_then(|text| text.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "csv" | "tsv" => Ok(Format::Csv),
        "ndjson" | "jsonl" => Ok(Format::Ndjson),
        _ if args.header || args.columns.is_some() => Ok(Format::Csv),
        _ => Err(Failure::usage("say what the file holds with --format csv or --format ndjson")),
    }
}

fn csv_rows(args: &Import, file: File) -> Result<Rows, Failure> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(args.header)
        .delimiter(args.delimiter)
        .flexible(true)
        .from_reader(BufReader::new(file));
    let columns = match &args.columns {
        Some(columns) => columns.clone(),
        None if args.header => {
            let header = reader.headers().map_err(|error| Failure::usage(error.to_string()))?;
            header.iter().map(str::to_owned).collect()
        }
        None => {
            return Err(Failure::usage(
                "name the columns with --columns a,b,c, or say with --header that the first row does",
            ));
        }
    };
    let twice = columns.iter().enumerate().find(|(i, name)| columns[..*i].contains(name));
    if let Some((_, name)) = twice {
        return Err(Failure::usage(format!("two columns are named {name:?}")));
    }
    Ok(Rows::Csv { columns: columns.into(), reader, delimiter: args.delimiter })
}
