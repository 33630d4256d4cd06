"""Reads a feed or a calendar from standard input with the parsers of other programs, and prints its content as JSON."""

import json
import sys

import feedparser
import icalendar


def feed(text, url):
    parsed = feedparser.parse(text, response_headers={"content-location": url, "content-type": "application/atom+xml; charset=utf-8"})
    entries = parsed.entries
    return {
        "error": str(parsed.bozo_exception) if parsed.bozo else None,
        "version": parsed.version,
        "title": parsed.feed.title,
        "id": parsed.feed.id,
        "updated": parsed.feed.updated,
        "author": parsed.feed.author,
        "links": [link.href for link in parsed.feed.links],
        "entries": [
            {"id": entry.id, "title": entry.title, "updated": entry.updated, "link": entry.link, "text": entry.content[0].value}
            for entry in entries
        ],
    }


def calendar(text):
    parsed = icalendar.Calendar.from_ical(text)
    return {
        "errors": [str(error) for component in parsed.walk() for error in component.errors],
        "name": str(parsed["X-WR-CALNAME"]),
        "events": [
            {
                "uid": str(event["UID"]),
                "stamp": event.decoded("DTSTAMP").isoformat(),
                "start": event.decoded("DTSTART").isoformat(),
                "summary": str(event["SUMMARY"]),
                "description": str(event["DESCRIPTION"]),
                "url": str(event.get("URL", "")),
                "reminders": [alarm.decoded("TRIGGER").total_seconds() for alarm in event.walk("VALARM")],
            }
            for event in parsed.walk("VEVENT")
        ],
    }


text = sys.stdin.buffer.read()
json.dump(feed(text, sys.argv[2]) if sys.argv[1] == "feed" else calendar(text), sys.stdout)
