PRAGMA application_id = 0x50545052;

-- Times are milliseconds since 1970-01-01T00:00:00Z.
CREATE TABLE last_write (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    written_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE targets (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('up', 'down', 'unknown')),
    since_ms INTEGER,
    failure_phase TEXT,
    failure_class TEXT,
    failure_detail TEXT,
    last_probe_ms INTEGER,
    outcomes TEXT NOT NULL DEFAULT '',
    certificates TEXT,
    absent_since_ms INTEGER
) STRICT;

CREATE INDEX absent_targets ON targets (absent_since_ms) WHERE absent_since_ms IS NOT NULL;

CREATE TABLE days (
    target INTEGER NOT NULL REFERENCES targets (id) ON DELETE CASCADE,
    day INTEGER NOT NULL,
    probes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    up_ms INTEGER NOT NULL,
    down_ms INTEGER NOT NULL,
    PRIMARY KEY (target, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE incidents (
    id INTEGER PRIMARY KEY,
    target INTEGER NOT NULL REFERENCES targets (id) ON DELETE CASCADE,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    phase TEXT NOT NULL,
    class TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX open_incidents ON incidents (target) WHERE ended_ms IS NULL;
CREATE INDEX incidents_of_targets ON incidents (target, began_ms);
CREATE INDEX incidents_by_end ON incidents (ended_ms);
CREATE INDEX incidents_by_begin ON incidents (began_ms);

CREATE VIEW daily_figures AS
SELECT
    targets.name AS target,
    date(days.day * 86400, 'unixepoch') AS day,
    days.probes AS probes,
    days.failures AS failures,
    days.down_ms / 1000.0 AS seconds_down,
    max(0.0, (86400000 - days.up_ms - days.down_ms) / 1000.0) AS seconds_unknown
FROM days JOIN targets ON targets.id = days.target;
