#!/bin/bash
# it_train.sh - ohemtrain from outside: what a run leaves behind, how it is stopped, killed, resumed
# and starved, and what it says then.
#
# TAP on stdout.  B is the build folder (default build/release).  The data is made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohemtrain
mounted=
trap '[ -z "$mounted" ] || umount "$mounted"; rm -rf "$T"' EXIT

run() { # ARGS...: sets rc, $T/out, $T/err
    timeout 120 "$O" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

ends() { # NAME RC TEXT ARGS...: text on stderr
    local name=$1 code=$2 text=$3
    shift 3
    run "$@"
    [ $rc = "$code" ] && { [ -z "$text" ] || grep -qF -- "$text" "$T/err"; }
    result $? "$name"
}

holds() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$T/err" 2>&1
    result $? "$name"
}

await() { # FILE SECONDS: until it is there
    local i
    for ((i = 0; i < $2 * 20; i++)); do
        [ ! -s "$1" ] || return 0
        sleep 0.05
    done
    return 1
}

# ---- 100 images of 12 x 12 in two classes; every tenth label is wrong ----
two_classes
holds "the data is made" "$B/ohemdata" idx "$T/images" "$T/labels" "$T/d.lmdb"

net() { # FILE LMDB OUTPUTS
    cat >"$1" <<END
layer { name: 'data' type: 'Data' top: 'data' top: 'label' top: 'weight' include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  data_param { source: '$2' batch_size: 8 backend: LMDB shuffle: true } }
layer { name: 'data' type: 'Data' top: 'data' top: 'label' include { phase: TEST }
  transform_param { scale: 0.00390625 }
  data_param { source: '$2' batch_size: 10 backend: LMDB } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip'
  inner_product_param { num_output: $3 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'ip' bottom: 'label' bottom: 'weight'
  top: 'loss' top: 'prob' top: 'each' include { phase: TRAIN } }
layer { name: 'acc' type: 'Accuracy' bottom: 'ip' bottom: 'label' top: 'acc' include { phase: TEST } }
END
}
conf() { # FILE NET RUN_DIR LINES...
    local file=$1 net=$2 dir=$3
    shift 3
    {
        echo "net: '$net' run_dir: '$dir' base_lr: 0.1 momentum: 0.9 lr_policy: 'fixed'"
        echo "test_iter: 10 test_interval: 20 display: 10 snapshot: 20 random_seed: 3 threads: 1"
        echo "mining { warmup: 0 window: 16 quantile: 0.5 cooldown: 2 flush_s: 0.1 }"
        printf '%s\n' "$@"
    } >"$file"
}
net "$T/net" "$T/d.lmdb" 2

# ---- a run from beginning to end ----
conf "$T/a.conf" "$T/net" "$T/a" "max_iter: 60"
ends "--check ends well" 0 "" --check "$T/a.conf"
holds "and prints the layers" grep -q "InnerProduct" "$T/out"
[ ! -e "$T/a" ] && [ ! -e runs/a ]
result $? "--check makes no run folder"
ends "auto says which device it takes" 0 "device: auto: c" --check --device auto "$T/a.conf"
ends "what only a GPU has is said once" 0 "compute, workspace_mb: of a GPU" --check --device cpu \
    --set compute=BF16 --set workspace_mb=99 --set deterministic=true "$T/a.conf"
[ "$(grep -c 'of a GPU' "$T/err")" = 1 ]
result $? "in one line"
ends "a computation that is none" 78 "compute" --check --set compute=FP64 "$T/a.conf"
ends "--time ends well" 0 "" --time=3 "$T/a.conf"
holds "and prints the milliseconds" grep -q "forward ms" "$T/out"
[ ! -e "$T/a" ]
result $? "--time makes no run folder"
ends "a run ends well" 0 "60 iterations" "$T/a.conf"
holds "its result goes to stdout" grep -q "acc = " "$T/out"
for f in a_iter_60.caffemodel a_iter_60.solverstate a_iter_60.otstate a_iter_40.solverstate \
    pool.db metrics.jsonl train.log results.txt; do
    holds "it leaves $f" test -s "$T/a/$f"
done
holds "every line of metrics.jsonl is JSON" python3 -c '
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert sum(l["kind"] in ("train", "pool") for l in lines) == 60, len(lines)
assert sum(l["kind"] == "test" for l in lines) == 4, [l for l in lines if l["kind"] == "test"]
' "$T/a/metrics.jsonl"
sql() { # FILE QUERY
    sqlite3 -batch -cmd '.timeout 5000' "$1" "$2"
}
[ "$(sql "$T/a/pool.db" 'PRAGMA integrity_check')" = ok ]
result $? "the pool is whole"
[ "$(sql "$T/a/pool.db" 'SELECT count(*) FROM hardest LIMIT 10' 2>>"$T/err")" -gt 0 ]
result $? "and has hard examples"
[ "$(sql "$T/a/pool.db" "SELECT status FROM run")" = ok ]
result $? "the run's row says ok"
holds "Caffe's log lines are in the log" grep -q "Train net output #[0-9]*: loss = .*loss)" "$T/a/train.log"
ends "--test of the weights gives the same numbers" 0 "" --test --weights "$T/a/a_iter_60.caffemodel" "$T/a.conf"
[ "$(awk '{ printf "%s %.3f ", $1, $3 }' "$T/a/results.txt")" = "$(awk '{ printf "%s %.3f ", $1, $3 }' "$T/out")" ]
result $? "as the run itself"
ends "a finished run resumes to its end" 0 "" --resume "$T/a.conf"
ends "a second run moves the first one away" 0 "moved to" --set mining.carry=false "$T/a.conf"
holds "to previous/" test -s "$T/a/previous/a_iter_60.caffemodel"
cmp -s "$T/a/a_iter_60.caffemodel" "$T/a/previous/a_iter_60.caffemodel"
result $? "and gives the same weights to the bit"
same="SELECT count(DISTINCT model_hash) FROM snapshot WHERE iter = 60 AND bytes > 0 AND path LIKE '%.caffemodel'"
more="SELECT count(DISTINCT model_hash) > 1 FROM snapshot"
[ "$(sql "$T/a/pool.db" "$same; $more" | tr '\n' ' ')" = "1 1 " ]
result $? "which the pool file knows by their hash"
! grep -q "taken over" "$T/a/train.log"
result $? "it takes over nothing where that is switched off"
ends "a third run" 0 "moved to" --set mining.thermometer=0.1 "$T/a.conf"
holds "takes over what the pool knows" grep -q "taken over from earlier runs: [1-9]" "$T/a/train.log"
holds "says what mining did" grep -q "control group: " "$T/a/train.log"
holds "and how many wrong labels it finds" grep -q "thermometer: of [1-9]" "$T/a/train.log"
ends "fine-tuning from weights that are moved away" 0 "" --weights "$T/a/a_iter_60.caffemodel" "$T/a.conf"

conf "$T/late.conf" "$T/net" "$T/late" "max_iter: 40"
ends "a run without mining" 0 "" --no-mining --set snapshot=20 "$T/late.conf"
rm "$T"/late/late_iter_40.*
cp "$T/a/pool.db" "$T/late/"
ends "is resumed with it" 0 "resumed from" --resume "$T/late.conf"
holds "and takes over what the pool knows" grep -q "taken over from earlier runs: [1-9]" "$T/late/train.log"

# ---- corrected labels ----
conf "$T/o.conf" "$T/net" "$T/o" "max_iter: 60 label_overlay: '$T/o.jsonl'"
key=$(sql "$T/a/pool.db" "SELECT lmdb_key FROM sample LIMIT 1")
echo "{\"key\": \"$key\", \"label\": 1}" >"$T/o.jsonl"
ends "label_overlay is read" 0 "" "$T/o.conf"
[ "$(sql "$T/o/pool.db" "SELECT source, outcome FROM verdict")" = "overlay|obeyed" ]
result $? "and obeyed"
ends "without mining too" 0 "corrections of 1 labels" --no-mining "$T/o.conf"
echo '{"key": "nobody", "label": 1}' >>"$T/o.jsonl"
ends "a wrong line is named" 65 "o.jsonl:2: key: must be one of the data set's, got 'nobody'" "$T/o.conf"
ends "without mining too" 65 "o.jsonl:2: key: must be one of the data set's, got 'nobody'" --no-mining "$T/o.conf"
ends "--check names it as well" 65 "o.jsonl:2: key: must be one of the data set's, got 'nobody'" --check "$T/o.conf"
sed "s/top: 'weight'//; s/bottom: 'weight'//" "$T/net" >"$T/caffe.net"
conf "$T/caffe.conf" "$T/caffe.net" "$T/caffe" "max_iter: 40"
ends "a net of Caffe's is mined" 0 "no weights from the data layer: no thermometer" "$T/caffe.conf"
[ "$(sql "$T/caffe/pool.db" "SELECT count(*) > 0, sum(planted) FROM inst")" = "1|0" ]
result $? "and nothing is planted in it"

# ---- stopped and resumed ----
slow() { # NAME LINES...: long enough to be met alive; the schedule is that of the whole run
    local name=$1
    shift
    conf "$T/$name.conf" "$T/net" "$T/$name" "max_iter: 20000 snapshot_keep: 0" "$@"
    sed -i 's/test_interval: 20/test_interval: 0/; s/snapshot: 20/snapshot: 2000/' "$T/$name.conf"
}
slow whole
run "$T/whole.conf"
slow b
"$O" "$T/b.conf" >"$T/out" 2>"$T/err" &
pid=$!
await "$T/b/b_iter_2000.solverstate" 30
while kill -0 $pid 2>/dev/null; do # the file is written once a second; at some moments nothing waits
    hardest=$(sql "$T/b/pool.db" 'SELECT * FROM hardest LIMIT 10' 2>>"$T/err")
    [ -z "$hardest" ] || break
    sleep 0.05
done
[ -n "$hardest" ] && kill -0 $pid
result $? "the pool answers while the run goes on"
ends "a second run of the same folder is told who has it" 75 "pid $pid" "$T/b.conf"
kill -INT $pid
wait $pid
rc=$?
[ $rc = 75 ] && [ "$(sql "$T/b/pool.db" "SELECT status FROM run")" = interrupted ]
result $? "SIGINT ends a run with 75 and the pool knows"
state=$(ls -v "$T"/b/*.solverstate | tail -1)
[ "$state" != "$T/b/b_iter_20000.solverstate" ] && [ -s "$state" ]
result $? "it left a snapshot of where it was"
ends "--resume goes on from there" 0 "resumed from $state" --resume "$T/b.conf"
cmp -s "$T/b/b_iter_20000.caffemodel" "$T/whole/whole_iter_20000.caffemodel"
result $? "and ends with the weights of an undisturbed run"
pool() { # FILE: the rows of the pool in a way that knows of no run
    sql "$1" 'SELECT lmdb_key, kind, slot, label, state, n_seen, n_reinj, loss, loss_ema, loss_max, last_iter
              FROM inst JOIN sample USING(sample_id) WHERE state < 5 ORDER BY 1, 2, 3' 2>>"$T/err"
}
events() { # FILE: what happened to them
    sql "$1" 'SELECT what, iter, lmdb_key, loss FROM event LEFT JOIN sample USING(sample_id)
              WHERE superseded = 0 ORDER BY 2, 1, 3, 4;
              SELECT iter, n, loss_before, loss_after FROM reinj WHERE superseded = 0 ORDER BY 1' \
        2>>"$T/err"
}
[ -n "$(pool "$T/b/pool.db")" ] && [ "$(pool "$T/b/pool.db")" = "$(pool "$T/whole/pool.db")" ]
result $? "and with the same pool"
[ -n "$(events "$T/b/pool.db")" ] && [ "$(events "$T/b/pool.db")" = "$(events "$T/whole/pool.db")" ]
result $? "which came about in the same way"
[ "$(sql "$T/b/pool.db" 'SELECT parent_run_id FROM run ORDER BY run_id DESC LIMIT 1')" = 1 ]
result $? "which knows whose run went on"

# ---- steered while it runs ----
until_is() { # VALUE QUERY: of the pool, within ten seconds and while the run goes on
    local i
    for ((i = 0; i < 200; i++)); do
        [ "$(sql "$T/v/pool.db" "$2" 2>>"$T/err")" != "$1" ] || break
        sleep 0.05
    done
    [ $i -lt 200 ] && kill -0 $pid
}
slow v "max_iter: 20000000"
sed -i 's/max_iter: 20000 / /; s/snapshot: 2000/snapshot: 100000/' "$T/v.conf"
"$O" "$T/v.conf" >"$T/out" 2>"$T/err" &
pid=$!
await "$T/v/pool.db.verdicts" 30
key=$(sql "$T/a/pool.db" "SELECT max(lmdb_key) FROM sample")
sql "$T/v/pool.db.verdicts" "INSERT INTO verdict(lmdb_key, verdict, new_label) VALUES('$key', 'relabel', 1)"
until_is "1" "SELECT count(*) FROM verdict WHERE source = 'file' AND outcome = 'obeyed'"
result $? "a verdict is obeyed while it runs"
sql "$T/v/pool.db.verdicts" "DELETE FROM verdict"
until_is "0" "SELECT count(*) FROM verdict"
result $? "and taken back"
kill -INT $pid
wait $pid

# ---- killed ----
slow k
"$O" "$T/k.conf" >"$T/out" 2>"$T/err" &
pid=$!
await "$T/k/k_iter_2000.solverstate" 30
sleep 0.3
kill -9 $pid
wait $pid 2>/dev/null
[ "$(sql "$T/k/pool.db" 'PRAGMA integrity_check')" = ok ]
result $? "kill -9 leaves a pool that is whole"
printf '{"t":1' >>"$T/k/metrics.jsonl" # half a line
ends "and a run that resumes" 0 "resumed from" --resume "$T/k.conf"
cmp -s "$T/k/k_iter_20000.caffemodel" "$T/whole/whole_iter_20000.caffemodel"
result $? "to the same weights"
[ "$(pool "$T/k/pool.db")" = "$(pool "$T/whole/pool.db")" ]
result $? "and the same pool (of its events the last second may be missing)"
holds "a half line in metrics.jsonl stays alone" python3 -c '
import json, sys
bad = 0
for l in open(sys.argv[1]):
    try: json.loads(l)
    except ValueError: bad += 1
assert bad == 1, bad
' "$T/k/metrics.jsonl"

slow h
"$O" "$T/h.conf" >"$T/out" 2>"$T/err" &
pid=$!
await "$T/h/metrics.jsonl" 30
sleep 0.2
kill -HUP $pid
sleep 0.05
kill -HUP $pid
wait $pid
rc=$?
[ $rc = 0 ] && ls "$T"/h/h_iter_*.caffemodel | grep -qv 000.caffemodel
result $? "SIGHUP takes a snapshot and goes on"

# ---- where it cannot write ----
conf "$T/f.conf" "$T/net" "$T/file/run" "max_iter: 20"
echo x >"$T/file"
ends "a run folder below a file" 73 "$T/file" "$T/f.conf"
if [ "$(id -u)" != 0 ]; then
    mkdir "$T/ro" && chmod 500 "$T/ro"
    conf "$T/ro.conf" "$T/net" "$T/ro/run" "max_iter: 20"
    ends "a run folder that may not be made" 77 "$T/ro" "$T/ro.conf"
else
    skip "a run folder that may not be made" "root may"
fi
conf "$T/p.conf" "$T/net" "/proc/nothing/run" "max_iter: 20"
run "$T/p.conf"
{ [ $rc = 73 ] || [ $rc = 77 ]; } && [ "$(grep -c '^ohemtrain: ' "$T/err")" = 1 ]
result $? "a run folder where there cannot be one"

mkdir "$T/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=5m none "$T/small" 2>/dev/null; then
    mounted=$T/small
    net "$T/big" "$T/d.lmdb" 600
    conf "$T/full.conf" "$T/big" "$T/small/run" "max_iter: 200 snapshot_keep: 0"
    ends "a full disk ends the run with 74" 74 "$T/small/run" "$T/full.conf"
    [ "$(grep -c '^ohemtrain: ' "$T/err")" = 1 ]
    result $? "one line says so"
    ends "and the older snapshot is whole" 0 "resumed from $T/small/run/full_iter_" \
        --resume --set snapshot=0 --set snapshot_after_train=false "$T/full.conf"
    umount "$T/small" && mounted=
else
    skip "a full disk ends the run with 74" "no tmpfs here"
    skip "one line says so" "no tmpfs here"
    skip "and the older snapshot is whole" "no tmpfs here"
fi
net "$T/big" "$T/d.lmdb" 600
conf "$T/limit.conf" "$T/big" "$T/limit" "max_iter: 60"
(
    ulimit -f 300 # KiB: the weights have 340
    trap '' XFSZ
    timeout 60 "$O" "$T/limit.conf" >"$T/out" 2>"$T/err"
)
rc=$?
[ $rc = 74 ] && [ "$(grep -c '^ohemtrain: ' "$T/err")" = 1 ] && [ -z "$(ls "$T/limit" | grep caffemodel)" ]
result $? "a file that cannot grow ends the run with 74 and leaves nothing half-written"

# ---- bad data ----
conf "$T/nan.conf" "$T/net" "$T/nan" "max_iter: 60"
ends "a loss that is no number" 70 "lower base_lr" --set base_lr=1e38 "$T/nan.conf"
mkdir "$T/bad.lmdb" && head -c 20000 /dev/zero | tr '\0' 'x' >"$T/bad.lmdb/data.mdb"
net "$T/badnet" "$T/bad.lmdb" 2
conf "$T/bad.conf" "$T/badnet" "$T/bad" "max_iter: 20"
ends "an LMDB that is none" 65 "$T/bad.lmdb" "$T/bad.conf"
mkdir "$T/cut.lmdb" && head -c 9000 "$T/d.lmdb/data.mdb" >"$T/cut.lmdb/data.mdb"
net "$T/cutnet" "$T/cut.lmdb" 2
conf "$T/cut.conf" "$T/cutnet" "$T/cut" "max_iter: 20"
ends "an LMDB that was cut" 65 "$T/cut.lmdb" "$T/cut.conf"
[ ! -e "$T/cut" ] && [ ! -e "$T/bad" ]
result $? "no run folder is made for it"
net "$T/one" "$T/d.lmdb" 1
conf "$T/one.conf" "$T/one" "$T/one-run" "max_iter: 20"
ends "a label beyond the classes names layer, instance and value" 65 "label 1 is outside [0, 1)" \
    --set test_initialization=false "$T/one.conf"
grep -q "layer 'loss': instance [0-9]*:" "$T/err"
result $? "all three"
net "$T/three" "$T/d.lmdb" 3
conf "$T/three.conf" "$T/three" "$T/three-run" "max_iter: 20"
ends "weights of another shape name layer, blob and both shapes" 78 \
    "layer 'ip': blob 0: the weights have shape 2x144, the net wants 3x144" \
    --weights "$T/a/a_iter_60.caffemodel" "$T/three.conf"
[ ! -e "$T/three-run" ]
result $? "no run folder is made for them"
if python3 - "$T" 2>"$T/err" <<'END'; then
import struct, sys, zlib
t = sys.argv[1]
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
with open(t + "/list", "w") as f:
    for i in range(20):
        raw = b"".join(b"\0" + bytes([10 * i] * 12) for _ in range(12))
        with open("%s/i%02d.png" % (t, i), "wb") as p:
            p.write(b"\x89PNG\r\n\x1a\n"
                    + chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 12, 8, 0, 0, 0, 0))
                    + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
        f.write("i%02d.png %d\n" % (i, i % 2))
END
    "$B/ohemdata" images "$T/list" "$T" "$T/png.lmdb" --encoded >"$T/out" 2>"$T/err" &&
        python3 -c '
import sys
db, picture = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
assert db.count(picture) == 1
open(sys.argv[1], "wb").write(db.replace(picture, picture[:50] + bytes(len(picture) - 50)))
' "$T/png.lmdb/data.mdb" "$T/i13.png" 2>>"$T/err"
    result $? "a database with a truncated picture is made"
    net "$T/pngnet" "$T/png.lmdb" 2
    conf "$T/png.conf" "$T/pngnet" "$T/png-run" "max_iter: 20"
    ends "a truncated picture ends the run and names the key" 65 "key '00000013_i13.png'" "$T/png.conf"
    [ "$(grep -c '^ohemtrain: ' "$T/err")" = 1 ]
    result $? "in one line"
else
    result 1 "pictures are made"
fi

echo "1..$n"
