//! Random lives of a few scopes against a model: appends, seals, deletions and restores, with crashes and
//! failing commits between and in the middle of them. `SEED=n` repeats a run.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::log::CommitFault;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Limits, Outcome, Seq};
use atomic_store_tests::{Caller, Memory, Rng, append_to, scope};
use std::ops::ControlFlow;

/// What a scope must look like.
#[derive(Clone, Debug, Default)]
struct Model {
    head: u64,
    events: Vec<String>,
    sealed: bool,
}

struct Run {
    memory: Memory,
    caller: Caller,
    rng: Rng,
    models: Vec<Model>,
}

fn name(n: usize) -> String {
    format!("s/{n}")
}

impl Run {
    fn new(seed: u64) -> Run {
        let limits = Limits { snapshot_events: 3, ..Limits::default() };
        let (memory, caller) = Memory::ruled(limits);
        Run { memory, caller, rng: Rng::new(seed), models: vec![Model::default(); 3] }
    }

    fn step(&mut self) {
        let n = self.rng.index(self.models.len());
        match self.rng.below(12) {
            0 => self.crash(),
            1 | 2 => self.delete(n),
            3 => self.seal(n),
            4 => self.restore(n),
            _ => self.append(n),
        }
        self.check(n);
    }

    fn crash(&mut self) {
        self.memory.crash(self.rng.number());
        self.caller = self.memory.by_hand();
    }

    /// Lets the next commit fail, sometimes. True if what it holds is durable all the same.
    fn fail(&mut self) -> Option<bool> {
        if !self.rng.one_in(3) {
            return None;
        }
        let how = if self.rng.one_in(2) { CommitFault::Before } else { CommitFault::After };
        self.memory.log.fail_commit(self.memory.log.commit_calls() + 1, how);
        Some(how == CommitFault::After)
    }

    fn append(&mut self, n: usize) {
        let events = 1 + self.rng.index(3);
        let append = append_to(&name(n), &vec!["add 9"; events]);
        let outcome = self.caller.ask(append).outcome;
        let model = &mut self.models[n];
        match outcome {
            Outcome::Committed(committed) => {
                assert!(!model.sealed, "{n} is sealed");
                assert_eq!(committed.first.seq, Seq(model.head + 1), "no number twice");
                model.head += events as u64;
                model.events.extend(vec!["add 9".to_owned(); events]);
            }
            Outcome::ReadOnly { .. } => assert!(model.sealed, "{n} is not sealed"),
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, n: usize) {
        let known = self.rng.one_in(2).then_some(Seq(self.models[n].head));
        let empty = self.models[n].events.is_empty();
        let fault = if empty { None } else { self.fail() };
        let deleted = self.caller.engine.delete_scope(&scope(&name(n)), known);
        let gone = match fault {
            Some(durable) => {
                assert!(matches!(deleted, Err(RequestError::Failed(_))), "{deleted:?}");
                self.crash();
                durable
            }
            None if empty => {
                assert!(matches!(deleted, Err(RequestError::NotFound(_))), "{deleted:?}");
                true
            }
            None => {
                assert_eq!(deleted, Ok(self.models[n].events.len() as u64));
                true
            }
        };
        if gone {
            self.models[n].events.clear();
        }
    }

    fn seal(&mut self, n: usize) {
        let (engine, scope) = (&self.caller.engine, scope(&name(n)));
        match self.models[n].sealed {
            true => engine.unseal_scope(&scope).unwrap(),
            false => engine.seal_scope(&scope, "closed").unwrap(),
        }
        self.models[n].sealed ^= true;
    }

    /// Takes what another store has of this scope, which succeeds if there has never been one here.
    fn restore(&mut self, n: usize) {
        let (_source, there) = Memory::ruled(Limits::default());
        there.store(&name(n), &["add 9", "add 9"]);
        there.store(&name(n), &["add 9"]);
        let mut records = Vec::new();
        let read = there.engine.read(&scope(&name(n)), Seq::ZERO, Seq::MAX, &mut |view| {
            records.push(view.as_bytes().to_vec());
            ControlFlow::Continue(())
        });
        read.unwrap();
        let fresh = self.models[n].head == 0;
        let fault = if fresh { self.fail() } else { None };
        let restored =
            self.caller.engine.restore_scope(&scope(&name(n))).and_then(|mut restore| {
                restore.add(records.iter().map(Vec::as_slice))?;
                restore.finish(None)
            });
        if !fresh {
            assert!(matches!(restored, Err(RequestError::Invalid { .. })), "{restored:?}");
        } else if fault.is_some() {
            // The fault meets the staging, so nothing can have become visible.
            assert!(matches!(restored, Err(RequestError::Failed(_))), "{restored:?}");
            self.crash();
        } else {
            assert_eq!(restored.unwrap().events(), 3);
            let events = vec!["add 9".to_owned(); 3];
            let sealed = self.models[n].sealed;
            self.models[n] = Model { head: 3, events, sealed };
        }
    }

    fn check(&self, n: usize) {
        let model = &self.models[n];
        let events = self.caller.events(&name(n));
        assert_eq!(self.caller.payloads(&name(n)), model.events, "{n}");
        let floor = model.head - model.events.len() as u64;
        for (seq, event) in (floor + 1..).zip(&events) {
            assert_eq!(event.seq, Seq(seq), "{n}");
        }
        let info = self.caller.engine.show_scope(&scope(&name(n))).unwrap();
        let found = info.map_or((0, 0, 0), |info| (info.head.0, info.floor.0, info.events()));
        assert_eq!(found, (model.head, floor, model.events.len() as u64), "{n}");
        let count = model.events.len().to_string().into_bytes();
        assert_eq!(self.caller.query(&name(n), "count"), (Seq(model.head), Ok(count)), "{n}");
    }
}

#[test]
fn whatever_happens_to_scopes_they_are_what_they_should_be() {
    for seed in Rng::seeds(1, 150) {
        let mut run = Run::new(seed);
        for _ in 0..60 {
            run.step();
        }
        run.caller.verify();
        run.crash();
        (0..3).for_each(|n| run.check(n));
        run.caller.verify();
        println!("seed {seed}: {:?}", run.models.iter().map(|m| m.head).collect::<Vec<_>>());
    }
}
