//! New connections: where they come from, and who may make them.

use super::socket_file::SocketFile;
use rustix::process::geteuid;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixStream};

const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a server does not start, or stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Somebody listens there already.
    #[error("another server listens on {address}")]
    InUse {
        /// Where.
        address: String,
    },
    /// The socket would not be private.
    #[error("cannot listen on a socket in {path}: {why}", path = path.display())]
    Unsafe {
        /// The path, or its folder.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// An address that other machines could reach.
    #[error(
        "{0} can be reached from other machines, and there is no encryption and no token yet to \
         protect it; use 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// Nothing to listen on.
    #[error("give a socket or a TCP address to listen on")]
    Nowhere,
    /// The operating system refused.
    #[error("cannot listen on {address}: {why}")]
    Bind {
        /// Where.
        address: String,
        /// What it said.
        why: String,
    },
    /// The log failed; nothing can be stored until a restart.
    #[error("the log failed: {0}; restart the server")]
    LogFailed(String),
}

/// A listening TCP socket on this machine's own address.
pub(crate) async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let own = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    };
    if !own {
        return Err(ServeError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { address: format!("tcp://{address}") },
        _ => ServeError::Bind { address: format!("tcp://{address}"), why: error.to_string() },
    })
}

/// A new connection.
pub(crate) enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Pauses after a failed accept, so that a server without file descriptors does not spin.
#[derive(Default)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    fn done(&mut self) {
        self.0 = Duration::ZERO;
    }

    async fn failed(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        self.0 = (self.0 * 2).clamp(BACKOFF_FIRST, BACKOFF_MAX);
        tracing::warn!(%error, pause = ?self.0, "cannot take a new connection");
        tokio::time::sleep(self.0).await;
    }
}

/// The next connection over the Unix socket, from this user or root. Waits for ever without one.
pub(crate) async fn accept_unix(socket: Option<&SocketFile>, backoff: &mut Backoff) -> Accepted {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        match socket.listener.accept().await {
            Ok((stream, _)) => {
                backoff.done();
                match stream.peer_cred() {
                    Ok(peer) if may_enter(peer.uid()) => return Accepted::Unix(stream),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused another user"),
                    Err(error) => tracing::warn!(%error, "refused an unknown user"),
                }
            }
            Err(error) => backoff.failed(&error).await,
        }
    }
}

/// The next connection over TCP. Waits for ever without a socket.
pub(crate) async fn accept_tcp(socket: Option<&TcpListener>, backoff: &mut Backoff) -> Accepted {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                backoff.done();
                // Small answers must not wait for each other's acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return Accepted::Tcp(stream);
            }
            Err(error) => backoff.failed(&error).await,
        }
    }
}

fn may_enter(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}
