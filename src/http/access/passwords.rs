//! Passwords: verified with bcrypt, off the thread that probes and one at a time; right ones are remembered.
//!
//! A verification takes a tenth of a second of CPU, and anybody can request one. Therefore few may wait, per client and
//! together, and further ones are refused. A known password waits for nothing. An unknown user costs a verification, too.
//!
//! There are two queues, so that guesses do not keep out a client whose password is not known yet, as after a restart. In
//! one are users that exist and have sent no wrong password from this network, in the other one all else. Each has its
//! places, and at most one check of the other queue is before one of the first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use data_encoding::BASE64;
use hyper::header::HeaderValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::web::PasswordHash;
use crate::locks::lock;
use crate::tasks::blocking;

/// The user and password of a request.
#[derive(Clone)]
pub(super) struct Credentials {
    user: String,
    password: Vec<u8>,
}

impl Credentials {
    /// Reads a header (RFC 7617); `None` if it is malformed.
    pub(super) fn read(header: &HeaderValue) -> Option<Self> {
        let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
        let decoded = BASE64.decode(encoded.trim().as_bytes()).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (user, password) = decoded.split_at_checked(colon)?;
        let user = String::from_utf8(user.to_vec()).ok()?;
        let credentials = Self { user, password: password.get(1..)?.to_vec() };
        scheme.eq_ignore_ascii_case("basic").then_some(credentials)
    }
}

/// Result of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Too many checks are waiting.
    Busy,
    /// The user or the password is wrong.
    Denied,
    /// Both are right.
    Granted,
}

/// The verifier of passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    /// Random for each process, so that digests are of no use outside it.
    key: hmac::Key,
    /// The digests of right users, passwords and hashes.
    verified: Arc<Mutex<HashSet<[u8; 32]>>>,
    /// The digests of networks, users and hashes for which a password was wrong.
    suspected: Arc<Mutex<HashSet<[u8; 32]>>>,
    permits: Arc<Semaphore>,
    /// At most one suspected check waits for a permit, so that others wait for few of them.
    suspected_turn: Arc<Semaphore>,
    waiting: Places,
    suspected_waiting: Places,
}

impl Default for Passwords {
    fn default() -> Self {
        let mut secret = [0; 32];
        // Without random numbers TLS does not work either; the digests are then merely not secret.
        let _ = aws_lc_rs::rand::fill(&mut secret);
        Self {
            key: hmac::Key::new(HMAC_SHA256, &secret),
            verified: Arc::default(),
            suspected: Arc::default(),
            permits: Arc::new(Semaphore::new(CONCURRENT)),
            suspected_turn: Arc::new(Semaphore::new(1)),
            waiting: Places::default(),
            suspected_waiting: Places::default(),
        }
    }
}

impl Passwords {
    /// Checks a password. Takes the same time for an unknown user as for a wrong password of a suspected one. Until it
    /// runs, it ends with `gone`.
    pub(super) async fn check(
        &self,
        users: &BTreeMap<Box<str>, PasswordHash>,
        credentials: Credentials,
        client: IpAddr,
        gone: impl Future<Output = ()>,
    ) -> Verdict {
        let known = users.get(&*credentials.user);
        let Some(hash) = known.or_else(|| self.stand_in(users, &credentials.user)).cloned() else {
            return Verdict::Denied;
        };
        let digest = self.digest([credentials.user.as_bytes(), hash.as_str().as_bytes(), &credentials.password]);
        let source = network(client).to_string();
        let origin = self.digest([source.as_bytes(), credentials.user.as_bytes(), hash.as_str().as_bytes()]);
        if known.is_some() && lock(&self.verified).contains(&digest) {
            return Verdict::Granted;
        }
        let is_known = known.is_some();
        let is_suspected = !is_known || lock(&self.suspected).contains(&origin);
        let turn = tokio::select! {
            biased;
            turn = self.turn(client, is_suspected) => turn,
            () = gone => None,
        };
        let Some(turn) = turn else { return Verdict::Busy };
        let (verified, suspected) = (self.verified.clone(), self.suspected.clone());
        // Continues if the client disconnects, and still counts.
        let is_right = blocking(move || {
            let _held = turn;
            let is_right = bcrypt::verify(&credentials.password, hash.as_str()).unwrap_or(false) && is_known;
            if is_right {
                remember(&mut lock(&verified), digest, MAX_REMEMBERED);
                lock(&suspected).remove(&origin);
            } else if is_known {
                remember(&mut lock(&suspected), origin, MAX_SUSPECTED);
            }
            is_right
        });
        if is_right.await { Verdict::Granted } else { Verdict::Denied }
    }

    /// Waits for a turn; `None` if too many checks are waiting.
    async fn turn(&self, client: IpAddr, is_suspected: bool) -> Option<Turn> {
        let places = if is_suspected { &self.suspected_waiting } else { &self.waiting };
        let waiting = Waiting::enter(places, client)?;
        let _next = if is_suspected { self.suspected_turn.acquire().await.ok() } else { None };
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        Some(Turn { _permit: permit, _waiting: waiting })
    }

    /// Returns the hash of a user that an unknown name is compared with, always the same one for the same name.
    fn stand_in<'a>(&self, users: &'a BTreeMap<Box<str>, PasswordHash>, unknown: &str) -> Option<&'a PasswordHash> {
        let tag = hmac::sign(&self.key, unknown.as_bytes());
        let index = tag
            .as_ref()
            .iter()
            .fold(0, |index: usize, byte| (index * 256 + usize::from(*byte)) % users.len().max(1));
        users.values().nth(index)
    }

    fn digest(&self, parts: [&[u8]; 3]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// Remembers a digest, in place of all others if there are too many: a long password has many right spellings, because
/// bcrypt reads only its first 72 bytes.
fn remember(digests: &mut HashSet<[u8; 32]>, digest: [u8; 32], max: usize) {
    if digests.len() >= max {
        digests.clear();
    }
    digests.insert(digest);
}

/// The right to run a check.
struct Turn {
    _permit: OwnedSemaphorePermit,
    _waiting: Waiting,
}

/// The number of checks in a queue by network.
#[derive(Clone, Debug, Default)]
struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A check that waits or runs.
struct Waiting {
    places: Places,
    client: IpAddr,
}

impl Waiting {
    /// Counts a check; `None` if too many are waiting.
    fn enter(places: &Places, client: IpAddr) -> Option<Self> {
        let client = network(client);
        let mut waiting = lock(&places.0);
        let total: usize = waiting.values().sum();
        let of_client = waiting.get(&client).copied().unwrap_or_default();
        if total >= MAX_WAITING || of_client >= MAX_WAITING_OF_CLIENT {
            return None;
        }
        waiting.insert(client, of_client + 1);
        Some(Self { places: places.clone(), client })
    }
}

/// Returns the address of an IPv4 client and the /64 network of an IPv6 client, who has all addresses in it.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = lock(&self.places.0);
        match waiting.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                waiting.remove(&self.client);
            }
        }
    }
}

/// Verifications at the same time.
const CONCURRENT: usize = 1;

/// Checks of one queue that wait or run, of all clients together.
const MAX_WAITING: usize = 64;

/// Checks of one queue and client that wait or run, so that a flood from one leaves room for others.
const MAX_WAITING_OF_CLIENT: usize = 4;

/// More users than an exporter has.
const MAX_REMEMBERED: usize = 256;

/// Recording as many takes minutes of guessing.
const MAX_SUSPECTED: usize = 4096;

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::Ipv4Addr;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::config::web;

    /// The password is `test`.
    const USERS: &str = "basic_auth_users: { alice: $2b$04$aaaaaaaaaaaaaaaaaaaaaOAItJAM/9WVyQMbNth.87mKWdDHxRPhO }";
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn users() -> BTreeMap<Box<str>, PasswordHash> {
        let draft = web::parse(USERS.to_owned(), "web.yml".as_ref()).unwrap();
        draft.finish(&[], &[]).unwrap().0.users
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        let encoded = BASE64.encode(format!("{user}:{password}").as_bytes());
        Credentials::read(&HeaderValue::try_from(format!("Basic {encoded}")).unwrap()).unwrap()
    }

    #[test]
    fn only_basic_credentials_are_read() {
        let read = |text: &str| Credentials::read(&HeaderValue::try_from(text).unwrap());
        let read = |text: &str| read(text).map(|Credentials { user, password }| (user, password));
        assert_eq!(read("basic  YTpiOmM= "), Some(("a".to_owned(), b"b:c".to_vec())), "the password may have a colon");
        assert_eq!(read("Basic Ojo="), Some((String::new(), b":".to_vec())));
        for malformed in ["", "Basic", "Basic ", "Basic YQ==", "Basic YTpi=", "Basic /zo=", "Bearer YTpi"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }

    #[tokio::test]
    async fn a_known_password_does_not_wait() {
        let (passwords, users) = (Passwords::default(), users());
        let check =
            async |user, password| passwords.check(&users, credentials(user, password), CLIENT, pending()).await;
        assert_eq!(check("alice", "test").await, Verdict::Granted);
        assert_eq!(check("alice", "wrong").await, Verdict::Denied);
        assert_eq!(check("carol", "test").await, Verdict::Denied, "the password of another user");
        let _busy = passwords.permits.clone().acquire_owned().await.unwrap();
        assert_eq!(check("alice", "test").await, Verdict::Granted);
    }

    #[tokio::test]
    async fn an_unknown_user_costs_a_verification() {
        let (passwords, users) = (Passwords::default(), users());
        let busy = passwords.permits.clone().acquire_owned().await.unwrap();
        let mut check = pin!(passwords.check(&users, credentials("nobody", "test"), CLIENT, pending()));
        assert!(check.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(busy);
        assert_eq!(check.await, Verdict::Denied);
    }

    #[tokio::test]
    async fn guesses_leave_turns_to_known_users() {
        let (passwords, users) = (Passwords::default(), users());
        let check = async |user, password, client| {
            passwords.check(&users, credentials(user, password), client, pending()).await
        };
        let guesser = IpAddr::from([127, 0, 0, 2]);
        assert_eq!(check("alice", "wrong", guesser).await, Verdict::Denied);
        let _turn = passwords.suspected_turn.acquire().await.unwrap();
        for (user, client) in [("nobody", CLIENT), ("alice", guesser)] {
            let mut waiting = pin!(check(user, "other", client));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "{user} {client}");
        }
        assert_eq!(check("alice", "test", CLIENT).await, Verdict::Granted);
    }

    #[tokio::test]
    async fn guesses_leave_places_to_known_users() {
        let (passwords, users) = (Passwords::default(), users());
        let clients = (0..=u8::MAX).map(|number| IpAddr::from([127, 0, 1, number]));
        let _places: Vec<_> = clients
            .filter_map(|client| Waiting::enter(&passwords.suspected_waiting, client))
            .collect();
        let check = async |user| passwords.check(&users, credentials(user, "test"), CLIENT, pending()).await;
        assert_eq!(check("nobody").await, Verdict::Busy);
        assert_eq!(check("alice").await, Verdict::Granted);
    }

    #[tokio::test]
    async fn a_right_password_ends_the_suspicion() {
        let (passwords, users) = (Passwords::default(), users());
        let check = async |password| passwords.check(&users, credentials("alice", password), CLIENT, pending()).await;
        assert_eq!(check("wrong").await, Verdict::Denied);
        assert_eq!(lock(&passwords.suspected).len(), 1);
        assert_eq!(check("test").await, Verdict::Granted);
        assert!(lock(&passwords.suspected).is_empty());
    }

    #[tokio::test]
    async fn a_disconnected_client_leaves_its_place() {
        let (passwords, users) = (Passwords::default(), users());
        let _busy = passwords.permits.clone().acquire_owned().await.unwrap();
        let verdict = passwords.check(&users, credentials("alice", "test"), CLIENT, ready(())).await;
        assert_eq!(verdict, Verdict::Busy);
        assert!(lock(&passwords.waiting.0).is_empty());
    }

    #[test]
    fn one_client_does_not_take_all_places() {
        let counts = Places::default();
        let client = |number: u8| IpAddr::from([127, 0, 0, number]);
        let mut waiting: Vec<_> = (0..10).filter_map(|_| Waiting::enter(&counts, client(1))).collect();
        assert_eq!(waiting.len(), MAX_WAITING_OF_CLIENT);
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        assert!(Waiting::enter(&counts, mapped).is_none(), "the same client");
        let of_network = (0..10).map(|number| Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, number).into());
        waiting.extend(of_network.filter_map(|client| Waiting::enter(&counts, client)));
        assert_eq!(waiting.len(), 2 * MAX_WAITING_OF_CLIENT, "one network");
        waiting.extend((2..200).filter_map(|number| Waiting::enter(&counts, client(number))));
        assert_eq!(waiting.len(), MAX_WAITING);
        drop(waiting);
        assert!(lock(&counts.0).is_empty());
    }

    #[test]
    fn few_passwords_are_remembered() {
        let mut verified = HashSet::new();
        for number in 0..10_000_u16 {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&number.to_be_bytes());
            remember(&mut verified, digest, MAX_REMEMBERED);
            assert!(verified.contains(&digest) && verified.len() <= MAX_REMEMBERED);
        }
    }
}
