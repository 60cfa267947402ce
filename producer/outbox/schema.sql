-- The outbox of auditstream in PostgreSQL (10 or later), version 1.
-- {table} stands for its name, auditstream_outbox by default, and {name} for the same
-- without the schema in front.

CREATE TABLE {table} (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Whatever gives all events of an organization the same of 64 numbers; the library takes
    -- the low six bits of the organization id's FNV-1a.
    lane            smallint    NOT NULL CHECK (lane BETWEEN 0 AND 63),
    organization_id text        NOT NULL,
    event_id        text        NOT NULL,
    event           text        NOT NULL, -- canonical JSON
    traceparent     text,                 -- W3C Trace Context of the insert
    tracestate      text,
    inserted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at    timestamptz,          -- acknowledged by Kafka, and kept
    set_aside_at    timestamptz,          -- cannot be published
    reason          text                  -- why it was set aside
) WITH (
    -- A table that is filled and emptied all the time: by the share of its rows that are dead
    -- it would be vacuumed much too late after a backlog.
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 10000
);

CREATE INDEX {name}_waiting ON {table} (lane, seq) WHERE published_at IS NULL AND set_aside_at IS NULL;
CREATE INDEX {name}_published ON {table} (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX {name}_set_aside ON {table} (set_aside_at) WHERE set_aside_at IS NOT NULL;

-- What relays lock, so that one at a time publishes the events of an organization.
CREATE TABLE {table}_lanes (lane smallint PRIMARY KEY);
INSERT INTO {table}_lanes SELECT generate_series(0, 63);

COMMENT ON TABLE {table} IS 'auditstream outbox, version 1';
