//! AT17 in originator mode: random events with random verdicts, the store killed and opened again after
//! each step; what is in the log is what passed. `SEED=n` repeats a run, `SEEDS=n` runs more of them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;
mod originator_support;

use atomic_store_core::{
    Append, AppendId, Event, Limits, OriginatorVerdict, Outcome, Proposal, Seq,
};
use atomic_store_tests::Rng;
use net_support::scope;
use originator_support::{Store, fail, pass, read, soon};

#[tokio::test]
async fn at17_originator_the_log_is_what_passed_whatever_the_restarts() {
    for seed in Rng::seeds(1, 24) {
        let mut rng = Rng::new(seed);
        let mut store =
            Store::start(Limits { originator_ms_max: 60_000, ..Limits::default() }).await;
        let mut passed: Vec<Vec<u8>> = Vec::new();
        let mut sent: Vec<(Append, Outcome)> = Vec::new();
        for step in 0..3 + rng.below(13) {
            let client = store.client().await;
            let payload = rng.below(4).to_string().into_bytes();
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(seed << 8 | step).to_be_bytes());
            let proposals = vec![Proposal::json("n", payload.clone())];
            let append = Append {
                known: Seq(rng.below(passed.len() as u64 + 1)),
                ..Append::new(scope("a"), AppendId(id), proposals)
            };
            let verdict = if rng.one_in(3) { fail("no") } else { pass() };
            let expected = passed[usize::try_from(append.known.0).unwrap()..].to_vec();
            let judge = |past: Vec<Event>, _| {
                let past: Vec<_> = past.into_iter().map(|event| event.payload).collect();
                assert_eq!(past, expected, "seed {seed}");
                let verdict = verdict.clone();
                async { verdict }
            };
            let answer = soon(client.append_judged(append.clone(), judge)).await.unwrap();
            match verdict {
                OriginatorVerdict::Pass { .. } => {
                    assert_eq!(answer.outcome.word(), "committed", "seed {seed}");
                    passed.push(payload);
                }
                OriginatorVerdict::Fail { .. } => {
                    assert_eq!(answer.outcome.word(), "rejected", "seed {seed}");
                }
            }
            if answer.outcome.word() == "committed" {
                sent.push((append, answer.outcome));
            }
            if rng.one_in(3) {
                // One more is under consideration when the store dies.
                let mut raw = store.raw().await;
                id[8] = 1;
                let doubtful = Proposal::json("n", "doubtful");
                let append = Append::new(scope("a"), AppendId(id), vec![doubtful]);
                raw.send(1, atomic_store_core::protocol::Request::Append(append)).await;
                raw.question(1).await;
            }
            drop(client);
            store.crash().await;
            let client = store.client().await;
            let found: Vec<_> = read(&client, "a").await.into_iter().map(|e| e.payload).collect();
            assert_eq!(found, passed, "seed {seed}");
        }
        let client = store.client().await;
        for (append, outcome) in sent {
            let again = Append { repeated: true, ..append };
            let never = |_: Vec<Event>, _| async { panic!("it was decided before") };
            let answer = soon(client.append_judged(again, never)).await.unwrap();
            assert!(answer.duplicate && answer.outcome == outcome, "seed {seed}: {answer:?}");
        }
    }
}
