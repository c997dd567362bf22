-- Counted up with each act; a node learns here that another has acted.
ALTER TABLE writer ADD COLUMN acts BIGINT NOT NULL DEFAULT 0;
UPDATE writer SET acts = (SELECT count(*) FROM ledger);

-- What a study says of its patient, where that is something else than the patient's row has; and as it came.
-- Of what was stored before, only an index made anew knows it.
ALTER TABLE studies ADD COLUMN person BYTEA;
ALTER TABLE received_studies ADD COLUMN person BYTEA;

-- One row: the archive whose index it is.
CREATE TABLE archive (one BIGINT PRIMARY KEY CHECK (one = 1), identifier TEXT COLLATE "C" NOT NULL);
