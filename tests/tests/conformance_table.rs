//! The table of `docs/conformance.md`: every case of the older systems' suites stands in it once, with a
//! test that exists or with a reason why there is none.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The suites and how many cases they have.
const SUITES: [(&str, u32); 3] = [("AT", 17), ("CT", 64), ("ST", 53)];

/// Cases that have no test yet. An entry that has one fails.
const OPEN: &[&str] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Id and last cell of each row.
fn rows() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let is_id = |id: &str| {
        id.len() == 4
            && id[..2].bytes().all(|b| b.is_ascii_uppercase())
            && id[2..].bytes().all(|b| b.is_ascii_digit())
    };
    let cells = |line: &str| -> Option<(String, String)> {
        let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [id, case, test] = cells[..] else { return None };
        assert!(!is_id(id) || !case.is_empty(), "{id} does not say what it is about");
        is_id(id).then(|| (id.to_owned(), test.to_owned()))
    };
    page.lines().filter_map(cells).collect()
}

#[test]
fn every_case_stands_in_the_table_once() {
    let mut found = BTreeMap::new();
    for (id, _) in rows() {
        *found.entry(id).or_insert(0) += 1;
    }
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
    let ids =
        |(suite, count): (&'static str, u32)| (1..=count).map(move |n| format!("{suite}{n:02}"));
    let expected: BTreeSet<_> = SUITES.into_iter().flat_map(ids).collect();
    let found: BTreeSet<_> = found.into_keys().collect();
    assert_eq!(found, expected);
}

#[test]
fn every_case_has_a_test_that_exists_or_a_reason() {
    let (mut problems, mut open) = (Vec::new(), Vec::new());
    for (id, cell) in rows() {
        if cell.starts_with("open: ") {
            open.push(id);
            continue;
        }
        if let Some(reason) = cell.strip_prefix("no meaning here: ") {
            if reason.len() < 20 {
                problems.push(format!("{id}: {reason:?} is no reason"));
            }
            continue;
        }
        for test in cell.split(", ") {
            let named = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
            match named.and_then(|named| named.split_once("::")) {
                Some((file, name)) if is_test(file, name) => {}
                Some((file, name)) => problems.push(format!("{id}: no test {name} in {file}")),
                None => problems.push(format!("{id}: {test:?} names no test and gives no reason")),
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(open, OPEN, "the cases without a test, and those that are known to have none");
}

/// True if the file has a test function of that name.
fn is_test(file: &str, name: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return false };
    let Some((head, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    // The attribute stands just above, perhaps above another one; inside of `proptest!` too.
    let begun = usize::from(!head.ends_with('\n'));
    let mut above = head.lines().rev().skip(begun).take_while(|line| !line.trim().is_empty());
    above.any(|line| line.contains("#[test]") || line.contains("tokio::test"))
}

#[test]
fn a_test_that_is_named_after_a_case_stands_in_its_row() {
    let rows: BTreeMap<_, _> = rows().into_iter().collect();
    let mut files = Vec::new();
    for folder in ["tests/tests", "host/tests", "core/tests", "client/tests"] {
        gather(&root().join(folder), &mut files);
    }
    let mut problems = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
        }) {
            let name = line.split('(').next().unwrap_or_default();
            let id = name.split('_').next().unwrap_or_default().to_ascii_uppercase();
            if rows.get(&id).is_some_and(|cell| !cell.contains(&format!("::{name}`"))) {
                problems.push(format!("{id}: {name} of {} is missing", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => gather(&path, files),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                files.push(path)
            }
            false => {}
        }
    }
}
