#!/bin/sh
# Loads coturn and maitred in turn with "maitred bench relay" on loopback, three times, and prints the medians with their ratio.
#   [KEY=rsa] test/scripts/versus-coturn.sh [flags of bench relay]
# With --transport tls or dtls both have the same certificate, ECDSA P-256, or RSA 2048 with KEY=rsa. coturn 4.6 speaks TLS 1.2 at most: add
# --tls-version 1.2, or compare two versions of TLS.
# Needs bin/maitred (make build), coturn, node, and openssl for a certificate. CPU figures hold on a busy machine, latencies do not.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
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
log-file=/dev/null
simple-log
no-stdout-log
CONF
echo bench-secret >"$tmp/secret"

transport=udp
previous=
for argument in "$@"; do
	[ "$previous" != --transport ] || transport=$argument
	case $argument in --transport=*) transport=${argument#*=} ;; esac
	previous=$argument
done

# What a transport with encryption needs, as flags of maitred.
secure=
case $transport in
tls | dtls)
	key='ec -pkeyopt ec_paramgen_curve:prime256v1'
	[ "${KEY-}" != rsa ] || key=rsa:2048
	# shellcheck disable=SC2086 # several words
	openssl req -x509 -newkey $key -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$tmp/key.pem" -out "$tmp/cert.pem" 2>"$tmp/openssl.log" || { cat "$tmp/openssl.log" >&2; exit 1; }
	secure="--tls.cert_file $tmp/cert.pem --tls.key_file $tmp/key.pem --turn.tls 127.0.0.1:34807 --turn.dtls 127.0.0.1:34807 --https.listen off"
	# AES-128 first, as maitred has it: coturn would take AES-256.
	cat >>"$tmp/coturn.conf" <<-CONF
		tls-listening-port=34805
		cert=$tmp/cert.pem
		pkey=$tmp/key.pem
		cipher-list=TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256
	CONF
	# Newer ones listen for DTLS only when they are told to.
	if turnserver -h 2>&1 | grep -q '^ --dtls'; then echo dtls >>"$tmp/coturn.conf"; fi
	;;
*)
	printf 'no-tls\nno-dtls\n' >>"$tmp/coturn.conf"
	;;
esac

coturn() { exec turnserver -c "$tmp/coturn.conf"; }
maitred() {
	# shellcheck disable=SC2086 # $secure is several words
	exec ./bin/maitred serve --http.listen off --admin.listen off --turn.udp 127.0.0.1:34803 --turn.tcp 127.0.0.1:34803 \
		--external-ip 127.0.0.1 --turn.secrets bench-secret --turn.allow_peers 127.0.0.0/8 --turn.relay_ports 40000-49999 \
		--turn.quota.per_user 0 --turn.quota.per_ip 0 --turn.limits.unauthenticated_per_ip 0 --turn.limits.connections_per_ip 0 --state_dir "$tmp/state" $secure
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
		[ -z "$secure" ] || port=$((port + 4))
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
for (const name of ["coturn", "maitred"]) if (all[name][0].encryption) console.log(`${name.padEnd(28)} ${all[name][0].encryption}`);
row("CPU per packet", "µs", (r) => r.cpu_us_per_packet);
row("added latency, p50", "µs", (r) => r.added_latency_us?.p50);
row("added latency, p99", "µs", (r) => r.added_latency_us?.p99);
row("latency, p99", "µs", (r) => r.latency_us?.p99);
row("latency, p99.9", "µs", (r) => r.latency_us?.p999);
row("loss", "%", (r) => r.loss_pct);
row("CPU per session set up", "µs", (r) => r.allocate?.cpu_us);
row("memory per session", "bytes", (r) => r.allocate?.memory_bytes);
row("CPU per connection", "µs", (r) => r.connect?.cpu_us);
row("connections per core", "1/s", (r) => r.connect?.per_core_second);
row("memory per idle connection", "bytes", (r) => r.connect?.memory_bytes);
' "$tmp"
