-- ohemtrain pool, schema version 2: every table, column and view is explained in docs/pool-schema.md.
-- A change here is a new version: add its step to the ladder in migrate.c and raise user_version.
-- Views are in views.sql; they are made anew with every migration.
PRAGMA application_id = 1330136397;   -- 0x4F48454D 'OHEM' : `file pool.db` and the tool itself can tell it from any other SQLite file
PRAGMA user_version   = 2;
CREATE TABLE run(                      -- one row per process start (a resume is a new row with parent_run_id)
  run_id INTEGER PRIMARY KEY, job TEXT NOT NULL, parent_run_id INTEGER REFERENCES run(run_id),
  started TEXT NOT NULL, ended TEXT, status TEXT NOT NULL DEFAULT 'running'
    CHECK(status IN('running','ok','failed','interrupted','crashed')),
  exit_code INTEGER, host TEXT NOT NULL, pid INTEGER NOT NULL, boot_id TEXT, device TEXT,
  version TEXT NOT NULL, config_hash TEXT NOT NULL, config_text TEXT NOT NULL, seed INTEGER NOT NULL,
  iter_start INTEGER NOT NULL DEFAULT 0, iter_end INTEGER, loss_end REAL, metric_name TEXT, metric_end REAL) STRICT;
CREATE TABLE class(label INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE dataset(dataset_id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, entries INTEGER NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE TABLE sample(                   -- one row per LMDB key that ever entered the pool
  sample_id INTEGER PRIMARY KEY, dataset_id INTEGER NOT NULL REFERENCES dataset, lmdb_key TEXT NOT NULL,
  datum_hash INTEGER, width INTEGER, height INTEGER, UNIQUE(dataset_id, lmdb_key)) STRICT;
CREATE TABLE inst(                     -- the pool: one row per instance (image, RoI, tile)
  inst_id INTEGER PRIMARY KEY, sample_id INTEGER NOT NULL REFERENCES sample,
  kind INTEGER NOT NULL CHECK(kind IN(0,1,2,3)),    -- 0 image, 1 gt-anchored RoI, 2 background RoI, 3 pixel tile
  slot INTEGER NOT NULL,                            -- 0 | gt index | quantised box id | tile id
  label INTEGER NOT NULL, x0 REAL, y0 REAL, x1 REAL, y1 REAL,       -- box, fractions of the un-augmented image
  state INTEGER NOT NULL DEFAULT 0 CHECK(state IN(0,1,2,3,4,5,6)),  -- 0 waiting 1 cooling 2 learned 3 quarantined 4 excluded by a person 5 evicted after re-injection 6 control group
  loss REAL NOT NULL, loss_ema REAL NOT NULL, loss_max REAL NOT NULL, loss_first REAL NOT NULL,
  pred INTEGER, p_label REAL, p_pred REAL, margin_sum REAL NOT NULL DEFAULT 0,
  n_seen INTEGER NOT NULL DEFAULT 0, n_reinj INTEGER NOT NULL DEFAULT 0, n_contra INTEGER NOT NULL DEFAULT 0, n_forget INTEGER NOT NULL DEFAULT 0,
  flip INTEGER, weight REAL NOT NULL DEFAULT 1,
  first_run INTEGER NOT NULL, first_iter INTEGER NOT NULL, last_run INTEGER NOT NULL, last_iter INTEGER NOT NULL,
  label_given INTEGER, planted INTEGER NOT NULL DEFAULT 0, control INTEGER NOT NULL DEFAULT 0,   -- as the data set has it; thermometer; control group
  UNIQUE(sample_id, kind, slot)) STRICT;
CREATE INDEX inst_hard   ON inst(label, loss_ema DESC) WHERE state IN(0,1);
CREATE INDEX inst_repeat ON inst(n_reinj DESC) WHERE n_reinj > 1;
CREATE INDEX inst_quar   ON inst(state) WHERE state >= 3;
CREATE TABLE reinj(reinj_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES run, iter INTEGER NOT NULL, n INTEGER NOT NULL,
  reason TEXT NOT NULL, lr REAL, weight REAL NOT NULL, loss_before REAL, loss_after REAL,
  superseded INTEGER NOT NULL DEFAULT 0, UNIQUE(run_id, iter)) STRICT;
CREATE TABLE reinj_item(reinj_id INTEGER NOT NULL REFERENCES reinj, pos INTEGER NOT NULL, inst_id INTEGER NOT NULL REFERENCES inst,
  loss_before REAL NOT NULL, loss_after REAL, PRIMARY KEY(reinj_id, pos)) STRICT, WITHOUT ROWID;
CREATE INDEX reinj_item_inst ON reinj_item(inst_id);
CREATE TABLE event(event_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, iter INTEGER NOT NULL, inst_id INTEGER, sample_id INTEGER,
  what TEXT NOT NULL CHECK(what IN('admit','evict','learned','forgot','quarantine','release','exclude','restore','relabel')), loss REAL, why TEXT,
  superseded INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX event_sample ON event(sample_id);
CREATE TABLE iter_stat(run_id INTEGER NOT NULL, iter INTEGER NOT NULL, kind TEXT NOT NULL, loss REAL NOT NULL, lr REAL NOT NULL, ms REAL NOT NULL,
  pool_n INTEGER NOT NULL, admit_thr REAL, admitted INTEGER, PRIMARY KEY(run_id, iter)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot(run_id INTEGER NOT NULL, iter INTEGER NOT NULL, path TEXT NOT NULL, bytes INTEGER, model_hash TEXT NOT NULL, event_id INTEGER NOT NULL,
  at TEXT NOT NULL, PRIMARY KEY(run_id, iter)) STRICT, WITHOUT ROWID;
CREATE TABLE verdict(                  -- what a person says; rows of the verdict file and the overlay are copied here when they are obeyed
  verdict_id INTEGER PRIMARY KEY, inst_id INTEGER, lmdb_key TEXT, kind INTEGER, slot INTEGER,      -- by inst_id, or by key (kind and slot: NULL = the image)
  verdict TEXT NOT NULL CHECK(verdict IN('mislabelled','hard','ignore','relabel')), new_label INTEGER, who TEXT, note TEXT,
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ','now')),
  source TEXT NOT NULL DEFAULT 'pool', applied_run INTEGER, outcome TEXT,                          -- 'pool', 'file', 'overlay'; NULL until obeyed; why not
  CHECK(inst_id IS NOT NULL OR lmdb_key IS NOT NULL)) STRICT;
CREATE TABLE effect(                   -- the control group beside the rest: what mining took off the loss (diff = control - treated, 95 % interval)
  run_id INTEGER NOT NULL, iter INTEGER NOT NULL, label INTEGER NOT NULL,                          -- label -1: all classes
  n_treated INTEGER NOT NULL, n_control INTEGER NOT NULL, loss_treated REAL, loss_control REAL, diff REAL, lo REAL, hi REAL,
  PRIMARY KEY(run_id, iter, label)) STRICT, WITHOUT ROWID;
CREATE TABLE thermometer(              -- planted wrong labels: recall and precision of the quarantine
  run_id INTEGER NOT NULL, iter INTEGER NOT NULL, planted INTEGER NOT NULL, tested INTEGER NOT NULL, quarantined INTEGER NOT NULL,
  recall REAL, recall_lo REAL, recall_hi REAL, noise REAL, precision REAL, PRIMARY KEY(run_id, iter)) STRICT, WITHOUT ROWID;
CREATE TABLE sentinel(                 -- always the same random samples, scored at every test
  run_id INTEGER NOT NULL, iter INTEGER NOT NULL, n INTEGER NOT NULL, loss REAL NOT NULL, sd REAL NOT NULL, max_share REAL NOT NULL,
  PRIMARY KEY(run_id, iter)) STRICT, WITHOUT ROWID;
