//! A server from its start to its orderly end.

use super::hub::Hub;
use super::listener::{Accepted, Backoff, ServeError, accept_tcp, accept_unix, bind_tcp};
use super::session;
use super::socket_file::SocketFile;
use super::wire::SharedHalf;
use crate::engine::Engine;
use atomic_store_core::frame;
use atomic_store_core::protocol::{Reply, RequestError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Bytes in flight each way of a connection within the process.
const ATTACHED_BYTES: usize = 1024 * 1024;

/// Where to listen, and how to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// The Unix socket, if any. Its folder is made if need be, and must be closed to other users.
    pub socket: Option<PathBuf>,
    /// The TCP address, if any; on this machine only. Every local user and program can reach it.
    pub tcp: Option<SocketAddr>,
    /// How long requests that were taken may go on during a shutdown. Default 10 seconds.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions { socket: None, tcp: None, drain: Duration::from_secs(10) }
    }
}

/// A server that listens, but does not answer yet.
pub struct Server {
    hub: Arc<Hub>,
    socket: Option<SocketFile>,
    tcp: Option<TcpListener>,
    drain: Duration,
}

/// Where the socket of a store is if nobody says otherwise.
#[must_use]
pub fn default_socket(data: &Path) -> PathBuf {
    data.join("run").join("atomic-store.sock")
}

/// A session within this process, for a client of an embedded store. Must be called within a tokio
/// runtime.
#[must_use]
pub fn attach(engine: &Engine) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(ATTACHED_BYTES);
    let (reading, writing) = tokio::io::split(ours);
    tokio::spawn(session::run(Hub::new(engine.clone()), reading, writing));
    theirs
}

/// Serves until `stop` is ready, or until the log has failed. Returns when all sessions have said
/// goodbye.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    engine: Engine,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Server::bind(engine, options).await?.run(stop).await
}

impl Server {
    /// Starts to listen. Clients that connect wait until [`Self::run`].
    ///
    /// # Errors
    /// [`ServeError`]: an address is unsafe, in use, or refused.
    pub async fn bind(engine: Engine, options: ServerOptions) -> Result<Server, ServeError> {
        if options.socket.is_none() && options.tcp.is_none() {
            return Err(ServeError::Nowhere);
        }
        let tcp = match options.tcp {
            Some(address) => Some(bind_tcp(address).await?),
            None => None,
        };
        let socket = options.socket.as_deref().map(SocketFile::bind).transpose()?;
        Ok(Server { hub: Hub::new(engine), socket, tcp, drain: options.drain })
    }

    /// The path of the Unix socket.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(SocketFile::path)
    }

    /// The TCP address, with the real port if the system chose one.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Serves until `stop` is ready, or until the log has failed.
    ///
    /// # Errors
    /// [`ServeError::LogFailed`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Server { hub, socket, tcp, drain } = self;
        let max = hub.engine.limits().sessions_max;
        let (mut sessions, mut failed) = (JoinSet::new(), hub.engine.failed());
        let (mut unix_backoff, mut tcp_backoff) = (Backoff::default(), Backoff::default());
        let mut stop = std::pin::pin!(stop);
        let end = loop {
            let accepted = tokio::select! {
                () = &mut stop => break Ok(()),
                why = log_failed(&mut failed) => break Err(ServeError::LogFailed(why)),
                Some(_) = sessions.join_next() => continue,
                accepted = accept_unix(socket.as_ref(), &mut unix_backoff) => accepted,
                accepted = accept_tcp(tcp.as_ref(), &mut tcp_backoff) => accepted,
            };
            if sessions.len() >= max {
                refuse(&accepted, max);
                continue;
            }
            start(&mut sessions, &hub, accepted);
        };
        drop((socket, tcp));
        hub.stopping.send_replace(true);
        let goodbyes = async { while sessions.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, goodbyes).await.is_err() {
            tracing::warn!(left = sessions.len(), "some sessions did not end in time");
            sessions.abort_all();
        }
        end
    }
}

async fn log_failed(failed: &mut tokio::sync::watch::Receiver<Option<String>>) -> String {
    let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
    match why {
        Some(why) => why,
        // The engine is gone without having failed; only `stop` ends this server.
        None => std::future::pending().await,
    }
}

fn start(sessions: &mut JoinSet<()>, hub: &Arc<Hub>, accepted: Accepted) {
    let hub = Arc::clone(hub);
    match accepted {
        Accepted::Unix(stream) => {
            let (reading, writing) = stream.into_split();
            sessions.spawn(session::run(hub, reading, SharedHalf::new(writing)));
        }
        Accepted::Tcp(stream) => {
            let (reading, writing) = stream.into_split();
            sessions.spawn(session::run(hub, reading, SharedHalf::new(writing)));
        }
    }
}

/// Tells a client that there are too many, as far as that is possible without waiting for it.
fn refuse(accepted: &Accepted, max: usize) {
    let why = format!("{max} connections are open, which is the cap; try again later");
    let reply = Reply::Error(RequestError::Overloaded(why));
    let Ok(bytes) = frame::put(frame::HELLO.to_vec(), &(0_u64, &reply)) else { return };
    let sent = match accepted {
        Accepted::Unix(stream) => stream.try_write(&bytes),
        Accepted::Tcp(stream) => stream.try_write(&bytes),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "a refused client was not told why");
    }
}
