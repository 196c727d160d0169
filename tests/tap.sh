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

# A driver of one GPU for ctypes, in the folder $T/driver: what it is called, 42 % busy, a gigabyte in use.
fake_driver() {
    mkdir -p "$T/driver" && "${CC:-cc}" -shared -fPIC -o "$T/driver/libcuda.so.1" -x c - <<'END' &&
#include <string.h>
#include <stddef.h>
int cuInit(unsigned f) { return f != 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return i != 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, "Fake GPU", (size_t)n); return d; }
int cuDeviceTotalMem_v2(size_t *n, int d) { *n = (size_t)80 << 30; return d; }
int cuDeviceGetPCIBusId(char *s, int n, int d) { strncpy(s, "0000:17:00.0", (size_t)n); return d; }
int cuDriverGetVersion(int *v) { *v = 13020; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d)
{
    *v = a == 75 ? 9 : a == 76 ? 0 : a == 16 ? 132 : 50 << 20;
    return d;
}
END
    "${CC:-cc}" -shared -fPIC -o "$T/driver/libnvidia-ml.so.1" -x c - <<'END'
#include <string.h>
static int calls;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **h) { *h = &calls; return strcmp(bus, "0000:17:00.0") != 0; }
int nvmlSystemGetDriverVersion(char *s, unsigned n) { strncpy(s, "580.1", n); return 0; }
int nvmlDeviceGetUtilizationRates(void *h, unsigned *use) { use[0] = 42; use[1] = 7; return h != &calls; }
int nvmlDeviceGetMemoryInfo(void *h, unsigned long long *m)
{
    m[0] = 80ull << 30;
    m[2] = calls++ ? 3000000000ull : 1000000000ull;
    m[1] = m[0] - m[2];
    return h != &calls;
}
int nvmlDeviceGetClockInfo(void *h, int type, unsigned *mhz) { *mhz = type == 1 ? 1980 : 0; return h != &calls; }
END
}
