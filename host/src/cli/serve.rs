//! `serve`: a store for many clients, until a signal or a failing disk ends it.

use super::args::{DEFAULT_DATA, Global};
use super::connect;
use super::failure::Failure;
use super::output::Out;
use super::trust::TrustArgs;
use super::{background, exit, run};
use atomic_store::engine::Engine;
use atomic_store::server::{self, ServeError, Server, ServerOptions};
use atomic_store::store::{Store, StoreOptions};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Serve a store to clients on this machine
///
/// Makes the store if there is none. Prints one line once clients can connect. Ends on SIGTERM or
/// SIGINT: takes no more appends, decides and stores those it has, answers them, closes. A second
/// signal ends it at once; nothing acknowledged is lost either way.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store serve
  atomic-store serve --background
  atomic-store serve --data /var/lib/auctions --socket /run/auctions/store.sock
  atomic-store serve --data ./store --tcp 127.0.0.1:7070

The socket is <data>/run/atomic-store.sock unless --socket names another; only its owner may \
connect. TCP is off unless asked for, and loopback only.

Exit code 0 after a signal, 70 if the shutdown took longer than --shutdown-seconds, 74 if the storage \
failed (restart it: nothing acknowledged is lost), 130 after a second signal.")]
pub(crate) struct Serve {
    /// Open a store although its journal lost acknowledged events, and go on without them
    #[arg(long)]
    accept_loss: bool,
    /// Keep what was proposed in the journal of rejections, not only its hash; so does
    /// ATOMIC_STORE_KEEP_REJECTED_PAYLOADS=1, also for stores that other commands open
    #[arg(long)]
    keep_rejected_payloads: bool,
    /// Memory for the cache of blocks, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(8..=1_048_576))]
    cache: u64,
    /// Linear memory that all validator instances may have together, in MiB; beyond it scopes that have
    /// not run for the longest time leave
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    instance_memory: u64,
    /// Events after which the snapshot of a scope is renewed
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_events: u64,
    /// Seconds from one scope's proof of snapshots to the next; 0 for never
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    scrub_seconds: u64,
    /// Seconds that a clean shutdown may take
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    shutdown_seconds: u64,
    /// Go on in a process of its own, and return once clients can connect; SIGTERM to the pid in the line
    /// that is printed ends it. The log goes on to standard error: redirect it with 2>FILE
    #[arg(long)]
    background: bool,
    #[command(flatten)]
    trust: TrustArgs,
    /// What is logged to standard error
    #[arg(long, value_enum, default_value_t = Level::Info)]
    log: Level,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Why the server stops.
enum Stop {
    Signal,
    Failed(String),
}

/// Runs the command.
pub(crate) fn run(global: &Global, args: Serve, out: &mut Out) -> Result<(), Failure> {
    if args.background {
        return background::run(out);
    }
    log_to_stderr(args.log);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    run::runtime(threads)?.block_on(serve(global, args, out))
}

async fn serve(global: &Global, args: Serve, out: &mut Out) -> Result<(), Failure> {
    let data = data(global);
    let mut options = StoreOptions::new(&data);
    options.accept_loss = args.accept_loss;
    options.keep_rejected_payloads =
        args.keep_rejected_payloads || connect::keeps_rejected_payloads();
    options.cache_bytes = args.cache * 1024 * 1024;
    let bytes = args.instance_memory.saturating_mul(1024 * 1024);
    options.limits.instance_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    options.limits.snapshot_events = args.snapshot_events;
    options.limits.scrub_ms = args.scrub_seconds * 1_000;
    let store = connect::open_patiently(options, args.trust.trust()).await?;
    let socket = global.socket.clone().unwrap_or_else(|| server::default_socket(&data));
    let stopped = listen(global, &store, socket, out).await?;
    let deadline = Duration::from_secs(args.shutdown_seconds);
    match stopped {
        Stop::Failed(why) => Err(Failure::new(
            exit::STORAGE,
            format!(
                "the storage failed: {why}\nNothing acknowledged is lost. Mend the disk, then start again."
            ),
        )),
        Stop::Signal => close(store, deadline).await,
    }
}

/// The directory: as for clients, but nobody has to name one.
fn data(global: &Global) -> PathBuf {
    let env = || std::env::var_os("ATOMIC_STORE_DATA").filter(|value| !value.is_empty());
    global.data.clone().or_else(|| env().map(PathBuf::from)).unwrap_or_else(|| DEFAULT_DATA.into())
}

/// Serves until something stops it.
async fn listen(
    global: &Global,
    store: &Store,
    socket: PathBuf,
    out: &mut Out,
) -> Result<Stop, Failure> {
    let engine = store.engine();
    // Before the ready line, so that a signal that answers it is not missed.
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let options =
        ServerOptions { socket: Some(socket), tcp: global.tcp, ..ServerOptions::default() };
    let server = Server::bind(engine.clone(), options).await.map_err(|error| refused(&error))?;
    ready(engine, &server, out)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = std::pin::pin!(server.run(async move {
        // A dropped sender stops the server as well.
        drop(stopped.await);
    }));
    tokio::select! {
        ended = &mut serving => return why(ended),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("no more connections; answering what was taken");
    drop(stop);
    tokio::select! {
        ended = &mut serving => why(ended),
        () = second_signal()? => forced(),
    }
}

fn why(ended: Result<(), ServeError>) -> Result<Stop, Failure> {
    match ended {
        Ok(()) => Ok(Stop::Signal),
        Err(ServeError::LogFailed(why)) => Ok(Stop::Failed(why)),
        Err(error) => Err(refused(&error)),
    }
}

/// An address that cannot be used is a matter of the command line.
fn refused(error: &ServeError) -> Failure {
    Failure::usage(error.to_string())
}

fn ready(engine: &Engine, server: &Server, out: &mut Out) -> Result<(), Failure> {
    let (store, socket, tcp) = (engine.store_id(), server.socket(), server.tcp());
    if out.json() {
        out.document(&json!({
            "ready": true,
            "store": store.to_string(),
            "socket": socket,
            "tcp": tcp,
            "pid": std::process::id(),
        }))?;
    } else {
        let socket = socket.map(|path| format!(" socket {}", path.display())).unwrap_or_default();
        let tcp = tcp.map(|address| format!(" tcp {address}")).unwrap_or_default();
        let pid = std::process::id();
        out.line(&format!("ready: store {store}{socket}{tcp} pid {pid}"))?;
    }
    out.flush()
}

/// Closes the store, unless a second signal does not want to wait for it.
async fn close(store: Store, deadline: Duration) -> Result<(), Failure> {
    let closing = tokio::task::spawn_blocking(move || store.close(deadline));
    tokio::select! {
        closed = closing => match closed {
            Ok(true) => {
                tracing::info!("closed");
                Ok(())
            }
            Ok(false) => Err(Failure::new(
                exit::SHUTDOWN_LATE,
                "the shutdown did not finish in time; nothing acknowledged is lost",
            )),
            Err(error) => Err(Failure::new(exit::STORAGE, error.to_string())),
        },
        () = second_signal()? => forced(),
    }
}

/// Ends the process at once: whoever sends two signals does not want destructors to run. What was
/// acknowledged is on the disk already.
fn forced<T>() -> Result<T, Failure> {
    eprintln!("atomic-store: ended by a second signal");
    std::process::exit(i32::from(exit::FORCED))
}

fn second_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn on(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::file("signals cannot be received", &error))
}

fn log_to_stderr(level: Level) {
    let level = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
