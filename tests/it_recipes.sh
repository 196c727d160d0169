#!/bin/bash
# it_recipes.sh - docs/adding-a-field.md and docs/adding-a-layer.md, done as they say: their blocks are
# applied to a copy of the sources, which is built and run.  And what `make` does and leaves alone.
#
# A block ```diff is a patch; a block ```LANGUAGE PATH is a new file.  TAP on stdout.
. "$(dirname "$0")/tap.sh"
S=$T/src
M=(make -C "$S" MODE=debug CUDA=0 BUILD="$T/b" --no-print-directory)
D=$T/b/debug
TARGETS=("$D/ohemtrain" "$D/tests/test_softsign" "$D/tests/test_neuron_layers" "$D/tests/test_cuda")

for tool in "${CC:-gcc}" make patch protoc-c; do
    command -v "${tool%% *}" >/dev/null || {
        skip "the recipes build and run" "no $tool"
        exit 0
    }
done
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
[ ! -d ../shared ] || export OT_SHARED=${OT_SHARED:-$(cd ../shared && pwd)}

mkdir "$S"
{ git ls-files 2>/dev/null | grep . ||
    find Makefile base proto layers data mining trainer cuda tools tests docs -type f; } |
    tar -cf - -T - 2>/dev/null | tar -xf - -C "$S"

# Patches to $T/patch, new files into the copy; $T/files: all that the document touches.
extract() { # DOCUMENT
    awk -v root="$S/" -v patch="$T/patch" -v files="$T/files" '
        BEGIN { printf "" >patch; printf "" >files }
        /^```/ && out { if (out != patch) close(out); out = ""; next }
        /^```diff$/ { out = patch; next }
        /^```[a-z]+ / { out = root $2; print $2 >files; next }
        /^```/ { print "what is this block? " $0; exit 1 }
        out { print >out }
        out == patch && /^\+\+\+ b\// { print substr($2, 3) >files }' "$1"
}

recipe() { # DOCUMENT
    extract "$1" && patch -d "$S" -p1 -F0 --no-backup-if-mismatch <"$T/patch"
}

# The files of the blocks are those of the table, one row each, and as many as the text says.
listed() { # DOCUMENT
    grep "That is $(sort -u "$T/files" | wc -l) files" "$1" &&
        diff <(sed -n 's/^| \([a-z]*\/[^ ]*\) .*/\1/p' "$1" | sort) <(sort -u "$T/files")
}

holds() { # NAME COMMAND...
    local name=$1
    shift
    want="$*"
    "$@" >"$T/out" 2>"$T/err"
    rc=$?
    result $rc "$name"
}

passes() { # NAME WORD PROGRAM [ARG]: fails nowhere, and a test with WORD in its name passes
    local name=$1
    want="a test of $2"
    (cd "$S" && "${@:3}") >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = 0 ] && cat "$T/out" "$T/err" | grep -a '^\[       OK \]' | grep -qa "$2"
    result $? "$name"
}

for doc in adding-a-field adding-a-layer; do
    holds "the blocks of docs/$doc.md apply" recipe "docs/$doc.md"
    holds "its table lists exactly the files that they touch" listed "docs/$doc.md"
done

holds "the sources with both build" "${M[@]}" WERROR= -j2 "${TARGETS[@]}"
passes "the field computes" elu_with_a_scale_is_selu "$D/tests/test_neuron_layers"
passes "the layer's tests pass" the_gradient_equals "$D/tests/test_softsign"
if command -v "${CXX:-g++}" >/dev/null; then
    passes "the field on the host's CUDA is as on the CPU" "on the host" "$D/tests/test_cuda" 'selu*'
    passes "the layer on the host's CUDA is as on the CPU" "on the host" "$D/tests/test_cuda" \
        'softsign*'
else
    skip "field and layer on the host's CUDA" "no C++ compiler"
fi

# ---- a net with both ----
cat >"$T/net.prototxt" <<END
layer { name: 'x' type: 'DummyData' top: 'x' top: 'y' dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: 'gaussian' } } }
layer { name: 's' type: 'ELU' bottom: 'x' top: 's' elu_param { alpha: 1.67326 scale: 1.0507 } }
layer { name: 't' type: 'Softsign' bottom: 's' top: 't' softsign_param { knee: 0.5 } }
layer { name: 'p' type: 'InnerProduct' bottom: 't' top: 'p' inner_product_param { num_output: 2 } }
layer { name: 'l' type: 'EuclideanLoss' bottom: 'p' bottom: 'y' top: 'l' }
END
echo "net: '$T/net.prototxt' base_lr: 0.1 lr_policy: 'fixed' max_iter: 3 run_dir: '$T/run'" >"$T/a.conf"
holds "ohemtrain --check takes a net with both" "$D/ohemtrain" --check "$T/a.conf"
holds "and trains it" "$D/ohemtrain" "$T/a.conf"
refuses() { # TEXT SET
    ! "$D/ohemtrain" --check "$T/a.conf" --set "$2" >"$T/said" 2>&1 && cat "$T/said" &&
        grep -qF "$1" "$T/said"
}
holds "--set knows the field, and the layer refuses a bad value" \
    refuses "scale: must be > 0, got -1" 'net.layer[s].elu_param.scale=-1'

# ---- what make does again ----
again() { # the compilations and links of a make, without the blanks
    "${M[@]}" "${TARGETS[@]}" 2>&1 | sed -n 's/^ *\(CC\|CXX\|LD\) */\1 /p'
}
nothing() {
    local did
    did=$(again)
    echo "$did"
    [ -z "$did" ]
}
one_object() {
    touch "$S/layers/relu.c"
    again | tee "$T/did"
    [ "$(grep -v '^LD' "$T/did")" = 'CC layers/relu.c' ] && [ "$(grep -c '^LD' "$T/did")" = 4 ]
}
its_readers() {
    touch "$S/proto/layer_params.proto"
    "${M[@]}" -n "${TARGETS[@]}" | sed -n "s/^echo '  CC *\(.*\)'/\1/p" | tee "$T/did"
    grep -q '^layers/relu.c' "$T/did" && ! grep '^base/\|^mining/' "$T/did"
}
holds "a second make does nothing" nothing
holds "a change of one layer's source compiles one object and links" one_object
holds "a change of layer_params.proto compiles what includes it, not base and mining" its_readers
echo "1..$n"
