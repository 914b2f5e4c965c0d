//! Keeps a stretch of zeros on the disk ahead of the journal's end.
//!
//! The tree makes its journals as files of 64 MiB without blocks. A sync then has to give blocks to what
//! was written, and to write down that it did: up to twice the time of one that finds the blocks there,
//! for groups of some ten kilobytes. So zeros are written ahead, a few hundred kilobytes at a time, and
//! become durable with the next group.
//!
//! Invariants: zeros are written only where zeros are, behind the last byte that is none; no batch ends
//! with a zero. Nothing else writes to a journal meanwhile: all of it happens under the lock of the one who
//! commits. Never behind the end of the file, where the tree goes on with a journal that it opened again.

use super::fjall_journal::{data_end, data_length, file_of, files};
use rustix::fs::statfs;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// So many zeros there are ahead after they were added to.
const AHEAD: usize = 256 * 1024;
/// They are added to when fewer than these are left.
const ENOUGH: usize = AHEAD / 2;
/// Looked at after so many bytes, which `ENOUGH` outlasts.
const LOOK_EVERY: u64 = 64 * 1024;
/// Above this mean size of a group, zeros cost more than blocks: all bytes are written twice.
const GROUP_BYTES_MAX: u64 = 48 * 1024;

/// What is written ahead; never resident, as nothing is written to it.
static ZEROS: [u8; AHEAD] = [0; AHEAD];

/// What `statfs` calls btrfs, F2FS, bcachefs and ZFS: they write to new places what is written again, so
/// zeros would only cost.
const NEVER_IN_PLACE: [i128; 4] = [0x9123_683e, 0xf2f5_2010, 0xca45_1a4e, 0x2fc1_2fc1];

/// Zeros ahead of the newest journal's end.
pub(super) struct Runway {
    folder: PathBuf,
    /// Number of the newest journal seen.
    newest: u64,
    /// That journal, while there is room for zeros in it.
    file: Option<File>,
    /// Up to here it holds data, not a hole.
    through: u64,
    /// Written since the last look, about.
    bytes: u64,
    groups: u64,
    buffer: Vec<u8>,
    /// True where zeros only cost.
    idle: bool,
}

impl Runway {
    /// For the journals in a folder, none of which grows meanwhile.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let newest = newest(folder)?;
        let idle = NEVER_IN_PLACE.contains(&i128::from(statfs(folder)?.f_type));
        let (folder, file) = (folder.to_owned(), open(folder, newest)?);
        let (through, bytes, groups, buffer) = (0, 0, 0, Vec::new());
        Ok(Runway { folder, newest, file, through, bytes, groups, buffer, idle })
    }

    /// A group of about so many bytes was written.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.groups += 1;
    }

    /// Writes zeros ahead if it is time. They are a matter of speed only: where they cannot be written,
    /// there are none.
    pub(super) fn extend(&mut self) {
        if self.bytes < LOOK_EVERY || self.idle {
            return;
        }
        let small = self.bytes / self.groups <= GROUP_BYTES_MAX;
        (self.bytes, self.groups) = (0, 0);
        if small && let Err(error) = self.look() {
            tracing::debug!("no zeros ahead of journal {}: {error}", self.newest);
            self.file = None;
        }
    }

    fn look(&mut self) -> io::Result<()> {
        // Since the last look several journals may have come, and gone.
        let there = |number| file_of(&self.folder, number).exists();
        if there(self.newest + 1) || !there(self.newest) {
            self.newest = newest(&self.folder)?;
            (self.file, self.through) = (open(&self.folder, self.newest)?, 0);
        }
        let Some(file) = &self.file else { return Ok(()) };
        let length = file.metadata()?.len();
        self.through = data_end(file, self.through)?;
        if self.through >= length {
            self.file = None;
            return Ok(());
        }
        let used = used(file, self.through, &mut self.buffer)?;
        let Some(used) = used else { return Ok(()) };
        let through = (used + AHEAD as u64).min(length);
        let more = usize::try_from(through - self.through).unwrap_or(AHEAD).min(AHEAD);
        file.write_all_at(&ZEROS[..more], self.through)?;
        self.through = through;
        Ok(())
    }
}

/// Where the last byte before `through` that is not zero ends; nothing if there are enough zeros.
fn used(file: &File, through: u64, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let from = through.saturating_sub(ENOUGH as u64);
    buffer.resize(usize::try_from(through - from).unwrap_or(0), 0);
    file.read_exact_at(buffer, from)?;
    Ok(match data_length(buffer) {
        // Of a file that was just begun, all may be a hole.
        0 if from > 0 => None,
        length => Some(from + length as u64),
    })
}

fn newest(folder: &Path) -> io::Result<u64> {
    Ok(files(folder)?.last().map_or(0, |(number, _)| *number))
}

fn open(folder: &Path, number: u64) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).write(true).open(file_of(folder, number)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fjall_journal::{End, examine, written};
    use super::super::fjall_tree::Tree;
    use super::*;
    use fjall::PersistMode;

    const ROW: usize = 1000;

    fn open_tree(folder: &Path) -> (Tree, Runway) {
        let tree = Tree::open(folder, 1 << 20).unwrap();
        // Wherever the tests run.
        (tree, Runway { idle: false, ..Runway::new(folder).unwrap() })
    }

    /// The value of the nth row; some end with zeros, as long as the stretch that is looked at.
    fn value(n: u64) -> Vec<u8> {
        let mut value = vec![n as u8 | 1; ROW];
        if n % 100 == 7 {
            value.resize(ENOUGH + 10, 0);
        }
        value
    }

    fn write(tree: &Tree, runway: &mut Runway, rows: std::ops::Range<u64>) {
        let mut batch = tree.db.batch().durability(Some(PersistMode::Buffer));
        let mut bytes = 0;
        for n in rows {
            let value = value(n);
            bytes += value.len() as u64;
            batch.insert(&tree.recent, n.to_be_bytes(), value);
        }
        batch.commit().unwrap();
        runway.wrote(bytes);
        runway.extend();
    }

    /// The journal that is written to. The tree removes the others when it likes.
    fn newest_file(folder: &Path) -> PathBuf {
        file_of(folder, newest(folder).unwrap())
    }

    /// Bytes on the disk behind what was written to the newest journal.
    fn ahead(folder: &Path) -> u64 {
        let path = newest_file(folder);
        let written = std::fs::read(&path).unwrap();
        let used = written.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        data_end(&File::open(path).unwrap(), 0).unwrap() - used as u64
    }

    fn whole(folder: &Path) {
        let path = newest_file(folder);
        assert_eq!(examine(&written(&path).unwrap(), &mut None), End::Whole, "{}", path.display());
    }

    fn has(tree: &Tree, through: u64) {
        for n in 0..through {
            let found = tree.recent.get(n.to_be_bytes()).unwrap();
            assert!(found.is_some_and(|found| *found == *value(n)), "row {n} of {through}");
        }
        assert!(tree.recent.get(through.to_be_bytes()).unwrap().is_none());
    }

    #[test]
    fn zeros_stay_ahead_over_many_groups_and_journals_and_no_byte_of_a_group_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, mut runway) = open_tree(dir.path());
        let first = runway.newest;
        let mut through = 0;
        while runway.newest < first + 2 {
            for _ in 0..200 {
                write(&tree, &mut runway, through..through + 20);
                through += 20;
            }
            whole(dir.path());
            // The last group may have begun a journal that was not looked at yet.
            if runway.file.is_some() && runway.newest == newest(dir.path()).unwrap() {
                let ahead = ahead(dir.path());
                let expected = (ENOUGH - 2 * LOOK_EVERY as usize) as u64..=(AHEAD + 4096) as u64;
                assert!(expected.contains(&ahead), "{ahead} bytes are ahead");
            }
        }
        has(&tree, through);
        drop(tree);
        let (tree, _) = open_tree(dir.path());
        has(&tree, through);
    }

    #[test]
    fn a_journal_that_was_opened_again_does_not_become_longer() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, mut runway) = open_tree(dir.path());
        write(&tree, &mut runway, 0..100);
        drop(tree);
        let (tree, mut runway) = open_tree(dir.path());
        write(&tree, &mut runway, 100..200);
        write(&tree, &mut runway, 200..300);
        let file = open(dir.path(), runway.newest).unwrap().unwrap();
        assert_eq!(ahead(dir.path()), 0);
        let length = file.metadata().unwrap().len();
        write(&tree, &mut runway, 300..301);
        assert!(file.metadata().unwrap().len() > length, "the tree goes on at the end");
        whole(dir.path());
        drop(tree);
        has(&open_tree(dir.path()).0, 301);
    }

    #[test]
    fn small_groups_get_zeros_again_when_large_ones_filled_journals_that_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, mut runway) = open_tree(dir.path());
        let first = newest(dir.path()).unwrap();
        let mut through = 0;
        let young = || {
            let newest = File::open(newest_file(dir.path())).unwrap();
            data_end(&newest, 0).unwrap() < 32 << 20
        };
        while files(dir.path()).unwrap()[0].0 < first + 2 || !young() {
            write(&tree, &mut runway, through..through + 400);
            through += 400;
        }
        for _ in 0..20 {
            write(&tree, &mut runway, through..through + 20);
            through += 20;
        }
        assert!(ahead(dir.path()) > ENOUGH as u64 / 2);
        has(&tree, through);
    }

    #[test]
    fn large_groups_get_no_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, mut runway) = open_tree(dir.path());
        write(&tree, &mut runway, 0..200);
        assert!(ahead(dir.path()) < 4096);
        for n in 200..400 {
            write(&tree, &mut runway, n..n + 1);
        }
        assert!(ahead(dir.path()) > ENOUGH as u64 / 2);
    }
}
