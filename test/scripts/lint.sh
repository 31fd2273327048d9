#!/usr/bin/env bash
# Everything that can be said about the sources without running them. Says all
# there is to say before it fails.
set -uo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
failed=0

check() { # name, command...
	local name=$1 begin=$SECONDS output
	shift
	if output=$("$@" 2>&1); then
		printf 'lint: %-28s ok %3ss\n' "$name" $((SECONDS - begin))
	else
		printf 'lint: %-28s FAILED\n%s\n' "$name" "$output"
		failed=1
	fi
}

formatted() {
	local files
	files=$(find . -name '*.go' -not -path '*/node_modules/*' -not -path '*/testdata/*' -print0 | xargs -0 gofmt -l)
	[ -z "$files" ] || { echo "run gofmt -w on:"; echo "$files"; return 1; }
}

staticcheck() {
	(cd "$1" && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...)
}

types() {
	cd "$root/web" || return
	[ -d node_modules ] || npm ci --no-audit --no-fund || return
	node_modules/.bin/tsc -p tsconfig.json
}

shells() {
	local file first
	while IFS= read -r -d '' file; do
		IFS= read -r first <"$file" || continue
		case $first in
		'#!'*bash*) bash -n "$file" || return ;;
		'#!'*/sh*) sh -n "$file" || return ;;
		esac
	done < <(find .ci test deploy -type f -not -name '*.go' -print0)
}

go_in() { # directory, go arguments...
	local directory=$1
	shift
	(cd "$directory" && go "$@")
}

check gofmt formatted
check "shell syntax" shells
check "go vet" go_in . vet ./...
check "go vet (e2e)" go_in test/e2e vet ./...
check "go vet (gomember)" go_in docs/examples/gomember vet ./...
for os in darwin windows; do
	check "go build ($os)" env GOOS=$os CGO_ENABLED=0 go build -o /dev/null ./cmd/maitred
	check "go vet ($os)" env GOOS=$os CGO_ENABLED=0 go vet ./cmd/... ./pkg/...
done
check staticcheck staticcheck .
check "staticcheck (e2e)" staticcheck test/e2e
check "staticcheck (gomember)" staticcheck docs/examples/gomember
check tsc types
exit $failed
