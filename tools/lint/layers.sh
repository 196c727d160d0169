#!/bin/bash
# layers.sh - the include graph is the one of the design, and every dependency has one door.
#
# Reads the #include lines of all sources; prints `file:line: why` and exits 1 on a breach.
set -eu
cd "$(dirname "$0")/../.."

awk '
BEGIN {
    # who may include whom, besides itself
    may["base"] = " "
    may["proto"] = " base "
    may["layers"] = " base proto "
    may["cuda"] = " base proto layers "
    may["data"] = " base proto "
    may["mining"] = " base "
    may["trainer"] = " base proto layers data mining "
    may["tools"] = " base proto layers data mining trainer "
    may["tests"] = may["bench"] = " base proto layers cuda data mining trainer tools "
    may["tests"] = may["tests"] "bench "

    door["oneapi/"] = "^layers/([a-z0-9_]*_cpu\\.c|cpu_[a-z0-9_]*\\.[ch])$"
    door["dnnl"] = door["oneapi/"]
    door["lmdb.h"] = "^data/"
    door["sqlite3.h"] = "^(mining/|tools/(ohem)?pool)"
    door["cuda"] = "^cuda/"
    door["cudnn"] = "^cuda/"
    door["cublas"] = "^cuda/"
    door["curand"] = "^cuda/"
    door["turbojpeg.h"] = "^data/"
    door["jpeglib.h"] = "^data/"
    door["png.h"] = "^data/"
    door["hdf5"] = "^data/hdf5\\.c$"
    door["expat.h"] = "^tools/"
}
function complain(why)
{
    printf "%s:%d: %s\n", FILENAME, FNR, why
    bad = 1
}
FNR == 1 {
    dir = FILENAME
    sub(/\/.*/, "", dir)
    comment = 0
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, q, "\"")
    to = q[2]
    if (to !~ /\//) {
        complain("include \"" to "\": write the folder too")
        next
    }
    sub(/\/.*/, "", to)
    if (to != dir && index(may[dir], " " to " ") == 0)
        complain(dir "/ must not include " q[2])
    if (dir == "mining" && q[2] ~ /^proto\//)
        complain("mining/ must not include " q[2])
    next
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    split($0, q, /[<>]/)
    if (dir != "tests" && dir != "bench")
        for (d in door)
            if (index(q[2], d) == 1 && FILENAME !~ door[d])
                complain("<" q[2] "> has its door elsewhere: " door[d])
    next
}
/^[ \t]*#[ \t]*if.*(CUDA|__CUDACC__)/ {
    if (dir != "cuda" && FILENAME != "base/hd.h")
        complain("no #if on CUDA outside cuda/ and the Makefile")
}
{
    line = $0
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)     # strings
    gsub(/\/\*[^*]*\*+([^\/*][^*]*\*+)*\//, "", line)
    if (comment) {
        if (line !~ /\*\//)
            next
        sub(/^.*\*\//, "", line)
        comment = 0
    }
    if (line ~ /\/\*/) {
        sub(/\/\*.*/, "", line)
        comment = 1
    }
    sub(/\/\/.*/, "", line)
    if (dir ~ /^(base|tools|tests|bench)$/)
        next
    if (line ~ /(^|[^A-Za-z0-9_>.])(printf|puts|putchar|exit|_exit|abort|getenv|secure_getenv)[ \t]*\(/ ||
        line ~ /(^|[^A-Za-z0-9_])f(printf|puts|putc)[ \t]*\(.*std(out|err)/ ||
        line ~ /(^|[^A-Za-z0-9_])std(out|err)[^A-Za-z0-9_]/)
        complain("the library neither prints, exits nor reads the environment: " $0)
    if (line ~ /(^|[^A-Za-z0-9_>.])(malloc|calloc|realloc|free|strdup|aligned_alloc|posix_memalign)[ \t]*\(/ &&
        dir != "cuda")
        complain("the heap has one door, base/mem.h: " $0)
}
END { exit bad }
' $(git ls-files -co --exclude-standard -- 'base/*.[ch]' 'proto/*.[ch]' 'layers/*.[ch]' 'cuda/*.[ch]' \
    'cuda/*.cu' 'cuda/*.cuh' 'data/*.[ch]' 'mining/*.[ch]' 'trainer/*.[ch]' 'tools/*.[ch]' \
    'tests/*.[ch]' 'bench/*.[ch]' | sort)
