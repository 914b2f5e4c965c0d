//! Payloads inside of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

/// A payload in the form in which it comes back as the same bytes.
#[derive(Debug)]
pub(super) enum Shape<'a> {
    /// JSON, spliced in as it is.
    Json(&'a RawValue),
    /// Text, as a JSON string.
    Text(&'a str),
    /// Anything else.
    Base64(String),
}

impl<'a> Shape<'a> {
    /// The shape of a payload; `json` if its media type says that it is JSON.
    pub(super) fn of(bytes: &'a [u8], json: bool) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        let shape = match text {
            Some(text) if json => spliced(text).map(Shape::Json),
            Some(text) => Some(Shape::Text(text)),
            None => None,
        };
        shape.unwrap_or_else(|| Shape::Base64(STANDARD.encode(bytes)))
    }
}

/// The text as a part of a line, if it is JSON that comes back as it is: without white space around
/// it, without line ends, and without characters that would be escaped. `null` would read as nothing.
fn spliced(text: &str) -> Option<&RawValue> {
    if text == "null" || text.chars().any(char::is_control) {
        return None;
    }
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    (raw.get() == text).then_some(raw)
}

/// Reads base64.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|why| format!("no base64: {why}"))
}
