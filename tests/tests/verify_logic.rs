//! Whether each event follows from its rule: every append judged again, through the engine on a log in
//! memory and on disk.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{ACCEPT_ALL, Drive, Engine};
use atomic_store::log::{EventLog, MemoryLog, Unit};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::record::{Body, Record};
use atomic_store_core::{
    AppendId, Binding, ContentType, Digest, Limits, LogicReport, Outcome, ProofProgress, Proposal,
    ScopePattern, Seq, UnshownWhat,
};
use atomic_store_tests::{
    Caller, Disk, ENTITY, EntityLoader, JumpingClock, Memory, OTHER_ENTITY, Op, SCRIPTED,
    append_to, scope, wat_rules,
};
use std::ops::ControlFlow;
use std::sync::Arc;

fn logic(caller: &Caller) -> LogicReport {
    caller.engine.verify_logic(None, "", &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Puts an event into the log that no rule was asked about.
fn forge(memory: &Memory, name: &str, op: Op, by: (Digest, Seq), proposed: Option<Vec<Proposal>>) {
    let row = memory.log.scope(&scope(name)).unwrap().unwrap();
    let payload = op.payload();
    let body = Body {
        seq: row.head.next(),
        kind: "op",
        content_type: ContentType::Json,
        payload: &payload,
        keys: &[][..],
        triggers: &[][..],
        metadata: &[][..],
        caller_ms: None,
        host_ms: 1_000_000,
        append_id: AppendId([u8::try_from(row.head.0 % 251).unwrap(); 16]),
        validator: by.0,
        binding: by.1,
    };
    let records = vec![Record::encode(&row.hash, &body).unwrap()];
    let (at, bytes, host_ms) = (row.head, row.bytes, 1_000_000);
    let unit = Unit { at, bytes, records, proposed, host_ms, ..Unit::bare(Arc::new(row)) };
    memory.log.commit(&mut [unit]).unwrap();
}

fn scripted() -> (Memory, Caller, Binding) {
    let memory = Memory::new(Limits::default());
    let caller = memory.by_hand();
    let binding = caller.rule("s/*", SCRIPTED);
    (memory, caller, binding)
}

#[test]
fn what_was_accepted_is_shown_batches_and_what_was_stored_in_place_of_proposals_too() {
    let (memory, caller, _) = scripted();
    caller.store("s/1", &["add 1", "add 5", "add 7"]);
    caller.store("s/1", &["ones 3"]);
    caller.store("s/1", &["ones 2", "noop", "add 9"]);
    assert!(matches!(caller.append("s/1", &["noop"]), Outcome::Noop { .. }));
    assert!(matches!(caller.append("s/1", &["refuse"]), Outcome::Rejected(_)));
    caller.store("s/2", &["add 4"]);
    let expected = LogicReport {
        scopes: 3,
        appends: 4,
        events: 12,
        shown: 10,
        system: 2,
        ..LogicReport::default()
    };
    assert_eq!(logic(&caller), expected);
    drop(caller);
    let again = memory.by_hand();
    assert_eq!(logic(&again), expected, "after a restart");
    let one =
        again.engine.verify_logic(Some(&scope("s/2")), "", &mut |_| ControlFlow::Continue(()));
    assert_eq!(
        one.unwrap(),
        LogicReport { scopes: 1, appends: 1, events: 1, shown: 1, ..LogicReport::default() }
    );
    let none =
        again.engine.verify_logic(Some(&scope("s/no")), "", &mut |_| ControlFlow::Continue(()));
    assert_eq!(none.unwrap(), LogicReport::default());
}

#[test]
fn what_the_rule_never_let_in_is_named_with_the_reason() {
    let ones = || Some(vec![Op::Ones(2).proposal()]);
    let as_it_is = || Some(vec![Op::Add(9).proposal()]);
    for (op, proposed, what, why) in [
        (Op::Add(1), None, UnshownWhat::Rejected, "too-low: as scripted"),
        (Op::Add(1), ones(), UnshownWhat::OtherForm, "it stores 2 events, not 1"),
        (Op::Add(8), as_it_is(), UnshownWhat::OtherForm, "it stores event 2 with another payload"),
        (Op::Trap, None, UnshownWhat::Fault, "trap: as scripted"),
        (Op::TrapInApply, None, UnshownWhat::Fault, "trap: as scripted"),
    ] {
        let (memory, caller, binding) = scripted();
        caller.store("s/1", &["add 5"]);
        caller.store("s/2", &["add 5"]);
        forge(&memory, "s/1", op, (binding.validator, binding.seq), proposed);
        forge(&memory, "s/1", Op::Add(9), (binding.validator, binding.seq), None);
        let report = logic(&memory.by_hand());
        let [unshown] = report.unshown.as_slice() else { panic!("{op:?}: {report:?}") };
        assert_eq!((unshown.scope.as_str(), unshown.seq), ("s/1", Seq(2)), "{op:?}");
        assert_eq!((unshown.what, unshown.why.as_str()), (what, why), "{op:?}");
        assert_eq!(unshown.validator, binding.validator);
        // What is behind it in its scope counts as not shown; other scopes are not touched.
        assert!((1..=2).contains(&report.not_shown), "{op:?}: {report:?}");
        assert_eq!((report.failed, report.shown), (1, 2), "{op:?}");
    }
}

#[test]
fn an_event_must_name_a_binding_of_its_validator_for_its_scope() {
    let (memory, caller, binding) = scripted();
    let other = caller.bind("t/*", &binding.validator.to_string());
    for (n, by) in [
        (1, (binding.validator, Seq(99))),
        (2, (Digest::of(b"never loaded"), binding.seq)),
        (3, (binding.validator, other.seq)),
    ] {
        let name = format!("s/{n}");
        caller.store(&name, &["add 5"]);
        forge(&memory, &name, Op::Add(9), by, None);
    }
    let report = logic(&memory.by_hand());
    let found: Vec<_> = report.unshown.iter().map(|one| (one.scope.as_str(), one.what)).collect();
    let what = UnshownWhat::NoBinding;
    assert_eq!(found, [("s/1", what), ("s/2", what), ("s/3", what)]);
    assert_eq!((report.shown, report.failed), (3, 3));
}

#[test]
fn each_event_is_judged_under_its_own_rule_though_rules_take_turns() {
    let limits = Limits::default();
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let clock = Arc::<JumpingClock>::default();
    let drive = Drive::Threads(2);
    let engine = Engine::open(log, Arc::new(EntityLoader), clock, limits, drive).unwrap();
    let caller = Caller::new(engine);
    for round in 0..12 {
        caller.rule("e/*", if round % 3 == 0 { ENTITY } else { OTHER_ENTITY });
        caller.store("e/1", &[&format!(r#"{{"op":"set","key":"k","value":{round}}}"#)]);
        caller.store("e/1", &[r#"{"op":"update","key":"k","value":"again"}"#]);
        caller.store("e/1", &[r#"{"op":"delete","key":"k"}"#]);
    }
    let report = logic(&caller);
    assert_eq!((report.shown, report.appends, report.failed), (36, 36, 0));
}

#[test]
fn what_cannot_be_asked_again_is_counted_as_what_it_is() {
    let (_, caller, _) = scripted();
    caller.bind("free/*", ACCEPT_ALL);
    caller.store("free/1", &["anything", "at all"]);
    caller.store("s/1", &["add 2"]);
    caller.store("s/1", &["add 3"]);
    let records: Vec<_> = {
        let mut records = Vec::new();
        let read = caller.engine.read(&scope("s/1"), Seq::ZERO, Seq::MAX, &mut |view| {
            records.push(view.as_bytes().to_vec());
            ControlFlow::Continue(())
        });
        read.unwrap();
        records
    };
    caller.engine.delete_scope(&scope("s/1"), None).unwrap();
    // The numbering goes on, and the rules begin anew: 1 would be too low behind 5.
    caller.store("s/1", &["add 1"]);
    let report = logic(&caller);
    assert_eq!((report.built_in, report.shown, report.failed), (2, 1, 0));

    let (_, other, _) = scripted();
    let mut restore = other.engine.restore_scope(&scope("s/1")).unwrap();
    restore.add(records.iter().map(Vec::as_slice)).unwrap();
    restore.finish(None).unwrap();
    other.store("s/1", &["add 6"]);
    let report = logic(&other);
    assert_eq!((report.elsewhere, report.shown, report.failed), (2, 1, 0));
}

#[test]
fn a_run_that_was_ended_goes_on_after_the_scopes_that_are_done() {
    let (mut memory, caller, binding) = scripted();
    memory.probe.open();
    for n in 0..40 {
        let mut append = append_to(&format!("s/{n:02}"), &["add 5", "add 6"]);
        if n == 20 {
            append.proposals[0].kind = "gate".to_owned();
        }
        assert!(matches!(caller.ask(append).outcome, Outcome::Committed(_)));
    }
    forge(&memory, "s/33", Op::Add(0), (binding.validator, binding.seq), None);
    let whole = logic(&memory.by_hand());
    assert_eq!((whole.shown, whole.failed, whole.scopes), (80, 1, 41));
    // The first run would come to a closed gate in the middle, so it cannot be done before it is ended.
    memory.probe = Arc::default();
    let caller = memory.by_hand();
    let (mut sum, mut after, mut parts) = (LogicReport::default(), String::new(), 0);
    loop {
        let (mut last, mut ended) = (ProofProgress::default(), false);
        let part = caller.engine.verify_logic(None, &after, &mut |told| {
            last = told.clone();
            if ended {
                memory.probe.open();
            }
            ended |= told.scopes >= 7;
            if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let part = part.unwrap();
        memory.probe.open();
        assert_eq!(part.scopes, last.scopes, "what is counted is what is done");
        if part.scopes == 0 {
            break;
        }
        parts += 1;
        after.clone_from(&last.through);
        sum.add(part);
    }
    assert_eq!(sum, whole);
    assert!(parts > 1, "{parts}");
}

#[test]
fn a_run_that_was_ended_within_a_scope_goes_on_there_with_a_state_of_its_own_making() {
    let (memory, writer, binding) = scripted();
    for _ in 0..300 {
        writer.store("s/1", &["add 9"]);
    }
    // A snapshot that is wrong must not be taken for the state.
    writer.engine.take_snapshot(&scope("s/1")).unwrap();
    assert!(memory.log.spoil_snapshot(&scope("s/1")));
    let caller = memory.by_hand();
    let s1 = scope("s/1");
    let whole = caller.engine.verify_logic(Some(&s1), "", &mut |_| ControlFlow::Continue(()));
    assert_eq!(whole.unwrap().shown, 300);
    let mut last = ProofProgress::default();
    let ended = caller.engine.verify_logic(Some(&s1), "", &mut |told| {
        last = told.clone();
        ControlFlow::Break(())
    });
    // Ended before or after its end, by how fast this machine is.
    assert!(last.at <= Seq(300) && last.found == 0, "{last:?} {ended:?}");
    for at in [0, 1, 149, 299, 300, 500] {
        let rest =
            caller.engine.verify_logic_after(&s1, Seq(at), &mut |_| ControlFlow::Continue(()));
        let rest = rest.unwrap();
        let before = at.min(300);
        assert_eq!((rest.folded, rest.shown, rest.failed), (before, 300 - before, 0), "{at}");
    }
    // What is wrong behind that place is found by the sum of all before it, and told on the way.
    writer.store("s/1", &["add 3"]);
    forge(&memory, "s/1", Op::Add(2), (binding.validator, binding.seq), None);
    let (caller, mut found) = (memory.by_hand(), 0);
    let rest = caller.engine.verify_logic_after(&s1, Seq(200), &mut |told| {
        found = told.found;
        ControlFlow::Continue(())
    });
    let rest = rest.unwrap();
    assert_eq!((rest.folded, rest.shown, rest.failed), (200, 101, 1));
    assert_eq!((rest.unshown[0].seq, rest.unshown[0].what), (Seq(302), UnshownWhat::Rejected));
    assert_eq!(found, 1);
}

#[test]
fn an_append_is_judged_as_a_whole_wherever_the_run_before_ended() {
    let (memory, caller, _) = scripted();
    caller.store("s/1", &["add 5"]);
    caller.store("s/1", &["add 5", "add 6", "add 7"]);
    let caller = memory.by_hand();
    let rest = |at| {
        let on = &mut |_: &ProofProgress| ControlFlow::Continue(());
        caller.engine.verify_logic_after(&scope("s/1"), Seq(at), on).unwrap()
    };
    assert_eq!((rest(2).folded, rest(2).shown), (1, 3));
    assert_eq!((rest(4).folded, rest(4).shown), (4, 0));
}

#[test]
fn on_disk_with_a_component_and_its_configuration() {
    let disk = Disk::new(Limits::default());
    let caller = disk.caller();
    let (info, _) = caller.engine.load(&wat_rules("1.0.0")).unwrap();
    let bind = |config: &[u8]| {
        let pattern = ScopePattern::new("w/*").unwrap();
        let which = info.digest.to_string().parse().unwrap();
        caller.engine.bind(pattern, &which, Some(config.to_vec())).unwrap();
    };
    bind(b"{}");
    for n in 0..30 {
        caller.append(&format!("w/{}", n % 3), &["a"]);
    }
    bind(b"[]");
    caller.append("w/1", &["a"]);
    let report = logic(&caller);
    assert_eq!(report.failed, 0, "{report:?}");
    assert_eq!(report.shown + report.system, report.events);
    assert!(report.shown >= 30, "{report:?}");
}
