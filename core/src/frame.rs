//! Frames: how values travel over a byte stream.
//!
//! A connection starts with eight bytes from each side, [`HELLO`]: seven letters and the protocol
//! version. Whoever gets anything else closes at once, so a browser or another protocol on our port
//! cannot be mistaken for a client. After that: a length, u32 little-endian, and that many bytes of
//! postcard.

use crate::codec::{self, CodecError};
use serde::Serialize;

/// The first eight bytes from each side: `ATSTORE` and the version of the protocol.
pub const HELLO: [u8; 8] = *b"ATSTORE\x01";

/// Bytes of the length in front of every frame.
pub const LENGTH_BYTES: usize = 4;

/// Bytes that cannot start a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The other side does not speak this protocol.
    #[error("the peer does not speak the Atomic Store protocol")]
    Magic,
    /// It speaks another version of it.
    #[error("the peer speaks protocol version {found}; this build speaks {}", HELLO[7])]
    Version {
        /// The version it named.
        found: u8,
    },
    /// Longer than the cap, or empty.
    #[error("a frame of {found} bytes; at most {max} are allowed, and at least one")]
    Length {
        /// The announced length.
        found: usize,
        /// The cap.
        max: usize,
    },
}

/// Checks the first eight bytes of the other side.
///
/// # Errors
/// [`FrameError::Magic`] or [`FrameError::Version`].
pub fn check_hello(bytes: [u8; 8]) -> Result<(), FrameError> {
    match bytes {
        HELLO => Ok(()),
        [b'A', b'T', b'S', b'T', b'O', b'R', b'E', found] => Err(FrameError::Version { found }),
        _ => Err(FrameError::Magic),
    }
}

/// Reads the length of a frame and holds it against the cap, before anything is allocated.
///
/// # Errors
/// [`FrameError::Length`].
pub fn length(bytes: [u8; LENGTH_BYTES], max: usize) -> Result<usize, FrameError> {
    let found = usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
    if found == 0 || found > max {
        return Err(FrameError::Length { found, max });
    }
    Ok(found)
}

/// Appends a value as one frame.
///
/// # Errors
/// [`CodecError`] if the value cannot be encoded; `buffer` is then lost.
pub fn put<T: Serialize + ?Sized>(mut buffer: Vec<u8>, value: &T) -> Result<Vec<u8>, CodecError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH_BYTES]);
    let mut buffer = codec::encode_into(value, buffer)?;
    let length = buffer.len() - start - LENGTH_BYTES;
    let length = u32::try_from(length).map_err(|_| CodecError::TooLong(length))?;
    buffer[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(buffer)
}
