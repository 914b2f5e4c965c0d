//! Every cap of the system, with its default and the reason for the number.
//!
//! A guest or client that breaks a cap harms its own append and nothing else. Checks that need no
//! more than the value stand here too, so that host, client and tests refuse the same things with
//! the same words.

use crate::{Append, Condition, Filter, Invalid, JointAppend, Key, Proposal, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// The caps of one store. All are inclusive: the value itself is allowed, one more is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of one frame on the wire. Holds one full append with room for names. Default 8 MiB.
    pub frame_bytes_max: usize,
    /// Bytes of one payload. Larger things belong in a blob store, with their digest in the event.
    /// Default 1 MiB.
    pub payload_bytes_max: usize,
    /// Events of one append. Default 1,000.
    pub append_events_max: usize,
    /// Bytes of one append, all proposals together. Default 4 MiB.
    pub append_bytes_max: usize,
    /// Scopes of one joint append; its events and bytes count together. Default 16.
    pub parts_max: usize,
    /// Bytes of an event's kind. Default 128.
    pub kind_bytes_max: usize,
    /// Bytes of a media type. Default 128.
    pub content_type_bytes_max: usize,
    /// Keys, and likewise triggers, of one event. Default 32.
    pub keys_max: usize,
    /// Bytes of each half of a key. Default 256.
    pub key_bytes_max: usize,
    /// Events that one condition declares as dealt with. Default 1,000.
    pub resolved_max: usize,
    /// Conflicts in one answer; their events together are no more bytes than a page of a read.
    /// Default 100.
    pub conflicts_max: usize,
    /// Metadata pairs of one event. Default 32.
    pub metadata_max: usize,
    /// Bytes of each half of a metadata pair. Default 1 KiB.
    pub metadata_bytes_max: usize,

    /// Reasons of one refusal. Default 16.
    pub reasons_max: usize,
    /// Bytes of a reason's code. Default 64.
    pub reason_code_bytes_max: usize,
    /// Bytes of a reason's message, and of the reason of an acceptance. Default 1 KiB.
    pub reason_message_bytes_max: usize,
    /// Bytes of the data of a reason, and of the meta of an answer. Default 64 KiB.
    pub answer_data_bytes_max: usize,
    /// Bytes of a query's name and arguments together. Default 64 KiB.
    pub query_args_bytes_max: usize,
    /// Bytes of a query's answer. Default 1 MiB.
    pub query_answer_bytes_max: usize,

    /// Appends waiting in one scope's mailbox. A deeper queue only adds latency: at 100,000 a
    /// second this is 40 ms. Default 4,096.
    pub mailbox_len_max: usize,
    /// Appends in flight in the whole store. Default 65,536.
    pub in_flight_appends_max: usize,
    /// Bytes of appends in flight in the whole store. Default 256 MiB.
    pub in_flight_bytes_max: usize,
    /// Events of one group commit. Beyond about 500 the tree's own cost per event rules.
    /// Default 2,048.
    pub group_events_max: usize,
    /// Bytes of one group commit. Default 1 MiB; one larger append still goes alone.
    pub group_bytes_max: usize,

    /// Connections at a time. Default 1,024.
    pub sessions_max: usize,
    /// Requests in flight of one connection. Default 4,096.
    pub session_calls_max: usize,
    /// Subscriptions of one connection. Default 1,024.
    pub session_subscriptions_max: usize,
    /// Bytes that wait to be written to one connection. Default 8 MiB.
    pub session_out_bytes_max: usize,
    /// Milliseconds a new connection has to say hello. Default 5,000.
    pub hello_ms_max: u64,
    /// Milliseconds from the first to the last byte of a frame. Default 30,000.
    pub frame_ms_max: u64,
    /// Milliseconds a subscriber may refuse to read before it is cut off with the place to resume
    /// from. Default 10,000.
    pub slow_reader_ms_max: u64,
    /// Events of one page of a read. Default 1,000.
    pub page_events_max: usize,
    /// Bytes of one page of a read, once it holds one event. Default 1 MiB.
    pub page_bytes_max: usize,
    /// Batches of one what-if; together they are no more events and bytes than one append. Default 100.
    pub what_if_batches_max: usize,
    /// Keys, and likewise kinds of keys, kinds and triggers, of a filter. Default 64.
    pub filter_max: usize,
    /// Keys whose history one read may replay, and triggers that may fire in it. Default 10,000.
    pub replay_keys_max: usize,

    /// Bytes of a component. A Python validator has 18 MB. Default 32 MiB.
    pub component_bytes_max: usize,
    /// Milliseconds that compiling a component may take. A Python validator takes 4 seconds on two
    /// cores. Default 60,000.
    pub compile_ms_max: u64,
    /// Bytes of memory that compiling a component may take, in a process of its own. Default 2,048 MiB.
    pub compile_memory_bytes_max: u64,
    /// Bytes of machine code that a component may compile to. Default 256 MiB.
    pub code_bytes_max: usize,
    /// Bytes of machine code that are kept on disk for the next start, of all components together; the
    /// least recently used goes first. Default 1,024 MiB.
    pub code_cache_bytes_max: u64,
    /// Milliseconds after which the self-test of a component tries nothing more. Default 5,000.
    pub self_test_ms_max: u64,
    /// Validators that may be loaded. Default 1,000.
    pub components_max: usize,
    /// Bindings at a time. Default 1,000.
    pub bindings_max: usize,
    /// Bytes of a binding's configuration. All bindings together fit into a frame. Default 4 KiB.
    pub config_bytes_max: usize,
    /// Scopes that operators may have sealed at a time. Default 10,000.
    pub sealed_scopes_max: usize,
    /// Records of one part of a scope that is restored. Default 10,000.
    pub restore_records_max: usize,
    /// Bytes of one part of a scope that is restored, its records together. Default 4 MiB.
    pub restore_bytes_max: usize,
    /// Fuel of one call. A validation takes about 1 thousand in C and 60 thousand in Go.
    /// Default 1,000,000,000, which is less than a second.
    pub call_fuel_max: u64,
    /// Milliseconds of wall-clock time of one call. Default 1,000.
    pub call_ms_max: u64,
    /// Milliseconds a client has to judge its own append, where a binding to `originator` does not say
    /// less. Default 5,000.
    pub originator_ms_max: u64,
    /// Bytes of one linear memory. Default 64 MiB.
    pub memory_bytes_max: usize,
    /// Elements of one table. Python needs 7,700. Default 20,000.
    pub table_elements_max: usize,
    /// Bytes of the stack of guest code. Default 512 KiB.
    pub stack_bytes_max: usize,
    /// Bytes that one call may hand from guest to host. Default 8 MiB.
    pub hostcall_bytes_max: usize,
    /// Calls from guest to host during one call. Default 10,000.
    pub hostcalls_max: u32,
    /// Log lines kept of one call. Default 32.
    pub log_lines_max: usize,
    /// Bytes kept of one log line. Default 1 KiB.
    pub log_line_bytes_max: usize,
    /// Validator instances alive at a time. Four memory maps each, of the 65,530 that Linux grants
    /// by default. Default 10,000.
    pub instances_max: usize,
    /// Bytes of memory of all instances; beyond it cold scopes leave. An instance counts by its data, 32
    /// KiB and all that its linear memory has grown by beyond 64 KiB. Default 1,024 MiB.
    pub instance_bytes_max: usize,
    /// Bytes of appends that wait for candidates; more are not compared. Default 16 MiB.
    pub trial_bytes_max: usize,
    /// Bytes of a snapshot. Default 16 MiB.
    pub snapshot_bytes_max: usize,
    /// Events after which a scope's snapshot is renewed. Default 10,000.
    pub snapshot_events: u64,
    /// Milliseconds from one scope's scrub of snapshots to the next; 0 for never. Default 60,000.
    pub scrub_ms: u64,
    /// Entries of the journal of rejections kept of one scope, at least 1. Default 1,000.
    pub rejections_scope_max: usize,
    /// Entries of the journal of rejections kept in all, at least 1. Default 100,000.
    pub rejections_max: usize,
    /// Bytes of them kept of one scope, but at least its newest entry. Default 8 MiB.
    pub rejections_scope_bytes_max: usize,
    /// Bytes of them kept in all, but at least the newest entry. Default 128 MiB.
    pub rejections_bytes_max: usize,
    /// Milliseconds a decided append id is remembered. Default one day.
    pub append_id_ms: u64,
    /// Free bytes on the disk below which appends are refused. Default 256 MiB.
    pub disk_reserve_bytes: u64,
}

impl Limits {
    /// Bytes of a scope's name, everywhere. Not configurable: names are checked as they are decoded.
    pub const SCOPE_NAME_BYTES_MAX: usize = 200;
    /// Bytes of a replay bundle. Not configurable: a bundle is replayed without a store.
    pub const BUNDLE_BYTES_MAX: usize = 128 * 1024 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Limits {
            frame_bytes_max: 8 * MIB,
            payload_bytes_max: MIB,
            append_events_max: 1_000,
            append_bytes_max: 4 * MIB,
            parts_max: 16,
            kind_bytes_max: 128,
            content_type_bytes_max: 128,
            keys_max: 32,
            key_bytes_max: 256,
            resolved_max: 1_000,
            conflicts_max: 100,
            metadata_max: 32,
            metadata_bytes_max: KIB,
            reasons_max: 16,
            reason_code_bytes_max: 64,
            reason_message_bytes_max: KIB,
            answer_data_bytes_max: 64 * KIB,
            query_args_bytes_max: 64 * KIB,
            query_answer_bytes_max: MIB,
            mailbox_len_max: 4_096,
            in_flight_appends_max: 65_536,
            in_flight_bytes_max: 256 * MIB,
            group_events_max: 2_048,
            group_bytes_max: MIB,
            sessions_max: 1_024,
            session_calls_max: 4_096,
            session_subscriptions_max: 1_024,
            session_out_bytes_max: 8 * MIB,
            hello_ms_max: 5_000,
            frame_ms_max: 30_000,
            slow_reader_ms_max: 10_000,
            page_events_max: 1_000,
            page_bytes_max: MIB,
            what_if_batches_max: 100,
            filter_max: 64,
            replay_keys_max: 10_000,
            component_bytes_max: 32 * MIB,
            compile_ms_max: 60_000,
            compile_memory_bytes_max: 2 * 1024 * 1024 * 1024,
            code_bytes_max: 256 * MIB,
            code_cache_bytes_max: 1024 * 1024 * 1024,
            self_test_ms_max: 5_000,
            components_max: 1_000,
            bindings_max: 1_000,
            config_bytes_max: 4 * KIB,
            sealed_scopes_max: 10_000,
            rejections_scope_max: 1_000,
            rejections_max: 100_000,
            rejections_scope_bytes_max: 8 * MIB,
            rejections_bytes_max: 128 * MIB,
            restore_records_max: 10_000,
            restore_bytes_max: 4 * MIB,
            call_fuel_max: 1_000_000_000,
            call_ms_max: 1_000,
            originator_ms_max: 5_000,
            memory_bytes_max: 64 * MIB,
            table_elements_max: 20_000,
            stack_bytes_max: 512 * KIB,
            hostcall_bytes_max: 8 * MIB,
            hostcalls_max: 10_000,
            log_lines_max: 32,
            log_line_bytes_max: KIB,
            instances_max: 10_000,
            instance_bytes_max: 1_024 * MIB,
            trial_bytes_max: 16 * MIB,
            snapshot_bytes_max: 16 * MIB,
            snapshot_events: 10_000,
            scrub_ms: 60_000,
            append_id_ms: 24 * 60 * 60 * 1_000,
            disk_reserve_bytes: 256 * 1024 * 1024,
        }
    }
}

/// Refuses `found` units above the cap.
pub(crate) fn cap(field: &str, unit: &str, found: usize, max: usize) -> Result<(), Invalid> {
    if found > max {
        return Err(Invalid::new(field, format!("{found} {unit}, at most {max} are allowed")));
    }
    Ok(())
}

impl Limits {
    /// Checks an append from outside.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_append(&self, append: &Append) -> Result<(), Invalid> {
        let condition = append.condition.as_ref();
        let size = self.check_part(&append.scope, condition, &append.proposals)?;
        self.check_together(size)
    }

    /// Checks a joint append from outside.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_joint(&self, append: &JointAppend) -> Result<(), Invalid> {
        let parts = &append.parts;
        if parts.is_empty() {
            return Err(Invalid::new("parts", "a joint append needs at least one part"));
        }
        cap("parts", "parts", parts.len(), self.parts_max)?;
        let mut all = (0, 0);
        for (n, part) in parts.iter().enumerate() {
            if parts[..n].iter().any(|before| before.scope == part.scope) {
                let why =
                    format!("{} is named twice; put all its events into one part", part.scope);
                return Err(Invalid::new("parts", why));
            }
            let condition = part.condition.as_ref();
            let size = self.check_part(&part.scope, condition, &part.proposals)?;
            all = (all.0 + size.0, all.1 + size.1);
        }
        self.check_together(all)
    }

    /// Checks what goes to one scope, and tells its events and bytes.
    fn check_part(
        &self,
        scope: &ScopeName,
        condition: Option<&Condition>,
        proposals: &[Proposal],
    ) -> Result<(usize, usize), Invalid> {
        if scope.is_reserved() {
            return Err(Invalid::new("scope", "names with a leading $ belong to the store"));
        }
        if proposals.is_empty() {
            return Err(Invalid::new("proposals", "an append needs at least one proposal"));
        }
        cap("proposals", "proposals", proposals.len(), self.append_events_max)?;
        let mut bytes = 0;
        for proposal in proposals {
            self.check_proposal(proposal)?;
            bytes += proposal.size();
        }
        condition.map_or(Ok(()), |condition| self.check_condition(condition))?;
        Ok((proposals.len(), bytes))
    }

    fn check_together(&self, (events, bytes): (usize, usize)) -> Result<(), Invalid> {
        cap("proposals", "proposals", events, self.append_events_max)?;
        cap("proposals", "bytes in all", bytes, self.append_bytes_max)
    }

    /// Checks what a what-if would append.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_what_if(
        &self,
        scope: &ScopeName,
        batches: &[Vec<Proposal>],
    ) -> Result<(), Invalid> {
        if scope.is_reserved() {
            return Err(Invalid::new("scope", "names with a leading $ belong to the store"));
        }
        if batches.is_empty() || batches.iter().any(Vec::is_empty) {
            let why = "a what-if needs at least one batch, and each batch at least one proposal";
            return Err(Invalid::new("batches", why));
        }
        cap("batches", "batches", batches.len(), self.what_if_batches_max)?;
        let proposals = || batches.iter().flatten();
        cap("batches", "proposals in all", proposals().count(), self.append_events_max)?;
        proposals().try_for_each(|proposal| self.check_proposal(proposal))?;
        let bytes = proposals().map(Proposal::size).sum();
        cap("batches", "bytes in all", bytes, self.append_bytes_max)
    }

    /// Checks what an append insists on.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_condition(&self, condition: &Condition) -> Result<(), Invalid> {
        cap("resolved", "events", condition.resolved.len(), self.resolved_max)?;
        if condition.resolved.contains(&Seq::ZERO) {
            return Err(Invalid::new(
                "resolved",
                "events are counted from 1, so 0 is none of them",
            ));
        }
        self.check_keys("condition keys", &condition.keys)
    }

    /// Checks one proposed event, from a client or from a validator that replaces one.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_proposal(&self, proposal: &Proposal) -> Result<(), Invalid> {
        if proposal.kind.is_empty() {
            return Err(Invalid::new("kind", "an event needs a kind, for example \"bid\""));
        }
        cap("kind", "bytes", proposal.kind.len(), self.kind_bytes_max)?;
        let media = proposal.content_type.as_str().len();
        cap("content_type", "bytes", media, self.content_type_bytes_max)?;
        cap("payload", "bytes", proposal.payload.len(), self.payload_bytes_max)?;
        self.check_keys("keys", &proposal.keys)?;
        self.check_keys("triggers", &proposal.triggers)?;
        cap("metadata", "pairs", proposal.metadata.len(), self.metadata_max)?;
        for (name, value) in &proposal.metadata {
            cap("metadata", "bytes in a name", name.len(), self.metadata_bytes_max)?;
            cap("metadata", "bytes in a value", value.len(), self.metadata_bytes_max)?;
        }
        Ok(())
    }

    /// Checks a filter from outside.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that breaks a rule.
    pub fn check_filter(&self, filter: &Filter) -> Result<(), Invalid> {
        for (field, keys) in [("filter.keys", &filter.keys), ("filter.triggers", &filter.triggers)]
        {
            cap(field, "keys", keys.len(), self.filter_max)?;
            self.check_key_texts(field, keys)?;
        }
        let kinds = ("filter.kinds", &filter.kinds, self.kind_bytes_max);
        for (field, texts, max) in
            [kinds, ("filter.key_kinds", &filter.key_kinds, self.key_bytes_max)]
        {
            cap(field, "kinds", texts.len(), self.filter_max)?;
            for text in texts {
                if text.is_empty() {
                    return Err(Invalid::new(field, "a kind is not empty; leave it out for any"));
                }
                cap(field, "bytes in a kind", text.len(), max)?;
            }
        }
        for (field, span) in
            [("filter.host_ms", filter.host_ms), ("filter.caller_ms", filter.caller_ms)]
        {
            if let (Some(from), Some(until)) = (span.from, span.until)
                && from >= until
            {
                let why = format!("it ends at {until}, which is not after its begin, {from}");
                return Err(Invalid::new(field, why));
            }
        }
        Ok(())
    }

    fn check_keys(&self, field: &str, keys: &[Key]) -> Result<(), Invalid> {
        cap(field, "keys", keys.len(), self.keys_max)?;
        self.check_key_texts(field, keys)
    }

    fn check_key_texts(&self, field: &str, keys: &[Key]) -> Result<(), Invalid> {
        for key in keys {
            if key.kind.is_empty() || key.id.is_empty() {
                return Err(Invalid::new(field, "a key needs a kind and an id, as in book:Emma"));
            }
            cap(field, "bytes in a kind", key.kind.len(), self.key_bytes_max)?;
            cap(field, "bytes in an id", key.id.len(), self.key_bytes_max)?;
        }
        Ok(())
    }
}
