//! Looks through the tree's journals before the tree does, and changes nothing.
//!
//! The tree takes most damage for the torn end of the last write and silently drops all that
//! follows; and one sort of torn end makes it refuse to open. Here the two are told apart: a commit
//! that was never finished has nothing behind it, damage has.
//!
//! A journal is a row of batches. A batch is `1, items u32, seqno u64`, the items, and
//! `3, xxh3 of the items u64, "FJL\x03"`. An item is `2, type, compression, keyspace u64,
//! key length u16, value length u32, stored length u32, key, value`; or `4, keyspace u64`. Numbers
//! are little-endian. New files are filled with zeros.

use super::rows::APPEND_KEY;
use rustix::fs::{SeekFrom, seek};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8] = b"FJL\x03";
/// Batches take their numbers from a counter that other work of the tree also draws from, but never
/// this many between two batches. A greater step is a flipped bit.
const SEQNO_STEP_MAX: u64 = 1 << 32;
/// Items looked at in search of a batch behind a bad one. A client can write payloads that look like
/// batches; the bound keeps that from costing more than a second.
const SEARCH_ITEMS_MAX: u64 = 20_000_000;

/// Zeros are looked for by pages, which is many times faster than by bytes.
const PAGE: [u8; 4096] = [0; 4096];

/// A journal and what is in it.
#[derive(Debug)]
pub(super) struct Journal {
    /// The file.
    pub(super) path: PathBuf,
    /// How it ends.
    pub(super) end: End,
}

/// How a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a whole batch.
    Whole,
    /// With a batch of which only the beginning was written: the picture after a kill.
    Unfinished(Bad),
    /// With a batch that is not what was written, and nothing valid behind it.
    Torn(Bad),
    /// There is a bad batch, and a valid one somewhere behind it.
    Broken(Bad),
}

/// Where the first bad batch starts, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    /// Length of the journal up to the last good batch.
    pub(super) kept: u64,
    /// Bytes from there to the last one that is not zero.
    pub(super) bytes: u64,
    /// What is wrong.
    pub(super) why: String,
}

/// The numbers and files of the journals in a folder, oldest first.
pub(super) fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let id = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        files.extend(id.map(|id| (id, path)));
    }
    files.sort();
    Ok(files)
}

/// The file of a journal.
pub(super) fn file_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.jnl"))
}

/// The journals in a folder, oldest first, and how they end.
pub(super) fn scan(folder: &Path) -> io::Result<Vec<Journal>> {
    let files = files(folder)?;
    // Journals are removed from the oldest on, so that the numbers of the others stay a row.
    if let Some(pair) = files.windows(2).find(|pair| pair[0].0 + 1 != pair[1].0) {
        let missing = pair[0].0 + 1;
        return Err(io::Error::other(format!("journal {missing}.jnl is missing")));
    }
    let mut seqno = None;
    let mut journals = Vec::new();
    for (_, path) in files {
        let end = examine(&written(&path)?, &mut seqno);
        journals.push(Journal { path, end });
    }
    Ok(journals)
}

/// The bytes of a journal without the hole at its end, which is most of a young one.
pub(super) fn written(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let end = data_end(&file, 0)?;
    seek(&file, SeekFrom::Start(0))?;
    let mut bytes = Vec::with_capacity(usize::try_from(end).unwrap_or(0));
    Read::by_ref(&mut file).take(end).read_to_end(&mut bytes)?;
    bytes.truncate(without_empty_pages(&bytes).len());
    Ok(bytes)
}

/// All but the zeros at the end; less than a page of them may be left.
fn without_empty_pages(mut bytes: &[u8]) -> &[u8] {
    while let Some(before) = bytes.strip_suffix(&PAGE) {
        bytes = before;
    }
    bytes
}

/// Where the last byte ends that is not zero.
pub(super) fn data_length(bytes: &[u8]) -> usize {
    let bytes = without_empty_pages(bytes);
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Where the hole at the end of a file begins, which is not before `from`. Moves the place where the file
/// is read.
pub(super) fn data_end(file: &fs::File, from: u64) -> io::Result<u64> {
    let mut end = from;
    // Where the file system does not know holes, all of the file is data.
    while let Ok(data) = seek(file, SeekFrom::Data(end)) {
        end = seek(file, SeekFrom::Hole(data))?;
    }
    Ok(end)
}

/// Walks the batches of a journal; `seqno` is the number of the last batch before and after.
pub(super) fn examine(bytes: &[u8], seqno: &mut Option<u64>) -> End {
    let mut at = 0;
    loop {
        if at == bytes.len() {
            return End::Whole;
        }
        match batch(bytes, at, *seqno, &mut 0) {
            Ok(found) => {
                *seqno = Some(found.seqno);
                at = found.end;
            }
            Err(why) => return judge(bytes, at, *seqno, why),
        }
    }
}

/// Tells an end from damage.
fn judge(bytes: &[u8], at: usize, seqno: Option<u64>, fault: Fault) -> End {
    let written = data_length(bytes);
    if written <= at {
        return End::Whole;
    }
    let (unfinished, why) = match fault {
        Fault::Ends => (true, "the last commit ends in the middle"),
        Fault::Tag { at } => (at >= written, "an item of a commit cannot be read"),
        Fault::Wrong(why) => (false, why),
    };
    let bad = Bad { kept: at as u64, bytes: (written - at) as u64, why: why.to_owned() };
    if why == SEQNO || follows(bytes, at + 1, seqno) {
        End::Broken(bad)
    } else if unfinished {
        End::Unfinished(bad)
    } else {
        End::Torn(bad)
    }
}

/// True if a valid batch with events starts somewhere after `from`. Batches that only remember
/// answers are not synced one by one, so one of them behind a torn one is no sign of damage.
fn follows(bytes: &[u8], from: usize, seqno: Option<u64>) -> bool {
    let mut work = 0;
    let mut at = from;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == 1) {
        at += next;
        match batch(bytes, at, seqno, &mut work) {
            Ok(found) if found.events => return true,
            _ if work > SEARCH_ITEMS_MAX => return true,
            _ => at += 1,
        }
    }
    false
}

const SEQNO: &str = "the number of a commit is not the next one";

/// Why there is no batch.
enum Fault {
    /// The file ends first.
    Ends,
    /// A byte that starts nothing, at this place.
    Tag { at: usize },
    /// It is whole but wrong.
    Wrong(&'static str),
}

struct Batch {
    seqno: u64,
    end: usize,
    /// False if it holds nothing but remembered answers, snapshots and rejections.
    events: bool,
}

fn batch(bytes: &[u8], start: usize, before: Option<u64>, work: &mut u64) -> Result<Batch, Fault> {
    if bytes[start] != 1 {
        return Err(Fault::Tag { at: start });
    }
    let mut left = u32::from_le_bytes(take(bytes, start + 1)?);
    let seqno = u64::from_le_bytes(take(bytes, start + 5)?);
    let items = start + 13;
    let (mut at, mut events) = (items, false);
    loop {
        *work += 1;
        let tag = *bytes.get(at).ok_or(Fault::Ends)?;
        if tag == 3 {
            break;
        }
        if left == 0 && matches!(tag, 2 | 4) {
            return Err(Fault::Wrong("a commit has more items than it should"));
        }
        let (end, key) = item(bytes, at, tag)?;
        events |= key < APPEND_KEY;
        left -= 1;
        at = end;
    }
    if left > 0 {
        return Err(Fault::Wrong("a commit has fewer items than it should"));
    }
    let sum = u64::from_le_bytes(take(bytes, at + 1)?);
    if take::<4>(bytes, at + 9)? != MAGIC {
        // Its last byte is not zero, so a trailer that was written in part ends before it.
        return Err(Fault::Tag { at: at + 12 });
    }
    if xxh3_64(&bytes[items..at]) != sum {
        return Err(Fault::Wrong("the checksum of a commit does not match"));
    }
    let next = before.map_or(0, |before| before + 1);
    if seqno < next || (before.is_some() && seqno - next > SEQNO_STEP_MAX) || seqno >> 56 > 0 {
        return Err(Fault::Wrong(SEQNO));
    }
    Ok(Batch { seqno, end: at + 13, events })
}

/// The end of an item and the length of its key.
fn item(bytes: &[u8], at: usize, tag: u8) -> Result<(usize, usize), Fault> {
    match tag {
        2 => {
            let [sort, compression] = take(bytes, at + 1)?;
            if sort > 2 || compression > 1 {
                return Err(Fault::Tag { at });
            }
            let key = usize::from(u16::from_le_bytes(take(bytes, at + 11)?));
            let stored = u32::from_le_bytes(take(bytes, at + 17)?) as usize;
            let end = at + 21 + key + stored;
            if end > bytes.len() { Err(Fault::Ends) } else { Ok((end, key)) }
        }
        4 => {
            take::<8>(bytes, at + 1)?;
            Ok((at + 9, 0))
        }
        _ => Err(Fault::Tag { at }),
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Fault::Ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_data_is_found_wherever_it_is() {
        let page = PAGE.len();
        for length in [0, 1, page - 1, page, page + 1, 3 * page, 3 * page + 7] {
            let mut bytes = vec![0; length];
            assert_eq!(data_length(&bytes), 0, "{length}");
            for end in 1..=length {
                bytes[end - 1] = 0x80;
                assert_eq!(data_length(&bytes), end, "{end} of {length}");
                bytes[end - 1] = u8::from(end % 3 == 0);
            }
        }
    }
}
