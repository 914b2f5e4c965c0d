//! The shapes of `--json`: what a script sees of events, answers and the store.
//!
//! Payloads that are JSON are spliced in as they were written, so that no number is rounded on the
//! way. The event's shape is also what `append --batch` reads.

use super::conflict::ConflictJson;
use super::text;
use atomic_store_core::protocol::{ScopeInfo, StoreStatus, VerifyReport};
use atomic_store_core::{
    Answer, AppendId, Binding, Committed, ContentType, Digest, Event, ExpectedHead, Key, Outcome,
    Proposal, Reason, RuleInfo, ScopeName, ScopePattern, Seq, ValidatorName,
};
use serde::ser::SerializeMap;
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

/// A proposed event, in the shape of an event as far as it goes.
pub(crate) struct ProposedJson<'a>(pub(crate) &'a Proposal);

impl Serialize for ProposedJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ProposedJson(proposal) = self;
        let payload = Shown::of(&proposal.content_type, &proposal.payload);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &proposal.kind)?;
        map.serialize_entry("content_type", proposal.content_type.as_str())?;
        map.serialize_entry(&payload.field("payload"), &payload)?;
        map.serialize_entry("keys", &keys(&proposal.keys))?;
        map.serialize_entry("triggers", &keys(&proposal.triggers))?;
        map.serialize_entry("metadata", &Pairs(&proposal.metadata))?;
        map.serialize_entry("caller_ms", &proposal.caller_ms)?;
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
pub(crate) struct AnswerJson<'a> {
    /// The scope.
    pub(crate) scope: &'a ScopeName,
    /// The append.
    pub(crate) id: AppendId,
    /// True if nothing was to be stored.
    pub(crate) dry_run: bool,
    /// Its answer.
    pub(crate) answer: &'a Answer,
}

impl Serialize for AnswerJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let AnswerJson { scope, id, dry_run, answer } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("outcome", answer.outcome.word())?;
        map.serialize_entry("scope", scope)?;
        map.serialize_entry("id", &id.to_string())?;
        map.serialize_entry("duplicate", &answer.duplicate)?;
        map.serialize_entry("dry_run", dry_run)?;
        match &answer.outcome {
            Outcome::Committed(committed) => committed_entries(&mut map, committed)?,
            Outcome::Noop { reason } => map.serialize_entry("reason", reason)?,
            Outcome::Rejected(refusal) => {
                map.serialize_entry("index", &refusal.index)?;
                let reasons: Vec<_> = refusal.reasons.iter().map(ReasonJson::of).collect();
                map.serialize_entry("reasons", &reasons)?;
                map.serialize_entry("meta", &guess(refusal.meta.as_deref()))?;
            }
            Outcome::HeadMismatch { expected, actual } => {
                let expected = match expected {
                    ExpectedHead::Any => None,
                    ExpectedHead::Exactly(seq) => Some(seq),
                };
                map.serialize_entry("expected", &expected)?;
                map.serialize_entry("actual", actual)?;
            }
            Outcome::Conflict { accepted, conflicts } => {
                map.serialize_entry("accepted", accepted)?;
                let conflicts = conflicts.iter().map(|one| ConflictJson::of(scope, one));
                map.serialize_entry("conflicts", &conflicts.collect::<Vec<_>>())?;
            }
            Outcome::UnknownBase { next } => map.serialize_entry("next", next)?,
            Outcome::TimedOut { after_ms } => map.serialize_entry("after_ms", after_ms)?,
            Outcome::Faulted(fault) => {
                map.serialize_entry("fault", fault.kind.word())?;
                map.serialize_entry("detail", &fault.detail)?;
            }
            Outcome::Overloaded(what) => map.serialize_entry("what", what.word())?,
            Outcome::ReadOnly { why } | Outcome::Unknown { why } => {
                map.serialize_entry("why", why)?;
            }
            Outcome::Invalid { field, why } => {
                map.serialize_entry("field", field)?;
                map.serialize_entry("why", why)?;
            }
            _ => {}
        }
        map.end()
    }
}

fn committed_entries<M: SerializeMap>(map: &mut M, committed: &Committed) -> Result<(), M::Error> {
    map.serialize_entry("first", &committed.first)?;
    map.serialize_entry("last", &committed.last)?;
    map.serialize_entry("hash", &committed.hash)?;
    map.serialize_entry("reason", &committed.reason)?;
    map.serialize_entry("meta", &guess(committed.meta.as_deref()))
}

/// A reason of a refusal.
#[derive(Serialize)]
pub(crate) struct ReasonJson<'a> {
    code: &'a str,
    message: &'a str,
    data: Option<Shown>,
    seqs: &'a [Seq],
}

impl<'a> ReasonJson<'a> {
    /// Shows a reason.
    pub(crate) fn of(reason: &'a Reason) -> Self {
        let Reason { code, message, data, seqs } = reason;
        ReasonJson { code, message, data: guess(data.as_deref()), seqs }
    }
}

/// Data from a guest or a configuration, as what it looks like.
fn guess(bytes: Option<&[u8]>) -> Option<Shown> {
    bytes.map(Shown::guess)
}

/// A scope.
#[derive(Serialize)]
pub(crate) struct ScopeJson<'a> {
    name: &'a ScopeName,
    head: Seq,
    hash: Digest,
    binding: Option<BindingJson<'a>>,
    live: bool,
    sealed: Option<&'a str>,
    damaged: bool,
    floor: Seq,
    events: u64,
    bytes: u64,
}

impl<'a> ScopeJson<'a> {
    /// Shows a scope.
    pub(crate) fn of(info: &'a ScopeInfo) -> Self {
        ScopeJson {
            name: &info.name,
            head: info.head,
            hash: info.hash,
            binding: info.binding.as_ref().map(BindingJson::of),
            live: info.live,
            sealed: info.sealed.as_deref(),
            damaged: info.damaged,
            floor: info.floor,
            events: info.events(),
            bytes: info.bytes,
        }
    }
}

/// A loaded validator.
#[derive(Serialize)]
pub(crate) struct RuleJson<'a> {
    digest: Digest,
    name: &'a ValidatorName,
    version: &'a str,
    kinds: Vec<KindJson<'a>>,
    bytes: u64,
    built_in: bool,
}

#[derive(Serialize)]
struct KindJson<'a> {
    kind: &'a str,
    schema: Option<Shown>,
}

impl<'a> RuleJson<'a> {
    /// Shows a validator.
    pub(crate) fn of(info: &'a RuleInfo) -> Self {
        let kinds = info.description.kinds.iter().map(|(kind, schema)| KindJson {
            kind,
            schema: guess(schema.as_deref().map(str::as_bytes)),
        });
        RuleJson {
            digest: info.digest,
            name: &info.description.name,
            version: &info.description.version,
            kinds: kinds.collect(),
            bytes: info.bytes,
            built_in: info.built_in,
        }
    }
}

/// A loaded validator, whether it is new, and its bindings.
#[derive(Serialize)]
pub(crate) struct LoadedJson<'a> {
    #[serde(flatten)]
    rule: RuleJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<bool>,
    bindings: Vec<BindingJson<'a>>,
}

impl<'a> LoadedJson<'a> {
    /// Shows a validator; `new` if it has just been loaded.
    pub(crate) fn of(info: &'a RuleInfo, new: Option<bool>, bindings: &'a [Binding]) -> Self {
        let bindings = bindings.iter().map(BindingJson::of).collect();
        LoadedJson { rule: RuleJson::of(info), new, bindings }
    }
}

/// All validators and bindings.
#[derive(Serialize)]
pub(crate) struct ListJson<'a> {
    validators: Vec<RuleJson<'a>>,
    bindings: Vec<BindingJson<'a>>,
}

impl<'a> ListJson<'a> {
    /// Shows them.
    pub(crate) fn of(loaded: &'a [RuleInfo], bindings: &'a [Binding]) -> Self {
        ListJson {
            validators: loaded.iter().map(RuleJson::of).collect(),
            bindings: bindings.iter().map(BindingJson::of).collect(),
        }
    }
}

/// A binding.
#[derive(Serialize)]
pub(crate) struct BindingJson<'a> {
    pattern: &'a ScopePattern,
    validator: Digest,
    config: Option<Shown>,
    seq: Seq,
}

impl<'a> BindingJson<'a> {
    /// Shows a binding.
    pub(crate) fn of(binding: &'a Binding) -> Self {
        BindingJson {
            pattern: &binding.pattern,
            validator: binding.validator,
            config: guess(binding.config.as_deref()),
            seq: binding.seq,
        }
    }
}

/// The answer to a query.
#[derive(Serialize)]
pub(crate) struct StateJson<'a> {
    /// The scope.
    pub(crate) scope: &'a ScopeName,
    /// The head it is the state of.
    pub(crate) head: Seq,
    /// The validator's answer.
    pub(crate) answer: Shown,
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
        "options": status.options.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "options_since": status.options_since,
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
