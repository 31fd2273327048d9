#!/usr/bin/env bash
# Runs every fuzz target of the module for the time given. Go fuzzes one target
# at a time, so they are found by their names.
set -euo pipefail
cd "$(dirname "$0")/../.."
each=${1:-10s}
grep -rhoE --include='*_test.go' --with-filename '^func Fuzz[A-Za-z0-9_]+' pkg cmd | sort | while IFS=: read -r file name; do
	name=${name#func }
	echo "fuzz: $name in $(dirname "$file")"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$each" "./$(dirname "$file")" </dev/null
done
