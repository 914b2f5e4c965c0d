//! What went wrong, in words: a benchmark has nobody who could act on more than that.

use std::error::Error;
use std::fmt;

/// Why something was not measured.
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// A failure in these words.
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Failure(why.into())
    }

    /// The same, with what was being done in front.
    pub(crate) fn at(self, what: &str) -> Self {
        Failure(format!("{what}: {}", self.0))
    }
}

// Clients such as PostgreSQL's say "db error" and keep what happened in the source.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            let more = inner.to_string();
            if !words.contains(&more) {
                words = format!("{words}: {more}");
            }
            source = inner.source();
        }
        Failure(words)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
