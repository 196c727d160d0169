#!/bin/bash
# it_badinput.sh - what ohemtrain says to wrong configs and nets: the place, the message, the exit
# code, in one line on stderr.
#
# TAP on stdout.  B is the build folder (default build/release).  The data is made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohemtrain

# Every message is ONE line that begins "ohemtrain: "; nothing may be left in the run folder.
refused() { # NAME RC TEXT ARGS...
    local name=$1 code=$2
    want=$3
    shift 3
    timeout 60 "$O" "$@" >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = "$code" ] && grep -qF -- "$want" "$T/err" &&
        [ "$(grep -c '^ohemtrain: ' "$T/err")" = 1 ] && [ ! -e "$T/run" ]
    result $? "$name"
}

# ---- 20 images of 12 x 12 in two classes ----
{
    bytes 0 0 8 3 0 0 0 20 0 0 0 12 0 0 0 12
    for ((i = 0; i < 10; i++)); do
        printf 'a%.0s' {1..144}
        printf '\200%.0s' {1..144}
    done
} >"$T/images"
{
    bytes 0 0 8 1 0 0 0 20
    for ((i = 0; i < 10; i++)); do bytes 0 1; done
} >"$T/labels"
"$B/ohemdata" idx "$T/images" "$T/labels" "$T/d.lmdb" >"$T/out" 2>"$T/err"
result $? "the data is made"

DATA="layer { name: 'data' type: 'Data' top: 'data' top: 'label'
  data_param { source: '$T/d.lmdb' batch_size: 4 backend: LMDB } }"
IP="layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip'
  inner_product_param { num_output: 2 weight_filler { type: 'xavier' } } }"
LOSS="layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'ip' bottom: 'label'
  top: 'loss' top: 'prob' top: 'each' }"
SOLVER="net: '$T/net.prototxt' base_lr: 0.01 lr_policy: 'fixed' max_iter: 4 run_dir: '$T/run'"

# ---- nets: the net is NET's text, refused by --check ----
net() { # NAME RC TEXT NET
    echo "$SOLVER" >"$T/a.conf"
    echo "$4" >"$T/net.prototxt"
    refused "$1" "$2" "$3" --check "$T/a.conf"
}
layer() { # NAME RC TEXT LAYER: the layer begins at line 3
    net "$1" "$2" "$3" "$DATA
$4"
}
P=$T/net.prototxt

echo "$SOLVER" >"$T/a.conf"
printf '%s\n' "$DATA" "$IP" "$LOSS" >"$P"
"$O" --check "$T/a.conf" >"$T/out" 2>"$T/err"
result $? "the net that all of these are changed from is fine"

layer "an unknown field names the near one" 78 \
    "$P:4:29: message type \"caffe.PoolingParameter\" has no field named \"ceil_mod\"; did you mean \"ceil_mode\"?" \
    "layer { name: 'p' type: 'Pooling' bottom: 'data' top: 'p'
  pooling_param { pool: MAX ceil_mod: false } }"
layer "an unknown field far from all" 78 \
    "$P:3:11: message type \"caffe.LayerParameter\" has no field named \"zzz\"" \
    "layer {   zzz: 1 }"
layer "a syntax error" 78 "$P:4:1: " "layer { name: 'p' type
}"
layer "a string that does not end" 78 "$P:3:15: " "layer { name: 'p"
layer "a brace that is not closed" 78 "$P:4:1: " "layer { name: 'p'"
layer "a bad enum value" 78 "$P:4:19: field \"pool\" (enum PoolMethod) must be one of MAX, AVE, STOCHASTIC, got MAXI" "layer { name: 'p' type: 'Pooling' bottom: 'data' top: 'p'
  pooling_param { pool: MAXI } }"
layer "a number that is none" 78 "$P:4:25: field \"num_output\" (uint32) must be an integer from 0 to 4294967295, got ten" "layer { name: 'p' type: 'InnerProduct' bottom: 'data' top: 'p'
  inner_product_param { num_output: ten } }"
layer "a negative pad" 78 "$P:4:25: field \"pad\" (uint32) must be an integer from 0 to 4294967295, got -1" "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c'
  convolution_param {   pad: -1 num_output: 1 kernel_size: 3 } }"
layer "an unknown layer type lists near names" 78 \
    "$P:3:19: layer 'p': unknown layer type \"Poling\"; near it: \"Pooling\"" \
    "layer { name: 'p' type: 'Poling' bottom: 'data' top: 'p' }"
layer "an unknown layer type is named before any other mistake of the net" 78 \
    "$P:4:19: layer 'q': unknown layer type \"Python\"" \
    "layer { name: 'p' type: 'ReLU' bottom: 'nowhere' top: 'p' }
layer { name: 'q' type: 'Python' bottom: 'p' top: 'q' }"
layer "a layer without a type" 78 "$P:3:1: layer 'p': the type is missing" \
    "layer { name: 'p' bottom: 'data' top: 'p' }"
layer "a bottom that nobody produces" 78 \
    "$P:3:33: layer 'p': bottom 'datta' is produced by no layer before it; did you mean 'data'?" \
    "layer { name: 'p' type: 'ReLU'  bottom: 'datta' top: 'p' }"
layer "a top that is produced twice" 78 \
    "$P:4:47: layer 'q': top 'p' is produced by layer 'p' already" \
    "layer { name: 'p' type: 'ReLU' bottom: 'data' top: 'p' }
layer { name: 'q' type: 'ReLU' bottom: 'data' top: 'p' }"
layer "in place on a blob that others read too" 78 \
    "$P:5:47: layer 'r': works in place on 'p', which other layers read as well; give it a top of its own" \
    "layer { name: 'p' type: 'ReLU' bottom: 'data' top: 'p' }
layer { name: 'q' type: 'ReLU' bottom: 'p'    top: 'q' }
layer { name: 'r' type: 'ReLU' bottom: 'p'    top: 'p' }"
layer "too few bottoms" 78 "$P:3:1: layer 'l': SoftmaxWithLoss takes " \
    "layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'data' top: 'l' }"
layer "too many tops" 78 "$P:3:1: layer 'p': ReLU has " \
    "layer { name: 'p' type: 'ReLU' bottom: 'data' top: 'p' top: 'q' }"
layer "too many bottoms for any layer" 78 "layer 'c': " \
    "layer { name: 'c' type: 'Concat' top: 'c' $(printf "bottom: 'data' %.0s" {1..40}) }"
layer "shapes that do not agree: both are said" 78 "4x1x12x12" \
    "layer { name: 'p' type: 'Pooling' bottom: 'data' top: 'p' pooling_param { kernel_size: 2 stride: 2 } }
layer { name: 'e' type: 'Eltwise' bottom: 'p' bottom: 'data' top: 'e' }"
grep -qF "4x1x6x6" "$T/err"
result $? "the other shape as well"
layer "scores and labels that do not agree" 78 "wanted 4 labels for scores 'ip' of shape 4x2, got shape 4x1x12x12" \
    "$IP
layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'data' top: 'l' }"
layer "num_output is missing" 78 "layer 'c': " \
    "layer { name: 'c' type: 'InnerProduct' bottom: 'data' top: 'c' inner_product_param { } }"
grep -qF "num_output" "$T/err"
result $? "it says num_output"
layer "kernel_size is missing" 78 "kernel_size" \
    "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' convolution_param { num_output: 3 } }"
layer "a kernel larger than the image" 78 "layer 'c': " \
    "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' convolution_param { num_output: 3 kernel_size: 99 } }"
layer "stride 0" 78 "stride" \
    "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' convolution_param { num_output: 3 kernel_size: 3 stride: 0 } }"
layer "a group that does not divide" 78 "group" \
    "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' convolution_param { num_output: 3 kernel_size: 3 group: 2 } }"
layer "an unknown filler" 78 "$P:3:116: layer 'c': filler of parameter 0: type: must be" \
    "layer { name: 'c' type: 'InnerProduct' bottom: 'data' top: 'c' inner_product_param { num_output: 3 weight_filler { type: 'xaver' } } }"
layer "dropout of all" 78 "dropout_ratio" \
    "layer { name: 'd' type: 'Dropout' bottom: 'data' top: 'd' dropout_param { dropout_ratio: 1.5 } }"
layer "include and exclude together" 78 "$P:4:37: layer 'p': include and exclude rules together" \
    "layer { name: 'p' type: 'ReLU' bottom: 'data' top: 'p'
  include { phase: TRAIN }          exclude { phase: TEST } }"
layer "too many loss weights" 78 "layer 'p': loss_weight: 2 values for 1 tops" \
    "layer { name: 'p' type: 'ReLU' bottom: 'data' top: 'p' loss_weight: 1 loss_weight: 1 }"
layer "propagate_down for some bottoms only" 78 "layer 'e': propagate_down: 1 values for 2 bottoms" \
    "layer { name: 'e' type: 'Eltwise' bottom: 'data' bottom: 'data' top: 'e' propagate_down: true }"
layer "more param specs than parameters" 78 "$P:3:86: layer 'ip': param: 3 given, the layer has 2" \
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip' param { } param { } param { }
  inner_product_param { num_output: 2 } }"
net "a net without layers" 78 "$P" "name: 'empty'"
net "batch_size is missing" 78 "batch_size" \
    "layer { name: 'data' type: 'Data' top: 'data' top: 'label' data_param { source: '$T/d.lmdb' } }"
grep -qF "$P:1:" "$T/err"
result $? "it says where"
net "source is missing" 78 "$P:1:" \
    "layer { name: 'data' type: 'Data' top: 'data' top: 'label' data_param { batch_size: 2 } }"
grep -qF "source" "$T/err"
result $? "it says source"
net "LEVELDB" 78 "$P:2:42: layer 'data': backend: only LMDB is supported, got LEVELDB" "layer { name: 'data' type: 'Data' top: 'data' top: 'label'
  data_param { source: 'x' batch_size: 2 backend: LEVELDB } }"
net "the LMDB is missing" 66 "$P:2:16: layer 'data': " "layer { name: 'data' type: 'Data' top: 'data' top: 'label'
  data_param { source: '$T/none.lmdb' batch_size: 2 } }"
net "a variable that is not set" 78 "OT_NO_SUCH" "layer { name: 'data' type: 'Data' top: 'data' top: 'label'
  data_param { source: '\${OT_NO_SUCH}/x' batch_size: 2 } }"
net "a crop larger than the image" 65 "crop_size 40 is larger than the image, got 12x12" "layer { name: 'data' type: 'Data' top: 'data' top: 'label'
  transform_param { crop_size: 40 } data_param { source: '$T/d.lmdb' batch_size: 2 } }"
net "a mean file that is missing" 66 "none.binaryproto" "layer { name: 'data' type: 'Data' top: 'data'
  transform_param { mean_file: 'none.binaryproto' } data_param { source: '$T/d.lmdb' batch_size: 2 } }"
net "old names of the data layer's transformation" 78 "data_param.scale is not supported; write it in transform_param" \
    "layer { name: 'data' type: 'Data' top: 'data' data_param { source: '$T/d.lmdb' batch_size: 2 scale: 0.5 } }"
net "V1 layers" 78 "$P:1:1: " "layers { name: 'data' type: DATA top: 'data' }"

# ---- solvers: the net is fine ----
printf '%s\n' "$DATA" "$IP" "$LOSS" >"$P"
C=$T/a.conf
conf() { # NAME RC TEXT CONF
    echo "$4" >"$C"
    refused "$1" "$2" "$3" --check "$C"
}
plus() { # NAME RC TEXT LINE: line 2 of the config
    conf "$1" "$2" "$3" "$SOLVER
$4"
}
refused "a config that is missing" 66 "$T/none.conf" --check "$T/none.conf"
refused "a config that is a folder" 66 "'$T' is a directory" --check "$T"
conf "no net" 78 "$C:1:1: exactly one of net, net_param, train_net and train_net_param" "base_lr: 1"
conf "a net that is missing" 66 "$C:1:1: " "net: '$T/none.prototxt' max_iter: 1"
plus "two nets" 78 "exactly one of net" "train_net: 'b'"
conf "max_iter is missing" 78 "max_iter is missing" "net: '$P' base_lr: 1 lr_policy: 'fixed'"
conf "base_lr is missing" 78 "base_lr" "net: '$P' lr_policy: 'fixed' max_iter: 1"
conf "an unknown lr_policy" 78 "$C:1:$((${#P} + 20)): lr_policy: must be fixed, step, exp, inv, multistep, poly or sigmoid, got \"slow\"" \
    "net: '$P' base_lr: 1 lr_policy: 'slow' max_iter: 1"
conf "a policy without its field" 78 "lr_policy \"step\" needs stepsize > 0" \
    "net: '$P' base_lr: 1 lr_policy: 'step' gamma: 0.1 max_iter: 1"
plus "an unknown solver type" 78 "$C:2:1: type: must be SGD, Nesterov, AdaGrad, RMSProp, AdaDelta or Adam, got \"Adan\"" "type: 'Adan'"
plus "a negative number" 78 "$C:2:1: iter_size: must be >= 1, got 0" "iter_size: 0"
plus "a momentum of 1" 78 "$C:2:1: momentum: must be in [0, 1), got 1" "momentum: 1"
plus "a NaN" 78 "$C:2:1: weight_decay: must be >= 0, got nan" "weight_decay: nan"
plus "test_iter without a test net" 78 "$C:2:1: test net 0: test_iter: must be >= 1, got 0" "test_iter: 0"
plus "mining: a bad value" 78 "$C:2:10: mining.quantile: must be in [0, 1], got 1.5" "mining { quantile: 1.5 }"
plus "mining: a bad batch" 78 "mining.batch: 99 samples, but the data set has only 20" "mining { batch: 99 }"
plus "mining: a bad enum" 78 "$C:2:10: field \"admit\" (enum Admit) must be one of QUANTILE, THRESHOLD, TOPK, got BEST" "mining { admit: BEST }"
plus "mining: an unknown field" 78 "no field named \"quantil\"; did you mean \"quantile\"?" "mining { quantil: 1 }"
plus "mining: no such layer" 78 "$C:2:10: " "mining { layer: 'none' }"
plus "mining: RoIs of a classifier" 78 "$C:2:10: kind: mining RoIs needs a ProposalTarget layer" "mining { kind: ROI }"
plus "mining: a negative threshold of writing" 78 "mining.flush_rows" "mining { flush_rows: 0 }"
printf '%s\n' "$DATA" "$IP" "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }" >"$P"
plus "mining: a loss that gives no instances" 78 "mining needs one SoftmaxWithLossOHEM layer with three tops" "mining { }"
printf '%s\n' "$DATA" "layer { name: 'more' type: 'Data' top: 'd2'
  data_param { source: '$T/d.lmdb' batch_size: 4 } }" "$IP" "$LOSS" >"$P"
plus "mining: two data layers" 78 "mining needs exactly one data layer" "mining { }"
printf '%s\n' "$DATA" "$IP" "$LOSS" >"$P"

# ---- the command line ----
echo "$SOLVER" >"$C"
refused "no config" 64 "one CONFIG is needed" --check
refused "an unknown option" 64 "see ohemtrain --help" --chek "$C"
refused "--set without a value" 64 "--set 'max_iter': must be path=value" --check --set max_iter "$C"
refused "--set of an unknown field" 78 "max_itr" --check --set max_itr=3 "$C"
refused "--set of a wrong value" 78 "max_iter" --check --set max_iter=many "$C"
refused "--set of a value out of range names --set" 78 "--set iter_size=0" --check --set iter_size=0 "$C"
refused "--set of a layer that is not there" 64 "the net has no layer 'conv9'" --check --set 'net.layer[conv9].top=x' "$C"
refused "--set of a field of a layer that is not there" 78 "num_outptu" --check --set 'net.layer[ip].inner_product_param.num_outptu=3' "$C"
refused "--time of nothing" 64 "--time: must be in [1, 1000000], got '0'" --time=0 "$C"
refused "--time of no number" 64 "--time: must be in [1, 1000000], got '3x'" --time=3x "$C"
refused "--test without weights" 64 "--test needs --weights" --test "$C"
refused "--weights and --resume" 64 "--weights and --resume" --weights a --resume=b "$C"
refused "weights that are missing" 66 "none.caffemodel" --weights "$T/none.caffemodel" "$C"
refused "weights that are none" 65 "$T/images" --weights "$T/images" "$C"
refused "a state that is missing" 66 "none.solverstate" --resume="$T/none.solverstate" "$C"
refused "a .caffemodel to resume from" 64 "to start from a .caffemodel use --weights" --resume="$T/a.caffemodel" "$C"
refused "an unknown device" 64 "device 'tpu'" --check --device tpu "$C"
refused "no CUDA here" 69 "cuda" --check --device cuda:9 "$C"
refused "a bad number of threads" 64 "--threads: must be in [0, 1024], got '-1'" --check --threads -1 "$C"
refused "--check and --test together" 64 "one at a time" --check --test "$C"
refused "--check of a resumed run" 64 "--resume is for training" --check --resume "$C"

echo "1..$n"
