//! Who may have a data directory, and what is in it after a kill.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{EventLog, FjallLog, OpenError};
use log_support::{Writer, copy, data, open, options, payloads, temporary};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn files(path: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_second_opener_is_told_and_writes_nothing() {
    let (_dir, path) = data();
    let (log, report) = open(&path);
    assert!(report.created);
    let mut writer = Writer::new(&log, "a");
    log.commit(&mut [writer.unit(1, &[b"1"])]).unwrap();
    log.close().unwrap();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    files(&path, &mut before);
    let error = FjallLog::open(&options(&path)).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    files(&path, &mut after);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before == after, "a file changed");
    drop(log);
    assert_eq!(payloads(&open(&path).0, "a"), [b"1"], "the lock goes with the log");
}

#[test]
fn everything_in_a_data_directory_is_private() {
    let (_dir, path) = data();
    let (log, _) = open(&path);
    let mut writer = Writer::new(&log, "a");
    log.commit(&mut [writer.unit(1, &[b"1"])]).unwrap();
    fn check(path: &Path) {
        let meta = fs::metadata(path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o077, 0, "{}", path.display());
        if meta.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path()));
        }
    }
    check(&path);
}

#[test]
fn unsafe_directories_are_refused() {
    let dir = temporary();
    let real = dir.path().join("real");
    drop(open(&real));
    let link = dir.path().join("link");
    symlink(&real, &link).unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    for (path, why) in [(link, "symbolic link"), (file, "not a directory"), (shared, "chmod")] {
        let error = FjallLog::open(&options(&path)).map(|_| ()).unwrap_err();
        assert!(matches!(&error, OpenError::Unsafe { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_killed_store_has_every_acknowledged_commit() {
    let (_dir, path) = data();
    let (log, _) = open(&path);
    let id = log.store_id();
    let mut writer = Writer::new(&log, "a");
    for n in 0..50 {
        log.commit(&mut [writer.unit(n, &[&n.to_be_bytes()])]).unwrap();
        if n % 10 == 0 {
            let killed = path.with_extension(format!("killed-{n}"));
            copy(&path, &killed);
            let (log, report) = open(&killed);
            assert_eq!(payloads(&log, "a").len() as u64, n + 1);
            assert!(!report.clean && !report.created, "{report:?}");
            assert!(report.checked > 0 && report.damaged.is_empty(), "{report:?}");
            assert_eq!(log.store_id(), id);
        }
    }
}

#[test]
fn a_directory_whose_making_was_interrupted_is_made_again() {
    let (_dir, path) = data();
    drop(open(&path));
    fs::remove_file(path.join("tree/version")).unwrap();
    let error = FjallLog::open(&options(&path)).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "with a mark it was in use: {error}");
    fs::remove_file(path.join("mark")).unwrap();
    let (log, report) = open(&path);
    assert!(report.created);
    let mut writer = Writer::new(&log, "a");
    log.commit(&mut [writer.unit(1, &[b"1"])]).unwrap();
}

#[test]
fn a_disk_below_the_reserve_has_no_room() {
    let (_dir, path) = data();
    let mut options = options(&path);
    assert!(FjallLog::open(&options).unwrap().0.has_room());
    options.limits.disk_reserve_bytes = u64::MAX;
    assert!(!FjallLog::open(&options).unwrap().0.has_room());
}
