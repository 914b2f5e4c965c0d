//! The commands that the documents print exist: each `atomic-store` line of `README.md` and
//! `docs/*.md` names a subcommand, and options, that the program's own `--help` shows.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_tests::program;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command as a document prints it.
#[derive(Debug, PartialEq, Eq)]
struct Printed {
    /// Where: the file and its line.
    at: String,
    /// The words behind `atomic-store`, without quotes around them.
    words: Vec<String>,
}

/// What `--help` says of one subcommand.
struct Help {
    subcommands: BTreeSet<String>,
    /// With their dashes.
    options: BTreeSet<String>,
    /// Options that take a value.
    valued: BTreeSet<String>,
}

fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    paths.sort();
    paths.insert(0, root.join("README.md"));
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        (name, std::fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(named).collect()
}

/// The simple commands of a line of shell, each as its words; quotes and comments as the shell has them.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words) = (Vec::new(), Vec::new());
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == '#' && word.is_none() => break,
            None if c.is_whitespace() => words.extend(word.take()),
            None if matches!(c, ';' | '|' | '&' | '(' | ')') => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    commands
}

/// What a document prints in its indented lines and its blocks of shell.
fn printed(name: &str, text: &str) -> Vec<Printed> {
    let (mut found, mut fence) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_none() { Some(language.trim()) } else { None };
            continue;
        }
        let shell = match fence {
            Some(language) => matches!(language, "" | "sh" | "shell" | "bash" | "console"),
            None => line.starts_with("    "),
        };
        if !shell {
            continue;
        }
        for words in simple_commands(line.trim_start().trim_start_matches("$ ")) {
            // Behind `do`, `timeout 3`, or a variable that is set for it.
            let Some(program) = words.iter().position(|word| word == "atomic-store") else {
                continue;
            };
            let at = format!("{name}:{}", number + 1);
            found.push(Printed { at, words: words[program + 1..].to_vec() });
        }
    }
    found
}

/// Reads what clap prints.
fn help(text: &str) -> Help {
    let mut help =
        Help { subcommands: BTreeSet::new(), options: BTreeSet::new(), valued: BTreeSet::new() };
    let mut heading = "";
    for line in text.lines() {
        if !line.starts_with(' ') {
            // Long help has empty lines between options.
            heading = if line.is_empty() { heading } else { line };
            continue;
        }
        let indented = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace();
        if heading == "Commands:" && indented == 2 {
            help.subcommands.extend(words.next().map(str::to_owned));
        } else if line.trim_start().starts_with('-') && heading.ends_with(':') {
            let declared: Vec<_> = words.collect();
            let names = declared.iter().take_while(|word| word.starts_with('-'));
            let names: Vec<_> = names.map(|name| name.trim_end_matches(',').to_owned()).collect();
            if declared.get(names.len()).is_some_and(|next| next.starts_with(['<', '['])) {
                help.valued.extend(names.iter().cloned());
            }
            help.options.extend(names);
        }
    }
    help
}

/// The program's own words on its subcommands, each asked for once.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, Help>);

impl Helps {
    fn of(&mut self, path: &[String]) -> &Help {
        self.0.entry(path.to_vec()).or_insert_with(|| {
            let out = Command::new(program()).args(path).arg("--help").output().unwrap();
            assert!(out.status.success(), "{path:?} --help: {out:?}");
            help(&String::from_utf8(out.stdout).unwrap())
        })
    }

    /// What is wrong with a command, if anything.
    fn fault(&mut self, words: &[String]) -> Option<String> {
        let (mut path, mut words) = (Vec::new(), words.iter());
        while let Some(word) = words.next() {
            let help = self.of(&path);
            if word == "--" {
                break;
            }
            if word.len() > 1 && word.starts_with('-') {
                let (name, value) =
                    word.split_once('=').map_or((&**word, None), |(n, v)| (n, Some(v)));
                if !help.options.contains(name) {
                    return Some(format!("{} has no option {name}", path.join(" ")));
                }
                if value.is_none() && help.valued.contains(name) {
                    words.next();
                }
            } else if !help.subcommands.is_empty() {
                if !help.subcommands.contains(word) {
                    return Some(format!("{} has no subcommand {word}", path.join(" ")));
                }
                path.push(word.clone());
            }
        }
        let missing = !self.of(&path).subcommands.is_empty();
        missing.then(|| format!("{:?} needs a subcommand", path.join(" ")))
    }
}

#[test]
fn the_reader_of_documents_is_not_fooled() {
    let text = "\
atomic-store prose
    FOO=1 atomic-store append a/1 bid '{\"a\": 1; # |}' --key k # a comment; atomic-store no
    for n in 1 2; do atomic-store read a/$n; done | atomic-store --json import -
```rust
    atomic-store rust
```
```sh
$ atomic-store serve &
```
    atomic-store/path
";
    let found = printed("x.md", text);
    let words: Vec<_> = found.iter().map(|found| found.words.join(" ")).collect();
    let bid = "append a/1 bid {\"a\": 1; # |} --key k";
    assert_eq!(words, [bid, "read a/$n", "--json import -", "serve"]);
    assert_eq!(found[0].at, "x.md:2");
}

#[test]
fn a_command_that_is_not_there_is_found() {
    let mut helps = Helps::default();
    let mut fault = |line: &str| helps.fault(&simple_commands(line).remove(0));
    assert_eq!(fault("--json validator bind 'a/*' a@1 --share=10%"), None);
    assert_eq!(fault("--data read read auction/1"), None, "a value is no subcommand");
    assert_eq!(fault("raed auction/1").unwrap(), " has no subcommand raed");
    assert_eq!(fault("validator dance").unwrap(), "validator has no subcommand dance");
    assert_eq!(fault("read auction/1 --lsat 5").unwrap(), "read has no option --lsat");
    assert_eq!(fault("validator --json").unwrap(), "\"validator\" needs a subcommand");
}

#[test]
fn every_command_of_the_documents_exists() {
    let (mut helps, mut faults, mut read) = (Helps::default(), Vec::new(), BTreeMap::new());
    for (name, text) in documents() {
        let commands = printed(&name, &text);
        for Printed { at, words } in &commands {
            faults.extend(helps.fault(words).map(|fault| format!("{at}: atomic-store {fault}")));
        }
        read.insert(name, commands.len());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for name in ["README.md", "docs/validators.md"] {
        assert!(read[name] >= 30, "{name}: only {} commands were found", read[name]);
    }
}
