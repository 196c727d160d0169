-- version 1 to 2: control group, thermometer, steering by key, effect, sentinel.  Frozen: never edited again.
DROP VIEW IF EXISTS hardest; DROP VIEW IF EXISTS class_report; DROP VIEW IF EXISTS confusion; DROP VIEW IF EXISTS repeat_offenders;
DROP VIEW IF EXISTS suspected_noise; DROP VIEW IF EXISTS reinjected; DROP VIEW IF EXISTS runs;
CREATE TABLE inst_2(                     -- the pool: one row per instance (image, RoI, tile)
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
INSERT INTO inst_2(inst_id,sample_id,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,loss_max,loss_first,pred,p_label,p_pred,margin_sum,n_seen,n_reinj,n_contra,n_forget,flip,weight,first_run,first_iter,last_run,last_iter,label_given) SELECT inst_id,sample_id,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,loss_max,loss_first,pred,p_label,p_pred,margin_sum,n_seen,n_reinj,n_contra,n_forget,flip,weight,first_run,first_iter,last_run,last_iter,label FROM inst;
DROP TABLE inst;
ALTER TABLE inst_2 RENAME TO inst;
CREATE INDEX inst_hard   ON inst(label, loss_ema DESC) WHERE state IN(0,1);
CREATE INDEX inst_repeat ON inst(n_reinj DESC) WHERE n_reinj > 1;
CREATE INDEX inst_quar   ON inst(state) WHERE state >= 3;
CREATE TABLE event_2(event_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, iter INTEGER NOT NULL, inst_id INTEGER, sample_id INTEGER,
  what TEXT NOT NULL CHECK(what IN('admit','evict','learned','forgot','quarantine','release','exclude','restore','relabel')), loss REAL, why TEXT,
  superseded INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO event_2 SELECT * FROM event;
DROP TABLE event;
ALTER TABLE event_2 RENAME TO event;
CREATE INDEX event_sample ON event(sample_id);
CREATE TABLE verdict_2(                  -- what a person says; rows of the verdict file and the overlay are copied here when they are obeyed
  verdict_id INTEGER PRIMARY KEY, inst_id INTEGER, lmdb_key TEXT, kind INTEGER, slot INTEGER,      -- by inst_id, or by key (kind and slot: NULL = the image)
  verdict TEXT NOT NULL CHECK(verdict IN('mislabelled','hard','ignore','relabel')), new_label INTEGER, who TEXT, note TEXT,
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ','now')),
  source TEXT NOT NULL DEFAULT 'pool', applied_run INTEGER, outcome TEXT,                          -- 'pool', 'file', 'overlay'; NULL until obeyed; why not
  CHECK(inst_id IS NOT NULL OR lmdb_key IS NOT NULL)) STRICT;
INSERT INTO verdict_2(inst_id,verdict,new_label,who,at,applied_run) SELECT inst_id,verdict,new_label,who,at,applied_run FROM verdict;
DROP TABLE verdict;
ALTER TABLE verdict_2 RENAME TO verdict;
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
