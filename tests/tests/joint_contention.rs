//! Tries to prove that joint appends deadlock, starve each other, or store a part: many callers, random
//! overlapping sets of scopes named in random orders, single appends between them, and validators that
//! refuse, trap and hang. All are answered, and the logs hold what the answers say.
//! `SEED=n` repeats the choices.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::ReplyTo;
use atomic_store_core::{
    Append, AppendId, JointAppend, JointOutcome, Limits, Outcome, Part, Position, Proposal, Seq,
};
use atomic_store_tests::{Disk, Got, Rng, append_to, scope, wat_rules};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SCOPES: usize = 6;
const CALLERS: u64 = 8;
const ROUNDS: u64 = 60;
const IN_FLIGHT: usize = 6;

/// Where the events of each accepted append must stand: by id, scope, and last seq.
type Told = BTreeMap<AppendId, BTreeMap<String, (Seq, Position)>>;

#[test]
fn joint_appends_in_all_orders_are_all_answered_and_stored_whole() {
    let seed = Rng::seeds(1, 1)[0];
    // Fuel ends a loop, after some milliseconds and at the same place each time: with so many threads a
    // clock that short would also end calls that are only not given the processor.
    let limits = Limits { call_fuel_max: 20_000_000, call_ms_max: 60_000, ..Limits::default() };
    let disk = Disk::new(limits);
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    let calls = AtomicU64::new(1 << 32);
    let told = std::thread::scope(|threads| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|n| {
                let (caller, calls) = (&caller, &calls);
                threads.spawn(move || load(caller, calls, Rng::new(seed * 1_000 + n)))
            })
            .collect();
        let mut told = Told::new();
        let mut refused = 0;
        for caller in callers {
            let (more, no) = caller.join().unwrap();
            told.extend(more);
            refused += no;
        }
        assert!(refused > 50 && told.len() > 500, "{refused} refused, {} accepted", told.len());
        told
    });
    // The logs hold what was told, and nothing else.
    let mut stored = Told::new();
    for n in 0..SCOPES {
        let name = format!("s/{n}");
        for event in caller.events(&name) {
            let at = (event.seq, event.position);
            stored.entry(event.append_id).or_default().insert(name.clone(), at);
        }
    }
    assert_eq!(stored, told, "seed {seed}");
    let report = caller.engine.verify(None, &mut |_, _, _| std::ops::ControlFlow::Continue(()));
    assert_eq!(report.unwrap().damage, Vec::<String>::new());
    assert_eq!(caller.engine.status().in_flight, 0);
}

/// Sends joint and single appends, a few at a time, and waits for every answer.
fn load(caller: &atomic_store_tests::Caller, calls: &AtomicU64, mut rng: Rng) -> (Told, u64) {
    let (mut told, mut refused) = (Told::new(), 0);
    let to: Arc<dyn ReplyTo> = Arc::clone(&caller.inbox) as _;
    for _ in 0..ROUNDS {
        let mut open = Vec::new();
        for _ in 0..IN_FLIGHT {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            let mut id = [0; 16];
            id[..8].copy_from_slice(&rng.number().to_be_bytes());
            let id = AppendId(id);
            if rng.one_in(4) {
                let name = format!("s/{}", rng.index(SCOPES));
                let append = Append { id, ..append_to(&name, &[word(&mut rng)]) };
                caller.engine.append(append, &to, call);
                open.push((call, id, Some(name)));
                continue;
            }
            let mut left: Vec<_> = (0..SCOPES).collect();
            let count = 1 + rng.index(4);
            let parts = (0..count).map(|_| {
                let n = left.swap_remove(rng.index(left.len()));
                let proposals = vec![Proposal::json("op", word(&mut rng)); 1 + rng.index(2)];
                Part::new(scope(&format!("s/{n}")), proposals)
            });
            let parts = parts.collect();
            let joint = JointAppend { id, repeated: false, dry_run: false, parts };
            caller.engine.append_joint(joint, &to, call);
            open.push((call, id, None));
        }
        for (call, id, name) in open {
            // Panics if the answer does not come.
            match caller.inbox.wait_for(call) {
                Got::Joint(answer) => match answer.outcome {
                    JointOutcome::Committed(parts) => {
                        for part in parts {
                            note(&mut told, id, part.scope.as_str(), &part.outcome);
                        }
                    }
                    JointOutcome::Refused(part) => {
                        assert!(part.outcome.is_decided(), "{part:?}");
                        refused += 1;
                    }
                    other => panic!("{other:?}"),
                },
                Got::Answer(answer) if answer.outcome.word() == "committed" => {
                    note(&mut told, id, &name.unwrap(), &answer.outcome);
                }
                Got::Answer(answer) => {
                    assert!(answer.outcome.is_decided(), "{answer:?}");
                    refused += 1;
                }
                other @ Got::State(_) => panic!("{other:?}"),
            }
        }
    }
    (told, refused)
}

fn note(told: &mut Told, id: AppendId, name: &str, outcome: &Outcome) {
    let Outcome::Committed(committed) = outcome else { panic!("{outcome:?}") };
    let at = (committed.last.seq, committed.last.position);
    told.entry(id).or_default().insert(name.to_owned(), at);
}

/// What the validator is told to do: mostly to accept.
fn word(rng: &mut Rng) -> &'static str {
    match rng.below(24) {
        0 => "r",
        1 => "t",
        2 if rng.one_in(6) => "l",
        _ => "a",
    }
}
