//! What the tests of the protocol share: a server on a log in memory, a client that writes bytes
//! by hand, and a go-between that stalls or cuts connections.
#![allow(dead_code, reason = "each test uses a part of it")]

use atomic_store::clock::SystemClock;
use atomic_store::engine::{Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store::server::{Server, ServerOptions};
use atomic_store_client::{Address, Client, Options};
use atomic_store_core::protocol::{ClientFrame, Reply, Request, ServerFrame, StoreId};
use atomic_store_core::{Append, AppendId, Limits, Proposal, ScopeName};
use atomic_store_core::{codec, frame};
use atomic_store_tests::ScriptedLoader;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Nothing here takes longer, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that only we can enter.
pub(crate) fn private_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let only_us = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.path(), only_us).unwrap();
    folder
}

/// An engine on a log in memory, with every scope open to everything.
pub(crate) fn engine(store: u8, limits: Limits) -> Engine {
    let log = Arc::new(MemoryLog::new(StoreId([store; 16]), limits.clone()));
    let loader = Arc::new(ScriptedLoader);
    let engine = Engine::open(log, loader, Arc::new(SystemClock), limits, Drive::Threads(2));
    let engine = engine.unwrap();
    engine.bind("*".parse().unwrap(), &"accept-all".parse().unwrap(), None).unwrap();
    engine
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    folder: Option<TempDir>,
}

impl Running {
    pub(crate) async fn start(limits: Limits) -> Running {
        let folder = private_folder();
        let socket = folder.path().join("s");
        let mut running = Running::on(engine(1, limits), &socket).await;
        running.folder = Some(folder);
        running
    }

    pub(crate) async fn on(engine: Engine, socket: &Path) -> Running {
        let options = ServerOptions { socket: Some(socket.into()), ..ServerOptions::default() };
        let server = Server::bind(engine.clone(), options).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            server.run(async { drop(stopped.await) }).await.unwrap();
        });
        Running { engine, socket: socket.into(), stop: Some(stop), serving, folder: None }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(Address::Unix(self.socket.clone()), options()).await.unwrap()
    }

    pub(crate) async fn raw(&self) -> Raw {
        let mut raw = Raw::connect(&self.socket).await;
        raw.greet().await;
        raw
    }

    /// Stops the server in an orderly way, and waits for that.
    pub(crate) async fn stop(mut self) {
        self.stop.take();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

pub(crate) fn options() -> Options {
    Options::default()
}

pub(crate) fn scope(name: &str) -> ScopeName {
    ScopeName::new(name).unwrap()
}

/// A proposal with its number as payload.
pub(crate) fn numbered(n: u64) -> Proposal {
    Proposal::json("n", n.to_string())
}

pub(crate) fn append(scope_name: &str, id: u128, proposal: Proposal) -> Append {
    Append::new(scope(scope_name), AppendId(id.to_be_bytes()), vec![proposal])
}

/// A connection on which frames are made by hand.
pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
}

impl Raw {
    pub(crate) async fn connect(socket: &Path) -> Raw {
        Raw { stream: UnixStream::connect(socket).await.unwrap() }
    }

    pub(crate) async fn greet(&mut self) -> Limits {
        self.bytes(&frame::HELLO).await;
        let mut hello = [0; 8];
        self.stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(hello, frame::HELLO);
        match self.frame().await.unwrap() {
            ServerFrame { call: 0, reply: Reply::Welcome { limits, .. } } => *limits,
            other => panic!("no welcome but {other:?}"),
        }
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, call: u64, request: Request) {
        self.bytes(&encoded(call, request)).await;
    }

    /// The next frame; nothing if the other side closed.
    pub(crate) async fn frame(&mut self) -> Option<ServerFrame> {
        let mut length = [0; 4];
        let read = async {
            self.stream.read_exact(&mut length).await.ok()?;
            let mut body = vec![0; u32::from_le_bytes(length) as usize];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(codec::decode(&body).unwrap())
        };
        tokio::time::timeout(PATIENCE, read).await.expect("neither a frame nor an end")
    }

    pub(crate) async fn reply(&mut self, call: u64) -> Reply {
        let frame = self.frame().await.expect("the connection was closed");
        assert_eq!(frame.call, call, "{:?}", frame.reply);
        frame.reply
    }

    /// True if the session still answers.
    pub(crate) async fn works(&mut self) -> bool {
        self.send(77, Request::Status).await;
        matches!(self.frame().await, Some(ServerFrame { call: 77, reply: Reply::Status(_) }))
    }
}

/// A request as a frame.
pub(crate) fn encoded(call: u64, request: Request) -> Vec<u8> {
    frame::put(Vec::new(), &ClientFrame { call, request }).unwrap()
}

/// A go-between: what clients say goes to the server and back, unless told otherwise.
pub(crate) struct Proxy {
    pub(crate) socket: PathBuf,
    mood: watch::Sender<Mood>,
    /// How many connections were made.
    pub(crate) made: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mood {
    /// Nothing goes from the server to the client.
    pub(crate) stalled: bool,
    /// Raised to cut all connections.
    pub(crate) cuts: u64,
    /// Cuts each connection when the server has sent so many bytes.
    pub(crate) bytes_max: Option<usize>,
}

impl Proxy {
    pub(crate) fn start(socket: PathBuf, server: PathBuf) -> Proxy {
        let listener = UnixListener::bind(&socket).unwrap();
        let (mood, moods) = watch::channel(Mood { stalled: false, cuts: 0, bytes_max: None });
        let (count, made) = watch::channel(0);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (moods, cuts) = (moods.clone(), moods.borrow().cuts);
                count.send_modify(|count| *count += 1);
                let Ok(server) = UnixStream::connect(&server).await else { continue };
                tokio::spawn(between(client, server, moods, cuts));
            }
        });
        Proxy { socket, mood, made, task }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Mood)) {
        self.mood.send_modify(change);
    }

    pub(crate) fn cut(&self) {
        self.change(|mood| mood.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client whose connections end after so many bytes each: fewer than what is asked for, and nothing comes
/// over a handful of connections, however fast it is.
pub(crate) async fn flaky(server: &Running, bytes_max: usize) -> (TempDir, Proxy, Client) {
    let folder = private_folder();
    let proxy = Proxy::start(folder.path().join("p"), server.socket.clone());
    proxy.change(|mood| mood.bytes_max = Some(bytes_max));
    let options = Options { backoff_max: Duration::from_millis(5), ..options() };
    let client = Client::connect(Address::Unix(proxy.socket.clone()), options).await.unwrap();
    (folder, proxy, client)
}

/// Until there are more than so many cuts.
async fn between(
    client: UnixStream,
    server: UnixStream,
    mut moods: watch::Receiver<Mood>,
    cuts: u64,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut stalls = moods.clone();
    let down = async {
        let (mut bytes, mut sent) = (vec![0; 4096], 0);
        loop {
            drop(stalls.wait_for(|mood| !mood.stalled).await);
            let Ok(count) = from_server.read(&mut bytes).await else { return };
            drop(stalls.wait_for(|mood| !mood.stalled).await);
            let left =
                stalls.borrow().bytes_max.map_or(count, |max| count.min(max.saturating_sub(sent)));
            if count == 0 || to_client.write_all(&bytes[..left]).await.is_err() {
                return;
            }
            sent += left;
            if stalls.borrow().bytes_max.is_some_and(|max| sent >= max) {
                return;
            }
        }
    };
    tokio::select! {
        _ = moods.wait_for(|mood| mood.cuts > cuts) => {}
        () = down => {}
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
    }
}
