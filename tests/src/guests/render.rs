//! Answers of a validator as JSON. Two answers read the same only if they are the same, byte for byte.

use atomic_store::validator::{Acceptance, StartError, Verdict};
use atomic_store_core::{Fault, Proposal, Refusal};
use serde_json::{Map, Value, json};

/// Bytes: text where they are text.
fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>() }),
    }
}

pub(super) fn verdict(verdict: &Result<Verdict, Fault>) -> Value {
    match verdict {
        Ok(Verdict::Accepted(all)) => {
            json!({ "accepted": all.iter().map(acceptance).collect::<Vec<_>>() })
        }
        Ok(Verdict::Refused(no)) => json!({ "refused": refusal(no) }),
        Err(fault) => self::fault(fault),
    }
}

pub(super) fn answer(answer: &Result<Result<Vec<u8>, String>, Fault>) -> Value {
    match answer {
        Ok(Ok(found)) => json!({ "answer": bytes(found) }),
        Ok(Err(why)) => json!({ "error": why }),
        Err(fault) => self::fault(fault),
    }
}

/// Of a configuration that is declined only whose it is: the rest is what a JSON library says.
pub(super) fn start(error: &StartError) -> Value {
    match error {
        StartError::Declined(why) => {
            json!({ "declined": why.split_inclusive(": ").next().unwrap_or_default().trim_end() })
        }
        StartError::Fault(fault) => self::fault(fault),
        StartError::NoRoom(why) => json!({ "no room": why }),
    }
}

fn fault(fault: &Fault) -> Value {
    json!({ "fault": fault.kind.word(), "detail": fault.detail })
}

fn acceptance(acceptance: &Acceptance) -> Value {
    let mut map = Map::new();
    if let Some(instead) = &acceptance.instead {
        map.insert("instead".into(), instead.iter().map(event).collect());
    }
    if let Some(reason) = &acceptance.reason {
        map.insert("reason".into(), json!(reason));
    }
    if let Some(meta) = &acceptance.meta {
        map.insert("meta".into(), bytes(meta));
    }
    map.into()
}

fn event(event: &Proposal) -> Value {
    let keys: Vec<_> = event.keys.iter().map(|key| json!([key.kind, key.id])).collect();
    json!({
        "kind": event.kind,
        "content_type": event.content_type.as_str(),
        "payload": bytes(&event.payload),
        "keys": keys,
        "metadata": event.metadata,
    })
}

fn refusal(refusal: &Refusal) -> Value {
    let reasons = refusal.reasons.iter().map(|reason| {
        let mut map = Map::new();
        map.insert("code".into(), json!(reason.code));
        map.insert("message".into(), json!(reason.message));
        if let Some(data) = &reason.data {
            map.insert("data".into(), bytes(data));
        }
        if !reason.seqs.is_empty() {
            map.insert("seqs".into(), reason.seqs.iter().map(|seq| json!(seq.0)).collect());
        }
        Value::from(map)
    });
    let mut map = Map::new();
    map.insert("index".into(), json!(refusal.index));
    map.insert("reasons".into(), reasons.collect());
    if let Some(meta) = &refusal.meta {
        map.insert("meta".into(), bytes(meta));
    }
    map.into()
}
