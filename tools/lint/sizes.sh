#!/bin/bash
# sizes.sh - no file over 800 lines, no function over 80, no line over 100 columns.
#
# A function begins where a line is just `{` (Linux braces) and ends at the next line that is
# just `}`; its signature is not counted.
set -eu
cd "$(dirname "$0")/../.."

awk -v max_file=800 -v max_function=80 -v max_line=100 '
function complain(line, why)
{
    printf "%s:%d: %s\n", FILENAME, line, why
    bad = 1
}
FNR == 1 { open = 0 }
FNR == max_file + 1 { complain(FNR, "file has more than " max_file " lines") }
/^{$/ { open = FNR }
/^}/ {
    if (open && FNR - open + 1 > max_function)
        complain(open, "function has " (FNR - open + 1) " lines, more than " max_function)
    open = 0
}
length($0) > max_line && !/https?:/ { complain(FNR, "line has " length($0) " columns") }
/[ \t]$/ { complain(FNR, "blank at the end of the line") }
END { exit bad }
' $(git ls-files -co --exclude-standard -- '*.c' '*.h' '*.cu' '*.cuh' | sort)
