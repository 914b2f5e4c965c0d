//! Damage to the files of a store: refused or reported, never a wrong event, never a silent hole.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{Decision, EventLog, FjallLog, OpenError};
use atomic_store_core::{Outcome, Position};
use fjall::Database;
use log_support::{Writer, copy, data, next, noise, open, order, payloads, temporary, try_open};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

const COMMITS: u64 = 30;
const SCOPES: [&str; 3] = ["a", "b", "c"];

/// A store that was killed after `COMMITS` commits of one to three events.
struct Killed {
    dir: tempfile::TempDir,
    /// What was committed: scope and payload by position.
    events: Vec<(String, Vec<u8>)>,
    /// The position after each commit, from 0 commits on.
    ends: Vec<u64>,
    /// The journal after each commit, from 0 commits on.
    lengths: Vec<u64>,
}

impl Killed {
    /// With payloads of this many bytes that do not compress. The mark knows of `marked` commits.
    fn new(bytes: usize, marked: u64) -> Self {
        let dir = temporary();
        let path = dir.path().join("live");
        let mut killed = Killed { dir, events: Vec::new(), ends: vec![0], lengths: Vec::new() };
        let mut log = open(&path).0;
        let mut writers: Vec<Writer> = SCOPES.iter().map(|s| Writer::new(&log, s)).collect();
        killed.lengths.push(journal_length(&path));
        let mut seed = 42;
        let mut mark = fs::read(path.join("mark")).unwrap();
        for n in 0..COMMITS {
            if n == marked && n > 0 {
                log.close().unwrap();
                drop(log);
                log = open(&path).0;
                mark = fs::read(path.join("mark")).unwrap();
            }
            let mut units = Vec::new();
            for u in 0..=next(&mut seed) % 2 {
                let writer = &mut writers[(next(&mut seed) % 3) as usize];
                let payload = noise(&mut seed, bytes);
                killed.events.push((writer.row.name.to_string(), payload.clone()));
                units.push(writer.unit(n * 10 + u, &[&payload]));
            }
            log.commit(&mut units).unwrap();
            killed.ends.push(log.position().0);
            killed.lengths.push(journal_length(&path));
        }
        if marked == COMMITS {
            log.close().unwrap();
            mark = fs::read(path.join("mark")).unwrap();
        }
        let copied = killed.dir.path().join("copy");
        copy(&path, &copied);
        // The background thread may have renewed the mark; the tests want the one of then.
        fs::write(copied.join("mark"), mark).unwrap();
        killed
    }

    /// A fresh copy of the directory.
    fn fresh(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        copy(&self.dir.path().join("copy"), &path);
        path
    }

    /// Checks that the log holds exactly the first commits, and returns how many.
    fn check_prefix(&self, log: &FjallLog, hint: &str) -> u64 {
        let commits = log.commits();
        let end = self.ends[commits as usize];
        assert_eq!(log.position(), Position(end), "{hint}");
        let events = &self.events[..end as usize];
        for scope in SCOPES {
            let expected: Vec<Vec<u8>> = events
                .iter()
                .filter(|(name, _)| name == scope)
                .map(|(_, payload)| payload.clone())
                .collect();
            assert_eq!(payloads(log, scope), expected, "{hint} scope {scope}");
        }
        let scopes: Vec<String> = order(log, 0).into_iter().map(|(scope, _, _)| scope).collect();
        let expected: Vec<String> = events.iter().map(|(scope, _)| scope.clone()).collect();
        assert_eq!(scopes, expected, "{hint}");
        commits
    }
}

fn journal(path: &Path) -> PathBuf {
    path.join("tree/0.jnl")
}

/// Length of the journal without the zeros it was filled with.
fn journal_length(path: &Path) -> u64 {
    let mut bytes = Vec::new();
    let file = fs::File::open(journal(path)).unwrap();
    file.take(4 * 1024 * 1024).read_to_end(&mut bytes).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// Changes the journal of a store that is not open.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(journal(path)).unwrap();
    change(&mut bytes);
    fs::write(journal(path), bytes).unwrap();
}

#[test]
fn a_journal_cut_anywhere_opens_to_whole_commits() {
    let killed = Killed::new(40, 0);
    let length = *killed.lengths.last().unwrap();
    let mut seed = 7;
    let near = killed.lengths[25..].iter().flat_map(|at| [at - 1, *at, at + 1, at + 13]);
    let cuts: Vec<u64> = near
        .chain((0..30).map(|_| killed.lengths[0] + next(&mut seed) % (length - killed.lengths[0])))
        .collect();
    for (n, cut) in cuts.into_iter().map(|cut| cut.min(length)).enumerate() {
        for zeros in [false, true] {
            let path = killed.fresh(&format!("{n}-{zeros}"));
            edit(&path, |bytes| {
                bytes.truncate(cut as usize);
                if zeros {
                    bytes.resize(length as usize + 5_000, 0);
                }
            });
            let hint = format!("cut at {cut}, zeros {zeros}");
            let (log, report) = try_open(&path, false).unwrap();
            let commits = killed.check_prefix(&log, &hint);
            let whole = killed.lengths.iter().filter(|end| **end <= cut).count() as u64 - 1;
            assert_eq!(commits, whole, "{hint}");
            assert_eq!(report.cut, None, "{hint}: an unfinished commit is not a torn one");
            let unfinished = !killed.lengths.contains(&cut);
            assert_eq!(report.unfinished > 0, unfinished, "{hint}");
            drop(log);
            fs::remove_dir_all(path).unwrap();
        }
    }
}

#[test]
fn commits_that_the_mark_knows_are_missed() {
    let killed = Killed::new(40, COMMITS);
    for kept in [29, 20, 1, 0] {
        let path = killed.fresh(&format!("{kept}"));
        edit(&path, |bytes| bytes.truncate(killed.lengths[kept as usize] as usize));
        let Err(OpenError::MissingData { commits, marked, found }) = try_open(&path, false) else {
            panic!("opened with {kept} of {COMMITS} commits");
        };
        assert_eq!((commits, marked, found), (COMMITS - kept, COMMITS, kept));
        let again = try_open(&path, false).map(|_| ()).unwrap_err();
        assert!(again.to_string().contains("--accept-loss"), "{again}");

        let (log, report) = try_open(&path, true).unwrap();
        assert_eq!(report.accepted_loss, Some(COMMITS - kept));
        assert_eq!(killed.check_prefix(&log, "accepted"), kept);
        let mut writer = Writer::resume(&log, "a");
        log.commit(&mut [writer.unit(1, &[b"on"])]).unwrap();
        let id = log.store_id();
        log.close().unwrap();
        drop(log);
        let (log, report) = try_open(&path, false).unwrap();
        assert_eq!((report.accepted_loss, log.store_id()), (None, id), "accepted once");
        assert_eq!(log.commits(), kept + 1);
    }
}

#[test]
fn a_store_with_an_accepted_loss_has_a_new_identity() {
    let killed = Killed::new(40, COMMITS);
    let whole = killed.fresh("whole");
    let before = try_open(&whole, true).unwrap().0.store_id();
    let path = killed.fresh("cut");
    edit(&path, |bytes| bytes.truncate(killed.lengths[10] as usize));
    assert_ne!(try_open(&path, true).unwrap().0.store_id(), before);
}

#[test]
fn a_deleted_journal_is_missed() {
    let killed = Killed::new(40, COMMITS);
    let path = killed.fresh("deleted");
    fs::remove_file(journal(&path)).unwrap();
    let error = try_open(&path, false).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::MissingData { commits: COMMITS, .. }), "{error}");
    let (log, report) = try_open(&path, true).unwrap();
    assert_eq!((report.accepted_loss, log.commits(), log.scope_count()), (Some(COMMITS), 0, 0));

    let path = killed.fresh("both");
    fs::remove_file(journal(&path)).unwrap();
    fs::remove_file(path.join("mark")).unwrap();
    let error = try_open(&path, false).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Mark { .. }), "{error}");
}

#[test]
fn a_missing_journal_between_others_is_refused() {
    let killed = Killed::new(40, 0);
    let path = killed.fresh("gap");
    fs::copy(journal(&path), path.join("tree/2.jnl")).unwrap();
    let error = try_open(&path, true).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("1.jnl is missing"), "{error}");
}

#[test]
fn a_bad_mark_is_refused_until_the_loss_is_accepted() {
    let killed = Killed::new(40, COMMITS);
    let foreign = Killed::new(40, 0);
    type Spoil<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Spoil<'_>); 4] = [
        ("missing", &|mark| fs::remove_file(mark).unwrap()),
        ("empty", &|mark| fs::write(mark, b"").unwrap()),
        ("flipped", &|mark| {
            let mut bytes = fs::read(mark).unwrap();
            bytes[9] ^= 4;
            fs::write(mark, bytes).unwrap();
        }),
        ("foreign", &|mark| {
            fs::copy(foreign.dir.path().join("copy/mark"), mark).unwrap();
        }),
    ];
    for (case, spoil) in cases {
        let path = killed.fresh(case);
        spoil(&path.join("mark"));
        let error = try_open(&path, false).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Mark { .. }), "{case}: {error}");
        let (log, report) = try_open(&path, true).unwrap();
        assert_eq!(report.accepted_loss, Some(0), "{case}");
        assert_eq!(killed.check_prefix(&log, case), COMMITS);
    }
}

#[test]
fn flipped_bits_in_a_journal_never_go_unnoticed() {
    const MARKED: u64 = 15;
    let killed = Killed::new(40, MARKED);
    let length = *killed.lengths.last().unwrap();
    let mut seed = 20_261_122;
    println!("seed {seed}");
    let (mut refused, mut whole, mut short) = (0, 0, 0);
    for n in 0..400 {
        let at = (next(&mut seed) % length) as usize;
        let bit = 1 << (next(&mut seed) % 8);
        let path = killed.fresh(&format!("{n}"));
        edit(&path, |bytes| bytes[at] ^= bit);
        let hint = format!("byte {at}, bit {bit:#x}");
        match try_open(&path, false) {
            Err(_) => refused += 1,
            Ok((log, report)) => {
                assert!(report.damaged.is_empty(), "{hint}: {report:?}");
                let commits = killed.check_prefix(&log, &hint);
                assert!(commits >= MARKED, "{hint}: marked commits are gone");
                if commits == COMMITS {
                    whole += 1;
                } else {
                    assert_eq!(commits, COMMITS - 1, "{hint}: only the last commit can be torn");
                    assert!(report.cut.is_some() || report.unfinished > 0, "{hint}: silent");
                    short += 1;
                }
            }
        }
        fs::remove_dir_all(path).unwrap();
    }
    println!("refused {refused}, whole {whole}, last commit cut {short}");
    assert!(refused > 330, "{refused} of 400 were refused");
}

/// Zeroes the second 4 KiB page that lies wholly inside a commit.
fn tear(bytes: &mut [u8], from: u64, to: u64) {
    let page = (from as usize).div_ceil(4096) + 1;
    assert!((page + 1) * 4096 < to as usize, "the commit is too small for the test");
    bytes[page * 4096..(page + 1) * 4096].fill(0);
}

#[test]
fn a_torn_page_in_the_last_commit_is_cut_off() {
    let killed = Killed::new(16 * 1024, 0);
    let path = killed.fresh("torn");
    let last = COMMITS as usize - 1;
    edit(&path, |bytes| tear(bytes, killed.lengths[last], killed.lengths[last + 1]));
    let damaged = fs::read(journal(&path)).unwrap();

    let bare = killed.dir.path().join("bare");
    copy(&path, &bare);
    let refused = Database::builder(bare.join("tree")).open().map(|_| ());
    assert!(format!("{refused:?}").contains("ChecksumMismatch"), "the tree alone: {refused:?}");

    let (log, report) = try_open(&path, false).unwrap();
    assert_eq!(killed.check_prefix(&log, "torn"), COMMITS - 1);
    let cut = report.cut.unwrap();
    assert_eq!(fs::read(&cut.saved_as).unwrap(), damaged, "the journal is kept");
    assert_eq!((cut.kept, cut.bytes), (killed.lengths[last], killed.lengths[last + 1] - cut.kept));
    let mut writer = Writer::resume(&log, "a");
    log.commit(&mut [writer.unit(9, &[b"on"])]).unwrap();
    log.close().unwrap();
    drop(log);
    let (log, report) = open(&path);
    assert_eq!((report.cut, log.commits()), (None, COMMITS));
}

#[test]
fn a_torn_page_of_a_commit_that_the_mark_knows_is_a_loss() {
    let killed = Killed::new(16 * 1024, COMMITS);
    let path = killed.fresh("torn");
    let last = COMMITS as usize - 1;
    edit(&path, |bytes| tear(bytes, killed.lengths[last], killed.lengths[last + 1]));
    let error = try_open(&path, false).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::MissingData { commits: 1, .. }), "{error}");
}

#[test]
fn a_torn_page_in_an_earlier_commit_is_refused() {
    let killed = Killed::new(16 * 1024, 0);
    for commit in [0, 12, COMMITS as usize - 2] {
        let path = killed.fresh(&format!("{commit}"));
        edit(&path, |bytes| tear(bytes, killed.lengths[commit], killed.lengths[commit + 1]));
        let damaged = fs::read(journal(&path)).unwrap();
        let error = try_open(&path, false).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { may_accept: true, .. }), "{error}");
        assert_eq!(fs::read(journal(&path)).unwrap(), damaged, "nothing was changed");
        let (log, report) = try_open(&path, true).unwrap();
        assert_eq!(killed.check_prefix(&log, "accepted"), commit as u64);
        assert!(report.cut.is_some() && report.accepted_loss.is_some(), "{report:?}");
    }
}

#[test]
fn answers_that_were_not_synced_may_be_torn_in_any_order() {
    let (_dir, path) = data();
    let log = open(&path).0;
    let mark = fs::read(path.join("mark")).unwrap();
    let mut writer = Writer::new(&log, "a");
    log.commit(&mut [writer.unit(1, &[b"1"])]).unwrap();
    let mut lengths = vec![journal_length(&path)];
    let mut seed = 3;
    for id in 2..5 {
        let why = format!("{:?}", noise(&mut seed, 6_000));
        let refused = Decision::Nothing(Box::new(Outcome::Invalid { field: "f".to_owned(), why }));
        log.commit(&mut [writer.empty(id, refused)]).unwrap();
        lengths.push(journal_length(&path));
    }
    let killed = path.with_extension("killed");
    copy(&path, &killed);
    fs::write(killed.join("mark"), mark).unwrap();
    edit(&killed, |bytes| tear(bytes, lengths[1], lengths[2]));
    let (log, report) = try_open(&killed, false).unwrap();
    assert_eq!(payloads(&log, "a"), [b"1"]);
    assert!(report.cut.is_some(), "{report:?}");
}
