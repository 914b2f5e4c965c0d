#!/usr/bin/env bash
# Builds the rules in Zig to target/guests/auction-zig.wasm, and tests the SDK, the template and them.
# Beside it cents-zig.wasm, rules that know older events.
#
# Needs Python 3 with venv. The compiler comes from PyPI, in the version of scripts/guests/zig.txt. A second
# run with nothing changed takes a moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/guests/common.sh

readonly wasm=target/guests/auction-zig.wasm
readonly cents=target/guests/cents-zig.wasm
readonly sources=(scripts/guests/zig.sh scripts/guests/zig.txt guest-sdk/zig examples/auction-zig)
readonly build=target/guest-tools/zig/zig
readonly sdk=-Matomic_store=guest-sdk/zig/atomic_store.zig

up_to_date "$wasm" "${sources[@]}" && up_to_date "$cents" "${sources[@]}" && exit 0
pip_tool zig
mkdir -p "$build"

quietly zig test guest-sdk/zig/test.zig
quietly zig test --dep atomic_store -Mroot=guest-sdk/zig/template/rules.zig "$sdk"
quietly zig test --dep atomic_store -Mroot=guest-sdk/zig/cents.zig "$sdk"
quietly zig test --dep atomic_store -Mroot=examples/auction-zig/auction.zig "$sdk"

# Safe: an overflow in the rules is a trap, which refuses the append.
readonly target=(-target wasm32-freestanding -O ReleaseSafe -fstrip)
built() {
    quietly zig build-exe -fno-entry -rdynamic --stack 65536 "${target[@]}" --dep atomic_store \
        "-Mroot=$2" "${target[@]}" "$sdk" "-femit-bin=$1"
}
built "$build/seats.wasm" guest-sdk/zig/template/rules.zig
built "$build/auction.wasm" examples/auction-zig/auction.zig
built "$build/cents.wasm" guest-sdk/zig/cents.zig
publish "$build/cents.wasm" "$cents" "${sources[@]}"
publish "$build/auction.wasm" "$wasm" "${sources[@]}"
