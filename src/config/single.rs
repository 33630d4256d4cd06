//! A single target for `portprobe probe`: from a file, a discovery source or a URL, with settings from flags.

use std::path::Path;
use std::sync::Arc;

use crate::config::compile::{self, Compiled};
use crate::config::file_uses::FileUses;
use crate::config::keys::Settings;
use crate::config::keys::read::{Field, Key, put};
use crate::config::keys::schema::{ValueKind, setting_keys};
use crate::config::levels::Level;
use crate::config::problems::text::{quoted, suggestion};
use crate::config::problems::{At, LoadError, Problems};
use crate::config::sources::{Discovered, Source};
use crate::config::targets::FileTargets;
use crate::config::yaml::Node;
use crate::config::{CONFIG_FLAG, Config, Draft, document, folder, read};
use crate::files;
use crate::options::ResolverOptions;
use crate::target::{Cadence, Target};

/// A target for a single probe.
#[derive(Clone, Debug, PartialEq)]
pub struct SingleTarget {
    /// The target.
    pub target: Arc<Target>,
    /// Resolver options for its name.
    pub dns: ResolverOptions,
}

/// The target to probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeRequest<'a> {
    /// The name of a target, or a URL.
    pub target: &'a str,
    /// Settings by dotted key, with commas between the items of a list. They take precedence over all others. Paths are
    /// relative to the working directory.
    pub flags: &'a [(String, String)],
    /// A configuration, which must be valid as a whole.
    pub config_file: Option<&'a Path>,
    /// A module of the configuration. It takes precedence over the target's settings.
    pub module: Option<&'a str>,
}

impl ProbeRequest<'_> {
    /// Returns whether the target can only be a name: it has no colon as in `host:port`, and no flag sets the scheme,
    /// whose default port would make a host a URL.
    pub fn is_name(&self) -> bool {
        !self.target.contains(':') && self.flags.iter().all(|(key, _)| key != "scheme")
    }
}

/// Looks up a requested target, step by step: [`in_file`](Self::in_file), then [`in_source`](Self::in_source) for each
/// of the [`sources`](Self::sources), then [`by_url`](Self::by_url).
///
/// Only the files of the target itself are required by the resulting drafts. A problem of a flag is reported as
/// `--confirm.failures: ...`, one of the target as `URL: ...` or `NAME: ...`.
pub struct TargetLookup<'a> {
    request: ProbeRequest<'a>,
    text: String,
    compiled: Compiled,
    /// `None` without a configuration file.
    config: Option<Config>,
    /// Every name that was compared.
    names: Vec<String>,
}

impl<'a> TargetLookup<'a> {
    /// Reads the configuration of a request.
    pub fn new(request: ProbeRequest<'a>, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, LoadError> {
        let path = request.config_file.unwrap_or_else(|| Path::new(""));
        let (folder, mut text, mut config) = (folder(path), String::new(), None);
        let mut root = Node::Mapping(Vec::new());
        if request.config_file.is_some() {
            text = read(path, files::read_any, CONFIG_FLAG)?;
            root = document(&text, path)?;
            let problems = Problems::default();
            let (whole, _) = compile::config(root.clone(), folder, environment, problems.document());
            config = Some(problems.finish(Some(path), &text, Some(whole))?);
        }
        let compiled = Compiled::new(root, folder, environment, Problems::default().document());
        Ok(Self { request, text, compiled, config, names: Vec::new() })
    }

    /// The target of the file that has the requested name.
    pub fn in_file(&mut self) -> Option<Draft<'static, SingleTarget>> {
        let problems = Problems::default();
        let overlay = self.overlay(&problems);
        let (document, wanted) = (problems.document(), self.request.target);
        let (targets, names) = (document.key("targets"), &mut self.names);
        let (index, offset) = self.compiled.find(wanted, targets, names)?;
        let entry = self.compiled.entries.as_ref()?.get(index)?.clone();
        let mut collected =
            FileTargets::new(self.compiled.builder().with_overlay(&overlay), self.compiled.limits.targets);
        collected.add(entry, targets.item(index));
        let target = collected.targets().get(offset).cloned();
        let files = collected.into_files();
        Some(self.draft(target, files, problems))
    }

    /// The discovery sources of the configuration, in their order.
    pub fn sources(&self) -> Vec<Source> {
        self.config.as_ref().map(|config| config.discovery.clone()).unwrap_or_default()
    }

    /// Resolver options for the names of sources.
    pub fn resolver_options(&self) -> ResolverOptions {
        self.compiled.dns
    }

    /// The target of a source's entries that has the requested name.
    pub fn in_source(&mut self, source: &Source, entries: &[Discovered]) -> Option<Draft<'static, SingleTarget>> {
        let problems = Problems::default();
        let overlay = self.overlay(&problems);
        let context = &self.config.as_ref()?.discovery_context;
        let place = context.find(source, entries, self.request.target, &mut self.names)?;
        let (target, files) = context.target(source, place, &overlay, &problems)?;
        Some(self.draft(target, files, problems))
    }

    /// The target of the requested URL with the settings of `defaults`, or the problem that the name is unknown.
    pub fn by_url(&self) -> Draft<'static, SingleTarget> {
        let problems = Problems::default();
        let overlay = self.overlay(&problems);
        let wanted = self.request.target;
        if self.request.is_name() && self.config.is_some() {
            problems.argument("NAME").refuse(self.unknown_name());
            return self.draft(None, FileUses::new(Path::new("").into()), problems);
        }
        let at = problems.argument("URL");
        let mut targets =
            FileTargets::new(self.compiled.builder().with_overlay(&overlay), self.compiled.limits.targets);
        targets.add(Node::Text(wanted.into()), at);
        let target = match targets.targets() {
            [one] => Some(one.clone()),
            [] => None,
            several => {
                at.refuse(format_args!("has {} ports; must have one", several.len()));
                None
            }
        };
        let files = targets.into_files();
        self.draft(target, files, problems)
    }

    fn unknown_name(&self) -> String {
        let wanted = quoted(self.request.target);
        match suggestion(self.request.target, self.names.iter().map(String::as_str)) {
            Some(near) => format!("unknown target {wanted}; did you mean {}?", quoted(near)),
            None => format!(
                "unknown target {wanted}; must be the name of a target in the configuration or its discovery sources, \
                 or a URL like tcp://host:443"
            ),
        }
    }

    /// The flags and the module as a level of settings.
    fn overlay(&self, problems: &Problems) -> Level {
        let overlay = overlay(self.request.flags, self.request.module, problems.flags());
        self.compiled.groups.check(&overlay, problems);
        overlay
    }

    fn draft(&self, target: Option<Arc<Target>>, files: FileUses, problems: Problems) -> Draft<'static, SingleTarget> {
        let value = target.map(|target| SingleTarget { target, dns: self.compiled.dns });
        let path = self.request.config_file.map(Path::to_owned);
        Draft { value, files, problems, text: self.text.clone().into(), path }
    }
}

/// The flags and the module as a level of settings.
///
/// The interval only limits the timeout, so a timeout without an interval sets both.
fn overlay(flags: &[(String, String)], module: Option<&str>, at: At<'_>) -> Level {
    let keys = setting_keys();
    let mut settings = Vec::new();
    for (key, text) in flags {
        let kind = keys
            .iter()
            .find(|known| known.key == *key)
            .map_or(ValueKind::Scalar, |known| known.kind);
        put(&mut settings, key, kind.node(text));
    }
    settings.extend(module.map(|name| ("module".into(), Node::Text(name.into()))));
    let mut settings: Settings = Key::read(Node::Mapping(settings), at).unwrap_or_default();
    if let (Some(&timeout), true) = (settings.timeout.get(), settings.interval.is_absent()) {
        settings.interval = Field::Valid(timeout.clamp(Cadence::DEFAULT_INTERVAL, Cadence::MAX_INTERVAL));
    }
    Level::new(settings, at)
}

impl Compiled {
    /// The index of the entry that contains the target with this name, and the target's index in the entry. Adds all
    /// other names to `names`.
    fn find(&self, name: &str, at: At<'_>, names: &mut Vec<String>) -> Option<(usize, usize)> {
        let mut targets = self.targets();
        for (index, node) in self.entries.iter().flatten().enumerate() {
            let before = targets.targets().len();
            targets.add(node.clone(), at.item(index));
            let mut added = targets.targets().iter().skip(before);
            if let Some(offset) = added.position(|target| target.name.as_str() == name) {
                return Some((index, offset));
            }
        }
        names.extend(targets.targets().iter().map(|target| target.name.to_string()));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::config::{Required, Unreadable};
    use crate::target::{AddressMode, FileProblem, Roots, TlsFile};

    const FILE: &str = "\
labels: { region: eu }
defaults: { interval: 5s }
modules: { slow: { timeout: 4s }, wrong: { ip: ipv6 } }
groups: { g: {} }
dns: { tries: 5 }
targets:
  - tcp://10.0.0.1:22,80
  - { url: tcp://db.example:5432, name: db, group: g, timeout: 2s }
";

    fn flags(flags: &[(&str, &str)]) -> Vec<(String, String)> {
        flags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn from_url(wanted: &str, given: &[(&str, &str)]) -> Result<SingleTarget, String> {
        one(wanted, given, None, None)
    }

    fn one(
        target: &str,
        given: &[(&str, &str)],
        config_file: Option<&Path>,
        module: Option<&str>,
    ) -> Result<SingleTarget, String> {
        let request = ProbeRequest { target, flags: &flags(given), config_file, module };
        looked_up(request)
            .and_then(|draft| draft.finish(&[]))
            .map_err(|error| error.to_string())
    }

    fn looked_up(request: ProbeRequest<'_>) -> Result<Draft<'static, SingleTarget>, LoadError> {
        let mut lookup = TargetLookup::new(request, &|_| None)?;
        Ok(lookup.in_file().unwrap_or_else(|| lookup.by_url()))
    }

    fn from_file(wanted: &str, given: &[(&str, &str)], module: Option<&str>) -> Result<SingleTarget, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, FILE).unwrap();
        let one = one(wanted, given, Some(&path), module);
        one.map_err(|error| error.replace(&format!("{}/", directory.path().display()), ""))
    }

    #[test]
    fn flags_set_the_settings_of_a_url() {
        let given = [
            ("confirm.failures", "3"),
            ("addresses", "all"),
            ("timeout", "2s"),
            ("dns_servers", "192.0.2.1, 192.0.2.2:54"),
        ];
        let one = from_url("Host.example:22", &given).unwrap();
        assert_eq!(one.target.name.as_str(), "tcp://host.example:22");
        let settings = &one.target.settings;
        assert_eq!((settings.confirm.failures.get(), settings.cadence.timeout()), (3, Duration::from_secs(2)));
        assert_eq!((settings.addressing.mode, settings.addressing.dns_servers.len()), (AddressMode::All, 2));
        assert_eq!(one.dns, ResolverOptions::default());
    }

    #[test]
    fn flag_errors_name_the_flag() {
        for (given, message) in [
            (("addresses", "both"), "--addresses: unknown value `both`; must be `any` or `all`"),
            (("confirm.failures", "0"), "--confirm.failures: is the number 0; must be a whole number of at least 1"),
            (("timeout", "2d"), "--timeout: 2d is longer than the interval (1d); lower it or raise the interval"),
            (("interval", "5"), "--interval: `5` has no unit; must end in ms, s, m, h, d, w or y, like 5s"),
            (
                ("expect_addresses", "10.0.0.0/8,x"),
                "--expect-addresses[1]: `x` is not a valid address or CIDR; must be like 192.0.2.1 or 10.0.0.0/8",
            ),
            (("module", "m"), "--module: unknown module `m`; add it under `modules`"),
            (("addreses", "all"), "--addreses: unknown key; did you mean `addresses`?"),
        ] {
            assert_eq!(from_url("a:1", &[given]).unwrap_err(), message);
        }
    }

    #[test]
    fn url_errors_name_the_argument() {
        for (url, message) in [
            ("a", "URL: has no port, and tcp has no default port; add one, like host:443"),
            ("a:1-3", "URL: has 3 ports; must have one"),
            ("u:p@a:1", "URL: has a user or password before `@`; probes do not log in; remove it"),
        ] {
            assert_eq!(from_url(url, &[]).unwrap_err(), message);
        }
        let message = "URL: 10.0.0.1 conflicts with `ip`, which allows only IPv6; change one";
        assert_eq!(from_url("10.0.0.1:1", &[("ip", "ipv6")]).unwrap_err(), message);
    }

    #[test]
    fn flags_win_over_the_target_in_the_file() {
        let one = from_file("db", &[], None).unwrap();
        assert_eq!(one.target.settings.cadence.timeout(), Duration::from_secs(2));
        assert_eq!(one.target.labels.iter().collect::<Vec<_>>(), [("region", "eu")]);
        assert_eq!((one.dns.tries.get(), one.target.group.is_some()), (5, true));
        let one = from_file("db", &[("timeout", "1s"), ("interval", "3s")], None).unwrap();
        let cadence = one.target.settings.cadence;
        assert_eq!((cadence.interval(), cadence.timeout()), (Duration::from_secs(3), Duration::from_secs(1)));
        assert_eq!(from_file("tcp://10.0.0.1:80", &[], None).unwrap().target.endpoint.port.get(), 80);
    }

    #[test]
    fn a_url_takes_defaults_and_a_module() {
        let one = from_file("tcp://other.example:1", &[], Some("slow")).unwrap();
        let cadence = one.target.settings.cadence;
        assert_eq!((cadence.interval(), cadence.timeout()), (Duration::from_secs(5), Duration::from_secs(4)));
        let message = "--module: unknown module `slwo`; did you mean `slow`?";
        assert_eq!(from_file("tcp://other.example:1", &[], Some("slwo")).unwrap_err(), message);
    }

    #[test]
    fn an_unknown_name_has_a_suggestion() {
        assert_eq!(from_file("dbx", &[], None).unwrap_err(), "NAME: unknown target `dbx`; did you mean `db`?");
        let message = "NAME: unknown target `orders`; must be the name of a target in the configuration or its \
                       discovery sources, or a URL like tcp://host:443";
        assert_eq!(from_file("orders", &[], None).unwrap_err(), message);
        let url = from_file("orders", &[("scheme", "ssh")], None).unwrap().target;
        assert_eq!(url.name.as_str(), "ssh://orders:22", "with a scheme it is a host");
    }

    #[test]
    fn a_timeout_needs_no_interval() {
        let timeout = |one: SingleTarget| one.target.settings.cadence.timeout();
        assert_eq!(timeout(from_url("a:1", &[("timeout", "90s")]).unwrap()), Duration::from_secs(90));
        assert_eq!(timeout(from_file("db", &[("timeout", "90s")], None).unwrap()), Duration::from_secs(90));
    }

    #[test]
    fn a_discovered_target_has_its_settings() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        let file = "modules: { slow: { timeout: 4s } }\n\
                    discovery: [ { file: a.json, module: slow, scheme: ssh }, { file: b.json } ]\n";
        fs::write(&path, file).unwrap();
        let flags = flags(&[("slow_after", "1s")]);
        let entries = crate::config::discovered(
            "[ 'a:0', { urls: ['b:1', 'c:0', 'c:1-3'] }, { targets: ['d'], labels: { team: x, __portprobe_ip: ipv6 } } ]",
        );
        let entries = entries.unwrap();
        let found = |name| {
            let request = ProbeRequest { target: name, flags: &flags, config_file: Some(&path), module: None };
            let mut lookup = TargetLookup::new(request, &|_| None).unwrap();
            let source = lookup.sources().remove(0);
            assert!(lookup.in_file().is_none());
            let found = lookup.in_source(&source, &entries).unwrap_or_else(|| lookup.by_url());
            found.finish(&[]).map(|one| one.target).map_err(|error| error.to_string())
        };
        let target = found("ssh://c:2").unwrap();
        let settings = &target.settings;
        assert_eq!((target.endpoint.port.get(), settings.cadence.timeout()), (2, Duration::from_secs(4)));
        assert_eq!(settings.slow_after, Some(Duration::from_secs(1)), "flags win");
        let target = found("ssh://d:22").unwrap();
        assert_eq!(target.labels.iter().collect::<Vec<_>>(), [("team", "x")]);
        assert_eq!(target.settings.addressing.family, crate::target::IpFamily::Ipv6);
        assert!(found("ssh//c").unwrap_err().contains("unknown target"));
        assert_eq!(
            found("sshc3").unwrap_err(),
            "NAME: unknown target `sshc3`; must be the name of a target in the \
             configuration or its discovery sources, or a URL like tcp://host:443"
        );
    }

    #[test]
    fn problems_of_discovered_targets_name_flag_or_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, "discovery: [ { file: a.json } ]\n").unwrap();
        let entries = "[ { url: 'tls://192.0.2.1:1', name: it, tls: { ca_file: x.pem } } ]";
        let entries = crate::config::discovered(entries).unwrap();
        let found = |given: &[(&str, &str)]| {
            let flags = flags(given);
            let request = ProbeRequest { target: "it", flags: &flags, config_file: Some(&path), module: None };
            let mut lookup = TargetLookup::new(request, &|_| None).unwrap();
            let source = lookup.sources().remove(0);
            let draft = lookup.in_source(&source, &entries).unwrap();
            let unreadable = draft.required().map(|required| match required {
                Required::Tls(profile) => Unreadable::Tls(
                    profile,
                    [FileProblem { setting: TlsFile::CaFile, message: "is bad".into() }].into(),
                ),
                Required::Header(file) => Unreadable::Header(file, "is bad".into()),
            });
            let unreadable: Vec<_> = unreadable.collect();
            draft.finish(&unreadable).map_err(|error| error.to_string())
        };
        assert_eq!(found(&[]).unwrap_err(), "NAME.tls.ca_file: is bad");
        assert_eq!(found(&[("tls.ca_file", "y.pem")]).unwrap_err(), "--tls.ca-file: is bad");
        assert!(
            found(&[("ip", "ipv6")])
                .unwrap_err()
                .starts_with("NAME.url: 192.0.2.1 conflicts with `ip`")
        );
    }

    /// In the file, paths are relative to its folder.
    #[test]
    fn paths_of_flags_start_at_the_working_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(
            &path,
            "{defaults: {tls: {crl_files: [a.crl]}}, targets: ['tls://a:1', {url: 'tls://b:1', tls: {ca_file: x}}]}",
        )
        .unwrap();
        let flags = flags(&[("tls.ca_file", "ca.pem"), ("tls.min_version", "1.3"), ("tls.alpn", "h2,http/1.1")]);
        let wanted = ProbeRequest { target: "tls://a:1", flags: &flags, config_file: Some(&path), module: None };
        let draft = looked_up(wanted).unwrap();
        let required: Vec<_> = draft.required().collect();
        let [Required::Tls(profile)] = &*required else { panic!("{required:?}") };
        assert_eq!((&profile.roots, profile.alpn.len()), (&Roots::File("ca.pem".into()), 2));
        assert_eq!(profile.crl_files, [directory.path().join("a.crl")]);
        let problem = |setting| FileProblem { setting, message: "is bad".into() };
        let problems = [TlsFile::CaFile, TlsFile::CrlFile(0)].map(problem).into();
        let result = draft.finish(&[Unreadable::Tls(profile.clone(), problems)]);
        let message = format!("--tls.ca-file: is bad\n{}:1:31: defaults.tls.crl_files[0]: is bad", path.display());
        assert_eq!(result.unwrap_err().to_string(), message);
    }

    #[test]
    fn the_whole_file_must_be_valid() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, "targets: ['a:1', 'b:0']").unwrap();
        let error = one("a:1", &[], Some(&path), None).unwrap_err();
        assert!(
            error.ends_with("a.yaml:1:18: targets[1]: port 0 is out of range; must be between 1 and 65535"),
            "{error}"
        );
    }
}
