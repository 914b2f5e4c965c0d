//! PostgreSQL 15, as the user `postgres` where this program runs as root, which it refuses.

use super::{About, Server, find, spawn, wait_until_up};
use crate::failure::Failure;
use crate::job::{Target, Way};
use crate::load::POSTGRES_SCHEMA;
use crate::machine;
use rustix::process::Signal;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Where Debian keeps it.
const PLACES: &[&str] = &["/usr/lib/postgresql/15/bin"];
/// Names the socket; nothing listens on TCP.
const PORT: u16 = 5432;
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "wal_sync_method=fdatasync",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "max_connections=100",
];

/// The user and group to run as, if this is root.
fn user() -> Option<(u32, u32)> {
    let id = |option: &str, user: &[&str]| {
        machine::output("id", &[&[option], user].concat()).trim().parse::<u32>().ok()
    };
    if id("-u", &[])? != 0 {
        return None;
    }
    Some((id("-u", &["postgres"])?, id("-g", &["postgres"])?))
}

fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// Starts it with an empty database.
pub(super) fn start(dir: tempfile::TempDir) -> Result<Server, Failure> {
    let (initdb, postgres) = (find("initdb", PLACES)?, find("postgres", PLACES)?);
    let (user, data) = (user(), dir.path().join("data"));
    std::fs::create_dir(&data)?;
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755))?;
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700))?;
    if let Some((user, group)) = user {
        chown(&data, Some(user), Some(group))?;
    }
    let made = command(&initdb, user)
        .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
        .arg(&data)
        .output()?;
    if !made.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&made.stderr).trim()).at("initdb"));
    }
    let mut server = command(&postgres, user);
    server.arg("-D").arg(&data).arg("-k").arg(&data).args(["-p", &PORT.to_string()]);
    server.args(["-c", "listen_addresses="]);
    for setting in SETTINGS {
        server.args(["-c", setting]);
    }
    let log = dir.path().join("log");
    let mut child = spawn(&mut server, &log)?;
    let ready = "database system is ready to accept connections";
    let is_up = || std::fs::read_to_string(&log).is_ok_and(|said| said.contains(ready));
    wait_until_up(&mut child, &log, is_up)?;
    let version = machine::output(&postgres.display().to_string(), &["--version"]);
    let about = About {
        version: version.trim().replace("postgres (PostgreSQL)", "PostgreSQL"),
        settings: format!(
            "{}; Unix socket, tokio-postgres with prepared statements, a pool of at most 32 \
             connections",
            SETTINGS.join(", ")
        ),
    };
    let target = Target::Postgres { host: data, port: PORT, way: Way::RowLock };
    // SIGINT is its fast shutdown: it does not wait for clients.
    let server = Server { child: Some(child), ending: Signal::INT, target, about, dir };
    make_tables(&server)?;
    Ok(server)
}

fn make_tables(server: &Server) -> Result<(), Failure> {
    let Target::Postgres { host, port, .. } = &server.target else {
        return Err(Failure::new("not PostgreSQL"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host_path(host).port(*port).user("postgres").dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(client.batch_execute(POSTGRES_SCHEMA).await?)
    })
}
