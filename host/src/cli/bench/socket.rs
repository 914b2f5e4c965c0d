//! The same load over the Unix socket, from a process of its own: client and server share the cores
//! of the machine, as they do in life.

use super::driver::Load;
use super::engine::Setup;
use super::point::Point;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::run;
use atomic_store::server::{self, ServerOptions};
use std::path::Path;
use std::process::{Command, Stdio};

/// Serves a new store and measures it from outside.
pub(super) fn measure(setup: &Setup, args: &super::Bench, load: Load) -> Result<Point, Failure> {
    setup.with_store(|engine, dir| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = run::runtime(threads)?;
        let socket = server::default_socket(&dir.join("data"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let options = ServerOptions { socket: Some(socket.clone()), ..ServerOptions::default() };
        let serving = runtime.spawn(server::serve(engine.clone(), options, async move {
            let _dropped = stopped.await;
        }));
        let measured = generate(&socket, args, load);
        drop(stop);
        match runtime.block_on(serving) {
            Ok(Ok(())) => measured,
            Ok(Err(error)) => Err(Failure::new(exit::STORAGE, error.to_string())),
            Err(error) => Err(Failure::new(exit::STORAGE, error.to_string())),
        }
    })
}

fn generate(socket: &Path, args: &super::Bench, load: Load) -> Result<Point, Failure> {
    let failed = |error: std::io::Error| Failure::file("the load generator", &error);
    let output = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("bench-client")
        .arg("--at")
        .arg(socket)
        .args(["--scopes", &load.scopes.to_string()])
        .args(["--in-flight", &load.in_flight.to_string()])
        .args(["--seconds", &load.seconds.to_string()])
        .args(["--kind", &args.kind, "--payload", &args.payload])
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        let code = output.status.code().and_then(|code| u8::try_from(code).ok());
        // What there is to say, the child has said.
        return Err(Failure::silent(code.unwrap_or(exit::STORAGE)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(exit::STORAGE, format!("the load generator: {error}")))
}
