//! What goes to standard output: tables and lines for people, or JSON. Diagnostics never do.

use super::failure::Failure;
use super::{exit, text};
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

/// Standard output.
pub(crate) struct Out {
    json: bool,
    stdout: BufWriter<Stdout>,
}

impl Out {
    /// Standard output, for people or as JSON.
    pub(crate) fn new(json: bool) -> Self {
        Out { json, stdout: BufWriter::with_capacity(64 * 1024, io::stdout()) }
    }

    /// True if the caller asked for JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Writes one JSON document on one line.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value)
            .map_err(|error| Failure::new(exit::STORAGE, format!("cannot be shown: {error}")))?;
        self.put(&plain_json(line))
    }

    /// Writes one line of text that may hold anything.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.put(&text::shown(line))
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(header.iter().copied());
        for row in rows {
            table.add_row(row.iter().map(|cell| text::shown(cell).into_owned()));
        }
        self.put(&table.trim_fmt())
    }

    /// Writes pairs of a name and a value, one below the other.
    pub(crate) fn pairs(&mut self, pairs: &[(&str, String)]) -> Result<(), Failure> {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        pairs.iter().try_for_each(|(name, value)| {
            self.put(&format!("{name:width$}  {}", text::shown(value)))
        })
    }

    /// Hands everything to the operating system.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| broken(&error))
    }

    /// Writes raw text, such as a completion script.
    pub(crate) fn put(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.stdout, "{line}").map_err(|error| broken(&error))
    }
}

/// A note for people, on standard error. Programs read standard output.
pub(crate) fn note(message: &str) {
    eprintln!("{}", text::shown(message));
}

/// True if progress can be seen.
pub(crate) fn has_watcher() -> bool {
    io::stderr().is_terminal()
}

/// Whoever reads our output may stop reading: `atomic-store tail | head` is no failure.
fn broken(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(exit::OK),
        _ => Failure::file("standard output", error),
    }
}

/// JSON escapes only the first 32 control characters; the others can stand only inside strings, so
/// they can be escaped afterwards.
pub(crate) fn plain_json(line: String) -> String {
    if !line.chars().any(|c| matches!(c, '\u{7f}'..='\u{9f}')) {
        return line;
    }
    line.chars().fold(String::with_capacity(line.len() + 16), |mut safe, c| {
        match c {
            '\u{7f}'..='\u{9f}' => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_carry_no_control_characters() {
        let line = serde_json::to_string("a\u{9b}\u{1b}[2J").unwrap();
        let safe = plain_json(line);
        assert!(!safe.chars().any(char::is_control), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), "a\u{9b}\u{1b}[2J");
    }
}
