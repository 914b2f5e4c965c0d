//! The real program in a process of its own.

use atomic_store_client::{Address, Client, Options};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The program, beside the running test.
///
/// # Panics
/// If it was not built; `make test` and `cargo test --workspace` do that.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("atomic-store");
    assert!(program.exists(), "{} is missing: cargo build --release", program.display());
    program
}

/// A component that `scripts/build-guests.sh` built.
///
/// # Panics
/// If it was not built; `make guests` does that.
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = root.join("target/guests").join(name).with_extension("wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}: make guests", file.display()))
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    /// Starts a server on a directory and waits until it says that it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(data: &Path, arguments: &[&str]) -> Server {
        let mut child = Command::new(program())
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(!ready.is_empty(), "the server ended: {:?}", child.wait());
        Server { child, socket: data.join("run/atomic-store.sock") }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::Unix(self.socket.clone())
    }

    /// A client of it.
    ///
    /// # Panics
    /// If it cannot connect.
    pub async fn client(&self) -> Client {
        Client::connect(self.address(), Options::default()).await.unwrap()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, as in `TERM`.
    ///
    /// # Panics
    /// If there is no such process or signal.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").arg(format!("-{name}")).arg(pid).status().unwrap().success());
    }

    /// Kills it as a power failure of the process: no handler runs.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it goes on longer than the patience.
    #[must_use]
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server did not end within {patience:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
