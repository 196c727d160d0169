#!/bin/bash
# it_gpu_check.sh - what tools/gpu-check makes of test programs and of compute-sanitizer, both played
# by scripts here: counts, errors, deadlines, what is left out, exit status.
#
# TAP on stdout.  The machine need not have a GPU.
. "$(dirname "$0")/tap.sh"
if ! command -v python3 >/dev/null; then
    skip "gpu-check counts" "no python3"
    echo "1..$n"
    exit 0
fi
mkdir -p "$T/build/tests" "$T/bin"
cat >"$T/build/tests/test_cuda" <<'END'
#!/bin/bash
# three tests on a device, one not; $FAIL: one fails, $HANG: the last does not end
pass() { # NAME
    [ -z "${SKIPALL:-}" ] || [ "${1#*device}" = "$1" ] ||
        { printf '[ RUN      ] %s\n[  SKIPPED ] %s\n' "$1" "$1"; return; }
    printf '[ RUN      ] %s\n[       OK ] %s\n' "$1" "$1"
}
[ -n "${1:-}" ] || pass a_line_says_what_is_missing
pass 'relu: on a device as on the CPU'
[ -z "${SKIPALL:-}" ] || exit 0
echo '[ RUN      ] pool: on a device as on the CPU'
if [ -n "${FAIL:-}" ]; then
    echo '[  ERROR   ] --- pool: output 0[3]: the CPU says 1, CUDA 2'
    echo '[  FAILED  ] pool: on a device as on the CPU'
else
    echo '[       OK ] pool: on a device as on the CPU'
fi
echo '[ RUN      ] lrn: on a device as on the CPU'
[ -z "${HANG:-}" ] || sleep 60
if [ -n "${SKIP:-}" ]; then
    echo 'no driver here'
    echo '[  SKIPPED ] lrn: on a device as on the CPU'
else
    echo '[       OK ] lrn: on a device as on the CPU'
fi
[ -z "${FAIL:-}" ] || { echo '[  FAILED  ] tests: 1 test(s), listed below:'
    echo '[  FAILED  ] pool: on a device as on the CPU'; exit 1; }
END
cat >"$T/bin/compute-sanitizer" <<'END'
#!/bin/bash
tool=$2
echo '========= COMPUTE-SANITIZER'
while [ "${1#*/test_cuda}" = "$1" ]; do shift; done
[ -z "${REFUSED:-}" ] || { echo '========= Error: Device not supported'; SKIPALL=1 "$@"; exit; }
"$@" || exit
if [ "$tool" = "${BROKEN:-}" ]; then
    echo '========= Invalid __global__ write of size 4 bytes'
    echo '=========     at relu_bwd(float *)+0x90 in cuda/neuron.cu:41'
    echo '=========     by thread (32,0,0) in block (0,0,0)'
    echo '========= ERROR SUMMARY: 1 error'
    exit 86
fi
if [ "$tool" = "${FOREIGN:-}" ]; then
    echo '========= Uninitialized __global__ memory read of size 4 bytes'
    echo '=========     at void cudnn::cnn::conv<int>(float *)+0x90'
    echo '=========     by thread (32,0,0) in block (0,0,0)'
    [ -z "${OURS:-}" ] || printf '%s\n' '========= Uninitialized __global__ memory read of size 4 bytes' \
        '=========     at void softmax<int>(float *)+0x90 in softmax.cu:41'
    echo "========= ERROR SUMMARY: $((1 + ${OURS:-0})) errors"
    exit 86
fi
[ "$tool" != racecheck ] || echo '========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)'
[ "$tool" = racecheck ] || echo '========= ERROR SUMMARY: 0 errors'
END
chmod +x "$T/build/tests/test_cuda" "$T/bin/compute-sanitizer"

check() { # ARGS..: sets rc
    rm -f "$T/r.json"
    PATH=$T/bin:$PATH timeout 60 python3 tools/gpu-check --no-gpu --build "$T/build" --out "$T/r.json" \
        --logs "$T/logs" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

holds() { # NAME PYTHON: an expression of r, the result
    want=$2
    python3 -c "import json, sys; r = json.load(open('$T/r.json')); p = r['parts']; sys.exit(not ($2))" 2>>"$T/err"
    result $? "$1"
}

check --only tests,memcheck,racecheck
[ $rc = 0 ]
result $? "all passed: exit status 0"
holds "passed tests are counted" "p['tests']['programs'][0]['passed'] == 4"
holds "the sanitizers' summaries are kept" \
    "p['memcheck']['summary'] == ['ERROR SUMMARY: 0 errors'] and p['racecheck']['errors'] == 0"
holds "the sanitizers run what is on a device" "p['memcheck']['passed'] == 3"
holds "without a GPU nothing is proven" "r['verdict'] == 'nothing proven: no GPU'"

FAIL=1 check --only tests
[ $rc = 1 ]
result $? "a failed test: exit status 1"
grep -q '^    pool: on a device as on the CPU: .*CUDA 2' "$T/err"
result $? "and it is said at once"
holds "its words are kept" \
    "'the CPU says 1, CUDA 2' in p['tests']['programs'][0]['failures']['pool: on a device as on the CPU']"

SKIP=1 check --only tests
holds "what skips on a device is named" \
    "p['tests']['programs'][0]['skipped_on_device'] == ['lrn: on a device as on the CPU']"

BROKEN=memcheck check --only memcheck,racecheck
[ $rc = 1 ]
result $? "an error that a sanitizer found: exit status 1"
holds "the error, its place and its kernel are kept" \
    "p['memcheck']['errors'] == 1 and p['memcheck']['kernels'] == {'relu_bwd': 1} and 'neuron.cu:41' in p['memcheck']['found'][0] and p['racecheck']['ok']"

FOREIGN=initcheck check --only initcheck
[ $rc = 0 ]
result $? "what cuDNN's kernels read of their workspace is no failure"
holds "but it is counted" \
    "p['initcheck']['errors'] == 0 and p['initcheck']['of_libraries'] == 1 and 'cudnn::cnn::conv' in p['initcheck']['kernels']"
FOREIGN=initcheck OURS=1 check --only initcheck
[ $rc = 1 ]
result $? "what a kernel of ours reads so is one"

REFUSED=1 check --only memcheck
[ $rc = 0 ]
result $? "a device that the sanitizer does not support is no failure"
holds "but it is said" "'does not support' in r['left_out'][0] and not p['memcheck']['ran']"

HANG=1 check --only tests --tests-budget 1
[ $rc = 1 ]
result $? "a test program that does not end fails"
holds "and is named with the test in which it hung" \
    "p['tests']['programs'][0]['died_in'] == ['lrn: on a device as on the CPU'] and p['tests']['programs'][0]['status'] is None"

HANG=1 check --only memcheck --sanitizer-budget 1
[ $rc = 0 ]
result $? "a sanitizer stopped at its deadline is no failure"
holds "but what it did not come to is said" "len(r['left_out']) == 1 and p['memcheck']['passed'] == 2"

check --budget 0
[ $rc = 1 ]
result $? "a budget that is spent before anything ran: exit status 1"
holds "every part is left out" "len(r['left_out']) == 6 and not p"

# ---- two runs of a net ----
python3 - >"$T/out" 2>"$T/err" <<'END'
import sys
sys.path.insert(0, 'bench')
import gpu_parity as p
def run(losses, **pool):
    return dict(losses=losses, kinds=['train'] * len(losses), pool=pool)
def says(how, b, a=run([2.0, 1.0], x=(0, 1, 5), y=(2, 0, 6))):
    return p.agrees(how, p.differences(a, b, 1e-3), 2)
near = run([2.0, 1.0005], x=(0, 1, 5), y=(2, 0, 6))
assert says('losses', near) and not says('bits', near)
assert says('bits', run([2.0, 1.0], x=(0, 1, 5), y=(2, 0, 6)))
assert not says('losses', run([2.0, 1.002], x=(0, 1, 5), y=(2, 0, 6))), 'a loss too far'
assert not says('losses', run([2.0, 1.0], x=(0, 1, 5), y=(1, 0, 6))), 'another state'
assert not says('losses', run([2.0, 1.0], x=(0, 1, 5))), 'a row is missing'
assert not says('losses', run([2.0], x=(0, 1, 5), y=(2, 0, 6))), 'an iteration is missing'
assert not says('losses', run([2.0, float('nan')], x=(0, 1, 5), y=(2, 0, 6))), 'NaN'
a = run([2.0, 1.0], x=(0, 1, 5), y=(2, 0, 6))
lost = dict(p.differences(a, a, 1e-3), not_recorded='invalid argument')
assert p.agrees('bits', p.differences(a, a, 1e-3), 2) and not p.agrees('bits', lost, 2), 'not recorded'
assert says('mean', run([2.2, 1.0])) and not says('mean', run([2.4, 1.0]))
log = '''I1123 report.c:42] train: device cuda:0: {} directions of convolutions: 1 algorithms
W1123 train.c:42] train: warning: cuda:0: not used, as its result is another: plan 0 of cuDNN
'''
said = p.gm.of_log(log.format(3) + log.format(5))
assert said == dict(not_recorded=None, not_trusted='plan 0 of cuDNN',
                    convolutions='5 directions of convolutions: 1 algorithms'), said
from types import SimpleNamespace as some
check = some(args=some(no_gpu=False, device=0, iterations=2), log=str, leave_out=print,
             budget=some(left=bool))
p.train = lambda *args: dict(run([2.0, 1.0]), seconds=1, **said)
row = p.compare_net(check, 'x', '', '', (), 1e-3)[1]
assert row['ok'] and row['convolutions'] == said['convolutions'], row
END
rc=$?
result $rc "two runs of a net agree when their losses and their pools do"

# ---- one GPU of several ----
python3 - >"$T/out" 2>"$T/err" <<'END'
import sys
sys.path.insert(0, 'bench')
import gpu_machine as gm
def seen(index, **base):
    e = gm.environment(base=base, device=index)
    return e['CUDA_VISIBLE_DEVICES'], e['CUDA_DEVICE_ORDER']
assert seen(2) == ('2', 'PCI_BUS_ID') and seen(0)[0] == '0'
assert seen(1, CUDA_VISIBLE_DEVICES='3,GPU-1f2e') == ('GPU-1f2e', 'PCI_BUS_ID')
assert seen(0, CUDA_VISIBLE_DEVICES='')[0] == ''
assert 'CUDA_VISIBLE_DEVICES' not in gm.environment(base={})
END
rc=$?
result $rc "programs see one GPU, the one asked for, numbered as the driver's tools do"

# ---- with a driver played by a library ----
if fake_driver 2>"$T/err" && python3 bench/gpu_machine.py --library-versions 2>/dev/null | grep -q cudnn; then
    rm -f "$T/r.json"
    LD_LIBRARY_PATH=$T/driver timeout 60 python3 tools/gpu-check --build "$T/build" --only tests \
        --out "$T/r.json" --logs "$T/logs" >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = 0 ]
    result $? "on a GPU: exit status 0 when all passed"
    holds "the verdict is that all passed" "r['verdict'] == 'passed'"
    holds "the machine is described" "r['machine']['gpu'] == dict(name='Fake GPU', index=0, bus='0000:17:00.0', memory_mib=81920, capability='9.0', multiprocessors=132, l2_mib=50, driver_cuda='13.2.0', driver='580.1') and r['machine']['libraries']['libcudnn.so.9']['version']"
    SKIPALL=1 LD_LIBRARY_PATH=$T/driver timeout 60 python3 tools/gpu-check --build "$T/build" --only tests \
        --out "$T/r.json" --logs "$T/logs" >"$T/out" 2>"$T/err"
    rc=$?
    want="1, every test on a device was skipped"
    [ $rc = 1 ] && grep -q 'every test on a device was skipped' "$T/r.json"
    result $? "on a GPU: nothing but skips is a failure"
else
    for name in "on a GPU: exit status 0 when all passed" "the verdict is that all passed" \
        "the machine is described" "on a GPU: nothing but skips is a failure"; do
        skip "$name" "no C compiler or no CUDA libraries"
    done
fi

check --only nothing
[ $rc = 64 ] && [ ! -e "$T/r.json" ]
result $? "a part that does not exist: 64"
echo "1..$n"
