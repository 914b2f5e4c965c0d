#!/usr/bin/env bash
# Measures what new rules and many scopes cost on this machine, with the auction:
#
#   scripts/measure-upgrades.sh shadow [ROUNDS] ["SCOPES IN_FLIGHT"...]
#                                                 appends with and without a candidate beside the binding
#   scripts/measure-upgrades.sh memory [MIB] [SCOPES] [RULES] [IN_FLIGHT]
#                                                 three appends to each of 100,000 scopes under MIB of instance memory;
#                                                 RULES is another of target/guests, as in: memory 128 1000 auction-js 1
#
# Needs `make build guests`, jq. Each run has a store of its own, which is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly program=$PWD/target/release/atomic-store
guest=$PWD/target/guests/auction.wasm
dir=$(mktemp -d); server=; client=
cleanup() { for pid in $client $server; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$dir"; }
trap cleanup EXIT

# start OPTIONS...: a server on a new store, with the auction bound to everything
start() {
    rm -rf "$dir/store" "$dir/ready"
    "$program" serve --data "$dir/store" --log error "$@" >"$dir/ready" &
    server=$!
    until grep -q ready "$dir/ready" 2>/dev/null; do sleep 0.05; done
    "$program" --data "$dir/store" validator load "$guest" >"$dir/said"
    "$program" --data "$dir/store" validator bind '*' auction >"$dir/said"
}
stop() { kill -9 "$server"; wait "$server" 2>/dev/null || true; server=; }

# load SCOPES IN_FLIGHT SECONDS: bids in place of this shell
load() {
    exec "$program" --json bench-client --at "$dir/store/run/atomic-store.sock" --scopes "$1" --in-flight "$2" \
        --seconds "$3" --kind bid --payload '{"bidder":"bench","amount":{n}}'
}

# Events stored so far, and when that was, in nanoseconds.
stored() { printf '%s %s' "$("$program" --json --data "$dir/store" status | jq .position)" "$(date +%s%N)"; }

case "${1:-}" in
shadow)
    # Under one load that goes on: what else the machine does in these minutes slows both ways alike.
    rounds=${2:-40}
    shapes=("${@:3}")
    [ $# -gt 2 ] || shapes=('1 1' '1 64' '100 100')
    for shape in "${shapes[@]}"; do
        start
        # shellcheck disable=SC2086  # two words are meant
        load $shape 600 >"$dir/said" 2>&1 &
        client=$!
        sleep 1
        for round in $(seq "$rounds"); do
            ways='without with'
            if [ $((round % 2)) = 0 ]; then ways='with without'; fi
            for way in $ways; do
                # The same rules; under the same configuration they would not be a candidate.
                [ "$way" = without ] || "$program" --data "$dir/store" validator shadow start '*' auction \
                    --config '{"increment":"0.01"}' >"$dir/started"
                before=$(stored)
                sleep 1.5
                after=$(stored)
                [ "$way" = without ] ||
                    "$program" --data "$dir/store" validator shadow stop '*' >"$dir/started"
                printf '%s\t%s\t%s %s\n' "$shape" "$way" "$before" "$after" >>"$dir/points"
            done
        done
        # Fails if the load has ended before.
        kill "$client"; wait "$client" 2>/dev/null || true; client=
        stop
    done
    # In a closed loop the rate falls by as much as the wait for an answer grows.
    jq -nRc '[inputs | split("\t") | {shape: .[0], way: .[1]} +
            (.[2] | split(" ") | map(tonumber) | {rate: ((.[2] - .[0]) / (.[3] - .[1]) * 1e9)})] |
        group_by(.shape)[] | map(select(.way == "with").rate) as $with | map(select(.way == "without").rate) as $without |
        def median: sort | .[length / 2 | floor];
        {"scopes, in flight": .[0].shape, rounds: ($with | length),
         "appends/s without": ($without | median | round), "with": ($with | median | round),
         "% in the median of rounds": ([range($with | length) | $with[.] / $without[.]] | (median - 1) * 1000 | round / 10)}' \
        "$dir/points" ;;
memory)
    guest=$PWD/target/guests/${4:-auction}.wasm
    start --instance-memory "${2:-1024}"
    cargo build -q --release -p atomic-store-client --example cold_scopes
    target/release/examples/cold_scopes "$dir/store/run/atomic-store.sock" "${3:-100000}" 3 "${5:-16}" &
    client=$!
    peak=0
    while kill -0 "$client" 2>/dev/null; do
        now=$(awk '/VmRSS/ { print $2 }' "/proc/$server/status")
        peak=$(( now > peak ? now : peak ))
        sleep 0.5
    done
    wait "$client"
    client=
    "$program" --json --data "$dir/store" status
    printf '{"peak_resident_kib":%s}\n' "$peak" ;;
*)
    sed -n '2,10p' "$0"; exit 2 ;;
esac
