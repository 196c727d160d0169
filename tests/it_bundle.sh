#!/bin/bash
# it_bundle.sh - the archive that `make bundle` made, unpacked elsewhere and run with an empty
# environment: it is whole, trains on the CPU, and says in one line that there is no GPU.
#
# TAP on stdout.  BUNDLE is the folder; `make bundle` ends with this test, elsewhere it skips.
. "$(dirname "$0")/tap.sh"
BUNDLE=${BUNDLE:-}

# ---- of what must be in it nothing is skipped ----
mkdir -p "$T/part/tests" "$T/part/bench"
for f in ohemtrain ohemdata ohempool tests/test_cuda bench/bench_gpu; do
    cp /bin/true "$T/part/$f"
done
tools/bundle --build "$T/part" --out "$T/none" >"$T/out" 2>"$T/err"
rc=$?
want="66, what is missing and why, no archive"
[ $rc = 66 ] && grep -q 'no ohemtrain-cuda.so' "$T/err" && grep -q 'needs nvcc and cuDNN' "$T/err" &&
    [ ! -e "$T/none.tar.gz" ]
result $? "without the plugin there is no bundle"

if [ ! -x "$BUNDLE/bin/ohemtrain" ]; then
    skip "a bundle runs where it is put" "make bundle makes it, and runs this"
    echo "1..$n"
    exit 0
fi
mkdir "$T/b"
tar -xf "$BUNDLE.tar.gz" -C "$T/b" --strip-components 1
gpu=0
[ "$(python3 -c "import sys; sys.path.insert(0, '$BUNDLE/bench'); import gpu_machine as g; g.driver(); print(1)" 2>/dev/null)" != 1 ] || gpu=1

run() { # COMMAND..: in the copy, without an environment; sets rc, $T/out, $T/err
    (cd "$T/b" && exec timeout 900 env -i PATH=/usr/bin:/bin HOME="$T" OMP_NUM_THREADS=2 "$@") \
        >"$T/out" 2>"$T/err"
    rc=$?
}

# ---- it uses what it carries ----
for p in "$T"/b/bin/ohem{train,data,pool} "$T"/b/bin/tests/* "$T"/b/bin/bench/*; do
    env -i LD_TRACE_LOADED_OBJECTS=1 "$p" | awk '{ print $1, $3 }'
done | sort -u >"$T/out"
want="libraries of the bundle or of glibc"
! grep -vE "^linux-vdso| $T/b/[a-z/.]*lib/|(libc|libm|libdl|librt|libpthread)\.so\.|ld-linux" "$T/out" >"$T/err"
result $? "its programs load what lies in lib/, and glibc"

# ---- it trains ----
two_classes
cat >"$T/b/tiny.prototxt" <<'END'
layer { name: "data" type: "Data" top: "data" top: "label" top: "weight"
        data_param { source: "tiny.lmdb" backend: LMDB batch_size: 10 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLossOHEM" bottom: "ip" bottom: "label" bottom: "weight"
        top: "loss" top: "prob" top: "each" }
layer { name: "unused" type: "Silence" bottom: "prob" bottom: "each" }
END
printf 'net: "tiny.prototxt" base_lr: 0.001 lr_policy: "fixed" max_iter: 20 run_dir: "out" mining { warmup: 0 }' \
    >"$T/b/tiny.conf"
run bin/ohemdata idx "$T/images" "$T/labels" tiny.lmdb && run bin/ohemtrain --device cpu tiny.conf
[ $rc = 0 ] && [ -s "$T/b/out/metrics.jsonl" ]
result $? "ohemtrain trains on the CPU"
run bin/ohempool summary out/pool.db
[ $rc = 0 ]
result $? "ohempool reads the pool that it left"

# ---- without a GPU ----
for program in tools/gpu-check bench/gpu; do
    name="$program says in one line that there is no GPU, and writes nothing"
    if [ $gpu = 1 ]; then
        skip "$name" "this machine has one"
        continue
    fi
    run python3 "$program" --out "$T/none.json"
    want="69 and one line"
    [ $rc = 69 ] && [ "$(wc -l <"$T/err")" = 1 ] && [ ! -e "$T/none.json" ]
    result $? "$name"
done

# ---- our own kernels on the host, and what gpu-check makes of their log ----
run python3 tools/gpu-check --no-gpu --host --only tests --out "$T/check.json"
want='0, no failure, "nothing proven"'
[ $rc = 0 ] && python3 - "$T/check.json" >"$T/out" 2>&1 <<'END'
import json, sys
r = json.load(open(sys.argv[1]))
t = [p for p in r['parts']['tests']['programs'] if p['program'] == 'test_cuda'][0]
print(r['verdict'], t)
assert r['verdict'].startswith('nothing proven') and r['commit']
assert t['passed'] > 50 and t['failed'] == 0 and t['skipped_on_device']
END
result $? "test_cuda runs from it, and gpu-check counts"
echo "1..$n"
