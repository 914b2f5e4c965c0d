//! Which entries of the journal of rejections are kept: the newest of each scope and of all.

use atomic_store_core::{Limits, ScopeName};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The numbers that are kept, by scope and in all. Numbers only rise.
#[derive(Debug)]
pub(super) struct Kept {
    last: u64,
    scope_max: usize,
    max: usize,
    all: BTreeMap<u64, ScopeName>,
    scopes: HashMap<ScopeName, VecDeque<u64>>,
}

impl Kept {
    /// Nothing yet. At least one entry is always kept: the last number is known by it.
    pub(super) fn new(limits: &Limits) -> Self {
        let (scope_max, max) = (limits.rejections_scope_max.max(1), limits.rejections_max.max(1));
        Kept { last: 0, scope_max, max, all: BTreeMap::new(), scopes: HashMap::new() }
    }

    /// Takes up an entry that is stored already.
    pub(super) fn found(&mut self, number: u64, scope: &ScopeName) {
        self.last = self.last.max(number);
        self.all.insert(number, scope.clone());
        self.scopes.entry(scope.clone()).or_default().push_back(number);
    }

    /// Gives the next entry its number, and says which entries must go for it.
    pub(super) fn add(&mut self, scope: &ScopeName) -> (u64, Vec<u64>) {
        let number = self.last + 1;
        self.found(number, scope);
        let mut gone = Vec::new();
        if let Some(numbers) = self.scopes.get_mut(scope) {
            while numbers.len() > self.scope_max {
                gone.extend(numbers.pop_front());
            }
        }
        for number in &gone {
            self.all.remove(number);
        }
        while self.all.len() > self.max {
            let Some((oldest, scope)) = self.all.pop_first() else { break };
            if let Some(numbers) = self.scopes.get_mut(&scope) {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.scopes.remove(&scope);
                }
            }
            gone.push(oldest);
        }
        (number, gone)
    }
}
