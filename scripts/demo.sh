#!/usr/bin/env bash
# An auction, end to end, with the real program: a server in a temporary directory, the auction's
# rules as a WebAssembly validator, bids from a file, and a look at what was stored.
#
#   scripts/demo.sh                 10,000 invented bids, the same on every machine
#   BIDS=path.csv scripts/demo.sh   bids of your own, for example ../shared/data/ebay-bids.csv
#
# Columns, without a header: auction, bid, time, bidder, rating, opening bid, final price, item, days.
# Leaves nothing behind: the server is ended and the directory removed, however this ends.
set -euo pipefail

caller=$PWD
cd "$(dirname "$0")/.."
readonly store=target/release/atomic-store
readonly auction=target/guests/auction.wasm

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

bids=${BIDS:-}
if [ -n "$bids" ]; then
    [ "${bids#/}" = "$bids" ] && bids=$caller/$bids
    [ -r "$bids" ] || fail "the file BIDS=$BIDS cannot be read"
fi

say "Building the store and the auction's validator (the first time takes some minutes)"
cargo build --release --locked -p atomic-store
scripts/build-guests.sh
if [ -z "$bids" ]; then
    cargo build --release --locked -p atomic-store-example-auction --example bids
fi

# Short, because the path of a Unix socket has at most 107 bytes.
dir=$(mktemp -d /tmp/atomic-store-demo.XXXXXX)
server=
clean_up() {
    trap - EXIT
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill -TERM "$server" 2>/dev/null || true
        # A server that does not end by itself within ten seconds is ended.
        for _ in $(seq 100); do
            kill -0 "$server" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start=$(date +%s)
if [ -z "$bids" ]; then
    bids=$dir/bids.csv
    say "Inventing 10,000 bids, with a count of what the rules should make of them"
    target/release/examples/bids 1 10000 >"$bids"
fi

say "Starting the store"
export ATOMIC_STORE_DATA=$dir/store
unset ATOMIC_STORE_SOCKET
mkfifo "$dir/ready"
"$store" serve --log warn >"$dir/ready" 2>"$dir/log" &
server=$!
# Opened for both, so that a server that dies at once does not leave us waiting for a writer.
exec 3<>"$dir/ready"
if ! read -r -t 30 ready <&3; then
    cat "$dir/log" >&2
    fail "the store did not start"
fi
echo "$ready"

say "Loading the rules: at least the opening bid, and more than the highest so far"
"$store" validator load "$auction"
"$store" validator bind 'auction/*' auction
"$store" validator list

say "Importing bids: each is judged by the validator and made durable before it is answered"
"$store" import "$bids" --format csv \
    --columns auction,bid,time,bidder,rating,opening,final,item,days --order-by time \
    --scope 'auction/{auction}' --kind bid \
    --field bidder:text --field amount=bid --field opening --rejected "$dir/rejected.csv"

# Written to files first: a reader that stops early would end the writer with an error.
"$store" scope list auction/ --json >"$dir/scopes.ndjson"
"$store" read --all --json >"$dir/events.ndjson"

one=$(sed -n 's/.*"name":"\([^"]*\)","head":\([0-9]*\),.*/\2 \1/p' "$dir/scopes.ndjson" |
    awk '$1 >= 5 && $1 <= 12 && !found { print $2; found = 1 } END { if (!found) print $2 }')
say "One auction's log, $one, and what its validator says is the highest bid"
"$store" read "$one"
"$store" query "$one" highest

say "What is stored"
# Accepted bids only rise, so the last bid of an auction is its highest. Sums are of whole cents.
awk '
    match($0, /"scope":"auction\/[^"]*"/) {
        scope = substr($0, RSTART, RLENGTH)
        if (match($0, /"amount":"?[0-9.]+/)) {
            amount = substr($0, RSTART + 9, RLENGTH - 9)
            gsub(/"/, "", amount)
            highest[scope] = int(amount * 100 + 0.5)
            bids++
        }
    }
    END {
        for (scope in highest) { scopes++; cents += highest[scope] }
        printf "%d auctions, %d accepted bids, the highest bids sum to %.2f\n", scopes, bids, cents / 100
    }' "$dir/events.ndjson"

say "Checking every event against its chain of hashes, and judging each append again"
"$store" verify --logic

say "Stopping the store"
kill -TERM "$server"
wait "$server" || fail "the store ended with code $?"
server=
echo "closed cleanly; the demo took $(($(date +%s) - start)) seconds"
