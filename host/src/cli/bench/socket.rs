//! The same load over the Unix socket, from a process of its own: client and server share the cores
//! of the machine, as they do in life.

use super::Bench;
use super::driver::Load;
use super::engine::Setup;
use super::point::Point;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::run;
use atomic_store::engine::Engine;
use atomic_store::server::{self, Server, ServerOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Serves a new store and measures it from outside.
pub(super) fn measure(setup: &Setup, args: &Bench, load: Load) -> Result<Point, Failure> {
    setup.with_store(|engine, dir| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = run::runtime(threads)?;
        let socket = server::default_socket(&dir.join("data"));
        let generator = generator(&socket, args, load)?;
        runtime.block_on(serve(engine, socket, generator))
    })
}

/// Serves until the generator is done.
async fn serve(engine: &Engine, socket: PathBuf, mut generator: Command) -> Result<Point, Failure> {
    let options = ServerOptions { socket: Some(socket), ..ServerOptions::default() };
    let server = Server::bind(engine.clone(), options).await.map_err(failed)?;
    let mut output = None;
    let done = async {
        output = Some(tokio::task::spawn_blocking(move || generator.output()).await);
    };
    server.run(done).await.map_err(failed)?;
    let output = output.ok_or_else(|| failed("it ended early"))?;
    let output = output.map_err(failed)?.map_err(failed)?;
    if !output.status.success() {
        let code = output.status.code().and_then(|code| u8::try_from(code).ok());
        // What there is to say, the generator has said on standard error.
        return Err(Failure::silent(code.unwrap_or(exit::STORAGE)));
    }
    serde_json::from_slice(&output.stdout).map_err(failed)
}

fn generator(socket: &Path, args: &Bench, load: Load) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command
        .arg("bench-client")
        .arg("--at")
        .arg(socket)
        .args(["--scopes", &load.scopes.to_string()])
        .args(["--in-flight", &load.in_flight.to_string()])
        .args(["--seconds", &load.seconds.to_string()])
        .args(["--kind", &args.kind, "--payload", &args.payload])
        .stderr(Stdio::inherit());
    Ok(command)
}

fn failed(why: impl std::fmt::Display) -> Failure {
    Failure::new(exit::STORAGE, format!("measuring over the socket failed: {why}"))
}
