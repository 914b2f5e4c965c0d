//! The languages' own tools: where they are, what to type if they are not, and how they are run.

use super::language::Language;
use super::marker::Project;
use crate::cli::exit;
use crate::cli::failure::Failure;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of what a tool said when it failed, so much is shown, from the end.
const SAID_BYTES_MAX: usize = 16 * 1024;
/// The target of Rust.
const WASM: &str = "wasm32-unknown-unknown";

/// The tools of one project.
pub(super) struct Tools<'a>(pub(super) &'a Project);

impl Tools<'_> {
    /// A program of the project's own environments, or of the search path.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let own = [".venv/bin", "venv/bin", "node_modules/.bin"].map(|bin| self.0.dir.join(bin));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
        own.into_iter().chain(path).map(|dir| dir.join(name)).find(|file| is_program(file))
    }

    /// A command in the project's folder, or what to type to have it.
    fn command(&self, name: &str, else_type: &str) -> Result<Command, Failure> {
        let program = self.find(name).ok_or_else(|| self.missing(name, else_type))?;
        Ok(self.of(&program))
    }

    fn of(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0.dir);
        command
    }

    fn missing(&self, what: &str, else_type: &str) -> Failure {
        let dir = self.0.dir.display();
        Failure::new(exit::NOT_BUILT, format!("{what} is missing. In {dir}, run:\n{else_type}"))
    }

    fn install(&self) -> &'static str {
        self.0.marker.language.install().unwrap_or_default()
    }

    /// A program out of the project's `node_modules`.
    pub(super) fn node(&self, name: &str) -> Result<Command, Failure> {
        if self.find("node").is_none() {
            return Err(
                self.missing("node", "apt-get install nodejs npm    # Debian; or nodejs.org")
            );
        }
        self.command(name, self.install())
    }

    /// Python with `componentize-py`, knowing the project's SDK.
    pub(super) fn python(&self) -> Result<Command, Failure> {
        let mut command = self.python_with("componentize_py", "componentize-py")?;
        command.env("PYTHONPATH", self.0.dir.join("sdk/src")).env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    /// Zig, as PyPI has it or as a program of its own.
    pub(super) fn zig(&self) -> Result<Command, Failure> {
        let mut command = match self.python_with("ziglang", "zig") {
            Ok(mut python) => {
                python.args(["-m", "ziglang"]);
                python
            }
            Err(missing) => match self.find("zig") {
                Some(program) => self.of(program),
                None => return Err(missing),
            },
        };
        command.env("ZIG_LOCAL_CACHE_DIR", self.0.dir.join("build/cache"));
        Ok(command)
    }

    fn python_with(&self, module: &str, name: &str) -> Result<Command, Failure> {
        let python = self.find("python3").or_else(|| self.find("python")).ok_or_else(|| {
            self.missing("python3", "apt-get install python3-venv    # Debian; or python.org")
        })?;
        let probe =
            format!("import sys, importlib.util as u; sys.exit(u.find_spec({module:?}) is None)");
        match self.of(&python).args(["-c", &probe]).output() {
            Ok(output) if output.status.success() => Ok(self.of(&python)),
            _ => Err(self.missing(name, self.install())),
        }
    }

    /// Go.
    pub(super) fn go(&self) -> Result<Command, Failure> {
        self.command("go", self.install())
    }

    /// A Rust that has a standard library for the target, or can make one.
    pub(super) fn cargo(&self) -> Result<Command, Failure> {
        let build = ["build", "--release", "--target", WASM];
        if let (Some(cargo), Some(rustc)) = (self.find("cargo"), self.find("rustc"))
            && self.has_target(&rustc)
        {
            let mut command = self.of(cargo);
            command.env("CARGO_TARGET_DIR", self.0.dir.join("target")).args(build);
            return Ok(command);
        }
        let debian = Path::new("/usr/lib/rustlib/src/rust/library/std");
        if is_program(Path::new("/usr/bin/cargo")) && (debian.is_dir() || self.debian_has_sources())
        {
            let mut command = self.of("/usr/bin/cargo");
            // This lets a release compiler build the standard library for the target.
            command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_TARGET_DIR", self.0.dir.join("target"));
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC_WRAPPER");
            command.args(build).args(["-Z", "build-std=std,panic_abort"]);
            return Ok(command);
        }
        let install = format!(
            "{}\nor, on Debian: apt-get install rustc-web cargo-web rust-web-src rust-web-llvm lld-22",
            self.install()
        );
        Err(self.missing("a Rust for WebAssembly", &install))
    }

    fn has_target(&self, rustc: &Path) -> bool {
        let output = self.of(rustc).args(["--print", "target-libdir", "--target", WASM]).output();
        let Ok(output) = output else { return false };
        let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        output.status.success()
            && entries
                .into_iter()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    }

    fn debian_has_sources(&self) -> bool {
        let output = self.of("/usr/bin/rustc").args(["--print", "sysroot"]).output();
        output.is_ok_and(|output| {
            let root = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            root.join("lib/rustlib/src/rust/library/std").is_dir()
        })
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs a tool. What it says is shown only if it fails.
pub(super) fn run(language: Language, mut command: Command) -> Result<(), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |why: String| {
        let message = format!("{} was not built: {program} {why}", language.word());
        Failure::new(exit::NOT_BUILT, message)
    };
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| failed(format!("did not start: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let from = said.len().saturating_sub(SAID_BYTES_MAX);
    let said = String::from_utf8_lossy(&said[from..]).into_owned();
    Err(failed(format!("failed ({})\n{}", output.status, said.trim_end())))
}
