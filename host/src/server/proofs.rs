//! Answers that go through history again. They use all cores, so that only few run at a time.

use super::feed::{failed, lost};
use super::hub::blocking;
use super::session::{Session, Streaming};
use atomic_store_core::protocol::Reply;
use atomic_store_core::{ProofProgress, ScopeName};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least time between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Judges appends again and says which of them could be shown.
pub(super) async fn logic(
    session: Arc<Session>,
    stream: Streaming,
    scope: Option<ScopeName>,
    after: String,
) {
    run(session, stream, move |session, teller| {
        let report = session.engine().verify_logic(scope.as_ref(), &after, teller);
        report.map_or_else(|why| Reply::Error(failed(&why)), |found| Reply::Logic(Box::new(found)))
    })
    .await;
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
