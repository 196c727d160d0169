-- ohemtrain pool: the views, one per question; explained in docs/pool-schema.md.
CREATE VIEW hardest AS
  SELECT i.inst_id, s.lmdb_key, coalesce(c.name, i.label) AS class, coalesce(p.name, i.pred) AS predicted, round(i.p_pred,3) AS conf,
         round(i.loss_ema,3) AS loss, i.n_seen, i.n_reinj, i.kind, i.x0, i.y0, i.x1, i.y1
  FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred
  WHERE i.state IN(0,1,6) AND i.planted=0 ORDER BY i.loss_ema DESC;
CREATE VIEW class_report AS
  SELECT coalesce(c.name,i.label) AS class, count(*) AS in_pool, round(avg(loss_ema),3) AS mean_loss, round(max(loss_ema),3) AS worst,
         round(avg(n_reinj),2) AS mean_reinj, sum(state=3) AS quarantined, round(100.0*avg(state=2),1) AS pct_learned
  FROM inst i LEFT JOIN class c USING(label) WHERE i.state<>5 AND i.planted=0 GROUP BY i.label ORDER BY mean_loss DESC;
CREATE VIEW confusion AS
  SELECT coalesce(c.name,i.label) AS truth, coalesce(p.name,i.pred) AS predicted, count(*) AS n, round(avg(i.loss_ema),3) AS mean_loss, round(avg(p_pred),3) AS conf
  FROM inst i LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred
  WHERE i.pred IS NOT NULL AND i.pred<>i.label AND i.state NOT IN(2,5) AND i.planted=0 GROUP BY i.label, i.pred ORDER BY n DESC;
CREATE VIEW repeat_offenders AS
  SELECT i.inst_id, s.lmdb_key, i.label, i.n_reinj, round(i.loss_first,3) AS loss_first, round(i.loss_ema,3) AS loss_now,
         round(i.loss_first - i.loss_ema,3) AS gained, i.n_forget
  FROM inst i JOIN sample s USING(sample_id) WHERE i.n_reinj>1 ORDER BY i.n_reinj DESC, i.loss_ema DESC;
CREATE VIEW suspected_noise AS
  SELECT i.inst_id, s.lmdb_key, coalesce(c.name,i.label) AS labelled, coalesce(p.name,i.pred) AS model_says, round(i.p_pred,3) AS conf,
         i.n_contra||'/'||i.n_seen AS contradicted, round(i.margin_sum/i.n_seen,3) AS mean_margin, i.n_reinj, i.state, i.kind, i.x0, i.y0, i.x1, i.y1
  FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred
  WHERE i.n_seen>0 AND i.state<>5 AND i.planted=0 AND (i.state=3 OR (i.n_reinj>=2 AND i.n_contra*2>i.n_seen)) ORDER BY mean_margin;
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
CREATE VIEW possibly_unlabelled AS     -- background that looks like an object, again and again
  SELECT i.inst_id, s.lmdb_key, coalesce(p.name,i.pred) AS looks_like, round(i.p_pred,3) AS conf, i.n_contra||'/'||i.n_seen AS contradicted,
         i.state, i.x0, i.y0, i.x1, i.y1
  FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class p ON p.label=i.pred
  WHERE i.kind=2 AND i.state<>5 AND i.pred<>0 AND i.p_pred>0.95 AND i.n_contra>=2 ORDER BY i.n_contra DESC, i.p_pred DESC;
CREATE VIEW flip_flop AS               -- learned and forgotten, three times or more
  SELECT i.inst_id, s.lmdb_key, coalesce(c.name,i.label) AS class, i.n_forget, i.n_reinj, round(i.loss_ema,3) AS loss
  FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class c ON c.label=i.label WHERE i.n_forget>=3 ORDER BY i.n_forget DESC;
CREATE VIEW learned_by_mining AS       -- re-injected, then learned
  SELECT i.inst_id, s.lmdb_key, coalesce(c.name,i.label) AS class, i.n_reinj, round(i.loss_first,3) AS loss_first, round(i.loss,3) AS loss_now
  FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class c ON c.label=i.label WHERE i.state=2 AND i.n_reinj>=1 AND i.planted=0
  ORDER BY i.loss_first-i.loss DESC;
CREATE VIEW mining_gain AS             -- what one re-injection takes off the loss, per run and class
  SELECT r.run_id, coalesce(c.name,i.label) AS class, count(*) AS n, round(avg(t.loss_before),3) AS before, round(avg(t.loss_after),3) AS after,
         round(avg(t.loss_before-t.loss_after),3) AS gain
  FROM reinj r JOIN reinj_item t USING(reinj_id) JOIN inst i USING(inst_id) LEFT JOIN class c ON c.label=i.label
  WHERE r.superseded=0 AND t.loss_after IS NOT NULL GROUP BY r.run_id, i.label ORDER BY r.run_id DESC, gain DESC;
CREATE VIEW image_hotspots AS          -- records with the most hard instances
  SELECT s.lmdb_key, count(*) AS n, round(avg(i.loss_ema),3) AS mean_loss, round(max(i.loss_ema),3) AS worst, sum(i.state=3) AS quarantined
  FROM inst i JOIN sample s USING(sample_id) WHERE i.state<>5 GROUP BY i.sample_id ORDER BY n DESC, mean_loss DESC;
CREATE VIEW amplification AS           -- how much more often than a uniform sampler a class's pool rows were trained on
  SELECT r.run_id, coalesce(c.name,i.label) AS class, count(*) AS reinjected, count(DISTINCT t.inst_id) AS rows,
         round(1.0*count(*)/count(DISTINCT t.inst_id),2) AS per_row
  FROM reinj r JOIN reinj_item t USING(reinj_id) JOIN inst i USING(inst_id) LEFT JOIN class c ON c.label=i.label
  WHERE r.superseded=0 GROUP BY r.run_id, i.label ORDER BY r.run_id DESC, reinjected DESC;
CREATE VIEW mining_effect AS           -- the latest effect of each run
  SELECT e.run_id, e.iter, CASE e.label WHEN -1 THEN 'all' ELSE coalesce(c.name,e.label) END AS class, e.n_treated, e.n_control,
         round(e.loss_treated,3) AS treated, round(e.loss_control,3) AS control, round(e.diff,3) AS diff, round(e.lo,3) AS lo, round(e.hi,3) AS hi
  FROM effect e LEFT JOIN class c USING(label) WHERE e.iter=(SELECT max(iter) FROM effect f WHERE f.run_id=e.run_id) ORDER BY e.run_id DESC, e.label;
CREATE VIEW quarantine_quality AS      -- the latest reading of each run's thermometer
  SELECT run_id, iter, planted, tested, quarantined, round(recall,3) AS recall, round(recall_lo,3) AS lo, round(recall_hi,3) AS hi,
         round(noise,4) AS noise, round(precision,3) AS precision
  FROM thermometer t WHERE iter=(SELECT max(iter) FROM thermometer u WHERE u.run_id=t.run_id) ORDER BY run_id DESC;
CREATE VIEW losses AS                  -- uniform and mined loss are two numbers: means of each hundred iterations
  SELECT run_id, iter/100*100 AS iter, round(avg(CASE kind WHEN 'fresh' THEN loss END),4) AS uniform, round(avg(CASE kind WHEN 'pool' THEN loss END),4) AS mined,
         sum(kind='pool') AS reinjected FROM iter_stat GROUP BY run_id, iter/100 ORDER BY run_id DESC, iter;
CREATE VIEW steering AS                -- what persons said and what became of it
  SELECT v.verdict_id, coalesce(v.lmdb_key, s.lmdb_key) AS lmdb_key, coalesce(v.kind,i.kind,0) AS kind, coalesce(v.slot,i.slot,0) AS slot, v.verdict, v.new_label,
         v.who, v.at, v.source, v.applied_run, v.outcome
  FROM verdict v LEFT JOIN inst i ON i.inst_id=v.inst_id LEFT JOIN sample s USING(sample_id) ORDER BY v.at DESC;
