#!/usr/bin/env bash
# Builds the rules in TypeScript to target/guests/auction-js.wasm, and tests the SDK and them. Beside it
# cents-js.wasm, rules that know older events, and restless-js.wasm, rules that read the clock.
#
# Needs Node 20 or later with npm. The tools come from npm, in the versions of scripts/guests/js, into
# target/guest-tools/js. A second run with nothing changed takes a moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/guests/common.sh

readonly tools=target/guest-tools/js
readonly wasm=target/guests/auction-js.wasm
readonly cents=target/guests/cents-js.wasm
readonly restless=target/guests/restless-js.wasm
readonly sources=(scripts/guests/js.sh scripts/guests/js guest-sdk/js examples/auction-js)

up_to_date "$wasm" "${sources[@]}" && up_to_date "$cents" "${sources[@]}" &&
    up_to_date "$restless" "${sources[@]}" && exit 0
{ command -v node && command -v npm; } >/dev/null ||
    die "JavaScript needs Node 20 or later with npm; Debian: apt-get install nodejs npm"

mkdir -p "$tools"
if ! cmp -s scripts/guests/js/package-lock.json "$tools/installed"; then
    say "installing the tools for JavaScript from npm"
    cp scripts/guests/js/package.json scripts/guests/js/package-lock.json "$tools/"
    # None of them needs a script to install: what is native comes as a package of its own.
    npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp scripts/guests/js/package-lock.json "$tools/installed"
fi

# Projects are built in copies beside the tools, where Node finds these by itself; the sources stay clean.
readonly work=$tools/work
rm -rf "$work"
mkdir -p "$work/node_modules"
ln -s ../atomic-store-guest "$work/node_modules/atomic-store-guest"
project() {
    cp -r "$1" "$work/$2"
    rm -rf "$work/$2/node_modules" "$work/$2/build"
    ln -s ../node_modules "$work/$2/node_modules"
}
project guest-sdk/js atomic-store-guest
project guest-sdk/js/template template
project examples/auction-js auction
run() {
    quietly bash -c 'cd "$1" && npm run --silent "$2"' - "$work/$1" "$2"
}
run atomic-store-guest test
quietly "$tools/node_modules/.bin/tsc" --noEmit --checkJs --strict \
    --target es2024 --module preserve --rootDir "$work" "$work/template/rules.js"
run template test
run template build
run auction check
run auction test
run auction build
# For tests of the store: rules that know older events, and rules that read the clock, which the others need
# not.
for_tests() {
    quietly bash -c 'cd "$1" && ../../node_modules/.bin/esbuild "test/$2.js" --bundle --platform=neutral \
        --external:atomic-store:* "--outfile=build/$2.js" --log-level=warning &&
        ../../node_modules/.bin/componentize-qjs -w wit -j "build/$2.js" --sync -m -o "build/$2.wasm" "${@:3}"' \
        - "$work/atomic-store-guest" "$@"
}
for_tests cents -n upcasting-validator --stub-wasi
for_tests restless -n validator
publish "$work/atomic-store-guest/build/cents.wasm" "$cents" "${sources[@]}"
publish "$work/atomic-store-guest/build/restless.wasm" "$restless" "${sources[@]}"
publish "$work/auction/build/auction.wasm" "$wasm" "${sources[@]}"
