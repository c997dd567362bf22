-- What lies in the packs and nothing refers to any more: what was damaged and came again, what came twice.
CREATE TABLE IF NOT EXISTS dead_copies (
    pack INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    -- Bytes of its whole entry.
    length INTEGER NOT NULL,
    uid TEXT NOT NULL,
    -- Milliseconds since 1970: when that was noticed; the largest number there is where it is not known to be the same data
    -- set as what is read elsewhere.
    since INTEGER NOT NULL,
    PRIMARY KEY (pack, "offset")
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dead_copies_by_uid ON dead_copies (uid);
