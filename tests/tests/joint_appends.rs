//! Joint appends by case: what all scopes accept is stored in one commit, what one refuses nowhere; and
//! what may go wrong in the middle.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Drive, Engine, ORIGINATOR, ReplyTo};
use atomic_store::log::MemoryLog;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{
    Append, AppendId, Condition, ExpectedHead, JointAnswer, JointAppend, JointOutcome, Key, Limits,
    Outcome, Overload, Part, PartOutcome, Position, Proposal, Seq,
};
use atomic_store_tests::{
    Caller, Got, Hands, JumpingClock, SCRIPTED, ScriptedLoader, append_to, scope,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Store {
    log: Arc<MemoryLog>,
    hands: Arc<Hands>,
    limits: Limits,
    caller: Caller,
    calls: AtomicU64,
}

impl Store {
    fn new(limits: Limits) -> Store {
        let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
        let store = Store::on(log, limits);
        store.caller.rule("*", SCRIPTED);
        store
    }

    fn on(log: Arc<MemoryLog>, limits: Limits) -> Store {
        let hands = Arc::<Hands>::default();
        let clock = Arc::<JumpingClock>::default();
        clock.set(1_000);
        let drive = Drive::Manual(Arc::clone(&hands) as _);
        let loader = Arc::new(ScriptedLoader);
        let engine = Engine::open(Arc::clone(&log) as _, loader, clock, limits.clone(), drive);
        let caller = Caller::by_hand(engine.unwrap(), &hands);
        Store { log, hands, limits, caller, calls: AtomicU64::new(1 << 32) }
    }

    fn send(&self, joint: JointAppend) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let to: Arc<dyn ReplyTo> = Arc::clone(&self.caller.inbox) as _;
        self.caller.engine.append_joint(joint, &to, call);
        call
    }

    fn answered(&self, call: u64) -> Option<JointAnswer> {
        match self.caller.inbox.take(call)? {
            Got::Joint(answer) => Some(answer),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&self, joint: JointAppend) -> JointAnswer {
        let call = self.send(joint);
        self.hands.settle(&self.caller.engine);
        self.answered(call).expect("it was answered")
    }

    fn refused(&self, joint: JointAppend) -> PartOutcome {
        match self.ask(joint).outcome {
            JointOutcome::Refused(part) => part,
            other => panic!("{other:?}"),
        }
    }

    fn heads(&self, scopes: &[&str]) -> Vec<u64> {
        scopes.iter().map(|name| self.caller.events(name).len() as u64).collect()
    }
}

fn part(name: &str, ops: &[&str]) -> Part {
    Part::new(scope(name), ops.iter().map(|op| Proposal::json("op", *op)).collect())
}

fn joint(id: u8, parts: Vec<Part>) -> JointAppend {
    JointAppend { id: AppendId([id; 16]), repeated: false, dry_run: false, parts }
}

fn parts_of(answer: &JointAnswer) -> Vec<(&str, Seq, Position)> {
    let JointOutcome::Committed(parts) = &answer.outcome else { panic!("{answer:?}") };
    let place = |part: &PartOutcome| match &part.outcome {
        Outcome::Committed(committed) => (committed.last.seq, committed.last.position),
        Outcome::Noop { .. } => (Seq::ZERO, Position(0)),
        other => panic!("{other:?}"),
    };
    let parts = parts.iter();
    parts.map(|part| (part.scope.as_str(), place(part).0, place(part).1)).collect()
}

#[test]
fn what_all_accept_is_stored_in_one_commit_with_an_outcome_for_each() {
    let store = Store::new(Limits::default());
    let commits = store.caller.engine.status().commits;
    let parts = vec![part("c", &["add 9", "add 9"]), part("a", &["add 1"]), part("b", &["noop"])];
    let answer = store.ask(joint(1, parts));
    // In the order of the client; positions follow the names.
    let before = parts_of(&answer)[1].2.0;
    let expected = vec![
        ("c", Seq(2), Position(before + 2)),
        ("a", Seq(1), Position(before)),
        ("b", Seq::ZERO, Position(0)),
    ];
    assert_eq!(parts_of(&answer), expected);
    assert_eq!(store.caller.engine.status().commits, commits + 1);
    assert_eq!(store.heads(&["a", "b", "c"]), [1, 0, 2]);
    assert!(!answer.duplicate);
}

#[test]
fn what_one_refuses_is_stored_nowhere_and_changes_no_state() {
    let store = Store::new(Limits::default());
    store.caller.append("a", &["add 3"]);
    for (id, (op, word)) in (1..).zip([
        ("refuse", "rejected"),
        ("trap", "faulted"),
        ("trap-in-apply", "faulted"),
        ("slow", "timed-out"),
        ("lie", "faulted"),
    ]) {
        for (first, last) in [("a", "b"), ("b", "a")] {
            let parts = vec![part(first, &["add 7"]), part(last, &[op])];
            let id = if first == "a" { id } else { id + 100 };
            let refused = store.refused(joint(id, parts));
            assert_eq!((refused.scope.as_str(), refused.outcome.word()), (last, word), "{op}");
        }
    }
    assert_eq!(store.heads(&["a", "b"]), [1, 0]);
    // Had a state changed, the scripted validator would find other events than it folded.
    assert_eq!(store.caller.append("a", &["add 9"]).word(), "committed");
    assert_eq!(store.caller.append("b", &["add 1"]).word(), "committed");
}

#[test]
fn each_part_has_its_own_conditions() {
    let store = Store::new(Limits::default());
    let lot = vec![Key::new("lot", "1")];
    let mut proposal = Proposal::json("op", "add 1");
    proposal.keys.clone_from(&lot);
    store.caller.ask(Append { proposals: vec![proposal.clone()], ..append_to("b", &[]) });
    let head = ExpectedHead::Exactly(Seq(1));
    let wrong = Part { expected_head: head, ..part("a", &["add 1"]) };
    let refused = store.refused(joint(1, vec![part("b", &["add 9"]), wrong.clone()]));
    let expected = Outcome::HeadMismatch { expected: head, actual: Seq::ZERO };
    assert_eq!((refused.scope, refused.outcome), (scope("a"), expected));
    let stale =
        Part { condition: Some(Condition::default()), proposals: vec![proposal], ..part("b", &[]) };
    let with_conflict = joint(2, vec![part("a", &["add 1"]), stale]);
    let refused = store.refused(with_conflict.clone());
    let Outcome::Conflict { conflicts, .. } = &refused.outcome else { panic!("{refused:?}") };
    assert_eq!((conflicts[0].theirs.seq, &refused.scope), (Seq(1), &scope("b")));
    // Remembered like any other decision, and told the same from the log.
    let again = store.ask(JointAppend { repeated: true, ..with_conflict });
    assert_eq!((again.duplicate, again.outcome), (true, JointOutcome::Refused(refused)));
    assert_eq!(store.heads(&["a", "b"]), [0, 1]);
}

#[test]
fn a_dry_run_tells_what_would_be_and_stores_nothing() {
    let store = Store::new(Limits::default());
    let parts = vec![part("b", &["add 1"]), part("a", &["add 1"])];
    let dry = JointAppend { dry_run: true, ..joint(1, parts.clone()) };
    let answer = store.ask(dry.clone());
    assert_eq!(parts_of(&answer), [("b", Seq(1), Position(0)), ("a", Seq(1), Position(0))]);
    assert_eq!(store.heads(&["a", "b"]), [0, 0]);
    let parts = vec![part("b", &["add 1"]), part("a", &["refuse"])];
    let refused = store.refused(JointAppend { parts, ..dry });
    assert_eq!((refused.scope.as_str(), refused.outcome.word()), ("a", "rejected"));
    // The id was not remembered.
    let parts = vec![part("b", &["add 1"]), part("a", &["add 1"])];
    let answer = store.ask(JointAppend { repeated: true, ..joint(1, parts) });
    assert!(!answer.duplicate);
}

#[test]
fn a_repeated_id_gets_the_first_outcome_also_after_a_crash() {
    let mut store = Store::new(Limits::default());
    let first = joint(1, vec![part("b", &["add 1"]), part("a", &["add 2"]), part("c", &["noop"])]);
    let told = store.ask(first.clone());
    for _ in 0..2 {
        let again = store.ask(JointAppend { repeated: true, ..first.clone() });
        assert_eq!((again.duplicate, &again.outcome), (true, &told.outcome));
        // Parts in another order are the same parts.
        let mut parts = first.parts.clone();
        parts.rotate_left(1);
        let again = store.ask(JointAppend { repeated: true, parts, ..first.clone() });
        assert_eq!(parts_of(&again)[0].0, "a");
        // Other scopes are not; nor is an append to one of them.
        let parts = vec![part("a", &["add 2"]), part("d", &["add 1"])];
        let other = store.refused(JointAppend { repeated: true, ..joint(1, parts) });
        assert!(matches!(&other.outcome, Outcome::Invalid { field, .. } if field == "id"));
        let mut single = append_to("a", &["add 2"]);
        (single.id, single.repeated) = (first.id, true);
        let other = store.caller.ask(single).outcome;
        assert!(matches!(&other, Outcome::Invalid { field, .. } if field == "id"), "{other:?}");
        store = Store::on(Arc::new(store.log.crash(0)), store.limits);
    }
    let single = append_to("a", &["add 9"]);
    store.caller.ask(single.clone());
    let other =
        JointAppend { id: single.id, repeated: true, ..joint(1, vec![part("a", &["add 9"])]) };
    assert!(
        matches!(store.refused(other).outcome, Outcome::Invalid { field, .. } if field == "id")
    );
    assert_eq!(store.heads(&["a", "b", "c", "d"]), [2, 1, 0, 0]);
}

#[test]
fn bad_joint_appends_are_told_what_is_wrong_and_store_nothing() {
    let store = Store::new(Limits { append_events_max: 5, ..Limits::default() });
    let which = ORIGINATOR.parse().unwrap();
    store.caller.engine.bind("asked".parse().unwrap(), &which, None).unwrap();
    let a = || part("a", &["add 1"]);
    let bad = [
        (Vec::new(), "parts"),
        (vec![a(), part("b", &["add 1"]), a()], "parts"),
        (vec![a(), part("$system", &["add 1"])], "scope"),
        (vec![a(), part("b", &[])], "proposals"),
        (vec![a(), part("b", &["add 1"; 5])], "proposals"),
        (vec![a(), part("asked", &["add 1"])], "scope"),
    ];
    for (id, (parts, expected)) in (1..).zip(bad) {
        let refused = store.refused(joint(id, parts));
        let Outcome::Invalid { field, .. } = &refused.outcome else { panic!("{refused:?}") };
        assert_eq!(field, expected, "{refused:?}");
    }
    assert_eq!(store.caller.engine.status().in_flight, 0);
    assert_eq!(store.heads(&["a", "b", "asked"]), [0, 0, 0]);
}

#[test]
fn joint_appends_have_their_number_of_parts() {
    let store = Store::new(Limits { parts_max: 3, ..Limits::default() });
    let parts = |n: u8| (0..n).map(|n| part(&format!("s{n}"), &["add 1"])).collect();
    assert_eq!(parts_of(&store.ask(joint(1, parts(3)))).len(), 3);
    let refused = store.refused(joint(2, parts(4)));
    assert!(matches!(refused.outcome, Outcome::Invalid { field, .. } if field == "parts"));
}

#[test]
fn a_group_never_splits_a_joint_append() {
    // The caps on groups are far below the joint append.
    let limits = Limits { group_events_max: 2, group_bytes_max: 300, ..Limits::default() };
    let store = Store::new(limits);
    for (id, n) in [(1, 2), (2, 7)] {
        let commits = store.caller.engine.status().commits;
        store.caller.send(append_to("a", &["add 99"]));
        store.send(joint(id, (0..n).map(|n| part(&format!("s{n}"), &["add 99"; 2])).collect()));
        // All decided, then committed: what came before, and the joint append as a whole.
        store.hands.settle(&store.caller.engine);
        assert_eq!(store.caller.engine.status().commits, commits + 2);
    }
}

#[test]
fn a_scope_in_the_middle_that_cannot_take_it_frees_all_others() {
    let store = Store::new(Limits { mailbox_len_max: 2, ..Limits::default() });
    let full = [
        store.caller.send(append_to("b", &["add 1"])),
        store.caller.send(append_to("b", &["add 2"])),
    ];
    let call = store.send(joint(1, vec![part("a", &["add 1"]), part("b", &["add 3"])]));
    // The loop of a comes to it while the mailbox of b is full.
    store.hands.run_only(&scope("a"));
    let answer = store.answered(call).expect("refused at once");
    let JointOutcome::Refused(refused) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(refused.outcome, Outcome::Overloaded(Overload::Mailbox));
    assert_eq!(refused.scope, scope("b"));
    for call in full {
        assert_eq!(store.caller.wait(call).outcome.word(), "committed");
    }
    assert_eq!(store.caller.append("a", &["add 1"]).word(), "committed");
    // A damaged scope, and one that is sealed.
    store.log.damage(&scope("b"), Seq(2));
    store.caller.engine.seal_scope(&scope("c"), "closed").unwrap();
    for (id, bad) in [(2, "b"), (3, "c")] {
        let refused = store.refused(joint(id, vec![part("a", &["add 9"]), part(bad, &["add 9"])]));
        assert!(matches!(refused.outcome, Outcome::ReadOnly { .. }), "{bad}: {refused:?}");
        assert_eq!(refused.scope, scope(bad));
    }
    assert_eq!(store.heads(&["a"]), [1]);
}
