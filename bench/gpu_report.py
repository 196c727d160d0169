"""What make gpu-bench makes of its measurements: shares of the limits, ratios against their targets,
the table for people."""

TARGETS = {'eager': 1.5, 'compile': 1.1}
COPY_TARGET = 0.8


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


def of_limits(row, known, limits):
    """Achieved FLOP/s and bytes/s, alone and over what a product and a copy reach there."""
    s = row['ms'] / 1e3
    out = dict(flop=known['flop'], bytes=traffic(known, row['precision']))
    out['flop_per_s'], out['bytes_per_s'] = out['flop'] / s, out['bytes'] / s
    if limits:
        out['of_product'] = out['flop_per_s'] / limits[row['precision'] + '_flop_per_s']
        out['of_copy'] = out['bytes_per_s'] / limits['copy_bytes_per_s']
    return out


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
                     f'{number(r["flop_per_s"], ".1f", 1e-12):>8} {number(r.get("of_product"), ".0%"):>8} '
                     f'{number(r.get("of_copy"), ".0%"):>7}')
    for r in (r for r in rows if r['kind'] == 'loss'):
        rate = f'{r["bytes_per_s"] / 1e12:.2f} TB/s, {r["of_copy"]:.0%} of copy' \
            if 'bytes_per_s' in r else f'{r["flop_per_s"] / 1e12:.1f} TFLOP/s'
        lines.append(f'{r["kernel"]} {"x".join(map(str, r["shape"]))}: {r["ms"]:.3f} ms, {rate}')
    for r in (r for r in rows if r['kind'] == 'ratio'):
        what = r.get('kernel') or f'{r["net"]} {r["precision"]}'
        lines.append(f'{what} against {r["against"]}: {r["ratio"]:.2f} (target {r["target"]}): '
                     f'{"met" if r["met"] else "MISSED"}')
    if any(r['kind'] == 'about' and r['proven'] for r in rows):
        lines = ['NO GPU: no figure below means anything'] + lines
    return '\n'.join(lines)
