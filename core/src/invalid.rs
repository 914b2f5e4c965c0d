//! A value from outside that is not taken, and why.

/// A value that breaks a rule or a cap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// Which part of the request or answer.
    pub field: String,
    /// What is wrong, with the cap.
    pub why: String,
}

impl Invalid {
    /// Names a field and what is wrong with it.
    #[must_use]
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Invalid { field: field.into(), why: why.into() }
    }
}
