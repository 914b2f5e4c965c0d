//! The writing half of a connection, which two may write to: the connection's task, and whoever has a
//! single answer while that task sleeps. Waking it up would take longer than the write.

use rustix::net::{Shutdown, shutdown};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, DuplexStream, WriteHalf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// What can be written to from any thread.
pub(crate) trait Direct: Send + Sync {
    /// Writes as much as there is room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; or the connection is gone.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// The writing half of a connection.
pub(crate) trait Wire: AsyncWrite + Send + Unpin + 'static {
    /// For others than its task, who must not write while that does; nothing if it alone can write.
    fn direct(&self) -> Option<Arc<dyn Direct>>;
}

/// A half that is shared.
pub(crate) struct SharedHalf<H>(Arc<H>);

impl<H> SharedHalf<H> {
    pub(crate) fn new(half: H) -> Self {
        SharedHalf(Arc::new(half))
    }
}

impl Wire for WriteHalf<DuplexStream> {
    fn direct(&self) -> Option<Arc<dyn Direct>> {
        None
    }
}

macro_rules! shared_half {
    ($half:ty, $stream:ty) => {
        impl Direct for $half {
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                <$stream>::try_write(self.as_ref(), bytes)
            }
        }

        impl Wire for SharedHalf<$half> {
            fn direct(&self) -> Option<Arc<dyn Direct>> {
                Some(Arc::<$half>::clone(&self.0))
            }
        }

        impl AsyncWrite for SharedHalf<$half> {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let stream: &$stream = (*self.0).as_ref();
                loop {
                    ready!(stream.poll_write_ready(cx))?;
                    match stream.try_write(bytes) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        written => return Poll::Ready(written),
                    }
                }
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                let stream: &$stream = (*self.0).as_ref();
                Poll::Ready(shutdown(stream, Shutdown::Write).map_err(io::Error::from))
            }
        }
    };
}

shared_half!(unix::OwnedWriteHalf, UnixStream);
shared_half!(tcp::OwnedWriteHalf, TcpStream);
