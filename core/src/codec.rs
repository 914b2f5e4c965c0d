//! postcard, exact: what is decoded must use up all its bytes.
//!
//! `postcard::from_bytes` ignores what follows a value; here that is an error.

use serde::{Deserialize, Serialize};

/// Bytes that are not one whole value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Not a value of the expected type.
    #[error("malformed: {0}")]
    Malformed(postcard::Error),
    /// A value, and then something else.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// More bytes than a frame can announce.
    #[error("{0} bytes do not fit into a frame")]
    TooLong(usize),
    /// A version this build does not know.
    #[error("format version {found} is not supported; this build reads version {supported}")]
    Version {
        /// The version byte that was found.
        found: u8,
        /// The version this build reads and writes.
        supported: u8,
    },
}

/// Appends the encoding of a value.
///
/// # Errors
/// Types that postcard cannot represent, such as maps of unknown length.
pub fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    buffer: Vec<u8>,
) -> Result<Vec<u8>, CodecError> {
    postcard::to_extend(value, buffer).map_err(CodecError::Malformed)
}

/// The encoding of a value.
///
/// # Errors
/// As [`encode_into`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_into(value, Vec::new())
}

/// The one value that these bytes hold.
///
/// # Errors
/// [`CodecError::Malformed`] or [`CodecError::Trailing`].
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    match postcard::take_from_bytes(bytes).map_err(CodecError::Malformed)? {
        (value, []) => Ok(value),
        (_, rest) => Err(CodecError::Trailing(rest.len())),
    }
}

/// A version byte, then the encoding: the form of every persisted row.
///
/// # Errors
/// As [`encode_into`].
pub fn encode_versioned<T: Serialize + ?Sized>(
    version: u8,
    value: &T,
) -> Result<Vec<u8>, CodecError> {
    encode_into(value, vec![version])
}

/// The value behind a version byte.
///
/// # Errors
/// [`CodecError::Version`] for another version, otherwise as [`decode`].
pub fn decode_versioned<'a, T: Deserialize<'a>>(
    version: u8,
    bytes: &'a [u8],
) -> Result<T, CodecError> {
    match bytes.split_first() {
        Some((&found, rest)) if found == version => decode(rest),
        Some((&found, _)) => Err(CodecError::Version { found, supported: version }),
        None => Err(CodecError::Malformed(postcard::Error::DeserializeUnexpectedEnd)),
    }
}
