-- Since when an instance is damaged (state 3), and why; 0 and nothing for what was found before there was this table.
CREATE TABLE IF NOT EXISTS damaged (
    instance INTEGER PRIMARY KEY,
    since INTEGER NOT NULL,
    reason TEXT NOT NULL
);
INSERT OR IGNORE INTO damaged (instance, since, reason) SELECT id, 0, '' FROM instances WHERE state = 3;
