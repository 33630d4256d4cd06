# portprobe and next to nothing else: a static binary, no shell, no package, no user but a number.
#
#   docker build --tag portprobe:0.1.0 .
#   docker build --platform linux/arm64 --tag portprobe:0.1.0 .      (it is cross-compiled, not emulated)
#   docker run --read-only --publish 10115:10115 --volume ./portprobe.yaml:/etc/portprobe/portprobe.yaml portprobe:0.1.0
#
# What its build stage does stands in deploy/image/build, which needs no container engine.

FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
ARG TARGETARCH
WORKDIR /portprobe
COPY deploy/image/build deploy/image/build
RUN deploy/image/build tools
COPY Cargo.toml Cargo.lock ./
RUN deploy/image/build dependencies
COPY src src
# The revision that portprobe_build_info shows.
ARG PORTPROBE_REVISION=
RUN deploy/image/build binary

# The engine adds /dev, /proc, /etc/hosts and /etc/resolv.conf. Mozilla's roots are in the binary; `tls.roots: system`
# needs the bundle of a machine, mounted at /etc/ssl/certs/ca-certificates.crt. Nothing is ever written.
FROM scratch
COPY deploy/image/nsswitch.conf /etc/nsswitch.conf
COPY --from=build /portprobe/target/image/portprobe /portprobe
ENV PORTPROBE_CONFIG_FILE=/etc/portprobe/portprobe.yaml
USER 65532:65532
EXPOSE 10115
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 CMD ["/portprobe", "healthcheck"]
ENTRYPOINT ["/portprobe"]
