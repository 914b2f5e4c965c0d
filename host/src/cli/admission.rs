//! `validator load | check | pull | keygen | sign`: how components are let in.

use super::args::Global;
use super::connect::{self, Connection, Missing};
use super::failure::Failure;
use super::json::Shown;
use super::json_admission::AdmittedJson;
use super::output::Out;
use super::{exit, input, oci, text};
use atomic_store::signing::{self, SecretKey};
use atomic_store_core::protocol::Admitted;
use atomic_store_core::{LoadOptions, RuleInfo, ScopePattern};
use clap::Args;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How a component is let in.
#[derive(Debug, Args)]
struct Terms {
    /// Let it import WASI, and give it a virtual one: the clock stands at the time of the proposal, random
    /// numbers follow from scope and number, there are no files, sockets, arguments or variables
    #[arg(long)]
    wasi: bool,
    /// A detached ed25519 signature of the file; see `validator sign`
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Scopes whose recorded events the self-test runs over [default: those that a validator of the same
    /// name judges]
    #[arg(long, value_name = "PATTERN")]
    recorded: Option<ScopePattern>,
    /// The configuration that the self-test starts it with
    #[arg(long, value_name = "JSON|-|@FILE")]
    config: Option<String>,
}

impl Terms {
    fn options(&self) -> Result<LoadOptions, Failure> {
        let signature = self.signature.as_deref().map(read_signature).transpose()?;
        Ok(LoadOptions {
            wasi: self.wasi,
            strict: false,
            check_only: false,
            signature,
            recorded: self.recorded.clone(),
            config: self.config.as_deref().map(input::bytes).transpose()?,
        })
    }
}

/// Load a WebAssembly component, or a core module that can be made one
///
/// The store checks it and keeps it by the digest of its bytes: loading the same file twice
/// changes nothing. It judges nothing until it is bound.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator load target/guests/auction.wasm
  cat auction.wasm | atomic-store validator load -
  atomic-store validator load auction.wasm --strict --signature auction.wasm.sig")]
pub(crate) struct Load {
    /// The file, or - for standard input
    file: PathBuf,
    /// Refuse it if its self-test finds anything; otherwise that is a warning
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    terms: Terms,
}

/// Try a component out without loading it
///
/// Checks all that loading checks: size, imports, exports, the time and memory that compiling takes,
/// the signature; then runs a self-test over generated events, and over recorded ones of the store if
/// one is named. Exit code 1 if the self-test finds anything, 2 if the component cannot be loaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator check target/guests/auction.wasm
  atomic-store validator check auction.wasm --config '{\"increment\":\"0.50\"}' --json
  atomic-store --data ./store validator check auction.wasm --recorded 'auction/*'")]
pub(crate) struct Check {
    /// The file, or - for standard input
    file: PathBuf,
    #[command(flatten)]
    terms: Terms,
}

/// Load a component from a folder with an OCI image layout, or from a file
///
/// The digest of everything that is read from a layout is checked. Nothing comes over the network: copy
/// an image out of a registry with a tool for that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator pull ./auction-layout
  atomic-store validator pull ./layout --tag 1.2.0 --strict
  atomic-store validator pull ./auction.wasm")]
pub(crate) struct Pull {
    /// The folder with `oci-layout` and `index.json`, or a component
    from: PathBuf,
    /// Which image, if the layout has more than one
    #[arg(long)]
    tag: Option<String>,
    /// Refuse it if its self-test finds anything; otherwise that is a warning
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    terms: Terms,
}

/// Make a key to sign components with
///
/// Writes the secret key to a new file that only you can read, and prints the public one, for
/// `serve --trusted-key`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator keygen release.key")]
pub(crate) struct Keygen {
    /// The file for the secret key; must not exist
    secret: PathBuf,
}

/// Sign a component
///
/// The signature is ed25519 (RFC 8032) over the bytes of the file, so other tools make and verify the
/// same. It is written beside the component, with `.sig` at the end of the name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator sign auction.wasm --key release.key
  atomic-store validator load auction.wasm --signature auction.wasm.sig")]
pub(crate) struct Sign {
    /// The component
    file: PathBuf,
    /// The secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write the signature
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Loads a component.
pub(crate) async fn run_load(
    connection: &Connection,
    load: &Load,
    out: &mut Out,
) -> Result<(), Failure> {
    let options = LoadOptions { strict: load.strict, ..load.terms.options()? };
    admit(connection, &input::file(&load.file)?, &options, out).await
}

/// Loads a component out of a layout.
pub(crate) async fn run_pull(
    connection: &Connection,
    pull: &Pull,
    out: &mut Out,
) -> Result<(), Failure> {
    let component = match pull.from.is_dir() {
        true => oci::component(&pull.from, pull.tag.as_deref())?,
        false => input::file(&pull.from)?,
    };
    let options = LoadOptions { strict: pull.strict, ..pull.terms.options()? };
    admit(connection, &component, &options, out).await
}

async fn admit(
    connection: &Connection,
    component: &[u8],
    options: &LoadOptions,
    out: &mut Out,
) -> Result<(), Failure> {
    let admitted = connection.client.admit_validator(component, options).await?;
    if out.json() {
        return out.document(&AdmittedJson::of(&admitted, Some(admitted.new)));
    }
    let RuleInfo { description, digest, bytes, .. } = &admitted.info;
    let word = if admitted.new { "loaded" } else { "was loaded already:" };
    out.line(&format!(
        "{word} {}@{} {} ({})",
        description.name,
        description.version,
        digest.short(),
        text::counted(*bytes, "byte")
    ))?;
    if failed(&admitted) > 0 {
        out.line("its self-test found something (see also: atomic-store validator check):")?;
        table(&admitted, true, out)?;
    }
    Ok(())
}

/// Tries a component out.
pub(crate) async fn run_check(
    global: &Global,
    check: &Check,
    out: &mut Out,
) -> Result<(), Failure> {
    let component = input::file(&check.file)?;
    tried(global, &component, check.terms.options()?, out).await
}

/// Tries a component out and shows what was found; exit code 1 if that is anything.
pub(crate) async fn tried(
    global: &Global,
    component: &[u8],
    options: LoadOptions,
    out: &mut Out,
) -> Result<(), Failure> {
    let options = LoadOptions { check_only: true, ..options };
    // The directory goes when the store in it is closed.
    let (connection, _directory) = match options.recorded.is_some() {
        // Only what is recorded needs a store.
        true => (connect::connect(global, Missing::Refuse).await?, None),
        false => {
            let (connection, directory) = connect::temporary().await?;
            (connection, Some(directory))
        }
    };
    let admitted = connection.client.admit_validator(component, &options).await;
    let closed = connection.close().await;
    let admitted = admitted?;
    closed?;
    if out.json() {
        out.document(&AdmittedJson::of(&admitted, None))?;
    } else {
        let RuleInfo { description, digest, bytes, .. } = &admitted.info;
        let (name, version) = (&description.name, &description.version);
        let bytes = text::counted(*bytes, "byte");
        out.line(&format!("{name}@{version} {} ({bytes})", digest.short()))?;
        table(&admitted, false, out)?;
    }
    match failed(&admitted) {
        0 => Ok(()),
        _ => Err(Failure::silent(exit::REFUSED)),
    }
}

/// How many checks found something.
pub(crate) fn failed(admitted: &Admitted) -> usize {
    admitted.checks.iter().filter(|check| check.failed()).count()
}

/// What the checks found.
pub(crate) fn table(admitted: &Admitted, failed_only: bool, out: &mut Out) -> Result<(), Failure> {
    let shown = admitted.checks.iter().filter(|check| !failed_only || check.failed());
    let rows = shown.map(|check| {
        let input = check.input.as_ref().map(|input| {
            let payload = Shown::of(&input.content_type, &input.payload);
            format!("{} {}", input.kind, text::short(payload.text(), 120))
        });
        vec![
            check.name.clone(),
            check.result.word().to_owned(),
            text::short(&check.detail, 300).into_owned(),
            input.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    out.table(&["check", "result", "what was found", "input"], rows.collect())
}

/// Makes a key.
pub(crate) fn run_keygen(keygen: &Keygen, out: &mut Out) -> Result<(), Failure> {
    let key = SecretKey::generate().map_err(|error| Failure::file("no random numbers", &error))?;
    let new = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = new(&keygen.secret)
        .and_then(|mut file| writeln!(file, "{}", key.to_text()).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        let path = keygen.secret.display();
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::usage(format!("{path} exists; a key is never overwritten"))
            }
            _ => Failure::file(path, &error),
        }
    })?;
    match out.json() {
        true => out.document(&json!({ "public": key.public().to_string() })),
        false => out.line(&key.public().to_string()),
    }
}

/// Signs a component.
pub(crate) fn run_sign(sign: &Sign, out: &mut Out) -> Result<(), Failure> {
    let component = input::file(&sign.file)?;
    let text = String::from_utf8(input::file(&sign.key)?).unwrap_or_default();
    let key = SecretKey::from_text(&text).map_err(|error| Failure::usage(error.to_string()))?;
    let beside = || {
        let mut name = sign.file.clone().into_os_string();
        name.push(".sig");
        PathBuf::from(name)
    };
    let path = sign.output.clone().unwrap_or_else(beside);
    let digits: String = key.sign(&component).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&path, format!("{digits}\n"))
        .map_err(|error| Failure::file(path.display(), &error))?;
    match out.json() {
        true => out.document(&json!({ "signature": path, "public": key.public().to_string() })),
        false => out.line(&format!("{} by {}", path.display(), key.public())),
    }
}

fn read_signature(path: &Path) -> Result<Vec<u8>, Failure> {
    let signature = signing::signature(&input::file(path)?);
    let signature =
        signature.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(signature.to_vec())
}
