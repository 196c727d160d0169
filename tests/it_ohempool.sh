#!/bin/bash
# it_ohempool.sh - ohempool from outside, over the pool of two short trainings.
#
# TAP on stdout.  B is the build folder (default build/release).  The data is made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohempool
SRC=$(cd "$(dirname "$0")/.." && pwd)

run() { # ARGS...: sets rc, $T/out, $T/err
    "$O" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

says() { # NAME TEXT ARGS...: on stdout, ending with 0
    local name=$1 text=$2
    shift 2
    want=0
    run "$@"
    [ $rc = 0 ] && grep -qF -- "$text" "$T/out"
    result $? "$name"
}

fails() { # NAME RC TEXT ARGS...: on stderr, in a line of its own
    local name=$1 text=$3
    want=$2
    shift 3
    run "$@"
    [ $rc = "$want" ] && grep -qF -- "$text" "$T/err" && [ "$(grep -c '^ohempool: ' "$T/err")" = 1 ]
    result $? "$name"
}

holds() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$T/err" 2>&1
    result $? "$name"
}

same() { # NAME A B
    echo "'$2' and '$3'" >"$T/err"
    [ -n "$2" ] && [ "$2" = "$3" ]
    result $? "$1"
}

sql() { # FILE QUERY
    sqlite3 -batch "$1" "$2"
}

json() { # PYTHON ARGS...: the output of a command is `d`
    local code=$1
    shift
    run "$@" && python3 -c "import json, sys; d = json.load(open(sys.argv[1])); assert $code, d" "$T/out" 2>>"$T/err"
}

[ -x "$O" ] || { echo "not ok 1 - $O is built"; exit 1; }

# ---- 100 images of 12 x 12 in two classes, every tenth label wrong; two nights on one pool ----
two_classes
holds "the data is made" "$B/ohemdata" idx "$T/images" "$T/labels" "$T/d.lmdb"
cat >"$T/net" <<END
layer { name: 'data' type: 'Data' top: 'data' top: 'label' top: 'weight' include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  data_param { source: '$T/d.lmdb' batch_size: 8 backend: LMDB shuffle: true } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip'
  inner_product_param { num_output: 2 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'ip' bottom: 'label' bottom: 'weight'
  top: 'loss' top: 'prob' top: 'each' }
END
night() { # POOL SEED ITERATIONS NAME
    {
        echo "net: '$T/net' run_dir: '$T/$4' base_lr: 0.05 momentum: 0.9 lr_policy: 'fixed'"
        echo "max_iter: $3 display: 100 random_seed: $2 threads: 1 snapshot_after_train: false"
        echo "class_name: 'plain' class_name: 'striped'"
        echo "mining { warmup: 0 window: 16 quantile: 0.5 cooldown: 2 flush_s: 0.05 pool: '$1' }"
    } >"$T/$4.conf"
    "$B/ohemtrain" "$T/$4.conf" >"$T/out" 2>"$T/err"
}
P=$T/pool.db
holds "a night is trained" night "$P" 3 400 one
cp "$P" "$T/first.db"

# ---- the command line, and files that are no pool ----
fails "an unknown command is named" 64 "unknown command 'tops'" tops "$P"
run && run help
[ $rc = 0 ] && for c in summary top explain mark unmark export import diff at merge prune verify; do
    grep -q "^    $c " "$T/out" || rc=$c
done
[ "$rc" = 0 ]
result $? "the help has every command"
fails "an unknown option names the near one" 64 "did you mean '--limit'" top "$P" --limt 3
fails "two forms at once are one too many" 64 "--json and --csv" top "$P" --json --csv
fails "a missing pool" 66 "nowhere.db" summary "$T/nowhere.db"
[ ! -e "$T/nowhere.db" ]
result $? "is not made"
echo hello >"$T/text"
fails "a text file" 65 "is not an SQLite file" top "$T/text"
sql "$T/other.db" 'CREATE TABLE t(x)'
fails "another SQLite file" 65 "not a pool" top "$T/other.db"
cp "$T/first.db" "$T/new.db" && sql "$T/new.db" 'PRAGMA user_version=99'
fails "a newer pool" 78 "schema version must be 1 to" summary "$T/new.db"
{ head -c 8192 "$T/first.db"; head -c 40000 /dev/zero | tr '\0' 'x'; } >"$T/bad.db"
fails "a damaged pool" 65 "bad.db" verify "$T/bad.db"
for f in "$SRC"/tests/pools/*; do
    case $f in *.sql) rm -f "$T/old.db" && sql "$T/old.db" ".read $f" ;; *.db) cp "$f" "$T/old.db" ;; *) continue ;; esac
    before=$(cksum <"$T/old.db")
    says "a pool of version $(sql "$T/old.db" 'PRAGMA user_version') is read" "inst_id" top "$T/old.db"
    same "and left as it is" "$before" "$(cksum <"$T/old.db")"
done

# ---- what is in it ----
says "summary ends with sentences" "Run 1 ended: ok, iterations 0 to 400" summary "$P"
holds "as JSON it has all sections" json "len(d['runs']) == 1 and d['states'] and d['sentences'] and \
    sum(s['rows'] for s in d['states']) == $(sql "$P" 'SELECT count(*) FROM inst WHERE planted=0')" summary "$P" --json
holds "as CSV it is one table" python3 -c '
import csv, sys, subprocess
rows = list(csv.DictReader(subprocess.run(sys.argv[1:], capture_output=True, text=True, check=True).stdout.splitlines()))
assert {r["section"] for r in rows} >= {"runs", "states", "losses"}, rows
' "$O" summary "$P" --csv
fails "a run that is not there" 66 "--run: must be 1 to 1, got 9" summary "$P" --run 9
same "top gives the rows of the view" "$("$O" top "$P" --limit 0 --csv | tr -d '\r' | tail -n +2 | cut -d, -f1 | sort -n)" \
    "$(sql "$P" 'SELECT inst_id FROM hardest' | sort -n)"
holds "hardest first" json "[r['loss'] for r in d] == sorted((r['loss'] for r in d), reverse=True)" top "$P" --json
holds "of one class" json "d and {r['class'] for r in d} == {'striped'}" top "$P" --json --class striped
holds "of one state" json "d and {r['state'] for r in d} == {'learned'}" top "$P" --json --state learned
holds "or any view" json "d and 'pct_learned' in d[0]" top "$P" --json --view class_report
fails "a view that is not there" 64 "--view" top "$P" --view inst
python3 -c 'import pty, sys; pty.spawn(sys.argv[1:])' "$O" top "$P" --limit 1 >"$T/tty" 2>&1
head -n 1 "$T/tty" | grep -q '^┌' && [ "$(head -c 7 <("$O" top "$P"))" = inst_id ]
result $? "a box is drawn on a terminal only"
key=$(sql "$P" "SELECT lmdb_key FROM inst JOIN sample USING(sample_id) WHERE state=3 AND n_reinj>1 LIMIT 1")
[ -n "$key" ] || key=$(sql "$P" "SELECT lmdb_key FROM inst JOIN sample USING(sample_id) ORDER BY n_reinj DESC LIMIT 1")
id=$(sql "$P" "SELECT inst_id FROM inst JOIN sample USING(sample_id) WHERE lmdb_key='$key'")
says "explain tells when it came and why" "entered the pool: loss" explain "$P" "$key"
grep -q 'trained on again: loss' "$T/out" && grep -q '^  before ' "$T/out"
result $? "each re-injection before and after"
says "and takes an inst_id" "Record $key" explain "$P" "$id"
holds "as JSON it is the events" json "{r['what'] for r in d} >= {'admit', 'reinject'} and d == sorted(d, key=lambda r: (r['run'], r['iter']))" \
    explain "$P" "$key" --json
fails "nobody of that name" 66 "no row has the key" explain "$P" nobody

# ---- as it was ----
as_table() { # NAME: the states after the last iteration are those of the rows
    holds "$1" json "sorted((r['inst_id'], r['state']) for r in d) == sorted(
    (i, 'pending' if s in (0, 1) else {2: 'learned', 3: 'quarantined', 4: 'excluded', 6: 'control'}[s]) for i, s in
    [$(sql "$P" "SELECT '('||inst_id||','||state||'),' FROM inst WHERE state<>5 AND planted=0")])" at "$P" --limit 0 --json
}
as_table "at the end of a run is what the table says"
holds "at 200 nothing of later is known" json "d and all(r['since'] <= 200 and r['loss_iter'] <= 200 for r in d)" \
    at "$P" --iter 200 --limit 0 --json
says "and people are told what is not" "What the events do not tell" at "$P" --iter 200
fails "beyond the end" 64 "has the iterations 0 to 400, got 401" at "$P" --iter 401

# ---- names that have a meaning in URIs ----
odd="$T/100% odd?#.db"
cp "$P" "$odd"
says "a name with %, ? and # is a name" "inst_id" top "$odd" --limit 1
fails "unmark makes no file" 66 "there is no such file" unmark "$odd" "$key"
[ ! -e "$odd.verdicts" ]
result $? "there is none"
says "mark does" "ignore" mark "$odd" "$key" ignore
says "which explain finds" "no training has read it yet" explain "$odd" "$key"

# ---- a person speaks, the next night obeys ----
says "mark writes the file beside the pool" "$key, image 0: relabel" mark "$P" "$key" relabel --label striped --note "I looked" --who ann
same "not the pool" "$(sql "$P" 'SELECT count(*) FROM verdict') $(sql "$P.verdicts" 'SELECT lmdb_key, new_label, who FROM verdict')" "0 $key|1|ann"
says "explain says that it waits" "no training has read it yet" explain "$P" "$key"
run mark "$P" "$key" ignore
same "a second word replaces the first" "$(sql "$P.verdicts" 'SELECT verdict FROM verdict')" ignore
says "unmark takes it back" "1 verdict taken back" unmark "$P" "$key"
fails "once" 66 "no verdict is about" unmark "$P" "$key"
fails "a relabel wants its label" 64 "--label: goes with relabel" mark "$P" "$key" relabel
fails "which must be one" 64 "got 'spotted'" mark "$P" "$key" relabel --label spotted
fails "a verdict must be one" 64 "got 'bad'" mark "$P" "$key" bad
run mark "$P" "$id" mislabelled --who ann
night "$P" 4 20000 two &
for ((i = 0; i < 100; i++)); do
    run summary "$P" --json && grep -q '"status":"running"' "$T/out" && break
    sleep 0.05
done
[ $rc = 0 ] && grep -q 'Run 2 is running' "$T/out"
result $? "summary answers while training runs"
fails "prune does not" 75 "locked" prune "$P" --keep-runs 1
wait
same "the next night obeyed" "$(sql "$P" "SELECT verdict, who, applied_run FROM verdict WHERE lmdb_key='$key'")" "mislabelled|ann|2"
says "explain says so" "obeyed in run 2" explain "$P" "$key"
says "and the pool holds together" "no finding" verify "$P"
as_table "at the end of the second night too"

# ---- two nights ----
last=$(sql "$P" "SELECT count(*) FROM inst WHERE last_run=2 AND planted=0 AND state=2")
holds "top of a run has the rows last seen in it" json "len(d) == $last" top "$P" --run 2 --state learned --limit 0 --json
holds "explain of a run is what happened in it" json "d and {r['run'] for r in d} == {1}" explain "$P" "$key" --run 1 --json
fails "where a run means nothing it is refused" 64 "--run: means nothing here" diff "$P" "$P" --run 1
holds "diff of a file with itself is nothing" json "d['changes'] == [] and d['classes'][-1]['change'] == 0" diff "$P" "$P" --json
holds "diff of two nights counts as SQL does" json "d['classes'][-1]['learned'] == $(sql "$P" "ATTACH '$T/first.db' AS a;
    SELECT count(*) FROM inst JOIN sample USING(sample_id) WHERE state=2 AND planted=0 AND lmdb_key NOT IN
    (SELECT lmdb_key FROM a.inst JOIN a.sample USING(sample_id) WHERE planted=0 AND state IN(2,3))")" diff "$T/first.db" "$P" --json --limit 0
says "runs of one file can be compared" "all " diff "$P" --runs 1 2
cp "$P" "$T/worse.db"
sql "$T/worse.db" "UPDATE inst SET state=0, loss_ema=loss_ema+2 WHERE state=2 AND label=1"
worse=$(sql "$P" "SELECT count(*) FROM inst WHERE state=2 AND label=1 AND planted=0")
holds "a class that got worse is seen" json "[(c['class'], c['regressed']) for c in d['classes'] if c['regressed']] == [('striped', $worse), ('all', $worse)]" \
    diff "$P" "$T/worse.db" --json
fails "--fail-on-regression ends with 65" 65 "at most 0 rows may regress, got $worse" diff "$P" "$T/worse.db" --fail-on-regression
says "so many are allowed" "$worse regressed" diff "$P" "$T/worse.db" --fail-on-regression "$worse"
fails "--margin is about a class's mean loss" 65 "class 'striped' may rise by 0.1" diff "$P" "$T/worse.db" --margin 0.1

# ---- labels out and in ----
run mark "$P" 00000017 relabel --label striped --who ann --note 'a "word"'
run mark "$P" 00000003 relabel --label 0
rm -f "$T/o.jsonl"
says "labels go out as overlay" "3 lines of 3 verdicts" export "$P" "$T/o.jsonl" --labels jsonl
fails "a file is not overwritten" 73 "exists" export "$P" "$T/o.jsonl" --labels jsonl
says "as COCO" "3 images" export "$P" "$T/o.json" --labels coco
says "as VOC" "3 images" export "$P" "$T/voc" --labels voc
wanted=$(sql "$P.verdicts" "SELECT lmdb_key, kind, slot, new_label FROM verdict WHERE verdict='relabel' ORDER BY 1")
for f in o.jsonl o.json voc; do
    rm -f "$T/back"
    says "and come back from $f" "2 differ and are relabelled" import "$P" "$T/$f" --verdicts "$T/back"
    same "to the same verdicts" "$wanted" "$(sql "$T/back" "SELECT lmdb_key, kind, slot, new_label FROM verdict WHERE verdict='relabel' ORDER BY 1")"
done
says "suspects go out too" "suspects" export "$P" "$T/s.json" --labels coco --what suspects
says "and come back unchanged" "0 differ" import "$P" "$T/s.json" --dry-run
echo '{"images": [{"id": 1,]}' >"$T/broken.json"
fails "broken JSON has its place" 65 "broken.json:1:22" import "$P" "$T/broken.json"
sed 's/striped/spotted/' "$T/voc/00000017.xml" >"$T/00000017.xml"
fails "an unknown class has its line" 65 "00000017.xml:4: object: name must be one of" import "$P" "$T/00000017.xml"
same "all rows as CSV" "$("$O" export "$P" - --rows csv | wc -l)" $(($(sql "$P" 'SELECT count(*) FROM inst') + 1))
holds "and as JSON Lines" python3 -c '
import json, subprocess, sys
assert len([json.loads(l) for l in subprocess.run(sys.argv[1:], capture_output=True, check=True).stdout.splitlines()]) > 50
' "$O" export "$P" - --rows jsonl

# ---- merge ----
holds "another machine trains" night "$T/other-pool.db" 9 300 three
says "pools are merged" "3 runs of 2 pools" merge "$T/m.db" "$P" "$T/other-pool.db"
sums="SELECT sum(n_seen), sum(n_reinj), sum(n_contra) FROM inst"
same "counts are added" "$(sql "$T/m.db" "$sums")" "$(sql "$P" "ATTACH '$T/other-pool.db' AS b; SELECT (SELECT sum(n_seen) FROM inst)+(SELECT sum(n_seen) FROM b.inst),
    (SELECT sum(n_reinj) FROM inst)+(SELECT sum(n_reinj) FROM b.inst), (SELECT sum(n_contra) FROM inst)+(SELECT sum(n_contra) FROM b.inst)")"
same "the latest look wins" "$(sql "$T/m.db" "ATTACH '$T/other-pool.db' AS b; SELECT count(*) FROM inst i JOIN sample s USING(sample_id) JOIN b.sample t USING(lmdb_key)
    JOIN b.inst j ON j.sample_id=t.sample_id AND j.kind=i.kind AND j.slot=i.slot WHERE i.last_run=3 AND i.loss=j.loss")" "$(sql "$T/other-pool.db" 'SELECT count(*) FROM inst')"
says "the merged pool holds together" "no finding" verify "$T/m.db"
fails "an existing file is not replaced" 73 "exists" merge "$T/m.db" "$P" "$T/other-pool.db"
fails "a copy of a pool is not merged with it" 78 "is in another one too" merge "$T/m2.db" "$P" "$T/first.db"
sql "$T/other-pool.db" "UPDATE dataset SET fingerprint='0'"
fails "nor pools of other data" 78 "same data set" merge "$T/m2.db" "$P" "$T/other-pool.db"
[ -z "$(ls "$T" | grep m2)" ]
result $? "and nothing is left of it"

# ---- verify finds what is broken ----
broken() { # NAME SQL
    rm -f "$T"/v.db* && cp "$T/first.db" "$T/v.db" && sql "$T/v.db" "$2"
    want=65
    run verify "$T/v.db"
    [ $rc = 65 ] && grep -qF "$1" "$T/out"
    result $? "verify finds: $1"
}
broken "a count is negative" "UPDATE inst SET n_seen=-1 WHERE inst_id=1"
broken "a weight that does not fit the state" "UPDATE inst SET weight=0.5 WHERE inst_id=(SELECT min(inst_id) FROM inst WHERE state=2)"
broken "a loss above the worst one" "UPDATE inst SET loss_max=-1"
broken "a row that never entered" "DELETE FROM event WHERE sample_id=(SELECT sample_id FROM inst WHERE planted=0 LIMIT 1)"
broken "an event out of order" "UPDATE event SET iter=100000 WHERE event_id=5"
broken "an event out of order" "UPDATE event SET iter=iter-2, why='a person says hard' WHERE event_id=(SELECT max(event_id) FROM event)"
cp "$T/first.db" "$T/said.db"
sql "$T/said.db" "UPDATE event SET iter=(SELECT iter+1 FROM event WHERE event_id=6), why='a person says hard' WHERE event_id=5"
says "an order is obeyed before the losses of the iteration before come in" "no finding" verify "$T/said.db"
broken "an event of a run that is not on record" "UPDATE event SET run_id=7 WHERE event_id=5"
broken "a batch with more rows than it says" "UPDATE reinj SET n=1"
broken "a batch whose mean loss" "UPDATE reinj SET loss_before=99, n=(SELECT count(*) FROM reinj_item t WHERE t.reinj_id=reinj.reinj_id)"
broken "a reference to a row that is not there" "UPDATE reinj_item SET inst_id=999999 WHERE reinj_id=(SELECT min(reinj_id) FROM reinj_item)"
broken "superseded in a run that was not resumed" "UPDATE event SET superseded=1 WHERE event_id=3"
broken "a table, view or column is missing" "DROP VIEW hardest"
broken "a verdict that cannot be meant" "INSERT INTO verdict(inst_id,verdict) VALUES(1,'relabel')"

# ---- prune ----
cp "$P" "$T/p.db"
events=$(sql "$P" 'SELECT count(*) FROM event WHERE run_id=2')
run prune "$T/p.db" --keep-runs 1 --older-than 3650 --dry-run --json
cp "$T/out" "$T/dry"
same "a dry run changes nothing" "$(sql "$T/p.db" 'SELECT count(*) FROM event')" "$(sql "$P" 'SELECT count(*) FROM event')"
says "prune" "gone" prune "$T/p.db" --keep-runs 1 --older-than 3650 --vacuum
same "keeps the last run's events only" "$(sql "$T/p.db" 'SELECT count(*) FROM event')" "$events"
same "and all rows that are not old" "$(sql "$T/p.db" 'SELECT count(*) FROM inst')" "$(sql "$P" 'SELECT count(*) FROM inst')"
sql "$T/p.db" "UPDATE run SET ended='2000-01-01T00:00:00Z'; INSERT INTO verdict(inst_id,verdict) VALUES($(sql "$P" 'SELECT min(inst_id) FROM inst WHERE state=2'),'hard')"
sql "$T/p.db" "UPDATE inst SET state=3, weight=0.2 WHERE inst_id=(SELECT max(inst_id) FROM inst WHERE state=2 AND planted=0);
    INSERT INTO event(run_id,iter,inst_id,sample_id,what) SELECT 2, 20000, inst_id, sample_id, 'quarantine' FROM inst WHERE state=3"
kept=$(sql "$T/p.db" "SELECT count(*) FROM inst WHERE state IN(3,4) OR inst_id=(SELECT min(inst_id) FROM inst WHERE state=2) OR inst_id IN (SELECT inst_id FROM verdict)")
run prune "$T/p.db" --older-than 30
same "old rows go, but not the quarantined, excluded and marked" "$(sql "$T/p.db" 'SELECT count(*) FROM inst')" "$kept"
says "what is left holds together" "no finding" verify "$T/p.db"
fails "an older pool is not written to" 78 "open it once with ohemtrain" prune "$T/old.db" --keep-runs 1

echo "1..$n"
