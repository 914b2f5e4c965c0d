//! The page: results are kept as JSON beside it, one file for each section, and the page is written
//! from all that are there. So a section can be measured alone, and says when that was.

mod page;
mod plot;
mod reach;
mod sections;

use crate::failure::Failure;
use crate::job::Sample;
use crate::machine::Machine;
use crate::servers::{About, Peer};
use crate::stats::Middle;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(crate) use page::render;

/// What a section measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// True for a quick run.
    pub(crate) quick: bool,
    /// When.
    pub(crate) taken: String,
    /// How idle the machine was before.
    pub(crate) idle_percent: f64,
    /// On what.
    pub(crate) machine: Machine,
    /// Who took part.
    pub(crate) stores: Vec<About>,
    /// Who did not, and why.
    pub(crate) missing: Vec<(String, String)>,
    /// R, once for each round.
    pub(crate) raw: Vec<f64>,
    /// Rates.
    pub(crate) points: Vec<Point>,
    /// Other numbers.
    pub(crate) facts: Vec<Fact>,
}

/// One peer at one thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Who.
    pub(crate) peer: Peer,
    /// What.
    pub(crate) case: String,
    /// With so many clients.
    pub(crate) clients: usize,
    /// One for each round.
    pub(crate) samples: Vec<Sample>,
    /// Why there are fewer.
    pub(crate) failed: Option<String>,
}

/// A number that is no rate, once for each round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fact {
    /// Of what.
    pub(crate) case: String,
    /// Which number, with its unit.
    pub(crate) what: String,
    /// The numbers.
    pub(crate) values: Vec<f64>,
}

impl Point {
    /// Without samples as yet.
    pub(crate) fn new(peer: Peer, case: &str, clients: usize) -> Self {
        let case = case.to_owned();
        Point { peer, case, clients, samples: Vec::new(), failed: None }
    }

    /// Operations per second.
    pub(crate) fn per_s(&self) -> Option<Middle> {
        Middle::of(self.samples.iter().map(Sample::per_s))
    }

    /// How many times as fast as another, round by round, in the middle.
    pub(crate) fn times(&self, other: &Point) -> Option<f64> {
        let rounds = self.samples.iter().zip(&other.samples);
        let times = rounds.map(|(own, other)| own.per_s() / other.per_s().max(1e-9));
        Middle::of(times).map(|middle| middle.median)
    }

    /// The median over the rounds of some number.
    pub(crate) fn middle(&self, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        Middle::of(self.samples.iter().map(of)).map(|middle| middle.median)
    }
}

impl Results {
    /// The cases, in the order in which they were measured.
    pub(crate) fn cases(&self) -> Vec<&str> {
        let mut cases = Vec::new();
        for point in &self.points {
            if !cases.contains(&point.case.as_str()) {
                cases.push(&point.case);
            }
        }
        cases
    }

    /// The numbers of clients of a case, rising.
    pub(crate) fn clients(&self, case: &str) -> Vec<usize> {
        let of_case = self.points.iter().filter(|point| point.case == case);
        let mut clients: Vec<usize> = of_case.map(|point| point.clients).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// Those who took part.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let of = |peer: &Peer| self.points.iter().any(|point| point.peer == *peer);
        Peer::ALL.into_iter().filter(of).collect()
    }

    /// One peer at one thing.
    pub(crate) fn point(&self, peer: Peer, case: &str, clients: usize) -> Option<&Point> {
        self.points
            .iter()
            .find(|point| point.peer == peer && point.case == case && point.clients == clients)
    }
}

fn folder(out: &Path) -> PathBuf {
    out.join("benchmarks")
}

/// Keeps the results of a section.
pub(crate) fn store(out: &Path, letter: char, results: &Results) -> Result<(), Failure> {
    std::fs::create_dir_all(folder(out))?;
    let text = serde_json::to_string_pretty(results)? + "\n";
    Ok(std::fs::write(folder(out).join(format!("{letter}.json")), text)?)
}

/// The results of a section, if there are any.
fn stored(out: &Path, letter: char) -> Result<Option<Results>, Failure> {
    let file = folder(out).join(format!("{letter}.json"));
    if !file.exists() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&std::fs::read_to_string(file)?)?))
}
