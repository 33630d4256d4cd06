//! Exchanges of `query_response` that a protocol of portprobe makes itself.
//!
//! The examples of blackbox_exporter and close variants are recognised by their words: an expression that asks for
//! anything specific, such as a host name, is kept as a dialogue.

use super::tcp::GoStep;

/// The scheme that makes this exchange, if there is one.
pub(super) fn scheme(steps: &[GoStep], has_tls: bool) -> Option<String> {
    let is_twice = has_tls && steps.iter().any(|step| step.starttls);
    if is_twice || steps.iter().any(|step| step.unknown.is_some()) {
        return None;
    }
    if is_postgres(steps) {
        return Some(if has_tls { "postgres+tls" } else { "postgres+starttls" }.to_owned());
    }
    let exchange = Exchange::of(steps)?;
    let recipe = RECIPES.iter().find(|recipe| recipe.fits(&exchange))?;
    let starttls = steps.iter().any(|step| step.starttls);
    Some(match (has_tls, starttls) {
        (true, _) => recipe.with_tls.to_owned(),
        (false, true) => format!("{}+starttls", recipe.scheme),
        (false, false) => recipe.scheme.to_owned(),
    })
}

/// The words of an exchange.
struct Exchange {
    /// The words of all expressions, without metacharacters.
    expected: Vec<String>,
    /// The first word of each command, after its tag.
    sent: Vec<String>,
    has_starttls: bool,
}

impl Exchange {
    fn of(steps: &[GoStep]) -> Option<Self> {
        let mut exchange = Self { expected: Vec::new(), sent: Vec::new(), has_starttls: false };
        for step in steps {
            exchange.has_starttls |= step.starttls;
            if step.expect_bytes.is_some() {
                return None;
            }
            exchange.expected.extend(step.expect.iter().flat_map(|expect| words(expect)));
            let sent = str::from_utf8(&step.send).ok()?.trim();
            // A tag of IMAP, such as `.` or `a1`.
            let (first, rest) = sent.split_once(' ').unwrap_or((sent, ""));
            let is_tag = !rest.is_empty() && (first.len() <= 3 || first.starts_with('.'));
            let command = if is_tag { rest.split(' ').next().unwrap_or_default() } else { first };
            if !command.is_empty() {
                exchange.sent.push(command.to_ascii_uppercase());
            }
        }
        (!exchange.expected.is_empty()).then_some(exchange)
    }
}

/// The words of an expression: letters and digits, without escapes, classes and counts.
fn words(expression: &str) -> Vec<String> {
    let mut plain = String::new();
    // The reply of POP3, with its plus as a literal or, as in the example of blackbox_exporter, as an operator.
    let pop3 = [r"^\+OK", "^+OK", r"\+OK"]
        .iter()
        .find_map(|start| expression.strip_prefix(start));
    if pop3.is_some() {
        plain.push_str("POP3OK ");
    }
    let mut rest = pop3.unwrap_or(expression).chars();
    let mut is_class = false;
    while let Some(character) = rest.next() {
        match character {
            '\\' => {
                rest.next();
                plain.push(' ');
            }
            '[' => is_class = true,
            ']' => is_class = false,
            other if other.is_ascii_alphanumeric() && !is_class => plain.push(other.to_ascii_uppercase()),
            _ => plain.push(' '),
        }
    }
    plain.split_whitespace().map(ToOwned::to_owned).collect()
}

struct Recipe {
    scheme: &'static str,
    with_tls: &'static str,
    /// Every expected word is one of these.
    expected: &'static [&'static str],
    /// Every command is one of these, or starts with one that ends in `-`.
    sent: &'static [&'static str],
    /// One of these is expected or sent.
    sign: &'static [&'static str],
    has_starttls: bool,
}

impl Recipe {
    fn fits(&self, exchange: &Exchange) -> bool {
        let is_command = |command: &String| {
            self.sent
                .iter()
                .any(|known| command == known || (known.ends_with('-') && command.starts_with(known)))
        };
        let mut all = exchange.expected.iter().chain(&exchange.sent);
        (self.has_starttls || !exchange.has_starttls)
            && exchange.expected.iter().all(|word| self.expected.contains(&&**word))
            && exchange.sent.iter().all(is_command)
            && all.any(|word| self.sign.iter().any(|sign| word.starts_with(sign)))
    }
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
        && steps
            .iter()
            .all(|step| step.expect.as_ref().is_none_or(|expect| words(expect) == ["S"]))
}

/// A message of 8 bytes with the code 80877103 (PostgreSQL, message formats).
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The same as base64, in case its tag was lost.
const SSL_REQUEST_TEXT: &[u8] = b"AAAACATSFi8=";

const RECIPES: [Recipe; 6] = [
    Recipe {
        scheme: "smtp",
        with_tls: "smtps",
        expected: &["220", "221", "250", "ESMTP", "SMTP", "STARTTLS", "AUTH", "OK", "2", "0"],
        sent: &["EHLO", "HELO", "STARTTLS", "QUIT", "NOOP"],
        sign: &["ESMTP", "SMTP", "EHLO", "HELO"],
        has_starttls: true,
    },
    Recipe {
        scheme: "imap",
        with_tls: "imaps",
        expected: &["OK", "STARTTLS", "CAPABILITY", "IMAP4REV1", "IMAP4", "IMAP", "READY", "BEGIN", "TLS"],
        sent: &["STARTTLS", "CAPABILITY", "LOGOUT", "NOOP"],
        sign: &["IMAP", "CAPABILITY", "LOGOUT"],
        has_starttls: true,
    },
    Recipe {
        scheme: "pop3",
        with_tls: "pop3s",
        expected: &["POP3OK", "STLS", "BEGIN", "TLS", "POP3", "READY"],
        sent: &["CAPA", "STLS", "QUIT", "NOOP"],
        sign: &["POP3OK"],
        has_starttls: true,
    },
    Recipe {
        scheme: "ssh",
        with_tls: "ssh+tls",
        expected: &["SSH", "1", "2", "0", "99", "OPENSSH"],
        sent: &["SSH-"],
        sign: &["SSH"],
        has_starttls: false,
    },
    Recipe {
        scheme: "amqp",
        with_tls: "amqps",
        expected: &["AMQP"],
        sent: &["HELO", "AMQP"],
        sign: &["AMQP"],
        has_starttls: false,
    },
    Recipe {
        scheme: "ftp",
        with_tls: "ftps",
        expected: &["220", "221", "FTP", "READY"],
        sent: &["QUIT"],
        sign: &["FTP"],
        has_starttls: false,
    },
];

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
        let imap: &[_] = &[
            ("OK.*STARTTLS", ""),
            ("", ". STARTTLS"),
            ("OK", "TLS"),
            ("", ". capability"),
            ("CAPABILITY IMAP4rev1", ""),
        ];
        let smtp: &[_] = &[
            ("^220 ([^ ]+) ESMTP (.+)$", "EHLO prober\r"),
            ("^250-STARTTLS", "STARTTLS\r"),
            ("^220", "TLS"),
            ("", "EHLO prober\r"),
            ("^250-AUTH", "QUIT\r"),
        ];
        let rabbitmq: &[_] = &[("", "HELO\r"), ("", "\r"), ("AMQP", "")];
        for (exchange, has_tls, found) in [
            (imap, false, Some("imap+starttls")),
            (smtp, false, Some("smtp+starttls")),
            (&[("^220.*SMTP", "QUIT\r")], true, Some("smtps")),
            (&[("^+OK", "")], true, Some("pop3s")),
            (&[("^\\+OK", "STLS\r"), ("^\\+OK", "TLS")], false, Some("pop3+starttls")),
            (&[(r"^\* OK .*IMAP4rev1", "a1 LOGOUT\r")], false, Some("imap")),
            (&[("^SSH-2.0-", "SSH-2.0-blackbox-ssh-check")], false, Some("ssh")),
            (&[(r"^SSH-2\.0-([^ -]+)(?: (.*))?$", "")], false, Some("ssh")),
            (rabbitmq, true, Some("amqps")),
            (&[("^220 mx1.example.com ESMTP", "QUIT\r")], false, None),
            (&[("^SSH-2.0-OpenSSH_9", "")], false, None),
            (&[("^OK", "QUIT\r")], false, None),
            (&[("^+OK", "PASS secret")], false, None),
            (&[("", "PING")], false, None),
            (&[], false, None),
        ] {
            assert_eq!(scheme(&steps(exchange), has_tls).as_deref(), found, "{exchange:?}");
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
