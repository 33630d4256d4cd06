# Image with a static binary, without shell, packages or named users, see docs/deploy/container.md.
#
#   docker build --tag portprobe:0.1.0 .
#   docker build --platform linux/arm64 --tag portprobe:0.1.0 .      (cross-compiled, not emulated)
#   docker run --name portprobe --read-only --publish 10115:10115 --volume "$PWD/portprobe.yaml":/etc/portprobe/portprobe.yaml portprobe:0.1.0
#
# The build stage runs deploy/image/build, which also works without a container engine.

FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
ARG TARGETARCH
WORKDIR /portprobe
COPY deploy/image/build deploy/image/build
RUN deploy/image/build tools
COPY Cargo.toml Cargo.lock askama.toml ./
RUN deploy/image/build dependencies
COPY src src
# The revision in portprobe_build_info.
ARG PORTPROBE_REVISION=
RUN deploy/image/build binary

# The engine adds /dev, /proc, /etc/hosts and /etc/resolv.conf. The binary contains Mozilla's roots; for `tls.roots:
# system`, mount a bundle at /etc/ssl/certs/ca-certificates.crt. portprobe writes no files.
FROM scratch
COPY deploy/image/nsswitch.conf /etc/nsswitch.conf
COPY --from=build /portprobe/target/image/portprobe /portprobe
ENV PORTPROBE_CONFIG_FILE=/etc/portprobe/portprobe.yaml
USER 65532:65532
EXPOSE 10115
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 CMD ["/portprobe", "healthcheck"]
ENTRYPOINT ["/portprobe"]
