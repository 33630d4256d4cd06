//! Modules with the prober `grpc`.

use super::document::Block;
use super::module::{Common, Kind, Prober, UNKNOWN, add_tls, omit};
use super::tls::{Tls, TlsUse};
use crate::config::{ForeignValue, LoadError};

pub(super) fn read(prober: &ForeignValue<'_>) -> Result<Prober, LoadError> {
    let mut settings = Block::default();
    let mut common = Common::default();
    let mut tls = Tls::default();
    let mut has_tls = false;
    let mut service = String::new();
    for (key, value) in prober.entries()? {
        match key {
            "tls" => has_tls = value.truth()?,
            "service" => service = value.text()?,
            "tls_config" => tls = Tls::read(&value)?,
            "metadata" => omit(&mut settings, key, &value, "the request has no metadata"),
            key => {
                if !common.read(key, &value, &mut settings)? {
                    omit(&mut settings, key, &value, UNKNOWN);
                }
            }
        }
    }
    common.finish(&mut settings);
    if !service.is_empty() {
        settings.comment(format!("service {service}: it is the path of the targets' URLs"));
    }
    let usage = if has_tls { tls.usage() } else { TlsUse::default() };
    if has_tls {
        add_tls(&mut settings, tls);
    }
    let scheme = if has_tls { "grpc+tls" } else { "grpc" };
    Ok(Prober { settings, kind: Kind::Grpc { scheme, service }, tls: usage })
}
