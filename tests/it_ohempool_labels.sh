#!/bin/bash
# it_ohempool_labels.sh - labels of boxes out to annotation tools and back, over a few scenes.
#
# TAP on stdout.  B is the build folder (default build/release).  Data and pool are made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohempool
SRC=$(cd "$(dirname "$0")/.." && pwd)

run() { # ARGS...: sets rc, $T/out, $T/err
    "$O" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

says() { # NAME TEXT ARGS...: on stdout, ending with 0
    local name=$1 text=$2
    want=0
    shift 2
    run "$@"
    [ $rc = 0 ] && grep -qF -- "$text" "$T/out"
    result $? "$name"
}

fails() { # NAME RC TEXT ARGS...: on stderr
    local name=$1 text=$3
    want=$2
    shift 3
    run "$@"
    [ $rc = "$want" ] && grep -qF -- "$text" "$T/err"
    result $? "$name"
}

same() { # NAME A B
    echo "'$2' and '$3'" >"$T/err"
    [ -n "$2" ] && [ "$2" = "$3" ]
    result $? "$1"
}

# ---- six scenes with boxes of ten classes ----
{
    bytes 0 0 8 3 0 0 0 10 0 0 0 28 0 0 0 28
    for ((i = 0; i < 10; i++)); do printf "\\x$(printf %02x $((60 + 15 * i)))%.0s" {1..784}; done
} >"$T/images"
{ bytes 0 0 8 1 0 0 0 10; bytes 0 1 2 3 4 5 6 7 8 9; } >"$T/labels"
"$B/ohemdata" scenes --images "$T/images" --labels "$T/labels" --count 6 --seed 1 --out "$T/s.lmdb" >"$T/out" 2>"$T/err"
result $? "the scenes are made"
P=$T/pool.db
{
    cat "$SRC/mining/schema.sql" "$SRC/mining/views.sql"
    echo "INSERT INTO dataset VALUES(1,'$T/s.lmdb',6,'$(python3 -c '
h = 0xcbf29ce484222325
for c in b"".join(b"%08d" % i for i in range(6)):
    h = ((h ^ c) * 0x100000001b3) & (1 << 64) - 1
print("%016x" % h)')');"
    i=0
    while read -r name; do
        echo "INSERT INTO class VALUES($i,'$name');"
        i=$((i + 1))
    done <"$T/s.lmdb/classes.txt"
    echo "INSERT INTO run(run_id,job,started,status,host,pid,version,config_hash,config_text,seed)
            VALUES(1,'t.conf','2026-01-02T03:04:05Z','ok','h',1,'v','c','',1);
        INSERT INTO sample(sample_id,dataset_id,lmdb_key) VALUES(1,1,'00000000'),(2,1,'00000002');
        INSERT INTO inst(inst_id,sample_id,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,loss_max,loss_first,
            pred,p_label,p_pred,n_seen,n_reinj,n_contra,weight,first_run,first_iter,last_run,last_iter)
            VALUES(1,1,1,0,1,0,0,1,1,3,4,4,4,4,2,.1,.9,3,2,3,0.2,1,1,1,9),
                  (2,2,2,0,0,0,0,1,1,3,4,4,4,4,2,.1,.9,3,2,3,0.2,1,1,1,9);"
} | sqlite3 -batch "$P" >"$T/out" 2>"$T/err"
result $? "a pool about them"

# ---- a kind has two names ----
says "box is a kind, as in an overlay" "00000000, gt 0: ignore" mark "$P" 00000000 ignore --kind box --slot 0 --verdicts "$T/said"
same "the one that gt is" "$(sqlite3 "$T/said" 'SELECT lmdb_key, kind, slot FROM verdict')" "00000000|1|0"
says "which unmark knows too" "gt 0: 1 verdict taken back" unmark "$P" 00000000 --kind box --slot 0 --verdicts "$T/said"
says "and explain" "Record 00000000, gt 0" explain "$P" 00000000 --kind box
same "and top" "$("$O" top "$P" --kind box --state quarantined --csv | cut -d, -f1,3 | tr -d '\r' | tail -n +2)" "1,gt"
for command in "mark $P 00000000 ignore" "explain $P 00000000" "top $P"; do
    fails "another kind is refused by ${command%% *}" 64 "--kind: must be image, gt (or box), background or tile, got 'boxes'" \
        $command --kind boxes
done

# ---- 70 re-injections of one row: the first ten gained 10 each, the other 60 one each ----
echo "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<70)
    INSERT INTO reinj(reinj_id,run_id,iter,n,reason,weight) SELECT i,1,i,1,'a full batch was waiting',1 FROM n;
    INSERT INTO reinj_item SELECT reinj_id,0,1,20,iif(reinj_id<=10,10,19) FROM reinj" | sqlite3 "$P" 2>"$T/err"
says "the mean gain is that of the re-injections that are drawn" "each re-injection, the last 60 (mean gain 1.000)" explain "$P" 1

# ---- out and in again ----
says "suspects go out with all objects of their images" "1 images of 1 suspects" export "$P" "$T/s.json" --labels coco --what suspects
grep -q "1 suspects about background" "$T/err"
result $? "those about background are counted"
boxes=$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["annotations"]))' "$T/s.json")
says "what was not touched agrees" "1 images: $boxes labels agree, 0 differ" import "$P" "$T/s.json" --dry-run
[ ! -e "$P.verdicts" ]
result $? "a dry run writes nothing"
says "VOC too" "1 images of 1 suspects" export "$P" "$T/voc" --labels voc --what suspects
says "agrees" "1 images: $boxes labels agree, 0 differ" import "$P" "$T/voc" --dry-run
grep -q '<model_says>' "$T/voc/00000000.xml"
result $? "the suspect is marked"
python3 - "$T/s.json" "$T/voc/00000000.xml" <<'END' 2>>"$T/err"
import json, re, sys
x, y, w, h = json.load(open(sys.argv[1]))["annotations"][0]["bbox"]
got = [float(v) for v in re.findall(r"<(?:xmin|ymin|xmax|ymax)>([^<]*)<", open(sys.argv[2]).read())[:4]]
assert max(abs(a - b) for a, b in zip(got, [x + 1, y + 1, x + w, y + h])) < 1e-3, (got, x, y, w, h)
END
result $? "VOC counts from 1 and includes the last pixel, COCO has width and height"
python3 - "$T/s.json" "$T/edited.json" <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
a = d["annotations"]
a[0]["category_id"] = 3 if a[0]["category_id"] != 3 else 4   # another class,
a[0]["bbox"][0] += 0.3                                       # the box drawn anew
a.append(dict(a[-1], id=99, bbox=[1, 1, 5, 5]))              # one more object
del a[1]                                                     # one less
json.dump(d, open(sys.argv[2], "w"))
END
new=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["annotations"][0]["category_id"])' "$T/edited.json")
says "another class is a relabel" "$((boxes - 2)) labels agree, 1 differ" import "$P" "$T/edited.json" --who ann
same "of that box" "$(sqlite3 "$P.verdicts" 'SELECT lmdb_key, kind, slot, verdict, new_label, who FROM verdict')" "00000000|1|0|relabel|$new|ann"
grep -q "1 objects of the data set are not in the file: left as they are" "$T/out" && grep -q "1 objects of the file are not in the data set" "$T/out"
result $? "what a verdict cannot say is counted"
says "--deleted says background" "relabelled 0, the background" import "$P" "$T/edited.json" --deleted
same "of the box that is gone" "$(sqlite3 "$P.verdicts" 'SELECT slot, new_label FROM verdict ORDER BY slot' | tr '\n' ' ')" "0|$new 1|0 "
for f in v.jsonl v.json voc2; do
    case $f in *.jsonl) as=jsonl ;; *.json) as=coco ;; *) as=voc ;; esac
    run export "$P" "$T/$f" --labels $as
    rm -f "$T/back"
    run import "$P" "$T/$f" --verdicts "$T/back"
    same "verdicts go out as $as and come back the same" "$(sqlite3 "$T/back" 'SELECT lmdb_key, kind, slot, new_label FROM verdict ORDER BY slot' | tr '\n' ' ')" \
        "00000000|1|0|$new 00000000|1|1|0 "
done
echo '{"key": "00000000", "kind": "box", "slot": 77, "label": 1}' >"$T/slot.jsonl"
fails "a slot that the record does not have" 65 "kind and slot must be of the record, got gt 77" import "$P" "$T/slot.jsonl"
sed 's/"category_id": *[0-9]*/"category_id": 77/' "$T/s.json" >"$T/class.json"
fails "a category that nobody named" 65 "class.json:" import "$P" "$T/class.json"
fails "another data base" 66 "nowhere" export "$P" "$T/x.json" --labels coco --what suspects --db "$T/nowhere.lmdb"
fails "a missing file" 66 "no such file" import "$P" "$T/nowhere.json"
fails "a file of no known form" 64 "must be a folder" import "$P" "$T/labels"
same "a failed import changes no verdict" "$(sqlite3 "$P.verdicts" 'SELECT count(*) FROM verdict')" 2

echo "1..$n"
