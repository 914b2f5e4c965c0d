//! Notices that a file of a project has changed, by looking.

use super::language::Language;
use crate::cli::failure::Failure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder with more files than this is no project, but a home directory.
const FILES_MAX: usize = 10_000;

/// When each file was written last, and how long it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Stamps {
    /// Those of a project, without what tools write, and of one file more.
    pub(super) fn of(dir: &Path, more: &Path) -> Result<Stamps, Failure> {
        let mut stamps = BTreeMap::new();
        collect(dir, &mut stamps)?;
        stamp(more, &mut stamps);
        Ok(Stamps(stamps))
    }
}

fn collect(
    dir: &Path,
    stamps: &mut BTreeMap<PathBuf, (Option<SystemTime>, u64)>,
) -> Result<(), Failure> {
    // What is gone, or not for us to read, is noticed as a change.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        match kind {
            // Links to folders are not followed: they may go round.
            Ok(kind) if kind.is_dir() && !Language::is_left_by_tools(&path) => {
                collect(&path, stamps)?;
            }
            Ok(kind) if !kind.is_dir() => stamp(&path, stamps),
            _ => {}
        }
        if stamps.len() > FILES_MAX {
            return Err(Failure::usage(format!(
                "there are more than {FILES_MAX} files in the project; {} was the last one",
                path.display()
            )));
        }
    }
    Ok(())
}

fn stamp(path: &Path, stamps: &mut BTreeMap<PathBuf, (Option<SystemTime>, u64)>) {
    if let Ok(meta) = path.metadata()
        && meta.is_file()
    {
        stamps.insert(path.to_owned(), (meta.modified().ok(), meta.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_sources_is_seen_and_what_tools_write_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (source, more) = (dir.path().join("src/a.c"), dir.path().join("more"));
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::create_dir(dir.path().join("build")).unwrap();
        std::fs::write(&source, "1").unwrap();
        let first = Stamps::of(dir.path(), &more).unwrap();
        std::fs::write(dir.path().join("build/a.wasm"), "1").unwrap();
        assert_eq!(Stamps::of(dir.path(), &more).unwrap(), first);
        std::fs::write(&source, "12").unwrap();
        let second = Stamps::of(dir.path(), &more).unwrap();
        assert_ne!(second, first);
        std::fs::write(&more, "").unwrap();
        assert_ne!(Stamps::of(dir.path(), &more).unwrap(), second);
        std::fs::remove_file(&source).unwrap();
        assert_ne!(Stamps::of(dir.path(), &more).unwrap(), second);
    }
}
