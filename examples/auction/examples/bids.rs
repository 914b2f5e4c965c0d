//! Invents bids for the demo, as CSV on standard output: `bids [SEED] [COUNT]`.
//!
//! Columns, without a header: auction, bid, time in days since the auction's start, bidder, the
//! bidder's rating, opening bid, final price, item, length in days. Not in order of time.
//!
//! The bidders behave as on eBay: they name a maximum, the price shown is only a step above the
//! second highest, so about half of the bids turn out not to beat the highest. What the rules of
//! the auction should make of them is counted here independently and told on standard error.
//!
//! Invariant: integers only, so the same seed gives the same bytes on every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

const COUNT_DEFAULT: usize = 10_000;
const COUNT_MAX: usize = 10_000_000;
const DAY: u64 = 1_000_000; // Times are in millionths of a day.

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let seed = args.next().map_or(Ok(1), |arg| arg.parse::<u64>());
    let count = args.next().map_or(Ok(COUNT_DEFAULT), |arg| arg.parse::<usize>());
    let (Ok(seed), Ok(count), None) = (seed, count, args.next()) else {
        eprintln!("usage: bids [SEED] [COUNT], both whole numbers");
        return ExitCode::from(2);
    };
    if count > COUNT_MAX {
        eprintln!("bids: at most {COUNT_MAX} at once");
        return ExitCode::from(2);
    }

    let bids = invent(seed, count);
    if let Err(error) = std::io::stdout().lock().write_all(csv(&bids).as_bytes()) {
        eprintln!("bids: cannot write: {error}");
        return ExitCode::FAILURE;
    }
    eprintln!("bids: {}", judge(&bids));
    ExitCode::SUCCESS
}

struct Bid {
    auction: u64,
    cents: u64,
    time: u64,
    bidder: String,
    rating: u64,
    opening: u64,
    price: u64,
    item: &'static str,
    days: u64,
}

/// Exactly `count` bids, shuffled.
fn invent(seed: u64, count: usize) -> Vec<Bid> {
    let mut dice = Dice(seed);
    let crowd = crowd(&mut dice);
    let mut number = 3_000_000_000;
    let mut bids = Vec::with_capacity(count + 100);
    while bids.len() < count {
        number += 1 + dice.below(50_000);
        bids.extend(auction(&mut dice, number, &crowd));
    }
    bids.truncate(count);
    for at in (1..bids.len()).rev() {
        bids.swap(at, dice.below(at as u64 + 1) as usize);
    }
    bids
}

/// Names and ratings of everybody who bids anywhere.
fn crowd(dice: &mut Dice) -> Vec<(String, u64)> {
    const FIRST: &[&str] = &[
        "amber", "blue", "captain", "daisy", "eager", "fox", "gadget", "happy", "iron", "jolly",
        "kiwi", "lucky", "maple", "night", "old", "palm", "quick", "river", "sunny", "tango",
    ];
    const LAST: &[&str] = &[
        "baker",
        "collector",
        "deals",
        "finds",
        "garage",
        "hunter",
        "island",
        "joe",
        "king",
        "lane",
        "mom",
        "owl",
        "pete",
        "rider",
        "star",
        "trader",
        "wolf",
        "x",
        "york",
        "zone",
    ];
    let person = |at: u64| {
        let name = match dice.below(20) {
            0 => format!("{}", 10_000_000 + at),
            1..8 => format!("{}_{}{at}", dice.pick(FIRST), dice.pick(LAST)),
            _ => format!("{}{}{at}", dice.pick(FIRST), dice.pick(LAST)),
        };
        // Most people are new, a few have traded for years.
        let experience = [4, 30, 300, 2000][dice.skewed(4)];
        let rating = dice.below(experience);
        (name, rating)
    };
    (0..3400).map(person).collect()
}

/// The bids of one auction, in order of time.
fn auction(dice: &mut Dice, number: u64, crowd: &[(String, u64)]) -> Vec<Bid> {
    let (item, least, spread) = *dice.pick(&[
        ("palm", 15_000, 11_000),
        ("palm", 17_000, 8_000),
        ("xbox", 8_000, 9_000),
        ("cartier", 15_000, 260_000),
    ]);
    let value = least + dice.below(spread).min(dice.below(spread));
    let days = *dice.pick(&[3, 5, 7, 7, 7]);
    let opening = *dice.pick(&[100, 100, 100, 1, 1, 999, 99, 995, 1000, 5000, value / 2]);

    let mut times: Vec<u64> = (0..4 + dice.below(12) + dice.below(10) * dice.below(4))
        .map(|_| days * DAY - moment(dice, days * DAY))
        .collect();
    times.sort_unstable();

    let mut bids = Vec::new();
    let mut shown = Shown { opening, highest: None, second: None };
    let mut now = 0;
    let mut regulars: Vec<usize> = Vec::new();
    for start in times {
        now = start.max(now + 1);
        let returning = !regulars.is_empty() && dice.below(3) == 0;
        let who =
            if returning { *dice.pick(&regulars) } else { dice.below(crowd.len() as u64) as usize };
        regulars.push(who);
        let (bidder, rating) = &crowd[who];
        let limit = value * (35 + dice.below(70)) / 100;
        for cents in session(dice, &mut shown, limit) {
            bids.push(Bid {
                auction: number,
                cents,
                time: now,
                bidder: bidder.clone(),
                rating: *rating,
                opening,
                price: 0,
                item,
                days,
            });
            now += 60 + dice.below(900);
        }
    }
    // Too late: the page took no bid after the end.
    bids.retain(|bid| bid.time < days * DAY);
    for bid in &mut bids {
        bid.price = shown.price();
    }
    bids
}

/// What one person bids in one sitting: again and again, until ahead or at the limit.
fn session(dice: &mut Dice, shown: &mut Shown, limit: u64) -> Vec<u64> {
    let mut bids = Vec::new();
    if dice.below(1500) == 0 && shown.opening > 100 {
        return vec![shown.opening - 100]; // Did not read the page.
    }
    while bids.len() < 6 {
        let next = shown.next();
        if next > limit {
            break;
        }
        let cents = match dice.below(10) {
            0..3 => next + dice.below(limit - next + 1),
            3 => limit,
            _ => next + shown.step() * dice.below(6),
        };
        let cents = tidy(dice, cents, next);
        bids.push(cents);
        if shown.place(cents) || dice.below(2) == 0 {
            break;
        }
    }
    bids
}

/// People like whole dollars; some add a cent or two to beat those who do.
fn tidy(dice: &mut Dice, cents: u64, least: u64) -> u64 {
    let whole = cents.div_ceil(100) * 100;
    match dice.below(10) {
        0 => whole + 1,
        1 => whole + 50,
        2 => cents.max(least),
        _ => whole,
    }
}

/// How long before the end somebody bids: often at the last moment.
fn moment(dice: &mut Dice, length: u64) -> u64 {
    let within = [length, length / 5, length / 100][dice.below(3) as usize];
    1 + dice.below(within - 1)
}

/// The state of an auction as its page shows it, and the maximum it hides.
struct Shown {
    opening: u64,
    highest: Option<u64>,
    second: Option<u64>,
}

impl Shown {
    fn price(&self) -> u64 {
        match (self.highest, self.second) {
            (Some(highest), Some(second)) => highest.min(second + step(second)),
            _ => self.opening,
        }
    }

    fn step(&self) -> u64 {
        step(self.price())
    }

    /// The least that the page lets one bid.
    fn next(&self) -> u64 {
        if self.highest.is_none() { self.opening } else { self.price() + self.step() }
    }

    /// True if the bid is now the highest.
    fn place(&mut self, cents: u64) -> bool {
        let ahead = self.highest.is_none_or(|highest| cents > highest);
        if ahead {
            self.second = self.highest.replace(cents);
        } else {
            self.second = self.second.max(Some(cents));
        }
        ahead
    }
}

/// eBay's increments.
fn step(price: u64) -> u64 {
    match price {
        0..100 => 5,
        100..500 => 25,
        500..2_500 => 50,
        2_500..10_000 => 100,
        10_000..25_000 => 250,
        25_000..50_000 => 500,
        50_000..100_000 => 1_000,
        _ => 2_500,
    }
}

fn csv(bids: &[Bid]) -> String {
    let mut out = String::with_capacity(bids.len() * 80);
    for bid in bids {
        let (cents, opening, price) =
            (Decimal(bid.cents, 2), Decimal(bid.opening, 2), Decimal(bid.price, 2));
        let Bid { auction, bidder, rating, item, days, .. } = bid;
        let time = Decimal(bid.time, 6);
        writeln!(out, "{auction},{cents},{time},{bidder},{rating},{opening},{price},{item},{days}")
            .expect("a string takes any text");
    }
    out
}

/// A whole number with its last digits behind a point, without needless zeros.
struct Decimal(u64, u32);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10u64.pow(self.1);
        let (mut part, mut digits) = (self.0 % unit, self.1 as usize);
        while digits > 0 && part % 10 == 0 {
            (part, digits) = (part / 10, digits - 1);
        }
        write!(f, "{}", self.0 / unit)?;
        if digits > 0 { write!(f, ".{part:0digits$}") } else { Ok(()) }
    }
}

/// What the rules of an auction make of bids taken in order of time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    bids: usize,
    auctions: usize,
    accepted: usize,
    below_opening: usize,
    too_low: usize,
    highest_cents: u64,
}

fn judge(bids: &[Bid]) -> Tally {
    let mut order: Vec<&Bid> = bids.iter().collect();
    order.sort_by_key(|bid| bid.time); // Stable: bids of the same moment keep their file order.
    let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
    let mut tally = Tally { bids: bids.len(), ..Tally::default() };
    for bid in order {
        if bid.cents < bid.opening {
            tally.below_opening += 1;
        } else if highest.get(&bid.auction).is_some_and(|highest| bid.cents <= *highest) {
            tally.too_low += 1;
        } else {
            tally.accepted += 1;
            highest.insert(bid.auction, bid.cents);
        }
    }
    tally.auctions = bids.iter().map(|bid| bid.auction).collect::<BTreeSet<_>>().len();
    tally.highest_cents = highest.values().sum();
    tally
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { bids, auctions, accepted, below_opening, too_low, highest_cents } = self;
        let (whole, part) = (highest_cents / 100, highest_cents % 100);
        write!(
            f,
            "{bids} bids of {auctions} auctions; by time, {accepted} are accepted, {too_low} too low, \
             {below_opening} below the opening bid; the highest sum to {whole}.{part:02}"
        )
    }
}

/// SplitMix64: small, quick, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to one less than `end`, which is at least 1.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 to one less than `end`; each number half as likely as the one before it.
    fn skewed(&mut self, end: u32) -> usize {
        self.next().trailing_zeros().min(end - 1) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed| csv(&invent(seed, 3_000));
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn seeds_keep_their_meaning_from_machine_to_machine() {
        let expected = Tally {
            bids: 10_000,
            auctions: 836,
            accepted: 4_501,
            below_opening: 1,
            too_low: 5_498,
            highest_cents: 27_968_563,
        };
        assert_eq!(judge(&invent(1, COUNT_DEFAULT)), expected);
    }

    #[test]
    fn the_bids_are_like_real_ones() {
        for seed in 0..20 {
            let bids = invent(seed, COUNT_DEFAULT);
            let tally = judge(&bids);
            assert_eq!(tally.bids, COUNT_DEFAULT);
            assert!((400..900).contains(&tally.auctions), "seed {seed}: {tally}");
            assert!((4_000..6_000).contains(&tally.accepted), "seed {seed}: {tally}");
            assert!(!bids.is_sorted_by_key(|bid| bid.time), "seed {seed}: in order of time");
            assert!(bids.iter().all(|bid| bid.time < bid.days * DAY), "seed {seed}: after the end");
        }
    }

    #[test]
    fn every_line_has_nine_plain_fields() {
        for line in csv(&invent(7, 2_000)).lines() {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), 9, "{line}");
            assert!(fields.iter().all(|field| !field.is_empty() && !field.contains(['"', ' '])));
            for amount in [fields[1], fields[5], fields[6]] {
                let decimals = amount.split_once('.').map_or(0, |(_, part)| part.len());
                assert!(decimals <= 2 && amount.parse::<f64>().is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn decimals_lose_only_needless_zeros() {
        let shown = [Decimal(9_500, 2), Decimal(9_550, 2), Decimal(1, 2), Decimal(2_000_010, 6)];
        assert_eq!(shown.map(|number| number.to_string()), ["95", "95.5", "0.01", "2.00001"]);
    }
}
