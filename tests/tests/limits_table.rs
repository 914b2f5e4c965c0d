//! Every cap has a test, and SECURITY.md says what each is. A cap that somebody adds without a test
//! or without telling people fails here.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::Limits;
use std::collections::BTreeSet;
use std::path::Path;

const VALUES: &str = "tests/tests/limits_values.rs";
const ENGINE: &str = "tests/tests/limits_engine.rs";
const SCOPES: &str = "tests/tests/engine_scopes.rs";
const PAST: &str = "tests/tests/past.rs";
const REJECTIONS: &str = "tests/tests/rejections.rs";
const CONDITIONS: &str = "tests/tests/conditions.rs";
const JOINT: &str = "tests/tests/joint_appends.rs";
const ORIGINATOR: &str = "tests/tests/originator_edges.rs";
const SESSION: &str = "tests/tests/limits_session.rs";
const NET: &str = "tests/tests/net_limits.rs";
const READING: &str = "tests/tests/read_refusals.rs";
const RESUME: &str = "tests/tests/net_resume.rs";
const PLUGIN: &str = "host/tests/plugin_limits.rs";
const HOSTILE: &str = "host/tests/plugin_hostile.rs";
const COMPILE: &str = "host/tests/plugin_compile.rs";
const CONTRACT: &str = "host/tests/plugin_contract.rs";
const DIRECTORY: &str = "host/tests/log_directory.rs";

const MEMORY: &str = "tests/tests/instance_memory.rs";
const SHADOW: &str = "tests/tests/shadow.rs";
const SNAPSHOTS: &str = "tests/tests/snapshots.rs";

const PURE: &str = "each_value_may_be_as_large_as_its_cap_and_not_one_larger";

/// The cap, and a test that meets it: its file and its name. More than one line where the cap is
/// enforced in more than one place.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("frame_bytes_max", NET, "a_frame_of_the_cap_passes_and_one_byte_more_ends_the_session"),
    ("payload_bytes_max", VALUES, PURE),
    ("append_events_max", VALUES, PURE),
    ("append_events_max", ENGINE, "caps_on_appends_hold_in_the_engine_and_for_what_a_validator_puts_in_their_place"),
    ("append_bytes_max", VALUES, PURE),
    ("append_bytes_max", PLUGIN, "an_answer_has_its_caps"),
    ("parts_max", JOINT, "joint_appends_have_their_number_of_parts"),
    ("kind_bytes_max", VALUES, PURE),
    ("content_type_bytes_max", VALUES, PURE),
    ("keys_max", VALUES, PURE),
    ("key_bytes_max", VALUES, PURE),
    ("resolved_max", VALUES, PURE),
    ("conflicts_max", CONDITIONS, "conflicts_in_an_answer_have_their_number"),
    ("metadata_max", VALUES, PURE),
    ("metadata_bytes_max", VALUES, PURE),
    ("reasons_max", VALUES, PURE),
    ("reasons_max", PLUGIN, "an_answer_has_its_caps"),
    ("reason_code_bytes_max", VALUES, PURE),
    ("reason_code_bytes_max", PLUGIN, "an_answer_has_its_caps"),
    ("reason_message_bytes_max", VALUES, PURE),
    ("reason_message_bytes_max", PLUGIN, "a_declined_start_has_a_short_reason"),
    ("answer_data_bytes_max", VALUES, PURE),
    ("answer_data_bytes_max", PLUGIN, "an_answer_has_its_caps"),
    ("query_args_bytes_max", VALUES, PURE),
    ("query_args_bytes_max", ENGINE, "caps_on_components_configurations_and_queries_hold_in_the_engine"),
    ("query_answer_bytes_max", VALUES, PURE),
    ("query_answer_bytes_max", PLUGIN, "a_query_has_its_caps"),
    ("mailbox_len_max", ENGINE, "a_mailbox_holds_its_cap_and_refuses_one_more_until_it_is_read"),
    ("in_flight_appends_max", ENGINE, "appends_in_flight_have_their_number_in_the_whole_store"),
    ("in_flight_bytes_max", ENGINE, "bytes_in_flight_have_their_sum_and_one_larger_append_goes_alone"),
    ("group_events_max", ENGINE, "a_group_holds_its_events_and_one_more_makes_another"),
    ("group_bytes_max", ENGINE, "a_group_holds_its_bytes_and_one_more_makes_another"),
    ("sessions_max", NET, "sessions_up_to_the_cap_are_served_and_one_more_is_told_why"),
    ("session_calls_max", NET, "more_calls_than_the_cap_wait_and_are_all_answered"),
    ("session_subscriptions_max", NET, "subscriptions_up_to_the_cap_are_served_and_one_more_is_refused"),
    ("session_out_bytes_max", NET, "who_sends_but_never_reads_is_closed_and_the_store_goes_on"),
    ("hello_ms_max", NET, "a_silent_or_slow_greeting_and_a_slow_frame_are_ended_in_time"),
    ("frame_ms_max", NET, "a_silent_or_slow_greeting_and_a_slow_frame_are_ended_in_time"),
    ("slow_reader_ms_max", RESUME, "who_does_not_read_is_cut_off_with_the_place_to_resume_from"),
    ("page_events_max", SESSION, "a_page_holds_its_events_and_one_more_goes_on_the_next"),
    ("page_events_max", CONTRACT, "history_is_read_page_by_page"),
    ("page_bytes_max", SESSION, "a_page_holds_its_bytes_and_at_least_one_event"),
    ("page_bytes_max", CONDITIONS, "conflicts_in_an_answer_have_their_bytes_and_at_least_one_event"),
    ("page_bytes_max", CONTRACT, "history_is_read_page_by_page"),
    ("what_if_batches_max", VALUES, PURE),
    ("what_if_batches_max", PAST, "a_what_if_has_its_caps"),
    ("filter_max", VALUES, PURE),
    ("filter_max", READING, "a_filter_at_its_caps_is_served_and_one_more_is_refused_by_name"),
    ("replay_keys_max", READING, "a_replay_has_its_number_of_keys_and_of_triggers"),
    ("component_bytes_max", PLUGIN, "a_component_has_its_size"),
    ("component_bytes_max", NET, "a_component_of_the_cap_is_looked_at_and_one_byte_more_is_not"),
    ("component_bytes_max", ENGINE, "caps_on_components_configurations_and_queries_hold_in_the_engine"),
    ("compile_ms_max", COMPILE, "a_compiler_that_takes_too_long_is_ended_at_its_deadline"),
    ("compile_memory_bytes_max", COMPILE, "a_compiler_has_its_memory"),
    ("code_bytes_max", COMPILE, "machine_code_has_its_size_wherever_it_is_made"),
    ("code_cache_bytes_max", "host/src/plugin/code_cache.rs", "the_cap_holds_and_the_least_recently_used_goes_first"),
    ("self_test_ms_max", "host/tests/plugin_self_test.rs", "a_self_test_ends_in_its_time"),
    ("components_max", ENGINE, "validators_have_their_number_and_bindings_are_not_in_their_way"),
    ("bindings_max", ENGINE, "bindings_have_their_number_and_validators_are_not_in_their_way"),
    ("config_bytes_max", ENGINE, "caps_on_components_configurations_and_queries_hold_in_the_engine"),
    ("rejections_scope_max", REJECTIONS, "the_journal_keeps_its_number_of_a_scope_and_in_all"),
    ("rejections_max", REJECTIONS, "the_journal_keeps_its_number_of_a_scope_and_in_all"),
    ("rejections_scope_bytes_max", REJECTIONS, "the_journal_keeps_its_bytes_of_a_scope_and_in_all"),
    ("rejections_scope_bytes_max", REJECTIONS, "payloads_are_kept_only_when_told_and_only_if_they_leave_room"),
    ("rejections_bytes_max", REJECTIONS, "the_journal_keeps_its_bytes_of_a_scope_and_in_all"),
    ("sealed_scopes_max", SCOPES, "sealed_scopes_have_their_number"),
    ("restore_records_max", VALUES, PURE),
    ("restore_records_max", SCOPES, "a_part_of_a_restore_has_its_caps"),
    ("restore_bytes_max", VALUES, PURE),
    ("restore_bytes_max", SCOPES, "a_part_of_a_restore_has_its_caps"),
    ("call_fuel_max", PLUGIN, "fuel_is_exact"),
    ("call_ms_max", HOSTILE, "the_wall_clock_stops_what_fuel_does_not"),
    ("call_ms_max", ENGINE, "a_validator_that_is_too_slow_is_told_by_its_deadline"),
    ("originator_ms_max", ORIGINATOR, "the_deadline_of_an_originator_is_the_cap_at_most"),
    ("memory_bytes_max", PLUGIN, "memory_and_tables_have_their_size"),
    ("memory_bytes_max", HOSTILE, "a_memory_bomb_is_out_of_memory_and_a_modest_guest_lives_with_the_cap"),
    ("table_elements_max", PLUGIN, "memory_and_tables_have_their_size"),
    ("table_elements_max", HOSTILE, "a_table_bomb_is_out_of_memory"),
    ("stack_bytes_max", HOSTILE, "deep_recursion_leaves_the_process_alive_on_the_documented_stack"),
    ("hostcall_bytes_max", PLUGIN, "a_query_has_its_caps"),
    ("hostcalls_max", PLUGIN, "calls_to_the_host_have_their_number"),
    ("log_lines_max", CONTRACT, "log_lines_are_capped_escaped_and_say_whose_they_are"),
    ("log_line_bytes_max", CONTRACT, "log_lines_are_capped_escaped_and_say_whose_they_are"),
    ("instances_max", PLUGIN, "instances_have_their_number_and_give_their_place_back"),
    ("instances_max", ENGINE, "scopes_in_memory_leave_when_one_more_would_be_too_many"),
    ("instances_max", ENGINE, "no_scope_is_started_when_too_many_cannot_leave"),
    ("instance_bytes_max", MEMORY, "scopes_leave_when_their_instances_have_more_memory_than_they_should"),
    ("trial_bytes_max", SHADOW, "what_waits_for_a_candidate_has_its_bytes_and_more_is_not_compared"),
    ("snapshot_bytes_max", PLUGIN, "a_snapshot_has_its_cap_which_is_above_that_of_other_calls"),
    ("snapshot_events", ENGINE, "a_snapshot_is_made_after_its_number_of_events_and_not_before"),
    ("scrub_ms", SNAPSHOTS, "a_scrub_in_the_background_finds_a_wrong_snapshot_by_itself"),
    ("scrub_ms", SNAPSHOTS, "without_a_scrub_nothing_is_looked_at"),
    ("append_id_ms", ENGINE, "a_decided_id_is_remembered_for_its_time_and_at_most_an_eighth_longer"),
    ("disk_reserve_bytes", DIRECTORY, "a_disk_below_the_reserve_has_no_room"),
    ("disk_reserve_bytes", ENGINE, "without_room_on_the_disk_nothing_is_taken_and_nothing_is_lost"),
    ("SCOPE_NAME_BYTES_MAX", "core/tests/names.rs", "scope_names_are_plain_text_of_at_most_200_bytes"),
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Name, default and explanation of each cap, from the source.
fn fields() -> Vec<(String, String, String)> {
    let source = read("core/src/limits.rs");
    let body = source.split_once("pub struct Limits {\n").unwrap().1.split_once("\n}").unwrap().0;
    // The defaults as the compiler knows them; their Debug form lists them by name.
    let defaults = format!("{:?}", Limits::default());
    let defaults = defaults.strip_prefix("Limits { ").unwrap().strip_suffix(" }").unwrap();
    let defaults: Vec<_> =
        defaults.split(", ").map(|pair| pair.split_once(": ").unwrap()).collect();
    let (mut fields, mut comment) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            comment = format!("{comment} {text}");
        } else if let Some(field) = line.strip_prefix("pub ") {
            let name = field.split_once(':').unwrap().0;
            let default = defaults.iter().find(|(field, _)| *field == name).unwrap().1;
            let text = std::mem::take(&mut comment).trim().to_owned();
            fields.push((name.to_owned(), default.to_owned(), text));
        }
    }
    assert_eq!(fields.len(), defaults.len(), "not every cap was understood");
    fields
}

#[test]
fn every_cap_is_met_by_a_test() {
    let named: BTreeSet<_> = TABLE.iter().map(|(cap, _, _)| (*cap).to_owned()).collect();
    let mut there: BTreeSet<_> = fields().into_iter().map(|(name, _, _)| name).collect();
    there.insert("SCOPE_NAME_BYTES_MAX".to_owned());
    assert_eq!(named, there, "the caps with a test, and the caps");
    for (cap, file, test) in TABLE {
        let text = read(file);
        let (head, _) = text
            .split_once(&format!("fn {test}("))
            .unwrap_or_else(|| panic!("{cap}: there is no {test} in {file}"));
        let attributes: Vec<_> = head.lines().rev().take(2).collect();
        let is_test = attributes.iter().any(|l| l.contains("#[test]") || l.contains("tokio::test"));
        assert!(is_test, "{cap}: {test} in {file} is no test");
    }
}

#[test]
fn every_cap_is_enforced_somewhere() {
    // A cap counts as enforced if code names it besides its definition: the checks in its own file,
    // the host, or the client.
    let mut code = read("core/src/limits.rs");
    let checks = code.find("impl Limits {\n    /// Checks an append").expect("the checks");
    code.drain(..checks);
    code.push_str(&read("core/src/limits_checks.rs"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    gather(&root.join("host/src"), &mut code);
    for (name, _, _) in fields() {
        assert!(code.contains(&format!(".{name}")), "nothing looks at {name}");
    }
}

fn gather(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, code);
        } else {
            code.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_default_is_told_where_people_look_for_it() {
    let page = read("SECURITY.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let mut expected = Vec::new();
    for (name, default, text) in fields() {
        // The comment ends in the default in words, which the table has in a column of its own.
        let (what, words) =
            text.rsplit_once(" Default ").unwrap_or_else(|| panic!("{name}: {text}"));
        let words = words.trim_end_matches('.');
        assert!(stands_for(words, default.parse().unwrap()), "{name}: {words:?} is not {default}");
        expected.push(format!("| `{name}` | {words} | {what} |"));
    }
    assert_eq!(
        rows.join("\n"),
        expected.join("\n"),
        "the table of SECURITY.md should be this:\n{}\n",
        expected.join("\n")
    );
}

/// True if the words begin with this number: `1,000`, `8 MiB`, `one day`.
fn stands_for(words: &str, number: u64) -> bool {
    let day = 24 * 60 * 60 * 1_000;
    if words == "one day" {
        return number == day;
    }
    let mut parts = words.split([' ', ';']);
    let first = parts.next().unwrap().trim_end_matches(',').replace(',', "");
    let unit = match parts.next() {
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        _ => 1,
    };
    first.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)) == Some(number)
}
