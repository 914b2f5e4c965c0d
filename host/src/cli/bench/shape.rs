//! What the appends of a benchmark look like.

use atomic_store_core::{NameError, Proposal, ScopeName};

/// Payloads are filled up to this.
const PAYLOAD_BYTES: usize = 200;

/// What the appends look like.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The kind of the events.
    pub(super) kind: String,
    /// The payload before and after the number.
    before: String,
    after: Option<String>,
}

impl Shape {
    /// A JSON object gets one more member, so that small payloads have a size as in life.
    pub(super) fn new(kind: &str, payload: &str) -> Self {
        let filler = PAYLOAD_BYTES.saturating_sub(payload.len() + 12);
        let payload = match payload.strip_suffix('}') {
            Some(open) if filler > 0 && !open.ends_with('{') => {
                format!("{open},\"note\":\"{}\"}}", "x".repeat(filler))
            }
            _ => payload.to_owned(),
        };
        let (before, after) = match payload.split_once("{n}") {
            Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
            None => (payload, None),
        };
        Shape { kind: kind.to_owned(), before, after }
    }

    /// The nth event of a scope.
    pub(super) fn proposal(&self, n: u64) -> Proposal {
        let payload = match &self.after {
            Some(after) => format!("{}{n}{after}", self.before),
            None => self.before.clone(),
        };
        Proposal::json(&self.kind, payload)
    }

    /// The scopes.
    pub(super) fn scopes(count: usize) -> Result<Vec<ScopeName>, NameError> {
        (0..count).map(|number| ScopeName::new(&format!("bench/{number}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_count_up_and_are_filled_up_to_about_two_hundred_bytes() {
        let proposal = Shape::new("bid", "{\"amount\":{n}}").proposal(1234);
        let value: serde_json::Value = serde_json::from_slice(&proposal.payload).unwrap();
        assert_eq!(value["amount"], 1234);
        assert!((195..=205).contains(&proposal.payload.len()), "{}", proposal.payload.len());
        assert_eq!(Shape::new("a", "{}").proposal(1).payload, b"{}");
    }
}
