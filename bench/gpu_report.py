"""What make gpu-bench makes of its measurements: shares of the limits, ratios against their targets,
the table for people."""

import math
import statistics

TARGETS = {'eager': 1.5, 'compile': 1.1}
PEERS = tuple(TARGETS)
COPY_TARGET = 0.8
ROUND_S = 0.25  # of iterations between two looks at the clock


def find(rows, kind, **what):
    for r in rows:
        if r['kind'] == kind and all(r.get(k) == v for k, v in what.items()):
            return r
    return None


def traffic(known, precision):
    """Bytes that an iteration moves when every blob is written once and read once forward, and
    backward read once more with its gradient written and read: 2.5 of the 2 arrays that --check
    counts, half of that in bf16; and 8 accesses of each parameter in single precision: read
    forward and backward, the gradient written and read, weight and momentum read and written."""
    return 2.5 * known['blobs'] * (0.5 if precision == 'bf16' else 1.0) + 32.0 * known['params']


def work(row, known):
    """Operations and bytes of an iteration."""
    return dict(flop=known['flop'], bytes=traffic(known, row['precision']))


def shares(row, limits):
    """Achieved FLOP/s and bytes/s, alone and over what a product and a copy reach there."""
    if row['kind'] != 'training' or 'flop' not in row:
        return {}
    s = row['ms'] / 1e3
    out = dict(flop_per_s=row['flop'] / s, bytes_per_s=row['bytes'] / s)
    if limits:
        out['of_product'] = out['flop_per_s'] / limits[row['precision'] + '_flop_per_s']
        out['of_copy'] = out['bytes_per_s'] / limits['copy_bytes_per_s']
    return out


# ---- the rate, of both sides in the same way ------------------------------------------------------

def round_of(seconds):
    """How many iterations of this length are a round."""
    return max(1, math.ceil(ROUND_S / max(seconds, 1e-9)))


def split(times):
    """Rounds of the moments at which iterations ended: (iterations, seconds) each; three at least
    where there are iterations for them."""
    n = len(times) - 1
    k = min(round_of((times[-1] - times[0]) / n), max(1, n // 3))
    return [(k, times[i + k] - times[i]) for i in range(0, n - k + 1, k)]


def of_rounds(images, rounds):
    """The rate of the median round: one in which something else happened does not count."""
    each = statistics.median(s / n for n, s in rounds)
    n, s = (sum(column) for column in zip(*rounds))
    return dict(images=images, iterations=n, seconds=s, rounds=len(rounds), ms=1e3 * each,
                images_per_s=images / each, mean_ms=1e3 * s / n)


# ---- what it says ---------------------------------------------------------------------------------

def broken(rows):
    """Did anything of ours fail?  That PyTorch or its compiler is not whole there is no error."""
    return any(r.get('side') not in PEERS and (r['kind'] == 'failed' or 'failed_tries' in r)
               for r in rows)


def ratios(rows):
    """One row per comparison that has a target.  The copy is the faster of ours and PyTorch's."""
    limits = find(rows, 'limits')
    copy = max([r['bytes_per_s'] for r in rows if r['kind'] == 'loss' and r['kernel'] == 'copy'] +
               ([limits['copy_bytes_per_s']] if limits else []), default=None)
    for r in rows:
        if r['kind'] == 'training' and r['side'] == 'ohemtrain':
            for side, target in TARGETS.items():
                peer = find(rows, 'training', net=r['net'], precision=r['precision'], side=side)
                if peer:
                    v = r['images_per_s'] / peer['images_per_s']
                    yield dict(kind='ratio', net=r['net'], precision=r['precision'], against=side,
                               ratio=v, target=target, met=v >= target)
        elif r['kind'] == 'loss' and r['kernel'].startswith('softmax'):
            v = r['bytes_per_s'] / copy
            yield dict(kind='ratio', kernel=r['kernel'], against='copy', ratio=v,
                       target=COPY_TARGET, met=v >= COPY_TARGET)


def number(v, form, scale=1.0):
    return '-' if v is None else format(v * scale, form)


def table(rows):
    lines = [f'{"net":<10} {"":<5} {"side":<10} {"images/s":>9} {"ms":>8} {"peak MB":>8} {"busy":>5} '
             f'{"wait":>6} {"TFLOP/s":>8} {"of prod.":>8} {"of copy":>7}']
    for r in (r for r in rows if r['kind'] == 'training'):
        lines.append(f'{r["net"]:<10} {r["precision"]:<5} {r["side"]:<10} {r["images_per_s"]:>9.1f} '
                     f'{r["ms"]:>8.2f} {number(r.get("peak_mb"), ".0f"):>8} '
                     f'{number(r.get("busy"), ".0%"):>5} {number(r.get("wait_share"), ".1%"):>6} '
                     f'{number(r.get("flop_per_s"), ".1f", 1e-12):>8} {number(r.get("of_product"), ".0%"):>8} '
                     f'{number(r.get("of_copy"), ".0%"):>7}')
    for r in (r for r in rows if r['kind'] == 'loss'):
        rate = f'{r["bytes_per_s"] / 1e12:.2f} TB/s, {r["of_copy"]:.0%} of copy' \
            if 'bytes_per_s' in r else f'{r["flop_per_s"] / 1e12:.1f} TFLOP/s'
        lines.append(f'{r["kernel"]} {r.get("stored", "")} {"x".join(map(str, r["shape"]))}: {r["ms"]:.3f} ms, {rate}')
    for r in (r for r in rows if r['kind'] == 'ratio'):
        what = r.get('kernel') or f'{r["net"]} {r["precision"]}'
        lines.append(f'{what} against {r["against"]}: {r["ratio"]:.2f} (target {r["target"]}): '
                     f'{"met" if r["met"] else "MISSED"}')
    for r in (r for r in rows if r['kind'] == 'failed'):
        what = ' '.join(r[k] for k in ('part', 'net', 'precision', 'side') if k in r)
        lines.append(f'{what}: FAILED: {r["words"]}')
    if any(r['kind'] == 'about' and r['proven'] for r in rows):
        lines = ['NO GPU: no figure below means anything'] + lines
    return '\n'.join(lines)
