//! What every log promises, held against each implementation.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{Decision, EventLog, MemoryLog, ReadError, Snapshot};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{Digest, FaultKind, Limits, Outcome, Position, Seq};
use log_support::{Log, NOW, Writer, append_id, data, name, open, order, payloads};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Closes the log and opens what is durable.
fn reopen(log: Log) -> Log {
    log.close().unwrap();
    match log {
        Log::Fjall(log, path) => {
            drop(log);
            let (log, report) = open(&path);
            assert!(report.clean && report.damaged.is_empty(), "{report:?}");
            Log::Fjall(Box::new(log), path)
        }
        Log::Memory(log) => Log::Memory(Box::new(log.crash(1))),
    }
}

/// Runs a test against each log.
fn for_each_log(test: impl Fn(&str, Log)) {
    let (_dir, path) = data();
    test("fjall", Log::Fjall(Box::new(open(&path).0), path));
    test("memory", Log::Memory(Box::new(MemoryLog::new(StoreId([3; 16]), Limits::default()))));
}

#[test]
fn events_come_back_as_they_were_written() {
    for_each_log(|which, log| {
        let mut a = Writer::new(&*log, "auction/1");
        let mut b = Writer::new(&*log, "auction/2");
        let big = vec![9; 20_000];
        log.commit(&mut [a.unit(1, &[b"a1", b"a2"]), b.unit(2, &[b"b1"]), a.unit(3, &[&big])])
            .unwrap();
        log.commit(&mut [b.unit(4, &[b"b2"]), b.unit(5, &[b"b3", b""])]).unwrap();
        let log = reopen(log);
        assert_eq!(payloads(&*log, "auction/1"), [&b"a1"[..], b"a2", &big], "{which}");
        assert_eq!(payloads(&*log, "auction/2"), [&b"b1"[..], b"b2", b"b3", b""], "{which}");
        assert_eq!((log.scope_count(), log.commits(), log.position()), (2, 2, Position(7)));
        let row = log.scope(&name("auction/1")).unwrap().unwrap();
        assert_eq!((row.head, row.hash, row.id), (a.head, a.hash, a.row.id), "{which}");
        assert_eq!(log.scope(&name("auction/3")).unwrap(), None, "{which}");
    });
}

#[test]
fn the_order_over_all_scopes_is_the_order_of_the_units() {
    for_each_log(|which, log| {
        let mut expected = Vec::new();
        let mut writers: Vec<Writer> =
            (0..5).map(|n| Writer::new(&*log, &format!("s/{n}"))).collect();
        let mut seed = 11;
        let mut id = 0;
        for _ in 0..40 {
            let mut units = Vec::new();
            for _ in 0..=log_support::next(&mut seed) % 4 {
                let w = &mut writers[(log_support::next(&mut seed) % 5) as usize];
                let count = 1 + (log_support::next(&mut seed) % 9) as usize;
                id += 1;
                for seq in 1..=count as u64 {
                    let position = expected.len() as u64 + 1;
                    expected.push((w.row.name.to_string(), w.head.0 + seq, position));
                }
                units.push(w.unit(id, &vec![&b"x"[..]; count]));
            }
            log.commit(&mut units).unwrap();
        }
        let log = reopen(log);
        for after in (0..=expected.len()).step_by(7).chain([expected.len(), expected.len() + 9]) {
            let rest = &expected[after.min(expected.len())..];
            assert_eq!(order(&*log, after as u64), rest, "{which} after {after}");
        }
        let mut seen = 0;
        log.read_order(Position(3), &mut |_, _| {
            seen += 1;
            if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(seen, 10, "{which} stops when told");
    });
}

#[test]
fn heads_are_exact_for_every_length() {
    for_each_log(|which, log| {
        let mut writers = Vec::new();
        for length in 0..40_u64 {
            let mut w = Writer::new(&*log, &format!("len/{length:02}"));
            for n in 0..length {
                log.commit(&mut [w.unit(length * 100 + n, &[b"e"])]).unwrap();
            }
            writers.push(w);
        }
        let log = reopen(log);
        for w in &writers[1..] {
            let row = log.scope(&w.row.name).unwrap().unwrap();
            assert_eq!((row.head, row.hash), (w.head, w.hash), "{which} {}", w.row.name);
        }
        let rows = log.scopes("len/", "", 100).unwrap();
        let heads: Vec<u64> = rows.iter().map(|row| row.head.0).collect();
        assert_eq!(heads, (1..40).collect::<Vec<_>>(), "{which}");
        let page = log.scopes("len/1", "len/12", 3).unwrap();
        let page: Vec<String> = page.iter().map(|row| row.name.to_string()).collect();
        assert_eq!(page, ["len/13", "len/14", "len/15"], "{which}");
        assert!(log.scopes("z", "", 9).unwrap().is_empty(), "{which}");
        let next = log.new_scope_id();
        assert!(rows.iter().all(|row| row.id < next), "{which} gives no number twice");
    });
}

#[test]
fn a_walk_goes_on_where_it_stopped() {
    for_each_log(|which, log| {
        let mut w = Writer::new(&*log, "w");
        let all: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n; 3]).collect();
        let slices: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        log.commit(&mut [w.unit(1, &slices)]).unwrap();
        let row = log.scope(&w.row.name).unwrap().unwrap();
        let mut walk = Walk::from_start(&row.name);
        let mut found = Vec::new();
        for through in [Seq(10), Seq(10), Seq(63), Seq::MAX, Seq::MAX] {
            log.read(&row, &mut walk, through, &mut |view| {
                found.push(view.decode().unwrap().payload.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(walk.head(), through.min(Seq(100)), "{which}");
        }
        assert_eq!(found, all, "{which}");
        let mut middle = Walk::after(&row.name, Seq(98));
        let mut count = 0;
        log.read(&row, &mut middle, Seq::MAX, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((count, middle.hash()), (2, Some(w.hash)), "{which}");
        let mut wrong = Walk::from(Seq(50), Digest([1; 32]));
        let error = log.read(&row, &mut wrong, Seq::MAX, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(error, Err(ReadError::Damaged { seq: Seq(51), .. })), "{which} {error:?}");
    });
}

#[test]
fn decisions_are_remembered_and_forgotten() {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    for_each_log(|which, log| {
        let mut w = Writer::new(&*log, "d");
        let fault = Decision::Nothing(Box::new(Outcome::Faulted(atomic_store_core::Fault {
            kind: FaultKind::Trap,
            detail: "division by zero".to_owned(),
        })));
        let other = Writer::new(&*log, "never-written");
        log.commit(&mut [w.unit(1, &[b"1", b"2"]), other.empty(1, fault.clone())]).unwrap();
        let first = Decision::Committed { first: Seq(1), last: Seq(2), reason: None, meta: None };
        let log = reopen(log);
        let ask = |log: &dyn EventLog, scope: &str, now| {
            log.decision(&name(scope), append_id(1), now).unwrap()
        };
        for now in [NOW - DAY, NOW, NOW + 1, NOW + DAY] {
            assert_eq!(ask(&*log, "d", now), Some(first.clone()), "{which} {now}");
            assert_eq!(ask(&*log, "never-written", now), Some(fault.clone()), "{which} {now}");
        }
        assert_eq!(ask(&*log, "d", NOW + DAY + DAY / 4), None, "{which}");
        assert_eq!(log.decision(&name("d"), append_id(2), NOW).unwrap(), None, "{which}");
        // The clock goes on by two days; commits remove what has expired, and nothing else.
        for n in 10..13 {
            let mut unit = w.unit(n, &[b"later"]);
            unit.host_ms = NOW + 2 * DAY;
            log.commit(&mut [unit]).unwrap();
        }
        assert_eq!(ask(&*log, "d", NOW), None, "{which}: removed");
        let kept = log.decision(&name("d"), append_id(10), NOW + 2 * DAY).unwrap();
        assert!(kept.is_some(), "{which}");
        let log = reopen(log);
        assert_eq!(ask(&*log, "d", NOW), None, "{which}: removed for good");
    });
}

#[test]
fn the_last_two_snapshots_of_a_rule_are_kept() {
    for_each_log(|which, log| {
        let mut w = Writer::new(&*log, "snap");
        let (one, two) = (Digest([1; 32]), Digest([2; 32]));
        for n in 1..=6_u64 {
            let mut unit = w.unit(n, &[b"e"]);
            let rule = if n == 2 { two } else { one };
            let state = vec![n as u8; if n == 5 { 100_000 } else { 10 }];
            let (seq, hash) = (w.head, w.hash);
            unit.snapshot = Some(Box::new(Snapshot { rule, seq, hash, host_ms: NOW, state }));
            log.commit(&mut [unit]).unwrap();
        }
        let log = reopen(log);
        let find = |rule: Digest, through: u64| {
            let found = log.snapshot(w.row.id, &rule, Seq(through)).unwrap();
            found.map(|snapshot| (snapshot.seq.0, snapshot.state[0]))
        };
        for (rule, through, expected) in [
            (one, u64::MAX, Some((6, 6))),
            (one, 6, Some((6, 6))),
            (one, 5, Some((5, 5))),
            (one, 4, None),
            (two, 9, Some((2, 2))),
            (Digest([3; 32]), 9, None),
        ] {
            assert_eq!(find(rule, through), expected, "{which} through {through}");
        }
    });
}

#[test]
fn modules_are_kept_by_digest() {
    for_each_log(|which, log| {
        let mut w = Writer::new(&*log, "$system");
        let bytes: Arc<[u8]> = vec![5; 300_000].into();
        let digest = Digest::of(&bytes);
        let mut unit = w.unit(1, &[b"loaded"]);
        unit.module = Some(Box::new((digest, Arc::clone(&bytes))));
        log.commit(&mut [unit]).unwrap();
        let log = reopen(log);
        assert_eq!(log.module(&digest).unwrap().as_deref(), Some(&bytes[..]), "{which}");
        assert_eq!(log.module(&Digest([1; 32])).unwrap(), None, "{which}");
    });
}

#[test]
fn a_unit_with_a_wrong_number_stops_the_log() {
    for_each_log(|which, log| {
        let mut w = Writer::new(&*log, "x");
        log.commit(&mut [w.unit(1, &[b"1"])]).unwrap();
        let mut unit = w.clone().unit(2, &[b"2"]);
        unit.at = Seq(5);
        assert!(log.commit(&mut [unit]).is_err(), "{which}");
        assert!(log.commit(&mut [w.clone().unit(3, &[b"2"])]).is_err(), "{which}: stays stopped");
        assert_eq!(payloads(&*log, "x").len(), 1, "{which}: reads go on");
        assert!(log.close().is_err(), "{which}");
    });
}

#[test]
fn nothing_is_committed_after_close() {
    for_each_log(|which, log| {
        let mut w = Writer::new(&*log, "x");
        log.commit(&mut [w.unit(1, &[b"1"])]).unwrap();
        log.close().unwrap();
        log.close().unwrap();
        assert!(log.commit(&mut [w.unit(2, &[b"2"])]).is_err(), "{which}");
        assert_eq!(payloads(&*log, "x").len(), 1, "{which}: reads go on");
    });
}
