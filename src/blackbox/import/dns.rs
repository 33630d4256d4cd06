//! Modules with the prober `dns`.

use super::document::Block;
use super::module::{Common, Kind, Prober, UNKNOWN, add_tls, omit};
use super::tls::{Tls, TlsUse};
use crate::config::{ForeignValue, LoadError};

pub(super) fn read(prober: &ForeignValue<'_>) -> Result<Prober, LoadError> {
    let over_tls = prober.child("dns_over_tls").truth()?;
    if prober.child("transport_protocol").text()? != "tcp" && !over_tls {
        return Ok(Prober::none(
            "portprobe has no DNS over UDP; keep blackbox_exporter for these targets, or probe the server over TCP with \
             dns://SERVER/NAME",
        ));
    }
    let mut settings = Block::default();
    let mut common = Common::default();
    let mut tls = Tls::default();
    for (key, value) in prober.entries()? {
        match key {
            "transport_protocol" | "dns_over_tls" | "query_name" | "query_type" | "valid_rcodes" => {}
            "tls_config" => tls = Tls::read(&value)?,
            "query_class" if value.text()? == "IN" => {}
            "recursion_desired" if value.truth()? => {}
            "query_class" | "recursion_desired" => {
                omit(&mut settings, key, &value, "the query is of class IN and asks for recursion");
            }
            "validate_answer_rrs" | "validate_authority_rrs" | "validate_additional_rrs" => {
                omit(&mut settings, key, &value, "records of the response are not checked");
            }
            key => {
                if !common.read(key, &value, &mut settings)? {
                    omit(&mut settings, key, &value, UNKNOWN);
                }
            }
        }
    }
    match &*prober.child("query_type").text()? {
        "SOA" => {}
        other => {
            let other = if other.is_empty() { "ANY (default)" } else { other };
            settings.omit(&format!("query_type {other}"), "the query is for the SOA record of the name");
        }
    }
    settings.omit("valid_rcodes", "NOERROR, NXDOMAIN and REFUSED are success, because the server answers");
    common.finish(&mut settings);
    let usage = if over_tls { tls.usage() } else { TlsUse::default() };
    if over_tls {
        add_tls(&mut settings, tls);
    }
    let name = prober.child("query_name").text()?.trim_end_matches('.').to_owned();
    let scheme = if over_tls { "dns+tls" } else { "dns" };
    Ok(Prober { settings, kind: Kind::Dns { scheme, name }, tls: usage })
}
