-- Bits of all words of the name: what has not those of a word has not the word. Of what was stored before, and of
-- what a node of an older version stores, nothing is told by them.
SET LOCAL statement_timeout = 0;
ALTER TABLE words ADD COLUMN signature BIGINT NOT NULL DEFAULT -1;
-- In the index, so that who follows a word needs nothing else.
ALTER TABLE words DROP CONSTRAINT words_pkey, ADD PRIMARY KEY (word, at, study) INCLUDE (signature);

-- Identifiers backwards, of which an end is a beginning: the accession number behind '#', the Patient ID behind '@'.
-- What a node of an older version stores meanwhile is found by an end only in an index made anew.
INSERT INTO words (word, at, study)
    SELECT '#' || left(reverse(accession), 64), at, id FROM studies WHERE accession <> '';
INSERT INTO words (word, at, study)
    SELECT '@' || left(reverse(p.patient_id), 64), s.at, s.id FROM studies s JOIN patients p ON p.id = s.patient
    WHERE p.patient_id <> '';
