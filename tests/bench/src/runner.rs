//! Runs the sections: one after the other, with servers of their own.

use crate::failure::Failure;
use crate::job::{Job, Sample, Work};
use crate::machine::{self, Machine};
use crate::plan::{Options, Plan};
use crate::report::{self, Fact, Point, Results};
use crate::servers::{Peer, Program, Server};
use crate::{idle, raw, sections};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Seconds that a load process may take beyond those that it measures.
const LOAD_PATIENCE: f64 = 180.0;
/// A machine less idle than this gives numbers that mean nothing.
const IDLE_ENOUGH: f64 = 95.0;

/// One section under way.
pub(crate) struct Bench<'a> {
    /// What was asked for.
    pub(crate) options: &'a Options,
    /// What it comes to.
    pub(crate) plan: Plan,
    letter: char,
    servers: BTreeMap<Program, Server>,
    jobs: usize,
    /// When the section began, and when the run did.
    start: Instant,
    run: Instant,
    raw: Vec<f64>,
    points: Vec<Point>,
    facts: Vec<Fact>,
    results: Results,
}

/// What to do, beside where.
pub(crate) struct Turn<'a> {
    /// What tables call it.
    pub(crate) case: &'a str,
    /// Clients.
    pub(crate) clients: usize,
    /// Seconds that count.
    pub(crate) seconds: f64,
    /// The work.
    pub(crate) work: Work,
    /// The names of its scopes, if it is about those of another turn.
    pub(crate) tag: Option<&'a str>,
}

/// Runs what was asked for, and writes the page after each section.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let asked: Vec<char> = options.sections.chars().filter(char::is_ascii_alphabetic).collect();
    if let Some(unknown) = asked.iter().find(|one| !('a'..='f').contains(*one)) {
        return Err(Failure::new(format!("there is no section {unknown}; a to f")));
    }
    if !options.program.exists() {
        return Err(Failure::new(format!("{} is missing: make build", options.program.display())));
    }
    let start = Instant::now();
    for letter in asked {
        let results = Bench::new(options, letter, start)?.run()?;
        report::store(&options.out, letter, &results)?;
        report::render(&options.out)?;
        eprintln!("section {letter} done, {:.0} s since the start", start.elapsed().as_secs_f64());
    }
    eprintln!("written: {}", options.out.join("benchmarks.md").display());
    Ok(())
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options, letter: char, run: Instant) -> Result<Self, Failure> {
        std::fs::create_dir_all(&options.dir)?;
        let idle = idle::percent()?;
        if idle < IDLE_ENOUGH {
            eprintln!("the machine is only {idle:.0} % idle: others work on it, and it will show");
        }
        let results = Results {
            quick: options.quick,
            taken: machine::output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).trim().to_owned(),
            idle_percent: idle,
            machine: Machine::this(&options.dir),
            ..Results::default()
        };
        Ok(Bench {
            options,
            plan: Plan::new(options.quick),
            letter,
            servers: BTreeMap::new(),
            jobs: 0,
            start: Instant::now(),
            run,
            raw: Vec::new(),
            points: Vec::new(),
            facts: Vec::new(),
            results,
        })
    }

    fn run(mut self) -> Result<Results, Failure> {
        match self.letter {
            'a' => sections::bids(&mut self)?,
            'b' => sections::conditional(&mut self)?,
            'c' => sections::grow(&mut self)?,
            'd' => sections::reading(&mut self)?,
            'e' => sections::cold(&mut self)?,
            _ => sections::sizes(&mut self)?,
        }
        self.results.raw = self.raw;
        self.results.points = self.points;
        self.results.facts = self.facts;
        Ok(self.results)
    }

    /// Starts what these peers need, each paused until it is measured. What does not start is said.
    pub(crate) fn start(&mut self, peers: &[Peer]) {
        for peer in peers {
            let program = peer.program();
            if self.servers.contains_key(&program) {
                continue;
            }
            let started = Server::start(program, self.options);
            self.take_up(*peer, started);
        }
    }

    fn take_up(&mut self, peer: Peer, started: Result<Server, Failure>) {
        match started {
            Ok(server) => {
                let about = server.about.clone();
                if !self.results.stores.iter().any(|one| one.version == about.version) {
                    self.results.stores.push(about);
                }
                server.pause(true);
                self.servers.insert(peer.program(), server);
            }
            Err(why) => self.missing(peer.name(), &why),
        }
    }

    /// Says of a peer with what it takes part, where a section starts it itself.
    pub(crate) fn about(&mut self, server: &Server) {
        if !self.results.stores.iter().any(|one| one.version == server.about.version) {
            self.results.stores.push(server.about.clone());
        }
    }

    /// Says that something is not measured.
    pub(crate) fn missing(&mut self, what: &str, why: &Failure) {
        eprintln!("{what} does not take part: {why}");
        let missing = (what.to_owned(), why.to_string());
        if !self.results.missing.contains(&missing) {
            self.results.missing.push(missing);
        }
    }

    /// True if there is time for another round after so many; R is measured at its beginning.
    pub(crate) fn another_round(&mut self, done: usize, rounds: usize) -> Result<bool, Failure> {
        let spent = self.start.elapsed().as_secs_f64();
        let expected = spent / done.max(1) as f64 * (done + 1) as f64;
        let late = self.run.elapsed().as_secs_f64() > self.plan.run_seconds;
        if done >= rounds || done > 0 && (late || expected > self.plan.section_seconds) {
            return Ok(false);
        }
        self.raw.push(raw::fdatasync_per_s(&self.options.dir)?);
        Ok(true)
    }

    /// Keeps a number that is no rate.
    pub(crate) fn fact(&mut self, case: &str, what: &str, value: f64) {
        eprintln!("{}: {case}, {what}: {value:.1}", self.letter);
        let known = self.facts.iter_mut().find(|fact| fact.case == case && fact.what == what);
        match known {
            Some(fact) => fact.values.push(value),
            None => self.facts.push(Fact {
                case: case.to_owned(),
                what: what.to_owned(),
                values: vec![value],
            }),
        }
    }

    /// The same turn for each of the peers, beginning with another one in each round.
    pub(crate) fn round(&mut self, round: usize, peers: &[Peer], turn: &Turn<'_>) {
        for at in 0..peers.len() {
            self.turn(peers[(at + round) % peers.len()], turn);
        }
    }

    /// One measurement of one peer, while all others are paused. Its failure is kept in the results.
    pub(crate) fn turn(&mut self, peer: Peer, turn: &Turn<'_>) {
        let Some(server) = self.servers.get(&peer.program()) else { return };
        server.pause(false);
        self.jobs += 1;
        let tag = format!("{}{}", self.letter, self.jobs);
        let measured = load(server, peer, self.plan.warm_up, turn, turn.tag.unwrap_or(&tag));
        server.pause(true);
        let point = self.points.iter_mut().find(|point| {
            point.peer == peer && point.case == turn.case && point.clients == turn.clients
        });
        let point = match point {
            Some(point) => point,
            None => {
                self.points.push(Point::new(peer, turn.case, turn.clients));
                let last = self.points.len() - 1;
                &mut self.points[last]
            }
        };
        let who =
            format!("{}: {}, {} clients, {}", self.letter, turn.case, turn.clients, peer.name());
        match measured {
            Ok(sample) => {
                eprintln!("{who}: {}/s", crate::stats::rate(sample.per_s()));
                point.samples.push(sample);
            }
            Err(why) => {
                eprintln!("{who}: failed: {why}");
                point.failed = Some(why.to_string());
            }
        }
    }

    /// The server of a peer, if it runs.
    pub(crate) fn server(&self, peer: Peer) -> Option<&Server> {
        self.servers.get(&peer.program())
    }

    /// Those of the peers that were started.
    pub(crate) fn running(&self, peers: &[Peer]) -> Vec<Peer> {
        let mut peers = peers.to_vec();
        peers.retain(|peer| self.server(*peer).is_some());
        peers
    }
}

/// Runs one load process against a server.
pub(crate) fn load(
    server: &Server,
    peer: Peer,
    warm_up: f64,
    turn: &Turn<'_>,
    tag: &str,
) -> Result<Sample, Failure> {
    let job = Job {
        target: peer.target(server),
        server: server.pid(),
        tag: tag.to_owned(),
        clients: turn.clients,
        warm_up,
        seconds: turn.seconds,
        work: turn.work.clone(),
    };
    let mut child = Command::new(std::env::current_exe()?)
        .arg("load")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(serde_json::to_string(&job)?.as_bytes())?;
    }
    let end = Instant::now() + Duration::from_secs_f64(warm_up + turn.seconds + LOAD_PATIENCE);
    // Both outputs are shorter than a pipe is deep, so nobody has to read meanwhile.
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > end => {
                child.kill()?;
                child.wait()?;
                return Err(Failure::new("the load process did not end"));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let (mut said, mut complained) = (String::new(), String::new());
    if let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) {
        out.read_to_string(&mut said)?;
        err.read_to_string(&mut complained)?;
    }
    match status.success() {
        true => Ok(serde_json::from_str(&said)?),
        false => Err(Failure::new(complained.trim().trim_start_matches("Error: "))),
    }
}
