//! Atomic Store: `serve` on a new directory, the auction and accept-all bound.

use super::{About, Server, spawn, wait_until_up};
use crate::failure::Failure;
use crate::job::Target;
use crate::machine;
use crate::plan::Options;
use crate::shape;
use atomic_store_client::{Address, Client};
use atomic_store_core::{Outcome, Proposal, ScopeName, ScopePattern, ValidatorRef};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What to bind.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The file of the validator that judges `auction/*`, without its ending.
    pub(crate) validator: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { validator: "auction".to_owned() }
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("data/run/atomic-store.sock")
}

/// Runs the program on a directory, new or not, until clients can connect.
pub(super) fn serve(options: &Options, dir: &Path) -> Result<Child, Failure> {
    let (log, data) = (dir.join("log"), dir.join("data"));
    let mut command = Command::new(&options.program);
    command.arg("serve").args(["--log", "error", "--data"]).arg(&data);
    let mut child = spawn(&mut command, &log)?;
    // It prints one line once clients can connect.
    let ready = || std::fs::read_to_string(&log).is_ok_and(|said| said.contains('\n'));
    wait_until_up(&mut child, &log, ready)?;
    Ok(child)
}

/// Starts it.
pub(super) fn start(
    options: &Options,
    dir: tempfile::TempDir,
    settings: &Settings,
) -> Result<Server, Failure> {
    let child = serve(options, dir.path())?;
    let program = options.program.display().to_string();
    let about = About {
        version: machine::output(&program, &["--version"]).trim().to_owned(),
        settings: "built by `make dist`, as it comes: fdatasync before every answer, group commit, a cache \
                   of 256 MiB; Unix socket; the Rust auction in the sandbox"
            .to_owned(),
    };
    let target = Target::Atomic { socket: socket(dir.path()) };
    let server = Server { child: Some(child), ending: Signal::TERM, target, about, dir };
    let component = options.guests.join(&settings.validator).with_extension("wasm");
    let component = std::fs::read(&component)
        .map_err(|error| Failure::from(error).at(&component.display().to_string()))?;
    bind(&server, Some(&component), None)?;
    Ok(server)
}

/// Binds a component to the auctions, or the one that is there with another configuration; and
/// accept-all to what has no rules.
pub(crate) fn bind(
    server: &Server,
    component: Option<&[u8]>,
    config: Option<&str>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = Address::Unix(socket(server.dir()));
        let client = Client::connect(address, atomic_store_client::Options::default()).await?;
        let which = match component {
            Some(component) => client.load_validator(component).await?.info.digest.to_string(),
            None => {
                let (loaded, _) = client.list_validators().await?;
                let loaded = loaded.iter().find(|one| !one.built_in);
                let digest = loaded.map(|one| one.digest.to_string());
                digest.ok_or_else(|| Failure::new("there is no validator"))?
            }
        };
        let auctions = ScopePattern::new("auction/*")?;
        let config = config.map(|config| config.as_bytes().to_vec());
        client.bind(auctions, ValidatorRef::Digest(which), config).await?;
        client.bind(ScopePattern::new("plain/*")?, "accept-all".parse()?, None).await?;
        Ok(())
    })
}

/// Appends one bid to an auction, and says how long its answer took; the connection was there.
pub(crate) fn first_append(server: &Server, scope: &str, amount: u64) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = Address::Unix(socket(server.dir()));
        let client = Client::connect(address, atomic_store_client::Options::default()).await?;
        client.status().await?;
        let scope = ScopeName::new(&format!("auction/{scope}"))?;
        let bid = Proposal::json("bid", shape::bid(0, i64::try_from(amount)?));
        let start = Instant::now();
        let answer = client.append_one(&scope, bid).await?;
        match answer.outcome {
            Outcome::Committed(_) => Ok(start.elapsed()),
            other => Err(Failure::new(format!("not accepted: {other:?}"))),
        }
    })
}
