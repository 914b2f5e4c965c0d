//! The exit codes, all of them, and the help text that lists them.
//!
//! Codes from 64 on are those of sysexits.h where it has one that fits. A script may rely on them.

/// The command did what was asked.
pub(crate) const OK: u8 = 0;
/// The validator refused, or a condition such as `--expected-head` or `--since` did not hold.
pub(crate) const REFUSED: u8 = 1;
/// The command line or the input is wrong.
pub(crate) const USAGE: u8 = 2;
/// There is no such store, scope, validator or binding.
pub(crate) const NOT_FOUND: u8 = 3;
/// The validator did not answer: a trap, out of fuel or memory, a timeout.
pub(crate) const FAULT: u8 = 4;
/// The scope or the store takes no appends now.
pub(crate) const READ_ONLY: u8 = 5;
/// A validator's project was not built.
pub(crate) const NOT_BUILT: u8 = 6;
/// What was read is not what was written.
pub(crate) const DAMAGED: u8 = 65;
/// No connection to a store, or it was lost.
pub(crate) const NO_CONNECTION: u8 = 69;
/// A clean shutdown did not finish in time.
pub(crate) const SHUTDOWN_LATE: u8 = 70;
/// The storage failed, or a file could not be read or written.
pub(crate) const STORAGE: u8 = 74;
/// Something is full, or the result is not known: try again, with the same append id.
pub(crate) const TRY_AGAIN: u8 = 75;
/// A second signal ended the server at once. Nothing acknowledged is lost.
pub(crate) const FORCED: u8 = 130;

/// What `--help` says about them.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    1  refused by the validator, or by --expected-head or --since; or a check found something
    2  the command line or the input is wrong, an input file is missing, or no validator is bound
    3  no such store, scope or validator, or no such binding to remove
    4  the validator did not answer: trap, out of fuel or memory, timeout
    5  the scope or the store takes no appends now
    6  a validator's project was not built: its language's tool is missing, or found something wrong
   65  damaged: what was read is not what was written
   69  no connection to a store, or it was lost
   70  a clean shutdown did not finish in time
   74  the storage failed, or an output file could not be written
   75  something is full or in use, or the result is not known: try again (with the same --id)
  130  ended at once by a second signal";
