//! `bench`: a quick measurement of this machine and this store, in one run.
//!
//! Every rate means little without the disk it was reached on, so the disk's own rate (R, one
//! fdatasync after another) is measured again between the others, and the table shows multiples of it.

mod args;
mod client;
mod conditional;
mod driver;
mod engine;
mod filtered;
mod point;
mod raw;
mod replay;
mod report;
mod sandbox;
mod shape;
mod socket;
mod suite;

pub(crate) use args::{Bench, BenchClient};
pub(crate) use client::run as run_client;
pub(crate) use suite::run;
