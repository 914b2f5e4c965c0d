//! UmaDB, as it comes from PyPI; it speaks gRPC on loopback.

use super::{About, Server, free_port, spawn, wait_until_up};
use crate::failure::Failure;
use crate::job::Target;
use crate::machine;
use crate::plan::Options;
use rustix::process::Signal;
use std::net::TcpStream;
use std::process::Command;

/// Starts it.
pub(super) fn start(options: &Options, dir: tempfile::TempDir) -> Result<Server, Failure> {
    let program = std::path::absolute(&options.umadb)?;
    if !program.exists() {
        let program = program.display();
        return Err(Failure::new(format!("{program} is missing; `make bench` installs it")));
    }
    let (port, log) = (free_port()?, dir.path().join("log"));
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(&program);
    command.args(["--listen", &address, "--page-cache-max-mb", "256", "--db-path"]);
    command.arg(dir.path().join("data"));
    let mut child = spawn(&mut command, &log)?;
    wait_until_up(&mut child, &log, || TcpStream::connect(&address).is_ok())?;
    let version = machine::output(&program.display().to_string(), &["--version"]);
    let about = About {
        version: version.trim().replace("umadb", "UmaDB"),
        settings:
            "as it comes (it syncs before every answer, and commits in groups), page cache of \
                   256 MiB; gRPC on loopback, its own Rust client with at most 4 shared connections"
                .to_owned(),
    };
    let target = Target::Umadb { url: format!("http://{address}") };
    Ok(Server { child: Some(child), ending: Signal::TERM, target, about, dir })
}
