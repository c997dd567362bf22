-- What the server was told while it runs, and what it has noted for itself. Not in the packs; carried over when the index is
-- made anew.
CREATE TABLE IF NOT EXISTS register (
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- JSON.
    body TEXT COLLATE "C" NOT NULL,
    -- Milliseconds since 1970: when it was written first and last; and how often.
    made BIGINT NOT NULL,
    written BIGINT NOT NULL,
    times BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
