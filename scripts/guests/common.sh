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
