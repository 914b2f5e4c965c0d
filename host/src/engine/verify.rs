//! Checks a whole store: every chain from its first event, every number, and the order over all
//! scopes.

use super::handle::Engine;
use crate::log::{ReadError, ScopeRow, check_indexed};
use atomic_store_core::chain::Broken;
use atomic_store_core::protocol::VerifyReport;
use atomic_store_core::{Position, ScopeName, Seq};
use std::ops::ControlFlow;

/// Scopes fetched at a time.
const PAGE: usize = 1_000;
/// Events between two reports of progress.
const STEP: u64 = 10_000;
/// Lines about damage that a report holds.
const DAMAGE_MAX: usize = 100;

impl Engine {
    /// Checks one scope, or the whole store. `progress` gets scopes done, scopes in all and events
    /// done, and may stop the work. Blocks; reads everything.
    ///
    /// # Errors
    /// [`ReadError`] if the storage fails. Damage is not an error but a line of the report.
    pub fn verify(
        &self,
        scope: Option<&ScopeName>,
        progress: &mut dyn FnMut(u64, u64, u64) -> ControlFlow<()>,
    ) -> Result<VerifyReport, ReadError> {
        let mut run = Run { engine: self, report: VerifyReport::default(), of: 1, progress };
        match scope {
            Some(scope) => match self.shared.log.scope(scope) {
                // With one scope there is nothing left to stop.
                Ok(Some(row)) => run.scope(&row).map(|_stopped| ())?,
                Ok(None) => {}
                Err(error) => run.damage(error)?,
            },
            None => run.everything()?,
        }
        Ok(run.report)
    }
}

struct Run<'a> {
    engine: &'a Engine,
    report: VerifyReport,
    of: u64,
    progress: &'a mut dyn FnMut(u64, u64, u64) -> ControlFlow<()>,
}

impl Run<'_> {
    fn everything(&mut self) -> Result<(), ReadError> {
        let log = &self.engine.shared.log;
        self.of = log.scope_count();
        let end = log.position();
        let changes = self.engine.shared.registry.changes();
        let mut after = String::new();
        loop {
            let page = match log.scopes("", &after, PAGE) {
                Ok(page) => page,
                Err(error) => return self.damage(error),
            };
            let Some(last) = page.last() else { break };
            after = last.name.as_str().to_owned();
            for row in &page {
                if self.scope(row)?.is_break() {
                    return Ok(());
                }
            }
        }
        self.order(end, changes)
    }

    fn scope(&mut self, row: &ScopeRow) -> Result<ControlFlow<()>, ReadError> {
        let mut walk = row.walk_after(Seq::ZERO);
        let before = self.report.bytes;
        let mut stopped = ControlFlow::Continue(());
        let (report, progress) = (&mut self.report, &mut self.progress);
        let (of, log) = (self.of, &*self.engine.shared.log);
        let mut unindexed = Ok(());
        let result = log.read(row, &mut walk, row.head, &mut |view| {
            report.events += 1;
            report.bytes += view.as_bytes().len() as u64;
            if unindexed.is_ok() {
                unindexed = check_indexed(log, row, view);
            }
            if report.events.is_multiple_of(STEP) {
                stopped = progress(report.scopes, of, report.events);
            }
            stopped
        });
        if let Err(error) = result {
            self.damage(error)?;
        } else if stopped.is_continue() && walk.head() < row.head {
            let found = Broken::Short { expected: row.head, found: walk.head() };
            let (scope, seq) = (row.name.clone(), walk.head().next());
            self.damage(ReadError::Damaged { scope, seq, found })?;
        } else if stopped.is_continue() {
            self.scope_as_recorded(row, self.report.bytes - before)?;
        }
        if let Err(error) = unindexed {
            self.damage(error)?;
        }
        self.report.scopes += 1;
        if stopped.is_continue() {
            stopped = (self.progress)(self.report.scopes, self.of, self.report.events);
        }
        Ok(stopped)
    }

    /// The scope begins where `$system` says, and has as many bytes as its row says.
    fn scope_as_recorded(&mut self, row: &ScopeRow, bytes: u64) -> Result<(), ReadError> {
        let recorded = self.engine.shared.registry.floor(&row.name);
        if bytes == row.bytes && recorded == row.floor {
            return Ok(());
        }
        // It may have been deleted while it was read.
        match self.engine.shared.log.scope(&row.name) {
            Ok(Some(now)) if now.floor == row.floor => {}
            Ok(_) => return Ok(()),
            Err(error) => return self.damage(error),
        }
        let name = &row.name;
        if bytes != row.bytes {
            self.line(format!("scope {name}: its row says {} bytes, not {bytes}", row.bytes));
        }
        if recorded != row.floor && self.engine.shared.registry.floor(name) == recorded {
            let (said, found) = (recorded.seq, row.floor.seq);
            self.line(format!(
                "scope {name}: it begins after event {found}, but $system says after event {said}, or \
                 with another hash"
            ));
        }
        Ok(())
    }

    /// Every event has one place in the common order, and places rise. Whether all are there cannot
    /// be told if scopes came or went since `changes`.
    fn order(&mut self, end: Position, changes: u64) -> Result<(), ReadError> {
        let mut last = Position(0);
        let mut events: u64 = 0;
        let (mut problem, mut stopped) = (None, ControlFlow::Continue(()));
        let (scopes, of, all) = (self.report.scopes, self.of, self.report.events);
        let progress = &mut self.progress;
        let result = self.engine.shared.log.read_order(Position(0), &mut |scope, view| {
            let position = view.position();
            if position > end {
                return ControlFlow::Break(());
            }
            if position <= last {
                let seq: Seq = view.seq();
                problem = Some(format!("{scope} {seq} stands at {position}, after {last}"));
                return ControlFlow::Break(());
            }
            last = position;
            events += 1;
            if events.is_multiple_of(STEP) {
                stopped = progress(scopes, of, all + events);
            }
            stopped
        });
        if let Err(error) = result {
            return self.damage(error);
        }
        if stopped.is_break() {
            return Ok(());
        }
        if let Some(problem) = problem {
            self.line(format!("the order over all scopes: {problem}"));
        } else if self.engine.shared.registry.changes() == changes
            && self.report.damage.is_empty()
            && events < self.report.events
            && last < end
        {
            let (found, all) = (events, self.report.events);
            self.line(format!("the order over all scopes holds {found} of {all} events"));
        }
        Ok(())
    }

    /// Damage goes into the report; a failing disk ends the work.
    fn damage(&mut self, error: ReadError) -> Result<(), ReadError> {
        match error {
            ReadError::Storage(_) => Err(error),
            ReadError::Damaged { .. } | ReadError::DamagedIndex(_) => {
                self.engine.shared.sealed.note(&error);
                self.line(error.to_string());
                Ok(())
            }
        }
    }

    fn line(&mut self, line: String) {
        if self.report.damage.len() < DAMAGE_MAX {
            self.report.damage.push(line);
        }
    }
}
