//! Connecting and the greeting: eight bytes each way, then the server's welcome.

use crate::{Address, ClientError, Options};
use atomic_store_core::protocol::{Reply, ServerFrame, StoreId};
use atomic_store_core::{Limits, codec, frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// A welcome is a few hundred bytes; until it came, nothing larger is read.
const WELCOME_BYTES_MAX: usize = 64 * 1024;

pub(crate) type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection after the greeting.
pub(crate) struct Wire {
    pub(crate) reading: Reading,
    pub(crate) writing: Writing,
    pub(crate) store: StoreId,
    pub(crate) limits: Limits,
}

/// Connects and greets, within the time that one attempt may take.
pub(crate) async fn connect(address: &Address, options: &Options) -> Result<Wire, ClientError> {
    let after = options.connect_timeout;
    match timeout(after, dial(address)).await {
        Ok(wire) => wire,
        Err(_) => Err(ClientError::Timeout { what: "connection", after }),
    }
}

async fn dial(address: &Address) -> Result<Wire, ClientError> {
    let failed = |why: std::io::Error| ClientError::Connect {
        address: address.to_string(),
        why: why.to_string(),
    };
    match address {
        Address::Unix(path) => {
            let (reading, writing) = UnixStream::connect(path).await.map_err(failed)?.into_split();
            greet(Box::new(reading), Box::new(writing)).await
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let (reading, writing) = stream.into_split();
            greet(Box::new(reading), Box::new(writing)).await
        }
    }
}

/// The greeting, over any stream.
pub(crate) async fn greet(mut reading: Reading, mut writing: Writing) -> Result<Wire, ClientError> {
    // A server that is full says so and closes, perhaps before our hello is written. What it said
    // can still be read, and without it the read fails too.
    let greeted = async {
        writing.write_all(&frame::HELLO).await?;
        writing.flush().await
    };
    drop(greeted.await);
    let mut hello = [0; 8];
    reading.read_exact(&mut hello).await.map_err(ClientError::closed)?;
    frame::check_hello(hello).map_err(|why| ClientError::Protocol(why.to_string()))?;
    let mut length = [0; frame::LENGTH_BYTES];
    reading.read_exact(&mut length).await.map_err(ClientError::closed)?;
    let length = frame::length(length, WELCOME_BYTES_MAX)
        .map_err(|why| ClientError::Protocol(why.to_string()))?;
    let mut body = vec![0; length];
    reading.read_exact(&mut body).await.map_err(ClientError::closed)?;
    match codec::decode(&body) {
        Ok(ServerFrame { call: 0, reply: Reply::Welcome { store, limits } }) => {
            Ok(Wire { reading, writing, store, limits: *limits })
        }
        Ok(ServerFrame { reply: Reply::Error(why), .. }) => Err(why.into()),
        Ok(_) => Err(ClientError::Protocol("the first frame is not a welcome".to_owned())),
        Err(why) => Err(ClientError::Protocol(why.to_string())),
    }
}
