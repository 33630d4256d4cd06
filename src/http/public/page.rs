//! The public page as HTML, without scripts. It loads nothing.

use std::fmt::{self, Formatter};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;

use super::history::{Share, uptime_percent};
use super::status::{Component, DAYS, Incident, Status};
use crate::board::State;
use crate::clock::{Timestamp, Utc};
use crate::duration;
use crate::http::feed::lasted;
use crate::http::markup::Xml;

/// A page that displays itself as HTML.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a>(pub(super) &'a Status);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Status { title, components, omitted, incidents, now } = self.0;
        let (overall, headline) = headline(components);
        let title = Xml(title);
        write!(
            f,
            r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="60">
<title>{headline} - {title}</title>
<link rel="alternate" type="application/atom+xml" title="{title}" href="public/feed.atom">
<style>{STYLE}</style>
</head>
<body>
<header><h1>{title}</h1></header>
<main>
<p class="summary {overall}">{sign} {headline}</p>
<ul class="components">
"#,
            overall = overall.as_str(),
            sign = sign(overall),
        )?;
        components.iter().try_for_each(|component| write_component(f, component))?;
        f.write_str("</ul>\n")?;
        if *omitted > 0 {
            writeln!(f, "<p>{omitted} more are not shown.</p>")?;
        }
        write_incidents(f, incidents, *now)?;
        write!(
            f,
            r#"</main>
<footer><p>{}. This page refreshes every minute. <a href="public/feed.atom">Feed</a></p></footer>
</body>
</html>
"#,
            time(*now)
        )
    }
}

fn write_component(f: &mut Formatter<'_>, component: &Component) -> fmt::Result {
    let Component { name, state, shares } = component;
    let (word, sign, name) = (state.as_str(), sign(*state), Xml(name));
    let uptime =
        uptime_percent(shares).map_or_else(|| "no data yet".to_owned(), |percent| format!("{percent:.2}\u{a0}% up"));
    writeln!(f, r#"<li><div class="row"><h2>{name}</h2><span class="state {word}">{sign} {word}</span></div>"#)?;
    let width = DAYS * STEP - GAP;
    write!(
        f,
        r#"<svg class="bars" viewBox="0 0 {width} 30" preserveAspectRatio="none" role="img" aria-label="{uptime} in {DAYS} days">"#
    )?;
    shares
        .iter()
        .zip(0..)
        .try_for_each(|(share, index)| bar(f, share, index * STEP))?;
    writeln!(
        f,
        "</svg>\n<div class=\"axis\"><span>{DAYS} days ago</span><span>{uptime}</span><span>today</span></div></li>"
    )
}

fn write_incidents(f: &mut Formatter<'_>, incidents: &[Incident], now: Timestamp) -> fmt::Result {
    writeln!(f, r#"<section class="incidents"><h2>Incidents</h2>"#)?;
    if incidents.is_empty() {
        writeln!(f, "<p>None in {DAYS} days.</p>")?;
    } else {
        writeln!(f, "<ol>")?;
        for Incident { name, began, ended } in incidents.iter().take(MAX_INCIDENTS) {
            write!(f, "<li><strong>{}</strong><p>", Xml(name))?;
            match ended {
                Some(ended) => {
                    write!(f, "{} to {} ({})", time(*began), time(*ended), lasted(*began, *ended))?;
                }
                None => write!(f, "since {} ({})", time(*began), lasted(*began, now))?,
            }
            writeln!(f, "</p></li>")?;
        }
        writeln!(f, "</ol>")?;
    }
    writeln!(f, "</section>")
}

/// Returns the state of all together, and a sentence about it.
fn headline(components: &[Component]) -> (State, String) {
    let count = |state| components.iter().filter(|component| component.state == state).count();
    let (all, down, unknown) = (components.len(), count(State::Down), count(State::Unknown));
    match (all, down, unknown) {
        (0, ..) => (State::Unknown, "Nothing to show".to_owned()),
        (1, 0, 0) => (State::Up, "Up".to_owned()),
        (_, 0, 0) => (State::Up, format!("All {all} are up")),
        (_, 0, _) => (State::Unknown, format!("{unknown} of {all} not known yet")),
        (..) => (State::Down, format!("{down} of {all} down")),
    }
}

/// Writes the bar of a day: full if it was up, with a part at the top if it was down, and short if nothing is known.
fn bar(f: &mut Formatter<'_>, share: &Share, x: u32) -> fmt::Result {
    let Share { day, up_millis, down_millis } = *share;
    let date = Utc::of_seconds(day.start().seconds()).to_string();
    let date = date.split(' ').next().unwrap_or_default();
    let width = STEP - GAP;
    let known = up_millis + down_millis;
    if known == 0 {
        return write!(
            f,
            r#"<g><title>{date}: no data</title><rect class="n" x="{x}" y="20" width="{width}" height="10"/></g>"#
        );
    }
    write!(f, "<g><title>{date}: ")?;
    if down_millis == 0 {
        return write!(f, r#"up</title><rect class="u" x="{x}" width="{width}" height="30"/></g>"#);
    }
    // Even a short outage is visible.
    let height = (30 * down_millis).div_ceil(known).clamp(8, 30);
    let down = duration::display(Duration::from_secs(down_millis.div_ceil(1000)));
    write!(f, r#"{down} down</title><rect class="u" x="{x}" y="{height}" width="{width}" height="{}"/>"#, 30 - height)?;
    write!(f, r#"<rect class="d" x="{x}" width="{width}" height="{height}"/></g>"#)
}

/// Returns a moment for people and for programs.
fn time(at: Timestamp) -> String {
    let utc = Utc::of_seconds(at.seconds());
    format!(r#"<time datetime="{utc:#}">{utc} UTC</time>"#)
}

const fn sign(state: State) -> char {
    match state {
        State::Down => '\u{2715}',
        State::Unknown => '?',
        State::Up => '\u{2713}',
    }
}

/// Returns the policy for browsers, which allows nothing but the styles of this page. They are in it, so that no further path
/// must be readable without a password.
pub(super) fn policy() -> String {
    let digest = BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

const STYLE: &str = include_str!("style.css");

/// The distance of two bars, in units of the drawing.
const STEP: u32 = 6;

/// The space between two bars.
const GAP: u32 = 1;

/// The latest ones; the feed has more.
const MAX_INCIDENTS: usize = 30;
