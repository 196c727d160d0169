-- ohemtrain verdicts: what persons say of samples.  People write this file, the trainer only reads it.
PRAGMA application_id = 1330136406;   -- 0x4F484556 'OHEV'
PRAGMA user_version   = 1;
CREATE TABLE verdict(                  -- as the table of the same name in the pool file
  verdict_id INTEGER PRIMARY KEY, inst_id INTEGER, lmdb_key TEXT, kind INTEGER CHECK(kind IN(0,1,2,3)), slot INTEGER CHECK(slot>=0),
  verdict TEXT NOT NULL CHECK(verdict IN('mislabelled','hard','ignore','relabel')), new_label INTEGER, who TEXT, note TEXT,
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ','now')),
  CHECK(inst_id IS NOT NULL OR lmdb_key IS NOT NULL), CHECK(verdict<>'relabel' OR new_label IS NOT NULL)) STRICT;
CREATE VIEW help(line) AS VALUES
  ('A row here steers the training that has its pool beside this file, within two flushes; delete the row to take it back.'),
  ('INSERT INTO verdict(lmdb_key,verdict) VALUES(''00000005'',''mislabelled'');   the label is wrong: no weight, out of the pool'),
  ('INSERT INTO verdict(lmdb_key,verdict,new_label) VALUES(''00000005'',''relabel'',3);   trained on as class 3 from now on'),
  ('INSERT INTO verdict(inst_id,verdict) VALUES(17,''hard'');   the label is right: never quarantined; inst_id as in the pool'),
  ('INSERT INTO verdict(lmdb_key,kind,slot,verdict) VALUES(''00000005'',1,2,''ignore'');   kind 0 image, 1 object, 2 background, 3 tile'),
  ('What became of each row: SELECT * FROM steering, in the pool file.');
