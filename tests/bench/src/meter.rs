//! Counts what is done within a span of time, with latency and CPU time.

use crate::failure::Failure;
use crate::job::{Job, Latency, Sample};
use crate::procs;
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// The longest latency that is told apart: ten minutes, in microseconds.
const LONGEST_US: u64 = 600_000_000;

/// A histogram of latencies.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty one.
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Latencies(Histogram::new_with_bounds(1, LONGEST_US, 3)?))
    }

    /// Counts one.
    pub(crate) fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us.max(1));
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// The percentiles.
    pub(crate) fn latency(&self) -> Latency {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: self.0.max() }
    }
}

/// CPU seconds of the load process and of the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    client: f64,
    server: f64,
}

impl Cpu {
    /// Up to now.
    pub(crate) fn now(server: Option<u32>) -> Self {
        let own = std::process::id();
        Cpu { client: procs::cpu(own), server: server.map_or(0.0, procs::tree_cpu) }
    }

    /// Since then, added to a sample.
    pub(crate) fn spent_since(self, before: Cpu, sample: &mut Sample) {
        sample.client_cpu = self.client - before.client;
        sample.server_cpu = self.server - before.server;
    }
}

/// A warm-up, then a span that counts. One thread, so nobody waits for a lock.
pub(crate) struct Meter {
    begin: Instant,
    end: Instant,
    latencies: RefCell<Latencies>,
    retries: Cell<u64>,
    /// Events of one operation.
    events: u64,
    cpu: Cell<[Cpu; 2]>,
    server: Option<u32>,
}

impl Meter {
    /// Starts with the warm-up.
    pub(crate) fn start(job: &Job, events: u64) -> Result<Self, Failure> {
        let begin = Instant::now() + Duration::from_secs_f64(job.warm_up);
        Ok(Meter {
            begin,
            end: begin + Duration::from_secs_f64(job.seconds),
            latencies: RefCell::new(Latencies::new()?),
            retries: Cell::new(0),
            events,
            cpu: Cell::default(),
            server: job.server,
        })
    }

    /// True once the time is over.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Counts an operation that was begun at `since` and had to be tried again so many times.
    pub(crate) fn done(&self, since: Instant, retries: u64) {
        let now = Instant::now();
        if now >= self.begin && now < self.end {
            self.latencies.borrow_mut().record(now - since);
            self.retries.set(self.retries.get() + retries);
        }
    }

    /// Takes the CPU times at the two ends of the span; runs beside the clients.
    pub(crate) async fn watch(&self) {
        let mut cpu = [Cpu::default(); 2];
        for (at, seen) in [self.begin, self.end].into_iter().zip(&mut cpu) {
            tokio::time::sleep_until(at.into()).await;
            *seen = Cpu::now(self.server);
        }
        self.cpu.set(cpu);
    }

    /// What was measured.
    pub(crate) fn sample(&self) -> Sample {
        let latencies = self.latencies.borrow();
        let mut sample = Sample {
            done: latencies.len() * self.events,
            seconds: (self.end - self.begin).as_secs_f64(),
            retries: self.retries.get(),
            latency: latencies.latency(),
            ..Sample::default()
        };
        let [before, after] = self.cpu.get();
        after.spent_since(before, &mut sample);
        sample
    }
}
