//! How a client behaves when things go wrong.

use std::time::Duration;

/// How a client behaves when things go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long one attempt to connect may take, the greeting included. Default 5 seconds.
    pub connect_timeout: Duration,
    /// Whether to connect again after the connection was lost. Default true.
    pub reconnect: bool,
    /// How long a call is retried over reconnects, from the loss of the connection on. An append
    /// without an answer by then is `Unknown`. Subscriptions wait longer: until the client is
    /// dropped. Default 30 seconds.
    pub retry_for: Duration,
    /// The longest pause between two attempts to connect. The first pauses are much shorter, and
    /// all are random, so that many clients do not come back at the same moment. Default 1 second.
    pub backoff_max: Duration,
    /// Bytes that one stream may hold for a consumer that does not keep up. Beyond that the stream
    /// is ended on the server, and asked for again when the consumer has taken what is there.
    /// Default 4 MiB.
    pub stream_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connect_timeout: Duration::from_secs(5),
            reconnect: true,
            retry_for: Duration::from_secs(30),
            backoff_max: Duration::from_secs(1),
            stream_bytes_max: 4 * 1024 * 1024,
        }
    }
}
