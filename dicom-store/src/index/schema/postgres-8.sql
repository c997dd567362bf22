-- What lies in the packs and nothing refers to any more: what was damaged and came again, what came twice. What a node of an
-- older version leaves is noticed when its pack is compared again.
CREATE TABLE dead_copies (
    pack BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    -- Bytes of its whole entry.
    length BIGINT NOT NULL,
    uid TEXT COLLATE "C" NOT NULL,
    -- Milliseconds since 1970: when that was noticed; the largest number there is where it is not known to be the same data
    -- set as what is read elsewhere.
    since BIGINT NOT NULL,
    PRIMARY KEY (pack, "offset")
);
CREATE INDEX dead_copies_by_uid ON dead_copies (uid);
