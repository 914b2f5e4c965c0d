#!/usr/bin/env bash
# Builds the rules in C to target/guests/auction-c.wasm, and tests the SDK, the template and them.
# Beside it cents-c.wasm, rules that know older events, and restless-c.wasm, rules that read the clock.
#
# Needs Python 3 with venv. The compiler is Zig's, from PyPI, in the version of scripts/guests/zig.txt. The
# first run builds a libc for WebAssembly, in half a minute; a second run with nothing changed takes a
# moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/guests/common.sh

readonly wasm=target/guests/auction-c.wasm
readonly cents=target/guests/cents-c.wasm
readonly restless=target/guests/restless-c.wasm
readonly sources=(scripts/guests/c.sh scripts/guests/zig.txt guest-sdk/c examples/auction-c)
readonly build=target/guest-tools/zig/c
readonly flags=(-std=c11 -Wall -Wextra -Werror -Iguest-sdk/c)

up_to_date "$wasm" "${sources[@]}" && up_to_date "$cents" "${sources[@]}" &&
    up_to_date "$restless" "${sources[@]}" && exit 0
pip_tool zig
mkdir -p "$build"

# Natively, with checks for undefined behaviour, which are on in debug builds.
tested() {
    quietly zig cc -g "${flags[@]}" -o "$build/test" guest-sdk/c/atomic_store.c \
        guest-sdk/c/atomic_store_test.c "$@"
    quietly "$build/test"
}
tested guest-sdk/c/test/sdk_test.c
tested guest-sdk/c/test/cents.c guest-sdk/c/test/cents_test.c
tested guest-sdk/c/template/rules.c guest-sdk/c/template/rules_test.c
tested examples/auction-c/auction.c examples/auction-c/auction_test.c

built() {
    quietly zig cc --target=wasm32-wasi -mexec-model=reactor -Os -s -Wl,-z,stack-size=65536 "${flags[@]}" \
        -o "$1" guest-sdk/c/atomic_store.c "$2"
}
built "$build/seats.wasm" guest-sdk/c/template/rules.c
built "$build/auction.wasm" examples/auction-c/auction.c
built "$build/cents.wasm" guest-sdk/c/test/cents.c
publish "$build/cents.wasm" "$cents" "${sources[@]}"
built "$build/restless.wasm" guest-sdk/c/test/restless.c
publish "$build/restless.wasm" "$restless" "${sources[@]}"
publish "$build/auction.wasm" "$wasm" "${sources[@]}"
