#!/usr/bin/env bash
# Builds the rules in Python to target/guests/auction-python.wasm, and tests the SDK and them. Beside it
# cents-python.wasm, rules that know older events, and restless-python.wasm, rules that read the clock.
#
# Needs Python 3.11 or later with venv. The tool comes from PyPI, in the version of
# scripts/guests/python.txt, into target/guest-tools/python. A second run with nothing changed takes a
# moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/guests/common.sh

readonly tools=target/guest-tools/python
readonly wasm=target/guests/auction-python.wasm
readonly cents=target/guests/cents-python.wasm
readonly restless=target/guests/restless-python.wasm
readonly sources=(scripts/guests/python.sh scripts/guests/python.txt guest-sdk/python
    examples/auction-python)

up_to_date "$wasm" "${sources[@]}" && up_to_date "$cents" "${sources[@]}" &&
    up_to_date "$restless" "${sources[@]}" && exit 0
python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python needs Python 3.11 or later with venv; Debian: apt-get install python3-venv"

if ! cmp -s scripts/guests/python.txt "$tools/installed"; then
    say "installing the tool for Python from PyPI"
    rm -rf "$tools"
    mkdir -p "$tools"
    quietly python3 -m venv "$tools/venv"
    quietly "$tools/venv/bin/pip" install --disable-pip-version-check --require-hashes \
        --only-binary :all: -r scripts/guests/python.txt
    cp scripts/guests/python.txt "$tools/installed"
fi

# No byte code, so that the sources stay clean.
export PYTHONDONTWRITEBYTECODE=1
run() {
    PYTHONPATH=guest-sdk/python/src:$1 quietly "$tools/venv/bin/python" -m "${@:2}"
}
run guest-sdk/python/tests unittest discover -s guest-sdk/python/tests
run guest-sdk/python/template unittest discover -s guest-sdk/python/template
run examples/auction-python unittest discover -s examples/auction-python
run . atomic_store_guest.build examples/auction-python/auction.py -o "$tools/auction.wasm"
# Rules that know older events, and rules that read the clock, for tests of the store.
run . atomic_store_guest.build guest-sdk/python/tests/cents.py -o "$tools/cents.wasm"
run . atomic_store_guest.build --wasi guest-sdk/python/tests/restless.py -o "$tools/restless.wasm"
publish "$tools/restless.wasm" "$restless" "${sources[@]}"
publish "$tools/cents.wasm" "$cents" "${sources[@]}"
publish "$tools/auction.wasm" "$wasm" "${sources[@]}"
