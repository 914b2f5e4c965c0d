//! The servers: started in private directories with durable settings, and stopped by pid.

mod atomic;
mod postgres;
mod redis;
mod sqlite;
mod umadb;

use crate::failure::Failure;
use crate::job::{Target, Way};
use crate::plan::Options;
use crate::procs;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use atomic::{Settings, bind as bind_atomic, first_append};

/// How long a server may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Peer {
    /// This project.
    Atomic,
    /// PostgreSQL, with a way to keep others out.
    PostgresRowLock,
    /// The same.
    PostgresSerializable,
    /// The same.
    PostgresFunction,
    /// UmaDB.
    Umadb,
    /// Redis.
    Redis,
    /// SQLite.
    Sqlite,
}

impl Peer {
    /// All.
    pub(crate) const ALL: [Peer; 7] = [
        Peer::Atomic,
        Peer::PostgresRowLock,
        Peer::PostgresSerializable,
        Peer::PostgresFunction,
        Peer::Umadb,
        Peer::Redis,
        Peer::Sqlite,
    ];

    /// What tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Atomic => "Atomic Store",
            Peer::PostgresRowLock => "PostgreSQL, row lock",
            Peer::PostgresSerializable => "PostgreSQL, serializable",
            Peer::PostgresFunction => "PostgreSQL, rules in a function",
            Peer::Umadb => "UmaDB, fold in the client",
            Peer::Redis => "Redis, Lua",
            Peer::Sqlite => "SQLite",
        }
    }

    /// What to start for it; the three ways of PostgreSQL share one server.
    pub(crate) fn program(self) -> Program {
        match self {
            Peer::Atomic => Program::Atomic,
            Peer::PostgresRowLock | Peer::PostgresSerializable | Peer::PostgresFunction => {
                Program::Postgres
            }
            Peer::Umadb => Program::Umadb,
            Peer::Redis => Program::Redis,
            Peer::Sqlite => Program::Sqlite,
        }
    }

    /// Where a load process finds it.
    pub(crate) fn target(self, server: &Server) -> Target {
        let mut target = server.target.clone();
        if let Target::Postgres { way, .. } = &mut target {
            *way = match self {
                Peer::PostgresSerializable => Way::Serializable,
                Peer::PostgresFunction => Way::Function,
                _ => Way::RowLock,
            };
        }
        target
    }
}

/// A program that is a server, or a library in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    /// This project.
    Atomic,
    /// PostgreSQL.
    Postgres,
    /// UmaDB.
    Umadb,
    /// Redis.
    Redis,
    /// SQLite.
    Sqlite,
}

/// What a store is and how it is set, for the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    /// Name and version.
    pub(crate) version: String,
    /// How it is set, above all what it does before it acknowledges.
    pub(crate) settings: String,
}

/// A running server.
pub(crate) struct Server {
    /// Nothing for a store within the load process.
    child: Option<Child>,
    /// How to ask it to end.
    ending: Signal,
    /// Where a load process finds it.
    pub(crate) target: Target,
    /// Version and settings.
    pub(crate) about: About,
    /// Its directory, removed with it.
    dir: tempfile::TempDir,
}

impl Server {
    /// Starts a program in a directory of its own below `options.dir`.
    pub(crate) fn start(program: Program, options: &Options) -> Result<Server, Failure> {
        let settings = Settings::default();
        match program {
            Program::Atomic => atomic::start(options, private(options)?, &settings),
            Program::Postgres => postgres::start(private(options)?),
            Program::Umadb => umadb::start(options, private(options)?),
            Program::Redis => redis::start(private(options)?),
            Program::Sqlite => sqlite::start(private(options)?),
        }
    }

    /// Starts Atomic Store with settings of its own.
    pub(crate) fn start_atomic(options: &Options, settings: &Settings) -> Result<Server, Failure> {
        atomic::start(options, private(options)?, settings)
    }

    /// Kills Atomic Store, starts it again on the same directory, and says how long that took.
    pub(crate) fn restart_atomic(&mut self, options: &Options) -> Result<Duration, Failure> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        let start = Instant::now();
        self.child = Some(atomic::serve(options, self.dir.path())?);
        Ok(start.elapsed())
    }

    /// Ends a server in order, and keeps its directory.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        procs::signal(child.id(), self.ending)?;
        wait_for("the end of a server", || Ok(child.try_wait()?.is_some()))
    }

    /// Its first process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Stops it while another is measured, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) {
        if let Some(pid) = self.pid() {
            procs::signal_tree(pid, if paused { Signal::STOP } else { Signal::CONT });
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pause(false);
        let Some(pid) = self.pid() else { return };
        let tree = procs::tree(pid);
        if self.end().is_err() {
            // What does not end in order is killed, its children first.
            for pid in tree.into_iter().rev() {
                drop(procs::signal(pid, Signal::KILL));
            }
        }
    }
}

/// A private directory on the disk in question.
fn private(options: &Options) -> Result<tempfile::TempDir, Failure> {
    std::fs::create_dir_all(&options.dir)?;
    let dir = std::fs::canonicalize(&options.dir)?;
    Ok(tempfile::Builder::new().prefix("run-").tempdir_in(dir)?)
}

/// Starts a program that writes what it has to say to a file.
fn spawn(command: &mut Command, log: &Path) -> Result<Child, Failure> {
    let pid_file = log.with_file_name("pid");
    let log = std::fs::File::create(log)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().map_err(|error| Failure::from(error).at(&program))?;
    // For `scripts/bench.sh`, should this process be killed before it can stop what it started.
    std::fs::write(pid_file, child.id().to_string())?;
    Ok(child)
}

/// Waits until something is so.
fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let patience = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > patience {
            return Err(Failure::new(format!("{what} did not come within {PATIENCE:?}")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Waits until a server is there, and says what it wrote if it ends instead.
fn wait_until_up(
    child: &mut Child,
    log: &Path,
    mut is_up: impl FnMut() -> bool,
) -> Result<(), Failure> {
    let up = wait_for("the server", || match child.try_wait()? {
        Some(status) => Err(Failure::new(format!("it ended with {status}"))),
        None => Ok(is_up()),
    });
    up.map_err(|why| {
        drop(child.kill());
        drop(child.wait());
        let said = std::fs::read_to_string(log).unwrap_or_default();
        why.at(said.lines().last().unwrap_or("it said nothing"))
    })
}

/// A port that nobody uses now.
fn free_port() -> Result<u16, Failure> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A program in `PATH`, or in one of the places where Debian keeps it.
fn find(name: &str, places: &[&str]) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(places.iter().map(PathBuf::from));
    let mut found = folders.map(|folder| folder.join(name)).filter(|file| file.is_file());
    found.next().ok_or_else(|| Failure::new(format!("{name} is not installed")))
}
