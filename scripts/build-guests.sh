#!/usr/bin/env bash
# Builds the Rust validators of examples/ to target/guests/<name>.wasm.
#
# They are core modules that carry their WIT; the store makes components of them when it loads them.
# Four ways to the wasm target are tried, in this order, and each says what it does:
#   1. the toolchain in use has it already;
#   2. rustup adds it (given 120 seconds; RUSTUP_SECONDS changes that);
#   3. Debian's own Rust with its sources, beside the toolchain in use, which stays as it is;
#   4. a message that says what to install.
# A second run with nothing changed takes about a second. Safe to run from any folder.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly target=wasm32-unknown-unknown
readonly out=target/guests
readonly build=target/guests-build
readonly guests=(auction door)
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

packages() { printf -- '-p atomic-store-example-%s ' "${guests[@]}"; }

build_plainly() {
    say "building with $(rustc --version)"
    # shellcheck disable=SC2046 # the list of packages is meant to be split
    CARGO_TARGET_DIR=$build cargo build --locked --profile guest --lib \
        --target "$target" $(packages)
}

build_with_debian() {
    say "building with Debian's $(/usr/bin/rustc --version); the first time takes a minute or two"
    # RUSTC_BOOTSTRAP lets a release compiler build the standard library for the target.
    # shellcheck disable=SC2046 # the list of packages is meant to be split
    env -u RUSTUP_TOOLCHAIN -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER \
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$build \
        /usr/bin/cargo build --locked --profile guest --lib \
        -Z build-std=std,panic_abort --target "$target" $(packages)
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

mkdir -p "$out"
for guest in "${guests[@]}"; do
    from=$build/$target/guest/atomic_store_example_$guest.wasm
    # Copied aside and renamed, so that nobody loads half a file; left alone if nothing changed.
    if ! cmp -s "$from" "$out/$guest.wasm"; then
        cp "$from" "$out/.$guest.wasm.new"
        mv "$out/.$guest.wasm.new" "$out/$guest.wasm"
    fi
    say "$out/$guest.wasm, $(wc -c <"$out/$guest.wasm") bytes"
done
