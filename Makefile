# "make" alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Arguments of dev and bench, as in: make dev ARGS="--once --dir ./data"
# and make bench ARGS="--only ratio --repeats 5"
ARGS ?=
# Time that "make fuzz" gives each target.
FUZZTIME ?= 10s
# Only the integration tests whose name matches.
RUN ?= .
# How long "make chaos" breaks things, and the seed that it prints, to repeat the faults.
DURATION ?= 10m
SEED ?=

# Where "make browser" keeps pictures of the pages; empty: nowhere.
SCREENSHOTS ?=

# Where "make bench" has its broker.
BENCH_PORT ?= 19592

# How many packages are tested at once: their tests wait more than they compute.
AT_ONCE ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN || echo 2))))

TOOLS := .cache/bin
PATTERNS := ./...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: dev
dev: build ## build and run everything in one process: embedded Kafka, delivery, destinations (ARGS=…)
	@exec bin/auditstream dev $(ARGS)

.PHONY: build
build: ## build bin/auditstream
	@go build -o bin/auditstream ./cmd/auditstream

.PHONY: test
test: ## run the tests: no Java, no network beyond the Go modules
	go test -p $(AT_ONCE) -timeout 20m -shuffle=on $(PATTERNS)

.PHONY: check
check: format-check vet lint race vuln tidy-check ## all that must hold before a change goes in, but integration

.PHONY: race
race: ## run the tests with the race detector (needs a C compiler)
	go test -p $(AT_ONCE) -timeout 40m -race -shuffle=on $(PATTERNS)

.PHONY: vet
vet: ## go vet, the integration tests included
	go vet -tags integration,browser $(PATTERNS)

.PHONY: lint
lint: $(TOOLS)/golangci-lint templ-check ## golangci-lint, and whether the console's pages are generated anew
	$(TOOLS)/golangci-lint run

.PHONY: templ-check
templ-check: $(TOOLS)/templ
	@dir=$$(mktemp -d); trap 'rm -r "$$dir"' EXIT; cp admin/console/*.templ "$$dir"; \
	$(TOOLS)/templ generate -log-level error -include-version=false -path "$$dir"; \
	for file in "$$dir"/*_templ.go admin/console/*_templ.go; do \
	  cmp -s "$$dir/$$(basename "$$file")" "admin/console/$$(basename "$$file")" || { echo "make: $$(basename "$$file") is not what \"make generate\" writes"; exit 1; }; \
	done

.PHONY: generate
generate: $(TOOLS)/templ ## write anew what is made of other files: constructors of the catalogue's events, the console's pages, the chart's alerts
	cp deploy/prometheus/alerts.yaml deploy/helm/auditstream/files/alerts.yaml
	go generate $(PATTERNS)
	$(TOOLS)/templ fmt -log-level error admin/console
	$(TOOLS)/templ generate -log-level error -include-version=false -path admin/console

.PHONY: format
format: $(TOOLS)/golangci-lint ## format all Go files
	$(TOOLS)/golangci-lint fmt

.PHONY: format-check
format-check: $(TOOLS)/golangci-lint ## fail on files that "make format" would change
	$(TOOLS)/golangci-lint fmt --diff

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## look for known vulnerabilities in what we call (says so when the database is out of reach)
	@tools/vulncheck $(TOOLS)/govulncheck -tags integration $(PATTERNS)

.PHONY: tidy-check
tidy-check: ## fail if "go generate" or "go mod tidy" would change something
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C tools/kubernetes mod tidy -diff
	go -C tools/templ mod tidy -diff
	@before=$$(git diff | cksum); $(MAKE) -s generate; \
	[ "$$before" = "$$(git diff | cksum)" ] || { git --no-pager diff --stat; echo 'make: "go generate" changed these files: commit them'; exit 1; }

.PHONY: integration
integration: kafka-jars postgres $(TOOLS)/versitygw ## run the tests on real Kafka, S3 and PostgreSQL servers; needs Java 17, Maven, PostgreSQL, Python 3 with venv, Node and npm (RUN=…)
	go test -tags integration -count=1 -v -timeout 45m -run '$(RUN)' ./integration/...

.PHONY: deploy-check
deploy-check: build $(TOOLS)/helm $(TOOLS)/kubeconform ## check the Helm chart and the systemd units; needs systemd-analyze
	deploy/check bin $(TOOLS)

.PHONY: observe-check
observe-check: $(TOOLS)/promtool ## check alert rules and dashboards with promtool, and run the tests of the rules
	PROMTOOL=$(abspath $(TOOLS)/promtool) go test -count=1 -run 'Promtool|Dashboards|Alerts' ./deploy

.PHONY: chaos
chaos: kafka-jars $(TOOLS)/versitygw ## break Kafka, networks, destinations and processes at random, and count every event (DURATION=… SEED=…)
	AUDITSTREAM_CHAOS=$(DURATION) AUDITSTREAM_SEED=$(SEED) go test -tags integration -count=1 -v -timeout 0 -run '^TestCampaign' ./integration/

# Before anything that takes time: it says in one line when Java or Maven is missing.
.PHONY: kafka-jars
kafka-jars:
	@integration/kafka/kafka-up resolve

# The outbox is tested on a server that the tests start themselves.
.PHONY: postgres
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "make integration: install PostgreSQL first (on Debian: apt-get install postgresql)"; exit 1; }; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -q -y --no-install-recommends postgresql; }

.PHONY: browser
browser: ## look at the console's pages in a real browser: Chromium (as root on Debian it is installed; SCREENSHOTS=DIR keeps pictures)
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "make browser: install chromium first"; exit 1; }; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -q -y --no-install-recommends chromium fonts-liberation fonts-dejavu-core; }
	AUDITSTREAM_SCREENSHOTS=$(abspath $(SCREENSHOTS)) go test -tags browser -count=1 -timeout 15m -run '^TestBrowser' ./admin/console

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u | while read -r dir; do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+).*/\1/p' "$$dir"/*_test.go); do \
	    echo "$$dir $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir"; \
	  done; \
	done

.PHONY: bench
bench: build kafka-jars ## measure delivery and the gateway on Apache Kafka, into docs/benchmarks.md; needs Java 17 and Maven (ARGS=…)
	@dir=$$(mktemp -d); trap 'integration/kafka/kafka-up clean "$$dir/kafka"; rmdir "$$dir"' EXIT; \
	address=$$(integration/kafka/kafka-up start --heap 1g "$$dir/kafka" $(BENCH_PORT)); \
	bin/auditstream bench suite --brokers "$$address" $(ARGS)

.PHONY: clean
clean: ## remove what was built, tools included
	rm -rf bin .cache

# Tools are built once for each change of their versions, which stand in the go.mod files
# below tools.
$(TOOLS)/golangci-lint: PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/govulncheck: PACKAGE := golang.org/x/vuln/cmd/govulncheck
$(TOOLS)/versitygw: PACKAGE := github.com/versity/versitygw/cmd/versitygw
# templ has a module of its own, so that a new version of it leaves the others as they are.
$(TOOLS)/templ: tools/templ/go.mod tools/templ/go.sum
	@echo "building templ"
	@go build -C tools/templ -o ../../$@ github.com/a-h/templ/cmd/templ
	@touch $@
$(TOOLS)/%: tools/go.mod tools/go.sum
	@echo "building $* (minutes, once)"
	@go build -C tools -o ../$@ $(PACKAGE)
	@touch $@
$(TOOLS)/helm: PACKAGE := helm.sh/helm/v4/cmd/helm
$(TOOLS)/kubeconform: PACKAGE := github.com/yannh/kubeconform/cmd/kubeconform
$(TOOLS)/helm $(TOOLS)/kubeconform: tools/kubernetes/go.mod tools/kubernetes/go.sum
	@echo "building $(notdir $@) (minutes, once)"
	@go build -C tools/kubernetes -o ../../$@ $(PACKAGE)
	@touch $@
$(TOOLS)/promtool: tools/promtool/go.mod tools/promtool/go.sum
	@echo "building $(notdir $@) (minutes, once)"
	@go build -C tools/promtool -tags remove_all_sd -o ../../$@ github.com/prometheus/prometheus/cmd/promtool
	@touch $@
