-- Since when an instance is damaged (state 3), and why; 0 and nothing for what was found before there was this table. What a
-- node of an older version finds is hidden and not told here, until its pack is compared again.
CREATE TABLE damaged (
    instance BIGINT PRIMARY KEY,
    since BIGINT NOT NULL,
    reason TEXT NOT NULL
);
INSERT INTO damaged (instance, since, reason) SELECT id, 0, '' FROM instances WHERE state = 3;
