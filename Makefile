# Everything here needs Go, git, gcc and make, and nothing else; "make node" also Linux, root and some packages.

# The image has programs without cgo. If everything is built so, each package is compiled once; only the race detector needs cgo.
export CGO_ENABLED := 0

KUBERNETES := v1.36.3
LOCAL := .build/local

# Kubernetes' programs know their version only if they are told at link time,
# and kubectl does not talk to a server that does not know it.
version_flags := $(foreach package,k8s.io/component-base/version k8s.io/client-go/pkg/version,\
	-X $(package).gitVersion=$(KUBERNETES) -X $(package).gitMajor=1 -X $(package).gitMinor=36)

# Compiling Kubernetes takes minutes, so every hundredth package is a line; what
# is neither a package nor a download is an error, and shown.
progress := awk '/^go: downloading/ { if (++d % 50 == 0) print "  " d " modules downloaded"; next } \
	/^FAILED$$/ { failed = 1; next } \
	/^[a-zA-Z0-9._\/~-]+$$/ { if (++n % 100 == 0) print "  " n " packages compiled"; fflush(); next } \
	{ print } END { exit failed }'

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## Build .build/berth, and .build/berth-sops, which decrypts for it.
	@mkdir -p .build
	go build -o .build/ ./cmd/berth ./cmd/berth-sops

.PHONY: cluster-binary
cluster-binary: ## Build .build/cluster, the local Kubernetes cluster.
	@test -x .build/cluster || echo "Building the local cluster out of Kubernetes $(KUBERNETES): about 2,500 packages, 5 minutes on two cores, the first time only."
	@mkdir -p .build
	@(go build -C e2e -v -ldflags '-s -w $(version_flags)' -o ../.build/cluster ./cmd/cluster 2>&1 || echo FAILED) | $(progress)

.PHONY: cluster
cluster: cluster-binary ## Start a local cluster for kubectl.
	@.build/cluster up --dir $(LOCAL)
	@echo "Use it:  export KUBECONFIG=$(abspath $(LOCAL))/kubeconfig && kubectl get nodes"
	@echo "Stop it: make cluster-down"

.PHONY: cluster-down
cluster-down: ## Stop the cluster that "make cluster" started.
	@test ! -x .build/cluster || .build/cluster down --dir $(LOCAL)

.PHONY: node-binary
node-binary: ## Build .build/node, the local cluster with this machine as its node.
	@mkdir -p .build
	@(go build -C e2e -v -ldflags '-s -w $(version_flags)' -o ../.build/node ./cmd/node 2>&1 || echo FAILED) | $(progress)

# As root, on Debian and Ubuntu. A machine that has them, in whatever way, needs no such step.
.PHONY: node-packages
node-packages: ## Install what "make node" needs: containerd, runc, CNI plugins and nftables.
	@if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends containerd runc containernetworking-plugins iptables nftables iproute2; \
	else echo "nothing installed: that takes root and apt-get"; fi

AXE := 4.14.1

# As root, on Debian and Ubuntu. A machine that has a Chromium, in whatever way, needs npm only.
.PHONY: browser-packages
browser-packages: ## Install what "make page" needs: Chromium, and axe-core from npm.
	@command -v chromium chromium-browser google-chrome >/dev/null || if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-inter fonts-liberation; \
	else echo "no Chromium installed: that takes root and apt-get"; fi
	@mkdir -p .build/axe
	@test -s .build/axe.min.js || { cd .build/axe && npm pack --silent axe-core@$(AXE) >/dev/null && tar -xzf axe-core-$(AXE).tgz && cp package/axe.min.js ..; }

.PHONY: page
page: cluster-binary ## Open the page of "berth ui" in a real Chromium (else the tests say why they are skipped).
	cd e2e && go test ./page -v -count=1

.PHONY: screenshots
screenshots: cluster-binary ## Make the pictures of docs/ui.md with a real Chromium.
	@mkdir -p docs/ui
	cd e2e && go test ./page -v -count=1 -run '^TestPictures$$' -pictures $(abspath docs/ui)

.PHONY: node
node: node-binary ## Run Berth as a Pod on a real node, in namespaces of its own (Linux and root; else the tests say why they are skipped).
	cd e2e && go test ./node -v -count=1

# Gitea is built with cgo, because its SQLite is written in C.
.PHONY: gitea-binary
gitea-binary: ## Build .build/gitea, a real Gitea for "make forge".
	@test -x .build/gitea || echo "Building Gitea out of the module e2e/gitea: about 1,250 packages, 7 minutes on two cores, the first time only."
	@mkdir -p .build
	@(CGO_ENABLED=1 go build -C e2e/gitea -v -tags 'sqlite sqlite_unlock_notify' -ldflags '-s -w' -o ../../.build/gitea code.gitea.io/gitea 2>&1 || echo FAILED) | $(progress) || \
		{ echo "Gitea was not built. Without a network, use a Gitea of yours: make forge GITEA=/path/to/gitea"; exit 1; }

# A Gitea of the user's, if GITEA names it.
.PHONY: forge
forge: cluster-binary $(if $(GITEA),,gitea-binary) ## Run scenarios with a real Gitea (another one: GITEA=/path/to/gitea, and if it was built without bindata, GITEA_ASSETS=folder of its sources).
	cd e2e && go test ./forge -v -count=1

.PHONY: notes
notes: cluster-binary $(if $(GITEA),,gitea-binary) ## Record the notes of docs/notes.md, with pictures, with a real Gitea (GITEA_ASSETS with compiled styles).
	cd e2e && go test ./forge -v -count=1 -run '^TestNotesOfTheDocumentation$$' -notes $(abspath docs/notes.md) -pictures $(abspath docs/notes)

OPENAPI_GITHUB := 23.0.2
OPENAPI_GITEA := v1.26.4

# GitHub's document comes from npm, Gitea's from its Go module. Both are MIT.
.PHONY: openapi
openapi: ## Extract what Berth uses of the OpenAPI documents of GitHub and Gitea, for the tests of source/forge.
	@mkdir -p .build/openapi
	@cd .build/openapi && test -s package/generated/api.github.com.json || { npm pack --silent @octokit/openapi@$(OPENAPI_GITHUB) >/dev/null && \
		tar -xzf octokit-openapi-$(OPENAPI_GITHUB).tgz package/generated/api.github.com.json && rm octokit-openapi-$(OPENAPI_GITHUB).tgz; }
	go test ./source/forge -count=1 -run '^TestRequestsAreThoseOfThePublishedDocuments$$' -extract -published GitHub=$(abspath .build/openapi/package/generated/api.github.com.json)
	go test ./source/forge -count=1 -run '^TestRequestsAreThoseOfThePublishedDocuments$$' -extract \
		-published Gitea="$$(go mod download -json code.gitea.io/gitea@$(OPENAPI_GITEA) | sed -n 's/.*"Dir": "\(.*\)",/\1/p')/templates/swagger/v1_json.tmpl"

# A cluster of the user's only if the command line names it: many people have KUBECONFIG in their environment.
ifeq ($(origin KUBECONFIG),command line)
own := --kubeconfig "$(KUBECONFIG)" $(if $(YES),--yes)
endif

.PHONY: demo
demo: $(if $(own),,cluster-binary) build ## Show the main job on a local cluster, and leave it running (KUBECONFIG=FILE: on a cluster of yours, after asking).
	@echo "Building the demo."
	@(go build -C e2e -v -o ../.build/ ./cmd/demo ./cmd/gitserver 2>&1 || echo FAILED) | $(progress)
	@.build/demo up $(own)

.PHONY: demo-down
demo-down: ## Stop and remove what "make demo" left running, on a cluster of yours, too.
	@test ! -x .build/demo || .build/demo down

# Concurrent packages are tested with the race detector, and only so. The named packages below reconciler are not concurrent:
# they start no goroutines and hold no locks, and TestSequentialPackages checks that. With the race detector, the tests of
# deaths would take as long as all others, although they do one thing after the other.
sequential := manifest|naming|observed|plan|render
concurrent = $$(go list ./source/... ./secrets/... ./internal/worker/... ./cmd/internal/access ./cmd/internal/login ./cmd/internal/web ./reconciler/... | grep -vE '/reconciler/($(sequential))$$')

# Tests with a control plane mostly wait, so more packages than processors run at the same time.
beside := -p $$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2))

# The tests that take longest begin first, so that no processor is idle at the end.
longest := ./scenarios ./hostile ./installation

define race-tests
CGO_ENABLED=1 go test $(beside) -race -skip '^TestDeath' $(concurrent)
CGO_ENABLED=1 go test -race -run '^(TestBuildsBesideEachOther|TestNoBuildWaitsForTheKeysOfAnother)$$' ./reconciler/render
endef

.PHONY: test
test: cluster-binary ## Run all tests, those of what is concurrent with the race detector.
	go test $$(go list ./... | grep -vxF "$(concurrent)")
	$(race-tests)
	go test ./reconciler -run '^TestDeath'
	cd e2e && go test $(beside) $(longest) ./...
	cd tools && go test ./...

.PHONY: crash
crash: cluster-binary ## Let the agent die at every write, and kill and freeze it at a hundred moments of a busy time (about 20 minutes; options in CRASH).
	go test ./reconciler -run Death -v -thorough
	cd e2e && go test ./crash -v -timeout 60m -moments 100 -freezes 100 $(CRASH)

.PHONY: branches
branches: cluster-binary ## Let 60 branches come and go at random for two minutes.
	cd e2e && go test ./branches -v -timeout 20m -branches 60 -during 2m

SOAK := 30m

.PHONY: soak
soak: cluster-binary ## Let an agent work for 30 minutes, and fail if its memory, goroutines or files grow (another time in SOAK).
	cd e2e && go test ./soak -v -count=1 -timeout 24h -during $(SOAK)

.PHONY: bench
bench: cluster-binary build ## Measure Berth beside a bare client (about 10 minutes; options in BENCH).
	@go build -C e2e -o ../.build/ ./bench
	@.build/bench --json .build/bench.json $(BENCH)

.PHONY: race
race: cluster-binary ## Run only the tests of what is concurrent, with the race detector.
	$(race-tests)

# Each is a package, a colon and its target. CI feeds those that strangers reach, by a push or over the network.
exposed := reconciler/naming:FuzzPatterns reconciler/naming:FuzzSlug secrets:FuzzDecrypt secrets:FuzzEncrypted \
	source/webhook:FuzzDelivery
FUZZED := $(exposed) health:FuzzOf reconciler/render:FuzzRender reconciler/render:FuzzScalars reconciler/manifest:FuzzHide source:FuzzParseTree source:FuzzProtocol
FUZZTIME := 30s

.PHONY: fuzz
fuzz: ## Feed what reads foreign input with hostile input (30 s each, two at a time; another time in FUZZTIME, other targets in FUZZED).
	@printf '%s\n' $(FUZZED) | xargs -P 2 -I{} sh -ec 'target={}; echo "fuzzing $$target"; \
		go test ./$${target%:*} -list "^$${target#*:}$$" | grep -qx "$${target#*:}" || { echo "there is no $$target"; exit 1; }; \
		go test ./$${target%:*} -run "^$$" -fuzz "^$${target#*:}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x -parallel 1'

.PHONY: fuzz-exposed
fuzz-exposed: ## The same for what strangers reach, 10 s each, as CI does.
	@$(MAKE) --no-print-directory fuzz FUZZED='$(exposed)' FUZZTIME=10s

generated = deploy/crds/*.yaml api/v1alpha1/zz_generated.*.go $$(find deploy/chart -type f | LC_ALL=C sort)

.PHONY: generate
generate: ## Generate the CRDs and deep copies from api/v1alpha1, and the Helm chart from deploy.
	go generate ./...

.PHONY: release-dry-run
release-dry-run: ## Build a release into dist, every program twice, and publish nothing (VERSION=v1.2.3; options in RELEASE).
	go run -C tools ./release $(if $(VERSION),-version $(VERSION)) $(RELEASE)

.PHONY: lint
lint: .build/staticcheck ## Check format, vet, staticcheck, imports, and that generated files and go.mod are fresh.
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	cd e2e && go vet ./...
	cd tools && go vet ./...
	.build/staticcheck ./...
	cd e2e && ../.build/staticcheck ./...
	cd tools && ../.build/staticcheck ./...
	go test -run Imports .
	@before=$$(cat $(generated) | cksum); $(MAKE) --no-print-directory generate; test "$$before" = "$$(cat $(generated) | cksum)" || \
		{ echo "what is generated from api/v1alpha1 and deploy was stale: review it with git diff, and commit it"; exit 1; }
	go mod tidy -diff
	cd e2e && go mod tidy -diff
	cd tools && go mod tidy -diff

.build/staticcheck: e2e/go.mod
	go build -C e2e -o ../.build/staticcheck honnef.co/go/tools/cmd/staticcheck
