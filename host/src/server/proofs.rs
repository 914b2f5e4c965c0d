//! Answers that go through history again. They use all cores, so that only few run at a time.

use super::feed::{failed, lost};
use super::hub::{Hub, blocking};
use super::past::{encode, push};
use super::session::{Session, Streaming};
use crate::engine::{Against, Candidate};
use atomic_store_core::protocol::{BundleOf, Reply, RequestError};
use atomic_store_core::{ProofProgress, ScopeName, Seq, ValidatorRef};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Bytes of a page that no part takes.
const PART_SLACK: usize = 256;

/// The least time between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Judges appends again and says which of them could be shown; of one scope only those behind `judged`.
pub(super) async fn logic(
    session: Arc<Session>,
    stream: Streaming,
    scope: Option<ScopeName>,
    after: String,
    judged: Seq,
) {
    run(session, stream, move |session, teller| {
        let engine = session.engine();
        let report = match &scope {
            None => engine.verify_logic(None, &after, teller),
            Some(scope) => engine.verify_logic_after(scope, judged, teller),
        };
        report.map_or_else(|why| Reply::Error(failed(&why)), |found| Reply::Logic(Box::new(found)))
    })
    .await;
}

/// The component that was offered on a connection, until it is put on trial.
#[derive(Default)]
pub(super) struct Offered(Mutex<Option<(Candidate, OwnedSemaphorePermit)>>);

impl Offered {
    /// Checks a component and keeps it, in place of what was offered before.
    pub(super) fn admit(&self, hub: &Hub, component: &[u8]) -> Result<Reply, RequestError> {
        drop(self.take());
        let permit = Arc::clone(&hub.trials).try_acquire_owned().map_err(|_| {
            let why = "others put validators on trial; try again in a moment";
            RequestError::Overloaded(why.to_owned())
        })?;
        let (info, candidate) = hub.engine.try_component(component)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((candidate, permit));
        Ok(Reply::Validator { info, new: false, bindings: Vec::new() })
    }

    fn take(&self) -> Option<(Candidate, OwnedSemaphorePermit)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Puts history before a candidate: one that is loaded, else the one that was offered.
pub(super) async fn backtest(
    session: Arc<Session>,
    stream: Streaming,
    trial: Result<ValidatorRef, Arc<Offered>>,
    against: Against,
) {
    run(session, stream, move |session, teller| {
        let engine = session.engine();
        let (candidate, _held) = match trial {
            Ok(which) => (engine.candidate(&which), None),
            Err(offered) => match offered.take() {
                Some((candidate, permit)) => (Ok(candidate), Some(permit)),
                None => {
                    let why = "offer a component first, or name one that is loaded".to_owned();
                    let field = "candidate".to_owned();
                    (Err(RequestError::Invalid { field, why }), None)
                }
            },
        };
        let report = candidate.and_then(|it| engine.backtest(&it, &against, teller));
        report.map_or_else(Reply::Error, |found| Reply::Backtested(Box::new(found)))
    })
    .await;
}

/// Makes a bundle and sends it part by part, each waiting for room.
pub(super) async fn bundle(
    session: Arc<Session>,
    stream: Streaming,
    scope: ScopeName,
    of: BundleOf,
) {
    let hub = Arc::clone(&session.hub);
    let made = tokio::select! {
        _ = stream.stopped() => return,
        made = blocking(&session.hub.pasts, move || hub.engine.bundle(&scope, of)) => made,
    };
    let bundle = match made.unwrap_or_else(|| Err(lost())) {
        Ok(bundle) => bundle,
        Err(why) => return stream.finish(&Reply::Error(why)),
    };
    let limits = session.limits();
    let patience = Duration::from_millis(limits.slow_reader_ms_max);
    // The rest of a page's room is for what goes around a part.
    let part = limits.page_bytes_max.saturating_sub(PART_SLACK).max(PART_SLACK);
    for part in bundle.chunks(part) {
        let room = timeout(patience, session.out.room_for_page(limits)).await;
        let Ok(Ok(permit)) = room else {
            let why = "the bundle was cut off, as it was not read; ask again".to_owned();
            return stream.finish(&Reply::Error(RequestError::Overloaded(why)));
        };
        if stream.must_end() {
            return;
        }
        let reply = Reply::BundlePart(serde_bytes::ByteBuf::from(part));
        match encode(Vec::new(), stream.call, &reply) {
            Ok(bytes) => push(&session, &stream, bytes, permit),
            Err(why) => return stream.finish(&Reply::Error(why)),
        }
    }
    stream.finish(&Reply::Done);
}

/// What is told how far the work is, and says whether it goes on.
type Teller<'a> = dyn FnMut(&ProofProgress) -> ControlFlow<()> + 'a;

/// Runs work that tells how far it is, away from the threads that serve sockets.
async fn run(
    session: Arc<Session>,
    stream: Streaming,
    work: impl FnOnce(&Session, &mut Teller<'_>) -> Reply + Send + 'static,
) {
    let stream = Arc::new(stream);
    let work = {
        let (session, stream) = (Arc::clone(&session), Arc::clone(&stream));
        move || {
            let mut told = Instant::now();
            work(&session, &mut |progress| {
                if stream.must_end() {
                    return ControlFlow::Break(());
                }
                if told.elapsed() >= PROGRESS_EVERY {
                    told = Instant::now();
                    stream.push(&Reply::ProofProgress(progress.clone()));
                }
                ControlFlow::Continue(())
            })
        }
    };
    let end = tokio::select! {
        _ = stream.stopped() => return,
        end = blocking(&session.hub.verifications, work) => end,
    };
    stream.finish(&end.unwrap_or_else(|| Reply::Error(lost())));
}
