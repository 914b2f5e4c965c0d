//! Which store a command talks to, and the one way to it: a client, over a socket to a server or
//! over memory to a store opened in this process.

use super::args::{DEFAULT_DATA, Global};
use super::failure::Failure;
use super::output::note;
use super::{compile_worker, exit, text, trust};
use atomic_store::log::{OpenError, OpenReport, ReadError};
use atomic_store::server;
use atomic_store::signing::Trust;
use atomic_store::store::{SandboxOptions, Store, StoreError, StoreOptions};
use atomic_store_client::{Address, Client, Options};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for a directory that another process has.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How often to look whether it is free, or served.
const BUSY_LOOK: Duration = Duration::from_millis(50);
/// Memory for the block cache of a store opened by a command. A server gets more.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// How long a command waits for its own store to close.
const CLOSE: Duration = Duration::from_secs(10);

/// Set to 1, the journal of rejections of a store that is opened here keeps payloads.
const KEEP_REJECTED_PAYLOADS: &str = "ATOMIC_STORE_KEEP_REJECTED_PAYLOADS";

/// Whether a command may make a store where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It would write: make one.
    Create,
    /// It would only read: say that there is none.
    Refuse,
}

/// A way to a store.
pub(crate) struct Connection {
    /// To ask with.
    pub(crate) client: Client,
    /// What it is, for people.
    pub(crate) via: String,
    embedded: Option<Store>,
}

impl Connection {
    /// Closes the store if this process opened it.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let Connection { client, via: _, embedded: Some(store) } = self else { return Ok(()) };
        // The session ends first, so that nothing is asked of a closing store.
        drop(client);
        let closed = tokio::task::spawn_blocking(move || store.close(CLOSE)).await;
        match closed {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(
                exit::SHUTDOWN_LATE,
                "the store did not close in time; nothing acknowledged is lost",
            )),
            Err(error) => Err(Failure::new(exit::STORAGE, error.to_string())),
        }
    }
}

/// The store that the options and the environment mean.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Socket(PathBuf),
    Tcp(std::net::SocketAddr),
    Directory(PathBuf),
    /// Nobody named one: the server on the default directory.
    Default(PathBuf),
}

fn target(
    global: &Global,
    env: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Target, Failure> {
    if global.named() > 1 {
        return Err(Failure::usage("give only one of --socket, --tcp and --data"));
    }
    if let Some(socket) = &global.socket {
        return Ok(Target::Socket(socket.clone()));
    }
    if let Some(address) = global.tcp {
        return Ok(Target::Tcp(address));
    }
    if let Some(data) = &global.data {
        return Ok(Target::Directory(data.clone()));
    }
    let env = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    Ok(match (env("ATOMIC_STORE_SOCKET"), env("ATOMIC_STORE_DATA")) {
        (Some(socket), _) => Target::Socket(socket),
        (None, Some(data)) => Target::Directory(data),
        (None, None) => Target::Default(PathBuf::from(DEFAULT_DATA)),
    })
}

/// A store of its own for a command that needs none of anybody's: in a directory that goes with it.
pub(crate) async fn temporary() -> Result<(Connection, tempfile::TempDir), Failure> {
    let directory = tempfile::tempdir()
        .map_err(|error| Failure::file("no directory for a temporary store", &error))?;
    let connection = embedded(&directory.path().join("store"), Missing::Create).await?;
    Ok((connection, directory))
}

/// Connects, or opens the store.
pub(crate) async fn connect(global: &Global, missing: Missing) -> Result<Connection, Failure> {
    match target(global, |name| std::env::var_os(name))? {
        Target::Socket(path) => remote(Address::Unix(path), "").await,
        Target::Tcp(address) => remote(Address::Tcp(address), "").await,
        Target::Default(data) => {
            let hint = "\nStart a store with `atomic-store serve`, or name one with --data DIR, \
                        --socket PATH or --tcp ADDR.";
            remote(Address::Unix(server::default_socket(&data)), hint).await
        }
        Target::Directory(data) => {
            let socket = server::default_socket(&data);
            let end = Instant::now() + BUSY_WAIT;
            loop {
                // A socket file may be left over from a server that was killed: ask, do not look.
                if answers(&socket) {
                    return remote(Address::Unix(socket), "").await;
                }
                match embedded(&data, missing).await {
                    Err(busy) if busy.code == exit::TRY_AGAIN && Instant::now() < end => {}
                    done => return done,
                }
                // Another command has it, or a server that is about to listen.
                tokio::time::sleep(BUSY_LOOK).await;
            }
        }
    }
}

/// As [`open`], but waits a while for another command to end.
pub(crate) async fn open_patiently(options: StoreOptions, trust: Trust) -> Result<Store, Failure> {
    let end = Instant::now() + BUSY_WAIT;
    loop {
        match open(options.clone(), trust.clone()).await {
            Err(busy) if busy.code == exit::TRY_AGAIN && Instant::now() < end => {}
            done => return done,
        }
        tokio::time::sleep(BUSY_LOOK).await;
    }
}

/// True if somebody accepts connections there.
fn answers(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

async fn remote(address: Address, hint: &str) -> Result<Connection, Failure> {
    let via = address.to_string();
    match Client::connect(address, Options::default()).await {
        Ok(client) => Ok(Connection { client, via, embedded: None }),
        Err(error) => {
            let failure = Failure::from(error);
            Err(Failure::new(failure.code, format!("{}{hint}", failure.message)))
        }
    }
}

async fn embedded(data: &Path, missing: Missing) -> Result<Connection, Failure> {
    if missing == Missing::Refuse && !has_store(data) {
        return Err(Failure::not_found(format!(
            "there is no store in {}; `atomic-store serve --data DIR`, or the first command that \
             writes, makes one",
            data.display()
        )));
    }
    let mut options = StoreOptions::new(data);
    options.cache_bytes = CACHE_BYTES;
    options.keep_rejected_payloads = keeps_rejected_payloads();
    options.reads_only = missing == Missing::Refuse;
    let store = open(options, trust::of_environment()?).await?;
    let client = Client::over(server::attach(store.engine())).await?;
    let via = format!("{} (opened by this command)", data.display());
    Ok(Connection { client, via, embedded: Some(store) })
}

/// True if the environment says that what is refused is kept with its payloads.
pub(crate) fn keeps_rejected_payloads() -> bool {
    std::env::var_os(KEEP_REJECTED_PAYLOADS).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Opens a store and reports what had to be mended. Reads the disk, so not on a thread that others
/// wait for.
pub(crate) async fn open(options: StoreOptions, trust: Trust) -> Result<Store, Failure> {
    let store = tokio::task::spawn_blocking(move || open_blocking(options, trust)).await;
    store.map_err(|error| Failure::new(exit::STORAGE, error.to_string()))?
}

/// The same for who may block.
pub(crate) fn open_blocking(options: StoreOptions, trust: Trust) -> Result<Store, Failure> {
    let path = options.path.clone();
    let sandbox = SandboxOptions { compiler: Some(compile_worker::this_program()), trust };
    let store = Store::open_with(options, sandbox).map_err(|error| {
        let message = format!("the store in {} did not open: {error}", path.display());
        Failure::new(code(&error), message)
    })?;
    tell(store.report());
    Ok(store)
}

fn code(error: &StoreError) -> u8 {
    match error {
        StoreError::Open(OpenError::Locked { .. }) => exit::TRY_AGAIN,
        StoreError::Open(OpenError::Unsafe { .. } | OpenError::Newer { .. }) => exit::USAGE,
        StoreError::Open(OpenError::Io { .. }) | StoreError::Runtime(_) => exit::STORAGE,
        StoreError::System(ReadError::Storage(_)) => exit::STORAGE,
        _ => exit::DAMAGED,
    }
}

/// What had to be mended is said each time, not only in a server's log.
fn tell(report: &OpenReport) {
    if let Some(commits) = report.accepted_loss {
        note(&format!(
            "warning: lost, as accepted: {}",
            text::counted(commits, "acknowledged commit")
        ));
    }
    if let Some(cut) = &report.cut {
        note(&format!(
            "note: cut off the end of {1}, as {2}: {0}; a copy is in {3}",
            text::counted(cut.bytes, "byte"),
            cut.journal.display(),
            cut.why,
            cut.saved_as.display()
        ));
    }
    for (scope, found) in &report.damaged {
        note(&format!("warning: scope {scope} is damaged and takes no appends: {found}"));
    }
}

fn has_store(data: &Path) -> bool {
    std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(socket: Option<&str>, data: Option<&str>) -> Global {
        Global {
            socket: socket.map(PathBuf::from),
            tcp: None,
            data: data.map(PathBuf::from),
            json: false,
        }
    }

    #[test]
    fn an_option_wins_over_the_environment_and_the_socket_over_the_directory() {
        let both = |name: &str| Some(std::ffi::OsString::from(format!("from {name}")));
        let data = target(&global(None, Some("d")), both).unwrap();
        assert_eq!(data, Target::Directory("d".into()));
        let env = target(&global(None, None), both).unwrap();
        assert_eq!(env, Target::Socket("from ATOMIC_STORE_SOCKET".into()));
        let none = target(&global(None, None), |_| None).unwrap();
        assert_eq!(none, Target::Default(DEFAULT_DATA.into()));
        assert!(target(&global(Some("s"), Some("d")), |_| None).is_err());
    }
}
