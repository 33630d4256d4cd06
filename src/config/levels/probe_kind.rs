//! What is to happen on an open connection, by protocol and settings; what does not go together is noted.

use std::sync::Arc;

use crate::config::file_uses::Profiles;
use crate::config::levels::Layers;
use crate::config::levels::dialogue::Script;
use crate::config::problems::Problems;
use crate::protocol;
use crate::target::{Application, Expect, ProbeKind, Protocol, Security, Service, TlsExchange};

impl<'a> Layers<'a> {
    /// The exchange of a target that speaks this protocol. The nearest `own` layers are the target's alone: what stands
    /// there and cannot be is an error, in a module or the defaults it is for others.
    pub(in crate::config) fn probe_kind(
        self,
        protocol: Protocol,
        own: usize,
        profiles: &mut Profiles,
        problems: &mut Problems,
    ) -> ProbeKind {
        match protocol {
            Protocol::Service(service, security) => {
                self.refuse_expect(protocol, own, problems);
                self.refuse_dialogue(protocol, own, problems);
                self.service(service, security, profiles, problems)
            }
            Protocol::Tcp => self.tcp(profiles, problems),
            Protocol::Tls => {
                self.refuse_expect(protocol, own, problems);
                if let Some(at) = self.script().and_then(|(_, script)| script.starttls.as_ref()) {
                    let message =
                        "asks for TLS a second time: a tls:// target begins with it; write tcp:// or remove the step";
                    problems.add(at.clone(), message);
                }
                let dialogue = self.script().map(|(_, script)| script.dialogue.clone()).unwrap_or_default();
                let settings = self.tls(None, profiles, problems);
                ProbeKind::of_tls(TlsExchange {
                    upgrade: Application::default(),
                    settings,
                    application: Application::Dialogue(dialogue),
                })
            }
        }
    }

    fn tcp(self, profiles: &mut Profiles, problems: &mut Problems) -> ProbeKind {
        let Some((distance, script)) = self.script() else {
            return ProbeKind::Tcp {
                expect: self.nearest(|layer| layer.expect).map(|(_, expect)| expect).unwrap_or_default(),
            };
        };
        self.check_expect(distance, script, problems);
        if script.starttls.is_none() {
            return ProbeKind::Plain(Application::Dialogue(script.dialogue.clone()));
        }
        let settings = self.tls(None, profiles, problems);
        let (upgrade, application) = (script.upgrade.clone(), script.dialogue.clone());
        ProbeKind::of_tls(TlsExchange {
            upgrade: Application::Dialogue(upgrade),
            settings,
            application: Application::Dialogue(application),
        })
    }

    fn service(
        self,
        service: &'static Service,
        security: Security,
        profiles: &mut Profiles,
        problems: &mut Problems,
    ) -> ProbeKind {
        let application = if service == protocol::HTTP {
            Application::Http(Arc::new(self.http(profiles, problems)))
        } else {
            Application::Service(service)
        };
        let upgrade = match security {
            Security::Plain => return ProbeKind::Plain(application),
            Security::Starttls => application.clone(),
            Security::Tls => Application::default(),
        };
        // Where TLS was asked for in the protocol's own words, there is no doubt what will be spoken.
        let alpn = service.alpn.filter(|_| security == Security::Tls);
        ProbeKind::of_tls(TlsExchange { upgrade, settings: self.tls(alpn, profiles, problems), application })
    }

    /// The dialogue that counts, and how many layers are nearer; none where it has no steps.
    pub(in crate::config) fn script(self) -> Option<(usize, &'a Script)> {
        self.nearest(|layer| layer.dialogue.as_ref()).filter(|(_, script)| !script.is_empty)
    }

    /// A dialogue needs an open port.
    fn check_expect(self, distance: usize, script: &Script, problems: &mut Problems) {
        let Some((of_expect, expect)) = self.nearest(|layer| layer.expect) else { return };
        if expect == Expect::Open {
            return;
        }
        let expect = expect.as_str();
        match self.0.get(of_expect) {
            Some(layer) if of_expect <= distance => {
                let message = format!(
                    "is `{expect}`, but `dialogue` needs an open port; remove it, or write `dialogue: []` beside it"
                );
                problems.add(layer.at.join("expect"), message);
            }
            _ => {
                let message = format!("needs an open port, but `expect` is `{expect}`; write `expect: open` beside it");
                problems.add(script.at.clone(), message);
            }
        }
    }

    fn refuse_expect(self, protocol: Protocol, own: usize, problems: &mut Problems) {
        for layer in self.0.iter().take(own).filter(|layer| layer.expect.is_some()) {
            problems.add_key(
                layer.at.join("expect"),
                0,
                format!("is only for tcp; a {protocol} target needs an open port, remove it"),
            );
        }
    }

    fn refuse_dialogue(self, protocol: Protocol, own: usize, problems: &mut Problems) {
        for layer in self.0.iter().take(own).filter(|layer| layer.dialogue.as_ref().is_some_and(|it| !it.is_empty)) {
            let message =
                format!("is only for tcp and tls; a {protocol} target has the exchange of its protocol, remove it");
            problems.add_key(layer.at.join("dialogue"), 0, message);
        }
    }

    /// Notes settings of TLS that a target has for itself, though none of its protocols speaks it.
    pub(in crate::config) fn refuse_tls(self, own: usize, problems: &mut Problems) {
        for layer in self.0.iter().take(own) {
            if let Some(key) = layer.tls.first_key() {
                let message = "does nothing, for this target speaks no TLS; write tls:// or a `dialogue` with `starttls: true`, or remove it";
                problems.add_key(layer.at.join("tls").join(key), 0, message);
            }
        }
    }
}
