-- How the text of an instance is read: 0 as it is declared; otherwise the encoding it is in, from 1, with 8 where some of
-- it is not clear and 16 where a rule of the settings says the encoding. Nothing for what an older program stored: only an
-- index made anew knows it.
ALTER TABLE instances ADD COLUMN text BIGINT;
ALTER TABLE conflicts ADD COLUMN text BIGINT;

-- How the text of what is shown is read, study by study. An older program counts nothing here; what it hides is still
-- counted until anything else of the study is hidden or shown, or the index is made anew.
CREATE TABLE texts (
    study BIGINT NOT NULL,
    sender BIGINT NOT NULL,
    -- As of instances.
    reading BIGINT NOT NULL,
    instances BIGINT NOT NULL,
    -- Milliseconds since 1970: when the last of them came.
    newest BIGINT NOT NULL,
    PRIMARY KEY (study, sender, reading)
);
CREATE INDEX texts_by_reading ON texts (sender, reading, study);
