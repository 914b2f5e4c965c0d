//! The shape of `--json` for components that were let in, or would be.

use super::json::{LoadedJson, ProposedJson};
use atomic_store_core::Check;
use atomic_store_core::protocol::Admitted;
use serde::Serialize;

/// A validator, what it was given, and what its self-test found.
#[derive(Serialize)]
pub(crate) struct AdmittedJson<'a> {
    #[serde(flatten)]
    loaded: LoadedJson<'a>,
    wasi: bool,
    signed_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckJson<'a>>,
}

impl<'a> AdmittedJson<'a> {
    /// Shows it; `new` if it was to be loaded.
    pub(crate) fn of(admitted: &'a Admitted, new: Option<bool>) -> Self {
        AdmittedJson {
            loaded: LoadedJson::of(&admitted.info, new, &admitted.bindings),
            wasi: admitted.grants.wasi,
            signed_by: admitted.grants.signed_by.as_deref(),
            checks: admitted.checks.iter().map(CheckJson::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct CheckJson<'a> {
    check: &'a str,
    result: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<ProposedJson<'a>>,
}

impl<'a> CheckJson<'a> {
    fn of(check: &'a Check) -> Self {
        let Check { name, result, detail, input } = check;
        let input = input.as_ref().map(ProposedJson);
        CheckJson { check: name, result: result.word(), detail, input }
    }
}
