//! The kind of probe, by protocol and settings. Settings that do not fit the protocol are reported.

use std::sync::Arc;

use crate::config::file_uses::FileUses;
use crate::config::levels::dialogue::Script;
use crate::config::levels::{Levels, Nearest};
use crate::protocol;
use crate::target::{Application, Expect, ProbeKind, Protocol, Security, Service, TlsExchange};

impl<'a> Levels<'a> {
    /// The kind of probe for a target of this protocol. The `own` nearest levels belong to the target: a setting there
    /// that does not fit is an error; in a module or the defaults it is for other targets.
    pub(in crate::config) fn probe_kind(self, protocol: Protocol, own: usize, files: &mut FileUses) -> ProbeKind {
        match protocol {
            Protocol::Service(service, security) => {
                self.refuse_expect(protocol, own);
                self.refuse_dialogue(protocol, own);
                self.service(service, security, files)
            }
            Protocol::Tcp => self.tcp(files),
            Protocol::Tls => {
                self.refuse_expect(protocol, own);
                if let Some(at) = self.script().and_then(|(_, script)| script.starttls.as_ref()) {
                    let message = "conflicts with tls://, which starts with TLS; use tcp://, or remove the step";
                    self.problems.refuse(at.clone(), message);
                }
                let dialogue = self.script().map(|(_, script)| script.dialogue.clone()).unwrap_or_default();
                ProbeKind::of_tls(TlsExchange {
                    upgrade: Application::default(),
                    settings: self.tls(None, files),
                    application: Application::Dialogue(dialogue),
                })
            }
        }
    }

    fn tcp(self, files: &mut FileUses) -> ProbeKind {
        let Some((nearest, script)) = self.script() else {
            return ProbeKind::Tcp { expect: self.value(|keys| keys.expect.get()).unwrap_or_default() };
        };
        self.check_expect(nearest, script);
        let application = Application::Dialogue(script.dialogue.clone());
        if script.starttls.is_none() {
            return ProbeKind::Plain(application);
        }
        let upgrade = Application::Dialogue(script.upgrade.clone());
        ProbeKind::of_tls(TlsExchange { upgrade, settings: self.tls(None, files), application })
    }

    fn service(self, service: &'static Service, security: Security, files: &mut FileUses) -> ProbeKind {
        let application = if service == protocol::HTTP {
            Application::Http(Arc::new(self.http(files)))
        } else {
            Application::Service(service)
        };
        let upgrade = match security {
            Security::Plain => return ProbeKind::Plain(application),
            Security::Starttls => application.clone(),
            Security::Tls => Application::default(),
        };
        // After an upgrade in the service's protocol, the application protocol is known.
        let alpn = service.alpn.filter(|_| security == Security::Tls);
        ProbeKind::of_tls(TlsExchange { upgrade, settings: self.tls(alpn, files), application })
    }

    /// The nearest dialogue, unless it has no steps.
    pub(in crate::config) fn script(self) -> Option<(Nearest<'a>, &'a Script)> {
        let mut levels = self.all.iter().enumerate();
        let nearest = levels.find_map(|(distance, level)| Some((Nearest { distance, level }, level.script.as_ref()?)));
        nearest.filter(|(_, script)| !script.is_empty)
    }

    /// Reports if the port of a dialogue is expected not to be open.
    fn check_expect(self, of_script: Nearest<'_>, script: &Script) {
        let Some((of_expect, expect)) = self.nearest(|keys| keys.expect.get()) else { return };
        if *expect == Expect::Open {
            return;
        }
        let expect = expect.as_str();
        if of_expect.distance <= of_script.distance {
            let message = format!(
                "`{expect}` conflicts with `dialogue`, which requires an open port; remove it, or add `dialogue: []`"
            );
            self.problems.refuse(of_expect.at("expect"), message);
        } else {
            let message = format!("requires an open port, which conflicts with `expect: {expect}`; add `expect: open`");
            self.problems.refuse(script.at.clone(), message);
        }
    }

    fn refuse_expect(self, protocol: Protocol, own: usize) {
        for level in self.all.iter().take(own).filter(|level| level.keys.expect.get().is_some()) {
            let message = format!("only for tcp; a {protocol} target requires an open port; remove it");
            self.problems.refuse_key(level.at.join("expect"), message);
        }
    }

    fn refuse_dialogue(self, protocol: Protocol, own: usize) {
        for level in self
            .all
            .iter()
            .take(own)
            .filter(|level| level.script.as_ref().is_some_and(|it| !it.is_empty))
        {
            let message =
                format!("only for tcp and tls; a {protocol} target has the exchange of its protocol; remove it");
            self.problems.refuse_key(level.at.join("dialogue"), message);
        }
    }
}
