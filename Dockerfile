# syntax=docker/dockerfile:1
# The plane's image: one binary, no shell, not root. docker build -t REGISTRY/fprs:TAG .
# For egress gateways and agents, which are root and need nft:
# docker build --target egress -t REGISTRY/fprs-egress:TAG .

FROM docker.io/library/rust:1.95.0-slim-bookworm AS build
# The crypto library is C.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What `fprs --version` says: a build context has no .git.
ARG FPRS_COMMIT=""
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    FPRS_COMMIT="$FPRS_COMMIT" cargo build --release --locked -p fprs --features stores,s3,kubernetes \
    && cp target/release/fprs /fprs

FROM docker.io/library/debian:bookworm-slim AS egress
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends nftables \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /fprs /usr/local/bin/fprs
ENTRYPOINT ["/usr/local/bin/fprs"]

# Has glibc, certificates and the user 65532, and nothing else.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /fprs /usr/local/bin/fprs
USER 65532:65532
# Clients; control API, metrics and probes.
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/fprs"]
