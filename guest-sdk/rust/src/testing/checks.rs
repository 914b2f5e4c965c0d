//! The contract's caps on answers, so that a test finds what the store would call a fault.

use crate::{Acceptance, Description, NewEvent, Reason, Refusal};

const KIB: usize = 1024;

/// # Panics
/// If a cap is broken, with the cap.
#[track_caller]
pub(super) fn answer(answer: &Result<Vec<Acceptance>, Refusal>) {
    match answer {
        Ok(acceptances) => acceptances.iter().for_each(acceptance),
        Err(refusal) => {
            within("reasons of a refusal", refusal.reasons.len(), 16);
            within("bytes of meta", refusal.meta.as_ref().map_or(0, Vec::len), 64 * KIB);
            refusal.reasons.iter().for_each(reason);
        }
    }
}

/// # Panics
/// If the store would not load a component that says this about itself.
#[track_caller]
pub(super) fn description(description: &Description) {
    let name = &description.name;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(
        (1..=64).contains(&name.len()) && name.chars().all(fits),
        "NAME is {name:?}, which is not 1 to 64 lower-case letters, digits and `-`"
    );
    let core = description.version.split(['-', '+']).next().unwrap_or_default();
    let numbers = core.split('.').filter(|number| number.parse::<u64>().is_ok()).count();
    assert!(
        numbers == 3 && core.split('.').count() == 3,
        "VERSION is {:?}, which is not a semantic version such as 1.2.0",
        description.version
    );
    within("kinds", description.kinds.len(), 256);
    for kind in &description.kinds {
        within("bytes of a kind", kind.name.len(), 128);
        if let Some(schema) = &kind.schema {
            let parsed = serde_json::from_str::<serde_json::Value>(schema);
            assert!(parsed.is_ok(), "the schema of kind {:?} is not JSON: {parsed:?}", kind.name);
        }
    }
}

fn acceptance(acceptance: &Acceptance) {
    within("bytes of a reason", acceptance.reason.as_ref().map_or(0, String::len), KIB);
    within("bytes of meta", acceptance.meta.as_ref().map_or(0, Vec::len), 64 * KIB);
    within("outputs", acceptance.outputs.len(), 32);
    acceptance.events.iter().flatten().for_each(event);
}

fn event(event: &NewEvent) {
    assert!(!event.kind.is_empty(), "an event to store has no kind");
    within("bytes of a kind", event.kind.len(), 128);
    within("bytes of a media type", event.content_type.len(), 128);
    within("bytes of a payload", event.payload.len(), KIB * KIB);
    within("keys", event.keys.len(), 32);
    within("metadata pairs", event.metadata.len(), 32);
    for key in &event.keys {
        within("bytes of a key", key.kind.len().max(key.id.len()), 256);
    }
    for pair in &event.metadata {
        within("bytes of metadata", pair.name.len().max(pair.value.len()), KIB);
    }
}

fn reason(reason: &Reason) {
    assert!(!reason.code.is_empty(), "a reason has no code: {:?}", reason.message);
    within("bytes of a reason's code", reason.code.len(), 64);
    within("bytes of a reason's message", reason.message.len(), KIB);
    within("bytes of a reason's data", reason.data.as_ref().map_or(0, Vec::len), 64 * KIB);
    within("seqs of a reason", reason.seqs.len(), 1000);
}

#[track_caller]
fn within(what: &str, found: usize, cap: usize) {
    assert!(
        found <= cap,
        "{found} {what}, where the contract allows {cap}: the store would fail this append"
    );
}
