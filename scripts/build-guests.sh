#!/usr/bin/env bash
# Builds Rust validators to wasm.
#
#   scripts/build-guests.sh            the examples, to target/guests/<name>.wasm
#   scripts/build-guests.sh FOLDER     your own crate, to FOLDER/target/wasm32-unknown-unknown/release/
#
# The results are core modules that carry their WIT; the store makes components of them on load.
# Four ways to the wasm target are tried, in this order, and each says what it does:
#   1. the toolchain in use has it already;
#   2. rustup adds it (given 120 seconds; RUSTUP_SECONDS changes that);
#   3. Debian's own Rust with its sources, beside the toolchain in use, which stays as it is;
#   4. a message that says what to install.
# A second run with nothing changed takes about a second. Safe to run from any folder.
set -euo pipefail

if [ $# -gt 1 ]; then
    printf 'usage: %s [FOLDER]\n' "$0" >&2
    exit 2
fi
if [ $# = 1 ]; then
    own_crate=1
    cd "$1"
    [ -f Cargo.toml ] || { printf 'guests: there is no Cargo.toml in %s\n' "$PWD" >&2; exit 2; }
else
    own_crate=
    cd "$(dirname "$0")/.."
fi

readonly target=wasm32-unknown-unknown
readonly out=target/guests
readonly build=target/guests-build
readonly guests=(auction door ledger seats)
readonly debian_packages=(rustc-web cargo-web rust-web-src rust-web-llvm lld-22)

say() { printf 'guests: %s\n' "$*" >&2; }

# True if this rustc has the standard library for the target.
has_target() {
    local dir
    dir=$("$1" --print target-libdir --target "$target" 2>/dev/null) && [ -d "$dir" ] &&
        compgen -G "$dir/libstd-*.rlib" >/dev/null
}

# Debian's Rust can build the standard library itself, if its sources and the linker are there.
has_debian_rust() {
    [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] &&
        [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std" ] &&
        dpkg-query -W -f='${Status}\n' "${debian_packages[@]}" 2>/dev/null |
        awk '!/install ok installed/ { bad = 1 } END { exit bad || NR < 5 }'
}

rustup_adds_target() {
    command -v rustup >/dev/null || return 1
    say "the wasm target is missing; asking rustup for it (at most ${RUSTUP_SECONDS:-120} seconds)"
    if timeout "${RUSTUP_SECONDS:-120}" rustup target add "$target" >&2 && has_target rustc; then
        return 0
    fi
    say "rustup could not add it (its own message is above)"
    return 1
}

debian_installs_rust() {
    command -v apt-get >/dev/null || return 1
    local root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { say "apt-get needs root, and there is no sudo"; return 1; }
        root=(sudo)
    fi
    say "installing Debian's Rust with sources: ${debian_packages[*]}"
    local install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -y --no-install-recommends "${debian_packages[@]}")
    "${install[@]}" >&2 || {
        say "not with the package lists at hand; fetching new ones"
        "${root[@]}" apt-get update >&2 && "${install[@]}" >&2
    } || { say "apt-get could not install them (its own message is above)"; return 1; }
    has_debian_rust
}

arguments=(build --target "$target")
if [ -n "$own_crate" ]; then
    target_dir=$PWD/target
    arguments+=(--release)
else
    target_dir=$PWD/$build
    arguments+=(--locked --profile guest --lib)
    for guest in "${guests[@]}"; do arguments+=(-p "atomic-store-example-$guest"); done
fi

build_plainly() {
    say "building with $(rustc --version)"
    CARGO_TARGET_DIR=$target_dir cargo "${arguments[@]}"
}

build_with_debian() {
    say "building with Debian's $(/usr/bin/rustc --version); the first time takes a minute or two"
    # RUSTC_BOOTSTRAP lets a release compiler build the standard library for the target.
    env -u RUSTUP_TOOLCHAIN -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER \
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$target_dir" \
        /usr/bin/cargo "${arguments[@]}" -Z build-std=std,panic_abort
}

if command -v rustc >/dev/null && command -v cargo >/dev/null && has_target rustc; then
    build_plainly
elif has_debian_rust; then
    build_with_debian
elif rustup_adds_target; then
    build_plainly
elif debian_installs_rust; then
    build_with_debian
else
    say "no Rust here can build for $target. Install one of these and run this again:"
    say "  rustup target add $target            (where rustup can download)"
    say "  apt-get install ${debian_packages[*]}   (Debian 12 with its security archive)"
    exit 1
fi

if [ -n "$own_crate" ]; then
    say "the result:"
    find "$target_dir/$target/release" -maxdepth 1 -name '*.wasm' -print
    exit 0
fi

mkdir -p "$out"
for guest in "${guests[@]}"; do
    from=$target_dir/$target/guest/atomic_store_example_$guest.wasm
    # Copied aside and renamed, so that nobody loads half a file; left alone if nothing changed.
    if ! cmp -s "$from" "$out/$guest.wasm"; then
        cp "$from" "$out/.$guest.wasm.new"
        mv "$out/.$guest.wasm.new" "$out/$guest.wasm"
    fi
    say "$out/$guest.wasm, $(wc -c <"$out/$guest.wasm") bytes"
done
