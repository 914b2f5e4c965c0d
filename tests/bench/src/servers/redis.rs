//! Redis, with every write synced before it is answered.

use super::{About, Server, find, spawn, wait_until_up};
use crate::failure::Failure;
use crate::job::Target;
use crate::machine;
use rustix::process::Signal;
use std::os::unix::net::UnixStream;
use std::process::Command;

/// Starts it.
pub(super) fn start(dir: tempfile::TempDir) -> Result<Server, Failure> {
    let program = find("redis-server", &[])?;
    let (socket, log) = (dir.path().join("redis.sock"), dir.path().join("log"));
    let mut command = Command::new(&program);
    command.args(["--port", "0", "--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--save", "", "--dir"]).arg(dir.path()).arg("--unixsocket").arg(&socket);
    let mut child = spawn(&mut command, &log)?;
    wait_until_up(&mut child, &log, || UnixStream::connect(&socket).is_ok())?;
    let version = machine::output(&program.display().to_string(), &["--version"]);
    let version = version.split_whitespace().find_map(|word| word.strip_prefix("v="));
    let about = About {
        version: format!("Redis {}", version.unwrap_or("of unknown version")),
        settings: "appendonly yes, appendfsync always, no snapshots (save \"\"); Unix socket, the \
                   `redis` crate with at most 4 shared connections"
            .to_owned(),
    };
    let target = Target::Redis { socket };
    Ok(Server { child: Some(child), ending: Signal::TERM, target, about, dir })
}
