#!/bin/bash
# it_opencv.sh - weights that ohemtrain wrote, read by a stranger: OpenCV's dnn module loads our
# .caffemodel beside a deploy prototxt and computes what we compute.
#
# TAP on stdout.  B is the build folder (default build/release).  The data is made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohemtrain
BOUND=1e-5

python=
for p in "${PYTHON:-python3}" /usr/bin/python3; do
    [ -n "$python" ] || ! "$p" -c 'import cv2.dnn, numpy' 2>/dev/null || python=$p
done
if [ -z "$python" ]; then
    skip "OpenCV reads our weights" "no python3 imports cv2 (Debian: python3-opencv)"
    echo "1..$n"
    exit 0
fi

# ---- 40 images of 29 x 31, noise that depends on the label a little ----
"$python" - "$T" <<'END'
import struct, sys
import numpy as np
rng = np.random.RandomState(7)
label = (np.arange(40) % 5).astype(np.uint8)
image = (rng.randint(0, 200, (40, 29, 31)) + 11 * label[:, None, None]).astype(np.uint8)
with open(sys.argv[1] + "/images", "wb") as f:
    f.write(struct.pack(">iiii", 0x803, 40, 29, 31) + image.tobytes())
with open(sys.argv[1] + "/images28", "wb") as f:
    f.write(struct.pack(">iiii", 0x803, 40, 28, 28) + image[:, :28, :28].tobytes())
with open(sys.argv[1] + "/labels", "wb") as f:
    f.write(struct.pack(">ii", 0x801, 40) + label.tobytes())
END
"$B/ohemdata" idx "$T/images" "$T/labels" "$T/d.lmdb" >"$T/out" 2>"$T/err"
result $? "the data is made"

# ---- one net, as a training net and as a deploy net ----
"$O" layers >"$T/layers"
has() { # TYPE: this build knows it
    grep -q "^$1 " "$T/layers"
}
{
    cat <<'END'
layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1'
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: 'xavier' } } }
END
    ! has BatchNorm || cat <<'END'
layer { name: 'bn1' type: 'BatchNorm' bottom: 'conv1' top: 'conv1' }
END
    ! has Scale || cat <<'END'
layer { name: 'scale1' type: 'Scale' bottom: 'conv1' top: 'conv1' scale_param { bias_term: true } }
END
    ! has LRN || cat <<'END'
layer { name: 'norm1' type: 'LRN' bottom: 'conv1' top: 'conv1'
  lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 } }
END
    cat <<'END'
layer { name: 'relu1' type: 'ReLU' bottom: 'conv1' top: 'conv1' }
layer { name: 'pool1' type: 'Pooling' bottom: 'conv1' top: 'pool1'
  pooling_param { pool: MAX kernel_size: 3 stride: 2 ceil_mode: false } }
layer { name: 'left' type: 'Convolution' bottom: 'pool1' top: 'left'
  convolution_param { num_output: 8 kernel_size: 1 group: 2 weight_filler { type: 'xavier' } } }
layer { name: 'right' type: 'Convolution' bottom: 'pool1' top: 'right'
  convolution_param { num_output: 8 kernel_size: 3 pad: 2 dilation: 2 bias_term: false
    weight_filler { type: 'gaussian' std: 0.2 } } }
layer { name: 'sum' type: 'Eltwise' bottom: 'left' bottom: 'right' top: 'sum'
  eltwise_param { operation: SUM coeff: 1 coeff: -0.5 } }
layer { name: 'leaky' type: 'ReLU' bottom: 'sum' top: 'leaky' relu_param { negative_slope: 0.1 } }
layer { name: 'both' type: 'Concat' bottom: 'leaky' bottom: 'left' top: 'both' }
layer { name: 'pool2' type: 'Pooling' bottom: 'both' top: 'pool2'
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'pool2' top: 'ip'
  inner_product_param { num_output: 5 weight_filler { type: 'xavier' } } }
END
} >"$T/body"
{
    echo "name: 'stranger'"
    for phase in TRAIN TEST; do
        echo "layer { name: 'data' type: 'Data' top: 'data' top: 'label' include { phase: $phase }
  transform_param { scale: 0.00390625 mean_value: 100 }
  data_param { source: '$T/d.lmdb' batch_size: 5 backend: LMDB } }"
    done
    cat "$T/body"
    echo "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss'
  include { phase: TRAIN } }
layer { name: 'prob' type: 'Softmax' bottom: 'ip' top: 'prob' include { phase: TEST } }
layer { name: 'quiet' type: 'Silence' bottom: 'label' include { phase: TEST } }"
} >"$T/net"
{
    echo "name: 'stranger'
input: 'data' input_shape { dim: 5 dim: 1 dim: 29 dim: 31 }"
    cat "$T/body"
    echo "layer { name: 'prob' type: 'Softmax' bottom: 'ip' top: 'prob' }"
} >"$T/deploy"
echo "net: '$T/net' run_dir: '$T/run' base_lr: 0.02 momentum: 0.9 lr_policy: 'fixed' max_iter: 30
test_iter: 1 test_interval: 1000 test_initialization: false snapshot_diff: true random_seed: 3" \
    >"$T/conf"
timeout 120 "$O" "$T/conf" >"$T/out" 2>"$T/err"
rc=$?
want=0
result $rc "the net is trained"
W=$T/run/conf_iter_30.caffemodel
timeout 120 "$O" --test --weights "$W" "$T/conf" >"$T/prob" 2>"$T/err"
rc=$?
[ $rc = 0 ] && [ "$(grep -c '^prob = ' "$T/prob")" = 25 ]
result $? "and says what it computes"

# ---- the same from OpenCV ----
cat >"$T/run.py" <<'END'
import sys
import cv2, numpy as np
deploy, weights, images, prob, bound = sys.argv[1:]
with open(images, "rb") as f:
    f.seek(16)
    x = np.frombuffer(f.read(5 * 29 * 31), np.uint8).reshape(5, 1, 29, 31)
net = cv2.dnn.readNetFromCaffe(deploy, weights)
net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
net.setInput((x.astype(np.float32) - 100) * np.float32(1 / 256))
theirs = net.forward("prob").reshape(-1)
ours = np.array([float(l.split("=")[1]) for l in open(prob)])
worst = np.abs(ours - theirs).max()
print("# OpenCV %s: %d outputs, spread %.3f, max abs difference %.2e (bound %s)"
      % (cv2.__version__, ours.size, ours.max() - ours.min(), worst, bound))
assert ours.max() - ours.min() > 0.05, "the outputs are all alike"
assert worst <= float(bound)
END
"$python" "$T/run.py" "$T/deploy" "$W" "$T/images" "$T/prob" $BOUND >"$T/out" 2>"$T/err"
rc=$?
grep '^#' "$T/out"
result $rc "OpenCV loads the weights and agrees"

# ---- our own messages in it: what a strict parser does not know it must step over ----
"$B/ohemdata" scenes --out "$T/s.lmdb" --images "$T/images28" --labels "$T/labels" --count 4 \
    --size 96x96 --seed 1 --encode none >"$T/out" 2>"$T/err" &&
    timeout 120 "$O" --no-mining --set "run_dir='$T/det'" --set max_iter=1 --set test_interval=0 \
        --set "net.layer[data].data_param.source='$T/s.lmdb'" --set eval.draw=0 \
        --set "net.layer[data].detection_data_param.short_side=96" configs/frcnn.conf \
        >"$T/out" 2>"$T/err"
rc=$?
result $rc "a detector is trained for one iteration"
echo "input: 'data' input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' }" >"$T/any"
"$python" -c 'import sys, cv2; cv2.dnn.readNetFromCaffe(sys.argv[1], sys.argv[2])' \
    "$T/any" "$T/det/frcnn_iter_1.caffemodel" >"$T/out" 2>"$T/err"
rc=$?
result $rc "OpenCV's strict parser reads its weights"

echo "1..$n"
