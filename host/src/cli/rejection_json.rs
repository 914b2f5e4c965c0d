//! An entry of the journal of rejections as JSON, and in a sentence.

use super::append::describe;
use super::json::{ProposedJson, ReasonJson};
use super::text;
use atomic_store_core::{Conflict, Key, Outcome, Rejection};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// An entry.
pub(crate) struct RejectionJson<'a>(pub(crate) &'a Rejection);

/// A conflict of which only the number of the later event is known.
#[derive(Serialize)]
struct ConflictJson {
    index: Option<u32>,
    ours: u64,
    key: String,
    trigger: Option<String>,
    theirs: u64,
}

impl ConflictJson {
    fn of(conflict: &Conflict) -> Self {
        ConflictJson {
            index: conflict.index,
            ours: conflict.ours.0,
            key: conflict.key.to_string(),
            trigger: conflict.trigger.as_ref().map(Key::to_string),
            theirs: conflict.theirs.seq.0,
        }
    }
}

impl Serialize for RejectionJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RejectionJson(entry) = self;
        let judge = entry.judge.as_ref();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("number", &entry.number)?;
        map.serialize_entry("scope", &entry.scope)?;
        map.serialize_entry("host_ms", &entry.host_ms)?;
        map.serialize_entry("time", &text::time(entry.host_ms))?;
        map.serialize_entry("append_id", &entry.append_id.to_string())?;
        map.serialize_entry("head", &entry.head)?;
        map.serialize_entry("validator", &judge.map(|judge| judge.validator))?;
        map.serialize_entry("name", &judge.map(|judge| judge.name.as_str()))?;
        map.serialize_entry("binding", &judge.map(|judge| judge.binding))?;
        map.serialize_entry("outcome", entry.outcome.word())?;
        map.serialize_entry("code", entry.code())?;
        map.serialize_entry("why", &why(entry))?;
        match &entry.outcome {
            Outcome::Rejected(refusal) => {
                map.serialize_entry("index", &refusal.index)?;
                let reasons: Vec<_> = refusal.reasons.iter().map(ReasonJson::of).collect();
                map.serialize_entry("reasons", &reasons)?;
            }
            Outcome::Conflict { accepted, conflicts } => {
                map.serialize_entry("accepted", accepted)?;
                let conflicts: Vec<_> = conflicts.iter().map(ConflictJson::of).collect();
                map.serialize_entry("conflicts", &conflicts)?;
            }
            _ => {}
        }
        map.serialize_entry("kinds", &entry.kinds)?;
        map.serialize_entry("payload_hash", &entry.payload_hash)?;
        let proposals = entry.proposals.as_ref();
        let proposals = proposals.map(|all| all.iter().map(ProposedJson).collect::<Vec<_>>());
        map.serialize_entry("proposals", &proposals)?;
        map.end()
    }
}

/// One sentence on why.
pub(crate) fn why(entry: &Rejection) -> String {
    let Outcome::Rejected(refusal) = &entry.outcome else { return describe(&entry.outcome) };
    let reasons: Vec<_> =
        refusal.reasons.iter().map(|one| format!("{}: {}", one.code, one.message)).collect();
    format!("rejected: {}", reasons.join("; "))
}
