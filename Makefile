.DEFAULT_GOAL := help
.PHONY: help run build test lint bench page-speed fuzz setup test-go test-web test-e2e

# git may be absent, and a source archive has no history.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse --verify --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# How long "make fuzz" works on each target, how long "make bench" measures.
FUZZTIME  ?= 10s
BENCHTIME ?= 1s

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /  make \1	/p' Makefile | expand -t 18

run: build ## build and serve: open the page that it prints (ARGS="--config FILE" passes flags)
	./bin/maitred serve $(ARGS)

build: ## build ./bin/maitred, which needs nothing but Go
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o bin/maitred ./cmd/maitred

test: ## everything: set-up, lint, unit, race, fuzz seeds, coturn, nginx, HAProxy, an ACME server, browsers
	test/scripts/setup.sh
	$(MAKE) --no-print-directory -j1 lint test-go test-web test-e2e
	@echo "make test: everything passed"

lint: ## gofmt, vet and staticcheck for every system we build for, tsc, shell syntax
	test/scripts/lint.sh

bench: build ## the Go benchmarks (BENCHTIME=1s), and loads on relay and signaling
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	./bin/maitred bench relay
	./bin/maitred bench relay --sessions 200 --burst 2
	./bin/maitred bench relay --size 160 --burst 1
	./bin/maitred bench relay --pair
	./bin/maitred bench relay --transport tcp
	./bin/maitred bench relay --transport tls
	./bin/maitred bench relay --transport tls --sessions 200 --burst 2
	./bin/maitred bench relay --transport tls --connect-only --sessions 1000
	./bin/maitred bench relay --transport dtls
	./bin/maitred bench relay --rate 20000 --burst 1
	./bin/maitred bench relay --rate 20000 --burst 1 --flood 5000
	./bin/maitred bench relay --sessions 5000 --allocate-only
	./bin/maitred bench signaling --rooms 500 --joins 500 --messages 30000
	./bin/maitred bench signaling --rooms 5000 --joins 500 --messages 30000
	./bin/maitred bench signaling --rooms 1 --members 16 --fan-out --messages 100
	./bin/maitred bench signaling --flood 8

page-speed: ## how soon the page is ready on a 4G line, from "join" to the first picture, six people
	test/scripts/page-speed.sh

fuzz: ## every fuzz target for FUZZTIME=10s; "make test" runs their seeds
	test/scripts/fuzz.sh $(FUZZTIME)

setup: ## install what the tests need (apt-get), or say what is missing
	test/scripts/setup.sh

test-go: ## the Go tests with the race detector, coturn, proxies, ACME and the Go example included
	go test -race ./...
	cd docs/examples/gomember && go test -race ./...

test-web: web/node_modules ## the page's tests in Node
	cd web && node --test --test-reporter=spec

test-e2e: web/node_modules ## calls between real browsers through the real daemon (MAITRED_SHOTS=DIR keeps screenshots)
	go build -race -buildvcs=false -o bin/maitred-race ./cmd/maitred
	go -C docs/examples/gomember build -race -buildvcs=false -o "$(CURDIR)/bin/gomember-race" .
	cd test/e2e && MAITRED_BIN="$(CURDIR)/bin/maitred-race" MAITRED_GOMEMBER="$(CURDIR)/bin/gomember-race" go test -exec "$(CURDIR)/test/scripts/netns.sh" -count=1 -timeout 12m .

web/node_modules: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch web/node_modules
