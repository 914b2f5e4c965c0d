//! Options of a store that change what it admits or keeps are events of `$system`: years later somebody
//! can tell whether signatures were required when a component was loaded.
//!
//! An event has what is another than before. Before the first are the defaults of version 0.1, whatever
//! the defaults are by then. Options that are about this machine or this start are not recorded: paths,
//! addresses, memory, threads, pauses.

use super::handle::Engine;
use super::system::SystemEvent;
use crate::signing::Trust;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Limits, Seq};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// Options by name.
pub(crate) type Options = BTreeMap<String, Value>;

/// What `$system` says of the options.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recorded {
    /// Those that are others than the defaults of version 0.1, or were once.
    options: Options,
    /// The last event that changed one.
    since: Seq,
}

impl Recorded {
    /// Folds an event.
    pub(super) fn change(&mut self, seq: Seq, now: &Options) {
        self.options.extend(now.clone());
        self.since = seq;
    }

    /// Of these options those that are others than recorded.
    fn news(&self, effective: Options) -> Options {
        let defaults = first_defaults();
        let known = |name: &String| self.options.get(name).or_else(|| defaults.get(name)).cloned();
        effective.into_iter().filter(|(name, value)| known(name).as_ref() != Some(value)).collect()
    }

    /// Options that are not the defaults of version 0.1, for people, and the event since which all of
    /// them are so.
    fn shown(&self) -> (Vec<(String, String)>, Seq) {
        let defaults = first_defaults();
        let others =
            self.options.iter().filter(|(name, value)| defaults.get(*name) != Some(*value));
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (others.map(|(name, value)| (name.clone(), text(value))).collect(), self.since)
    }
}

impl Engine {
    /// Records the options that the store has now, if they are others than before. Blocks until it is
    /// durable.
    ///
    /// # Errors
    /// [`RequestError`] if nothing can be written.
    pub fn record_options(&self) -> Result<Option<Seq>, RequestError> {
        let shared = &self.shared;
        let keep = shared.keep_rejected.load(Ordering::Relaxed);
        let effective = options(&shared.limits, &shared.registry.trust(), keep);
        let now = shared.registry.options().news(effective);
        if now.is_empty() {
            return Ok(None);
        }
        self.check_writable()?;
        self.record(&SystemEvent::OptionsChanged { now }, None).map(Some)
    }

    /// Recorded options that are not the defaults, and the event that recorded the last of them.
    pub(super) fn recorded_options(&self) -> (Vec<(String, String)>, Seq) {
        self.shared.registry.options().shown()
    }
}

/// Puts limits into the options, and names all others, so that a new one is not forgotten.
macro_rules! recorded {
    ($limits:expr, record: [$($name:ident),* $(,)?], leave: [$($other:ident),* $(,)?]) => {{
        let Limits { $($name,)* $($other: _,)* } = $limits;
        [$((stringify!($name).to_owned(), json!($name)),)*]
    }};
}

/// What a store is opened with, as far as it changes what is admitted or kept.
fn options(limits: &Limits, trust: &Trust, keep_rejected_payloads: bool) -> Options {
    let mut keys: Vec<String> = trust.keys.iter().map(ToString::to_string).collect();
    keys.sort_unstable();
    keys.dedup();
    let limits = recorded!(
        limits,
        record: [
            payload_bytes_max, append_events_max, append_bytes_max, parts_max, kind_bytes_max,
            content_type_bytes_max, keys_max, key_bytes_max, resolved_max, metadata_max,
            metadata_bytes_max, reasons_max, reason_code_bytes_max, reason_message_bytes_max,
            answer_data_bytes_max, component_bytes_max, compile_ms_max, compile_memory_bytes_max,
            code_bytes_max, components_max, bindings_max, config_bytes_max, sealed_scopes_max,
            call_fuel_max, call_ms_max, originator_ms_max, memory_bytes_max, table_elements_max,
            stack_bytes_max, hostcall_bytes_max, hostcalls_max, snapshot_bytes_max,
            rejections_scope_max, rejections_max, rejections_scope_bytes_max, rejections_bytes_max,
            append_id_ms,
        ],
        leave: [
            frame_bytes_max, conflicts_max, query_args_bytes_max, query_answer_bytes_max,
            mailbox_len_max, in_flight_appends_max, in_flight_bytes_max, group_events_max,
            group_bytes_max, sessions_max, session_calls_max, session_subscriptions_max,
            session_out_bytes_max, hello_ms_max, frame_ms_max, slow_reader_ms_max, page_events_max,
            page_bytes_max, what_if_batches_max, filter_max, replay_keys_max, code_cache_bytes_max,
            self_test_ms_max, restore_records_max, restore_bytes_max, log_lines_max,
            log_line_bytes_max, instances_max, instance_bytes_max, trial_bytes_max, snapshot_events,
            scrub_ms, disk_reserve_bytes,
        ]
    );
    let mut options = Options::from(limits);
    options.insert("require_signatures".to_owned(), json!(trust.required));
    options.insert("trusted_keys".to_owned(), json!(keys));
    options.insert("keep_rejected_payloads".to_owned(), json!(keep_rejected_payloads));
    options
}

/// The defaults of version 0.1. A later version that has other defaults leaves them as they are, so that
/// each store records the change; a new option is added with what it was before there was a choice.
fn first_defaults() -> &'static Options {
    static FIRST: OnceLock<Options> = OnceLock::new();
    // That it is JSON is tested.
    FIRST.get_or_init(|| {
        serde_json::from_str(include_str!("options_first_defaults.json")).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Options {
        options(&Limits::default(), &Trust::default(), false)
    }

    #[test]
    fn each_option_has_a_first_default_and_a_store_with_today_s_defaults_records_nothing() {
        assert!(first_defaults().keys().eq(defaults().keys()));
        assert_eq!(Recorded::default().news(defaults()), Options::new());
    }

    #[test]
    fn only_what_is_another_than_before_is_news() {
        let mut recorded = Recorded::default();
        let required = Trust { required: true, ..Trust::default() };
        let strict = options(&Limits { parts_max: 2, ..Limits::default() }, &required, false);
        let news = recorded.news(strict.clone());
        let wanted = json!({ "parts_max": 2, "require_signatures": true });
        assert_eq!(json!(news), wanted);
        recorded.change(Seq(3), &news);
        assert!(recorded.news(strict).is_empty());
        let shown = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let both = vec![shown("parts_max", "2"), shown("require_signatures", "true")];
        assert_eq!(recorded.shown(), (both, Seq(3)));
        let back = recorded.news(defaults());
        assert_eq!(json!(back), json!({ "parts_max": 16, "require_signatures": false }));
        recorded.change(Seq(9), &back);
        assert_eq!(recorded.shown(), (Vec::new(), Seq(9)));
    }
}
