#!/bin/sh
# From the click on "join" to the first picture of somebody else: in maitred's page, directly and through the relay, and in Galène's, one after
# the other in the same browser.
#   test/scripts/versus-galene.sh GALENE [how often, 10 if not said]
# GALENE is the program, with its directory "static" beside it, as its own instructions leave it.
set -eu
galene=$(realpath "$1")
cd "$(dirname "$0")/../.."
root=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$tmp/maitred" ./cmd/maitred
# Galène wants an interface beside loopback.
cat >"$tmp/lan.sh" <<'INSIDE'
PATH=$PATH:/usr/sbin:/sbin
ip link add lan0 type veth peer name lan1
# Addresses that come later would look like a change of the network, at which Chromium gives up its requests.
ip link set lan0 addrgenmode none
ip link set lan1 addrgenmode none
ip addr add 192.0.2.1/24 dev lan0
ip link set lan0 up
ip link set lan1 up
exec "$@"
INSIDE
cd test/e2e
MAITRED_BIN="$tmp/maitred" MAITRED_GALENE="$galene" go test -exec "$root/test/scripts/netns.sh sh $tmp/lan.sh" -run '^$' -bench FirstFrame -benchtime "${2:-10}x" -timeout 20m .
