//! Which entries of the journal of rejections are kept: the newest of each scope and of all, by number
//! and by bytes. It holds what is visible, and answers all that needs no entry itself.

use atomic_store_core::{Limits, Rejection, RejectionCount, RejectionsEnd};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Bytes of a class; a code that is longer is cut.
const CLASS_BYTES_MAX: usize = 96;

/// What is known of an entry without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: u64,
    /// Stands for its scope.
    pub(super) tag: u64,
    /// Bytes of it.
    pub(super) bytes: u32,
    /// What it is counted under: outcome, a zero, code.
    pub(super) class: Arc<str>,
}

/// The entries that are kept. Numbers only rise.
#[derive(Debug)]
pub(super) struct Kept {
    limits: (Bound, Bound),
    /// The last number that was given.
    last: u64,
    /// The last one that had to go for others than its scope's.
    floor: u64,
    rows: BTreeMap<u64, Row>,
    scopes: HashMap<u64, Scope>,
    bytes: u64,
    counts: BTreeMap<Arc<str>, u64>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Bound {
    entries: usize,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Scope {
    numbers: VecDeque<u64>,
    bytes: u64,
    counts: BTreeMap<Arc<str>, u64>,
}

impl Kept {
    /// Nothing yet. At least one entry is always kept.
    pub(super) fn new(limits: &Limits) -> Self {
        let bound = |entries: usize, bytes: usize| Bound { entries, bytes: bytes as u64 };
        Kept {
            limits: (
                bound(limits.rejections_scope_max, limits.rejections_scope_bytes_max),
                bound(limits.rejections_max, limits.rejections_bytes_max),
            ),
            last: 0,
            floor: 0,
            rows: BTreeMap::new(),
            scopes: HashMap::new(),
            bytes: 0,
            counts: BTreeMap::new(),
        }
    }

    /// The last number that was given.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The oldest entry that is kept; 0 if there is none.
    pub(super) fn first(&self) -> u64 {
        self.rows.first_key_value().map_or(0, |(number, _)| *number)
    }

    /// Gives no number up to this one any more.
    pub(super) fn skip_to(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Entries up to this one may have been dropped, of whatever scope.
    pub(super) fn dropped_to(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    /// Numbers entries that come next, each with the tag of its scope, and says what each follows. They
    /// are not kept by that.
    pub(super) fn number<'a>(&self, entries: impl Iterator<Item = (u64, &'a mut Rejection)>) {
        let mut last = self.last;
        let mut previous = self.rows.last_key_value().map_or(self.floor, |(number, _)| *number);
        let mut of_scopes: HashMap<u64, u64> = HashMap::new();
        for (tag, entry) in entries {
            last += 1;
            let kept = || self.scopes.get(&tag).and_then(|scope| scope.numbers.back().copied());
            let of_scope = of_scopes.entry(tag).or_insert_with(|| kept().unwrap_or(self.floor));
            (entry.number, entry.previous, entry.previous_of_scope) = (last, previous, *of_scope);
            (previous, *of_scope) = (last, last);
        }
    }

    /// Takes up the next entry; gives back what must go for it.
    pub(super) fn add(&mut self, mut row: Row) -> Vec<Row> {
        self.last = self.last.max(row.number);
        // One text for all that are counted together.
        if let Entry::Occupied(known) = self.counts.entry(Arc::clone(&row.class)) {
            row.class = Arc::clone(known.key());
        }
        let (tag, number, bytes) = (row.tag, row.number, u64::from(row.bytes));
        *self.counts.entry(Arc::clone(&row.class)).or_default() += 1;
        self.bytes += bytes;
        let scope = self.scopes.entry(tag).or_default();
        scope.numbers.push_back(number);
        scope.bytes += bytes;
        *scope.counts.entry(Arc::clone(&row.class)).or_default() += 1;
        self.rows.insert(number, row);
        let mut gone = Vec::new();
        let (of_scope, of_all) = self.limits;
        while let Some(scope) = self.scopes.get(&tag)
            && of_scope.is_broken(scope.numbers.len(), scope.bytes)
            && let Some(oldest) = scope.numbers.front().copied()
        {
            gone.extend(self.drop_row(oldest));
        }
        while of_all.is_broken(self.rows.len(), self.bytes)
            && let Some((oldest, _)) = self.rows.first_key_value()
        {
            self.floor = self.floor.max(*oldest);
            let oldest = *oldest;
            gone.extend(self.drop_row(oldest));
        }
        gone
    }

    /// The oldest of a scope goes.
    fn drop_row(&mut self, number: u64) -> Option<Row> {
        let row = self.rows.remove(&number)?;
        self.bytes -= u64::from(row.bytes);
        lower(&mut self.counts, &row.class);
        if let Some(scope) = self.scopes.get_mut(&row.tag) {
            scope.numbers.pop_front();
            scope.bytes -= u64::from(row.bytes);
            lower(&mut scope.counts, &row.class);
            if scope.numbers.is_empty() {
                self.scopes.remove(&row.tag);
            }
        }
        Some(row)
    }

    /// True if the entry is kept.
    pub(super) fn holds(&self, number: u64) -> bool {
        self.rows.contains_key(&number)
    }

    /// The next entries after a number, of one scope or of all.
    pub(super) fn next(&self, tag: Option<u64>, after: u64, at_most: usize) -> Vec<Row> {
        let Some(from) = after.checked_add(1) else { return Vec::new() };
        let Some(tag) = tag else {
            return self.rows.range(from..).take(at_most).map(|(_, row)| row.clone()).collect();
        };
        let Some(scope) = self.scopes.get(&tag) else { return Vec::new() };
        let numbers = scope.numbers.range(scope.numbers.partition_point(|n| *n < from)..);
        numbers.take(at_most).filter_map(|number| self.rows.get(number).cloned()).collect()
    }

    /// Where it ends, for one scope or for all.
    pub(super) fn end(&self, tag: Option<u64>, last: u64) -> RejectionsEnd {
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let (newest, before) = match tag {
            None => {
                let newest = self.rows.last_key_value().map(|(number, _)| *number);
                (newest, self.rows.keys().rev().nth(last).copied())
            }
            Some(tag) => {
                let numbers = self.scopes.get(&tag).map(|scope| &scope.numbers);
                let newest = numbers.and_then(|numbers| numbers.back().copied());
                (newest, numbers.and_then(|numbers| numbers.iter().rev().nth(last).copied()))
            }
        };
        RejectionsEnd {
            after: if last == 0 { self.last } else { before.unwrap_or(0) },
            newest: newest.unwrap_or(0),
            end: self.last,
        }
    }

    /// How often there is what, of one scope or of all.
    pub(super) fn counts(&self, tag: Option<u64>) -> Vec<RejectionCount> {
        let counts = match tag {
            None => Some(&self.counts),
            Some(tag) => self.scopes.get(&tag).map(|scope| &scope.counts),
        };
        let counts = counts.into_iter().flatten().map(|(class, count)| {
            let (outcome, code) = class.split_once('\0').unwrap_or((class, ""));
            RejectionCount { outcome: outcome.to_owned(), code: code.to_owned(), count: *count }
        });
        counts.collect()
    }
}

impl Bound {
    /// True if the oldest must go; never of the only one.
    fn is_broken(self, entries: usize, bytes: u64) -> bool {
        entries > 1 && (entries > self.entries || bytes > self.bytes)
    }
}

fn lower(counts: &mut BTreeMap<Arc<str>, u64>, class: &Arc<str>) {
    if let Entry::Occupied(mut count) = counts.entry(Arc::clone(class)) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// What an entry is counted under; `last` is what one before it was, and perhaps the same.
pub(super) fn class(entry: &Rejection, last: &Arc<str>) -> Arc<str> {
    if last.split_once('\0') == Some((entry.outcome.word(), entry.code())) {
        return Arc::clone(last);
    }
    let mut text = format!("{}\0{}", entry.outcome.word(), entry.code());
    let cut = text.floor_char_boundary(CLASS_BYTES_MAX);
    text.truncate(cut);
    Arc::from(text)
}
