//! The `tls_config` of a module.

use super::document::Block;
use super::module::{UNKNOWN, omit};
use crate::config::{ForeignValue, LoadError};

/// Converted TLS settings.
#[derive(Debug, Default)]
pub(super) struct Tls {
    pub(super) settings: Block,
    /// The name that the module sets.
    pub(super) server_name: Option<String>,
    has_roots: bool,
    skips_verification: bool,
    has_relative_files: bool,
}

/// The facts about the TLS settings of modules that decide the defaults and the comments at the top.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TlsUse {
    /// Certificates are verified with the roots of the system, which are the default of Go.
    pub(super) trusts_system: bool,
    /// A file has a relative path.
    pub(super) has_relative_files: bool,
    /// The parameter `hostname` is the name to verify.
    pub(super) takes_hostname: bool,
}

impl Tls {
    pub(super) fn read(value: &ForeignValue<'_>) -> Result<Self, LoadError> {
        let mut tls = Self::default();
        for (key, value) in value.entries()? {
            tls.setting(key, &value)?;
        }
        Ok(tls)
    }

    /// The use of these settings by probes that start TLS, or may start it.
    pub(super) const fn usage(&self) -> TlsUse {
        let trusts_system = !self.has_roots && !self.skips_verification;
        TlsUse {
            trusts_system,
            has_relative_files: self.has_relative_files,
            takes_hostname: self.server_name.is_none(),
        }
    }

    /// Sets the name to verify, unless the module has one.
    pub(super) fn default_server_name(&mut self, name: &str) {
        if self.server_name.is_none() {
            self.settings.text("server_name", name);
        }
    }

    fn setting(&mut self, key: &str, value: &ForeignValue<'_>) -> Result<(), LoadError> {
        match key {
            "insecure_skip_verify" => {
                if value.truth()? {
                    self.skips_verification = true;
                    self.settings.yaml("verify", "report");
                }
            }
            "ca_file" | "cert_file" | "key_file" | "server_name" => {
                let text = value.text()?;
                if text.is_empty() {
                    return Ok(());
                }
                match key {
                    "ca_file" => self.has_roots = true,
                    "server_name" => self.server_name = Some(text.clone()),
                    _ => {}
                }
                self.has_relative_files |= key.ends_with("_file") && !text.starts_with('/');
                self.settings.text(key, &text);
            }
            "ca" | "cert" | "key" => {
                self.has_roots |= key == "ca";
                let reason = format!("save it as a file, and set tls.{key}_file");
                self.settings.omit(key, &reason);
            }
            "min_version" | "max_version" => self.version(key, value)?,
            other => omit(&mut self.settings, other, value, UNKNOWN),
        }
        Ok(())
    }

    fn version(&mut self, key: &str, value: &ForeignValue<'_>) -> Result<(), LoadError> {
        match (key, &*value.text()?) {
            (_, "") => {}
            (_, "TLS12") => self.settings.yaml(key, "1.2"),
            (_, "TLS13") => self.settings.yaml(key, "1.3"),
            ("min_version", "TLS10" | "TLS11") => {
                omit(&mut self.settings, key, value, "TLS 1.2 is the oldest version that is offered");
            }
            (_, "TLS10" | "TLS11") => {
                omit(
                    &mut self.settings,
                    key,
                    value,
                    "portprobe cannot probe for old versions; TLS 1.2 and 1.3 are offered",
                );
            }
            _ => omit(&mut self.settings, key, value, "unknown version"),
        }
        Ok(())
    }
}
