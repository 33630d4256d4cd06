//! Protocols with a greeting that has a code of three digits, followed by QUIT (FTP, NNTP).

use async_trait::async_trait;

use super::lines::{Reply, product, reply};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, ServiceReply, Wire};

/// The codes of a protocol and its request for TLS.
#[derive(Debug)]
pub(super) struct GreetingRules {
    /// The greetings of a service that accepts clients.
    pub(super) serving: &'static [u16],
    /// The announcement that the greeting follows later.
    pub(super) delayed: Option<u16>,
    /// The reply to any command while the service stops.
    pub(super) closing: u16,
    /// The command that requests TLS and the code that grants it.
    pub(super) upgrade: (&'static str, u16),
    /// The products that name themselves in their greeting.
    pub(super) products: &'static [&'static str],
}

/// A session that begins with the greeting.
#[derive(Debug)]
pub(super) struct Session {
    rules: &'static GreetingRules,
    version: Option<String>,
    /// Whether the greeting was read. It is sent once, before an upgrade to TLS.
    greeted: bool,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        self.greet(wire).await?;
        let (command, granted) = self.rules.upgrade;
        wire.send(format!("{command}\r\n").as_bytes()).await?;
        let response = wire.receive("the response to the request for TLS", MAX_REPLY, reply).await?;
        let text = format!("{command}: {}", response.text());
        match response.code {
            code if code == granted => Ok(()),
            code if code == self.rules.closing => Err(ConversationError::Rejected(text)),
            _ => Err(ConversationError::Refused(text)),
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        if self.greeted {
            self.quit(wire).await?;
        } else {
            self.greet(wire).await?;
            wire.leave(QUIT).await;
        }
        Ok(ServiceReply { version: self.version.take(), role: None })
    }
}

impl Session {
    /// Creates a session.
    pub(super) const fn new(rules: &'static GreetingRules) -> Self {
        Self { rules, version: None, greeted: false }
    }

    async fn greet(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let greeting = self.greeting(wire).await?;
        verify(&greeting, self.rules)?;
        self.version = product(&greeting.lines.join(" "), self.rules.products);
        self.greeted = true;
        // A service may greet and close the session at once. To wait for that would slow down every probe.
        match reply(wire.unread()) {
            Parsed::Complete(next, _) if next.code == self.rules.closing => {
                Err(ConversationError::Rejected(format!("after the greeting: {}", next.text())))
            }
            _ => Ok(()),
        }
    }

    /// Reads the greeting, even if the service announces a delay. Without a greeting in time, the service has reported
    /// that it serves no clients yet.
    async fn greeting(&self, wire: &mut Wire<'_>) -> Result<Reply, ConversationError> {
        let first = wire.receive("a greeting", MAX_REPLY, reply).await?;
        if self.rules.delayed != Some(first.code) {
            return Ok(first);
        }
        let rejected = |then| Err(ConversationError::Rejected(format!("greeting: {}; then {then}", first.text())));
        match wire.receive("a greeting", MAX_REPLY, reply).await {
            Err(ConversationError::Closed(_)) => rejected("the peer closed the connection"),
            Err(ConversationError::Silent(_)) => rejected("no greeting until the timeout"),
            greeting => greeting,
        }
    }

    /// Sends QUIT and reads the reply, which shows that the service speaks within TLS.
    async fn quit(&self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        wire.send(QUIT).await?;
        let response = wire.receive("the response to QUIT", MAX_REPLY, reply).await?;
        if response.code == self.rules.closing {
            return Err(ConversationError::Rejected(format!("QUIT: {}", response.text())));
        }
        Ok(())
    }
}

/// Verifies a greeting. Any error means that no client is served (RFC 959 section 4.2.1, RFC 3977 section 3.2).
fn verify(greeting: &Reply, rules: &GreetingRules) -> Result<(), ConversationError> {
    match greeting.code {
        code if rules.serving.contains(&code) && is_of_mail(greeting) => {
            let text = greeting.text();
            Err(ConversationError::Unexpected(format!("received \"{text}\", which is the greeting of a mail server")))
        }
        code if rules.serving.contains(&code) => Ok(()),
        code if (400..600).contains(&code) => {
            Err(ConversationError::Rejected(format!("greeting: {}", greeting.text())))
        }
        _ => {
            let due: Vec<_> = rules.serving.iter().map(u16::to_string).collect();
            let (due, text) = (due.join(" or "), greeting.text());
            Err(ConversationError::Unexpected(format!("greeting: expected {due}, received \"{text}\"")))
        }
    }
}

/// Returns whether a greeting is that of Postfix, Exim and other mail servers, which use the same codes: the name of the
/// server, then `ESMTP`. Elsewhere in its text, such a word means nothing.
fn is_of_mail(greeting: &Reply) -> bool {
    let words = greeting.lines.first().map(|line| line.split_ascii_whitespace());
    words.and_then(|mut words| words.nth(1)) == Some("ESMTP")
}

const QUIT: &[u8] = b"QUIT\r\n";
