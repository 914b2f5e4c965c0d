//! SQLite: no server, only a file.

use super::{About, Server};
use crate::failure::Failure;
use crate::job::Target;
use rustix::process::Signal;

/// Makes a place for the file.
pub(super) fn start(dir: tempfile::TempDir) -> Result<Server, Failure> {
    let about = About {
        version: format!("SQLite {}", rusqlite::version()),
        settings:
            "journal_mode=WAL, synchronous=FULL; within the client's process, one connection \
                   on a thread of its own, one transaction per bid"
                .to_owned(),
    };
    let target = Target::Sqlite { file: dir.path().join("auctions.db") };
    Ok(Server { child: None, ending: Signal::TERM, target, about, dir })
}
