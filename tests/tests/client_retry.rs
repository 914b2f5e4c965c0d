//! Deciding again on the client: as often as asked for, always anew, and never what may be stored.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Attempt, Client, ClientError, Decided, Pace, Retry};
use atomic_store_core::{
    Append, AppendId, ExpectedHead, Key, Limits, Outcome, Proposal, ScopeName, Seq,
};
use net_support::{Running, scope};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Does not wait, but keeps what it should have waited.
#[derive(Default)]
struct Paced(Mutex<Vec<Duration>>);

impl Pace for Paced {
    fn random(&self) -> f64 {
        0.5
    }

    fn pause(&self, delay: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.lock().unwrap().push(delay);
        Box::pin(tokio::task::yield_now())
    }
}

fn note() -> Vec<Proposal> {
    vec![Proposal::json("note", "{}")]
}

fn expecting(attempt: &Attempt, head: Seq) -> Append {
    Append { expected_head: ExpectedHead::Exactly(head), ..attempt.append(note()) }
}

/// Insists on a head that never is, and gives the ids of all attempts and the pauses between them.
async fn hopeless(retry: Retry) -> (Decided, Vec<AppendId>, Vec<Duration>) {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let (name, paced, ids) = (scope("s"), Arc::<Paced>::default(), Mutex::new(Vec::new()));
    let retry = retry.paced_by(Arc::clone(&paced) as _);
    let decided = client.decide(&name, &retry, async |attempt| {
        ids.lock().unwrap().push(attempt.id);
        assert_eq!(attempt.number, ids.lock().unwrap().len() as u64);
        assert_eq!(attempt.head(), (attempt.number > 1).then_some(Seq::ZERO));
        Ok::<_, ClientError>(expecting(&attempt, Seq(99)))
    });
    let decided = decided.await.unwrap();
    assert_eq!(client.show_scope(&name).await.unwrap(), None, "something was stored");
    server.stop().await;
    let ids = ids.into_inner().unwrap();
    let mut different = ids.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), ids.len(), "an id was used twice");
    let pauses = paced.0.lock().unwrap().clone();
    (decided, ids, pauses)
}

#[tokio::test(flavor = "multi_thread")]
async fn st21_a_list_of_n_delays_makes_n_plus_1_calls() {
    for n in [0_u64, 1, 7] {
        let delays: Vec<_> = (1..=n).map(Duration::from_millis).collect();
        let (decided, ids, pauses) = hopeless(Retry::after(delays.clone())).await;
        assert_eq!((ids.len() as u64, decided.attempts, decided.gave_up), (n + 1, n + 1, true));
        assert_eq!(pauses, delays);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn st22_jitter_of_n_retries_makes_n_plus_1_calls() {
    for n in [1_u32, 6] {
        let retry = Retry::jitter(n, Duration::from_millis(10), 1.0).unwrap();
        let (decided, ids, pauses) = hopeless(retry).await;
        assert_eq!((ids.len() as u64, decided.gave_up), (u64::from(n) + 1, true));
        let halves: Vec<_> = (1..=u64::from(n)).map(|n| Duration::from_millis(5 * n)).collect();
        assert_eq!(pauses, halves);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn st41_a_store_that_always_conflicts_is_given_up_after_the_retries() {
    let (decided, ids, pauses) = hopeless(Retry::default()).await;
    assert_eq!((ids.len(), pauses.len(), decided.attempts), (21, 20, 21));
    assert!(decided.gave_up);
    let expected = ExpectedHead::Exactly(Seq(99));
    assert_eq!(decided.answer.outcome, Outcome::HeadMismatch { expected, actual: Seq::ZERO });
}

/// Adds one to the number that the last event holds, insisting on having seen the last one.
async fn count_up(client: Client, name: ScopeName) -> u64 {
    let retry = Retry::jitter(1_000, Duration::from_millis(1), 1.0).unwrap();
    let decided = client.decide(&name, &retry, async |attempt| {
        let mut events = client.read(&name, Seq::ZERO, Seq::MAX, u64::MAX);
        let (mut head, mut number) = (Seq::ZERO, 0_u64);
        while let Some(event) = events.next().await {
            let event = event?;
            number = std::str::from_utf8(&event.payload).unwrap().parse().unwrap();
            head = event.seq;
        }
        let append = attempt.append(vec![Proposal::json("number", (number + 1).to_string())]);
        Ok::<_, ClientError>(Append { expected_head: ExpectedHead::Exactly(head), ..append })
    });
    let decided = decided.await.unwrap();
    assert!(matches!(decided.answer.outcome, Outcome::Committed(_)), "{decided:?}");
    assert!(!decided.gave_up && !decided.answer.duplicate);
    decided.attempts
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_race_for_the_head_all_get_in_and_lose_no_update() {
    let server = Running::start(Limits::default()).await;
    let mut racing = Vec::new();
    for _ in 0..4 {
        let client = server.client().await;
        racing.push(tokio::spawn(async move {
            let mut attempts = 0;
            for _ in 0..10 {
                attempts += count_up(client.clone(), scope("s")).await;
            }
            attempts
        }));
    }
    let mut attempts = 0;
    for racer in racing {
        attempts += racer.await.unwrap();
    }
    assert!(attempts >= 40);
    let client = server.client().await;
    let (mut events, mut numbers) = (client.read(&scope("s"), Seq(0), Seq::MAX, 99), Vec::new());
    while let Some(event) = events.next().await {
        numbers.push(String::from_utf8(event.unwrap().payload).unwrap());
    }
    assert_eq!(numbers, (1..=40).map(|n: u64| n.to_string()).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_looked_at_and_decided_again() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let name = scope("s");
    let keys = || vec![Key::new("book", "Emma")];
    let about = || vec![Proposal { keys: keys(), ..Proposal::json("note", "{}") }];
    client.append(Append::new(name.clone(), client.new_id(), about())).await.unwrap();
    let retry = Retry::default().paced_by(Arc::<Paced>::default());
    let decided = client.decide(&name, &retry, async |attempt| {
        let append = attempt.append(about());
        Ok::<_, ClientError>(match &attempt.refused {
            None => append.since(Seq::ZERO),
            Some(Outcome::Conflict { conflicts, .. }) => {
                append.since(Seq::ZERO).resolved(conflicts.iter().map(|found| found.theirs.seq))
            }
            other => panic!("{other:?}"),
        })
    });
    let decided = decided.await.unwrap();
    assert_eq!((decided.answer.outcome.word(), decided.attempts), ("committed", 2));
    // What would be the same again is the caller's.
    let unknown = client.decide(&name, &retry, async |attempt| {
        Ok::<_, ClientError>(attempt.append(about()).since(Seq(50)))
    });
    let unknown = unknown.await.unwrap();
    assert_eq!(unknown.answer.outcome, Outcome::UnknownBase { next: Seq(3) });
    assert_eq!((unknown.attempts, unknown.gave_up), (1, false));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_decides_may_also_stop() {
    #[derive(Debug)]
    struct Enough(u64);
    impl From<ClientError> for Enough {
        fn from(error: ClientError) -> Self {
            panic!("{error}")
        }
    }
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let (name, retry) = (scope("s"), Retry::default().paced_by(Arc::<Paced>::default()));
    let decided = client.decide(&name, &retry, async |attempt| match attempt.number {
        1..=3 => Ok(expecting(&attempt, Seq(7))),
        number => Err(Enough(number)),
    });
    assert_eq!(decided.await.unwrap_err().0, 4);
    server.stop().await;
}
