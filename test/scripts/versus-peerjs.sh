#!/bin/sh
# Loads PeerJS's server and maitred in turn with "maitred bench signaling" on loopback, three times, and prints the medians with their ratio.
#   test/scripts/versus-peerjs.sh [flags of bench signaling]
# Needs bin/maitred (make build), node, and npm, which downloads the server. PeerJS's server knows no rooms: with --fan-out its clients send a message to
# each of the others.
# CPU figures hold on a busy machine, latencies do not.
set -eu
cd "$(dirname "$0")/../.."
peer=1.0.2
# What its dependencies were on this day, so that everybody measures the same.
day=2025-06-01
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

npm install --prefix "$tmp" --no-audit --no-fund --ignore-scripts --before=$day peer@$peer >"$tmp/npm.log" 2>&1 || { cat "$tmp/npm.log" >&2; exit 1; }

peerjs() {
	export NODE_ENV=production
	exec node "$tmp/node_modules/peer/dist/bin/peerjs.js" --host 127.0.0.1 --port 34811 --concurrent_limit 1000000
}
maitred() {
	exec ./bin/maitred serve --http.listen 127.0.0.1:34813 --admin.listen off --turn.udp 127.0.0.1:0 --turn.tcp 127.0.0.1:0 --external-ip 127.0.0.1 \
		--http.limits.connections_per_ip 0 --signaling.limits.connections_per_ip 0 --signaling.limits.joins_per_ip 0 --signaling.limits.messages 0 --signaling.limits.messages_per_ip 0 \
		--signaling.max_rooms 1000000 --signaling.max_members 1000 --state_dir "$tmp/state"
}

for run in 1 2 3; do
	for name in peerjs maitred; do
		port=34811
		[ $name = peerjs ] || port=34813
		$name >"$tmp/$name.log" 2>&1 &
		server=$!
		bench="./bin/maitred bench signaling --json --protocol $name --server http://127.0.0.1:$port"
		tries=0
		until $bench --rooms 1 --members 1 --messages 0 >/dev/null 2>"$tmp/start.log"; do
			tries=$((tries + 1))
			if [ $tries -gt 50 ] || ! kill -0 "$server" 2>/dev/null; then
				echo "$name did not start:" >&2
				cat "$tmp/$name.log" "$tmp/start.log" >&2
				exit 1
			fi
			sleep 0.1
		done
		$bench --pid "$server" "$@" >"$tmp/$name.$run.json"
		kill "$server"
		wait "$server" 2>/dev/null || true
		server=
	done
done

node -e '
const fs = require("node:fs");
const read = (name) => [1, 2, 3].map((run) => JSON.parse(fs.readFileSync(`${process.argv[1]}/${name}.${run}.json`)));
const all = { peerjs: read("peerjs"), maitred: read("maitred") };
const median = (name, of) => { const v = all[name].map(of).sort((a, b) => a - b); return v[1]; };
const row = (label, unit, of) => {
	const [p, m] = [median("peerjs", of), median("maitred", of)];
	if (Number.isFinite(p) && Number.isFinite(m))
		console.log(`${label.padEnd(28)} ${p.toFixed(2).padStart(12)} ${m.toFixed(2).padStart(12)} ${(p > 0 ? (m / p).toFixed(2) : "-").padStart(8)}   ${unit}`);
};
console.log(`${"".padEnd(28)} ${"PeerJS".padStart(12)} ${"maitred".padStart(12)} ${"ratio".padStart(8)}`);
row("CPU per relayed message", "µs", (r) => r.messages?.cpu_us_per_delivered);
row("messages delivered", "1/s", (r) => r.messages?.delivered_per_second);
row("messages lost", "%", (r) => r.messages?.loss_pct);
row("message latency, p50", "µs", (r) => r.messages?.latency_us.p50);
row("message latency, p99", "µs", (r) => r.messages?.latency_us.p99);
row("until all have it, p99", "µs", (r) => r.messages?.fan_out_us?.p99);
row("CPU per join", "µs", (r) => r.join.cpu_us);
row("join latency, p99", "µs", (r) => r.join.latency_us.p99);
row("memory per idle connection", "bytes", (r) => r.idle?.memory_bytes_per_connection);
row("memory in the end", "MB", (r) => r.rss_bytes / 1e6);
' "$tmp"
