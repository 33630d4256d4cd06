//! A single target for `portprobe probe`: from a file or a URL, with settings from flags.

use std::path::Path;
use std::sync::Arc;

use crate::config::compile::{self, Compiled};
use crate::config::file_uses::FileUses;
use crate::config::keys::read::{Key, put};
use crate::config::keys::schema::{ValueKind, setting_keys};
use crate::config::levels::Level;
use crate::config::problems::text::quoted;
use crate::config::problems::{At, LoadError, Problems};
use crate::config::targets::FileTargets;
use crate::config::yaml::Node;
use crate::config::{Draft, document, folder, read};
use crate::options::ResolverOptions;
use crate::target::Target;

/// A target for a single probe.
#[derive(Clone, Debug, PartialEq)]
pub struct SingleTarget {
    /// The target.
    pub target: Arc<Target>,
    /// How its name is resolved.
    pub dns: ResolverOptions,
}

/// The target to probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeRequest<'a> {
    /// The name of a target in the file, or a URL.
    pub target: &'a str,
    /// Settings by dotted key, with commas between the items of a list. They take precedence over all others. Paths are
    /// relative to the working directory.
    pub flags: &'a [(String, String)],
    /// A configuration, which must be valid as a whole.
    pub config_file: Option<&'a Path>,
    /// A module of the configuration. It takes precedence over the target's settings.
    pub module: Option<&'a str>,
}

/// The requested target; only its own files are required.
///
/// A problem of a flag is reported as `--confirm.failures: ...`, one of the URL as `URL: ...`.
pub fn single_target(
    request: ProbeRequest<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Draft<'static, SingleTarget>, LoadError> {
    let ProbeRequest { target, flags, config_file, module } = request;
    let text = config_file.map(read).transpose()?.unwrap_or_default();
    let document = match config_file {
        Some(path) => document(&text, path)?,
        None => Node::Mapping(Vec::new()),
    };
    let folder = folder(config_file.unwrap_or_else(|| Path::new("")));
    if config_file.is_some() {
        let problems = Problems::default();
        let (config, _) = compile::config(document.clone(), folder, environment, problems.document());
        problems.finish(config_file, &text, Some(config))?;
    }
    let problems = Problems::default();
    let overlay = overlay(flags, module, problems.flags());
    let compiled = Compiled::new(document, folder, environment, problems.document());
    let (value, files) = match choose(target, &compiled, &overlay, &problems) {
        Some((target, files)) => (Some(SingleTarget { target, dns: compiled.dns }), files),
        None => (None, FileUses::new(folder.into())),
    };
    Ok(Draft { value, files, problems, text: text.into(), path: config_file.map(Path::to_owned) })
}

/// The flags and the module as a level of settings.
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
    Level::new(Key::read(Node::Mapping(settings), at).unwrap_or_default(), at)
}

/// The target with this name or else with this URL, and its files; `None` after reporting a problem.
fn choose(wanted: &str, compiled: &Compiled, overlay: &Level, problems: &Problems) -> Option<(Arc<Target>, FileUses)> {
    compiled.groups.check(overlay, problems);
    let document = problems.document();
    let (targets, url) = (document.key("targets"), problems.argument("URL"));
    let (node, at, offset) = match compiled.find(wanted, targets) {
        Some((index, offset)) => (compiled.entries.as_ref()?.get(index)?.clone(), targets.item(index), Some(offset)),
        None if !wanted.contains(':') && compiled.entries.as_ref().is_some_and(|entries| !entries.is_empty()) => {
            let wanted = quoted(wanted);
            url.refuse(format_args!("{wanted} is neither a target's name in the file nor a URL like tcp://host:443"));
            return None;
        }
        None => (Node::Text(wanted.into()), url, None),
    };
    let mut targets = FileTargets::new(compiled.builder().with_overlay(overlay), compiled.limits.targets);
    targets.add(node, at);
    let target = match (targets.targets(), offset) {
        (targets, Some(offset)) => targets.get(offset).cloned(),
        ([one], None) => Some(one.clone()),
        ([], None) => None,
        (several, None) => {
            at.refuse(format_args!("stands for {} targets; a probe is of one, so name one port", several.len()));
            None
        }
    };
    Some((target?, targets.into_files()))
}

impl Compiled {
    /// The index of the entry that contains the target with this name, and the target's index in the entry.
    fn find(&self, name: &str, at: At<'_>) -> Option<(usize, usize)> {
        let mut targets = self.targets();
        for (index, node) in self.entries.iter().flatten().enumerate() {
            let before = targets.targets().len();
            targets.add(node.clone(), at.item(index));
            let mut added = targets.targets().iter().skip(before);
            if let Some(offset) = added.position(|target| target.name.as_str() == name) {
                return Some((index, offset));
            }
        }
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
        let wanted = ProbeRequest { target, flags: &flags(given), config_file, module };
        single_target(wanted, &|_| None)
            .and_then(|draft| draft.finish(&[]))
            .map_err(|error| error.to_string())
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
    fn a_wrong_flag_is_named_as_a_flag() {
        for (given, message) in [
            (("addresses", "both"), "--addresses: is `both`; expected one of any, all"),
            (("confirm.failures", "0"), "--confirm.failures: is the number 0; expected a whole number of at least 1"),
            (("timeout", "90s"), "--timeout: 1m30s is longer than the interval (1m); lower it or raise the interval"),
            (("interval", "5"), "--interval: `5` lacks a unit (ms, s, m, h, d, w or y); for seconds write 5s"),
            (
                ("expect_addresses", "10.0.0.0/8,x"),
                "--expect_addresses[1]: is `x`; expected an address or a CIDR, like 192.0.2.1 or 10.0.0.0/8",
            ),
            (("module", "m"), "--module: `m` is no module; none is defined, add it under `modules`"),
            (("addreses", "all"), "--addreses: unknown key; did you mean `addresses`?"),
        ] {
            assert_eq!(from_url("a:1", &[given]).unwrap_err(), message);
        }
    }

    #[test]
    fn a_wrong_url_is_named_as_the_url() {
        for (url, message) in [
            ("a", "URL: has no port, and tcp has no default; append one, like host:443"),
            ("a:1-3", "URL: stands for 3 targets; a probe is of one, so name one port"),
            (
                "u:p@a:1",
                "URL: has a user or password before `@`; probes need none, and secrets do not belong in a URL; remove it",
            ),
        ] {
            assert_eq!(from_url(url, &[]).unwrap_err(), message);
        }
        let message = "URL: 10.0.0.1 cannot be probed: `ip` allows IPv6 alone; change one of them";
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
        let message = "--module: `slwo` is no module; did you mean `slow`?";
        assert_eq!(from_file("tcp://other.example:1", &[], Some("slwo")).unwrap_err(), message);
        let message = "URL: `dbx` is neither a target's name in the file nor a URL like tcp://host:443";
        assert_eq!(from_file("dbx", &[], None).unwrap_err(), message);
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
        let draft = single_target(wanted, &|_| None).unwrap();
        let required: Vec<_> = draft.required().collect();
        let [Required::Tls(profile)] = &*required else { panic!("{required:?}") };
        assert_eq!((&profile.roots, profile.alpn.len()), (&Roots::File("ca.pem".into()), 2));
        assert_eq!(profile.crl_files, [directory.path().join("a.crl")]);
        let problem = |setting| FileProblem { setting, message: "is bad".into() };
        let problems = [TlsFile::CaFile, TlsFile::CrlFile(0)].map(problem).into();
        let result = draft.finish(&[Unreadable::Tls(profile.clone(), problems)]);
        let message = format!("--tls.ca_file: is bad\n{}:1:31: defaults.tls.crl_files[0]: is bad", path.display());
        assert_eq!(result.unwrap_err().to_string(), message);
    }

    #[test]
    fn the_whole_file_must_be_valid() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, "targets: ['a:1', 'b:0']").unwrap();
        let error = one("a:1", &[], Some(&path), None).unwrap_err();
        assert!(error.ends_with("a.yaml:1:18: targets[1]: port 0 is out of range; ports are 1 to 65535"), "{error}");
    }
}
