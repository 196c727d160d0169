#!/bin/bash
# headers.sh - every header compiles alone, as C11; those shared with CUDA also as C++17.
#
# usage: tools/lint/headers.sh [GENERATED_DIR]   (default build/gen)
set -eu
cd "$(dirname "$0")/../.."

gen=${1:-build/gen}
cc=${CC:-gcc}
cxx=${CXX:-g++}
flags="-fsyntax-only -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -I. -I$gen"
bad=0

# A wrapper file, since a header compiled as the main file warns about its own `static inline`.
check() { # COMPILER STANDARD LANGUAGE HEADER
    printf '#include "%s"\n#include "%s"\n' "$4" "$4" |
        $1 -std="$2" $flags -x "$3" - 2>/tmp/headers.$$ || {
        sed "s|^|$4: as $2: |" /tmp/headers.$$
        bad=1
    }
}
trap 'rm -f /tmp/headers.$$' EXIT

for h in $(git ls-files -co --exclude-standard -- 'base/*.h' 'proto/*.h' 'layers/*.h' 'data/*.h' \
    'mining/*.h' 'trainer/*.h' 'tools/*.h' 'tests/*.h' 'bench/*.h' | sort); do
    check "$cc" c11 c "$h"
    case $h in
    *_math.h | */geom.h | */tensor.h | */rng.h | */hd.h | */device.h)
        if command -v "$cxx" >/dev/null; then
            check "$cxx" c++17 c++ "$h"
        fi ;;
    esac
done
exit $bad
