//! Lines that are CloudEvents 1.0 in JSON.
//!
//! What CloudEvents has a word for goes there: `type` is the kind, `subject` the first key, `time` the
//! store's time, `source` the store and the scope, `id` the number in the scope. The rest are extension
//! attributes. Their names are lower-case letters and digits, their values text: numbers of a store
//! may be larger than the 32 bits that CloudEvents has, and lists it does not have at all.

use super::payload::{self, Shape};
use super::{Exported, Extent, is_odd, ndjson, time};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{ContentType, Digest, Event, Position, ScopeName, Seq};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt::Display;
use std::str::FromStr;

#[derive(Serialize)]
struct Out<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'a str>,
    scope: &'a ScopeName,
    seq: String,
    position: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contenttype: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    triggers: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callerms: Option<String>,
    hostms: String,
    appendid: String,
    validator: Digest,
    binding: String,
    previous: Digest,
    hash: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

#[derive(Deserialize)]
struct In<'a> {
    r#type: String,
    datacontenttype: Option<String>,
    scope: ScopeName,
    seq: String,
    after: Option<String>,
    head: Option<String>,
    contenttype: Option<String>,
    keys: Option<String>,
    triggers: Option<String>,
    metadata: Option<String>,
    callerms: Option<String>,
    hostms: String,
    appendid: String,
    validator: Digest,
    binding: String,
    previous: Digest,
    hash: Digest,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

/// A CloudEvent of any system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// `id`, which with `source` names one event for ever.
    pub id: String,
    /// `source`.
    pub source: String,
    /// `type`.
    pub kind: String,
    /// `subject`.
    pub subject: Option<String>,
    /// `time`, in milliseconds since 1970-01-01 UTC.
    pub time_ms: Option<u64>,
    /// `datacontenttype`; JSON if it is not given.
    pub content_type: ContentType,
    /// `data` or `data_base64`; empty without either.
    pub payload: Vec<u8>,
}

#[derive(Deserialize)]
struct ForeignIn<'a> {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

pub(super) fn line(
    store: StoreId,
    scope: &ScopeName,
    event: &Event,
    extent: Option<Extent>,
) -> String {
    let media = event.content_type.as_str();
    let (data, data_base64) = match Shape::of(&event.payload, is_json(media)) {
        Shape::Json(raw) => (Some(Data::Json(raw)), None),
        Shape::Text(text) => (Some(Data::Text(text)), None),
        Shape::Base64(text) => (None, Some(text)),
    };
    let other = matches!(event.content_type, ContentType::Other(_));
    let list = |empty: bool, json: serde_json::Result<String>| json.ok().filter(|_| !empty);
    let key_list = |keys: &[_]| list(keys.is_empty(), serde_json::to_string(&ndjson::pairs(keys)));
    let out = Out {
        specversion: "1.0",
        id: event.seq.to_string(),
        source: format!("atomic-store:{store}/{scope}"),
        r#type: &event.kind,
        subject: event.keys.first().map(|key| format!("{}:{}", key.kind, key.id)),
        time: time::rfc3339(event.host_ms),
        datacontenttype: is_media_type(media).then_some(media),
        scope,
        seq: event.seq.to_string(),
        position: event.position.to_string(),
        after: extent.map(|extent| extent.after.to_string()),
        head: extent.map(|extent| extent.head.to_string()),
        contenttype: (is_odd(&event.content_type) || other && !is_media_type(media))
            .then_some(media),
        keys: key_list(&event.keys),
        triggers: key_list(&event.triggers),
        metadata: list(event.metadata.is_empty(), serde_json::to_string(&event.metadata)),
        callerms: event.caller_ms.map(|ms| ms.to_string()),
        hostms: event.host_ms.to_string(),
        appendid: event.append_id.to_string(),
        validator: event.validator,
        binding: event.binding.to_string(),
        previous: event.previous,
        hash: event.hash,
        data,
        data_base64,
    };
    // Text, numbers and lists: nothing that JSON cannot hold.
    serde_json::to_string(&out).unwrap_or_default()
}

/// True if a line is a CloudEvent, well-made or not.
pub(super) fn is_one(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Mark {
        #[serde(rename = "specversion")]
        _version: serde::de::IgnoredAny,
    }
    serde_json::from_str::<Mark>(line).is_ok()
}

pub(super) fn read(line: &str) -> Result<Exported, String> {
    let line: In<'_> = serde_json::from_str(line)
        .map_err(|why| format!("not a CloudEvent of an export ({why})"))?;
    let content_type = match (line.contenttype, line.datacontenttype) {
        (Some(other), _) => ContentType::Other(other),
        (None, media) => media.as_deref().map_or(ContentType::Json, ContentType::from),
    };
    let payload = data(&content_type, line.data, line.data_base64.as_deref())?;
    let extent = match (line.after, line.head) {
        (Some(after), Some(head)) => {
            Some(Extent { after: Seq(number("after", &after)?), head: Seq(number("head", &head)?) })
        }
        _ => None,
    };
    let event = Event {
        seq: Seq(number("seq", &line.seq)?),
        position: Position(0),
        kind: line.r#type,
        content_type,
        payload,
        keys: ndjson::keys(list("keys", line.keys.as_deref())?),
        triggers: ndjson::keys(list("triggers", line.triggers.as_deref())?),
        metadata: list("metadata", line.metadata.as_deref())?,
        caller_ms: line.callerms.map(|ms| number("callerms", &ms)).transpose()?,
        host_ms: number("hostms", &line.hostms)?,
        append_id: ndjson::append_id(&line.appendid)?,
        validator: line.validator,
        binding: Seq(number("binding", &line.binding)?),
        previous: line.previous,
        hash: line.hash,
    };
    Ok(Exported { scope: line.scope, extent, event })
}

/// Reads a CloudEvent of any system.
///
/// # Errors
/// Which required attribute is missing or wrong.
pub fn foreign(line: &str) -> Result<Foreign, String> {
    let line: ForeignIn<'_> =
        serde_json::from_str(line).map_err(|why| format!("not a CloudEvent ({why})"))?;
    if line.specversion != "1.0" {
        return Err(format!("specversion {:?}; only 1.0 is known", line.specversion));
    }
    for (name, value) in [("id", &line.id), ("source", &line.source), ("type", &line.r#type)] {
        if value.is_empty() {
            return Err(format!("{name} is empty"));
        }
    }
    let time_ms = match line.time.as_deref() {
        None => None,
        Some(text) => match time::parse_rfc3339(text) {
            None => return Err(format!("time {text:?} is not RFC 3339, or is before 1970")),
            known => known,
        },
    };
    let content_type = line.datacontenttype.as_deref().map_or(ContentType::Json, ContentType::from);
    let payload = data(&content_type, line.data, line.data_base64.as_deref())?;
    Ok(Foreign {
        id: line.id,
        source: line.source,
        kind: line.r#type,
        subject: line.subject,
        time_ms,
        content_type,
        payload,
    })
}

/// The payload: JSON as it stands, text as its characters, or base64.
fn data(
    content_type: &ContentType,
    data: Option<&RawValue>,
    base64: Option<&str>,
) -> Result<Vec<u8>, String> {
    match (data, base64) {
        (Some(_), Some(_)) => Err("an event has data or data_base64, not both".to_owned()),
        (None, Some(text)) => payload::bytes(text),
        (None, None) => Ok(Vec::new()),
        (Some(raw), None) if is_json(content_type.as_str()) => Ok(raw.get().as_bytes().to_vec()),
        (Some(raw), None) => match serde_json::from_str::<String>(raw.get()) {
            Ok(text) => Ok(text.into_bytes()),
            Err(_) => Ok(raw.get().as_bytes().to_vec()),
        },
    }
}

fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or(media).trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json")
}

/// True for text that looks like `type/subtype`; CloudEvents takes nothing else there.
fn is_media_type(media: &str) -> bool {
    let plain = media.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let parts = media.split_once('/');
    plain && parts.is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
}

fn number<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|why| format!("{name} {text:?}: {why}"))
}

fn list(name: &str, text: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|why| format!("{name} {text:?}: {why}"))
}
