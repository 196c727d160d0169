# tap.sh - what the shell tests share: the build folder B, a temporary folder T, TAP lines.
#
# Sourced first:  . "$(dirname "$0")/tap.sh"
set -u

B=${B:-build/release}
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
n=0

# Failing, a test shows what the program said ($T/out, $T/err), its exit status rc and `want`.
result() { # STATUS NAME
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
        return
    fi
    echo "not ok $n - $2"
    echo "# rc ${rc:-}, wanted: ${want:-}"
    tail -n 20 "$T/out" "$T/err" 2>/dev/null | sed 's/^/# /'
}

skip() { # NAME WHY
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

bytes() { # BYTE...: decimal
    local b
    for b; do printf "\\x$(printf %02x "$b")"; done
}

two_classes() { # 100 images of 12 x 12 in two classes, dark and light, every tenth label wrong
    {
        bytes 0 0 8 3 0 0 0 100 0 0 0 12 0 0 0 12
        for ((i = 0; i < 50; i++)); do
            printf 'a%.0s' {1..144}
            printf '\200%.0s' {1..144}
        done
    } >"$T/images"
    {
        bytes 0 0 8 1 0 0 0 100
        for ((i = 0; i < 100; i++)); do bytes $(((i + (i % 10 == 7)) % 2)); done
    } >"$T/labels"
}
