#!/bin/sh
# Loads coturn and maitred in turn with "maitred bench relay" on loopback, three times, and prints the medians with their ratio.
#   test/scripts/versus-coturn.sh [flags of bench relay]
# Needs bin/maitred (make build), coturn and node. CPU figures hold on a busy machine, latencies do not.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

cat >"$tmp/coturn.conf" <<CONF
listening-ip=127.0.0.1
relay-ip=127.0.0.1
listening-port=34801
use-auth-secret
static-auth-secret=bench-secret
realm=maitred
no-cli
allow-loopback-peers
no-tls
no-dtls
log-file=/dev/null
simple-log
no-stdout-log
CONF
echo bench-secret >"$tmp/secret"

coturn() { exec turnserver -c "$tmp/coturn.conf"; }
maitred() {
	exec ./bin/maitred serve --http.listen off --admin.listen off --turn.udp 127.0.0.1:34803 --turn.tcp 127.0.0.1:34803 \
		--external-ip 127.0.0.1 --turn.secrets bench-secret --turn.allow_peers 127.0.0.0/8 --turn.relay_ports 40000-49999 \
		--turn.quota.per_user 0 --turn.quota.per_ip 0 --turn.limits.unauthenticated_per_ip 0 --state_dir "$tmp/state"
}

for run in 1 2 3; do
	for name in coturn maitred; do
		port=34801
		[ $name = coturn ] || port=34803
		$name >"$tmp/$name.log" 2>&1 &
		server=$!
		# Both answer a Binding request as soon as they listen.
		tries=0
		until ./bin/maitred check "stun:127.0.0.1:$port" >/dev/null 2>&1; do
			tries=$((tries + 1))
			if [ $tries -gt 50 ] || ! kill -0 "$server" 2>/dev/null; then
				echo "$name did not start:" >&2
				cat "$tmp/$name.log" >&2
				exit 1
			fi
			sleep 0.1
		done
		./bin/maitred bench relay --json --server "127.0.0.1:$port" --secret-file "$tmp/secret" --pid "$server" "$@" >"$tmp/$name.$run.json"
		kill "$server"
		wait "$server" 2>/dev/null || true
		server=
	done
done

node -e '
const fs = require("node:fs");
const read = (name) => [1, 2, 3].map((run) => JSON.parse(fs.readFileSync(`${process.argv[1]}/${name}.${run}.json`)));
const all = { coturn: read("coturn"), maitred: read("maitred") };
const median = (name, of) => { const v = all[name].map(of).sort((a, b) => a - b); return v[1]; };
const row = (label, unit, of) => {
	const [c, m] = [median("coturn", of), median("maitred", of)];
	if (Number.isFinite(c) && Number.isFinite(m))
		console.log(`${label.padEnd(28)} ${c.toFixed(2).padStart(10)} ${m.toFixed(2).padStart(10)} ${(c > 0 ? (m / c).toFixed(2) : "-").padStart(8)}   ${unit}`);
};
console.log(`${"".padEnd(28)} ${"coturn".padStart(10)} ${"maitred".padStart(10)} ${"ratio".padStart(8)}`);
row("CPU per packet", "µs", (r) => r.cpu_us_per_packet);
row("added latency, p50", "µs", (r) => r.added_latency_us?.p50);
row("added latency, p99", "µs", (r) => r.added_latency_us?.p99);
row("latency, p99", "µs", (r) => r.latency_us?.p99);
row("latency, p99.9", "µs", (r) => r.latency_us?.p999);
row("loss", "%", (r) => r.loss_pct);
row("CPU per session set up", "µs", (r) => r.allocate?.cpu_us);
row("memory per session", "bytes", (r) => r.allocate?.memory_bytes);
' "$tmp"
