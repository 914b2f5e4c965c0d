#!/usr/bin/env bash
# Builds the rules of the auction in every guest language beside Rust, and tests each SDK on the way.
#
#   scripts/build-guest-languages.sh             all of them, to target/guests/auction-<language>.wasm
#   scripts/build-guest-languages.sh js python   these
#
# One script for each language in scripts/guests says what it needs; tools go to target/guest-tools. A
# language whose tool cannot be had fails, and the others are built. A second run with nothing changed
# takes about a second.
set -euo pipefail
cd "$(dirname "$0")/guests"

if [ $# = 0 ]; then
    for script in *.sh; do
        [ "$script" = common.sh ] || set -- "$@" "${script%.sh}"
    done
fi
failed=()
for language; do
    if [ ! -f "$language.sh" ] || [ "$language" = common ]; then
        printf 'guests: there is no scripts/guests/%s.sh\n' "$language" >&2
        exit 2
    fi
    "./$language.sh" || failed+=("$language")
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'guests: not built: %s; the reasons are above\n' "${failed[*]}" >&2
    exit 1
fi
