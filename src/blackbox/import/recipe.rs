//! Exchanges of `query_response` that a protocol of portprobe makes itself.
//!
//! Only listed expressions are recognised: those whose demands the protocol verifies, too. Any other, such as one that
//! asks for an extension, a product or a host name, is kept as a dialogue, so that no check is lost.

use super::tcp::GoStep;

/// The scheme that makes this exchange, if there is one.
pub(super) fn scheme(steps: &[GoStep], has_tls: bool) -> Option<String> {
    let starttls = steps.iter().any(|step| step.starttls);
    if (has_tls && starttls) || steps.iter().any(|step| step.unknown.is_some()) {
        return None;
    }
    if is_postgres(steps) {
        return Some("postgres+starttls".to_owned());
    }
    let events = events(steps)?;
    let recipe = RECIPES.iter().find(|recipe| recipe.fits(&events))?;
    Some(match (has_tls, starttls) {
        (true, _) => recipe.with_tls.to_owned(),
        (false, true) => format!("{}+starttls", recipe.scheme),
        (false, false) => recipe.scheme.to_owned(),
    })
}

/// A part of an exchange.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Event<'a> {
    Expect(&'a str),
    /// The name of a command.
    Send(String),
    StartTls,
}

/// The parts of an exchange, in their order; `None` if one of them is binary.
fn events(steps: &[GoStep]) -> Option<Vec<Event<'_>>> {
    let mut events = Vec::new();
    for step in steps {
        if step.expect_bytes.is_some() {
            return None;
        }
        events.extend(step.expect.as_deref().map(Event::Expect));
        let command = command(str::from_utf8(&step.send).ok()?.trim());
        events.extend((!command.is_empty()).then_some(Event::Send(command)));
        events.extend(step.starttls.then_some(Event::StartTls));
    }
    Some(events)
}

/// The first word of a command, after its tag. The openings of AMQP and SSH are one word.
fn command(sent: &str) -> String {
    if let Some(opening) = ["AMQP", "SSH-"].into_iter().find(|opening| sent.starts_with(opening)) {
        return opening.to_owned();
    }
    let (first, rest) = sent.split_once(' ').unwrap_or((sent, ""));
    // A tag of IMAP, such as `.` or `a1`.
    let is_tag = !rest.is_empty() && (first.len() <= 3 || first.starts_with('.'));
    let command = if is_tag { rest.split(' ').next().unwrap_or_default() } else { first };
    command.to_ascii_uppercase()
}

struct Recipe {
    scheme: &'static str,
    with_tls: &'static str,
    /// Commands before the first response.
    opening: &'static [&'static str],
    /// Expressions for the first response.
    greeting: &'static [&'static str],
    /// Commands whose response is not expected.
    closing: &'static [&'static str],
    upgrade: Option<Upgrade>,
}

/// The start of TLS, which portprobe requires, too.
struct Upgrade {
    /// Expressions for the first response.
    greeting: &'static [&'static str],
    /// Commands that ask for extensions.
    asking: &'static [&'static str],
    /// Expressions for their responses.
    offer: &'static [&'static str],
    command: &'static str,
    /// Expressions for its response.
    granted: &'static [&'static str],
}

impl Recipe {
    fn fits(&self, events: &[Event<'_>]) -> bool {
        let is_opening = |event: &Event<'_>| is_one_of(event, self.opening);
        let mut rest = events;
        while let [first, others @ ..] = rest
            && is_opening(first)
        {
            rest = others;
        }
        let [Event::Expect(greeting), rest @ ..] = rest else { return false };
        let Some(start) = rest.iter().position(|event| *event == Event::StartTls) else {
            return self.greeting.contains(greeting) && self.ends(rest);
        };
        let (before, after) = rest.split_at(start);
        let is_upgrade = self
            .upgrade
            .as_ref()
            .is_some_and(|upgrade| upgrade.greeting.contains(greeting) && upgrade.fits(before));
        is_upgrade && self.ends(after.get(1..).unwrap_or_default())
    }

    fn ends(&self, events: &[Event<'_>]) -> bool {
        events.iter().all(|event| is_one_of(event, self.closing))
    }
}

impl Upgrade {
    fn fits(&self, events: &[Event<'_>]) -> bool {
        let (asked, requested) = events.split_at(events.len().saturating_sub(2));
        let is_asked = match asked {
            [] => true,
            [ask, Event::Expect(offer)] => is_one_of(ask, self.asking) && self.offer.contains(offer),
            _ => false,
        };
        let is_requested = match requested {
            [command, Event::Expect(granted)] => is_one_of(command, &[self.command]) && self.granted.contains(granted),
            _ => false,
        };
        is_asked && is_requested
    }
}

fn is_one_of(event: &Event<'_>, commands: &[&str]) -> bool {
    matches!(event, Event::Send(command) if commands.contains(&&**command))
}

/// Whether this is the request for TLS of PostgreSQL, with or without the line end that blackbox_exporter adds.
fn is_postgres(steps: &[GoStep]) -> bool {
    let requests_tls = steps
        .first()
        .is_some_and(|step| step.send == SSL_REQUEST || step.send == SSL_REQUEST_TEXT);
    requests_tls
        && steps.iter().any(|step| step.starttls)
        && steps.iter().skip(1).all(|step| step.send.is_empty())
        && steps
            .iter()
            .all(|step| step.expect_bytes.as_ref().is_none_or(|bytes| bytes == b"S"))
        && steps.iter().all(|step| {
            step.expect
                .as_ref()
                .is_none_or(|expect| ["S", "^S", "^S$"].contains(&&**expect))
        })
}

/// A message of 8 bytes with the code 80877103 (PostgreSQL, message formats).
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The same as base64, in case its tag was lost.
const SSL_REQUEST_TEXT: &[u8] = b"AAAACATSFi8=";

/// FTP is absent: it verifies only the code 220, which an expression for FTP exceeds.
const RECIPES: [Recipe; 5] = [
    // The response to EHLO shows that the service is SMTP. Its code is not verified, so none is in `offer`.
    Recipe {
        scheme: "smtp",
        with_tls: "smtps",
        opening: &[],
        greeting: &["^220 .*ESMTP", "^220.*ESMTP", "^220 .*SMTP", "^220.*SMTP"],
        closing: &["EHLO", "HELO", "QUIT", "NOOP"],
        upgrade: Some(Upgrade {
            greeting: &[
                "^220",
                "^220 ",
                "^220 .*ESMTP",
                "^220.*ESMTP",
                "^220 .*SMTP",
                "^220.*SMTP",
                "^220 ([^ ]+) ESMTP (.+)$",
            ],
            asking: &["EHLO"],
            offer: &["STARTTLS", "^250-STARTTLS", "^250.STARTTLS", "^250[- ]STARTTLS"],
            command: "STARTTLS",
            granted: &["^220", "^220 "],
        }),
    },
    Recipe {
        scheme: "imap",
        with_tls: "imaps",
        opening: &[],
        greeting: &[r"^\* OK", r"\* OK"],
        closing: &["CAPABILITY", "LOGOUT", "NOOP"],
        upgrade: Some(Upgrade {
            greeting: &["OK", r"^\* OK", r"\* OK", "OK.*STARTTLS", r"^\* OK.*STARTTLS"],
            asking: &["CAPABILITY"],
            offer: &["STARTTLS", "CAPABILITY.*STARTTLS"],
            command: "STARTTLS",
            granted: &["OK"],
        }),
    },
    Recipe {
        scheme: "pop3",
        with_tls: "pop3s",
        opening: &[],
        greeting: POP3,
        closing: &["CAPA", "QUIT", "NOOP"],
        upgrade: Some(Upgrade {
            greeting: POP3,
            asking: &["CAPA"],
            offer: &["STLS", "^STLS", "^STLS$"],
            command: "STLS",
            granted: POP3,
        }),
    },
    Recipe {
        scheme: "ssh",
        with_tls: "ssh+tls",
        opening: &["SSH-"],
        greeting: &["^SSH-2.0-", r"^SSH-2\.0-", "SSH-2.0-", r"SSH-2\.0-", "^SSH-", "SSH-"],
        closing: &["SSH-"],
        upgrade: None,
    },
    Recipe {
        scheme: "amqp",
        with_tls: "amqps",
        opening: &["HELO", "AMQP"],
        greeting: &["AMQP", "^AMQP"],
        closing: &[],
        upgrade: None,
    },
];

/// The reply of POP3, with its plus as a literal or, as in the example of blackbox_exporter, as an operator.
const POP3: &[&str] = &[r"^\+OK", "^+OK", r"\+OK"];

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: &[(&str, &str)]) -> Vec<GoStep> {
        let step = |(expect, send): &(&str, &str)| GoStep {
            expect: (!expect.is_empty()).then(|| (*expect).to_owned()),
            send: if *send == "TLS" { Vec::new() } else { send.as_bytes().into() },
            starttls: *send == "TLS",
            ..GoStep::default()
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn examples_and_variants_are_recognised() {
        let upgrade: &[_] = &[
            ("^220 ([^ ]+) ESMTP (.+)$", "EHLO prober\r"),
            ("^250-STARTTLS", "STARTTLS\r"),
            ("^220", "TLS"),
            ("", "EHLO prober\r"),
            ("", "QUIT\r"),
        ];
        let imap: &[_] = &[("OK.*STARTTLS", ""), ("", ". STARTTLS"), ("OK", "TLS"), ("", ". capability")];
        let pop3: &[_] = &[(r"^\+OK", "CAPA\r"), ("^STLS", "STLS\r"), (r"^\+OK", "TLS")];
        let rabbitmq: &[_] = &[("", "HELO\r"), ("", "\r"), ("AMQP", "")];
        for (exchange, has_tls, found) in [
            (upgrade, false, "smtp+starttls"),
            (imap, false, "imap+starttls"),
            (pop3, false, "pop3+starttls"),
            (&[("^220.*SMTP", "QUIT\r")], true, "smtps"),
            (&[("^+OK", "")], true, "pop3s"),
            (&[("^\\+OK", "STLS\r"), ("^\\+OK", "TLS")], false, "pop3+starttls"),
            (&[(r"^\* OK", "a1 LOGOUT\r")], false, "imap"),
            (&[("^SSH-2.0-", "SSH-2.0-blackbox-ssh-check")], false, "ssh"),
            (rabbitmq, true, "amqps"),
        ] {
            assert_eq!(scheme(&steps(exchange), has_tls).as_deref(), Some(found), "{exchange:?}");
        }
    }

    #[test]
    fn demands_that_no_protocol_verifies_remain() {
        let auth: &[_] = &[
            ("^220", "EHLO prober\r"),
            ("^250-STARTTLS", "STARTTLS\r"),
            ("^220", "TLS"),
            ("", "EHLO prober\r"),
            ("^250-AUTH", "QUIT\r"),
        ];
        let exchanges: [&[(&str, &str)]; 25] = [
            auth,
            &[("^220 .*ESMTP", "EHLO prober\r"), ("^250-STARTTLS", "QUIT\r")],
            &[("^220 .*ESMTP", "EHLO prober\r"), ("^250-AUTH", "QUIT\r")],
            &[("^220 .*ESMTP", "EHLO special.host\r"), ("^250 OK", "QUIT\r")],
            &[("^220 [m][x][9] ESMTP", "QUIT\r")],
            &[(r"^220 \d+ ESMTP", "QUIT\r")],
            &[("^220 mx1.example.com ESMTP", "QUIT\r")],
            &[("^220.*FTP.*ready", "QUIT\r")],
            &[("^220.*FTP", "")],
            &[("^220", "QUIT\r")],
            &[("OK.*STARTTLS", "")],
            &[("OK.*STARTTLS", ". LOGOUT")],
            &[("OK", ". STARTTLS"), ("OK", "TLS"), ("", ". capability"), ("CAPABILITY IMAP4rev1", "")],
            &[(r"^\* OK .*IMAP4rev1", "a1 LOGOUT\r")],
            &[(r"^\+OK", "CAPA\r"), ("^STLS", "QUIT\r")],
            &[(r"^\+OK Dovecot ready", "")],
            &[(r"^SSH-1\.99", "")],
            &[("^SSH-2.0-OpenSSH", "")],
            &[("^SSH-2.0-OpenSSH_9", "")],
            &[(r"^SSH-2\.0-([^ -]+)(?: (.*))?$", "")],
            &[("^OK", "QUIT\r")],
            &[("^+OK", "PASS secret")],
            &[("^+OK", "TLS")],
            &[("", "PING")],
            &[],
        ];
        for exchange in exchanges {
            assert_eq!(scheme(&steps(exchange), false), None, "{exchange:?}");
        }
    }

    #[test]
    fn the_request_for_tls_of_postgresql_is_recognised() {
        let request = |expect_bytes: &[u8]| {
            let send = GoStep { send: SSL_REQUEST.into(), ..GoStep::default() };
            let expect = GoStep { expect_bytes: Some(expect_bytes.into()), ..GoStep::default() };
            [send, expect, GoStep { starttls: true, ..GoStep::default() }]
        };
        assert_eq!(scheme(&request(b"S"), false).as_deref(), Some("postgres+starttls"));
        assert_eq!(scheme(&request(b"N"), false), None);
    }
}
