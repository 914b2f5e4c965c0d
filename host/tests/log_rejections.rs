//! The journal of rejections in each log: what is kept, how it is found, and what is there after a stop.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{EventLog, FjallLog, MemoryLog, Unit};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{
    Digest, Fault, FaultKind, Limits, Outcome, Proposal, Reason, Refusal, Rejection,
    RejectionCount, RejectionsEnd, Seq,
};
use log_support::{Log, Writer, append_id, copy, data, name, open, options, payloads};
use std::ops::ControlFlow;

fn refusal(code: &str) -> Outcome {
    let (code, message) = (code.to_owned(), "no".to_owned());
    let reasons = vec![Reason { code, message, data: None, seqs: vec![Seq(1)] }];
    Outcome::Rejected(Refusal { index: 0, reasons, meta: None })
}

fn entry(scope: &str, id: u64, outcome: Outcome, payload: &[u8]) -> Rejection {
    Rejection {
        number: 0,
        previous: 0,
        previous_of_scope: 0,
        scope: name(scope),
        host_ms: 5,
        append_id: append_id(id),
        head: Seq(3),
        judge: None,
        outcome,
        kinds: vec!["bid".to_owned()],
        payload_hash: Digest::of_parts([payload].into_iter()),
        proposals: (!payload.is_empty()).then(|| vec![Proposal::json("bid", payload)]),
    }
}

/// A unit that only journals.
fn unit(log: &dyn EventLog, entry: Rejection) -> Unit {
    let mut unit = Writer::new(log, entry.scope.as_str()).unit(1, &[]);
    (unit.decision, unit.rejection) = (None, Some(Box::new(entry)));
    unit
}

fn refuse(log: &dyn EventLog, scope: &str, id: u64, code: &str) -> Rejection {
    let mut units = [unit(log, entry(scope, id, refusal(code), b""))];
    log.commit(&mut units).unwrap();
    *units[0].rejection.take().unwrap()
}

fn read(log: &dyn EventLog, scope: Option<&str>, after: u64) -> Vec<Rejection> {
    let (scope, mut found) = (scope.map(name), Vec::new());
    log.rejections(scope.as_ref(), after, &mut |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn numbers(log: &dyn EventLog, scope: Option<&str>, after: u64) -> Vec<u64> {
    read(log, scope, after).iter().map(|entry| entry.number).collect()
}

fn counts(log: &dyn EventLog, scope: Option<&str>) -> Vec<(String, u64)> {
    let counts = log.rejection_counts(scope.map(name).as_ref());
    let count = |RejectionCount { outcome, code, count }| (format!("{outcome} {code}"), count);
    counts.into_iter().map(count).collect()
}

fn for_each_log(limits: &Limits, test: impl Fn(&str, Log)) {
    let (_dir, path) = data();
    let mut options = options(&path);
    options.limits = limits.clone();
    test("fjall", Log::Fjall(Box::new(FjallLog::open(&options).unwrap().0), path));
    test("memory", Log::Memory(Box::new(MemoryLog::new(StoreId([3; 16]), limits.clone()))));
}

#[test]
fn entries_come_back_as_they_were_written_by_scope_and_by_number() {
    for_each_log(&Limits::default(), |which, log| {
        let large = vec![b'7'; 100_000];
        let mut expected = Vec::new();
        for n in 1..=200 {
            let scope = format!("s/{}", n % 3);
            let payload = if n % 50 == 0 { &large[..] } else { b"" };
            let mut units = [
                unit(&*log, entry(&scope, 2 * n, refusal("low"), payload)),
                unit(&*log, entry("s/all", 2 * n + 1, refusal("low"), b"")),
            ];
            log.commit(&mut units).unwrap();
            expected.extend(units.map(|unit| *unit.rejection.unwrap()));
        }
        assert_eq!(read(&*log, None, 0), expected, "{which}");
        assert_eq!(numbers(&*log, None, 0), (1..=400).collect::<Vec<_>>(), "{which}");
        assert_eq!(numbers(&*log, None, 398), [399, 400], "{which}");
        for after in [400, 401, u64::MAX] {
            assert!(numbers(&*log, None, after).is_empty(), "{which}");
        }
        for scope in ["s/0", "s/1", "s/2", "s/all", "s/none"] {
            let of = |entry: &&Rejection| entry.scope.as_str() == scope;
            let own: Vec<_> = expected.iter().filter(of).cloned().collect();
            assert_eq!(read(&*log, Some(scope), 0), own, "{which}");
            let mut before = 0;
            for entry in &own {
                assert_eq!(entry.previous_of_scope, before, "{which}");
                before = entry.number;
            }
            let from = own.get(5).map_or(0, |entry| entry.number);
            let rest: Vec<_> = own.iter().map(|e| e.number).filter(|n| *n > from).collect();
            assert_eq!(numbers(&*log, Some(scope), from), rest, "{which}");
        }
        assert!(expected.windows(2).all(|pair| pair[1].previous == pair[0].number), "{which}");
        let mut seen = 0;
        log.rejections(None, 0, &mut |_| {
            seen += 1;
            if seen == 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(seen, 100, "{which} stops when told");
    });
}

#[test]
fn the_end_tells_where_the_last_entries_begin() {
    for_each_log(&Limits::default(), |which, log| {
        let end = |scope: Option<&str>, last| log.rejections_end(scope.map(name).as_ref(), last);
        assert_eq!(end(None, 5), RejectionsEnd::default(), "{which}");
        for n in 1..=6 {
            refuse(&*log, if n % 2 == 0 { "even" } else { "odd" }, n, "low");
        }
        assert_eq!(end(None, 0), RejectionsEnd { after: 6, newest: 6, end: 6 }, "{which}");
        assert_eq!(end(None, 2), RejectionsEnd { after: 4, newest: 6, end: 6 }, "{which}");
        assert_eq!(end(Some("odd"), 2), RejectionsEnd { after: 1, newest: 5, end: 6 }, "{which}");
        assert_eq!(end(Some("odd"), 3), RejectionsEnd { after: 0, newest: 5, end: 6 }, "{which}");
        assert_eq!(end(Some("odd"), 0), RejectionsEnd { after: 6, newest: 5, end: 6 }, "{which}");
        assert_eq!(end(Some("none"), 9), RejectionsEnd { after: 0, newest: 0, end: 6 }, "{which}");
        assert_eq!(numbers(&*log, Some("odd"), end(Some("odd"), 2).after), [3, 5], "{which}");
    });
}

#[test]
fn a_group_that_is_larger_than_the_bound_leaves_its_newest() {
    let limits = Limits { rejections_scope_max: 3, rejections_max: 5, ..Limits::default() };
    for_each_log(&limits, |which, log| {
        let scopes = ["a", "a", "a", "a", "a", "b", "b", "c", "a"];
        let units = (1..).zip(scopes).map(|(n, scope)| entry(scope, n, refusal("low"), b""));
        let mut units: Vec<_> = units.map(|entry| unit(&*log, entry)).collect();
        log.commit(&mut units).unwrap();
        // Of a 4, 5 and 9 are left, and 4 is the oldest of six.
        assert_eq!(numbers(&*log, None, 0), [5, 6, 7, 8, 9], "{which}");
        assert_eq!(numbers(&*log, Some("a"), 0), [5, 9], "{which}");
        let next = refuse(&*log, "d", 10, "low");
        assert_eq!((next.previous, next.previous_of_scope), (9, 4), "{which}");
        assert_eq!(numbers(&*log, None, 0), [6, 7, 8, 9, 10], "{which}");
        let next = refuse(&*log, "a", 11, "low");
        assert_eq!((next.previous, next.previous_of_scope), (10, 9), "{which}");
    });
}

#[test]
fn counts_follow_what_is_kept() {
    let limits = Limits { rejections_scope_max: 2, rejections_max: 3, ..Limits::default() };
    for_each_log(&limits, |which, log| {
        let detail = "x".to_owned();
        let fault = Outcome::Faulted(Fault { kind: FaultKind::OutOfFuel, detail });
        log.commit(&mut [unit(&*log, entry("a", 1, fault, b""))]).unwrap();
        refuse(&*log, "a", 2, "low");
        refuse(&*log, "b", 3, "low");
        let all = [("faulted out-of-fuel".to_owned(), 1), ("rejected low".to_owned(), 2)];
        assert_eq!(counts(&*log, None), all, "{which}");
        assert_eq!(counts(&*log, Some("b")), [("rejected low".to_owned(), 1)], "{which}");
        refuse(&*log, "a", 4, "late");
        let all = [("rejected late".to_owned(), 1), ("rejected low".to_owned(), 2)];
        assert_eq!(counts(&*log, None), all, "{which}");
        refuse(&*log, "c", 5, "");
        let own = [("rejected late".to_owned(), 1)];
        assert_eq!(counts(&*log, Some("a")), own, "{which}");
        assert!(counts(&*log, Some("none")).is_empty(), "{which}");
    });
}

#[test]
fn an_opened_store_has_the_journal_it_had() {
    let (_dir, path) = data();
    let mut small = options(&path);
    small.limits = Limits { rejections_scope_max: 40, ..Limits::default() };
    let log = FjallLog::open(&small).unwrap().0;
    for n in 1..=100 {
        let scope = if n % 4 == 0 { "b" } else { "a" };
        refuse(&log, scope, n, if n % 5 == 0 { "late" } else { "low" });
    }
    let picture = |log: &dyn EventLog| {
        let all = (read(log, None, 0), read(log, Some("a"), 0), read(log, Some("b"), 0));
        (all, counts(log, None), counts(log, Some("a")), log.rejections_end(None, 3))
    };
    let before = picture(&log);
    assert_eq!((before.0.1.len(), before.0.2.len()), (40, 25));
    log.close().unwrap();
    drop(log);
    let log = FjallLog::open(&small).unwrap().0;
    assert_eq!(picture(&log), before);
    // No number was left out, as it was closed.
    assert_eq!(refuse(&log, "c", 101, "low").number, 101);
    log.close().unwrap();
    drop(log);
    // With smaller bounds the oldest go.
    small.limits.rejections_max = 10;
    let log = FjallLog::open(&small).unwrap().0;
    assert_eq!(numbers(&log, None, 0), (92..=101).collect::<Vec<_>>());
    assert_eq!(counts(&log, None).iter().map(|(_, count)| count).sum::<u64>(), 10);
    // What is no longer kept leaves the disk with the next commit.
    let next = refuse(&log, "c", 102, "low");
    assert_eq!((next.number, next.previous_of_scope), (102, 101));
    log.close().unwrap();
    drop(log);
    small.limits.rejections_max = 1_000;
    let log = FjallLog::open(&small).unwrap().0;
    assert_eq!(numbers(&log, None, 0), (93..=102).collect::<Vec<_>>());
}

#[test]
fn a_killed_store_has_its_entries_and_gives_no_number_twice() {
    let (dir, path) = data();
    let (log, _) = open(&path);
    let mut a = Writer::new(&log, "a");
    refuse(&log, "a", 1, "low");
    log.commit(&mut [a.unit(2, &[b"event"])]).unwrap();
    // The power fails here: this is what the disk has, whatever was seen after it.
    let cut = dir.path().join("cut");
    copy(&path, &cut);
    for n in 3..=6 {
        refuse(&log, "a", n, "low");
    }
    assert_eq!(numbers(&log, None, 0), [1, 2, 3, 4, 5]);
    // A kill of the process loses nothing.
    let killed = dir.path().join("killed");
    copy(&path, &killed);
    let (log, _) = open(&killed);
    assert_eq!(numbers(&log, None, 0), [1, 2, 3, 4, 5]);
    let next = refuse(&log, "a", 7, "low");
    assert!(next.number > 5, "{next:?}");
    assert_eq!((next.previous, next.previous_of_scope), (5, 5), "nothing is missing");
    let (log, _) = open(&cut);
    assert_eq!(numbers(&log, None, 0), [1]);
    assert_eq!(payloads(&log, "a"), [b"event"]);
    assert!(log.rejections_end(None, 0).end >= 5, "who saw entry 5 is not ahead");
    let next = refuse(&log, "a", 7, "low");
    assert!(next.number > 5, "{next:?}");
    assert_eq!((next.previous, next.previous_of_scope), (1, 1));
    // And so it goes on, also when a power cut comes right after the start.
    let again = dir.path().join("again");
    copy(&cut, &again);
    let (log, _) = open(&again);
    assert!(refuse(&log, "a", 8, "low").number > next.number);
}

#[test]
fn a_lost_entry_is_told_and_not_left_out() {
    let (dir, path) = data();
    let (log, _) = open(&path);
    for n in 1..=4 {
        refuse(&log, "a", n, "low");
    }
    log.close().unwrap();
    drop(log);
    let tree = fjall::Database::builder(path.join("tree")).open().unwrap();
    let rejections = tree.keyspace("rejections", fjall::KeyspaceCreateOptions::default).unwrap();
    let mut keys = rejections.iter().map(|guard| guard.key().unwrap().to_vec());
    let second = keys.nth(1).unwrap();
    drop(keys);
    rejections.insert(second, b"\x01nonsense").unwrap();
    drop((rejections, tree));
    let (log, _) = open(&path);
    let mut seen = 0;
    let read = log.rejections(None, 0, &mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert!(read.unwrap_err().to_string().contains("journal of rejections"));
    assert_eq!(seen, 1);
    drop(dir);
}
