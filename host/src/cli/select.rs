//! Which events `read` and `tail` are about: the options they share, and how an event is shown.

use super::failure::Failure;
use super::json::{EventJson, Shown};
use super::{input, moment, text};
use atomic_store_client::{Found, Selection};
use atomic_store_core::protocol::Replay;
use atomic_store_core::{Filter, Key, ScopeName, Span};
use clap::Args;
use serde::Serialize;

/// Characters of a payload in a table.
const PAYLOAD_CHARS: usize = 200;

/// What the filters say, for the help of both commands.
pub(crate) const FILTERS: &str = "\
Filters: an event passes if it fits each option that is given; of an option that is given more than
once, one match is enough. They run in the store. By --key and --trigger of one scope, events are
found through an index. Times: 2026-11-22T06:42:01Z, 2026-11-22, or milliseconds since 1970.

--replay: an effect is an event with triggers and without keys. If one of them lies in the range,
the whole earlier history of every key that an event links to its trigger comes, too, marked as
replayed. The effects themselves are left out, unless --with-effects asks for them.";

/// The options.
#[derive(Clone, Debug, Args)]
pub(crate) struct Select {
    /// The scope
    #[arg(value_parser = input::scope, required_unless_present = "all", conflicts_with = "all")]
    pub(crate) scope: Option<ScopeName>,
    /// All scopes in their common order; numbers are then positions
    #[arg(long, visible_alias = "all-scopes")]
    pub(crate) all: bool,
    /// Only events about this key, as in book:Emma; may be repeated
    #[arg(long = "key", value_name = "KEY", value_parser = input::key, help_heading = "Filters")]
    keys: Vec<Key>,
    /// Only events about a key of this kind; may be repeated
    #[arg(long = "key-kind", value_name = "KIND", help_heading = "Filters")]
    key_kinds: Vec<String>,
    /// Only events of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND", help_heading = "Filters")]
    kinds: Vec<String>,
    /// Only events that link or fire this trigger; may be repeated
    #[arg(long = "trigger", value_name = "KEY", value_parser = input::key, help_heading = "Filters")]
    triggers: Vec<Key>,
    /// Only events that the store admitted at this time or later
    #[arg(long, value_name = "TIME", value_parser = moment::moment, help_heading = "Filters")]
    since_time: Option<u64>,
    /// Only events that the store admitted before this time
    #[arg(long, value_name = "TIME", value_parser = moment::moment, help_heading = "Filters")]
    until_time: Option<u64>,
    /// Only events that happened at this time or later, as their callers say
    #[arg(long, value_name = "TIME", value_parser = moment::moment, help_heading = "Filters")]
    caller_since: Option<u64>,
    /// Only events that happened before this time, as their callers say
    #[arg(long, value_name = "TIME", value_parser = moment::moment, help_heading = "Filters")]
    caller_until: Option<u64>,
    /// Also replay the history of keys that effects touch
    #[arg(long, conflicts_with = "all")]
    replay: bool,
    /// With --replay: show the effects, too
    #[arg(long, requires = "replay")]
    with_effects: bool,
}

impl Select {
    /// What to ask the store.
    pub(crate) fn selection(&self) -> Selection {
        let selection = match &self.scope {
            Some(scope) => Selection::of(scope),
            None => Selection::all(),
        };
        let replay = match (self.replay, self.with_effects) {
            (false, _) => Replay::Off,
            (true, false) => Replay::Touched,
            (true, true) => Replay::TouchedAndEffects,
        };
        selection.replay(replay).filter(Filter {
            keys: self.keys.clone(),
            key_kinds: self.key_kinds.clone(),
            kinds: self.kinds.clone(),
            triggers: self.triggers.clone(),
            caller_ms: Span { from: self.caller_since, until: self.caller_until },
            host_ms: Span { from: self.since_time, until: self.until_time },
        })
    }

    /// The header of a table of events.
    pub(crate) fn header(&self) -> Vec<&'static str> {
        let mut header = vec!["seq", "time", "kind", "payload", "keys"];
        if self.all {
            header.splice(0..0, ["position", "scope"]);
        }
        if self.replay {
            header.push("");
        }
        header
    }

    /// A row of it.
    pub(crate) fn row(&self, found: &Found) -> Vec<String> {
        let event = &found.event;
        let payload = Shown::of(&event.content_type, &event.payload);
        let keys: Vec<_> = event.keys.iter().map(Key::to_string).collect();
        let mut row = vec![
            event.seq.to_string(),
            text::time(event.host_ms),
            event.kind.clone(),
            text::short(payload.text(), PAYLOAD_CHARS).into_owned(),
            keys.join(" "),
        ];
        if self.all {
            row.splice(0..0, [event.position.to_string(), found.scope.to_string()]);
        }
        if self.replay {
            row.push(if found.replayed { "replayed" } else { "" }.to_owned());
        }
        row
    }
}

/// An event as JSON; `replayed` stands there only if it is.
#[derive(Serialize)]
pub(crate) struct FoundJson<'a> {
    #[serde(flatten)]
    event: EventJson<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
}

impl<'a> FoundJson<'a> {
    pub(crate) fn of(found: &'a Found) -> Self {
        let Found { scope, event, replayed } = found;
        FoundJson { event: EventJson(scope, event), replayed: *replayed }
    }
}

/// A page token that does not fit.
pub(crate) fn wrong_page(why: &atomic_store_core::PageTokenError) -> Failure {
    Failure::usage(format!("--page: {why}"))
}
