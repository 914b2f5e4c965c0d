//! What keys and conditions cost: the same load without keys, with a key, and with a key and a
//! condition, turn by turn, because rates of different minutes do not compare.

use super::driver::{Insists, Load, drive};
use super::engine::Setup;
use super::point::{Point, median};
use super::report::Series;
use crate::cli::failure::Failure;

/// Turns; the median counts.
const ROUNDS: usize = 3;
/// A turn takes this share of a rate's time, and at least so many seconds: the first answers of many
/// scopes take a moment.
const TURN: f64 = 0.25;
const TURN_MIN: f64 = 0.2;
/// Scopes, and appends in flight.
pub(super) const SPREAD: usize = 1_000;
/// Appends in flight to one scope. Each has then seen a head that is some hundred events back.
pub(super) const HOT: usize = 256;
/// Measurements of a run.
pub(super) const STEPS: usize = 2 * ROUNDS * KINDS.len();

const KINDS: [Insists; 3] = [Insists::Nothing, Insists::Key, Insists::Condition];

/// What was measured.
pub(super) struct Conditional {
    pub(super) series: Vec<Series>,
    pub(super) ratios: Ratios,
}

/// Rates as shares of each other, by appends in flight.
pub(super) struct Ratios(pub(super) Vec<(&'static str, f64)>);

/// One load, and what its results are called.
struct Plan {
    load: Load,
    /// Names and titles of the series with a key, and with a key and a condition.
    series: [(&'static str, &'static str); 2],
    /// Names of the shares of the first, and of the load without keys.
    shares: [&'static str; 2],
}

fn plans(seconds: f64) -> [Plan; 2] {
    let seconds = (seconds * TURN).max(TURN_MIN);
    [
        Plan {
            load: Load::spread(SPREAD, seconds),
            series: [
                ("keyed", "engine, keys, a scope each"),
                ("conditional", "engine, conditions, a scope each"),
            ],
            shares: ["conditional_of_keyed", "conditional_of_plain"],
        },
        Plan {
            load: Load::hot(HOT, seconds),
            series: [
                ("keyed_hot_scope", "engine, keys, one scope"),
                ("conditional_hot_scope", "engine, conditions, one scope"),
            ],
            shares: ["conditional_of_keyed_hot_scope", "conditional_of_plain_hot_scope"],
        },
    ]
}

/// Measures them.
pub(super) fn measure(
    setup: &Setup,
    seconds: f64,
    mut step: impl FnMut(&str),
) -> Result<Conditional, Failure> {
    let (mut series, mut shares) = (Vec::new(), Vec::new());
    for plan in plans(seconds) {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let mut round = Vec::new();
            for insists in KINDS {
                step(plan.series[1].1);
                let load = Load { insists, ..plan.load };
                round.push(setup.with_store(|engine, _| drive(engine, &setup.shape, load))?);
            }
            rounds.push(round);
        }
        for (kind, (name, title)) in (1..).zip(plan.series) {
            let points = vec![(plan.load.in_flight, middle(&rounds, kind))];
            series.push(Series { name, title, points });
        }
        let [of_keyed, of_plain] = plan.shares;
        shares.extend([(of_keyed, ratio(&rounds, 1)), (of_plain, ratio(&rounds, 0))]);
    }
    Ok(Conditional { series, ratios: Ratios(shares) })
}

/// The point with the median rate.
fn middle(rounds: &[Vec<Point>], kind: usize) -> Point {
    let mut points: Vec<_> = rounds.iter().map(|round| round[kind]).collect();
    points.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
    points[points.len() / 2]
}

/// The rate with a condition as a share of that of another kind: the median over the rounds.
fn ratio(rounds: &[Vec<Point>], of: usize) -> f64 {
    let share = |round: &Vec<Point>| round[2].per_s / round[of].per_s.max(1.0);
    median(&mut rounds.iter().map(share).collect::<Vec<_>>())
}
