//! What stored events are today, as a scope's present rules say.

use super::admin::invalid;
use super::handle::Engine;
use super::mailbox::as_request_error;
use super::pending::Pending;
use crate::log::ScopeRow;
use crate::validator::{Start, StartError};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Fault, Invalid, Proposal, ScopeName, Seq};
use std::sync::Arc;

impl Engine {
    /// What events of a scope are today, in order; nothing for one that is as it was. As many as a page
    /// of a read holds, but one at least: whoever gets fewer than asked for asks again for the rest.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// `Invalid` if there is no such event or more are asked for than a page may have; otherwise why the
    /// scope's rules do not answer.
    pub fn upcast(
        &self,
        scope: &ScopeName,
        seqs: &[Seq],
    ) -> Result<Vec<Option<Proposal>>, RequestError> {
        let shared = &self.shared;
        let most = shared.limits.page_events_max.max(1);
        if seqs.len() > most {
            let why = format!("{} events, at most {most} are allowed", seqs.len());
            return Err(invalid(Invalid::new("seqs", why)));
        }
        let row = shared.log.scope(scope).map_err(|error| shared.read_refusal(&error))?;
        let there = |row: &ScopeRow, seq: &Seq| *seq > row.floor.seq && *seq <= row.head;
        let row = row.filter(|row| seqs.iter().all(|seq| there(row, seq))).ok_or_else(|| {
            invalid(Invalid::new("seqs", "the scope does not have all of these events"))
        })?;
        let ruling = shared.registry.ruling(scope).map_err(as_request_error)?;
        if !ruling.rules.upcasts() {
            return Ok(vec![None; seqs.len()]);
        }
        let head = row.head;
        let past = Arc::new(Pending::past(Arc::clone(&shared.log), Arc::new(row), head));
        let start = Start {
            scope,
            config: ruling.binding.config.as_deref(),
            snapshot: None,
            history: Arc::clone(&past) as _,
        };
        let mut instance = ruling.rules.start(start).map_err(|error| match error {
            StartError::Declined(why) => RequestError::Failed(why),
            StartError::NoRoom(why) => RequestError::Overloaded(why),
            StartError::Fault(fault) => failed(&fault),
        })?;
        let (mut newer, mut bytes) = (Vec::new(), 0);
        for seq in seqs {
            let asked = past.event(*seq, |_, body| instance.upcast(std::slice::from_ref(body)));
            let asked = asked.map_err(|error| shared.read_refusal(&error))?;
            let one = asked.map_err(|fault| failed(&fault))?.pop().flatten();
            bytes += one.as_ref().map_or(0, Proposal::size);
            if bytes > shared.limits.page_bytes_max && !newer.is_empty() {
                break;
            }
            newer.push(one);
        }
        Ok(newer)
    }
}

fn failed(fault: &Fault) -> RequestError {
    let (kind, detail) = (fault.kind.word(), &fault.detail);
    RequestError::Failed(format!("the validator did not answer ({kind}): {detail}"))
}
