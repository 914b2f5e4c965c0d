//! Why a command failed: a sentence for people and a code for scripts.

use super::exit;
use atomic_store_client::ClientError;
use atomic_store_core::protocol::RequestError;
use std::fmt;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What went wrong and what to do about it; may be empty if that was printed already.
    pub(crate) message: String,
}

impl Failure {
    /// A failure with its own code.
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }

    /// The command line or the input is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new(exit::USAGE, message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Failure::new(exit::NOT_FOUND, message)
    }

    /// A file or the terminal could not be read or written.
    pub(crate) fn file(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Failure::new(exit::STORAGE, format!("{what}: {error}"))
    }

    /// Ends with a code; everything there is to say has been printed.
    pub(crate) fn silent(code: u8) -> Self {
        Failure::new(code, "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Request(refused) => match refused {
                RequestError::Invalid { .. } | RequestError::NotAdmitted(_) => exit::USAGE,
                RequestError::NotFound(_) => exit::NOT_FOUND,
                RequestError::Overloaded(_) => exit::TRY_AGAIN,
                RequestError::Damaged(_) => exit::DAMAGED,
                RequestError::Goodbye(_) => exit::NO_CONNECTION,
                _ => exit::STORAGE,
            },
            ClientError::Damaged { .. } => exit::DAMAGED,
            _ => exit::NO_CONNECTION,
        };
        Failure::new(code, error.to_string())
    }
}
