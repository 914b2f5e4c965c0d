#!/usr/bin/env bash
# Assembles the rules in WebAssembly text to target/guests/auction-wat.wasm, and tries them and the template out.
#
# Needs no tool but the store's own program, which is built if it is not there. A second run with nothing
# changed takes a moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/guests/common.sh

readonly wasm=target/guests/auction-wat.wasm
readonly sources=(scripts/guests/wat.sh guest-sdk/wat examples/auction-wat)
readonly work=target/guest-tools/wat

up_to_date "$wasm" "${sources[@]}" && exit 0
quietly "${CARGO:-cargo}" build --release --locked -p atomic-store
# In copies, so that the sources stay clean.
rm -rf "$work"
mkdir -p "$work"
cp -r examples/auction-wat "$work/auction"
rm -rf "$work/auction/build"
quietly target/release/atomic-store validator new --lang wat notes "$work/notes"
for project in notes auction; do
    quietly target/release/atomic-store validator build "$work/$project"
done
publish "$work/auction/build/auction.wasm" "$wasm" "${sources[@]}"
