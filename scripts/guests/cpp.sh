#!/usr/bin/env bash
# Builds the rules in C++ to target/guests/auction-cpp.wasm, and tests them.
#
# Needs Python 3 with venv. The compiler is Zig's, from PyPI, in the version of scripts/guests/zig.txt. The
# first run builds a C++ library for WebAssembly, in half a minute; a second run with nothing changed takes
# a moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/guests/common.sh

readonly wasm=target/guests/auction-cpp.wasm
readonly sources=(scripts/guests/cpp.sh scripts/guests/zig.txt guest-sdk/c examples/auction-cpp)
readonly build=target/guest-tools/zig/cpp
readonly rules=examples/auction-cpp/auction.cpp
readonly c=(-std=c11 -Iguest-sdk/c) cpp=(-std=c++17 -fno-exceptions -fno-rtti -Wall -Wextra -Werror -Iguest-sdk/c)

up_to_date "$wasm" "${sources[@]}" && exit 0
pip_tool zig
mkdir -p "$build"

# Natively, with checks for undefined behaviour, which are on in debug builds. The test is that of C.
for file in guest-sdk/c/atomic_store.c guest-sdk/c/atomic_store_test.c examples/auction-c/auction_test.c; do
    quietly zig cc -g "${c[@]}" -c -o "$build/$(basename "$file").o" "$file"
done
quietly zig c++ -g "${cpp[@]}" -o "$build/test" "$rules" "$build"/*.c.o
quietly "$build/test"

readonly target=(--target=wasm32-wasi -Os)
quietly zig cc "${target[@]}" "${c[@]}" -c -o "$build/sdk.wasm.o" guest-sdk/c/atomic_store.c
quietly zig c++ "${target[@]}" "${cpp[@]}" -mexec-model=reactor -s -Wl,-z,stack-size=65536 \
    -o "$build/auction.wasm" "$rules" "$build/sdk.wasm.o"
publish "$build/auction.wasm" "$wasm" "${sources[@]}"
