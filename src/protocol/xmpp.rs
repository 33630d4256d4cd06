//! XMPP between clients and servers (RFC 6120), STARTTLS (RFC 6120 section 5).
//!
//! Opens a stream to the domain in the path of the URL, or to the host, reads the features and ends the stream. Servers
//! log the connection at INFO at most.

use std::net::IpAddr;

use async_trait::async_trait;

use super::lines::agree;
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::{Host, HostName, PathRule, PathUse, Service};

/// XMPP.
#[derive(Debug)]
pub(super) struct Xmpp;

pub(super) static SERVICE: Service = Service {
    name: "xmpp",
    port: 5222,
    tls_name: "xmpp+tls",
    tls_port: 5223,
    starttls_name: Some("xmpp+starttls"),
    openssl_starttls: Some("xmpp"),
    // TLS from the first byte (XEP-0368).
    alpn: Some("xmpp-client"),
    path: Some(PathUse::Name(PathRule {
        admits: |domain| domain.parse::<HostName>().is_ok() || domain.parse::<IpAddr>().is_ok(),
        expected: "a domain like example.org",
    })),
    ..Service::DEFAULT
};

impl Protocol for Xmpp {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        let domain = match (&request.endpoint.path, &request.endpoint.host) {
            (Some(path), _) => path.to_string(),
            (None, Host::Name(name)) => name.without_dot().to_owned(),
            (None, host) => host.to_string(),
        };
        Box::new(Session { domain })
    }
}

#[derive(Debug)]
struct Session {
    domain: String,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let opened = self.open(wire).await?;
        if !opened.has("starttls") {
            wire.leave(END).await;
            return Err(ConversationError::Refused(if opened.is_error() {
                format!("the server does not know the domain {}; set it in the path of the URL", self.domain)
            } else {
                "the features do not offer starttls".to_owned()
            }));
        }
        wire.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        let granted =
            wire.receive("the response to starttls", MAX_REPLY, |buffered| either(buffered, &["proceed", "failure"]));
        if granted.await?.name == "proceed" {
            Ok(())
        } else {
            Err(ConversationError::Refused("starttls: failure".to_owned()))
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        self.open(wire).await?;
        wire.leave(END).await;
        Ok(ServiceReply::default())
    }
}

impl Session {
    /// Opens a stream and reads the features, or the error of an unknown domain. Any other error means that no client
    /// is served.
    async fn open(&self, wire: &mut Wire<'_>) -> Result<Element, ConversationError> {
        // Names and addresses contain no syntax.
        let domain = &self.domain;
        let open = format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        wire.send(open.as_bytes()).await?;
        let opened = wire.receive("a stream and its features", MAX_REPLY, opened).await?;
        if opened.is_error() && !opened.has("host-unknown") {
            return Err(ConversationError::Rejected(format!("stream error: {}", opened.condition())));
        }
        Ok(opened)
    }
}

/// A top-level element of a stream.
#[derive(Debug)]
struct Element {
    name: &'static str,
    /// The content.
    inner: String,
}

impl Element {
    fn is_error(&self) -> bool {
        self.name == ERROR
    }

    /// Returns whether it contains an element of this name.
    fn has(&self, name: &str) -> bool {
        self.names().any(|found| found == name)
    }

    /// Returns the name of the first element, which is the condition of an error (RFC 6120 section 4.9.3).
    fn condition(&self) -> &str {
        self.names().next().unwrap_or("without a condition")
    }

    /// Returns the names of the elements. Text contains no `<` (XML 1.0 section 2.4), and a stream has no comments or
    /// CDATA sections (RFC 6120 section 11.1).
    fn names(&self) -> impl Iterator<Item = &str> {
        let tags = self.inner.split('<').skip(1).filter(|tag| !tag.starts_with('/'));
        tags.filter_map(|tag| tag.split(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).next())
    }
}

/// Parses the head of a stream, optionally after an XML declaration, and its first element.
fn opened(buffered: &[u8]) -> Parsed<Element> {
    let mut rest = buffered.trim_ascii_start();
    for (begin, required) in [("<?xml", false), ("<stream:stream", true)] {
        if !agree(rest, begin.as_bytes()) {
            if required {
                return Parsed::Invalid("it is not a stream".to_owned());
            }
            continue;
        }
        let Some((_, after)) = tag(rest, begin) else { return Parsed::Incomplete };
        rest = after.trim_ascii_start();
    }
    let before = buffered.len() - rest.len();
    match either(rest, &[FEATURES, ERROR]) {
        Parsed::Complete(element, length) => Parsed::Complete(element, before + length),
        other => other,
    }
}

/// Parses an element with one of these names.
fn either(buffered: &[u8], names: &[&'static str]) -> Parsed<Element> {
    let rest = buffered.trim_ascii_start();
    let Some(name) = names.iter().find(|name| agree(rest, format!("<{name}").as_bytes())) else {
        return Parsed::Invalid(format!("it is not <{}>", names.join("> or <")));
    };
    let Some((start, after)) = tag(rest, &format!("<{name}")) else { return Parsed::Incomplete };
    let end = format!("</{name}>");
    let (inner, after) = if start.ends_with(b"/>") {
        (&b""[..], after)
    } else {
        let found = after.windows(end.len()).position(|window| window == end.as_bytes());
        let Some((inner, after)) = found.and_then(|at| after.split_at_checked(at)) else { return Parsed::Incomplete };
        (inner, after.get(end.len()..).unwrap_or_default())
    };
    Parsed::Complete(Element { name, inner: String::from_utf8_lossy(inner).into_owned() }, buffered.len() - after.len())
}

/// Splits a tag that starts with `begin`, up to its `>` outside quotes, from the text after it; `None` if it is
/// incomplete.
fn tag<'a>(buffered: &'a [u8], begin: &str) -> Option<(&'a [u8], &'a [u8])> {
    let mut quote = None;
    let end = buffered.get(begin.len()..)?.iter().position(|byte| match (byte, quote) {
        (b'\'' | b'"', None) => {
            quote = Some(*byte);
            false
        }
        (byte, Some(open)) => {
            quote = (*byte != open).then_some(open);
            false
        }
        (byte, None) => *byte == b'>',
    })?;
    buffered.split_at_checked(begin.len() + end + 1)
}

const FEATURES: &str = "stream:features";

const ERROR: &str = "stream:error";

const END: &[u8] = b"</stream:stream>";

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Prosody 0.12.
    const HEAD: &str = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
        xmlns='jabber:client' id='4a>b' version='1.0' xml:lang='en' from='a'>";
    const FEATURES: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
        </stream:features>";
    const BARE: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>";

    fn error(condition: &str) -> String {
        format!(
            "{HEAD}<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>This server does not serve a</text></stream:error>\
             </stream:stream>"
        )
    }

    #[tokio::test(start_paused = true)]
    async fn features_or_an_unknown_domain_mean_success() {
        let answers = [
            format!("{HEAD}{FEATURES}"),
            format!("{HEAD} <stream:features/>"),
            format!("{}{BARE}", HEAD.trim_start_matches("<?xml version='1.0'?>")),
            error("host-unknown"),
        ];
        for response in answers {
            let script = Script::listens().responds(response);
            let (found, sent) = talk(&Xmpp, "xmpp://a", &script).await;
            assert_eq!(found.unwrap(), ServiceReply::default());
            let sent = String::from_utf8(sent).unwrap();
            assert!(sent.contains(" to='a' ") && sent.ends_with("streams'></stream:stream>"), "{sent}");
            assert_survives(&Xmpp, "xmpp://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_domain_is_the_path_or_host() {
        let script = Script::listens().responds(format!("{HEAD}{BARE}"));
        for (url, to) in [
            ("xmpp://a.example.", "to='a.example'"),
            ("xmpp://[::1]", "to='::1'"),
            ("xmpp://a/example.org", "to='example.org'"),
        ] {
            let (_, sent) = talk(&Xmpp, url, &script).await;
            assert!(String::from_utf8(sent).unwrap().contains(to), "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        let stream = |received: &str, why| {
            format!("unexpected: expected a stream and its features, received \"{received}\": {why}")
        };
        for (response, expected) in [
            (error("system-shutdown"), "rejected: stream error: system-shutdown".to_owned()),
            (error("resource-constraint"), "rejected: stream error: resource-constraint".to_owned()),
            (String::new(), "closed: a stream and its features".to_owned()),
            (HEAD.to_owned(), "closed: a stream and its features".to_owned()),
            ("<html>".to_owned(), stream("<html>", "it is not a stream")),
            (
                "<stream:stream><a/>".to_owned(),
                stream("<stream:stream><a/>", "it is not <stream:features> or <stream:error>"),
            ),
        ] {
            assert_eq!(summary(talk(&Xmpp, "xmpp://a", &Script::listens().responds(response)).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_offered_tls_is_requested() {
        let offers = Script::listens().responds(format!("{HEAD}{FEATURES}"));
        for (script, expected) in [
            (offers.clone().responds("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "ok"),
            (
                offers
                    .clone()
                    .responds("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>"),
                "ok",
            ),
            (
                offers
                    .clone()
                    .responds("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"),
                "refused: starttls: failure",
            ),
            (
                offers.responds("<iq/>"),
                "unexpected: expected the response to starttls, received \"<iq/>\": it is not <proceed> or <failure>",
            ),
            (Script::listens().responds(format!("{HEAD}{BARE}")), "refused: the features do not offer starttls"),
            (
                Script::listens().responds(error("host-unknown")),
                "refused: the server does not know the domain a; set it in the path of the URL",
            ),
            (Script::listens().responds(error("system-shutdown")), "rejected: stream error: system-shutdown"),
        ] {
            assert_eq!(summary(upgrade(&Xmpp, "xmpp+starttls://a", &script).await.0), expected);
        }
    }
}
