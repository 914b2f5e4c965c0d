//! The load generator: a closed loop over the client, on one thread.

use super::args::BenchClient;
use super::driver::{refusal, unwanted};
use super::point::Meter;
use super::shape::Shape;
use crate::cli::failure::Failure;
use crate::cli::output::Out;
use atomic_store_client::{Address, Client, Options};
use atomic_store_core::{Append, ScopeName};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::LocalSet;

/// What the loops share. One thread, so nobody waits for a lock.
struct Shared {
    client: Client,
    shape: Shape,
    scopes: Vec<ScopeName>,
    counts: RefCell<Vec<u64>>,
    batch: u64,
    meter: RefCell<Meter>,
}

/// Runs the command.
pub(crate) fn run(args: BenchClient, out: &mut Out) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::file("the load generator", &error))?;
    let shared = LocalSet::new().block_on(&runtime, load(args))?;
    let point = shared.meter.borrow().point();
    out.document(&point)
}

async fn load(args: BenchClient) -> Result<Rc<Shared>, Failure> {
    let client = Client::connect(Address::Unix(args.at), Options::default()).await?;
    let scopes = Shape::scopes(args.scopes).map_err(|error| Failure::usage(error.to_string()))?;
    let shared = Rc::new(Shared {
        client,
        shape: Shape::new(&args.kind, &args.payload),
        counts: RefCell::new(vec![0; scopes.len()]),
        scopes,
        batch: args.batch,
        meter: RefCell::new(Meter::start(args.seconds)?),
    });
    let loops: Vec<_> = (0..args.in_flight)
        .map(|slot| tokio::task::spawn_local(one(Rc::clone(&shared), slot % args.scopes.max(1))))
        .collect();
    for one in loops {
        one.await.map_err(|error| Failure::new(crate::cli::exit::STORAGE, error.to_string()))??;
    }
    Ok(shared)
}

async fn one(shared: Rc<Shared>, scope: usize) -> Result<(), Failure> {
    let name = &shared.scopes[scope];
    loop {
        let start = Instant::now();
        if shared.meter.borrow().is_over(start) {
            return Ok(());
        }
        let last = {
            let mut counts = shared.counts.borrow_mut();
            counts[scope] += shared.batch;
            counts[scope]
        };
        let proposals = (last - shared.batch..last).map(|n| shared.shape.proposal(n + 1));
        let append = Append::new(name.clone(), shared.client.new_id(), proposals.collect());
        let answer = shared.client.append(append).await?;
        if let Some(why) = unwanted(&answer.outcome) {
            return Err(refusal(&why));
        }
        shared.meter.borrow_mut().answered(start, Instant::now());
    }
}
