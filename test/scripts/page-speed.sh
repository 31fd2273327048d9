#!/bin/sh
# How long the page keeps people waiting: until one can join, on an emulated 4G network, and from the click on "join" to the first picture of
# somebody else; and what a call of six people in one browser is like.
#   test/scripts/page-speed.sh [how often, 10 if not said]
# Figures of a busy machine say little.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
program=$(mktemp)
trap 'rm -f "$program"' EXIT
trap 'exit 130' INT TERM

CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$program" ./cmd/maitred
cd test/e2e
MAITRED_BIN="$program" go test -exec "$root/test/scripts/netns.sh" -run '^$' -bench 'Ready|FirstFrame|Six' -benchtime "${1:-10}x" -timeout 20m .
