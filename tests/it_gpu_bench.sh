#!/bin/bash
# it_gpu_bench.sh - the nets of make gpu-bench load and have the sizes of their papers and of their
# PyTorch peers; bench/gpu runs, counts, goes on where it was, and says that there is no GPU.
#
# TAP on stdout.  B is the build folder (default build/release).  No figure of it means anything.
. "$(dirname "$0")/tap.sh"
if ! command -v python3 >/dev/null; then
    skip "the nets of gpu-bench" "no python3"
    echo "1..$n"
    exit 0
fi

# ---- the nets ----
python3 - "$B" "$T" >"$T/scenes" 2>"$T/err" <<'END'
import sys
sys.path.insert(0, 'bench')
import synthetic_data
print(synthetic_data.scenes(sys.argv[1], sys.argv[2], 2, 1000, 600))
END
rc=$?
python3 bench/nets/make.py --out "$T/nets" --synthetic --batch 2 >"$T/out" 2>>"$T/err" &&
    python3 bench/nets/make.py --out "$T/nets" --net frcnn --source "$(cat "$T/scenes")" >>"$T/out"
result $? "the nets and the data of Faster R-CNN are made"

# As the papers count, and with the running sums of 53 batch normalisations, which Caffe has as
# parameters: 25557032 + 53173 and 25028904 + 68277.
while read -r net params; do
    want="$params parameters"
    timeout 120 "$B/ohemtrain" --device cpu --check "$T/nets/$net.conf" >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = 0 ] && grep -q " $params parameters" "$T/out"
    result $? "$net loads, with $params parameters"
done <<'END'
lenet-synthetic 431.1K
caffenet-synthetic 61.0M
resnet50-synthetic 25.6M
resnext50-synthetic 25.1M
frcnn 136.9M
END

name="PyTorch's nets have as many parameters"
if python3 -c 'import torch, torchvision' 2>/dev/null; then
    python3 - >"$T/out" 2>"$T/err" <<'END'
import sys
sys.path.insert(0, 'bench')
import torch
import peer_torch_gpu as p
import peer_torch_frcnn
p.torch = torch
want = dict(lenet=431080, caffenet=60965224, resnet50=25557032, resnext50=25028904, frcnn=136873389)
got = {n: sum(w.numel() for w in v[0]().parameters()) for n, v in p.CLASSIFIERS.items()}
got['frcnn'] = sum(w.numel() for w in peer_torch_frcnn.Net().parameters())
print(got)
assert got == want, want
END
    result $? "$name"
else
    skip "$name" "no torch and torchvision for python3"
fi

# ---- the loss's kernels ----
if [ -x "$B/bench/bench_gpu" ]; then
    timeout 60 "$B/bench/bench_gpu" cpu small >"$T/out" 2>"$T/err"
    rc=$?
    want="a line of each, with its bytes"
    [ $rc = 0 ] && python3 - "$T/out" 2>>"$T/err" <<'END'
import json, sys
r = {v['kernel']: v for v in map(json.loads, open(sys.argv[1]))}
want = ['copy', 'gemm', 'bn_stats', 'sgd', 'proposal'] + [
    k + way for k in ('softmax_loss', 'bn_scale_relu', 'bn_scale_add_relu', 'relu', 'max_pool', 'roi_pool', 'psroi_pool')
    for way in ('_fwd', '_bwd')]
assert sorted(r) == sorted(want), sorted(set(r) ^ set(want))
maps = 4 * 2 * 8 * 14 * 14
assert r['bn_scale_relu_bwd']['bytes'] == 5 * maps and r['relu_fwd']['bytes'] == 2 * maps
assert r['sgd']['bytes'] == 6 * 4 * 50000 and r['roi_pool_fwd']['bytes'] == 4 * (16 * 10 * 12 + 2 * 9 * 16 * 49)
assert all(v['ms'] > 0 and 'of_copy' in v for v in r.values() if v['kernel'] != 'gemm')
END
    result $? "bench_gpu times the fused loss and what trains nets beside a copy"
else
    skip "bench_gpu times the fused loss and what trains nets beside a copy" "not built"
fi

# ---- the runner ----
bench() { # ARGS..: sets rc
    timeout 120 python3 bench/gpu --build "$B" --out "$T/r.json" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

holds() { # NAME PYTHON: an expression of r, the rows
    want=$2
    python3 -c "import json, sys; r = json.load(open('$T/r.json')); t = [x for x in r if x['kind'] == 'training']; sys.exit(not ($2))" 2>>"$T/err"
    result $? "$1"
}

name="without a GPU: 69, one line, no file"
if python3 -c "import sys; sys.path.insert(0, 'bench'); import gpu_machine as g; g.driver()" 2>/dev/null; then
    skip "$name" "this machine has one"
else
    bench
    want="69 and one line"
    [ $rc = 69 ] && [ "$(wc -l <"$T/err")" = 1 ] && [ ! -e "$T/r.json" ]
    result $? "$name"
fi
lenet="--no-gpu --only nets --nets lenet --batch 4 --precisions fp32"
# shellcheck disable=SC2086
bench $lenet --sides synthetic
[ $rc = 0 ] && grep -q '^NO GPU' "$T/err"
result $? "on the CPU it goes through and says that no figure means anything"
holds "a measurement has its rate, operations and bytes" \
    "len(t) == 1 and t[0]['images_per_s'] > 0 and t[0]['iterations'] == 8 and t[0]['rounds'] == 4 and t[0]['flop'] > 5e7 and t[0]['bytes'] > 1e7"
holds "the file says that it proves nothing" "r[0]['proven'] == 'nothing: no GPU'"
cp "$T/r.json" "$T/before.json"
# shellcheck disable=SC2086
bench $lenet --sides ohemtrain,synthetic --continue
holds "--continue keeps what is there and measures the rest" \
    "[x['side'] for x in t] == ['synthetic', 'ohemtrain'] and t[0] in json.load(open('$T/before.json'))"
holds "how many threads decoded is in the row, as ohemtrain says it" \
    "[x['decode_threads'] for x in t] == [None, 1]"
# shellcheck disable=SC2086
bench $lenet --sides ohemtrain --budget 0
holds "what the budget has no room for is said" "not t and r[-1]['kind'] == 'left_out'"
# ---- what fails ----
mkdir -p "$T/bad" "$T/good"
printf '#!/bin/sh\necho no device >&2\nexit 69\n' >"$T/bad/ohemtrain"
cat >"$T/bad/python" <<'END'
#!/bin/sh
# PyTorch is there; what uses it fails.  $SLOW: loading it does not end
[ -z "${SLOW:-}" ] || [ "$*" != '-c import torch' ] || exec sleep 100
[ "$1" = -c ] || { echo no compiler >&2; exit 1; }
END
chmod +x "$T/bad/ohemtrain" "$T/bad/python"
ln -sf "$(realpath "$B/ohemdata")" "$T/bad/ohemdata"
rm -f "$T/r.json"
# shellcheck disable=SC2086
bench $lenet --sides ohemtrain,synthetic --build "$T/bad"
[ $rc = 70 ]
result $? "ohemtrain fails: 70"
holds "the failed rows have its words" \
    "[(x['side'], x['words']) for x in r if x['kind'] == 'failed'] == [(s, 'exit 69: no device') for s in ('ohemtrain', 'synthetic')]"
# shellcheck disable=SC2086
bench $lenet --sides ohemtrain --continue
[ $rc = 0 ]
result $? "--continue tries again what failed: 0"
holds "no failure is left of it" "len(t) == 1 and not [x for x in r if x['kind'] == 'failed']"
# shellcheck disable=SC2086
bench $lenet --sides eager,compile,ohemtrain --python "$T/bad/python"
[ $rc = 0 ]
result $? "a PyTorch that fails is no error"
holds "but is said" \
    "[(x['side'], x['words']) for x in r if x['kind'] == 'failed'] == [(s, 'exit 1: no compiler') for s in ('eager', 'compile')] and len(t) == 1"
bench --no-gpu --only limits --python "$T/bad/python"
[ $rc = 70 ]
result $? "limits that fail: 70"
# shellcheck disable=SC2086
SLOW=1 timeout 20 python3 bench/gpu --build "$B" --out "$T/r.json" $lenet --python "$T/bad/python" --budget 2 \
    >"$T/out" 2>"$T/err"
rc=$?
[ $rc = 0 ] && grep -q 'the budget was spent' "$T/out"
result $? "loading PyTorch is within the budget"
bench --no-gpu --nets vgg19
[ $rc = 64 ]
result $? "a net that does not exist: 64"

# ---- with a driver played by a library, and ohemtrain's --device by the CPU ----
name="on a GPU: busy share, clock and memory are the driver's"
if fake_driver 2>"$T/err" && python3 bench/gpu_machine.py --library-versions 2>/dev/null | grep -q cudnn; then
    mkdir -p "$T/gpu"
    cat >"$T/gpu/ohemtrain" <<END
#!/bin/sh
for a; do
    shift
    [ "\$a" != cuda:0 ] || a=cpu
    [ "\${a#run_dir=}" = "\$a" ] || run=\${a#run_dir=}
    set -- "\$@" "\$a"
done
"$(realpath "$B/ohemtrain")" "\$@"
rc=\$?
[ -z "\$run" ] || echo "] train: device cuda:0: 8 directions of convolutions: 5 algorithms, 3 plans (1 fused)" >>"\$run/train.log"
exit \$rc
END
    chmod +x "$T/gpu/ohemtrain"
    rm -f "$T/r.json"
    LD_LIBRARY_PATH=$T/driver timeout 60 python3 bench/gpu --build "$T/gpu" --only nets --nets lenet \
        --precisions bf16 --sides synthetic --seconds 0.5 --batch 4 --out "$T/r.json" >"$T/out" 2>"$T/err"
    rc=$?
    holds "what convolutions run as is in the row" \
        "t[0]['convolutions'] == '8 directions of convolutions: 5 algorithms, 3 plans (1 fused)' and t[0]['not_recorded'] is None"
    holds "$name" "round(t[0]['busy'], 6) == 0.42 and t[0]['sm_mhz'] == 1980 and t[0]['peak_mb'] == 2000 and 0 < t[0]['seconds'] < 0.7 and t[0]['loss'] > 1 and r[0]['proven'] is None"
else
    skip "what convolutions run as is in the row" "no C compiler or no CUDA libraries"
    skip "$name" "no C compiler or no CUDA libraries"
fi

# ---- the report ----
python3 - >"$T/out" 2>"$T/err" <<'END'
import sys
sys.path.insert(0, 'bench')
import gpu_report as g
limits = dict(kind='limits', bf16_flop_per_s=1e15, copy_bytes_per_s=4e12)
row = dict(kind='training', net='x', precision='bf16', side='ohemtrain', images_per_s=150.0, ms=10.0)
row.update(g.work(row, dict(flop=4e12, blobs=8e9, params=1e6)))
row.update(g.shares(row, limits))
assert row['of_product'] == 0.4 and abs(row['bytes'] - (1e10 + 3.2e7)) < 1
assert abs(row['of_copy'] - 0.2508) < 1e-6
peers = [dict(row, side='eager', images_per_s=100.0), dict(row, side='compile', images_per_s=140.0)]
def kernel(name, of_copy):
    return dict(kind='loss', kernel=name, of_copy=of_copy, ms=1.0, shape=[1], bytes_per_s=3.5e12 * of_copy)
# PyTorch's copy is faster than ours: 0.9 of 3.5 is 0.79 of 4
loss = [kernel('softmax_loss_fwd', 0.95), kernel('softmax_loss_bwd', 0.9), kernel('copy', 1.0)]
rows = [dict(kind='about', proven=None), limits, row] + peers + loss
got = {r.get('kernel', r['against']): r['met'] for r in g.ratios(rows)}
assert got == dict(eager=True, compile=False, softmax_loss_fwd=True, softmax_loss_bwd=False), got
assert 'MISSED' in g.table(rows + list(g.ratios(rows)))
END
rc=$?
want=''
result $rc "ratios and shares are what they say, and a missed target is called so"

python3 - >"$T/out" 2>"$T/err" <<'END'
import sys, types
sys.path.insert(0, 'bench')
import gpu_report as g
# 1000 iterations of 10 ms, of which one took a second more: rounds of 23, of which one is long
times = [0.01 * i + (0.99 if i > 500 else 0) for i in range(1001)]
rounds = g.split(times)
assert {n for n, _ in rounds} == {23} and max(s for _, s in rounds) > 1, rounds
r = g.of_rounds(8, rounds)
assert abs(r['images_per_s'] - 800) < 1e-6 and r['mean_ms'] > 10.9 and r['iterations'] == 23 * 43, r
assert g.round_of(0.01) == 25 and g.round_of(3) == 1
# the other side: compiling is no warm-up
sys.modules['peer_torch_frcnn'] = types.ModuleType('peer_torch_frcnn')
import peer_torch_gpu as p
import time
took = [0.4, 0.4]
def iteration():
    time.sleep(took.pop() if took else 0.01)
    done.append(time.monotonic())
done = []
each = p.warm_up(types.SimpleNamespace(warm=1, seconds=0.3, device='cpu'), iteration)
assert 0.009 < each < 0.1 and done[-1] - done[1] >= 0.3, (each, len(done))
END
rc=$?
result $rc "the rate is that of the median round, on both sides, after a warm-up without compiling"
python3 - >"$T/out" 2>"$T/err" <<'END'
import sys
sys.path.insert(0, 'bench')
import gpu_parity as p
def run(kinds):
    return dict(losses=[1.0, 2.0], kinds=kinds, pool={})
def agrees(kinds):
    return p.agrees('bits', p.differences(run(kinds), run(kinds), 0.1), 2)
assert agrees(['train', 'pool']) and not agrees(['train', 'train'])
how = {name: (other, by) for name, _, other, by in p.RUNS}
sets = {name: more for name, more, _, _ in p.RUNS}
assert how['measured'] == ('cpu', 'losses') and not [s for s in sets['measured'] if s == 'deterministic=true']
assert how['bf16_again'] == ('bf16_same', 'bits') and sets['bf16_again'] == sets['bf16_same']
END
rc=$?
result $rc "nets agree only if they trained from their pools"
python3 - "$T" >"$T/out" 2>"$T/err" <<'END'
import importlib.machinery, importlib.util, sys, types
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader('gpu', 'bench/gpu')
gpu = importlib.util.module_from_spec(importlib.util.spec_from_loader('gpu', loader))
loader.exec_module(gpu)
def limits(*runs):
    """What ohemtrain is given when its iterations end at these moments, run by run."""
    given, runs = [], list(runs)
    def train(conf, precision, limit):
        given.append(limit)
        return types.SimpleNamespace(failed=None), [dict(t=t) for t in runs.pop(0)]
    b = types.SimpleNamespace(args=types.SimpleNamespace(seconds=4, no_gpu=False), data=sys.argv[1],
                              batch=lambda net: 4, train=train, of_run=lambda run, m, images: {})
    gpu.Bench.run_ours(b, 'lenet', 'fp32', True)
    return given
assert limits([1, 2, 2.1, 9.9]) == [10]
assert limits([6, 7, 7.5, 9.9], [6, 7, 7.5, 17.4]) == [10, 17.5]
assert limits([9], [9, 10, 20]) == [10, 20]
END
rc=$?
result $rc "after a start that took most of the time it is measured once more"
echo "1..$n"
