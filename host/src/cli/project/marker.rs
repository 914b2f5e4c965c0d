//! `atomic-store.json`: what a folder says about the validator in it.

use super::language::Language;
use crate::cli::failure::Failure;
use crate::cli::input;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// The file that makes a folder a project.
pub(super) const FILE: &str = "atomic-store.json";
/// Longest name of a project.
const NAME_BYTES_MAX: usize = 40;

/// A folder with a validator in it.
#[derive(Debug)]
pub(crate) struct Project {
    /// The folder.
    pub(super) dir: PathBuf,
    /// What the file says.
    pub(super) marker: Marker,
}

/// What the file says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marker {
    /// The name of the project and of what it builds.
    pub(super) name: String,
    /// What it is written in.
    pub(super) language: Language,
    /// Where the rules begin, from the folder.
    pub(super) source: PathBuf,
    /// The configuration that checks and `dev` start it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<serde_json::Value>,
    /// Let it import WASI, as `--wasi` does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) wasi: bool,
}

impl Project {
    /// The project in a folder.
    pub(super) fn open(dir: &Path) -> Result<Project, Failure> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Err(Failure::usage(format!(
                "there is no {FILE} in {}; `atomic-store validator new` makes a project",
                dir.display()
            )));
        }
        let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        let marker: Marker = serde_json::from_slice(&input::file(&path)?)
            .map_err(|error| wrong(error.to_string()))?;
        check_name(&marker.name).map_err(wrong)?;
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if marker.source.as_os_str().is_empty() || !marker.source.components().all(plain) {
            return Err(wrong(format!(
                "the source {:?} is not a path inside of the folder",
                marker.source
            )));
        }
        if !dir.join(&marker.source).is_file() {
            return Err(wrong(format!("there is no {}", marker.source.display())));
        }
        let dir = dir.canonicalize().map_err(|error| input::unreadable(dir, &error))?;
        Ok(Project { dir, marker })
    }

    /// Where the component is built to.
    pub(super) fn wasm(&self) -> PathBuf {
        self.dir.join("build").join(&self.marker.name).with_extension("wasm")
    }

    /// The configuration as the validator gets it.
    pub(super) fn config(&self) -> Option<Vec<u8>> {
        self.marker.config.as_ref().map(|config| config.to_string().into_bytes())
    }
}

/// A name that is one for packages in every guest language, for files, and for validators.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain)
        && !name.ends_with('-');
    match good {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name for a project: it has small letters, digits and '-', begins with a \
             letter, ends with none of '-', and is at most {NAME_BYTES_MAX} long"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_everywhere() {
        for good in ["a", "seats", "seats-2", "x1"] {
            assert_eq!(check_name(good), Ok(()));
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", "Seats", "2seats", "-a", "a-", "a_b", "a/b", "..", "a b", "\u{e9}", &long] {
            assert!(check_name(bad).unwrap_err().contains("no name"), "{bad}");
        }
    }

    #[test]
    fn a_marker_that_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let said = |text: &str| {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            Project::open(dir.path()).unwrap_err().message
        };
        for (text, why) in [
            ("{", "EOF"),
            (r#"{"name":"A","language":"c","source":"a.c"}"#, "no name"),
            (r#"{"name":"a","language":"cobol","source":"a.c"}"#, "cobol"),
            (r#"{"name":"a","language":"c","source":"../a.c"}"#, "not a path inside"),
            (r#"{"name":"a","language":"c","source":"/a.c"}"#, "not a path inside"),
            (r#"{"name":"a","language":"c","source":"a.c"}"#, "there is no a.c"),
            (r#"{"name":"a","language":"c","source":"a.c","colour":1}"#, "colour"),
        ] {
            assert!(said(text).contains(why), "{text}: {}", said(text));
        }
    }
}
