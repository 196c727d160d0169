-- A pool as version 1 of the schema left it, with rows in every table.  Frozen: what test_pool_versions migrates.
-- The schema as it was:
PRAGMA application_id = 1330136397;   -- 0x4F48454D 'OHEM' : `file pool.db` and the tool itself can tell it from any other SQLite file
PRAGMA user_version   = 1;
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
  state INTEGER NOT NULL DEFAULT 0 CHECK(state IN(0,1,2,3,4,5)),    -- 0 waiting 1 cooling 2 learned 3 quarantined 4 excluded by a person 5 evicted after re-injection
  loss REAL NOT NULL, loss_ema REAL NOT NULL, loss_max REAL NOT NULL, loss_first REAL NOT NULL,
  pred INTEGER, p_label REAL, p_pred REAL, margin_sum REAL NOT NULL DEFAULT 0,
  n_seen INTEGER NOT NULL DEFAULT 0, n_reinj INTEGER NOT NULL DEFAULT 0, n_contra INTEGER NOT NULL DEFAULT 0, n_forget INTEGER NOT NULL DEFAULT 0,
  flip INTEGER, weight REAL NOT NULL DEFAULT 1,
  first_run INTEGER NOT NULL, first_iter INTEGER NOT NULL, last_run INTEGER NOT NULL, last_iter INTEGER NOT NULL,
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
  what TEXT NOT NULL CHECK(what IN('admit','evict','learned','forgot','quarantine','release','exclude','restore')), loss REAL, why TEXT,
  superseded INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX event_sample ON event(sample_id);
CREATE TABLE iter_stat(run_id INTEGER NOT NULL, iter INTEGER NOT NULL, kind TEXT NOT NULL, loss REAL NOT NULL, lr REAL NOT NULL, ms REAL NOT NULL,
  pool_n INTEGER NOT NULL, admit_thr REAL, admitted INTEGER, PRIMARY KEY(run_id, iter)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot(run_id INTEGER NOT NULL, iter INTEGER NOT NULL, path TEXT NOT NULL, bytes INTEGER, model_hash TEXT NOT NULL, event_id INTEGER NOT NULL,
  at TEXT NOT NULL, PRIMARY KEY(run_id, iter)) STRICT, WITHOUT ROWID;
CREATE TABLE verdict(inst_id INTEGER NOT NULL REFERENCES inst, verdict TEXT NOT NULL CHECK(verdict IN('mislabelled','hard','ignore','relabel')),
  new_label INTEGER, who TEXT, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ','now')), applied_run INTEGER) STRICT;

CREATE VIEW hardest AS
  SELECT i.inst_id, s.lmdb_key, coalesce(c.name, i.label) AS class, coalesce(p.name, i.pred) AS predicted, round(i.p_pred,3) AS conf,
         round(i.loss_ema,3) AS loss, i.n_seen, i.n_reinj, i.kind, i.x0, i.y0, i.x1, i.y1
  FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred
  WHERE i.state IN(0,1) ORDER BY i.loss_ema DESC;
CREATE VIEW class_report AS
  SELECT coalesce(c.name,i.label) AS class, count(*) AS in_pool, round(avg(loss_ema),3) AS mean_loss, round(max(loss_ema),3) AS worst,
         round(avg(n_reinj),2) AS mean_reinj, sum(state=3) AS quarantined, round(100.0*avg(state=2),1) AS pct_learned
  FROM inst i LEFT JOIN class c USING(label) WHERE i.state<>5 GROUP BY i.label ORDER BY mean_loss DESC;
CREATE VIEW confusion AS
  SELECT coalesce(c.name,i.label) AS truth, coalesce(p.name,i.pred) AS predicted, count(*) AS n, round(avg(i.loss_ema),3) AS mean_loss, round(avg(p_pred),3) AS conf
  FROM inst i LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred
  WHERE i.pred IS NOT NULL AND i.pred<>i.label AND i.state NOT IN(2,5) GROUP BY i.label, i.pred ORDER BY n DESC;
CREATE VIEW repeat_offenders AS
  SELECT i.inst_id, s.lmdb_key, i.label, i.n_reinj, round(i.loss_first,3) AS loss_first, round(i.loss_ema,3) AS loss_now,
         round(i.loss_first - i.loss_ema,3) AS gained, i.n_forget
  FROM inst i JOIN sample s USING(sample_id) WHERE i.n_reinj>1 ORDER BY i.n_reinj DESC, i.loss_ema DESC;
CREATE VIEW suspected_noise AS
  SELECT i.inst_id, s.lmdb_key, coalesce(c.name,i.label) AS labelled, coalesce(p.name,i.pred) AS model_says, round(i.p_pred,3) AS conf,
         i.n_contra||'/'||i.n_seen AS contradicted, round(i.margin_sum/i.n_seen,3) AS mean_margin, i.n_reinj, i.state
  FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred
  WHERE i.n_seen>0 AND i.state<>5 AND (i.state=3 OR (i.n_reinj>=2 AND i.n_contra*2>i.n_seen)) ORDER BY mean_margin;
CREATE VIEW reinjected AS
  SELECT r.run_id, r.iter, t.pos, s.lmdb_key, i.label, round(t.loss_before,3) AS before, round(t.loss_after,3) AS after, round(t.loss_before-t.loss_after,3) AS gain
  FROM reinj r JOIN reinj_item t USING(reinj_id) JOIN inst i USING(inst_id) JOIN sample s USING(sample_id)
  WHERE r.superseded=0 ORDER BY r.run_id, r.iter, t.pos;
CREATE VIEW runs AS
  SELECT run_id, job, parent_run_id AS resumed_from, started, round((julianday(coalesce(ended,'now'))-julianday(started))*24,2) AS hours, status, exit_code,
         iter_start, iter_end, round(loss_end,4) AS loss_end, metric_name, metric_end,
         (SELECT count(*) FROM reinj WHERE reinj.run_id=run.run_id AND superseded=0) AS reinj_batches,
         (SELECT round(avg(loss_before-loss_after),3) FROM reinj WHERE reinj.run_id=run.run_id AND superseded=0) AS mean_gain
  FROM run ORDER BY run_id DESC;

INSERT INTO run(run_id,job,started,ended,status,exit_code,host,pid,device,version,config_hash,config_text,seed,iter_end,loss_end)
  VALUES(1,'old.conf','2026-01-01T00:00:00Z','2026-01-01T06:00:00Z','ok',0,'night',1234,'cpu','SQLite 3.40.1','0123456789abcdef','max_iter: 10',1,10,0.5);
INSERT INTO class VALUES(0,'background'),(1,'cat'),(2,'dog');
INSERT INTO dataset VALUES(1,'data/train_lmdb',1000,'000000000000002a');
INSERT INTO sample(sample_id,dataset_id,lmdb_key) VALUES(1,1,'00000005'),(2,1,'00000006'),(3,1,'00000007');
INSERT INTO inst(inst_id,sample_id,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,loss_max,loss_first,pred,p_label,p_pred,margin_sum,n_seen,n_reinj,n_contra,n_forget,flip,weight,first_run,first_iter,last_run,last_iter) VALUES
  (1,1,0,0,1,0,0,1,1,0,3,3.5,4,4,2,0.05,0.9,-1.7,2,1,1,0,0,1,1,1,1,9),
  (2,2,1,4,2,0.1,0.2,0.5,0.6,3,5,5,5,5,1,0.01,0.95,-3.1,4,3,4,1,1,0.2,1,2,1,9),
  (3,3,0,0,1,0,0,1,1,5,0.1,0.2,4,4,1,0.9,0.9,0.5,4,2,0,0,0,1,1,3,1,9);
INSERT INTO reinj(reinj_id,run_id,iter,n,reason,lr,weight,loss_before,loss_after) VALUES(1,1,5,2,'a full batch was waiting',0.1,1,4,3);
INSERT INTO reinj_item VALUES(1,0,1,4,3),(1,1,2,5,NULL);
INSERT INTO event(run_id,iter,inst_id,sample_id,what,loss,why) VALUES(1,1,1,1,'admit',4,'loss is high'),(1,8,2,2,'quarantine',5,'contradicted');
INSERT INTO iter_stat VALUES(1,1,'fresh',2.5,0.1,12,2,NULL,2),(1,5,'pool',4,0.1,12,2,2.0,2);
INSERT INTO snapshot VALUES(1,10,'old.caffemodel',100,'0123456789abcdef',2,'2026-01-01T06:00:00Z');
INSERT INTO verdict(inst_id,verdict,new_label,who,at) VALUES(1,'relabel',2,'ann','2026-01-01T09:00:00Z'),(2,'mislabelled',NULL,'bob','2026-01-01T09:01:00Z');
