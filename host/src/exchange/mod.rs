//! Events as lines of text, to leave one store and come to another: NDJSON of our own, and
//! CloudEvents 1.0.
//!
//! A line holds everything that the hash of an event covers, so that the record can be made of it
//! again, byte for byte. A payload stands in it as it is where that survives, otherwise in base64.

mod cloudevents;
mod ndjson;
mod payload;
mod time;

pub use cloudevents::{Foreign, foreign};
pub use time::{parse_rfc3339, rfc3339};

use atomic_store_core::protocol::StoreId;
use atomic_store_core::{ContentType, Event, ScopeName, Seq};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, with the names that `read --json` uses.
    Ndjson,
    /// One CloudEvent 1.0 in JSON a line.
    CloudEvents,
}

/// What the first line of a scope says of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Events up to this one had been deleted; 0 if none.
    pub after: Seq,
    /// The last event that follows.
    pub head: Seq,
}

/// An event read from a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its scope.
    pub scope: ScopeName,
    /// With the first event of a scope.
    pub extent: Option<Extent>,
    /// The event. Its hash is what the line says; whether it is true shows when the record is made.
    pub event: Event,
}

impl Format {
    /// Writes an event as a line, without its end. `extent` goes with the first of a scope.
    #[must_use]
    pub fn line(
        self,
        store: StoreId,
        scope: &ScopeName,
        event: &Event,
        extent: Option<Extent>,
    ) -> String {
        let line = match self {
            Format::Ndjson => ndjson::line(scope, event, extent),
            Format::CloudEvents => cloudevents::line(store, scope, event, extent),
        };
        plain(line)
    }
}

/// Reads a line of either format.
///
/// # Errors
/// What is wrong with it, for people.
pub fn read(line: &str) -> Result<Exported, String> {
    match cloudevents::is_one(line) {
        true => cloudevents::read(line),
        false => ndjson::read(line),
    }
}

/// JSON escapes only the first 32 control characters. The others can stand only inside strings,
/// and payloads with them are written in base64, so they can be escaped afterwards: nobody's
/// terminal is steered by an export.
fn plain(line: String) -> String {
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

/// True for a media type that is one of those with a name of their own, but was not given so: such
/// an event has other bytes.
fn is_odd(content_type: &ContentType) -> bool {
    match content_type {
        ContentType::Other(text) => {
            !matches!(ContentType::from(text.as_str()), ContentType::Other(_))
        }
        _ => false,
    }
}
