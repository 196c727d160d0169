#!/bin/bash
# paths.sh - nothing in the tree belongs to one machine: no home folders, no private paths, no
# package registries, no unfinished marks.
set -eu
cd "$(dirname "$0")/../.."

bad=0
# The patterns are split so that this file does not match itself.
say() { # REGEX WHY FILES...
    local regex=$1 why=$2
    shift 2
    if git grep -nIE --untracked "$regex" -- "$@" ':!tools/lint/paths.sh'; then
        echo "^ $why" >&2
        bad=1
    fi
}
say '(^|[^A-Za-z0-9_.~/])/(home|root|Users|work|mnt|opt/[a-z]+)/' 'a path of one machine' .
say '(pypi|files\.pythonhosted|registry\.npmjs|conda\.anaconda|proxy\.golang|crates\.io)' \
    'a package registry' .
say '(^|[^A-Za-z_])(TODO|FIXME|XXX|HACK)([^A-Za-z_]|$)' 'unfinished' '*.c' '*.h' '*.cu' '*.cuh' Makefile \
    'tools/*' 'docs/*' '*.md'
exit $bad
