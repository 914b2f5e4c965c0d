//! Replay: how fast a scope comes back from its events.

use super::driver::{Inbox, Load, drive};
use super::engine::{Setup, close};
use super::shape::Shape;
use crate::cli::exit;
use crate::cli::failure::Failure;
use atomic_store::engine::{Engine, ReplyTo};
use atomic_store_core::{ScopeName, Seq};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// Appends in flight while the scope is filled.
const FILL: usize = 256;

/// Fills a scope, opens the store again and measures events per second.
pub(super) fn measure(setup: &Setup, seconds: f64) -> Result<f64, Failure> {
    let dir = tempfile::tempdir_in(&setup.dir)
        .map_err(|error| Failure::file(setup.dir.display(), &error))?;
    let store = setup.open(dir.path())?;
    setup.bind(store.engine(), None)?;
    drive(store.engine(), &setup.shape, Load::hot(FILL, seconds))?;
    close(store)?;

    let store = setup.open(dir.path())?;
    let scope = Shape::scopes(1).map_err(|error| Failure::usage(error.to_string()))?.swap_remove(0);
    let measured = match &setup.component {
        None => read(store.engine(), &scope),
        Some(_) => {
            // Another configuration makes every snapshot useless, so that all events are folded: before
            // the binding is made, as the scope is long.
            let start = Instant::now();
            setup.bind(store.engine(), Some(b"{ }".to_vec()))?;
            fold(store.engine(), &scope, start)
        }
    };
    close(store)?;
    measured
}

fn read(engine: &Engine, scope: &ScopeName) -> Result<f64, Failure> {
    let (start, mut events) = (Instant::now(), 0_u64);
    let read = engine.read(scope, Seq::ZERO, Seq::MAX, &mut |_| {
        events += 1;
        ControlFlow::Continue(())
    });
    read.map_err(|error| Failure::new(exit::DAMAGED, error.to_string()))?;
    Ok(events as f64 / start.elapsed().as_secs_f64())
}

fn fold(engine: &Engine, scope: &ScopeName, start: Instant) -> Result<f64, Failure> {
    let shown = engine.show_scope(scope);
    let shown = shown.map_err(|error| Failure::new(exit::DAMAGED, error.to_string()))?;
    let events = shown.map_or(0, |info| info.head.0);
    let inbox = Arc::new(Inbox::default());
    let to: Arc<dyn ReplyTo> = Arc::clone(&inbox) as _;
    let mut answers = Vec::new();
    // Whatever the validator says to this question, it needs its state to say it.
    engine.query(scope, "highest".to_owned(), Vec::new(), &to, 0);
    inbox.take(&mut answers);
    match answers.pop() {
        Some((_, Ok(_))) => Ok(events as f64 / start.elapsed().as_secs_f64()),
        Some((_, Err(why))) => Err(Failure::new(exit::FAULT, why)),
        None => Ok(0.0),
    }
}
