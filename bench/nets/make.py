#!/usr/bin/env python3
"""Writes the train nets of make gpu-bench, one solver and one net each, into a folder.

usage: bench/nets/make.py --out DIR [--net NAME] [--batch N] [--synthetic] [--source LMDB]

From the papers: AlexNet as Caffe's reference net has it (Krizhevsky et al. 2012; pooling before
normalisation), ResNet-50 (He et al. 2015), ResNeXt-50 32x4d (Xie et al. 2016), both with the stride
in the 3 x 3 convolution, and Faster R-CNN on VGG16 (Ren et al. 2015).  bench/peer_torch_gpu.py has
the same nets in PyTorch.  Only the training part.  The rate is so small that nothing is learned:
gradients keep their size, where a net that knows its labels would compute with zeros.

--synthetic: the input is a constant through a Dropout, random on the device: nothing is read or
uploaded, so that the input's share of the time can be told.
"""
import argparse
import os

CLASSES = 1000
SCENES = 11  # of ohemdata scenes, background included


class Text:
    """Layers one after another; each method returns the name of its top."""

    def __init__(self, name):
        self.lines = [f'name: "{name}"']
        self.common = ''  # of every layer with weights

    def layer(self, name, kind, bottoms, tops=None, more=''):
        tops = [name] if tops is None else tops
        io = ''.join(f' bottom: "{b}"' for b in bottoms) + ''.join(f' top: "{t}"' for t in tops)
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}"{io}{" " if more else ""}{more} }}')
        return tops[0]

    def conv(self, name, bottom, out, kernel, stride=1, pad=0, group=1, bias=True, per_anchor=0,
             std=None):
        size = f'per_anchor: {per_anchor}' if per_anchor else f'num_output: {out}'
        more = f'{size} kernel_size: {kernel}'
        more += f' stride: {stride}' if stride > 1 else ''
        more += f' pad: {pad}' if pad else ''
        more += f' group: {group}' if group > 1 else ''
        more += '' if bias else ' bias_term: false'
        fill = f'type: "gaussian" std: {std}' if std else 'type: "msra"'
        return self.layer(name, 'Convolution', [bottom], None,
                          f'{self.common}convolution_param {{ {more} weight_filler {{ {fill} }} }}')

    def ip(self, name, bottom, out, per_class=0, std=None):
        size = f'per_class: {per_class}' if per_class else f'num_output: {out}'
        # uniform values of 10^8 weights are drawn three times as fast as normal ones
        fill = f'type: "gaussian" std: {std}' if std else 'type: "xavier"'
        return self.layer(name, 'InnerProduct', [bottom], None, f'{self.common}inner_product_param {{ '
                          f'{size} weight_filler {{ {fill} }} }}')

    def relu(self, name, x):
        return self.layer(name, 'ReLU', [x], [x])

    def drop(self, name, x):
        return self.layer(name, 'Dropout', [x], [x], 'dropout_param { dropout_ratio: 0.5 }')

    def pool(self, name, x, kernel, stride, how='MAX'):
        return self.layer(name, 'Pooling', [x], None,
                          f'pooling_param {{ pool: {how} kernel_size: {kernel} stride: {stride} }}')

    def lrn(self, name, x):
        return self.layer(name, 'LRN', [x], None,
                          'lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }')

    def norm(self, name, x, relu=True):
        """Batch normalisation with scale and shift."""
        self.layer(f'bn{name}', 'BatchNorm', [x], [x])
        self.layer(f'scale{name}', 'Scale', [x], [x], 'scale_param { bias_term: true }')
        return self.relu(f'relu{name}', x) if relu else x

    def __str__(self):
        return '\n'.join(self.lines) + '\n'


def images(t, args, size, channels=3):
    """The input of a classifier: crops of an LMDB's pictures, or noise."""
    if args.synthetic:
        t.layer('data', 'DummyData', [], ['data', 'label'], 'dummy_data_param { shape { '
                f'dim: {args.batch} dim: {channels} dim: {size} dim: {size} }} '
                f'shape {{ dim: {args.batch} }} data_filler {{ type: "constant" value: 1 }} '
                'data_filler { type: "constant" value: 3 } }')
        t.drop('noise', 'data')
        return
    transform = 'scale: 0.00390625' if channels == 1 else (
        f'crop_size: {size} mirror: true mean_value: 104 mean_value: 117 mean_value: 123')
    t.layer('data', 'Data', [], ['data', 'label'], f'transform_param {{ {transform} }} '
            f'data_param {{ source: "{args.source}" backend: LMDB batch_size: {args.batch} '
            'shuffle: true }')


def loss(t, x):
    t.layer('loss', 'SoftmaxWithLoss', [x, 'label'], ['loss'])


def lenet(args):
    t = Text('lenet')
    images(t, args, 28, 1)
    x = t.pool('pool1', t.conv('conv1', 'data', 20, 5), 2, 2)
    x = t.pool('pool2', t.conv('conv2', x, 50, 5), 2, 2)
    x = t.relu('relu1', t.ip('ip1', x, 500))
    loss(t, t.ip('ip2', x, 10))
    return t


def caffenet(args):
    t = Text('caffenet')
    images(t, args, 227)
    x = t.relu('relu1', t.conv('conv1', 'data', 96, 11, stride=4))
    x = t.lrn('norm1', t.pool('pool1', x, 3, 2))
    x = t.relu('relu2', t.conv('conv2', x, 256, 5, pad=2, group=2))
    x = t.lrn('norm2', t.pool('pool2', x, 3, 2))
    x = t.relu('relu3', t.conv('conv3', x, 384, 3, pad=1))
    x = t.relu('relu4', t.conv('conv4', x, 384, 3, pad=1, group=2))
    x = t.relu('relu5', t.conv('conv5', x, 256, 3, pad=1, group=2))
    x = t.pool('pool5', x, 3, 2)
    for i in (6, 7):
        x = t.drop(f'drop{i}', t.relu(f'relu{i}', t.ip(f'fc{i}', x, 4096)))
    loss(t, t.ip('fc8', x, CLASSES))
    return t


def residual(name, args, group, width):
    """50 layers: four stages of bottlenecks; width: of the 3 x 3 convolution in the first stage."""
    t = Text(name)
    images(t, args, 224)
    x = t.norm('1', t.conv('conv1', 'data', 64, 7, stride=2, pad=3, bias=False))
    x = t.pool('pool1', x, 3, 2)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, out = width << stage, 256 << stage
        for b in range(blocks):
            n, stride = f'{stage + 2}{chr(97 + b)}', 2 if b == 0 and stage else 1
            short = x
            if b == 0:
                short = t.norm(f'{n}_short', t.conv(f'conv{n}_short', x, out, 1, stride=stride,
                                                    bias=False), relu=False)
            y = t.norm(f'{n}_1', t.conv(f'conv{n}_1', x, inner, 1, bias=False))
            y = t.norm(f'{n}_2', t.conv(f'conv{n}_2', y, inner, 3, stride=stride, pad=1, group=group,
                                        bias=False))
            y = t.norm(f'{n}_3', t.conv(f'conv{n}_3', y, out, 1, bias=False), relu=False)
            x = t.relu(f'relu{n}', t.layer(f'sum{n}', 'Eltwise', [short, y]))
    x = t.layer('pool5', 'Pooling', [x], None, 'pooling_param { pool: AVE global_pooling: true }')
    loss(t, t.ip('fc', x, CLASSES))
    return t


def resnet50(args):
    return residual('resnet50', args, 1, 64)


def resnext50(args):
    return residual('resnext50', args, 32, 128)


def vgg16(t, x):
    """conv1_1 to conv5_3, stride 16."""
    for block, (n, out) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for i in range(1, n + 1):
            x = t.relu(f'relu{block}_{i}', t.conv(f'conv{block}_{i}', x, out, 3, pad=1))
        if block < 5:
            x = t.pool(f'pool{block}', x, 2, 2)
    return x


def frcnn(args):
    """Whole images of about 600 x 1000, 9 anchors a place, 2000 proposals, 128 RoIs an image."""
    t = Text('vgg16_frcnn')
    t.lines += ['anchor_param { feat_stride: 16 base_size: 16 ratio: 0.5 ratio: 1 ratio: 2 '
                'scale: 8 scale: 16 scale: 32 }', f'num_classes: {SCENES}']
    t.common = 'param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 } '
    t.layer('data', 'DetectionData', [], ['data', 'im_info', 'gt_boxes', 'booked'],
            'transform_param { mean_value: 104 mean_value: 117 mean_value: 123 } '
            f'data_param {{ source: "{args.source}" backend: LMDB batch_size: {args.batch} '
            'shuffle: true } detection_data_param { short_side: 600 max_side: 1000 max_boxes: 32 }')
    trunk = vgg16(t, 'data')
    rpn = t.relu('relu_rpn', t.conv('rpn_conv', trunk, 512, 3, pad=1, std=0.01))
    score = t.conv('rpn_cls_score', rpn, 0, 1, per_anchor=2, std=0.01)
    box = t.conv('rpn_bbox_pred', rpn, 0, 1, per_anchor=4, std=0.01)
    pair = t.layer('rpn_cls_score_reshape', 'Reshape', [score], None,
                   'reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }')
    t.layer('rpn_data', 'AnchorTarget', [score, 'gt_boxes', 'im_info'],
            ['rpn_labels', 'rpn_targets', 'rpn_inside', 'rpn_outside'],
            'anchor_target_param { batch_size: 256 }')
    t.layer('rpn_loss_cls', 'SoftmaxWithLoss', [pair, 'rpn_labels'], ['rpn_cls'],
            'loss_param { ignore_label: -1 normalize: true }')
    t.layer('rpn_loss_bbox', 'SmoothL1Loss', [box, 'rpn_targets', 'rpn_inside', 'rpn_outside'],
            ['rpn_bbox'], 'loss_weight: 1 smooth_l1_loss_param { sigma: 3 }')
    prob = t.layer('rpn_cls_prob', 'Softmax', [pair])
    t.layer('proposal', 'Proposal', [prob, box, 'im_info'], ['rpn_rois'], 'proposal_param { '
            'pre_nms_top_n: 12000 post_nms_top_n: 2000 nms_thresh: 0.7 min_size: 16 }')
    t.layer('roi_data', 'ProposalTarget', ['rpn_rois', 'gt_boxes', 'im_info', 'booked'],
            ['rois', 'labels', 'targets', 'inside', 'outside', 'matched_gt', 'roi_weight'],
            'proposal_target_param { batch_size: 128 fg_fraction: 0.25 }')
    x = t.layer('roi_pool', 'ROIPooling', [trunk, 'rois'], None,
                'roi_pooling_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.0625 }')
    for i in (6, 7):
        x = t.drop(f'drop{i}', t.relu(f'relu{i}', t.ip(f'fc{i}', x, 4096)))
    t.layer('loss_cls', 'SoftmaxWithLossOHEM', [t.ip('cls_score', x, 0, per_class=1, std=0.01), 'labels',
                                                'roi_weight'],
            ['cls', 'cls_prob', 'cls_loss_per_roi'], 'loss_param { ignore_label: -1 }')
    t.layer('loss_bbox', 'SmoothL1Loss', [t.ip('bbox_pred', x, 0, per_class=4, std=0.001), 'targets',
                                          'inside', 'outside'], ['bbox'])
    return t


# name: maker, batch
NETS = {
    'lenet': (lenet, 64),
    'caffenet': (caffenet, 256),
    'resnet50': (resnet50, 256),
    'resnext50': (resnext50, 128),
    'frcnn': (frcnn, 1),
}

SOLVER = '''net: "{net}"
base_lr: 1e-10
lr_policy: "fixed"
momentum: 0.9
weight_decay: 0.0005
display: 0
max_iter: 100000000
snapshot_after_train: false
random_seed: 1
'''


def write(name, out, batch=None, synthetic=False, source=''):
    """The solver's path."""
    maker, usual = NETS[name]
    args = argparse.Namespace(batch=batch or usual, synthetic=synthetic, source=source)
    os.makedirs(out, exist_ok=True)
    stem = os.path.join(out, name + ('-synthetic' if synthetic else ''))
    with open(stem + '.prototxt', 'w', encoding='ascii') as f:
        f.write(str(maker(args)))
    with open(stem + '.conf', 'w', encoding='ascii') as f:
        f.write(SOLVER.format(net=stem + '.prototxt'))
    return stem + '.conf'


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument('--out', required=True)
    p.add_argument('--net', choices=NETS, action='append')
    p.add_argument('--batch', type=int)
    p.add_argument('--synthetic', action='store_true')
    p.add_argument('--source', default='')
    args = p.parse_args()
    for name in args.net or NETS:
        if not (args.synthetic and name == 'frcnn'):  # its regions need boxes
            print(write(name, args.out, args.batch, args.synthetic, args.source))


if __name__ == '__main__':
    main()
