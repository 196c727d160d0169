#!/bin/bash
# it_replay.sh - ohempool replay from outside: the log of a run that was killed and resumed, other
# rules, the truth, and what is wrong with the command line or the files.
#
# TAP on stdout.  B is the build folder (default build/release).  The data is made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohemtrain

ends() { # NAME RC TEXT COMMAND...: text on stdout or stderr
    local name=$1 code=$2 text=$3
    shift 3
    want="$code, $text"
    timeout 120 "$@" >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = "$code" ] && cat "$T/out" "$T/err" | grep -qF -- "$text"
    result $? "$name"
}

two_classes
ends "the data is made" 0 "" "$B/ohemdata" idx "$T/images" "$T/labels" "$T/d.lmdb"
for ((i = 0; i < 100; i++)); do printf '%08d %d\n' $i $((i % 2)); done >"$T/truth"
cat >"$T/net" <<END
layer { name: 'data' type: 'Data' top: 'data' top: 'label' top: 'weight' include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  data_param { source: '$T/d.lmdb' batch_size: 8 backend: LMDB shuffle: true } }
layer { name: 'data' type: 'Data' top: 'data' top: 'label' include { phase: TEST }
  transform_param { scale: 0.00390625 }
  data_param { source: '$T/d.lmdb' batch_size: 10 backend: LMDB } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip'
  inner_product_param { num_output: 2 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'ip' bottom: 'label' bottom: 'weight'
  top: 'loss' top: 'prob' top: 'each' include { phase: TRAIN } }
layer { name: 'acc' type: 'Accuracy' bottom: 'ip' bottom: 'label' top: 'acc' include { phase: TEST } }
END
cat >"$T/r.conf" <<END
net: '$T/net' run_dir: '$T/run' base_lr: 0.1 momentum: 0.9 lr_policy: 'fixed'
display: 1000 snapshot: 100 test_interval: 150 test_iter: 1 random_seed: 3 threads: 1 max_iter: 400
mining { warmup: 0 window: 16 quantile: 0.8 cooldown: 2 loss_log: 'looks.log' flush_s: 0.05 sentinel: 20 }
END

ends "a run writes its loss log" 75 "max_time_s" "$O" "$T/r.conf" --set max_time_s=0.001
ends "and goes on with it" 0 "resumed from" "$O" "$T/r.conf" --resume
ends "every decision is reproduced" 0 "iterations 0 to 399, resumed 1 times, 3 tests of the sentinel set: " \
    "$B/ohempool" replay "$T/run/looks.log"
long=(--set "run_dir=$T/killed" --set max_iter=1000000 --set max_time_s=0.5)
sql=$(command -v sqlite3)
newest() { ls -t "$T/killed"/*.otstate 2>/dev/null | head -n 1; }
comes() { # a snapshot that was not there, within 30 s
    local was=$1 k
    for ((k = 0; k < 600; k++)); do
        [ "$(newest)" != "$was" ] && return
        sleep 0.05
    done
}
for resume in "" --resume; do
    was=$(newest)
    "$O" "$T/r.conf" "${long[@]}" --set max_time_s=60 $resume >/dev/null 2>&1 &
    comes "$was"
    # a person marks what is being trained on
    [ -z "$sql" ] || "$sql" "$T/killed/pool.db" ".timeout 5000" "INSERT INTO verdict(inst_id,verdict)
        SELECT inst_id,'mislabelled' FROM inst ORDER BY loss DESC LIMIT 2" 2>>"$T/err"
    comes "$(newest)"
    kill -9 $!
    wait $! 2>/dev/null
done
ends "what a run killed twice has logged is reproduced" 0 "resumed 1 times" \
    "$B/ohempool" replay "$T/killed/looks.log"
ends "and what it does then" 75 "resumed from" "$O" "$T/r.conf" "${long[@]}" --resume
ends "to its end" 0 "resumed 2 times" "$B/ohempool" replay "$T/killed/looks.log"
if [ -n "$sql" ]; then
    ends "verdicts are obeyed again" 0 " times new verdicts" \
        "$B/ohempool" replay "$T/killed/looks.log"
else
    skip "verdicts are obeyed again" "no sqlite3"
fi
ends "as JSON" 0 '"first_iter":0,"last_iter":399,"resumes":1,"gaps":0,"ended":true,' \
    "$B/ohempool" replay "$T/run/looks.log" --json
ends "by the rules of a config" 0 "other     all" \
    "$B/ohempool" replay "$T/run/looks.log" --policy "$T/r.conf" --set mining.policy=NAIVE
echo 'mining { quantile: 0.7 warmup: 0 window: 16 }' >"$T/block"
ends "by those of a bare block, as CSV" 0 "other,all," \
    "$B/ohempool" replay "$T/run/looks.log" --policy "$T/block" --csv
ends "with the truth: ten labels of a hundred are wrong" 0 \
    '"wrong":10,"precision":' "$B/ohempool" replay "$T/run/looks.log" --truth "$T/truth" --json

ends "--run is refused: a log is of one run" 64 "--run: means nothing here, got 2" \
    "$B/ohempool" replay "$T/run/looks.log" --run 2
ends "no log is a usage error" 64 "usage: ohempool replay" "$B/ohempool" replay
ends "so is a --set of anything else" 64 "mining.FIELD=VALUE" \
    "$B/ohempool" replay "$T/run/looks.log" --set base_lr=1
ends "an unknown field is named" 78 'no field named "quantil"' \
    "$B/ohempool" replay "$T/run/looks.log" --set mining.quantil=1
ends "a value out of range as well" 78 "mining.quantile: must be in [0, 1], got 7" \
    "$B/ohempool" replay "$T/run/looks.log" --set mining.quantile=7
echo 'base_lr: 1' >"$T/none"
ends "a config without mining is no policy" 78 "no mining block" \
    "$B/ohempool" replay "$T/run/looks.log" --policy "$T/none"
ends "a log that is not there" 66 "cannot open" "$B/ohempool" replay "$T/nothing"
ends "a file that is no log" 65 "is not a loss log" "$B/ohempool" replay "$T/truth"
echo 'nobody 1' >"$T/foreign"
ends "a truth about strangers" 65 "foreign:1:1: the log knows no sample 'nobody'" \
    "$B/ohempool" replay "$T/run/looks.log" --truth "$T/foreign"
size=$(stat -c %s "$T/run/looks.log")
head -c $((size - 5)) "$T/run/looks.log" >"$T/torn"
ends "a torn log is read to its last whole record" 0 "the log has no end" \
    "$B/ohempool" replay "$T/torn"
cp "$T/run/looks.log" "$T/bad"
printf 'x' | dd of="$T/bad" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
ends "a damaged one is refused" 65 "is damaged: wrong checksum of the record at byte" \
    "$B/ohempool" replay "$T/bad"

echo "1..$n"
