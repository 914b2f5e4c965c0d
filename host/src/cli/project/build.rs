//! `validator build`: from a project to a checked component.

use super::language::Language;
use super::marker::Project;
use super::tools::{self, Tools};
use crate::cli::admission;
use crate::cli::args::Global;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::output::{Out, note};
use atomic_store_core::LoadOptions;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Build a project's component, and check it
///
/// Runs the tool of the project's language, and then what `validator check` runs. The component is
/// written to `build/NAME.wasm` in the project, whole or not at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator build
  atomic-store validator build ./seats --json

Tools are looked for in the project's own .venv and node_modules first, then on the search path. \
Exit code 0 if it was built and the check found nothing, 1 if the check found something, 2 if there is no \
project or the component cannot be loaded, 6 if the tool is missing (the message says what to type) or \
found something wrong.")]
pub(crate) struct Build {
    /// The project's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// Builds and checks.
pub(crate) async fn run(global: &Global, args: &Build, out: &mut Out) -> Result<(), Failure> {
    let project = Project::open(&args.dir)?;
    let options = options(&project);
    let wasm = project.wasm();
    let project = std::sync::Arc::new(project);
    let component = built(&project).await?;
    if !out.json() {
        out.line(&wasm.display().to_string())?;
    }
    admission::tried(global, &component, options, out).await
}

/// What the project says about loading.
pub(super) fn options(project: &Project) -> LoadOptions {
    LoadOptions { wasi: project.marker.wasi, config: project.config(), ..LoadOptions::default() }
}

/// Builds on a thread that may block.
pub(super) async fn built(project: &std::sync::Arc<Project>) -> Result<Vec<u8>, Failure> {
    note(&format!("building {}", project.marker.name));
    let project = std::sync::Arc::clone(project);
    let made = tokio::task::spawn_blocking(move || make(&project)).await;
    made.map_err(|error| Failure::new(exit::NOT_BUILT, error.to_string()))?
}

/// Runs the tools, and gives the component, which then also stands in its place.
fn make(project: &Project) -> Result<Vec<u8>, Failure> {
    let folder = project.dir.join("build");
    std::fs::create_dir_all(&folder).map_err(|error| Failure::file(folder.display(), &error))?;
    // Beside its place: nobody loads half a file, and a failed build leaves the last good one.
    let new = folder.join(".new.wasm");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::file(new.display(), &error));
        }
        _ => {}
    }
    let language = project.marker.language;
    match language {
        Language::Wat => assemble(project, &new)?,
        Language::Js => {
            tools::run(language, bundle(project)?)?;
            tools::run(language, componentize(project, &new)?)?;
        }
        _ => steps(project, &new)?
            .into_iter()
            .try_for_each(|command| tools::run(language, command))?,
    }
    if language == Language::Rust {
        // The library is called `rules` in every project, whatever the package's name is.
        let from = project.dir.join("target/wasm32-unknown-unknown/release/rules.wasm");
        std::fs::copy(&from, &new).map_err(|error| {
            let why =
                format!("there is no {} ({error}); [lib] needs name = \"rules\"", from.display());
            Failure::new(exit::NOT_BUILT, why)
        })?;
    }
    let component = input::file(&new)?;
    let wasm = project.wasm();
    std::fs::rename(&new, &wasm).map_err(|error| Failure::file(wasm.display(), &error))?;
    Ok(component)
}

/// Plain text needs no tool.
fn assemble(project: &Project, to: &Path) -> Result<(), Failure> {
    let source = project.dir.join(&project.marker.source);
    let bytes = wat::parse_file(&source)
        .map_err(|error| Failure::new(exit::NOT_BUILT, error.to_string()))?;
    std::fs::write(to, bytes).map_err(|error| Failure::file(to.display(), &error))
}

/// What is to be run, one after the other.
fn steps(project: &Project, to: &Path) -> Result<Vec<Command>, Failure> {
    let tools = Tools(project);
    let source = &project.marker.source;
    Ok(match project.marker.language {
        Language::Rust => vec![with(tools.cargo()?, &["--lib"])],
        Language::Python => {
            let mut python = with(tools.python()?, &["-m", "atomic_store_guest.build"]);
            python.arg(source).arg("-o").arg(to);
            vec![python]
        }
        Language::C => {
            let mut zig = with(tools.zig()?, &["cc", "-Isdk"]);
            zig.args(WASI).args(REACTOR).arg("-o").arg(to).arg("sdk/atomic_store.c").arg(source);
            vec![zig]
        }
        Language::Cpp => {
            let mut sdk = with(tools.zig()?, &["cc", "-Isdk"]);
            sdk.args(WASI).args(["-c", "-o", "build/.sdk.o", "sdk/atomic_store.c"]);
            let mut rules = with(tools.zig()?, &["c++", "-Isdk", "-std=c++17"]);
            rules.args(["-fno-exceptions", "-fno-rtti"]).args(WASI).args(REACTOR);
            rules.arg("-o").arg(to).arg(source).arg("build/.sdk.o");
            vec![sdk, rules]
        }
        Language::Zig => {
            let target = ["-target", "wasm32-freestanding", "-O", "ReleaseSafe", "-fstrip"];
            let mut zig = with(tools.zig()?, &["build-exe", "-fno-entry", "-rdynamic"]);
            zig.args(["--stack", "65536"]).args(target).args(["--dep", "atomic_store"]);
            zig.arg(joined("-Mroot=", source)).args(target);
            zig.arg("-Matomic_store=sdk/atomic_store.zig").arg(joined("-femit-bin=", to));
            vec![zig]
        }
        Language::Go => {
            let mut go = with(
                tools.go()?,
                &["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w -buildid="],
            );
            go.env("GOOS", "wasip1").env("GOARCH", "wasm").arg("-o").arg(to).arg(".");
            vec![go]
        }
        Language::Js | Language::Wat => Vec::new(),
    })
}

/// One file of JavaScript from a project's, and beside it what esbuild tells about it.
const BUNDLE: [&str; 2] = ["build/.bundle.js", "build/.bundle.json"];

fn bundle(project: &Project) -> Result<Command, Failure> {
    let mut esbuild = with(
        Tools(project).node("esbuild")?,
        &["--bundle", "--platform=neutral", "--external:atomic-store:*", "--log-level=warning"],
    );
    let [file, told] = BUNDLE.map(|path| project.dir.join(path));
    esbuild.arg(joined("--outfile=", &file)).arg(joined("--metafile=", &told));
    esbuild.arg(joined("./", &project.marker.source));
    Ok(esbuild)
}

/// The world follows from what the entry module exports.
fn componentize(project: &Project, to: &Path) -> Result<Command, Failure> {
    let [file, told] = BUNDLE.map(|path| project.dir.join(path));
    let upcasting = exports(&input::file(&told)?, "upcasting");
    let world = if upcasting { "upcasting-validator" } else { "validator" };
    let mut componentize = with(
        Tools(project).node("componentize-qjs")?,
        &["-w", "sdk/wit", "-n", world, "--stub-wasi", "--sync", "-m", "-j"],
    );
    componentize.arg(file).arg("-o").arg(to);
    Ok(componentize)
}

/// True if a bundle exports a name, as esbuild tells.
fn exports(told: &[u8], name: &str) -> bool {
    let told: serde_json::Value = serde_json::from_slice(told).unwrap_or_default();
    let outputs = told["outputs"].as_object().into_iter().flat_map(|outputs| outputs.values());
    outputs
        .filter_map(|output| output["exports"].as_array())
        .flatten()
        .any(|exported| exported == name)
}

const WASI: [&str; 2] = ["--target=wasm32-wasi", "-Os"];
const REACTOR: [&str; 3] = ["-mexec-model=reactor", "-s", "-Wl,-z,stack-size=65536"];

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

fn joined(start: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(start);
    argument.push(path);
    argument
}
