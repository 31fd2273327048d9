#!/usr/bin/env bash
# Brings in what "make test" needs: installs it where apt-get and the rights
# are there, otherwise prints the command and fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

# package -> a program or file that shows it is there
needs=(
	"chromium-headless-shell:/usr/lib/chromium/chromium-headless-shell"
	"chromium:/usr/lib/chromium/chromium"
	"firefox-esr:/usr/lib/firefox-esr/firefox-esr"
	"coturn:turnutils_uclient"
	"nginx-light:nginx"
	"libnginx-mod-stream:/usr/lib/nginx/modules/ngx_stream_module.so"
	"haproxy:haproxy"
	"libnss3-tools:certutil"
	"iproute2:ip"
	"nftables:nft"
	"util-linux:unshare"
	"nodejs:node"
	"npm:npm"
	"gcc:gcc"
	"libc6-dev:/usr/include/stdlib.h"
	"ca-certificates:/etc/ssl/certs/ca-certificates.crt"
)
if [ -n "${MAITRED_SHOTS:-}" ]; then
	# Only the screenshots of the Chinese page want it.
	needs+=("fonts-wqy-microhei:/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
fi

present() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 ;;
	esac
}

missing() {
	local need
	for need in "${needs[@]}"; do
		present "${need#*:}" || echo "${need%%:*}"
	done
}

# Debian starts a service as soon as its package is unpacked. The tests run
# their own processes on ports of their own, so while we install, nothing may
# start, and what we brought in does not start at the next boot either.
policy=/usr/sbin/policy-rc.d
saved=
restore_policy() {
	rm -f "$policy"
	if [ -n "$saved" ]; then mv "$saved" "$policy"; fi
}
forbid_services() {
	if [ -e "$policy.before-maitred" ]; then
		saved=$policy.before-maitred # a run that was killed left it
	elif [ -e "$policy" ]; then
		saved=$policy.before-maitred
		mv "$policy" "$saved"
	fi
	trap restore_policy EXIT
	trap 'exit 1' INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}
disable_services() {
	local unit
	if [ ! -d /run/systemd/system ]; then return; fi
	for unit in coturn:coturn nginx-light:nginx haproxy:haproxy; do
		case " $* " in
		*" ${unit%%:*} "*) systemctl disable --now "${unit#*:}" >/dev/null 2>&1 || true ;;
		esac
	done
}

if ! command -v go >/dev/null 2>&1; then
	echo "Go is missing: install Go 1.26 or newer and put it into PATH." >&2
	exit 1
fi

mapfile -t packages < <(missing)
if [ ${#packages[@]} -gt 0 ]; then
	install=(apt-get install -y --no-install-recommends "${packages[@]}")
	wait=(-o DPkg::Lock::Timeout=300)
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "The tests need these Debian packages, or what your system calls them: ${packages[*]}" >&2
		exit 1
	fi
	if [ "$(id -u)" != 0 ]; then
		echo "The tests need packages that only root may install. Run this, then again:" >&2
		echo "  sudo apt-get update && sudo ${install[*]}" >&2
		exit 1
	fi
	echo "installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	forbid_services
	apt-get "${wait[@]}" update -qq
	"${install[@]}" "${wait[@]}" -qq
	disable_services "${packages[@]}"
	mapfile -t packages < <(missing)
	if [ ${#packages[@]} -gt 0 ]; then
		echo "Installed, but still not where the tests look: ${packages[*]}. They are made for Debian 12." >&2
		exit 1
	fi
fi

if [ "$(node -p 'parseInt(process.versions.node)')" -lt 18 ]; then
	echo "Node $(node --version) is too old for the page's tests: install 18 or newer." >&2
	exit 1
fi
# The ACME server of the tests has a module of its own; what is missing of it is better known now than in the middle of a test.
(cd test/interop/pebble && go mod download)
echo "set-up: everything the tests need is here"
