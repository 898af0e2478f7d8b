# syntax=docker/dockerfile:1

# A release sets both to exact versions, because these tags move: see docs/releasing.md.
ARG GO=golang:1.26
ARG BASE=gcr.io/distroless/static-debian12:nonroot

# Compiles on the builder's own platform for whatever platform the image is for.
FROM --platform=$BUILDPLATFORM ${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
# A release sets them, so that the image holds the same bytes as its archives: see docs/releasing.md.
ARG VERSION=dev COMMIT= DATE=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /programs/ ./cmd/berth ./cmd/berth-sops

# Certificates for HTTPS, time zones for schedules, an account that is not root, and nothing to run but Berth.
FROM ${BASE}
COPY --from=build /programs/ /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/berth"]
