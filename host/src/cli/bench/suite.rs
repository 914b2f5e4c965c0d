//! The order of the measurements. R is measured before each group of them, so that its median
//! belongs to the same minute.

use super::args::Bench;
use super::driver::{Load, drive};
use super::engine::Setup;
use super::point::{Point, warm_up};
use super::raw::Raw;
use super::report::{Report, Series};
use super::shape::Shape;
use super::{conditional, filtered, replay, sandbox, socket};
use crate::cli::args::Global;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::output::{self, Out};
use atomic_store::log::bare_group_commit;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Appends in flight, each to a scope of its own.
const SPREAD: [usize; 4] = [1, 10, 100, 1_000];
/// Appends in flight to one scope.
const HOT: [usize; 3] = [1, 64, 256];
/// Slices of R, one before each group and one at the end.
const SLICES: usize = 6;
/// A slice takes this share of a rate's time.
const SLICE: f64 = 0.5;

/// Runs the command.
pub(crate) fn run(global: &Global, args: &Bench, out: &mut Out) -> Result<(), Failure> {
    if global.socket.is_some() || global.tcp.is_some() || global.data.is_some() {
        return Err(Failure::usage("bench makes its own store; --dir says on which disk"));
    }
    let dir = tempfile::Builder::new().prefix(".atomic-store-bench-").tempdir_in(&args.dir);
    let dir = dir.map_err(|error| Failure::file(args.dir.display(), &error))?;
    let component = args.validator.as_deref().map(input::file).transpose()?;
    let setup = Setup {
        dir: dir.path().to_owned(),
        shape: Shape::new(&args.kind, &args.payload),
        component,
    };
    let suite = Suite { raw: Raw::prepare(dir.path())?, args, setup, bar: bar() };
    let report = suite.run()?;
    report.show(out)
}

fn bar() -> ProgressBar {
    if !output::has_watcher() {
        return ProgressBar::hidden();
    }
    let steps = SLICES + 3 * SPREAD.len() + 2 * HOT.len() + conditional::STEPS + 3;
    let style = ProgressStyle::with_template("bench {bar:40} {pos}/{len} {msg} [{elapsed}]");
    ProgressBar::new(steps as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Suite<'a> {
    raw: Raw,
    args: &'a Bench,
    setup: Setup,
    bar: ProgressBar,
}

impl Suite<'_> {
    fn run(mut self) -> Result<Report, Failure> {
        let (setup, args) = (&self.setup, self.args);
        let seconds = args.seconds;
        let in_process = |load| setup.with_store(|engine, _| drive(engine, &setup.shape, load));
        let over_socket = |load| socket::measure(setup, args, load);
        let (bar, raw) = (&self.bar, &mut self.raw);
        let mut group =
            |name, title, counts: &[usize], measure: &dyn Fn(usize) -> Result<Point, Failure>| {
                bar.set_message("disk");
                raw.slice(seconds * SLICE)?;
                bar.inc(1);
                let mut points = Vec::new();
                for &in_flight in counts {
                    bar.set_message(format!("{title}, {in_flight} in flight"));
                    points.push((in_flight, measure(in_flight)?));
                    bar.inc(1);
                }
                Ok::<_, Failure>(Series { name, title, points })
            };
        let mut series = vec![
            group("fjall_group_commit", "storage engine alone", &SPREAD, &|n| {
                bare(setup, n, seconds)
            })?,
            group("engine", "engine, a scope each", &SPREAD, &|n| {
                in_process(Load::spread(n, seconds))
            })?,
            group("hot_scope", "engine, one scope", &HOT, &|n| in_process(Load::hot(n, seconds)))?,
            group("socket", "socket, a scope each", &SPREAD, &|n| {
                over_socket(Load::spread(n, seconds))
            })?,
            group("socket_hot_scope", "socket, one scope", &HOT, &|n| {
                over_socket(Load::hot(n, seconds))
            })?,
        ];
        group("", "", &[], &|_| Err(Failure::silent(exit::STORAGE)))?;
        let conditional = conditional::measure(setup, seconds, |title| {
            bar.set_message(title.to_owned());
            bar.inc(1);
        })?;
        series.extend(conditional.series);
        bar.set_message("validator");
        let warm = sandbox::measure(setup, seconds)?;
        bar.inc(1);
        bar.set_message("replay");
        let replay_per_s = replay::measure(setup, seconds)?;
        bar.inc(1);
        bar.set_message("read by key");
        let filtered = filtered::measure(setup, args.read_events)?;
        bar.finish_and_clear();
        let (raw, raw_spread) = self.raw.median();
        Ok(Report {
            raw,
            raw_spread,
            series,
            ratios: conditional.ratios,
            validator: warm.name,
            validate_ns: warm.validate_ns,
            apply_ns: warm.apply_ns,
            replay_per_s,
            filtered,
        })
    }
}

/// The storage engine alone.
fn bare(setup: &Setup, producers: usize, seconds: f64) -> Result<Point, Failure> {
    let dir = tempfile::tempdir_in(&setup.dir)
        .map_err(|error| Failure::file(setup.dir.display(), &error))?;
    let time = Duration::from_secs_f64(seconds);
    let run = bare_group_commit(dir.path(), producers, warm_up(seconds), time)
        .map_err(|error| Failure::new(exit::STORAGE, error.to_string()))?;
    let mut latencies = run.latencies_us;
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index).copied().map_or(0, u64::from)
    };
    let per_s = run.events as f64 / run.elapsed.as_secs_f64();
    Ok(Point { per_s, p50_us: at(0.50), p99_us: at(0.99) })
}
