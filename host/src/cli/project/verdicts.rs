//! The verdicts of a file of proposals, and what is different from those of the last build.

use crate::cli::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// What became of one line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// The line.
    pub(super) append: String,
    /// What the rules said.
    pub(super) verdict: String,
}

/// How a verdict stands to that of the last build.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// The same.
    None,
    /// This line was not in the file.
    New,
    /// It was another one.
    Was(&'a str),
}

/// The verdicts of the last build. What cannot be read counts as no build: it is only to compare with.
pub(super) fn last(path: &Path) -> Option<Vec<Verdict>> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Keeps verdicts for the next build.
pub(super) fn keep(path: &Path, verdicts: &[Verdict]) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::file(path.display(), error);
    let bytes = serde_json::to_vec(verdicts).map_err(|error| failed(&error.into()))?;
    std::fs::write(path, bytes).map_err(|error| failed(&error))
}

/// Compares line by line: the first of several equal lines with the first, and so on.
pub(super) fn changes<'a>(before: Option<&'a [Verdict]>, now: &[Verdict]) -> Vec<Change<'a>> {
    let Some(before) = before else { return now.iter().map(|_| Change::None).collect() };
    let mut known: HashMap<(&str, usize), &str> = HashMap::new();
    let mut seen = HashMap::new();
    for verdict in before {
        known.insert((&verdict.append, nth(&mut seen, &verdict.append)), &verdict.verdict);
    }
    let mut seen = HashMap::new();
    let change = |verdict: &Verdict, seen: &mut HashMap<String, usize>| {
        let place = nth(seen, &verdict.append);
        match known.get(&(verdict.append.as_str(), place)) {
            None => Change::New,
            Some(was) if **was == verdict.verdict => Change::None,
            Some(was) => Change::Was(was),
        }
    };
    now.iter().map(|verdict| change(verdict, &mut seen)).collect()
}

fn nth(seen: &mut HashMap<String, usize>, line: &str) -> usize {
    let count = seen.entry(line.to_owned()).or_default();
    *count += 1;
    *count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(pairs: &[(&str, &str)]) -> Vec<Verdict> {
        let one = |(append, verdict): &(&str, &str)| Verdict {
            append: (*append).to_owned(),
            verdict: (*verdict).to_owned(),
        };
        pairs.iter().map(one).collect()
    }

    #[test]
    fn equal_lines_are_told_apart_by_their_order() {
        let before = verdicts(&[("a", "yes"), ("a", "no"), ("b", "yes")]);
        let now = verdicts(&[("c", "yes"), ("a", "yes"), ("a", "yes"), ("b", "yes")]);
        let found = changes(Some(&before), &now);
        assert_eq!(found, [Change::New, Change::None, Change::Was("no"), Change::None]);
        assert!(changes(None, &now).iter().all(|change| *change == Change::None));
    }
}
