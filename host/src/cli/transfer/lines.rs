//! The lines of exports, one file after the other, with their numbers.

use crate::cli::failure::Failure;
use crate::cli::input;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Bytes of one line: a payload of the largest cap in base64, and room for the rest.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// All lines of all files.
pub(super) struct LineReader {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<(String, Box<dyn BufRead + Send>)>,
    line: String,
    number: u64,
    /// Bytes read so far, over all files.
    pub(super) bytes: u64,
}

impl LineReader {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        LineReader {
            files: files.into_iter(),
            open: None,
            line: String::new(),
            number: 0,
            bytes: 0,
        }
    }

    /// Bytes of all files together; 0 if one of them is not a file.
    pub(super) fn total(files: &[PathBuf]) -> u64 {
        let bytes = |path: &PathBuf| std::fs::metadata(path).ok().filter(|m| m.is_file());
        files.iter().map(|path| bytes(path).map(|m| m.len())).sum::<Option<u64>>().unwrap_or(0)
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> Result<Option<&str>, Failure> {
        loop {
            let Some((_, reader)) = &mut self.open else {
                let Some(path) = self.files.next() else { return Ok(None) };
                self.open = Some(open(&path)?);
                self.number = 0;
                continue;
            };
            self.line.clear();
            let read = reader.take(LINE_BYTES_MAX + 1).read_line(&mut self.line);
            self.number += 1;
            let read = read.map_err(|why| Failure::usage(format!("{}: {why}", self.place())))?;
            self.bytes += read as u64;
            if read == 0 {
                self.open = None;
            } else if read as u64 > LINE_BYTES_MAX {
                let place = self.place();
                return Err(Failure::usage(format!("{place}: more than {LINE_BYTES_MAX} bytes")));
            } else if !self.line.trim().is_empty() {
                break;
            }
        }
        Ok(Some(self.line.trim()))
    }

    /// Where the last line stands, for people.
    pub(super) fn place(&self) -> String {
        let name = self.open.as_ref().map_or("the last file", |(name, _)| name);
        format!("{name}, line {}", self.number)
    }
}

fn open(path: &Path) -> Result<(String, Box<dyn BufRead + Send>), Failure> {
    if path == Path::new("-") {
        return Ok(("standard input".to_owned(), Box::new(BufReader::new(io::stdin()))));
    }
    let file = File::open(path).map_err(|error| input::unreadable(path, &error))?;
    Ok((path.display().to_string(), Box::new(BufReader::with_capacity(64 * 1024, file))))
}
