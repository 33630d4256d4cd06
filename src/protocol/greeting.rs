//! Protocols with a greeting that is a reply with a code of three digits, then QUIT (FTP, NNTP).

use async_trait::async_trait;

use super::lines::{Reply, product, reply};
use super::{Conversation, ConversationError, MAX_REPLY, ServiceReply, Wire};

/// Codes of such a protocol, and its request for TLS.
#[derive(Debug)]
pub(super) struct GreetingRules {
    /// Greetings of a service that accepts clients.
    pub(super) serving: &'static [u16],
    /// Greetings of a service that accepts no clients now.
    pub(super) rejecting: &'static [u16],
    /// The reply to any command when the service stops.
    pub(super) closing: u16,
    /// The command that requests TLS, and the code that grants it.
    pub(super) upgrade: (&'static str, u16),
    /// Products that name themselves in their greeting.
    pub(super) products: &'static [&'static str],
}

/// A session that begins with the greeting.
#[derive(Debug)]
pub(super) struct Session {
    rules: &'static GreetingRules,
    version: Option<String>,
    /// Whether the greeting was read. It comes once, before an upgrade to TLS.
    greeted: bool,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        self.greet(wire).await?;
        let (command, granted) = self.rules.upgrade;
        wire.send(format!("{command}\r\n").as_bytes()).await?;
        let answer = wire.answer("the answer to the request for TLS", MAX_REPLY, reply).await?;
        let said = format!("{command}: {}", answer.text());
        match answer.code {
            code if code == granted => Ok(()),
            code if code == self.rules.closing => Err(ConversationError::Rejected(said)),
            _ => Err(ConversationError::Refused(said)),
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        if self.greeted {
            self.answered(wire).await?;
        } else {
            self.greet(wire).await?;
            wire.leave(QUIT).await;
        }
        Ok(ServiceReply { version: self.version.take(), role: None })
    }
}

impl Session {
    /// A new session.
    pub(super) const fn new(rules: &'static GreetingRules) -> Self {
        Self { rules, version: None, greeted: false }
    }

    async fn greet(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let greeting = wire.answer("a greeting", MAX_REPLY, reply).await?;
        verify(&greeting, self.rules)?;
        self.version = product(&greeting.lines.join(" "), self.rules.products);
        self.greeted = true;
        Ok(())
    }

    /// After an upgrade, the reply to QUIT shows that the service speaks within TLS.
    async fn answered(&self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        wire.send(QUIT).await?;
        let answer = wire.answer("the answer to QUIT", MAX_REPLY, reply).await?;
        match answer.code {
            200..300 => Ok(()),
            code if code == self.rules.closing => Err(ConversationError::Rejected(format!("QUIT: {}", answer.text()))),
            _ => Err(ConversationError::Unexpected(format!("expected 2xx to QUIT, but \"{}\" came", answer.text()))),
        }
    }
}

fn verify(greeting: &Reply, rules: &GreetingRules) -> Result<(), ConversationError> {
    match greeting.code {
        code if rules.serving.contains(&code) && is_of_mail(greeting) => {
            let text = greeting.text();
            Err(ConversationError::Unexpected(format!("\"{text}\" came, which is the greeting of a mail server")))
        }
        code if rules.serving.contains(&code) => Ok(()),
        code if rules.rejecting.contains(&code) => {
            Err(ConversationError::Rejected(format!("greeting: {}", greeting.text())))
        }
        _ => {
            let due: Vec<_> = rules.serving.iter().map(u16::to_string).collect();
            let (due, text) = (due.join(" or "), greeting.text());
            Err(ConversationError::Unexpected(format!("expected {due} as the greeting, but \"{text}\" came")))
        }
    }
}

/// Whether a greeting is that of SMTP or LMTP, which have the same codes and name themselves (RFC 5321 section 4.3.1).
fn is_of_mail(greeting: &Reply) -> bool {
    let text = greeting.lines.join(" ");
    product(&text, &["SMTP", "ESMTP", "LMTP"]).is_some() && product(&text, &["FTP"]).is_none()
}

const QUIT: &[u8] = b"QUIT\r\n";
