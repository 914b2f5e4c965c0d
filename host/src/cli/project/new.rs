//! `validator new`: a project that builds and tests as it is.

use super::language::Language;
use super::marker::{self, Marker};
use crate::cli::failure::Failure;
use crate::cli::output::Out;
use crate::cli::text;
use clap::Args;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Begin a validator: a project that builds and tests as it is
///
/// Writes rules to start from (seats of a flight, each taken once), their tests, proposals for
/// `validator dev`, and the SDK of the language, so that nothing else is needed but the language's own
/// tools. Nothing that is there already is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator new --lang js seats
  atomic-store validator new --lang rust seats ./rules/seats
  atomic-store validator build seats

`atomic-store.json` in the project says name, language and source; `config` there is what the validator \
is configured with when it is checked. The SDK stands in `sdk/`, in the version of this program.")]
pub(crate) struct New {
    /// What it is written in
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// The name of the project and of the validator
    name: String,
    /// Its folder; made if it is not there [default: the name]
    dir: Option<PathBuf>,
}

/// Writes a project.
pub(crate) fn run(args: &New, out: &mut Out) -> Result<(), Failure> {
    marker::check_name(&args.name).map_err(Failure::usage)?;
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let files = files(args.lang, &args.name)?;
    write(&dir, &files)?;
    let next = next(args.lang, &dir);
    if out.json() {
        return out.document(&json!({
            "project": dir,
            "name": args.name,
            "language": args.lang,
            "files": files.iter().map(|(path, _)| path).collect::<Vec<_>>(),
            "next": next,
        }));
    }
    let count = text::counted(files.len() as u64, "file");
    out.line(&format!("{} is a validator in {}, {count}", dir.display(), args.lang.word()))?;
    out.line("next:")?;
    next.iter().try_for_each(|line| out.line(&format!("  {line}")))
}

/// What to type next.
fn next(language: Language, dir: &Path) -> Vec<String> {
    let shown = dir.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let quoted = match shown.chars().all(plain) {
        true => shown,
        false => format!("'{}'", shown.replace('\'', "'\\''")),
    };
    let there = |command: &str| format!("(cd {quoted} && {command})");
    let mut next: Vec<_> = language.install().map(there).into_iter().collect();
    next.push(format!("atomic-store validator build {quoted}"));
    next.push(language.test().map_or_else(
        || {
            format!(
                "atomic-store validator dev {quoted} --proposals {quoted}/proposals.ndjson --once"
            )
        },
        there,
    ));
    next
}

/// All files of a new project.
fn files(language: Language, name: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut files: Vec<(String, String)> = language
        .files()
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    for (path, from, to) in language.changes(name) {
        let file = files.iter_mut().find(|(file, text)| file == path && text.contains(&from));
        let (_, text) = file.ok_or_else(|| Failure::usage(format!("{path} has no {from:?}")))?;
        *text = text.replace(&from, &to);
    }
    let marker = Marker {
        name: name.to_owned(),
        language,
        source: PathBuf::from(language.source()),
        config: None,
        wasi: false,
    };
    let marker =
        serde_json::to_string_pretty(&marker).map_err(|error| Failure::usage(error.to_string()))?;
    for (path, text) in [
        (marker::FILE, format!("{marker}\n")),
        ("proposals.ndjson", language.proposals().to_owned()),
        (
            ".gitignore",
            "/build\n/target\n/node_modules\n/.venv\n__pycache__\n.zig-cache\n".to_owned(),
        ),
        ("README.md", readme(language, name)),
    ] {
        files.push((path.to_owned(), text));
    }
    Ok(files)
}

fn readme(language: Language, name: &str) -> String {
    let mut lines =
        vec![format!("# {name}\n\nA validator for Atomic Store: {}.\n", language.source())];
    let mut line = |command: &str, what: &str| lines.push(format!("    {command}    # {what}"));
    if let Some(install) = language.install() {
        line(install, "the tools, once");
    }
    if let Some(test) = language.test() {
        line(test, "the rules, natively: no WebAssembly, no store");
    }
    line("atomic-store validator build", &format!("build/{name}.wasm, and a check of it"));
    line(
        "atomic-store validator dev --proposals proposals.ndjson",
        "verdicts, as you change the rules",
    );
    line(&format!("atomic-store validator load build/{name}.wasm"), "into a store");
    lines.push(match language {
        Language::Wat => "\n`wit/validator.wit` is the contract.\n".to_owned(),
        _ => {
            "\n`sdk/` is the SDK of the language; its README says what the words mean.\n".to_owned()
        }
    });
    lines.join("\n")
}

/// Writes all files, or none: whatever is there already is looked for first.
fn write(dir: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    if let Some((there, _)) =
        files.iter().find(|(path, _)| dir.join(path).symlink_metadata().is_ok())
    {
        return Err(Failure::usage(format!(
            "{} exists already, and is not overwritten; name another folder",
            dir.join(there).display()
        )));
    }
    for (path, text) in files {
        let path = dir.join(path);
        let folder = path.parent().unwrap_or(dir);
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&path))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Failure::file(path.display(), &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_language_has_a_project_that_names_itself_and_nothing_of_this_tree() {
        for language in Language::value_variants() {
            let files = files(*language, "landing-slots").unwrap();
            let source = files.iter().find(|(path, _)| path == language.source());
            assert!(source.is_some(), "{language:?}");
            let mine = files.iter().filter(|(path, _)| !path.starts_with("sdk/"));
            let all: String = mine.map(|(_, text)| text.as_str()).collect();
            assert!(all.contains("landing-slots"), "{language:?}");
            for left in ["guest-sdk/", "file:..", "=> ../", "../[build]", "workspace = true"] {
                assert!(!all.contains(left), "{language:?} still says {left}");
            }
            for (path, text) in &files {
                assert!(!text.is_empty() || path.ends_with("py.typed"), "{language:?}: {path}");
                let sdk_says = text.contains("workspace = true") && path.ends_with(".toml");
                assert!(!sdk_says, "{language:?}: {path}");
            }
        }
    }

    #[test]
    fn a_folder_with_a_space_is_quoted() {
        let next = next(Language::C, Path::new("my rules"));
        assert_eq!(next[1], "atomic-store validator build 'my rules'");
    }
}
