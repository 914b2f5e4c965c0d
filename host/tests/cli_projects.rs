//! Projects of validators: what `validator new` writes builds, tests, and shows verdicts, in every language.
//!
//! The tools are those of `make guests-all`; nothing is fetched. Each project stands in an empty folder
//! outside of the tree.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{Mode, Place, assert_code, lines};
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A tool that `make guests-all` has put into the tree.
fn tool(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tool = root.join("target/guest-tools").join(path);
    assert!(tool.exists(), "{} is missing: make guests-all", tool.display());
    tool
}

/// Lets a command find what was compiled before, and nothing in the network.
fn offline(command: &mut Command) -> &mut Command {
    let cache = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(path);
    command.env("ZIG_GLOBAL_CACHE_DIR", cache("guest-tools/zig/cache"));
    command.env("GOCACHE", cache("guest-tools/go/cache")).env("GOPROXY", "off");
    command.env("GOTOOLCHAIN", "local").env("GOENV", "off").env("PYTHONDONTWRITEBYTECODE", "1");
    // Cargo, when it runs a test, tells it about this workspace.
    command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    command
}

/// A new project of a name that only it has.
fn project(place: &Place, language: &str) -> PathBuf {
    let name = format!("my-{language}");
    let made = &place.json(&["validator", "new", "--lang", language, &name])[0];
    assert_eq!(made["name"], name.as_str());
    assert_eq!(made["language"], language);
    let dir = place.path(&name);
    for file in made["files"].as_array().unwrap() {
        assert!(dir.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    match language {
        // The versions that the tree itself is built with: they are on this machine.
        "rust" => {
            let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
            std::fs::copy(lock, dir.join("Cargo.lock")).map(drop).unwrap();
        }
        "python" => symlink(tool("python/venv"), dir.join(".venv")).unwrap(),
        "c" | "cpp" | "zig" => symlink(tool("zig/venv"), dir.join(".venv")).unwrap(),
        "go" => symlink(tool("go/venv"), dir.join(".venv")).unwrap(),
        "js" => {
            let modules = dir.join("node_modules");
            std::fs::create_dir(&modules).unwrap();
            for entry in std::fs::read_dir(tool("js/node_modules")).unwrap() {
                let from = entry.unwrap().path();
                symlink(&from, modules.join(from.file_name().unwrap())).unwrap();
            }
            symlink("../sdk", modules.join("atomic-store-guest")).unwrap();
        }
        _ => {}
    }
    dir
}

fn run(place: &Place, args: &[&str]) -> Output {
    offline(place.bare().args(args)).output().unwrap()
}

/// Builds, and gives what was said about the component.
fn build(place: &Place, dir: &Path) -> Value {
    let args = ["--json", "validator", "build", dir.to_str().unwrap()];
    let output = run(place, &args);
    assert_code(&args, &output, 0);
    lines(&String::from_utf8(output.stdout).unwrap()).remove(0)
}

/// The project's own tests.
fn test(dir: &Path, command: &[&str]) {
    let mut tests = Command::new(command[0]);
    tests.args(&command[1..]).current_dir(dir).env("PYTHONPATH", "sdk/src");
    let output = offline(&mut tests).output().unwrap();
    assert_code(command, &output, 0);
}

/// What becomes of the proposals that a new project has.
fn verdicts(place: &Place, dir: &Path) -> Value {
    let proposals = dir.join("proposals.ndjson");
    let (dir, proposals) = (dir.to_str().unwrap(), proposals.to_str().unwrap());
    let args = ["--json", "validator", "dev", dir, "--proposals", proposals, "--once"];
    let output = run(place, &args);
    assert_code(&args, &output, 0);
    lines(&String::from_utf8(output.stdout).unwrap()).remove(0)
}

/// The first words of each verdict.
fn said(shown: &Value) -> Vec<String> {
    let verdicts = shown["verdicts"].as_array().unwrap().iter();
    let words = |one: &Value| {
        let verdict = one["verdict"].as_str().unwrap();
        verdict
            .split_once(": ")
            .map_or(verdict, |(no, why)| {
                assert_eq!(no, "rejected", "{verdict}");
                why.split(':').next().unwrap()
            })
            .to_owned()
    };
    verdicts.map(words).collect()
}

/// A new project builds, its tests pass, and the proposals it comes with get their verdicts.
fn whole_way(language: &str, tests: &[&str]) {
    let place = Place::new(Mode::Embedded);
    let dir = project(&place, language);
    test(&dir, tests);
    let built = build(&place, &dir);
    assert_eq!(built["name"], format!("my-{language}"));
    // Its schema has examples that the check could try out.
    let mut checks = built["checks"].as_array().unwrap().iter();
    let folds = checks.find(|check| check["check"] == "folds-what-it-accepts").unwrap();
    assert_eq!(folds["result"], "passed", "{folds}");
    let wasm = std::fs::read(dir.join(format!("build/my-{language}.wasm"))).unwrap();
    assert!(wasm.starts_with(b"\0asm"));
    let shown = verdicts(&place, &dir);
    assert_eq!(
        said(&shown),
        ["would commit 1", "taken", "would commit 2", "malformed", "unknown-kind"]
    );
}

#[test]
fn a_new_project_in_rust_builds_and_tests() {
    whole_way("rust", &["cargo", "test", "--quiet"]);
}

#[test]
fn a_new_project_in_javascript_builds_and_tests() {
    whole_way("js", &["npm", "test", "--silent"]);
}

#[test]
fn a_new_project_in_python_builds_and_tests() {
    whole_way("python", &[".venv/bin/python", "-m", "unittest"]);
}

#[test]
fn a_new_project_in_c_builds_and_tests() {
    whole_way("c", &["make", "test"]);
}

#[test]
fn a_new_project_in_cpp_builds_and_tests() {
    whole_way("cpp", &["make", "test"]);
}

#[test]
fn a_new_project_in_zig_builds_and_tests() {
    whole_way("zig", &["make", "test"]);
}

#[test]
fn a_new_project_in_go_builds_and_tests() {
    // The environment of the tool is that of the project.
    whole_way("go", &["sh", "-c", ".venv/bin/go test ./..."]);
}

/// Whether a component says that it knows older events follows from what its source exports, and needs no
/// option of the build.
fn older_events(language: &str, source: &str, rules: &str) {
    let place = Place::new(Mode::Embedded);
    let dir = project(&place, language);
    let knows = || {
        build(&place, &dir);
        let wasm = std::fs::read(dir.join(format!("build/my-{language}.wasm"))).unwrap();
        let name = b"atomic-store:validator/upcasting@1.0.0";
        wasm.windows(name.len()).any(|bytes| bytes == name)
    };
    assert!(!knows());
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk").join(rules);
    std::fs::copy(sdk, dir.join(source)).unwrap();
    assert!(knows());
}

#[test]
fn a_build_in_javascript_exports_what_older_events_are_today() {
    older_events("js", "rules.js", "js/test/cents.js");
}

#[test]
fn a_build_in_python_exports_what_older_events_are_today() {
    older_events("python", "rules.py", "python/tests/cents.py");
}

#[test]
fn dev_marks_what_the_last_change_of_the_rules_changed() {
    let place = Place::new(Mode::Embedded);
    let dir = project(&place, "wat");
    assert_eq!(build(&place, &dir)["name"], "my-wat");
    let first = verdicts(&place, &dir);
    assert_eq!(said(&first), ["would commit 1", "unknown-kind"]);
    assert_eq!(first["changed"], 0);
    assert_eq!(verdicts(&place, &dir)["changed"], 0);

    // Other rules give another verdict on the second line; the third line is new.
    let source = dir.join("rules.wat");
    let rules = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, rules.replace("\"unknown-kind\"", "\"foreign-kind\"")).unwrap();
    let proposals = dir.join("proposals.ndjson");
    let more = std::fs::read_to_string(&proposals).unwrap() + "{\"kind\":\"note\"}\n";
    std::fs::write(&proposals, more).unwrap();
    let second = verdicts(&place, &dir);
    assert_eq!(said(&second), ["would commit 1", "foreign-kind", "would commit 2"]);
    assert_eq!(second["changed"], 2);
    assert!(second["verdicts"][1]["was"].as_str().unwrap().starts_with("rejected: unknown-kind"));
    assert_eq!(second["verdicts"][0]["changed"], false);
    assert_ne!(first["digest"], second["digest"]);

    // Rules that do not build: the last component that did stays.
    let wasm = std::fs::read(dir.join("build/my-wat.wasm")).unwrap();
    std::fs::write(&source, rules.replace("(module", "(modul")).unwrap();
    let args = ["validator", "build", "my-wat"];
    let output = run(&place, &args);
    assert_code(&args, &output, 6);
    assert!(String::from_utf8_lossy(&output.stderr).contains("rules.wat"), "{output:?}");
    assert_eq!(std::fs::read(dir.join("build/my-wat.wasm")).unwrap(), wasm);
}

#[test]
fn dev_uses_the_store_that_is_named_and_stores_nothing_but_the_rules() {
    for mode in [Mode::Embedded, Mode::Served] {
        let place = Place::new(mode);
        let dir = project(&place, "wat");
        let proposals = dir.join("proposals.ndjson");
        let proposals = proposals.to_str().unwrap();
        let dev = ["validator", "dev", "my-wat", "--once", "--proposals", proposals];
        let table = place.ok(&[&dev[..], &["--bind", "try/*"]].concat());
        assert!(table.contains("would commit 1") && table.contains("unknown-kind"), "{table}");
        let listed = &place.json(&["validator", "list"])[0];
        assert_eq!(listed["bindings"][0]["pattern"], "try/*");
        place.fails(3, &["scope", "show", "try/dev"]);
        let elsewhere = [&dev[..], &["--bind", "try/*", "--scope", "b"]].concat();
        assert!(place.fails(2, &elsewhere).contains("none of"));
    }
}

#[test]
fn dev_leaves_the_store_of_the_environment_alone() {
    let place = Place::new(Mode::Embedded);
    project(&place, "wat");
    let mut dev = place.bare();
    dev.env("ATOMIC_STORE_DATA", place.path("store"));
    dev.args(["validator", "dev", "my-wat", "--once", "--proposals", "my-wat/proposals.ndjson"]);
    let output = dev.output().unwrap();
    assert_code(&["validator", "dev"], &output, 0);
    assert!(!place.path("store").exists(), "it was opened");
}

#[test]
fn dev_watches_until_it_is_interrupted() {
    use std::io::{BufRead as _, BufReader};
    let place = Place::new(Mode::Embedded);
    let dir = project(&place, "wat");
    let mut command = place.bare();
    command.args([
        "--json",
        "validator",
        "dev",
        "my-wat",
        "--proposals",
        "my-wat/proposals.ndjson",
    ]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(said(&next()), ["would commit 1", "unknown-kind"]);
    let source = dir.join("rules.wat");
    let rules = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, rules.replace("\"unknown-kind\"", "\"foreign-kind\"")).unwrap();
    let second = next();
    assert_eq!(said(&second), ["would commit 1", "foreign-kind"]);
    assert_eq!(second["changed"], 1);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_there_is_not_overwritten_and_names_are_checked() {
    let place = Place::new(Mode::Embedded);
    place.ok(&["validator", "new", "--lang", "c", "seats"]);
    let said = place.fails(2, &["validator", "new", "--lang", "c", "seats"]);
    assert!(said.contains("exists already"), "{said}");
    // A folder with something else in it is fine; one with a file of the project is left as it was.
    std::fs::create_dir(place.path("mine")).unwrap();
    std::fs::write(place.path("mine/rules.zig"), "mine").unwrap();
    place.fails(2, &["validator", "new", "--lang", "zig", "seats", "mine"]);
    assert_eq!(std::fs::read_dir(place.path("mine")).unwrap().count(), 1);
    place.ok(&["validator", "new", "--lang", "c", "seats", "mine"]);
    for name in ["Seats", "../seats", "my seats", "", "seats-"] {
        assert!(place.fails(2, &["validator", "new", "--lang", "c", name]).contains("no name"));
    }
    place.fails(2, &["validator", "new", "--lang", "cobol", "seats"]);
    // Both commands that come next stand in what it prints.
    let printed = place.ok(&["validator", "new", "--lang", "js", "lots"]);
    for next in ["(cd lots && npm install)", "atomic-store validator build lots"] {
        assert!(printed.contains(next), "{printed}");
    }
}

#[test]
fn a_missing_tool_is_6_and_says_what_to_type() {
    let place = Place::new(Mode::Embedded);
    for (language, what) in [
        ("js", "nodejs"),
        ("python", "python3"),
        ("c", "python3"),
        ("zig", "python3"),
        ("go", "pip install -r requirements.txt"),
    ] {
        place.ok(&["validator", "new", "--lang", language, language]);
        let mut command = place.bare();
        command.args(["validator", "build", language]).env("PATH", place.path("nothing"));
        let output = command.output().unwrap();
        assert_code(&[language], &output, 6);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("missing") && said.contains(what), "{language}: {said}");
    }
    assert!(place.fails(2, &["validator", "build", "nowhere"]).contains("validator new"));
}

#[test]
fn what_the_compiler_says_is_shown() {
    let place = Place::new(Mode::Embedded);
    let dir = project(&place, "c");
    std::fs::write(dir.join("rules.c"), "int main(void) { return nothing; }\n").unwrap();
    let args = ["validator", "build", "my-c"];
    let output = run(&place, &args);
    assert_code(&args, &output, 6);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("rules.c:1:") && said.contains("nothing"), "{said}");
}
