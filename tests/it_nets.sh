#!/bin/bash
# it_nets.sh - the real nets and solvers of ../shared/compat: each is parsed, planned and run for a
# step (tests/run_nets.c).
#
# TAP on stdout, one line a file.  B is the build folder (default build/release).
. "$(dirname "$0")/tap.sh"
NETS=${OT_SHARED:-../shared}/compat

if [ ! -d "$NETS" ]; then
    skip "real nets" "no folder $NETS"
    echo "1..$n"
    exit 0
fi
timeout 280 "$B/tests/run_nets" "$NETS" >"$T/lines" 2>"$T/err"
rc=$?
want=0
for file in $(sed -nE 's/^(OK|SKIP|FAIL) +([^ :]+).*/\2/p' "$T/lines" | sort -u); do
    grep -E "^(OK|SKIP|FAIL) +$file[ :]" "$T/lines" >"$T/out"
    sed 's/^/# /' "$T/out"
    if grep -q '^SKIP' "$T/out"; then
        skip "$file" "$(sed -n 's/^SKIP [^ ]* //p' "$T/out" | head -n 1)"
    else
        ! grep -q '^FAIL' "$T/out"
        result $? "$file"
    fi
done
tail -n 1 "$T/lines" >"$T/out"
grep -qE '^[0-9]+ passed, 0 failed, [0-9]+ skipped$' "$T/out"
result $? "run_nets comes to its end ($(cat "$T/out"))"
echo "1..$n"
