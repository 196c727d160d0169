"""Faster R-CNN on VGG16 in PyTorch, as bench/nets/make.py has it: all of an iteration on the device,
one image.  Sampling is by random ranks, so that no shape depends on the data but that of the
proposals that survive suppression."""
import torch
from torch import nn
from torch.nn import functional as f

CLASSES, STRIDE, ANCHORS = 11, 16, 9
BOX_STD = (0.1, 0.1, 0.2, 0.2)


def vgg16():
    layers, channels = [], 3
    for block, (n, out) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        if block:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for _ in range(n):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
            channels = out
    return nn.Sequential(*layers)


def base_anchors():
    """9 boxes around (7.5, 7.5): areas of 16 x 16 times scales 8, 16, 32 squared, three ratios."""
    rows = []
    for ratio in (0.5, 1.0, 2.0):
        w = round((256 / ratio) ** 0.5)
        h = round(w * ratio)
        for scale in (8, 16, 32):
            dx, dy = (w * scale - 1) / 2, (h * scale - 1) / 2
            rows.append((7.5 - dx, 7.5 - dy, 7.5 + dx, 7.5 + dy))
    return torch.tensor(rows)


def all_anchors(height, width, device):
    """(height * width * 9, 4), place by place."""
    x, y = (torch.arange(n, device=device) * STRIDE for n in (width, height))
    yy, xx = torch.meshgrid(y, x, indexing='ij')
    shift = torch.stack((xx, yy, xx, yy), -1).reshape(-1, 1, 4)
    return (base_anchors().to(device) + shift).reshape(-1, 4)


def overlap(a, b):
    """IoU of every pair, sides counted with their last pixel."""
    def area(v):
        return (v[:, 2] - v[:, 0] + 1) * (v[:, 3] - v[:, 1] + 1)
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:],
                                                                             b[None, :, 2:])
    both = (high - low + 1).clamp(min=0).prod(2)
    return both / (area(a)[:, None] + area(b)[None] - both)


def centres(v):
    size = v[:, 2:] - v[:, :2] + 1
    return v[:, :2] + 0.5 * size, size


def encode(boxes, truth):
    (c, s), (tc, ts) = centres(boxes), centres(truth)
    return torch.cat(((tc - c) / s, torch.log(ts / s)), 1)


def decode(boxes, delta, height, width):
    c, s = centres(boxes)
    pc, ps = c + delta[:, :2] * s, s * delta[:, 2:].clamp(max=4.135).exp()
    out = torch.cat((pc - 0.5 * ps, pc + 0.5 * ps), 1)
    x, y = out[:, 0::2].clamp(0, width - 1), out[:, 1::2].clamp(0, height - 1)
    return torch.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), 1)


def draw(mask, most):
    """At random `most` of those in the mask, as a mask; `most` may be a tensor."""
    rank = torch.where(mask, torch.rand(mask.shape, device=mask.device), 2.0).argsort().argsort()
    return mask & (rank < most)


def anchor_targets(anchors, truth, height, width):
    inside = ((anchors[:, :2] >= 0).all(1) & (anchors[:, 2] < width) & (anchors[:, 3] < height))
    iou = torch.where(inside[:, None], overlap(anchors, truth), -1.0)
    best, which = iou.max(1)
    of_truth = (iou == iou.max(0).values.clamp(min=1e-6)).any(1)
    positive = draw(inside & ((best >= 0.7) | of_truth), 128)
    negative = draw(inside & (best < 0.3) & ~of_truth, 256 - positive.sum())
    label = torch.where(positive, 1, torch.where(negative, 0, -1))
    return label, encode(anchors, truth[which]), positive


def proposals(anchors, score, delta, height, width):
    from torchvision.ops import nms
    score, order = score.topk(min(12000, score.numel()))
    boxes = decode(anchors[order], delta[order], height, width)
    small = ((boxes[:, 2:] - boxes[:, :2] + 1) < 16).any(1)
    score = torch.where(small, -1.0, score)
    return boxes[nms(boxes, score, 0.7)[:2000]]


def roi_targets(rois, truth, label):
    rois = torch.cat((rois, truth))
    best, which = overlap(rois, truth).max(1)
    front = draw(best >= 0.5, 32)
    back = draw(best < 0.5, 128 - front.sum())
    # those drawn; where they are fewer than 128, others with label -1
    pick = (front.int() * 2 + back.int()).topk(min(128, len(rois)))
    kind, at = pick.values, pick.indices
    target = encode(rois[at], truth[which[at]]) / torch.tensor(BOX_STD, device=rois.device)
    return rois[at], torch.where(kind == 2, label[which[at]], torch.where(kind == 1, 0, -1)), target


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = vgg16()
        self.rpn = nn.Sequential(nn.Conv2d(512, 512, 3, padding=1), nn.ReLU(inplace=True))
        self.rpn_cls = nn.Conv2d(512, 2 * ANCHORS, 1)
        self.rpn_box = nn.Conv2d(512, 4 * ANCHORS, 1)
        self.top = nn.Sequential(nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True), nn.Dropout(),
                                 nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout())
        self.cls, self.box = nn.Linear(4096, CLASSES), nn.Linear(4096, 4 * CLASSES)
        for m in (self.rpn[0], self.rpn_cls, self.rpn_box, self.cls, self.box):
            nn.init.normal_(m.weight, std=0.001 if m is self.box else 0.01)
            nn.init.zeros_(m.bias)

    def loss(self, x, truth, label):
        """The four losses of one image."""
        from torchvision.ops import roi_pool
        height, width = x.shape[2:]
        features = self.trunk(x)
        rpn = self.rpn(features)
        anchors = all_anchors(*features.shape[2:], x.device)
        score = self.rpn_cls(rpn)[0].float().reshape(2, ANCHORS, -1).permute(2, 1, 0).reshape(-1, 2)
        delta = self.rpn_box(rpn)[0].float().reshape(ANCHORS, 4, -1).permute(2, 0, 1).reshape(-1, 4)
        with torch.no_grad():
            a_label, a_target, positive = anchor_targets(anchors, truth, height, width)
            found = proposals(anchors, score.softmax(1)[:, 1], delta, height, width)
            rois, r_label, r_target = roi_targets(found, truth, label)
        index = torch.zeros(len(rois), 1, device=x.device)
        pooled = roi_pool(features.float(), torch.cat((index, rois), 1), 7, 1 / STRIDE)
        top = self.top(pooled.flatten(1))
        cls, box = self.cls(top).float(), self.box(top).float().reshape(-1, CLASSES, 4)
        front = r_label > 0
        box = box[torch.arange(len(rois), device=x.device), r_label.clamp(min=0)]
        near = f.smooth_l1_loss(delta, a_target, reduction='none', beta=1 / 9).sum(1)
        off = f.smooth_l1_loss(box, r_target, reduction='none').sum(1)
        return (f.cross_entropy(score, a_label, ignore_index=-1) +
                (near * positive).sum() / 256 +
                f.cross_entropy(cls, r_label, ignore_index=-1) + (off * front).sum() / 128)


def job(device, height, width):
    model = Net().to(device, memory_format=torch.channels_last)
    x = (torch.rand(1, 3, height, width, device=device) * 255 - 120).to(
        memory_format=torch.channels_last)
    corner = torch.rand(6, 2, device=device) * torch.tensor([width / 2, height / 2], device=device)
    truth = torch.cat((corner, corner + 60 + 140 * torch.rand(6, 2, device=device)), 1)
    label = torch.randint(1, CLASSES, (6,), device=device)
    return model, lambda: model.loss(x, truth, label), 1
