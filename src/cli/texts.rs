//! Texts of `--help` that are longer than a line.

/// The first line of `--help`.
pub(super) const ABOUT: &str = "Prometheus exporter for TCP, TLS and 30 protocols";

pub(super) const LONG_ABOUT: &str = "\
Prometheus exporter for TCP, TLS and 30 protocols

Probes each target of a configuration on its own interval and serves the results on /metrics. Without a command, \
portprobe runs `serve`.";

pub(super) const EXIT_STATUS_AND_SIGNALS: &str = "\
Examples:
  portprobe demo
  portprobe check portprobe.yaml
  portprobe --config.file=portprobe.yaml
  portprobe probe tls://example.com:443

Exit status:
  0  success
  1  failure: a probe failed, a file is invalid, the daemon cannot start
  2  wrong usage

Signals:
  SIGHUP           reload the configuration
  SIGTERM, SIGINT  stop; a second one stops at once";

pub(super) const SIGNALS: &str = "\
Signals:
  SIGHUP           reload the configuration
  SIGTERM, SIGINT  stop; a second one stops at once";

pub(super) const CHECK: &str = "\
Validate a configuration

Prints every problem as FILE:LINE:COLUMN: KEY: MESSAGE, or a summary if there is none. Also reads the files that the \
configuration names: certificates, keys, revocation lists, values of headers, and files of discovery sources. Makes no \
connection.";

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  portprobe check /etc/portprobe/portprobe.yaml
  portprobe check --syntax-only portprobe.yaml
  portprobe check --targets portprobe.yaml
  portprobe check portprobe.yaml --web.config.file=web.yml

Exit status:
  0  valid; there may be warnings
  1  invalid, or a file cannot be read
  2  wrong usage";

pub(super) const PROBE: &str = "\
Probe a target once and print each step

Prints every phase with its duration, the address, the TLS session and the certificates; for a failure also its usual \
meaning and what to do.

A URL is probed with the settings given as flags. A name is looked up in the configuration and in its discovery \
sources, and its target is probed with the same settings as by the daemon; flags override them. The configuration is \
--config.file or, for a name or with --module, portprobe.yaml in the working directory.";

pub(super) const PROBE_EXAMPLES: &str = "\
Examples:
  portprobe probe postgres+starttls://db.example.com
  portprobe probe --expect=closed 203.0.113.10:23
  portprobe probe --tls.verify=report --tls.server-name=example.com tls://192.0.2.7:443
  portprobe probe --config.file=/etc/portprobe/portprobe.yaml orders-db

Exit status:
  0  the probe succeeded
  1  the probe failed, or the configuration is invalid
  2  the URL, the name or a flag cannot be used";

pub(super) const DEMO: &str = "\
Run a self-contained demo

Starts small servers on loopback (open, refused, silent and slow ports, good and bad certificates, working and hung \
databases) and probes them, so that every state appears within seconds. Needs no configuration, network or root.";

pub(super) const SCHEMA: &str = "\
Print the JSON Schema of the configuration

Editors use it to complete and check the YAML file.";

pub(super) const HEALTHCHECK: &str = "\
Check that a running daemon is healthy

Requests the URL and succeeds if the response is 200 within 5 seconds. For containers without a shell.

A daemon that asks for a password (401) or a client certificate, or that limits requests (429), is alive, too.";

pub(super) const HEALTHCHECK_EXAMPLES: &str = "\
Examples:
  portprobe healthcheck
  portprobe healthcheck http://localhost:10115/-/ready
  portprobe healthcheck --web.config.file=/etc/portprobe/web.yml
  portprobe healthcheck --tls.ca-file=ca.pem https://portprobe.internal:10115/-/healthy

Exit status:
  0  healthy
  1  not healthy, or no response
  2  wrong usage";

pub(super) const TARGETS: &str = "\
List the targets of a running daemon

Prints a table with the state of each target, since when, and the reason of its last failure. With --json, prints all that \
the API has.";

pub(super) const TARGETS_EXAMPLES: &str = "\
Examples:
  portprobe targets --state=down
  portprobe targets --label team=orders --sort=-duration
  portprobe targets --json https://portprobe.internal:10115 --user=ops --password-file=password

Exit status:
  0  printed
  1  no response, or an error
  2  wrong usage";

pub(super) const IMPORT: &str = "\
Convert a configuration of blackbox_exporter

Prints a configuration of portprobe with the same modules and, with --prometheus, the targets that Prometheus probes \
through blackbox_exporter. A setting without an equivalent is a comment in its place, which begins with `not imported`.

With --compare, prints no configuration: blackbox_exporter and portprobe probe every target once, and the differences \
are printed.";

pub(super) const IMPORT_EXAMPLES: &str = "\
Examples:
  portprobe import --blackbox=blackbox.yml --prometheus=prometheus.yml >portprobe.yaml
  portprobe import --blackbox=blackbox.yml --prometheus=prometheus.yml \\
    --compare=http://localhost:9115

Exit status:
  0  converted; with --compare, no difference
  1  a file is invalid, blackbox_exporter does not respond, or there are differences
  2  wrong usage";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(portprobe completions bash)
  portprobe completions zsh >/usr/local/share/zsh/site-functions/_portprobe
  portprobe completions fish >~/.config/fish/completions/portprobe.fish";

pub(super) const MAN: &str = "\
Print the manual page

In the format of man: `portprobe man | man -l -` shows the page, `portprobe man probe | man -l -` that of a command.";

/// Returns the output of `--version`, after the name.
pub(super) fn long_version() -> String {
    let revision = match env!("PORTPROBE_REVISION") {
        "" => "unknown",
        revision => revision,
    };
    format!(
        "{}\nrevision: {revision}\ntarget: {}\nrustc: {}",
        env!("CARGO_PKG_VERSION"),
        env!("PORTPROBE_TARGET"),
        env!("PORTPROBE_RUSTC")
    )
}
