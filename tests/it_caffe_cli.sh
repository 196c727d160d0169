#!/bin/bash
# it_caffe_cli.sh - ohemtrain called as people call the `caffe` tool: sub-commands, flags with one
# dash or two, the effect of signals, and a log that Caffe's log parsers read.
#
# TAP on stdout.  B is the build folder (default build/release).  The data is made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohemtrain

run() { # ARGS...: sets rc, $T/out, $T/err
    timeout 120 "$O" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

ends() { # NAME RC TEXT ARGS...: text on stdout or stderr
    local name=$1 code=$2 text=$3
    shift 3
    want="$code $text"
    run "$@"
    [ $rc = "$code" ] && { [ -z "$text" ] || grep -qF -- "$text" "$T/out" "$T/err"; }
    result $? "$name"
}

holds() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$T/err" 2>&1
    result $? "$name"
}

# ---- 60 images of 8 x 8 in two classes, a net, a solver ----
{
    bytes 0 0 8 3 0 0 0 60 0 0 0 8 0 0 0 8
    for ((i = 0; i < 30; i++)); do
        printf 'a%.0s' {1..64}
        printf '\200%.0s' {1..64}
    done
} >"$T/images"
{
    bytes 0 0 8 1 0 0 0 60
    for ((i = 0; i < 60; i++)); do bytes $((i % 2)); done
} >"$T/labels"
"$B/ohemdata" idx "$T/images" "$T/labels" "$T/d.lmdb" >/dev/null 2>&1
cat >"$T/net" <<END
name: "tiny"
layer { name: "d" type: "Data" top: "data" top: "label" transform_param { scale: 0.00390625 }
  data_param { source: "$T/d.lmdb" batch_size: 10 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "extra" type: "InnerProduct" bottom: "ip" top: "extra" include { min_level: 1 stage: "more" }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
END
cat >"$T/solver" <<END
net: "$T/net" test_iter: 6 test_interval: 5 base_lr: 0.1 display: 2 max_iter: 10 lr_policy: "step"
gamma: 0.5 stepsize: 4 momentum: 0.9 snapshot: 5 snapshot_prefix: "$T/s" solver_mode: CPU run_dir: "$T/run"
END

# ---- train ----
ends "train -solver S, one dash" 0 "] Iteration 8, lr = 0.025" train -solver "$T/solver"
cp "$T/err" "$T/log"
holds "every line of the log begins as glog's do" awk '
    !/^[IWE](0[1-9]|1[0-2])[0-3][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]\.[0-9][0-9][0-9][0-9][0-9][0-9] +[0-9]+ [a-z_]+\.c:[0-9]+\] / {
        print "line " NR ": " $0; bad = 1 }
    END { exit bad || NR < 10 }' "$T/log"
holds "so does every line of train.log" awk '!/^[IWE][0-9]+ [0-9:.]+ +[0-9]+ [a-z_]+\.c:[0-9]+\] / { bad = 1 }
    END { exit bad || NR < 10 }' "$T/run/train.log"
# what parse_log.py looks for: a start time, then rows of (iteration, outputs, rate)
cat >"$T/parse.awk" <<'END'
/Solving/ { solving = 1 }
match($0, /Iteration [0-9]+/) { it = substr($0, RSTART + 10, RLENGTH - 10) }
match($0, /Train net output #[0-9]+: [^ ]+ = [.0-9eE+-]+/) {
    split(substr($0, RSTART, RLENGTH), f, " "); print "train", it, f[5], f[7] }
match($0, /Test net output #[0-9]+: [^ ]+ = [.0-9eE+-]+/) {
    split(substr($0, RSTART, RLENGTH), f, " "); print "test", it, f[5], f[7] }
match($0, /lr = [-+.0-9eE]+/) { print "lr", it, substr($0, RSTART + 5, RLENGTH - 5) }
END { if (!solving) print "no start" }
END
awk -f "$T/parse.awk" "$T/log" >"$T/rows"
cp "$T/rows" "$T/out"
holds "a parser finds the loss of iterations 0, 2, .. 8" \
    test "$(awk '$1 == "train" && $3 == "loss" { printf "%s ", $2 }' "$T/rows")" = "0 2 4 6 8 "
holds "and the tests of iterations 0, 5 and 10, accuracy first" \
    test "$(awk '$1 == "test" { printf "%s:%s ", $2, $3 }' "$T/rows")" = \
    "0:accuracy 0:loss 5:accuracy 5:loss 10:accuracy 10:loss "
holds "and the rates" test "$(awk '$1 == "lr" { printf "%s ", $3 }' "$T/rows")" = "0.1 0.1 0.05 0.05 0.025 "
holds "and the start" sh -c "! grep -q 'no start' '$T/rows'"
holds "the test's accuracy has left chance" awk '$1 == "test" && $2 == 10 && $3 == "accuracy" { a = $4 } END { exit !(a > 0.9) }' "$T/rows"

ends "train --solver=S --snapshot=STATE goes on" 0 "resumed from $T/s_iter_5.solverstate at iteration 5" \
    train --solver="$T/solver" --snapshot="$T/s_iter_5.solverstate"
cp "$T"/s_iter_10.caffemodel "$T/w.caffemodel"
ends "train --weights=W starts from it" 0 "$T/w.caffemodel: 1 layers" \
    train --solver "$T/solver" --weights "$T/w.caffemodel"
ends "weights and snapshot together are refused" 64 "--weights and --resume together" \
    train --solver "$T/solver" --weights x --snapshot y
ends "level and stages reach the training net" 0 "" --check --level=1 --stage=other,more "$T/solver"
holds "which then has the layer of that stage" grep -q '^extra ' "$T/out"
ends "a stage is not a level" 0 "" --check --stage=more "$T/solver"
holds "so the layer stays out" sh -c "! grep -q '^extra ' '$T/out'"
ends "a GPU that is not there" 69 "cuda:7" train --solver "$T/solver" --gpu 7
ends "several GPUs" 64 "--gpu: one GPU is used at a time, got '0,1'" train -solver "$T/solver" -gpu 0,1
ends "an unknown effect of a signal" 64 "--sigint_effect: must be snapshot, stop or none, got 'die'" \
    train --solver "$T/solver" --sigint_effect=die
ends "glog's flags are taken" 0 "" train --solver "$T/solver" -logtostderr=1 --minloglevel 1
holds "and minloglevel 1 silences the log" test ! -s "$T/err"
ends "no solver" 64 "one CONFIG is needed" train

# ---- debug_info: display is 2, so iterations 0, 2, .. 8 of 10 ----
ends "debug_info" 0 "    [Forward] Layer ip, top blob ip data: " train --solver "$T/solver" --set debug_info=true
holds "has norms for each displayed iteration" test "$(grep -c 'All net params (data, diff): L1 norm = (' "$T/err")" = 5
holds "and gradients, but none of the data" test \
    "$(sed -n 's/.*\[Backward\] Layer \(.*\) diff: .*/\1/p' "$T/err" | head -3 | tr '\n' ';')" = \
    "loss, bottom blob ip;ip, param blob 0;ip, param blob 1;"

# ---- signals ----
sed -e 's/max_iter: 10/max_iter: 10000000/' -e 's/display: 2/display: 0/' -e 's/test_interval: 5//' \
    -e 's/snapshot: 5//' "$T/solver" >"$T/long"
signalled() { # FLAG SIGNAL: a run that gets the signal when it trains, then TERM; its exit code
    rm -f "$T"/s_iter_*
    "$O" train --solver="$T/long" "$1" >"$T/out" 2>"$T/err" &
    local pid=$! i
    for ((i = 0; i < 200; i++)); do
        grep -q 'Solving' "$T/err" && break
        sleep 0.05
    done
    sleep 0.2
    kill -"$2" $pid
    for ((i = 0; i < 60; i++)); do
        kill -0 $pid 2>/dev/null && ! ls "$T"/s_iter_*.solverstate >/dev/null 2>&1 || break
        sleep 0.05
    done
    snapshots=$(ls "$T"/s_iter_*.solverstate 2>/dev/null | wc -l)
    alive=no
    kill -0 $pid 2>/dev/null && alive=yes
    kill -TERM $pid 2>/dev/null
    wait $pid
    rc=$?
}
signalled --sighup_effect=snapshot HUP
holds "SIGHUP with effect snapshot saves and goes on ($snapshots, $alive)" \
    test "$snapshots $alive" = "1 yes"
signalled --sigint_effect=snapshot INT
holds "SIGINT with effect snapshot saves and goes on ($snapshots, $alive)" \
    test "$snapshots $alive" = "1 yes"
signalled --sighup_effect=none HUP
holds "SIGHUP with effect none does nothing ($snapshots, $alive)" test "$snapshots $alive" = "0 yes"
signalled --sighup_effect=stop HUP
holds "SIGHUP with effect stop ends the run with 75 (rc $rc)" test "$rc" = 75
holds "and says so" grep -q 'Optimization stopped early' "$T/err"

# ---- test ----
ends "test --model --weights" 0 "] Running for 6 iterations." \
    test --model="$T/net" --weights="$T/w.caffemodel" --iterations=6
holds "prints every batch" grep -q '\] Batch 5, accuracy = ' "$T/err"
holds "and the means" grep -qE '\] accuracy = (1|0\.9[0-9]*)$' "$T/err"
holds "with the share of the loss" grep -qE '\] loss = ([0-9.e-]+) \(\* 1 = \1 loss\)$' "$T/err"
holds "and the loss" grep -qE '\] Loss: [0-9.e-]+$' "$T/err"
ends "test without weights" 64 "--weights is missing" test -model "$T/net"
ends "test of a config" 0 "accuracy = " test "$T/solver" --weights "$T/w.caffemodel"
ends "weights that are missing" 66 "$T/none.caffemodel" test -model "$T/net" -weights "$T/none.caffemodel"

# ---- time ----
ends "time --model, 50 iterations by default" 0 "] Testing for 50 iterations." time --model="$T/net"
holds "per layer, forward" grep -qE $'\\] +ip\tforward: [0-9.e-]+ ms\\.$' "$T/err"
holds "and backward" grep -qE $'\\] +ip\tbackward: [0-9.e-]+ ms\\.$' "$T/err"
for what in "Forward pass" "Backward pass" "Forward-Backward"; do
    holds "average $what" grep -qE "\\] Average $what: [0-9.e-]+ ms\\.$" "$T/err"
done
holds "the phase is TRAIN" sh -c "! grep -q 'acc.*forward' '$T/err'"
ends "time --phase=TEST --iterations" 0 "] Testing for 3 iterations." \
    time -model "$T/net" -phase TEST -iterations 3
holds "has the test's layers" grep -qE $'acc\tforward' "$T/err"
ends "a phase that is none" 64 "--phase: must be TRAIN or TEST, got 'train'" time -model "$T/net" -phase train
ends "a model and a solver together" 64 "--model and a solver together" time --model "$T/net" "$T/solver"
ends "iterations that are none" 64 "--iterations: must be in [1, " time --model "$T/net" --iterations 0

# ---- device_query ----
ends "device_query names the CPU" 0 "cpu: oneDNN" device_query
holds "and CUDA, or why there is none" grep -q '^cuda' "$T/out"
ends "device_query of a GPU that is not there" 69 "cuda:63" device_query --gpu 63

echo "1..$n"
