//! The shapes of `--json`: what a script sees of events, answers and the store.
//!
//! Payloads that are JSON are spliced in as they were written, so that no number is rounded on the
//! way. The event's shape is also what `append --batch` reads.

use super::text;
use atomic_store_core::protocol::{ScopeInfo, StoreStatus, VerifyReport};
use atomic_store_core::{
    Answer, AppendId, Binding, Committed, ContentType, Event, Key, Outcome, Place, Reason,
    RuleInfo, ScopeName,
};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A payload as JSON: itself if it is JSON, else text, else hexadecimal digits.
pub(crate) enum Shown {
    /// JSON, on one line.
    Json(Box<RawValue>),
    /// Other text.
    Text(String),
    /// Anything else.
    Hex(String),
}

impl Shown {
    /// Looks at bytes that say of themselves what they are.
    pub(crate) fn of(content_type: &ContentType, bytes: &[u8]) -> Shown {
        let text = match (content_type, std::str::from_utf8(bytes)) {
            (ContentType::Json, Ok(text)) => match compact(text) {
                Some(raw) => return Shown::Json(raw),
                None => text,
            },
            (ContentType::Text, Ok(text)) => text,
            (ContentType::Other(_), Ok(text)) => text,
            _ => return Shown::Hex(hex(bytes)),
        };
        Shown::Text(text.to_owned())
    }

    /// Looks at bytes of unknown kind, such as a query's answer.
    pub(crate) fn guess(bytes: &[u8]) -> Shown {
        match std::str::from_utf8(bytes) {
            Ok(_) => Shown::of(&ContentType::Json, bytes),
            Err(_) => Shown::Hex(hex(bytes)),
        }
    }

    /// The same for people.
    pub(crate) fn text(&self) -> &str {
        match self {
            Shown::Json(raw) => raw.get(),
            Shown::Text(text) | Shown::Hex(text) => text,
        }
    }

    fn field(&self, stem: &str) -> String {
        match self {
            Shown::Json(_) => stem.to_owned(),
            Shown::Text(_) => format!("{stem}_text"),
            Shown::Hex(_) => format!("{stem}_hex"),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Shown::Json(raw) => raw.serialize(serializer),
            Shown::Text(text) | Shown::Hex(text) => serializer.serialize_str(text),
        }
    }
}

/// JSON text without the white space between its parts; nothing if it is not JSON.
pub(crate) fn compact(text: &str) -> Option<Box<RawValue>> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    let (mut line, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        line.push(c);
    }
    RawValue::from_string(line).ok()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An event with its scope.
pub(crate) struct EventJson<'a>(pub(crate) &'a ScopeName, pub(crate) &'a Event);

impl Serialize for EventJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let EventJson(scope, event) = self;
        let payload = Shown::of(&event.content_type, &event.payload);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("scope", scope)?;
        map.serialize_entry("seq", &event.seq)?;
        map.serialize_entry("position", &event.position)?;
        map.serialize_entry("kind", &event.kind)?;
        map.serialize_entry("content_type", event.content_type.as_str())?;
        map.serialize_entry(&payload.field("payload"), &payload)?;
        map.serialize_entry("keys", &keys(&event.keys))?;
        map.serialize_entry("triggers", &keys(&event.triggers))?;
        map.serialize_entry("metadata", &Pairs(&event.metadata))?;
        map.serialize_entry("caller_ms", &event.caller_ms)?;
        map.serialize_entry("host_ms", &event.host_ms)?;
        map.serialize_entry("time", &text::time(event.host_ms))?;
        map.serialize_entry("append_id", &event.append_id.to_string())?;
        map.serialize_entry("validator", &event.validator)?;
        map.serialize_entry("binding", &event.binding)?;
        map.serialize_entry("previous", &event.previous)?;
        map.serialize_entry("hash", &event.hash)?;
        map.end()
    }
}

fn keys(keys: &[Key]) -> Vec<String> {
    keys.iter().map(|key| format!("{}:{}", key.kind, key.id)).collect()
}

/// Pairs as an object that keeps their order and every one of them.
struct Pairs<'a>(&'a [(String, String)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A member of a batch, as it is read: the event's shape, of which only the proposal counts.
#[derive(Debug, Deserialize)]
#[serde(bound = "'de: 'a")]
pub(crate) struct ProposalJson<'a> {
    /// The event's kind, unless the command line gives one for all.
    pub(crate) kind: Option<String>,
    /// The media type of the payload.
    pub(crate) content_type: Option<String>,
    /// A JSON payload, as written.
    #[serde(borrow)]
    pub(crate) payload: Option<&'a RawValue>,
    /// A payload that is text.
    pub(crate) payload_text: Option<String>,
    /// A payload in hexadecimal digits.
    pub(crate) payload_hex: Option<String>,
    /// Keys as `kind:id`.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    /// Triggers as `kind:id`.
    #[serde(default)]
    pub(crate) triggers: Vec<String>,
    /// Metadata.
    #[serde(default)]
    pub(crate) metadata: std::collections::BTreeMap<String, String>,
    /// The caller's time.
    pub(crate) caller_ms: Option<u64>,
}

/// The answer to an append.
pub(crate) fn answer(scope: &ScopeName, id: AppendId, answer: &Answer) -> Value {
    let mut value = json!({
        "outcome": answer.outcome.word(),
        "scope": scope,
        "id": id.to_string(),
        "duplicate": answer.duplicate,
    });
    let more = match &answer.outcome {
        Outcome::Committed(committed) => committed_json(committed),
        Outcome::Noop { reason } => json!({ "reason": reason }),
        Outcome::Rejected(refusal) => json!({
            "index": refusal.index,
            "reasons": refusal.reasons.iter().map(reason).collect::<Vec<_>>(),
            "meta": refusal.meta.as_deref().map(loose),
        }),
        Outcome::HeadMismatch { expected, actual } => json!({
            "expected": match expected {
                atomic_store_core::ExpectedHead::Any => Value::Null,
                atomic_store_core::ExpectedHead::Exactly(seq) => json!(seq),
            },
            "actual": actual,
        }),
        Outcome::TimedOut { after_ms } => json!({ "after_ms": after_ms }),
        Outcome::Faulted(fault) => json!({ "fault": fault.kind.word(), "detail": fault.detail }),
        Outcome::Overloaded(what) => json!({ "what": what.word() }),
        Outcome::ReadOnly { why } | Outcome::Unknown { why } => json!({ "why": why }),
        Outcome::Invalid { field, why } => json!({ "field": field, "why": why }),
        _ => json!({}),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn committed_json(committed: &Committed) -> Value {
    let place = |place: &Place| json!({ "seq": place.seq, "position": place.position });
    json!({
        "first": place(&committed.first),
        "last": place(&committed.last),
        "hash": committed.hash,
        "reason": committed.reason,
        "meta": committed.meta.as_deref().map(loose),
    })
}

fn reason(reason: &Reason) -> Value {
    json!({
        "code": reason.code,
        "message": reason.message,
        "data": reason.data.as_deref().map(loose),
        "seqs": reason.seqs,
    })
}

/// Small data from a guest, as a JSON value: itself if it is JSON, else text, else digits.
fn loose(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": hex(bytes) }),
    })
}

/// A scope.
pub(crate) fn scope(info: &ScopeInfo) -> Value {
    json!({
        "name": info.name,
        "head": info.head,
        "hash": info.hash,
        "binding": info.binding.as_ref().map(binding),
        "live": info.live,
        "sealed": info.sealed,
    })
}

/// A loaded validator.
pub(crate) fn rule(info: &RuleInfo) -> Value {
    json!({
        "digest": info.digest,
        "name": info.description.name,
        "version": info.description.version,
        "kinds": info.description.kinds.iter().map(|(kind, schema)| json!({
            "kind": kind,
            "schema": schema.as_deref().map(|text| loose(text.as_bytes())),
        })).collect::<Vec<_>>(),
        "bytes": info.bytes,
        "built_in": info.built_in,
    })
}

/// A binding.
pub(crate) fn binding(binding: &Binding) -> Value {
    json!({
        "pattern": binding.pattern,
        "validator": binding.validator,
        "config": binding.config.as_deref().map(loose),
        "seq": binding.seq,
    })
}

/// About the store.
pub(crate) fn status(status: &StoreStatus, via: &str) -> Value {
    json!({
        "store": status.store.to_string(),
        "version": status.version,
        "via": via,
        "position": status.position,
        "commits": status.commits,
        "scopes": status.scopes,
        "live": status.live,
        "in_flight": status.in_flight,
        "read_only": status.read_only,
    })
}

/// What a verification found.
pub(crate) fn verified(report: &VerifyReport, seconds: f64) -> Value {
    json!({
        "intact": report.damage.is_empty(),
        "scopes": report.scopes,
        "events": report.events,
        "bytes": report.bytes,
        "damage": report.damage,
        "seconds": seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_stay_as_written() {
        let text = "{ \"amount\" : 218195.150000000000000000001,\n \"note\": \"a  \\\" b\\\\\" , \"n\":1e400 }";
        let raw = compact(text).unwrap();
        assert_eq!(
            raw.get(),
            "{\"amount\":218195.150000000000000000001,\"note\":\"a  \\\" b\\\\\",\"n\":1e400}"
        );
        assert!(compact("{\"open\":").is_none());
    }

    #[test]
    fn a_payload_that_is_no_json_is_shown_as_what_it_is() {
        assert_eq!(Shown::of(&ContentType::Json, b"nope").field("payload"), "payload_text");
        assert_eq!(Shown::of(&ContentType::Bytes, b"{}").text(), "7b7d");
        assert_eq!(Shown::of(&ContentType::Json, b"\xff").field("payload"), "payload_hex");
    }
}
