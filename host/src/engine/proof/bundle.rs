//! Puts all that a verdict depended on into one file.

use super::ruled::{Rule, Ruled};
use crate::engine::admin::invalid;
use crate::engine::handle::Engine;
use crate::engine::registry::rule_of;
use crate::engine::shared::Shared;
use crate::log::{Floor, ScopeRow};
use atomic_store_core::bundle::{Bundle, BundleOf};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Append, AppendId, Invalid, Limits, Outcome, Proposal, Rejection, ScopeId, ScopeName, Seq,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Room in a bundle for what is neither component nor event nor proposal.
const SLACK: usize = 64 * 1024;

/// What is asked, of whom and when.
struct Asked {
    rule: Rule,
    head: Seq,
    host_ms: u64,
    proposals: Vec<Proposal>,
    recorded: Option<Outcome>,
}

impl Engine {
    /// Makes a replay bundle of a verdict. It holds all events before the append, or the newest snapshot
    /// and those behind it if they are too many. Blocks while it reads.
    ///
    /// # Errors
    /// `NotFound` if there is no such rejection, `Invalid` if there is nothing to replay or it is too
    /// large.
    pub fn bundle(&self, scope: &ScopeName, of: BundleOf) -> Result<Vec<u8>, RequestError> {
        let shared = &*self.shared;
        let failed = |error| shared.read_refusal(&error);
        let row = shared.log.scope(scope).map_err(failed)?;
        let row = row.unwrap_or_else(|| ScopeRow::empty(ScopeId(0), scope.clone()));
        let asked = match of {
            BundleOf::Rejection(number) => rejected(shared, scope, number)?,
            BundleOf::Proposals(proposals) => proposed(shared, &row, proposals)?,
        };
        if asked.head < row.floor.seq {
            let why = format!("the events of {scope} up to {} were deleted", row.floor.seq);
            return Err(invalid(Invalid::new("scope", why)));
        }
        let component = shared.log.module(&asked.rule.validator).map_err(failed)?;
        let component = component.ok_or_else(|| {
            let which = asked.rule.validator.short();
            let why = format!("{which} comes with the store or is not here; there is no component");
            invalid(Invalid::new("validator", why))
        })?;
        let size = asked.proposals.iter().map(Proposal::size).sum::<usize>();
        let room = Limits::BUNDLE_BYTES_MAX.saturating_sub(SLACK + component.len() + size);
        let (snapshot, begin, records) = history(shared, &row, &asked, room)?;
        let bundle = Bundle {
            scope: scope.clone(),
            component,
            config: asked.rule.config.as_deref().map(<[u8]>::to_vec),
            snapshot,
            after: begin.seq,
            hash: begin.hash,
            records,
            host_ms: asked.host_ms,
            proposals: asked.proposals,
            recorded: asked.recorded,
            limits: Box::new(shared.limits.clone()),
        };
        bundle.encode().map_err(|why| invalid(Invalid::new("bundle", why.to_string())))
    }
}

/// What an entry of the journal of rejections was asked.
fn rejected(shared: &Shared, scope: &ScopeName, number: u64) -> Result<Asked, RequestError> {
    let failed = |error| shared.read_refusal(&error);
    let mut found: Option<Rejection> = None;
    let after = number.saturating_sub(1);
    shared
        .log
        .rejections(Some(scope), after, &mut |entry| {
            found = Some(entry).filter(|entry| entry.number == number);
            ControlFlow::Break(())
        })
        .map_err(failed)?;
    let entry = found.ok_or_else(|| {
        let why =
            format!("{scope} has no rejection {number}; see: atomic-store rejections {scope}");
        RequestError::NotFound(why)
    })?;
    let judge = entry.judge.ok_or_else(|| {
        let why = "it was refused by a condition, and no validator was asked";
        invalid(Invalid::new("rejection", why))
    })?;
    let proposals = entry.proposals.ok_or_else(|| {
        let why = "its payload was not kept; serve with --keep-rejected-payloads";
        invalid(Invalid::new("rejection", why))
    })?;
    let ruled = Ruled::read(shared).map_err(failed)?;
    let rule = ruled.rule(scope, judge.binding).cloned().ok_or_else(|| {
        let why = format!("$system does not say how {} was bound to {scope}", judge.validator);
        RequestError::NotFound(why)
    })?;
    let (head, host_ms, recorded) = (entry.head, entry.host_ms, Some(entry.outcome));
    Ok(Asked { rule, head, host_ms, proposals, recorded })
}

/// What an append to the last durable event would ask.
fn proposed(
    shared: &Shared,
    row: &ScopeRow,
    proposals: Vec<Proposal>,
) -> Result<Asked, RequestError> {
    let append = Append::new(row.name.clone(), AppendId::default(), proposals);
    shared.limits.check_append(&append).map_err(invalid)?;
    let binding = shared
        .registry
        .binding(&row.name)
        .ok_or_else(|| RequestError::NotFound(format!("no validator is bound to {}", row.name)))?;
    Ok(Asked {
        rule: Rule { validator: binding.validator, config: binding.config.map(Arc::from) },
        head: row.head,
        host_ms: shared.clock.now_ms(),
        proposals: append.proposals,
        recorded: None,
    })
}

type History = (Option<Vec<u8>>, Floor, Vec<serde_bytes::ByteBuf>);

/// The events up to the head, or a snapshot and those behind it.
fn history(
    shared: &Shared,
    row: &ScopeRow,
    asked: &Asked,
    room: usize,
) -> Result<History, RequestError> {
    if let Some(records) = records(shared, row, row.walk_after(Seq::ZERO), asked.head, room)? {
        return Ok((None, row.floor, records));
    }
    let failed = |error| shared.read_refusal(&error);
    let rule = rule_of(&asked.rule.validator, asked.rule.config.as_deref());
    if let Some(snapshot) = shared.log.snapshot(row.id, &rule, asked.head).map_err(failed)? {
        let begin = Floor { seq: snapshot.seq, hash: snapshot.hash };
        let walk = Walk::from(snapshot.seq, snapshot.hash);
        let room = room.saturating_sub(snapshot.state.len());
        if let Some(records) = records(shared, row, walk, asked.head, room)? {
            return Ok((Some(snapshot.state), begin, records));
        }
    }
    let max = Limits::BUNDLE_BYTES_MAX;
    let why = format!("the events before the append have more than the {max} bytes of a bundle");
    Err(invalid(Invalid::new("bundle", why)))
}

/// The records up to an event; nothing if they are too large.
fn records(
    shared: &Shared,
    row: &ScopeRow,
    mut walk: Walk,
    head: Seq,
    room: usize,
) -> Result<Option<Vec<serde_bytes::ByteBuf>>, RequestError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    if walk.head() < head {
        let read = shared.log.read(row, &mut walk, head, &mut |view| {
            bytes += view.as_bytes().len() + 8;
            records.push(serde_bytes::ByteBuf::from(view.as_bytes()));
            if bytes > room { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        read.map_err(|error| shared.read_refusal(&error))?;
    }
    Ok((bytes <= room).then_some(records))
}
