#!/usr/bin/env bash
# Measures Atomic Store beside its peers and writes docs/benchmarks.md.
#
#   scripts/bench.sh [--quick] [--sections a,b]     see `make bench`
#   scripts/bench.sh build                          only installs and builds, so that a run can start at once
#
# Installs what is missing: PostgreSQL 15, Redis and protoc from Debian (as root), UmaDB from PyPI into
# target/peers. What cannot be installed does not stop the rest: the page says who did not take part.
# PostgreSQL and Redis run in private directories below target/peers, never as services of the system.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly umadb_version=0.7.8
readonly home=target/peers
readonly peers=$home/build/release/atomic-store-peers
say() { printf 'bench: %s\n' "$*" >&2; }

install_debian() {
    local wanted=() redis=
    [ -x /usr/lib/postgresql/15/bin/postgres ] || wanted+=(postgresql-15)
    command -v redis-server >/dev/null || { wanted+=(redis-server); redis=1; }
    command -v protoc >/dev/null || wanted+=(protobuf-compiler)
    [ ${#wanted[@]} = 0 ] && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "not here: ${wanted[*]}; install them, or do without"
        return
    fi
    # Debian would make a cluster and run it; only the programs are needed.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    say "installing ${wanted[*]}"
    apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold "${wanted[@]}" >&2 || say "not all of them could be installed"
    # The service would take a core's time now and then; a Redis that was here before is left alone.
    if [ -n "$redis" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now redis-server >&2 || say "the service redis-server could not be stopped"
    fi
}

install_umadb() {
    [ -x $home/venv/bin/umadb ] && [ "$($home/venv/bin/umadb --version)" = "umadb $umadb_version" ] && return
    say "installing UmaDB $umadb_version to $home/venv"
    { python3 -m venv $home/venv && $home/venv/bin/pip install --quiet "umadb==$umadb_version"; } ||
        say "UmaDB could not be installed; the page will say so"
}

mkdir -p $home
install_debian
install_umadb
command -v protoc >/dev/null || { say "protoc is needed to build the client of UmaDB"; exit 2; }
cargo build --profile dist --locked -p atomic-store
cargo build --release --locked --manifest-path tests/bench/Cargo.toml --target-dir $home/build
[ "${1:-}" = build ] && exit

# A run that ends in order leaves nothing behind; one that is interrupted leaves servers, some of them
# stopped. Only processes that name the run's own directory are touched.
stop_the_rest() {
    local file pid
    for file in "$PWD/$home"/run-*/pid; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        if grep -qF "${file%/pid}" "/proc/$pid/cmdline" 2>/dev/null; then
            pkill -CONT -P "$pid" || true
            kill -CONT "$pid" && kill -INT "$pid"
        fi
    done
}
trap stop_the_rest EXIT
$peers run "$@"
