-- Counted up with each act; a node learns here that another has acted.
ALTER TABLE writer ADD COLUMN acts BIGINT NOT NULL DEFAULT 0;
UPDATE writer SET acts = (SELECT count(*) FROM ledger);
