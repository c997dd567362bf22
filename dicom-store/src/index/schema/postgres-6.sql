-- Jobs: 0 batch, 1 usual, 2 somebody waits; when it was asked for; how far it is, in what it counts itself; 1 for one that
-- runs and is to be stopped. A node of an older version takes jobs in the order in which they are due, and stops none.
ALTER TABLE jobs ADD COLUMN priority BIGINT NOT NULL DEFAULT 1;
ALTER TABLE jobs ADD COLUMN made BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN done BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN total BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN cancelled BIGINT NOT NULL DEFAULT 0;
CREATE INDEX jobs_next ON jobs (priority DESC, due) WHERE state < 2;
