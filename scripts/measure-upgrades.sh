#!/usr/bin/env bash
# Measures what new rules and many scopes cost on this machine, with the auction:
#
#   scripts/measure-upgrades.sh shadow [ROUNDS] ["SCOPES IN_FLIGHT"...]
#                                                appends with and without a candidate beside the binding
#   scripts/measure-upgrades.sh memory [MIB] [SCOPES] [RULES] [IN_FLIGHT]
#                                                 three appends to each of 100,000 scopes under MIB of instance memory;
#                                                 RULES is another of target/guests, as in: memory 128 1000 auction-js 1
#
# Needs `make build guests`, jq. Each run has a store of its own, which is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly program=$PWD/target/release/atomic-store
guest=$PWD/target/guests/auction.wasm
dir=$(mktemp -d); server=
cleanup() { [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true; rm -rf "$dir"; }
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

# load SCOPES IN_FLIGHT SECONDS OPTIONS...: one line of JSON
load() {
    "$program" --json bench-client --at "$dir/store/run/atomic-store.sock" --scopes "$1" --in-flight "$2" \
        --seconds "${@:3}" --kind bid --payload '{"bidder":"bench","amount":{n}}'
}

case "${1:-}" in
shadow)
    # In turns on one server, so that what else goes on meanwhile slows both alike.
    shapes=("${@:3}")
    [ $# -gt 2 ] || shapes=('1 1' '1 64' '100 100')
    for shape in "${shapes[@]}"; do
        start
        after=0
        for round in $(seq "${2:-20}"); do
            ways='without with'
            if [ $((round % 2)) = 0 ]; then ways='with without'; fi
            for way in $ways; do
                after=$((after + 1000000))
                report=
                if [ "$way" = with ]; then
                    # The same rules; under the same configuration they would not be a candidate.
                    "$program" --data "$dir/store" validator shadow start '*' auction \
                        --config '{"increment":"0.01"}' >"$dir/said"
                fi
                # shellcheck disable=SC2086  # two words are meant
                point=$(load $shape 3 --after $after)
                if [ "$way" = with ]; then
                    report=$("$program" --json --data "$dir/store" validator shadow report |
                        jq -c '{compared,not_compared,waiting,divergences}')
                    "$program" --data "$dir/store" validator shadow stop '*' >"$dir/said"
                fi
                printf '%s\t%s\t%s\t%s\n' "$shape" "$way" "$point" "$report" | tee -a "$dir/points" >&2
            done
        done
        stop
    done
    # Medians over the rounds of with / without, in percent.
    jq -nR '[inputs | split("\t") | {shape: .[0], way: .[1]} + (.[2] | fromjson)] | group_by(.shape)[] |
        (map(select(.way == "with")) ) as $with | (map(select(.way == "without"))) as $without |
        def median: sort | .[length / 2 | floor];
        def change(f): [range($with | length) | ($with[.] | f) / ($without[.] | f)] | (median - 1) * 1000 | round / 10;
        {"scopes, in flight": .[0].shape, rounds: ($with | length),
         "rate %": change(.per_s), "p50 %": change(.p50_us), "p99 %": change(.p99_us)}' -c "$dir/points" ;;
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
    "$program" --json --data "$dir/store" status
    printf '{"peak_resident_kib":%s}\n' "$peak" ;;
*)
    sed -n '2,10p' "$0"; exit 2 ;;
esac
