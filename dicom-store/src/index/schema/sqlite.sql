-- What is known of the instances in the packs. Everything here can be read from them again.

-- SOP classes, transfer syntaxes and senders, each written once.
CREATE TABLE terms (id INTEGER PRIMARY KEY, term TEXT NOT NULL UNIQUE);

CREATE TABLE patients (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    -- The study, for a patient without an identifier; empty otherwise.
    scope TEXT NOT NULL,
    -- Folded, component groups joined by '='.
    name TEXT NOT NULL,
    attributes BLOB NOT NULL,
    UNIQUE (patient_id, issuer, scope)
);
CREATE INDEX patients_by_name ON patients (name);

CREATE TABLE studies (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    patient INTEGER NOT NULL REFERENCES patients (id),
    date TEXT NOT NULL,
    time TEXT NOT NULL,
    -- Both as the digits of one number, for the order of studies; 0 without a date that is one.
    at INTEGER NOT NULL,
    accession TEXT NOT NULL,
    -- Distinct and sorted, joined by '\'.
    modalities TEXT NOT NULL,
    sop_classes TEXT NOT NULL,
    -- Of what is shown.
    series_count INTEGER NOT NULL,
    instance_count INTEGER NOT NULL,
    -- Those of the patient's name, each between spaces.
    words TEXT NOT NULL,
    attributes BLOB NOT NULL,
    -- What it says of its patient, where that is something else than the patient's row has.
    person BLOB,
    -- What is corrected of its data sets, where anything is.
    overlay BLOB
);
CREATE INDEX studies_by_patient ON studies (patient);
-- Of those that show something, which is all that a walk through them asks.
CREATE INDEX studies_by_moment ON studies (at) WHERE instance_count > 0;
CREATE INDEX studies_by_accession ON studies (accession);

-- What studies are found by, in the order of time: words of the patient's name, folded and with their marks,
-- modalities behind '=', and backwards the accession number behind '#' and the Patient ID behind '@'.
CREATE TABLE words (
    word TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- No reference: a study whose row goes would be looked for in all of it.
    study INTEGER NOT NULL,
    -- Bits of all words of the name: what has not those of a word has not the word.
    signature INTEGER NOT NULL,
    PRIMARY KEY (word, at, study)
) WITHOUT ROWID;

CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL,
    study INTEGER NOT NULL REFERENCES studies (id),
    modality TEXT NOT NULL,
    -- Without a number: behind all that have one.
    number INTEGER NOT NULL,
    instance_count INTEGER NOT NULL,
    attributes BLOB NOT NULL,
    -- The header of its first instance; those of its instances are kept as differences from it.
    reference BLOB NOT NULL,
    UNIQUE (study, uid)
);
CREATE INDEX series_by_uid ON series (uid);

CREATE TABLE instances (
    -- The place in the change feed at which it was stored.
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    series INTEGER NOT NULL REFERENCES series (id),
    number INTEGER NOT NULL,
    sop_class INTEGER NOT NULL,
    transfer_syntax INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    pack INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    length INTEGER NOT NULL,
    data_set INTEGER NOT NULL,
    digest BLOB NOT NULL,
    sender INTEGER NOT NULL,
    received INTEGER NOT NULL,
    -- 0 shown, 1 deleted, 2 rejected, 3 damaged.
    state INTEGER NOT NULL,
    -- How its text is read: 0 as it is declared; otherwise the encoding it is in, from 1, with 8 where some of it is not
    -- clear and 16 where a rule of the settings says the encoding.
    text INTEGER NOT NULL,
    header BLOB NOT NULL,
    frame_map BLOB NOT NULL
);
CREATE INDEX instances_by_series ON instances (series, number, id);
CREATE INDEX instances_by_pack ON instances (pack, "offset");

-- Since when instances are damaged, and why.
CREATE TABLE damaged (
    instance INTEGER PRIMARY KEY,
    -- Milliseconds since 1970; 0 where it is not known.
    since INTEGER NOT NULL,
    reason TEXT NOT NULL
);

-- What lies in the packs and nothing refers to any more: what was damaged and came again, what came twice.
CREATE TABLE dead_copies (
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
CREATE INDEX dead_copies_by_uid ON dead_copies (uid);

-- How the text of what is shown is read, study by study.
CREATE TABLE texts (
    study INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    -- As of instances.
    reading INTEGER NOT NULL,
    instances INTEGER NOT NULL,
    -- Milliseconds since 1970: when the last of them came.
    newest INTEGER NOT NULL,
    PRIMARY KEY (study, sender, reading)
) WITHOUT ROWID;
CREATE INDEX texts_by_reading ON texts (sender, reading, study);

-- Other data sets that came under a UID that was taken.
CREATE TABLE conflicts (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    pack INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    length INTEGER NOT NULL,
    data_set INTEGER NOT NULL,
    digest BLOB NOT NULL,
    sender INTEGER NOT NULL,
    received INTEGER NOT NULL,
    number INTEGER NOT NULL,
    sop_class INTEGER NOT NULL,
    transfer_syntax INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    -- 0 kept aside, 1 discarded, 2 shown first until another was promoted.
    state INTEGER NOT NULL,
    -- As of instances.
    text INTEGER NOT NULL,
    -- Whole.
    header BLOB NOT NULL,
    frame_map BLOB NOT NULL
);
CREATE INDEX conflicts_by_uid ON conflicts (uid);
CREATE INDEX conflicts_by_pack ON conflicts (pack, "offset");

-- What happened besides the storing of instances, counted together with their rows.
CREATE TABLE changes (
    cursor INTEGER PRIMARY KEY,
    -- 2 a conflict: the subject is a row of conflicts.
    kind INTEGER NOT NULL,
    subject INTEGER NOT NULL
);

CREATE TABLE cursors (consumer TEXT PRIMARY KEY, cursor INTEGER NOT NULL) WITHOUT ROWID;

-- The packs, and how far each has been read.
CREATE TABLE packs (
    id INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL,
    -- 0 in use, 1 in the making, 2 retired, 3 gone.
    state INTEGER NOT NULL DEFAULT 0,
    -- Bytes in it that nothing refers to any more, as a version without dead_copies has counted them.
    dead INTEGER NOT NULL DEFAULT 0,
    -- Milliseconds since 1970: when each entry was last compared with its digest.
    verified INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    payload TEXT NOT NULL,
    -- Milliseconds since 1970: not to be taken before. The end of the lease, while it runs.
    due INTEGER NOT NULL,
    -- 0 waiting, 1 running, 2 parked.
    state INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    -- 0 batch, 1 usual, 2 somebody waits.
    priority INTEGER NOT NULL DEFAULT 1,
    -- Milliseconds since 1970: when it was asked for.
    made INTEGER NOT NULL DEFAULT 0,
    -- How far it is, in what it counts itself; a total of 0 is not known.
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    -- 1: it runs, and is to be stopped.
    cancelled INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX jobs_waiting ON jobs (kind, key) WHERE state = 0;
CREATE INDEX jobs_next ON jobs (priority DESC, due) WHERE state < 2;

-- What was done beyond storing, as it stands in the log.
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    -- The patient, study, instance or act that it is about; empty for a list of instances.
    subject TEXT NOT NULL,
    -- Milliseconds since 1970.
    at INTEGER NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- JSON.
    body TEXT NOT NULL,
    -- The act that undid it.
    undone_by INTEGER
);
CREATE INDEX ledger_by_subject ON ledger (subject, number);

-- The acts in force that show or hide an instance, which may be yet to come; the last one holds.
CREATE TABLE instance_acts (
    uid TEXT NOT NULL,
    act INTEGER NOT NULL,
    -- As of instances.
    state INTEGER NOT NULL,
    PRIMARY KEY (uid, act)
) WITHOUT ROWID;
CREATE INDEX instance_acts_by_act ON instance_acts (act);

-- What came of patients and studies of which something else is told.
CREATE TABLE received_patients (
    patient INTEGER PRIMARY KEY,
    -- 0 when nothing came: an act made the patient. 2 within the transaction that brings the first study.
    is_received INTEGER NOT NULL,
    attributes BLOB NOT NULL
);
CREATE TABLE received_studies (
    study INTEGER PRIMARY KEY,
    patient INTEGER NOT NULL,
    attributes BLOB NOT NULL,
    person BLOB
);

-- One row: the archive whose index it is.
CREATE TABLE archive (one INTEGER PRIMARY KEY CHECK (one = 1), identifier TEXT NOT NULL);

CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Who did what, and what became of it: UIDs, never who a patient is. Not in the packs.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    -- Milliseconds since 1970.
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    what TEXT NOT NULL,
    outcome TEXT NOT NULL
);

-- What the server was told while it runs, and what it has noted for itself. Not in the packs; kept when the index is made
-- anew.
CREATE TABLE register (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON.
    body TEXT NOT NULL,
    -- Milliseconds since 1970: when it was written first and last; and how often.
    made INTEGER NOT NULL,
    written INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
