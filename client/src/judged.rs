//! Appends to scopes bound to `originator`: the client that submits judges, too (Atomic Store A24).

use crate::feed::{Feed, Next, unexpected};
use crate::shared::CallRules;
use crate::{Client, ClientError};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::{Entry, Reply, Request, RequestError};
use atomic_store_core::{
    Answer, Append, Event, OriginatorVerdict, Outcome, Proposal, Question, ScopeName, Seq,
};
use std::future::{Future, ready};
use std::time::{Duration, Instant};

/// Pause before an append is sent again whose outcome is not known.
const PAUSE: Duration = Duration::from_millis(50);

impl Client {
    /// Appends to a scope bound to `originator`: `judge` gets the scope's events after
    /// [`Append::known`], in order, and the question, and gives the verdict. It is called once for
    /// each connection on which the append is asked about, so rarely more than once, and dropped when
    /// its time is over.
    ///
    /// Sent again like [`Client::append`].
    ///
    /// # Errors
    /// [`ClientError`] if the append has certainly not been sent, if the verdict breaks a limit, or if
    /// the server broke the protocol.
    pub async fn append_judged<J, V>(
        &self,
        mut append: Append,
        mut judge: J,
    ) -> Result<Answer, ClientError>
    where
        J: FnMut(Vec<Event>, Question) -> V,
        V: Future<Output = OriginatorVerdict>,
    {
        let shared = &self.handle.shared;
        let mut give_up = None::<Instant>;
        loop {
            let request = Request::Append(append);
            let opened = match give_up {
                None => Feed::open(&self.handle, &request).await,
                Some(until) => {
                    let open = Feed::open(&self.handle, &request);
                    match tokio::time::timeout_at(until.into(), open).await {
                        Ok(opened) => opened,
                        Err(_) => return Ok(unknown("the connection was lost")),
                    }
                }
            };
            let Request::Append(back) = request else {
                return Err(ClientError::Protocol("the append is gone".to_owned()));
            };
            append = back;
            let why = match opened {
                Ok(feed) => match self.one_link(feed, &append, &mut judge).await? {
                    Some(Answer { outcome: Outcome::Unknown { why }, .. }) => why,
                    Some(answer) if append.repeated && is_busy(&answer.outcome) => {
                        format!("asked again, the store answered {}", answer.outcome.word())
                    }
                    Some(answer) => return Ok(answer),
                    None => "the connection was lost".to_owned(),
                },
                Err(why) if append.repeated => return Ok(unknown(&why.to_string())),
                Err(why) => return Err(why),
            };
            let until = *give_up.get_or_insert_with(|| Instant::now() + shared.options.retry_for);
            if !shared.reconnects || Instant::now() + PAUSE >= until {
                return Ok(unknown(&why));
            }
            tokio::time::sleep(PAUSE).await;
            append.repeated = true;
        }
    }

    /// Waits for the answer on one connection. Nothing if the connection was lost.
    async fn one_link<J, V>(
        &self,
        mut feed: Feed,
        append: &Append,
        judge: &mut J,
    ) -> Result<Option<Answer>, ClientError>
    where
        J: FnMut(Vec<Event>, Question) -> V,
        V: Future<Output = OriginatorVerdict>,
    {
        let link = self.handle.shared.lock().links;
        let mut past = Past::new(&append.scope, append.known);
        loop {
            let question = match feed.next().await {
                Next::Cut => return Ok(None),
                Next::Reply(Reply::Answer(answer)) => return Ok(Some(answer)),
                Next::Reply(Reply::Question(question)) => question,
                Next::Reply(other) => {
                    past.take(other)?;
                    continue;
                }
            };
            let (correlation, head) = (question.correlation, question.head);
            let events = past.end(head)?;
            // The store may answer first: when the time is over.
            let verdict = tokio::select! {
                verdict = judge(events, question) => verdict,
                next = feed.next() => match next {
                    Next::Cut => return Ok(None),
                    Next::Reply(Reply::Answer(answer)) => return Ok(Some(answer)),
                    Next::Reply(other) => return Err(unexpected(&other)),
                },
            };
            past = Past::new(&append.scope, append.known);
            let rules = CallRules { resend: false, link: Some(link) };
            match self.call(Request::Judge { correlation, verdict }, rules).await {
                // Too late, or over another connection: the answer, or the cut, is on its way.
                Ok(_)
                | Err(
                    ClientError::Request(RequestError::NotFound(_)) | ClientError::Closed { .. },
                ) => {}
                Err(why) => return Err(why),
            }
        }
    }
}

/// The events before a question, as they come.
struct Past {
    walk: Walk,
    events: Vec<Event>,
}

impl Past {
    fn new(scope: &ScopeName, known: Seq) -> Self {
        let walk = match known {
            Seq::ZERO => Walk::from_start(scope),
            known => Walk::after(scope, known),
        };
        Past { walk, events: Vec::new() }
    }

    fn take(&mut self, reply: Reply) -> Result<(), ClientError> {
        match reply {
            Reply::Skipped { through, hash } => self.walk = Walk::from(through, hash),
            Reply::Events(entries) => {
                for Entry { record, .. } in entries {
                    let view = self.walk.step(&record);
                    let view = view.map_err(|why| damaged(&why))?;
                    self.events.push(view.to_event().map_err(|why| damaged(&why))?);
                }
            }
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    fn end(self, head: Seq) -> Result<Vec<Event>, ClientError> {
        if self.walk.head() == head {
            return Ok(self.events);
        }
        let found = self.walk.head();
        Err(ClientError::Protocol(format!("a question at event {head} came after event {found}")))
    }
}

fn damaged(why: &dyn std::fmt::Display) -> ClientError {
    ClientError::Damaged { what: why.to_string() }
}

/// Undecided in a way that says nothing about an earlier try.
fn is_busy(outcome: &Outcome) -> bool {
    !outcome.is_decided() && !matches!(outcome, Outcome::Invalid { .. })
}

fn unknown(why: &str) -> Answer {
    Answer { outcome: Outcome::Unknown { why: why.to_owned() }, duplicate: false }
}

/// A scope that this client judges by its own fold, which goes on from one append to the next: each
/// question brings only what happened since.
pub struct JudgedScope<S> {
    client: Client,
    scope: ScopeName,
    known: Seq,
    state: S,
    fold: fn(&mut S, &Event),
}

impl<S> JudgedScope<S> {
    /// Begins with the state of an empty scope; `fold` adds one event to it.
    #[must_use]
    pub fn new(client: Client, scope: ScopeName, state: S, fold: fn(&mut S, &Event)) -> Self {
        JudgedScope { client, scope, known: Seq::ZERO, state, fold }
    }

    /// The state after the events up to [`Self::known`].
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The last event that was folded.
    pub fn known(&self) -> Seq {
        self.known
    }

    /// Appends under a new id, if `judge` says so about the state right before it.
    ///
    /// # Errors
    /// As [`Client::append_judged`].
    pub async fn append(
        &mut self,
        proposals: Vec<Proposal>,
        judge: impl Fn(&S, &Question) -> OriginatorVerdict,
    ) -> Result<Answer, ClientError> {
        let append = Append {
            known: self.known,
            ..Append::new(self.scope.clone(), self.client.new_id(), proposals)
        };
        let (state, known, fold) = (&mut self.state, &mut self.known, self.fold);
        let judge = |past: Vec<Event>, question: Question| {
            // A second question about this append brings the same events again.
            past.iter().filter(|event| event.seq > *known).for_each(|event| fold(state, event));
            *known = question.head.max(*known);
            ready(judge(state, &question))
        };
        self.client.append_judged(append, judge).await
    }
}
