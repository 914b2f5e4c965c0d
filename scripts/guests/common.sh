# What the scripts of the guest languages share; sourced from the top of the tree.

say() { printf 'guests: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Runs a command; says what it printed only if it fails.
quietly() {
    local printed
    printed=$("$@" 2>&1) || {
        printf '%s\n' "$printed" >&2
        die "failed: $*"
    }
}

# A hash of everything that a build depends on.
fingerprint() {
    find "$@" -type f -not -path '*/node_modules/*' -not -path '*/build/*' \
        -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

# up_to_date OUTPUT SOURCE...: true if OUTPUT was built from these very sources.
up_to_date() {
    local output=$1
    shift
    [ -f "$output" ] && [ "$(cat "target/guest-tools/$(basename "$output").built" 2>/dev/null)" = "$(fingerprint "$@")" ]
}

# publish FILE OUTPUT SOURCE...: puts what was built into place, whole, and remembers its sources.
publish() {
    local file=$1 output=$2
    shift 2
    mkdir -p "$(dirname "$output")"
    cp "$file" "$output.new"
    mv "$output.new" "$output"
    fingerprint "$@" >"target/guest-tools/$(basename "$output").built"
    say "$output, $(wc -c <"$output") bytes"
}

# pip_tool NAME: the packages of scripts/guests/NAME.txt from PyPI, in target/guest-tools/NAME/venv.
pip_tool() {
    local requirements=scripts/guests/$1.txt into=target/guest-tools/$1
    cmp -s "$requirements" "$into/installed" && return
    python3 -c 'import venv' 2>/dev/null ||
        die "$1 comes from PyPI; that needs Python 3 with venv; Debian: apt-get install python3-venv"
    say "installing the tool for $1 from PyPI"
    rm -rf "${into:?}/venv"
    mkdir -p "$into"
    quietly python3 -m venv "$into/venv"
    quietly "$into/venv/bin/pip" install --disable-pip-version-check --require-hashes \
        --only-binary :all: -r "$requirements"
    cp "$requirements" "$into/installed"
}

# The compiler for C, C++ and Zig. It keeps what it has compiled beside itself.
zig() {
    ZIG_GLOBAL_CACHE_DIR=$PWD/target/guest-tools/zig/cache \
        ZIG_LOCAL_CACHE_DIR=$PWD/target/guest-tools/zig/cache \
        target/guest-tools/zig/venv/bin/python -m ziglang "$@"
}
