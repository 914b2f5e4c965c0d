//! Filling a store, and reading it.

use super::{Bulk, names, not_this};
use crate::failure::Failure;
use crate::job::{Fill, Job, Sample, Work};
use crate::meter::Cpu;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::rc::Rc;
use std::time::Instant;

/// Does a job of many events.
pub(super) async fn run<P: Bulk>(peer: Rc<P>, job: &Job) -> Result<Sample, Failure> {
    match &job.work {
        Work::Fill(plan) => {
            fill(job, plan, async |scope: String, events| peer.fill(&scope, events).await).await
        }
        Work::ReadScopes(plan) => {
            let read = async |scope: String, events: u64| {
                let found = peer.read(&scope).await?;
                expect(found, events)
            };
            fill(job, plan, read).await
        }
        Work::ReadAll { events } => {
            let read = async |_: String, events| expect(peer.read_all(events).await?, events);
            fill(job, &Fill { scopes: 1, events: *events }, read).await
        }
        _ => Err(not_this(job)),
    }
}

fn expect(found: u64, events: u64) -> Result<(), Failure> {
    match found == events {
        true => Ok(()),
        false => Err(Failure::new(format!("{found} of {events} events were read"))),
    }
}

/// Does the same with each of the scopes, `clients` at a time.
pub(super) async fn fill(
    job: &Job,
    plan: &Fill,
    each: impl AsyncFn(String, u64) -> Result<(), Failure>,
) -> Result<Sample, Failure> {
    let start = Instant::now();
    let before = Cpu::now(job.server);
    stream::iter(names(job, plan.scopes).into_iter().map(Ok))
        .try_for_each_concurrent(job.clients, |scope| each(scope, plan.events))
        .await?;
    let mut sample = Sample {
        done: plan.scopes as u64 * plan.events,
        seconds: start.elapsed().as_secs_f64(),
        ..Sample::default()
    };
    Cpu::now(job.server).spent_since(before, &mut sample);
    Ok(sample)
}

/// The sizes of the appends that store so many events: `most` each, and the rest.
pub(super) fn appends(events: u64, most: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..events.div_ceil(most)).map(move |n| (n * most, most.min(events - n * most)))
}

/// Does something for each of many, so many at a time.
pub(super) async fn each<T>(
    many: impl IntoIterator<Item = T>,
    at_a_time: usize,
    work: impl AsyncFn(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let work = &work;
    stream::iter(many).map(Ok).try_for_each_concurrent(at_a_time, move |one| work(one)).await
}
