//! Our own lines.

use super::payload::{self, Shape};
use super::{Exported, Extent, is_odd};
use atomic_store_core::{AppendId, ContentType, Digest, Event, Key, Position, ScopeName, Seq};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A line. The names are those of `read --json`; keys and metadata are lists of pairs, so that
/// nothing in them can be mistaken and nothing is lost.
#[derive(Serialize)]
struct Out<'a> {
    scope: &'a ScopeName,
    seq: Seq,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Seq>,
    kind: &'a str,
    content_type: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    content_type_other: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    keys: Vec<(&'a str, &'a str)>,
    triggers: Vec<(&'a str, &'a str)>,
    metadata: &'a [(String, String)],
    caller_ms: Option<u64>,
    host_ms: u64,
    append_id: String,
    validator: Digest,
    binding: Seq,
    previous: Digest,
    hash: Digest,
}

#[derive(Deserialize)]
struct In<'a> {
    scope: ScopeName,
    seq: Seq,
    after: Option<Seq>,
    head: Option<Seq>,
    kind: String,
    content_type: String,
    #[serde(default)]
    content_type_other: bool,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    payload_text: Option<String>,
    payload_base64: Option<String>,
    keys: Vec<(String, String)>,
    triggers: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
    caller_ms: Option<u64>,
    host_ms: u64,
    append_id: String,
    validator: Digest,
    binding: Seq,
    previous: Digest,
    hash: Digest,
}

pub(super) fn line(scope: &ScopeName, event: &Event, extent: Option<Extent>) -> String {
    let shape = Shape::of(&event.payload, event.content_type == ContentType::Json);
    let (payload, payload_text, payload_base64) = match shape {
        Shape::Json(raw) => (Some(raw), None, None),
        Shape::Text(text) => (None, Some(text), None),
        Shape::Base64(text) => (None, None, Some(text)),
    };
    let out = Out {
        scope,
        seq: event.seq,
        position: event.position,
        after: extent.map(|extent| extent.after),
        head: extent.map(|extent| extent.head),
        kind: &event.kind,
        content_type: event.content_type.as_str(),
        content_type_other: is_odd(&event.content_type),
        payload,
        payload_text,
        payload_base64,
        keys: pairs(&event.keys),
        triggers: pairs(&event.triggers),
        metadata: &event.metadata,
        caller_ms: event.caller_ms,
        host_ms: event.host_ms,
        append_id: event.append_id.to_string(),
        validator: event.validator,
        binding: event.binding,
        previous: event.previous,
        hash: event.hash,
    };
    // Text, numbers and lists: nothing that JSON cannot hold.
    serde_json::to_string(&out).unwrap_or_default()
}

pub(super) fn read(line: &str) -> Result<Exported, String> {
    let line: In<'_> =
        serde_json::from_str(line).map_err(|why| format!("not a line of an export ({why})"))?;
    let payload = match (line.payload, line.payload_text, line.payload_base64) {
        (Some(raw), None, None) => raw.get().as_bytes().to_vec(),
        (None, Some(text), None) => text.into_bytes(),
        (None, None, Some(text)) => payload::bytes(&text)?,
        _ => {
            return Err("a line needs payload, payload_text or payload_base64, and one only".into());
        }
    };
    let content_type = match line.content_type_other {
        true => ContentType::Other(line.content_type),
        false => ContentType::from(line.content_type.as_str()),
    };
    let extent = match (line.after, line.head) {
        (Some(after), Some(head)) => Some(Extent { after, head }),
        _ => None,
    };
    let event = Event {
        seq: line.seq,
        position: Position(0),
        kind: line.kind,
        content_type,
        payload,
        keys: keys(line.keys),
        triggers: keys(line.triggers),
        metadata: line.metadata,
        caller_ms: line.caller_ms,
        host_ms: line.host_ms,
        append_id: append_id(&line.append_id)?,
        validator: line.validator,
        binding: line.binding,
        previous: line.previous,
        hash: line.hash,
    };
    Ok(Exported { scope: line.scope, extent, event })
}

pub(super) fn pairs(keys: &[Key]) -> Vec<(&str, &str)> {
    keys.iter().map(|key| (key.kind.as_str(), key.id.as_str())).collect()
}

pub(super) fn keys(pairs: Vec<(String, String)>) -> Vec<Key> {
    pairs.into_iter().map(|(kind, id)| Key { kind, id }).collect()
}

/// An append id as an export writes it: 32 digits. Other text would be hashed, which is not meant.
pub(super) fn append_id(text: &str) -> Result<AppendId, String> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = digits.then(|| AppendId::from_text(text).ok()).flatten();
    id.ok_or_else(|| format!("{text:?} is no append id of 32 hexadecimal digits"))
}
