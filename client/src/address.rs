//! Where a server listens: a path, or `tcp://` and a socket address.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A TCP address, written `tcp://127.0.0.1:7070`.
    Tcp(SocketAddr),
}

/// A text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: use the path of a socket, or tcp://127.0.0.1:7070")]
pub struct AddressError {
    /// The text.
    pub text: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        match text.strip_prefix("tcp://") {
            Some(rest) => rest.parse().map(Address::Tcp).map_err(|_| wrong()),
            None if text.is_empty() || text.contains("://") => Err(wrong()),
            None => Ok(Address::Unix(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => path.display().fmt(f),
            Address::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_being_printed() {
        for text in ["/run/atomic-store.sock", "a.sock", "tcp://127.0.0.1:7070", "tcp://[::1]:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_neither_path_nor_tcp_is_refused() {
        for text in ["", "tcp://", "tcp://localhost", "tcp://1.2.3.4", "http://127.0.0.1:80"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
