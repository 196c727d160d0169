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
cat >"$T/build/tests/test_cuda" <<'PLAYED'
#!/bin/bash
# Three cases on a device, one of none and one on the host, chosen as tests/some_tests.h has it.
# $FAIL, $HANG, $DIE, $BREAK: the case that does; $GONE: what broke stays so.
cases=('a_line_says_what_is_missing' 'relu: on a device as on the CPU' 'relu: on the host as on the CPU'
    'pool: on a device as on the CPU' 'lrn: on a device as on the CPU')
[ "${0##*/}" = test_cuda ] || cases=('transfers_on_a_device' 'transfers')
list='' behind='' skip='' pattern='*' lost=''
while [ $# -gt 0 ]; do
    case $1 in
    --list) list=1 ;;
    --behind) behind=$2; shift ;;
    --skip) skip=$2; shift ;;
    *) pattern=$1 ;;
    esac
    shift
done
[ -z "${GONE:-}" ] || [ -z "$behind" ] || SKIPALL=1
says() { printf '[ %8s ] %s\n' "$1" "$2"; }
failed() { echo "[  ERROR   ] --- $2"; says ' FAILED ' "$1"; status=1; }
status=0
for name in "${cases[@]}"; do
    if [ -n "$behind" ]; then
        [ "$name" != "$behind" ] || behind=''
        continue
    fi
    # shellcheck disable=SC2053
    [[ $name == $pattern ]] && [[ -z $skip || $name != $skip ]] || continue
    if [ -n "$list" ]; then echo "$name"; continue; fi
    says 'RUN     ' "$name"
    [ "$name" != "${HANG:-}" ] || sleep 60
    [ "$name" != "${DIE:-}" ] || exit 139
    if [ -n "${SKIPALL:-}" ] && [[ $name == *on?a?device* ]] || [ "$name" = "${SKIP:-}" ]; then
        echo 'no driver here'
        says ' SKIPPED' "$name"
    elif [ -n "$lost" ] && [[ $name == *on?a?device* ]]; then
        failed "$name" 'cuda:0: no memory: an illegal memory access was encountered'
    elif [ "$name" = "${BREAK:-}" ]; then
        lost=1
        failed "$name" 'ot_dev_ok: cuda:0: pool_fwd: an illegal memory access was encountered'
    elif [ "$name" = "${FAIL:-}" ]; then
        failed "$name" 'pool: output 0[3]: the CPU says 1, CUDA 2'
    else
        [ -z "${WARN:-}" ] || echo 'cuda:0: not used, as its result is another: plan 3 of cuDNN'
        says '      OK' "$name"
    fi
done
[ -n "$list" ] || exit $((status + ${ENDS:-0}))
PLAYED
pool='pool: on a device as on the CPU'
lrn='lrn: on a device as on the CPU'
relu='relu: on a device as on the CPU'
cat >"$T/bin/compute-sanitizer" <<'END'
#!/bin/bash
tool=$2
echo '========= COMPUTE-SANITIZER'
ended() { echo "========= Error: process didn't terminate successfully"; }
trap 'ended; exit 1' TERM
while [ "${1#*/test_cuda}" = "$1" ]; do shift; done
[ -z "${REFUSED:-}" ] || { echo '========= Error: Device not supported'; BREAK='transfers_on_a_device' SKIPALL=${REFUSED#0} "$@"; exit; }
"$@"
code=$?
[ $code = 0 ] || { ended; echo '========= ERROR SUMMARY: 0 errors'; exit $code; }
if [ "$tool" = "${BROKEN:-}" ]; then
    echo '========= Invalid __global__ write of size 4 bytes'
    echo '=========     at relu_bwd(float *)+0x90 in cuda/neuron.cu:41'
    echo '=========     by thread (32,0,0) in block (0,0,0)'
    echo '========= ERROR SUMMARY: 1 error'
    exit 86
fi
if [ "$tool" = "${FOREIGN:-}" ]; then
    for _ in 1 2; do
        echo '========= Uninitialized __global__ memory read of size 4 bytes'
        echo '=========     at void cudnn::cnn::conv<int>(float *)+0x90'
        echo '=========     by thread (32,0,0) in block (0,0,0)'
        echo '=========     Saved host backtrace up to driver entry point at kernel launch time'
        echo '=========     Host Frame: ot_dev_run in device.h:41 [0x9]'
        echo '========='
    done
    [ -z "${OURS:-}" ] || printf '%s\n' '========= Uninitialized __global__ memory read of size 4 bytes' \
        "=========     at void softmax<int>(float *)+0x90$OURS" '========='
    echo '========= ERROR SUMMARY: 131072 errors'
    echo "========= ERROR SUMMARY: $((131070 - 0${OURS:+1})) errors were not printed. Use --print-limit option to adjust the number of printed errors"
    exit 86
fi
[ "$tool" != racecheck ] || echo '========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)'
[ "$tool" = racecheck ] || echo '========= ERROR SUMMARY: 0 errors'
END
chmod +x "$T/build/tests/test_cuda" "$T/bin/compute-sanitizer"
cp "$T/build/tests/test_cuda" "$T/transfer" # into the build where a test wants it

check() { # ARGS..: sets rc; $KEEP: on top of what there is
    [ -n "${KEEP:-}" ] || rm -f "$T/r.json"
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
holds "what is on a device and what needs none is run and counted, and no emulation" \
    "p['tests']['programs'][0]['passed'] == 4 == p['tests']['programs'][0]['cases']"
holds "the sanitizers' summaries are kept" \
    "p['memcheck']['summary'] == ['ERROR SUMMARY: 0 errors'] and p['racecheck']['errors'] == 0"
holds "the sanitizers run what is on a device" "p['memcheck']['passed'] == 3 == p['memcheck']['cases']"
holds "without a GPU nothing is proven" "r['verdict'] == 'nothing proven: no GPU'"
check --only tests --host
holds "the emulation is run where it is asked for" "p['tests']['programs'][0]['passed'] == 5"

FAIL=$pool check --only tests
[ $rc = 1 ]
result $? "a failed test: exit status 1"
grep -q '^    pool: on a device as on the CPU: .*CUDA 2' "$T/err"
result $? "and it is said at once"
holds "its words are kept" \
    "'the CPU says 1, CUDA 2' in p['tests']['programs'][0]['failures']['$pool'] and p['tests']['programs'][0]['passed'] == 3"
WARN=1 check --only tests,memcheck
holds "what the device distrusts is kept" \
    "r['warnings'] == [x + ': test_cuda: not used, as its result is another: plan 3 of cuDNN' for x in ('tests', 'memcheck')]"

SKIP=$lrn check --only tests
holds "what skips on a device is named" "p['tests']['programs'][0]['skipped_on_device'] == ['$lrn']"

# ---- a device that a case breaks ----
BREAK=$relu check --only tests
[ $rc = 1 ]
result $? "a case that broke the device: exit status 1"
holds "it alone failed, the rest ran in a new process" \
    "[p['tests']['programs'][0][k] for k in ('passed', 'failed', 'broke_device', 'restarts', 'device_lost')] == [3, 1, ['$relu'], 1, []]"
BREAK=$relu GONE=1 check --only tests
holds "what could not run for it is told apart" \
    "[p['tests']['programs'][0][k] for k in ('passed', 'failed', 'skipped', 'device_lost')] == [1, 1, 0, ['$pool', '$lrn']]"
BREAK=$pool check --only memcheck
[ $rc = 1 ]
result $? "likewise under a sanitizer"
holds "where the rest runs too" "[p['memcheck']['programs'][0][k] for k in ('passed', 'broke_device')] == [2, ['$pool']]"
HANG=$pool check --only tests --silence 1
[ $rc = 1 ]
result $? "a case that says nothing for long: exit status 1"
holds "it hung, the rest ran in a new process" \
    "[p['tests']['programs'][0][k] for k in ('passed', 'failed', 'hung', 'restarts')] == [3, 0, ['$pool'], 1]"
DIE=$lrn check --only tests
[ $rc = 1 ]
result $? "a program that dies: exit status 1"
holds "it died in a case" "p['tests']['programs'][0]['died'] == {'$lrn': 'exit 139'}"
ENDS=3 check --only tests
[ $rc = 1 ] && grep -q '"why": "exit 3: ' "$T/r.json"
result $? "a program that fails though no case did: exit status 1"
HANG=$pool check --only memcheck --silence 1
[ $rc = 0 ]
result $? "a case over which a sanitizer takes long is no failure"
holds "but it is passed over and left out" "r['left_out'][0] == 'memcheck: test_cuda: $pool' and p['memcheck']['passed'] == 2"

FAIL=$pool check --only memcheck
[ $rc = 1 ]
result $? "a case that fails under a sanitizer: exit status 1"
holds "that is no error of the sanitizer's" "p['memcheck']['errors'] == 0 and p['memcheck']['failed'] == 1"

# ---- what a sanitizer finds ----
BROKEN=memcheck check --only memcheck,racecheck
[ $rc = 1 ]
result $? "an error that a sanitizer found: exit status 1"
holds "the error, its place and its kernel are kept" \
    "p['memcheck']['errors'] == 1 and p['memcheck']['kernels'] == {'relu_bwd': 1} and 'neuron.cu:41' in p['memcheck']['found'][0] and p['racecheck']['ok']"

FOREIGN=initcheck check --only initcheck
[ $rc = 0 ]
result $? "what cuDNN's kernels read of their workspace is no failure"
holds "but it is counted, and what was not printed is said" \
    "[p['initcheck'][k] for k in ('errors', 'of_libraries', 'not_printed')] == [0, 2, 131070] and p['initcheck']['kernels'] == {'cudnn::cnn::conv': 2} and r['left_out'][0] == 'initcheck: test_cuda: 131070 reports were not printed'"
FOREIGN=initcheck OURS=' in softmax.cu:41' check --only initcheck
[ $rc = 1 ]
result $? "what a kernel of ours reads so is one"
holds "it comes first" "p['initcheck']['errors'] == 1 and 'softmax.cu:41' in p['initcheck']['found'][0]"
FOREIGN=initcheck OURS=' ' check --only initcheck
holds "a kernel without a line is a library's" "p['initcheck']['of_libraries'] == 3"
printf '\0_Z7softmaxIiEvPf\0' >"$T/build/ohemtrain-cuda.so"
FOREIGN=initcheck OURS=' ' check --only initcheck
holds "unless the plugin has it" "p['initcheck']['errors'] == 1 and p['initcheck']['of_libraries'] == 2"
rm "$T/build/ohemtrain-cuda.so"

REFUSED=1 check --only memcheck
[ $rc = 0 ]
result $? "a device that the sanitizer does not support is no failure"
cp "$T/transfer" "$T/build/tests/test_cuda_transfer"
REFUSED=0 check --only memcheck
[ $rc = 0 ]
result $? "nor is it one that the device then fails"
rm "$T/build/tests/test_cuda_transfer"
holds "but it is said" "'does not support' in r['left_out'][0] and not p['memcheck']['ran']"

# ---- time ----
HANG=$lrn check --only tests --tests-budget 2
[ $rc = 0 ]
result $? "a test program stopped at its deadline has not failed"
holds "what it did not come to is said" \
    "p['tests']['programs'][0]['not_run'] == ['$lrn'] and r['left_out'][0] == 'test_cuda: stopped after 3 of 4 cases'"

HANG=$lrn check --only memcheck,racecheck --sanitizer-budget 2
[ $rc = 0 ]
result $? "a sanitizer stopped at its deadline is no failure"
holds "but after how many cases is said" \
    "r['left_out'][0].startswith('memcheck: test_cuda: stopped after 2 of 3 cases') and p['memcheck']['passed'] == 2 and p['memcheck']['errors'] == 0"
KEEP=1 check --only memcheck
[ $rc = 64 ] && grep -q -- '--continue' "$T/err"
result $? "a result that is there is not written over"
cp "$T/r.json" "$T/before.json"
KEEP=1 check --only memcheck,tests --continue
holds "it is gone on with, from where it stopped" \
    "p['memcheck']['passed'] == 3 and not p['memcheck']['left_out'] and p['tests']['ok'] and p['racecheck']['passed'] == 2 and len(r['calls']) == 2"
FAIL=$lrn KEEP=1 check --only memcheck,tests,racecheck --continue
holds "what ran whole is kept" "p['memcheck']['ok'] and p['tests']['ok'] and not p['racecheck']['ok']"
echo >>"$T/build/tests/test_cuda"
KEEP=1 check --only memcheck --continue
holds "that of other programs is put aside, and all is run" "list(p) == ['memcheck'] and len(r['calls']) == 1"
python3 -c "import json; assert len(json.load(open('$T/r.1.json'))['calls']) == 3" 2>>"$T/err"
result $? "and not lost"
rm -f "$T/r.1.json"
echo '[]' >"$T/r.json"
KEEP=1 check --only tests --continue
[ $rc = 64 ] && [ "$(cat "$T/r.json")" = '[]' ]
result $? "a file of something else is left alone: 64"

cp "$T/transfer" "$T/build/tests/test_cuda_transfer"
HANG=$relu check --only memcheck,racecheck,initcheck,synccheck --budget 12
holds "each tool has an even share of the time, and in it each program" \
    "all(p[t]['programs'][0]['passed'] == 1 and 1 < p[t]['programs'][1]['seconds'] < 5 for t in ('memcheck', 'racecheck', 'initcheck', 'synccheck'))"
rm "$T/r.json"
(HANG=$relu PATH=$T/bin:$PATH timeout -s KILL 3 python3 tools/gpu-check --no-gpu --build "$T/build" \
    --out "$T/r.json" --logs "$T/logs" --only memcheck; :) >"$T/out" 2>"$T/err"
holds "what ran before it was ended is in the file, which does not say whole" \
    "p['memcheck']['programs'][0]['passed'] == 1 and r['left_out'][0] == 'memcheck: not finished' and r['verdict'] == 'running'"
KEEP=1 check --only memcheck --continue
holds "and is gone on with" "p['memcheck']['passed'] == 4 and not p['memcheck']['left_out']"
HANG=$relu check --only memcheck --sanitizer-budget 2
HANG=$relu KEEP=1 check --only memcheck --continue --sanitizer-budget 2
holds "what was cut twice is still left out" \
    "[x['seconds'] > 1 for x in p['memcheck']['programs']] == [False, True] and len(p['memcheck']['left_out']) == 1"
check --only tests
holds "of other programs that is run which is on a device" "p['tests']['programs'][1]['cases'] == 1"
rm "$T/build/tests/test_cuda_transfer"

printf '#!/bin/sh\necho "[==========] tests: Running 1 test(s)."\n' >"$T/build/tests/test_cuda_transfer"
chmod +x "$T/build/tests/test_cuda_transfer"
check --only tests
[ $rc = 1 ] && grep -q 'test_cuda_transfer --list: it runs its cases' "$T/err"
result $? "a program that takes no arguments is found: exit status 1"
printf '#!/bin/sh\nexit 5\n' >"$T/build/tests/test_cuda_transfer"
chmod +x "$T/build/tests/test_cuda_transfer"
check --only tests,memcheck
[ $rc = 1 ]
result $? "a program that does not say what it has: exit status 1"
holds "and it is named" "'test_cuda_transfer --list: exit 5' in p['tests']['failed'] and p['tests']['programs'][0]['passed'] == 4"
rm "$T/build/tests/test_cuda_transfer"

check --budget 0
[ $rc = 1 ]
result $? "a budget that is spent before anything ran: exit status 1"
holds "every part is left out" "len(r['left_out']) == 6 and not p"

# ---- what the programs themselves make of their arguments ----
if [ -x "$B/tests/test_cuda" ] && [ -x "$B/tests/test_cuda_compute" ]; then
    "$B/tests/test_cuda" --list >"$T/all" && "$B/tests/test_cuda" --list --skip '*on?the?host*' >"$T/out" 2>"$T/err"
    want="all cases but those on the host, few of which are not on a device"
    [ "$(grep -cv 'on.the.host' "$T/all")" = "$(wc -l <"$T/out")" ] && [ "$(grep -cv 'o[nf].a.device' "$T/out")" -lt 12 ]
    result $? "cases of test_cuda are on a device, on the host, or need neither"
    want="no name twice"
    [ "$(sort -u "$T/all" | wc -l)" = "$(wc -l <"$T/all")" ] && [ "$(wc -l <"$T/all")" -gt 1000 ]
    result $? "each has a name of its own"
    want="what comes behind the second: $(sed -n '3,$p' "$T/all" | wc -l) lines"
    "$B/tests/test_cuda" --list --behind "$(sed -n 2p "$T/all")" >"$T/out"
    sed 1,2d "$T/all" | cmp -s - "$T/out"
    result $? "a program goes on behind a case"
    "$B/tests/test_cuda" --behind nothing >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = 64 ] && grep -q "no test 'nothing'" "$T/err"
    result $? "behind none that it has: 64"
    "$B/tests/test_cuda" --behind >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = 64 ] && grep -q '^usage' "$T/err"
    result $? "a word too little: 64"
    "$B/tests/test_cuda" '*refused' 'auto*' --skip 'a_*' >"$T/out" 2>"$T/err"
    rc=$?
    want="auto falls back to the CPU alone"
    [ $rc = 0 ] && [ "$(grep -c ' RUN ' "$T/out")" = 1 ] && grep -q ' RUN .* auto' "$T/out"
    result $? "what is skipped is not run though a pattern has it"
else
    for name in "cases of test_cuda are on a device, on the host, or need neither" \
        "each has a name of its own" "a program goes on behind a case" "behind none that it has: 64" \
        "a word too little: 64" "what is skipped is not run though a pattern has it"; do
        skip "$name" "test_cuda is not built"
    done
fi

want="every program for a GPU runs the cases that its arguments choose"
grep -L OT_SOME_TESTS tests/test_cuda_*.c tests/test_cudnn.c >"$T/out"
[ ! -s "$T/out" ]
result $? "$want"

# ---- two runs of a net ----
python3 - >"$T/out" 2>"$T/err" <<'END'
import sys
sys.path.insert(0, 'bench')
import gpu_parity as p
def run(losses, **pool):
    return dict(losses=losses, kinds=['train', 'pool'][:len(losses)], pool=pool)
def says(how, b, a=run([2.0, 1.0], x=(0, 1, 5), y=(2, 0, 6))):
    return p.agrees(how, p.differences(a, b, 1e-3), 2)
near = run([2.0, 1.0005], x=(0, 1, 5), y=(2, 0, 6))
assert says('losses', near) and not says('bits', near)
assert says('bits', run([2.0, 1.0], x=(0, 1, 5), y=(2, 0, 6)))
fresh = dict(run([2.0, 1.0], x=(0, 1, 5), y=(2, 0, 6)), kinds=['train'] * 2)
assert not says('losses', fresh, fresh), 'nothing came from the pool'
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
    drive() { # ARGS..
        rm -f "$T/r.json"
        LD_LIBRARY_PATH=$T/driver PATH=$T/bin:$PATH timeout 60 python3 tools/gpu-check \
            --build "$T/build" --out "$T/r.json" --logs "$T/logs" "$@" >"$T/out" 2>"$T/err"
        rc=$?
    }
    drive --only tests,memcheck
    [ $rc = 0 ]
    result $? "on a GPU: exit status 0 when all passed"
    holds "the verdict names what is left out" \
        "r['verdict'] == 'passed, 4 left out: ' + '; '.join(x + ': not asked for' for x in ('nets', 'racecheck', 'initcheck', 'synccheck'))"
    holds "the machine is described" "r['machine']['gpu'] == dict(name='Fake GPU', index=0, bus='0000:17:00.0', memory_mib=81920, capability='9.0', multiprocessors=132, l2_mib=50, driver_cuda='13.2.0', driver='580.1') and r['machine']['libraries']['libcudnn.so.9']['version']"
    SKIPALL=1 drive --only tests
    want="1, every test on a device was skipped"
    [ $rc = 1 ] && grep -q 'every test on a device was skipped' "$T/r.json"
    result $? "on a GPU: nothing but skips is a failure"
    SKIPALL=1 drive --only memcheck
    [ $rc = 1 ] && grep -q 'every case was skipped' "$T/r.json"
    result $? "on a GPU: nor is a sanitizer over nothing a success"
else
    for name in "on a GPU: exit status 0 when all passed" "the verdict names what is left out" \
        "the machine is described" "on a GPU: nothing but skips is a failure" \
        "on a GPU: nor is a sanitizer over nothing a success"; do
        skip "$name" "no C compiler or no CUDA libraries"
    done
fi

check --only nothing
[ $rc = 64 ] && [ ! -e "$T/r.json" ]
result $? "a part that does not exist: 64"
echo "1..$n"
