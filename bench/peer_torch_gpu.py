"""The nets of make gpu-bench in PyTorch: one process, one net, one measurement, one line of JSON.

Called by bench/gpu; by hand:  python3 bench/peer_torch_gpu.py --net resnet50 --precision bf16

The batch lies in the GPU's memory before the clock starts: nothing is read, decoded or uploaded.
Everything else of an iteration is there, the Faster R-CNN's targets, proposals and sampling included.
channels_last, cudnn.benchmark, the fused SGD; bf16 is autocast with fp32 weights; --compile puts
forward and loss through torch.compile.  Warm-up is --seconds from the third iteration on, whatever
compiling took; the rate is that of the median round (gpu_report.py, as for ohemtrain).  --limits measures what a large product and a large copy reach.
"""
import argparse
import json
import statistics
import sys
import time

import gpu_report
import peer_torch_frcnn


def lenet():
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(800, 500), nn.ReLU(inplace=True),
                         nn.Linear(500, 10))


def caffenet():
    nn = torch.nn

    def relu():
        return nn.ReLU(inplace=True)

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    def lrn():
        return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4), relu(), pool(), lrn(),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), relu(), pool(), lrn(),
        nn.Conv2d(256, 384, 3, padding=1), relu(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), relu(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), relu(), pool(), nn.Flatten(),
        nn.Linear(9216, 4096), relu(), nn.Dropout(),
        nn.Linear(4096, 4096), relu(), nn.Dropout(), nn.Linear(4096, 1000))


def residual(name):
    """Torchvision's, with the first pooling as in Caffe: 112 to 56 without padding."""
    import torchvision
    model = getattr(torchvision.models, name)()
    model.maxpool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
    return model


def resnet50():
    return residual('resnet50')


def resnext50():
    return residual('resnext50_32x4d')


COMPILING = 2  # iterations before which nothing says how fast it will be

CLASSIFIERS = {  # net: shape of an image, classes, usual batch
    'lenet': (lenet, (1, 28, 28), 10, 64),
    'caffenet': (caffenet, (3, 227, 227), 1000, 256),
    'resnet50': (resnet50, (3, 224, 224), 1000, 256),
    'resnext50': (resnext50, (3, 224, 224), 1000, 128),
}


def job(args):
    """(model, step: the loss of one iteration, images of it)"""
    if args.net == 'frcnn':
        return peer_torch_frcnn.job(args.device, args.height, args.width)
    maker, shape, classes, usual = CLASSIFIERS[args.net]
    batch = args.batch or usual
    model = maker().to(args.device, memory_format=torch.channels_last)
    x = torch.randn(batch, *shape, device=args.device).to(memory_format=torch.channels_last)
    y = torch.randint(0, classes, (batch,), device=args.device)
    loss = torch.nn.CrossEntropyLoss()
    return model, lambda: loss(model(x).float(), y), batch


def set_precision(precision):
    tf32 = precision != 'fp32'
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def wait(device):
    if device == 'cuda':
        torch.cuda.synchronize()


def measure(args):
    torch.manual_seed(1)
    set_precision(args.precision)
    model, step, images = job(args)
    params = sum(p.numel() for p in model.parameters())
    opt = torch.optim.SGD(model.parameters(), lr=1e-10, momentum=0.9, weight_decay=0.0005,
                          fused=args.device == 'cuda' or None)
    cast = torch.autocast(args.device, torch.bfloat16, enabled=args.precision == 'bf16')
    forward = torch.compile(step) if args.compile else step

    def iteration():
        opt.zero_grad(set_to_none=True)
        with cast:
            loss = forward()
        loss.backward()
        opt.step()
        return loss

    began = time.monotonic()
    each = warm_up(args, iteration)
    ready, made = time.monotonic(), graphs(args)
    if args.device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    k, rounds, first = gpu_report.round_of(each), [], time.monotonic()
    while time.monotonic() - first < args.seconds or len(rounds) * k < args.least:
        at = time.monotonic()
        for _ in range(k):
            loss = iteration()
        wait(args.device)
        rounds.append((k, time.monotonic() - at))
    last = time.monotonic()
    value = float(loss.detach())
    return dict(side='compile' if args.compile else 'eager', version=torch.__version__, net=args.net,
                precision=args.precision, **gpu_report.of_rounds(images, rounds),
                prepare_s=ready - began, params=params, compiled_graphs=made,
                recompiled=None if made is None else graphs(args) - made,
                loss=value if value == value else None,
                allocated_mb=torch.cuda.max_memory_allocated() / 1e6 if args.device == 'cuda' else None,
                first=first, last=last)


def warm_up(args, iteration):
    """--seconds of iterations after those that compile and choose; what one takes."""
    took, steady = [], time.monotonic()
    while len(took) < args.warm or time.monotonic() - steady < args.seconds:
        at = time.monotonic()
        iteration()
        wait(args.device)
        took.append(time.monotonic() - at)
        if len(took) <= COMPILING:
            steady = time.monotonic()
    return statistics.median(took[min(COMPILING, len(took) - 1):])


def graphs(args):
    """How many graphs torch.compile has made so far; None where it does not say."""
    if not args.compile:
        return None
    try:
        from torch._dynamo.utils import counters
        return int(counters['stats']['unique_graphs'])
    except (ImportError, KeyError, TypeError):
        return None


# ---- what the machine can do ----------------------------------------------------------------------

def seconds_of(device, run, seconds=0.5):
    for _ in range(3):
        run()
    wait(device)
    took, began = [], time.monotonic()
    while time.monotonic() - began < seconds or len(took) < 3:
        at = time.monotonic()
        for _ in range(5):
            run()
        wait(device)
        took.append((time.monotonic() - at) / 5)
    return statistics.median(took)


def limits(args):
    """FLOP/s of a square product in each precision, bytes/s of a copy (read and written)."""
    side, size = (8192, 1 << 32) if args.device == 'cuda' else (256, 1 << 22)
    out = dict(side='limits', version=torch.__version__, product=side, copied_bytes=size)
    for precision in ('fp32', 'tf32', 'bf16'):
        set_precision(precision)
        kind = torch.bfloat16 if precision == 'bf16' else torch.float32
        a, b = (torch.randn(side, side, device=args.device, dtype=kind) for _ in range(2))
        c = torch.empty_like(a)
        out[f'{precision}_flop_per_s'] = 2 * side ** 3 / seconds_of(
            args.device, lambda: torch.mm(a, b, out=c))
    x = torch.rand(size // 4, device=args.device)
    y = torch.empty_like(x)
    out['copy_bytes_per_s'] = 2 * size / seconds_of(args.device, lambda: y.copy_(x))
    del x, y
    n = (64, 21, 512, 512) if args.device == 'cuda' else (2, 21, 16, 16)
    x = torch.randn(n, device=args.device, requires_grad=True)
    y = torch.randint(0, n[1], (n[0],) + n[2:], device=args.device)

    def forward():
        return torch.nn.functional.cross_entropy(x, y, reduction='none')

    def both():
        x.grad = None
        forward().mean().backward()
    with torch.no_grad():
        out['cross_entropy_fwd_ms'] = 1e3 * seconds_of(args.device, forward)
    out['cross_entropy_both_ms'] = 1e3 * seconds_of(args.device, both)
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--net', choices=sorted(CLASSIFIERS) + ['frcnn'])
    p.add_argument('--precision', choices=('fp32', 'tf32', 'bf16'), default='fp32')
    p.add_argument('--compile', action='store_true')
    p.add_argument('--device', default='cuda')
    p.add_argument('--batch', type=int, help='default: that of the benchmark')
    p.add_argument('--height', type=int, default=600)
    p.add_argument('--width', type=int, default=1000)
    p.add_argument('--seconds', type=float, default=6)
    p.add_argument('--warm', type=int, default=10, help='iterations before the clock starts, at least')
    p.add_argument('--least', type=int, default=10, help='iterations, at least')
    p.add_argument('--limits', action='store_true')
    args = p.parse_args()
    if not args.limits and not args.net:
        p.error('--net or --limits')
    print(json.dumps(limits(args) if args.limits else measure(args)))


if __name__ == '__main__':
    try:
        import torch
    except ImportError as e:
        sys.exit(f'peer_torch_gpu: {e}')
    main()
