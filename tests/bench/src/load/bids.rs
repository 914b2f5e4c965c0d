//! Closed loops: bids under the rules, and conditional appends without them.

use super::{Bidding, Plain, names, not_this};
use crate::failure::Failure;
use crate::job::{Job, Sample, Step, Work};
use crate::meter::{Cpu, Latencies, Meter};
use crate::rng::{Rng, Spread};
use crate::shape::Amounts;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_local};

/// Bids for a span of time, or until an auction has its length.
pub(super) async fn run<P: Bidding>(mut peer: P, job: &Job) -> Result<Sample, Failure> {
    match &job.work {
        Work::Bids { scopes, zipf } => {
            peer.open(names(job, *scopes)).await?;
            spread(Rc::new(peer), job, Spread::new(*scopes, *zipf)).await
        }
        Work::Refused { scopes } => {
            peer.open(names(job, *scopes)).await?;
            spread(Rc::new(peer), job, Spread::new(*scopes, None)).await
        }
        Work::Grow { marks } => {
            peer.open(names(job, 1)).await?;
            grow(Rc::new(peer), job, marks).await
        }
        _ => Err(not_this(job)),
    }
}

async fn all(loops: Vec<JoinHandle<Result<(), Failure>>>) -> Result<(), Failure> {
    for one in loops {
        one.await??;
    }
    Ok(())
}

async fn spread<P: Bidding>(peer: Rc<P>, job: &Job, spread: Spread) -> Result<Sample, Failure> {
    let meter = Rc::new(Meter::start(job, 1)?);
    let (amounts, spread) = (Rc::<Amounts>::default(), Rc::new(spread));
    let loops = (0..job.clients).map(|client| {
        let (peer, meter) = (Rc::clone(&peer), Rc::clone(&meter));
        let (amounts, spread) = (Rc::clone(&amounts), Rc::clone(&spread));
        let mut rng = Rng::new(client as u64);
        spawn_local(async move {
            while !meter.is_over() {
                let start = Instant::now();
                let retries = peer.bid(client, spread.pick(&mut rng), &amounts).await?;
                meter.done(start, retries);
            }
            Ok(())
        })
    });
    let loops = loops.collect();
    meter.watch().await;
    all(loops).await?;
    Ok(meter.sample())
}

/// Conditional appends for a span of time, each client about an entity of its own.
pub(super) async fn conditional<P: Plain>(
    mut peer: P,
    job: &Job,
    events: usize,
) -> Result<Sample, Failure> {
    peer.enter(names(job, job.clients)).await?;
    let peer = Rc::new(peer);
    let meter = Rc::new(Meter::start(job, events as u64)?);
    let loops = (0..job.clients).map(|client| {
        let (peer, meter) = (Rc::clone(&peer), Rc::clone(&meter));
        spawn_local(async move {
            while !meter.is_over() {
                let start = Instant::now();
                peer.append(client, events).await?;
                meter.done(start, 0);
            }
            Ok(())
        })
    });
    let loops = loops.collect();
    meter.watch().await;
    all(loops).await?;
    Ok(meter.sample())
}

/// What the clients of an auction that grows share.
struct Growth {
    marks: Vec<u64>,
    /// Bids begun, and bids accepted.
    begun: Cell<u64>,
    length: Cell<u64>,
    retries: Cell<u64>,
    since: Cell<Instant>,
    from: Cell<u64>,
    latencies: RefCell<Latencies>,
    steps: RefCell<Vec<Step>>,
    end: Instant,
}

impl Growth {
    fn is_over(&self) -> bool {
        self.begun.get() >= self.marks.last().copied().unwrap_or(0) || Instant::now() >= self.end
    }

    fn done(&self, took: Duration, retries: u64) {
        self.retries.set(self.retries.get() + retries);
        self.length.set(self.length.get() + 1);
        self.latencies.borrow_mut().record(took);
        if self.marks.get(self.steps.borrow().len()) == Some(&self.length.get()) {
            self.step();
        }
    }

    fn step(&self) {
        let (now, length) = (Instant::now(), self.length.get());
        let seconds = (now - self.since.get()).as_secs_f64().max(1e-9);
        let per_s = (length - self.from.get()) as f64 / seconds;
        let mut latencies = self.latencies.borrow_mut();
        self.steps.borrow_mut().push(Step { length, per_s, latency: latencies.latency() });
        latencies.clear();
        self.since.set(now);
        self.from.set(length);
    }
}

async fn grow<P: Bidding>(peer: Rc<P>, job: &Job, marks: &[u64]) -> Result<Sample, Failure> {
    let start = Instant::now();
    let growth = Rc::new(Growth {
        marks: marks.to_vec(),
        begun: Cell::new(0),
        length: Cell::new(0),
        retries: Cell::new(0),
        since: Cell::new(start),
        from: Cell::new(0),
        latencies: RefCell::new(Latencies::new()?),
        steps: RefCell::default(),
        end: start + Duration::from_secs_f64(job.seconds),
    });
    let amounts = Rc::<Amounts>::default();
    let before = Cpu::now(job.server);
    let loops = (0..job.clients).map(|client| {
        let (peer, growth) = (Rc::clone(&peer), Rc::clone(&growth));
        let amounts = Rc::clone(&amounts);
        spawn_local(async move {
            while !growth.is_over() {
                growth.begun.set(growth.begun.get() + 1);
                let start = Instant::now();
                let retries = peer.bid(client, 0, &amounts).await?;
                growth.done(start.elapsed(), retries);
            }
            Ok(())
        })
    });
    let loops = loops.collect();
    all(loops).await?;
    if growth.length.get() > growth.from.get() {
        growth.step();
    }
    let mut sample = Sample {
        done: growth.length.get(),
        seconds: start.elapsed().as_secs_f64(),
        retries: growth.retries.get(),
        steps: growth.steps.take(),
        ..Sample::default()
    };
    Cpu::now(job.server).spent_since(before, &mut sample);
    Ok(sample)
}
