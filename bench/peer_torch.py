"""The benchmark's nets in PyTorch: one process, one net, one measurement, one line of JSON.

Called by bench/run; by hand:  python3 bench/peer_torch.py --net lenet --threads 2 --seconds 5

The batch is made before the clock starts and stays in memory: nothing is read, decoded or
converted while it runs.  Everything else of an iteration is there: zero_grad, forward, loss,
backward, SGD with momentum, weight decay and the doubled rate of biases.
"""
import argparse
import json
import resource
import sys
import time


def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def conv(i, o, k, **more):
    return torch.nn.Conv2d(i, o, k, **more)


def image_job(model, shape, classes, **sgd):
    """A classifier: step() is forward and loss."""
    x = torch.rand(shape)
    y = torch.randint(0, classes, shape[:1])
    loss = torch.nn.CrossEntropyLoss()
    return model, [x], lambda x: loss(model(x), y), shape[0], sgd


def lenet():
    nn = torch.nn
    return image_job(
        nn.Sequential(conv(1, 20, 5), nn.MaxPool2d(2), conv(20, 50, 5), nn.MaxPool2d(2),
                      nn.Flatten(), nn.Linear(800, 500), nn.ReLU(inplace=True),
                      nn.Linear(500, 10)),
        (64, 1, 28, 28), 10, lr=0.01, weight_decay=0.0005)


def cifar10_quick():
    nn = torch.nn
    return image_job(
        nn.Sequential(conv(3, 32, 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True),
                      nn.ReLU(inplace=True),
                      conv(32, 32, 5, padding=2), nn.ReLU(inplace=True),
                      nn.AvgPool2d(3, 2, ceil_mode=True),
                      conv(32, 64, 5, padding=2), nn.ReLU(inplace=True),
                      nn.AvgPool2d(3, 2, ceil_mode=True),
                      nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10)),
        (100, 3, 32, 32), 10, lr=0.001, weight_decay=0.004)


def vgg16():
    nn = torch.nn
    layers, channels = [], 3
    for block, (n, out) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        if block:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for _ in range(n):
            layers += [conv(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
            channels = out
    model = nn.Sequential(*layers)
    x = torch.rand(1, 3, 600, 800) * 255 - 120
    return model, [x], lambda x: model(x).sum(), 1, dict(lr=1e-12, weight_decay=0.0005)


def roi_grid(rois, images, pooled, scale, height, width):
    """One bilinear sample a bin: (images, rois of each x pooled, pooled, 2) in [-1, 1]."""
    at = (torch.arange(pooled) + 0.5) / pooled
    x = (rois[:, 0:1] + (rois[:, 2:3] - rois[:, 0:1]) * at) * scale
    y = (rois[:, 1:2] + (rois[:, 3:4] - rois[:, 1:2]) * at) * scale
    grid = torch.stack((x[:, None, :].expand(-1, pooled, -1),
                        y[:, :, None].expand(-1, -1, pooled)), -1)
    grid = 2 * grid / torch.tensor([width, height]) - 1
    return grid.reshape(images, -1, pooled, 2)


def frcnn():
    """Trunk, RPN head, RoI head, four losses; targets and RoIs are fixed."""
    nn = torch.nn
    images, per_image, anchors, classes = 4, 64, 9, 11

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            relu = nn.ReLU(inplace=True)
            self.low = nn.Sequential(
                conv(3, 32, 5, padding=2, stride=2), relu, conv(32, 48, 3, padding=1), relu,
                nn.MaxPool2d(2, ceil_mode=True), conv(48, 96, 3, padding=1), relu,
                conv(96, 96, 3, padding=1), relu)
            self.high = nn.Sequential(
                nn.MaxPool2d(2, ceil_mode=True), conv(96, 128, 3, padding=1), relu,
                conv(128, 128, 3, padding=1), relu, conv(128, 128, 3, padding=1), relu)
            self.rpn_cls, self.rpn_box = conv(128, 2 * anchors, 1), conv(128, 4 * anchors, 1)
            self.fc = nn.Sequential(nn.Linear(96 * 49, 256), relu, nn.Linear(256, 256), relu)
            self.cls, self.box = nn.Linear(256, classes), nn.Linear(256, 4 * classes)

        def forward(self, x, grid):
            low = self.low(x)
            high = self.high(low)
            roi = nn.functional.grid_sample(low, grid, align_corners=False)
            roi = roi.reshape(images, 96, per_image, 49).permute(0, 2, 1, 3).flatten(0, 1)
            top = self.fc(roi.flatten(1))
            return self.rpn_cls(high), self.rpn_box(high), self.cls(top), self.box(top)

    model = Net()
    corner = torch.rand(images * per_image, 2) * 100
    rois = torch.cat((corner, corner + 20 + torch.rand(images * per_image, 2) * 40), 1)
    grid = roi_grid(rois, images, 7, 0.25, 40, 40)
    rpn_label = torch.full((images, anchors * 20, 20), -1)
    rpn_label.view(images, -1)[:, :128] = torch.arange(128) % 2
    rpn_target = torch.randn(images, 4 * anchors, 20, 20)
    rpn_weight = (torch.rand_like(rpn_target) < 0.02).float()
    label = torch.randint(0, classes, (images * per_image,))
    target = torch.randn(images * per_image, 4 * classes)
    weight = (torch.rand_like(target) < 0.1).float()
    f = nn.functional

    def step(x):
        rpn_cls, rpn_box, cls, box = model(x, grid)
        rpn_cls = rpn_cls.reshape(images, 2, anchors * 20, 20)
        return (f.cross_entropy(rpn_cls, rpn_label, ignore_index=-1) +
                4 * (f.smooth_l1_loss(rpn_box * rpn_weight, rpn_target * rpn_weight,
                                      reduction='sum', beta=1 / 9) / images) +
                f.cross_entropy(cls, label) +
                f.smooth_l1_loss(box * weight, target * weight, reduction='sum') / len(label))

    x = torch.randn(images, 3, 160, 160)
    return model, [x], step, images, dict(lr=0.0005, weight_decay=0.0005, clip=20)


NETS = dict(lenet=lenet, cifar10_quick=cifar10_quick, vgg16=vgg16, frcnn=frcnn)


def optimizer(model, sgd, fused):
    weights = [p for p in model.parameters() if p.dim() > 1]
    biases = [p for p in model.parameters() if p.dim() == 1]
    lr, decay = sgd['lr'], sgd['weight_decay']
    how = dict(fused=True) if fused else {}
    return torch.optim.SGD([dict(params=weights), dict(params=biases, lr=2 * lr)], lr=lr,
                           momentum=0.9, weight_decay=decay, **how)


def measure(args):
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    imported = peak_kb()
    model, (x,), step, images, sgd = NETS[args.net]()
    if args.layout == 'channels_last':
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    opt = optimizer(model, sgd, args.fused)

    def iteration():
        opt.zero_grad()
        step(x).backward()
        if 'clip' in sgd:
            torch.nn.utils.clip_grad_norm_(model.parameters(), sgd['clip'])
        opt.step()

    warm = time.perf_counter()
    for i in range(20):
        iteration()
        if i >= 1 and time.perf_counter() - warm > args.seconds / 4:
            break
    n, start = 0, time.perf_counter()
    while n < args.least or time.perf_counter() - start < args.seconds:
        iteration()
        n += 1
    spent = time.perf_counter() - start
    return dict(side='torch', version=torch.__version__, net=args.net, threads=args.threads,
                layout=args.layout, fused=args.fused, iterations=n, seconds=round(spent, 4),
                images_per_s=n * images / spent, ms=1e3 * spent / n, peak_kb=peak_kb(),
                imported_kb=imported)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--net', choices=sorted(NETS), required=True)
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--layout', choices=('plain', 'channels_last'), default='plain')
    p.add_argument('--fused', action='store_true', help='SGD(fused=True)')
    p.add_argument('--seconds', type=float, default=5)
    p.add_argument('--least', type=int, default=2, help='iterations, at least')
    print(json.dumps(measure(p.parse_args())))


if __name__ == '__main__':
    try:
        import torch
    except ImportError as e:
        sys.exit(f'peer_torch: {e}')
    main()
