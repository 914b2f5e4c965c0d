//! Deciding again: an append that lost against another one is thought over and submitted anew (Eventsrc
//! S12, S13).
//!
//! Invariants: what was refused is never sent again; the caller decides anew, under a new id. What may be
//! stored is never decided again: `Unknown` is an answer.

use crate::{Client, ClientError};
use atomic_store_core::{Answer, Append, AppendId, Outcome, Proposal, ScopeName, Seq};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: u32 = 20;
const BASE: Duration = Duration::from_millis(5);
const FACTOR: f64 = 2.0;

/// How often to decide again, and how long to wait before.
///
/// By default at most 20 times, after a random part of 5 ms, 20 ms, 45 ms and so on: full jitter, so that
/// clients that collide do not collide again.
#[derive(Clone)]
pub struct Retry {
    delays: Delays,
    overloaded: bool,
    pace: Arc<dyn Pace>,
}

#[derive(Clone, Debug)]
enum Delays {
    Jitter { limit: u32, base: Duration, factor: f64 },
    List(Arc<[Duration]>),
}

/// Parameters that make no retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// No retry at all was asked for.
    #[error("the limit of retries is at least 1; to try once only, give an empty list of delays")]
    Limit,
    /// The delays would all be zero.
    #[error("the base of the delays is longer than 0")]
    Base,
    /// The delays would shrink, or be no numbers.
    #[error("the factor of the delays is a number of at least 1")]
    Factor,
}

/// Where pauses and chance come from: the clock and the system, unless a test says otherwise.
pub trait Pace: Send + Sync {
    /// At least 0 and below 1.
    fn random(&self) -> f64;

    /// Waits.
    fn pause(&self, delay: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// One turn of deciding.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// 1 for the first.
    pub number: u64,
    /// The scope.
    pub scope: ScopeName,
    /// The id of this attempt; no other has it.
    pub id: AppendId,
    /// Why the attempt before did not get in: a head mismatch, a conflict, or an overload.
    pub refused: Option<Outcome>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The answer to the last attempt.
    pub answer: Answer,
    /// How many attempts were made.
    pub attempts: u64,
    /// True if the last attempt lost like those before, and no retry was left.
    pub gave_up: bool,
}

impl Retry {
    /// Retries up to `limit` times, so that there are `limit + 1` attempts; the pause after attempt `n`
    /// (counted from 1) is a random part of `base * n ^ factor`.
    ///
    /// # Errors
    /// [`RetryError`] for a limit or base of 0 and a factor below 1.
    pub fn jitter(limit: u32, base: Duration, factor: f64) -> Result<Self, RetryError> {
        if limit == 0 {
            return Err(RetryError::Limit);
        }
        if base.is_zero() {
            return Err(RetryError::Base);
        }
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(RetryError::Factor);
        }
        Ok(Retry { delays: Delays::Jitter { limit, base, factor }, ..Retry::default() })
    }

    /// Retries once after each of these pauses: `n` pauses make `n + 1` attempts.
    #[must_use]
    pub fn after(delays: impl IntoIterator<Item = Duration>) -> Self {
        Retry { delays: Delays::List(delays.into_iter().collect()), ..Retry::default() }
    }

    /// Whether an overloaded store is a reason to try again, too. Default false.
    #[must_use]
    pub fn when_overloaded(mut self, again: bool) -> Self {
        self.overloaded = again;
        self
    }

    /// Takes pauses and chance from elsewhere, for tests that do not wait.
    #[must_use]
    pub fn paced_by(mut self, pace: Arc<dyn Pace>) -> Self {
        self.pace = pace;
        self
    }

    /// How many attempts there are at most.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        match &self.delays {
            Delays::Jitter { limit, .. } => u64::from(*limit) + 1,
            Delays::List(delays) => delays.len() as u64 + 1,
        }
    }

    /// The pause after an attempt, counted from 1; none after the last.
    fn delay(&self, attempt: u64) -> Option<Duration> {
        match &self.delays {
            Delays::List(delays) => {
                delays.get(usize::try_from(attempt - 1).unwrap_or(usize::MAX)).copied()
            }
            Delays::Jitter { limit, base, factor } => {
                let n = u32::try_from(attempt).ok().filter(|n| n <= limit)?;
                let ceiling = base.as_secs_f64() * f64::from(n).powf(*factor);
                let part = ceiling * self.pace.random().clamp(0.0, 1.0);
                // Beyond what a duration can hold it makes no difference how long it is.
                Some(Duration::try_from_secs_f64(part).unwrap_or(Duration::MAX))
            }
        }
    }

    /// True if another attempt may do better, and nothing of this one is stored.
    fn is_worth_it(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::HeadMismatch { .. } | Outcome::Conflict { .. } => true,
            Outcome::Overloaded(_) => self.overloaded,
            _ => false,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        let delays = Delays::Jitter { limit: LIMIT, base: BASE, factor: FACTOR };
        Retry { delays, overloaded: false, pace: Arc::new(Real) }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("delays", &self.delays)
            .field("overloaded", &self.overloaded)
            .finish_non_exhaustive()
    }
}

/// The clock and the system.
struct Real;

impl Pace for Real {
    fn random(&self) -> f64 {
        let bits = RandomState::new().build_hasher().finish();
        // The 32 upper bits are exact in the fraction of a float, which is below 1.
        let upper = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
        f64::from(upper) / (f64::from(u32::MAX) + 1.0)
    }

    fn pause(&self, delay: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(delay))
    }
}

impl Attempt {
    /// An append of this attempt that insists on nothing yet.
    #[must_use]
    pub fn append(&self, proposals: Vec<Proposal>) -> Append {
        Append::new(self.scope.clone(), self.id, proposals)
    }

    /// The scope's head, if the attempt before lost by it. What it is by now nobody knows.
    #[must_use]
    pub fn head(&self) -> Option<Seq> {
        match self.refused {
            Some(Outcome::HeadMismatch { actual, .. }) => Some(actual),
            _ => None,
        }
    }
}

impl Client {
    /// Decides what to append, and decides anew when another append came first: on `HeadMismatch` and
    /// `Conflict`, and on `Overloaded` if asked for (Eventsrc S13).
    ///
    /// `decide` looks at the scope as it is now and returns an append that insists on what it saw
    /// ([`Append::expected_head`](atomic_store_core::Append), [`Append::since`]); it is asked again for each
    /// attempt. The append goes to `scope` under the id of its attempt, whatever it says itself.
    ///
    /// Every other outcome is the answer, `Unknown` and `UnknownBase` too: the one may be stored, the other
    /// would be the same again.
    ///
    /// ```no_run
    /// # use atomic_store_client::{Client, ClientError, Retry};
    /// # use atomic_store_core::{ExpectedHead, Proposal, ScopeName, Seq};
    /// # async fn example(client: &Client, scope: &ScopeName) -> Result<(), ClientError> {
    /// let retry = Retry::default();
    /// let decided = client.decide(scope, &retry, async |attempt| {
    ///     let head = client.show_scope(scope).await?.map_or(Seq::ZERO, |info| info.head);
    ///     let mut append = attempt.append(vec![Proposal::json("next", head.0.to_string())]);
    ///     append.expected_head = ExpectedHead::Exactly(head);
    ///     Ok::<_, ClientError>(append)
    /// });
    /// println!("after {} attempts", decided.await?.attempts);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `decide` returns, and [`ClientError`] as of [`Self::append`].
    pub async fn decide<E, F>(
        &self,
        scope: &ScopeName,
        retry: &Retry,
        mut decide: impl FnMut(Attempt) -> F,
    ) -> Result<Decided, E>
    where
        E: From<ClientError>,
        F: Future<Output = Result<Append, E>>,
    {
        let (mut number, mut refused) = (1, None);
        loop {
            let (id, scope) = (self.new_id(), scope.clone());
            let attempt = Attempt { number, scope: scope.clone(), id, refused: refused.take() };
            let append = Append { scope, id, repeated: false, ..decide(attempt).await? };
            let answer = self.append(append).await?;
            if !retry.is_worth_it(&answer.outcome) {
                return Ok(Decided { answer, attempts: number, gave_up: false });
            }
            let Some(delay) = retry.delay(number) else {
                return Ok(Decided { answer, attempts: number, gave_up: true });
            };
            retry.pace.pause(delay).await;
            refused = Some(answer.outcome);
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_core::{ExpectedHead, Overload};

    struct Fixed(f64);

    impl Pace for Fixed {
        fn random(&self) -> f64 {
            self.0
        }

        fn pause(&self, _delay: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn the_ceiling_of_the_delays_grows_by_the_power() {
        let retry = Retry::default().paced_by(Arc::new(Fixed(0.5)));
        let delays: Vec<_> = (1..=21).map(|n| retry.delay(n)).collect();
        let millis = |n: usize| delays[n].unwrap().as_secs_f64() * 1000.0;
        for (n, expected) in [(0, 2.5), (1, 10.0), (2, 22.5), (19, 1000.0)] {
            assert!((millis(n) - expected).abs() < 1e-6, "{n}: {:?}", delays[n]);
        }
        assert_eq!((delays[20], retry.attempts()), (None, 21));
        let huge = Retry::jitter(9, Duration::MAX, 300.0).unwrap().paced_by(Arc::new(Fixed(0.9)));
        assert_eq!(huge.delay(9), Some(Duration::MAX));
    }

    #[test]
    fn parameters_that_make_no_retry_are_refused() {
        let jitter = |limit, base, factor| Retry::jitter(limit, base, factor).map(|_| ());
        assert_eq!(jitter(0, BASE, FACTOR), Err(RetryError::Limit));
        assert_eq!(jitter(1, Duration::ZERO, FACTOR), Err(RetryError::Base));
        for factor in [0.99, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(jitter(1, BASE, factor), Err(RetryError::Factor));
        }
        assert_eq!(jitter(1, Duration::from_nanos(1), 1.0), Ok(()));
    }

    #[test]
    fn only_what_lost_against_others_is_decided_again() {
        let retry = Retry::default();
        let expected = ExpectedHead::Exactly(Seq(1));
        assert!(retry.is_worth_it(&Outcome::HeadMismatch { expected, actual: Seq(2) }));
        assert!(retry.is_worth_it(&Outcome::Conflict { accepted: 0, conflicts: Vec::new() }));
        assert!(!retry.is_worth_it(&Outcome::UnknownBase { next: Seq(1) }));
        assert!(!retry.is_worth_it(&Outcome::Unknown { why: "storage".into() }));
        assert!(!retry.is_worth_it(&Outcome::TimedOut { after_ms: 1 }));
        let overloaded = Outcome::Overloaded(Overload::Mailbox);
        assert!(!retry.is_worth_it(&overloaded));
        assert!(retry.when_overloaded(true).is_worth_it(&overloaded));
    }

    #[test]
    fn chance_lies_between_0_and_1() {
        assert!((0..1_000).map(|_| Real.random()).all(|random| (0.0..1.0).contains(&random)));
    }
}
