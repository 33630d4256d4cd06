//! XMPP between clients and servers (RFC 6120), STARTTLS (RFC 6120 section 5).
//!
//! Opens a stream to the domain in the URL's path, or to its host, reads the features and ends the stream. Servers log
//! the connection at INFO at most.

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
                format!("the server does not know the domain {}; name one behind the URL", self.domain)
            } else {
                "the features do not offer starttls".to_owned()
            }));
        }
        wire.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        let granted =
            wire.answer("the answer to starttls", MAX_REPLY, |buffered| either(buffered, &["proceed", "failure"]));
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
    /// Opens a stream and reads the features, or the error that the domain is unknown. Any other error means that no
    /// client is served.
    async fn open(&self, wire: &mut Wire<'_>) -> Result<Element, ConversationError> {
        // Names and addresses contain no syntax.
        let domain = &self.domain;
        let open = format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        wire.send(open.as_bytes()).await?;
        let opened = wire.answer("a stream and its features", MAX_REPLY, opened).await?;
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
    /// Its content.
    inner: String,
}

impl Element {
    fn is_error(&self) -> bool {
        self.name == ERROR
    }

    /// Whether it contains an element of this name.
    fn has(&self, name: &str) -> bool {
        self.names().any(|found| found == name)
    }

    /// The name of its first element: the condition of an error (RFC 6120 section 4.9.3).
    fn condition(&self) -> &str {
        self.names().next().unwrap_or("without a condition")
    }

    /// The names of its elements. Text contains no `<` (XML 1.0 section 2.4), and a stream has no comments or CDATA
    /// sections (RFC 6120 section 11.1).
    fn names(&self) -> impl Iterator<Item = &str> {
        let tags = self.inner.split('<').skip(1).filter(|tag| !tag.starts_with('/'));
        tags.filter_map(|tag| tag.split(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).next())
    }
}

/// The head of a stream, perhaps after an XML declaration, and its first element.
fn opened(buffered: &[u8]) -> Parsed<Element> {
    let mut rest = buffered.trim_ascii_start();
    for (begin, required) in [("<?xml", false), ("<stream:stream", true)] {
        if !agree(rest, begin.as_bytes()) {
            if required {
                return Parsed::Invalid("it is not a stream".to_owned());
            }
            continue;
        }
        let Some((_, behind)) = tag(rest, begin) else { return Parsed::Incomplete };
        rest = behind.trim_ascii_start();
    }
    let before = buffered.len() - rest.len();
    match either(rest, &[FEATURES, ERROR]) {
        Parsed::Complete(element, length) => Parsed::Complete(element, before + length),
        other => other,
    }
}

/// An element of one of these names.
fn either(buffered: &[u8], names: &[&'static str]) -> Parsed<Element> {
    let rest = buffered.trim_ascii_start();
    let Some(name) = names.iter().find(|name| agree(rest, format!("<{name}").as_bytes())) else {
        return Parsed::Invalid(format!("it is not <{}>", names.join("> or <")));
    };
    let Some((start, behind)) = tag(rest, &format!("<{name}")) else { return Parsed::Incomplete };
    let end = format!("</{name}>");
    let (inner, behind) = if start.ends_with(b"/>") {
        (&b""[..], behind)
    } else {
        let found = behind.windows(end.len()).position(|window| window == end.as_bytes());
        let Some((inner, behind)) = found.and_then(|at| behind.split_at_checked(at)) else { return Parsed::Incomplete };
        (inner, behind.get(end.len()..).unwrap_or_default())
    };
    Parsed::Complete(
        Element { name, inner: String::from_utf8_lossy(inner).into_owned() },
        buffered.len() - behind.len(),
    )
}

/// A tag with this beginning up to its `>` outside quotes, and the text after it; `None` if it is incomplete.
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
        for answer in answers {
            let script = Script::hears().answers(answer);
            let (found, said) = talk(&Xmpp, "xmpp://a", &script).await;
            assert_eq!(found.unwrap(), ServiceReply::default());
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains(" to='a' ") && said.ends_with("streams'></stream:stream>"), "{said}");
            assert_survives(&Xmpp, "xmpp://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_domain_is_the_path_or_host() {
        let script = Script::hears().answers(format!("{HEAD}{BARE}"));
        for (url, to) in [
            ("xmpp://a.example.", "to='a.example'"),
            ("xmpp://[::1]", "to='::1'"),
            ("xmpp://a/example.org", "to='example.org'"),
        ] {
            let (_, said) = talk(&Xmpp, url, &script).await;
            assert!(String::from_utf8(said).unwrap().contains(to), "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        let stream =
            |came: &str, why| format!("unexpected: expected a stream and its features, but \"{came}\" came: {why}");
        for (answer, expected) in [
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
            assert_eq!(summary(talk(&Xmpp, "xmpp://a", &Script::hears().answers(answer)).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_is_asked_for_where_it_is_offered() {
        let offers = Script::hears().answers(format!("{HEAD}{FEATURES}"));
        for (script, expected) in [
            (offers.clone().answers("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "ok"),
            (
                offers
                    .clone()
                    .answers("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>"),
                "ok",
            ),
            (
                offers
                    .clone()
                    .answers("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"),
                "refused: starttls: failure",
            ),
            (
                offers.answers("<iq/>"),
                "unexpected: expected the answer to starttls, but \"<iq/>\" came: it is not <proceed> or <failure>",
            ),
            (Script::hears().answers(format!("{HEAD}{BARE}")), "refused: the features do not offer starttls"),
            (
                Script::hears().answers(error("host-unknown")),
                "refused: the server does not know the domain a; name one behind the URL",
            ),
            (Script::hears().answers(error("system-shutdown")), "rejected: stream error: system-shutdown"),
        ] {
            assert_eq!(summary(upgrade(&Xmpp, "xmpp+starttls://a", &script).await.0), expected);
        }
    }
}
