#!/usr/bin/env bash
# Builds the rules in Go to target/guests/auction-go.wasm, and tests the SDK, the template and them.
# Beside it restless-go.wasm, rules that read the clock, for tests of the store.
#
# Needs Python 3 with venv. The compiler comes from PyPI, in the version of scripts/guests/go.txt; no module
# is fetched. A second run with nothing changed takes a moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/guests/common.sh

readonly wasm=target/guests/auction-go.wasm
readonly restless=target/guests/restless-go.wasm
readonly sources=(scripts/guests/go.sh scripts/guests/go.txt guest-sdk/go examples/auction-go)
readonly tools=$PWD/target/guest-tools/go

up_to_date "$wasm" "${sources[@]}" && up_to_date "$restless" "${sources[@]}" && exit 0
pip_tool go

# Nothing is looked for in the network or in the home of who builds.
run() {
    quietly env GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod GOWORK=off GOENV=off CGO_ENABLED=0 \
        GOCACHE="$tools/cache" GOPATH="$tools/path" "${@:2}" bash -c 'cd "$1" && shift && "$@"' - "$1" \
        "$tools/venv/bin/go" "${arguments[@]}"
}
for folder in guest-sdk/go guest-sdk/go/template examples/auction-go; do
    arguments=(test ./...)
    run "$folder"
done

built() {
    arguments=(build -buildmode=c-shared -trimpath "-ldflags=-s -w -buildid=" -o "$1" .)
    run "$2" GOOS=wasip1 GOARCH=wasm
}
built "$tools/seats.wasm" guest-sdk/go/template
built "$tools/auction.wasm" examples/auction-go
built "$tools/restless.wasm" guest-sdk/go/restless
publish "$tools/restless.wasm" "$restless" "${sources[@]}"
publish "$tools/auction.wasm" "$wasm" "${sources[@]}"
