//! Targets that may be down for the same reason: on the same host, in the same group or network.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::links::Root;
use crate::board::State;
use crate::inventory::TargetSummary;
use crate::peer_text::escaped;
use crate::target::{GroupName, Host, TargetName};

/// The neighbours of some targets.
#[derive(Debug)]
pub(super) struct Neighbours<'a>(HashMap<Place<'a>, Tally<'a>>);

/// What targets have in common.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Place<'a> {
    Group(&'a GroupName),
    Host(&'a Host),
    Network(IpNet),
}

#[derive(Debug, Default)]
struct Tally<'a> {
    total: usize,
    down: usize,
    /// The first that are down.
    names: Vec<&'a TargetName>,
}

/// The state of the neighbours of a target in one place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Neighbourhood {
    /// `Host`.
    pub(super) title: &'static str,
    /// `2 of 3 targets on db-1 are down`.
    pub(super) words: String,
    /// Other targets that are down.
    pub(super) down: Vec<NamedLink>,
    /// Number of further ones.
    pub(super) more: usize,
}

/// A link to the page of a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct NamedLink {
    pub(super) name: String,
    pub(super) link: String,
}

impl NamedLink {
    pub(super) fn of(name: &TargetName, root: &Root) -> Self {
        Self { name: escaped(name.as_str()), link: root.target(name) }
    }
}

impl<'a> Neighbours<'a> {
    /// Counts the neighbours of these targets among all.
    pub(super) fn of(some: &[&'a TargetSummary], all: &'a [TargetSummary]) -> Self {
        let shared = some.iter().flat_map(|summary| places(summary));
        let mut tallies: HashMap<_, _> = shared.map(|place| (place, Tally::default())).collect();
        if tallies.is_empty() {
            return Self(tallies);
        }
        for summary in all {
            for place in places(summary) {
                let Some(tally) = tallies.get_mut(&place) else { continue };
                tally.total += 1;
                if summary.state == State::Down {
                    tally.down += 1;
                    if tally.names.len() <= SHOWN {
                        tally.names.push(&summary.target.name);
                    }
                }
            }
        }
        Self(tallies)
    }

    /// Returns the places of a target that have other targets. A network is omitted if it has only those of the host.
    pub(super) fn around(&self, summary: &'a TargetSummary, root: &Root) -> Vec<Neighbourhood> {
        let mut shown = Vec::new();
        let mut of_host = 1;
        for place in places(summary) {
            let Some(tally) = self.0.get(&place) else { continue };
            match place {
                Place::Host(_) => of_host = tally.total,
                Place::Network(_) if tally.total == of_host => continue,
                Place::Group(_) | Place::Network(_) => {}
            }
            if tally.total > 1 {
                shown.push(tally.around(place, summary, root));
            }
        }
        shown
    }
}

impl Tally<'_> {
    fn around(&self, place: Place<'_>, summary: &TargetSummary, root: &Root) -> Neighbourhood {
        let others = self.names.iter().filter(|other| **other != &summary.target.name).take(SHOWN);
        let down: Vec<_> = others.map(|other| NamedLink::of(other, root)).collect();
        let is_down = summary.state == State::Down;
        let more = self.down.saturating_sub(usize::from(is_down) + down.len());
        let words = if is_down { self.with_it(place) } else { self.without_it(place) };
        Neighbourhood { title: place.title(), words, down, more }
    }

    /// Describes the place of a target that is not down itself, although its last probe failed.
    fn without_it(&self, place: Place<'_>) -> String {
        match (self.down, self.total - 1) {
            (0, 1) => format!("the other target {place} is not down"),
            (0, others) => format!("the other {others} targets {place} are not down"),
            (1, 1) => format!("the other target {place} is down"),
            (1, others) => format!("1 of {others} other targets {place} is down"),
            (down, others) if down == others => format!("the other {others} targets {place} are down"),
            (down, others) => format!("{down} of {others} other targets {place} are down"),
        }
    }

    /// Describes the place of a target that is down.
    fn with_it(&self, place: Place<'_>) -> String {
        match (self.down, self.total) {
            (0 | 1, 2) => format!("the other target {place} is not down"),
            (0 | 1, total) => format!("the other {} targets {place} are not down", total - 1),
            (2, 2) => format!("both targets {place} are down"),
            (down, total) if down == total => format!("all {total} targets {place} are down"),
            (down, total) => format!("{down} of {total} targets {place} are down"),
        }
    }
}

impl Place<'_> {
    const fn title(self) -> &'static str {
        match self {
            Self::Group(_) => "Group",
            Self::Host(_) => "Host",
            Self::Network(_) => "Network",
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "of {}", escaped(group.as_str())),
            Self::Host(host) => write!(f, "on {host}"),
            Self::Network(network) => write!(f, "in {network}"),
        }
    }
}

fn places(summary: &TargetSummary) -> impl Iterator<Item = Place<'_>> {
    let target = &*summary.target;
    let address = target.endpoint.host.literal().or(summary.address);
    let group = target.group.as_ref().map(|group| Place::Group(&group.name));
    [Some(Place::Host(&target.endpoint.host)), group, address.and_then(network).map(Place::Network)]
        .into_iter()
        .flatten()
}

/// Returns the network that usually has one router or switch.
fn network(address: IpAddr) -> Option<IpNet> {
    let length = if address.is_ipv4() { 24 } else { 64 };
    Some(IpNet::new(address, length).ok()?.trunc())
}

/// Maximum number of names in one place.
const SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inventory::example_summary;
    use crate::target::{Group, GroupName, Labels, Quorum, Target};

    fn around(all: &[TargetSummary]) -> Vec<Neighbourhood> {
        Neighbours::of(&[&all[0]], all).around(&all[0], &Root::default())
    }

    #[test]
    fn neighbours_on_the_same_host_are_counted() {
        let down = |url: &str| example_summary(url, State::Down);
        let up = example_summary("tcp://a.test:3", State::Up);
        let [first] = &around(&[down("tcp://a.test:1"), down("tcp://a.test:2"), up.clone()])[..] else { panic!() };
        assert_eq!((first.title, &*first.words), ("Host", "2 of 3 targets on a.test are down"));
        let link = NamedLink { name: "tcp://a.test:2".into(), link: "targets/tcp%3A%2F%2Fa.test%3A2".into() };
        assert_eq!((&first.down, first.more), (&vec![link], 0));
        let [first] = &around(&[down("tcp://a.test:1"), up])[..] else { panic!() };
        assert_eq!(&*first.words, "the other target on a.test is not down");
        assert_eq!(around(&[down("tcp://a.test:1"), down("tcp://b.test:1")]), [], "alone on its host");
    }

    #[test]
    fn neighbours_of_a_target_that_is_up_are_counted() {
        let (up, down) = (
            |port: u16| example_summary(&format!("tcp://a.test:{port}"), State::Up),
            |port: u16| example_summary(&format!("tcp://a.test:{port}"), State::Down),
        );
        for (all, words, more) in [
            (vec![up(1), up(2)], "the other target on a.test is not down", 0),
            (vec![up(1), up(2), up(3)], "the other 2 targets on a.test are not down", 0),
            (vec![up(1), down(2)], "the other target on a.test is down", 0),
            (vec![up(1), down(2), up(3)], "1 of 2 other targets on a.test is down", 0),
            (vec![up(1), down(2), down(3)], "the other 2 targets on a.test are down", 0),
            (
                vec![up(1), up(2), down(3), down(4), down(5), down(6), down(7)],
                "5 of 6 other targets on a.test are down",
                1,
            ),
        ] {
            let [host] = &around(&all)[..] else { panic!() };
            assert_eq!((&*host.words, host.more), (words, more));
        }
    }

    #[test]
    fn a_network_is_shown_if_it_has_more_than_the_host() {
        let all = ["tcp://10.1.2.3:1", "tcp://10.1.2.3:2", "tcp://10.1.2.9:1", "tcp://10.1.3.9:1"];
        let all = all.map(|url| example_summary(url, State::Down));
        let words: Vec<_> = around(&all).into_iter().map(|around| around.words).collect();
        assert_eq!(words, ["both targets on 10.1.2.3 are down", "all 3 targets in 10.1.2.0/24 are down"]);
        assert_eq!(around(&all[..2]).len(), 1, "the network has only the host");
    }

    #[test]
    fn members_of_the_group_are_neighbours() {
        let name = GroupName::try_new("db").unwrap();
        let group = Arc::new(Group { name, quorum: Quorum::MinUp(1), labels: Labels::default() });
        let all: Vec<_> = (0..9)
            .map(|number| {
                let summary = example_summary(&format!("tcp://h{number}.test:1"), State::Down);
                let target = Target { group: Some(group.clone()), ..Target::clone(&summary.target) };
                TargetSummary { target: Arc::new(target), ..summary }
            })
            .collect();
        let [first] = &around(&all)[..] else { panic!() };
        assert_eq!((first.title, &*first.words), ("Group", "all 9 targets of db are down"));
        assert_eq!((first.down.len(), first.more), (4, 4));
    }
}
