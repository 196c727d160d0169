"""The part `nets` of make gpu-check: whole trainings on the CPU and on the GPU.

Each net is trained by ohemtrain for 50 iterations from one seed, with its pool.  In single precision
the losses must agree at every iteration and the pools must hold the same rows in the same states: a
decision that differs is a failure, and the first iteration at which the losses part is reported.
That holds for deterministic algorithms and for those that are measured, which a user gets.  Two
deterministic runs on the GPU must agree bit for bit, with iterations recorded as graphs and without,
and so must two in bf16.  TF32 and bf16 compute something else: there the mean loss must come within a
tenth.  Each net must have trained on batches from its pool, or the pools prove little.

The rates are lower than those of the configs, where rounding alone grows until decisions change: on
the CPU, one thread against two, Faster R-CNN's losses part at iteration 9 and 54 of 294 rows differ.
At these rates the rows are the same, LeNet's losses agree to 1.1e-7, Faster R-CNN's to 1.7e-3 (a RoI or
two of 256 chosen otherwise), also with inputs that differ by 5e-6.
"""
import json
import math
import os
import shutil
import sqlite3
import subprocess

import gpu_machine as gm
import synthetic_data

MEAN_TOLERANCE = 0.1
SAME = ('deterministic=true', 'compute=FP32')
SAME_BF16 = ('deterministic=true', 'compute=BF16')
# name, settings, with what it is compared, how
RUNS = (
    ('one_thread', ('threads=1',), 'cpu', 'control'),  # on the CPU too: what rounding alone does
    ('fp32', SAME, 'cpu', 'losses'),
    ('again', SAME, 'fp32', 'bits'),
    ('unrecorded', SAME + ('cuda_graphs=false',), 'fp32', 'bits'),
    ('measured', ('compute=FP32', 'deterministic=false'), 'cpu', 'losses'),
    ('tf32', ('compute=TF32',), 'cpu', 'mean'),
    ('bf16', ('compute=BF16',), 'cpu', 'mean'),
    ('bf16_same', SAME_BF16, 'cpu', 'mean'),
    ('bf16_again', SAME_BF16, 'bf16_same', 'bits'),
)


def nets(check, folder):
    """{net: (config, data, settings, by how much losses may differ)}"""
    build = check.args.build
    return {
        'lenet': ('bench/nets/mining_lenet.conf', synthetic_data.digits(build, folder, 640, 0.25),
                  # a small set of which much is hard: 19 of 50 batches come from the pool
                  ('base_lr=0.002', 'mining.window=256', 'mining.cooldown=3', 'mining.scope=POOL',
                   'mining.max_share=0.5', 'mining.min_fresh=1', 'mining.sentinel=0',
                   'mining.quantile=0.7'), 1e-3),
        'frcnn': ('configs/frcnn.conf', synthetic_data.scenes(build, folder, 60, 160, 160),
                  ('base_lr=0.0001', 'mining.warmup=0'), 1e-2),
    }


def train(check, name, device, conf, source, sets, log):
    """One run's losses and pool, or a word about why there is none."""
    run_dir = os.path.join(check.data, name)
    shutil.rmtree(run_dir, ignore_errors=True)
    command = [os.path.join(check.args.build, 'ohemtrain'), '--device', device]
    for s in (f'run_dir={run_dir}', f'max_iter={check.args.iterations}', 'test_interval=0',
              'snapshot=0', 'snapshot_after_train=false',
              f'net.layer[data].data_param.source={source}') + tuple(sets):
        command += ['--set', s]
    code, seconds = gm.run_process(command + [conf], log, check.env, check.budget.left(300))
    with open(log, encoding='utf-8', errors='replace') as f:
        whole = f.read().strip()
    said = whole[-400:]
    if code == 78 and 'has no field named' in said:
        return dict(missing=said)
    if code != 0:
        return dict(failed='stopped at the deadline' if code is None else f'exit {code}: {said}')
    with open(os.path.join(run_dir, 'metrics.jsonl'), encoding='utf-8') as f:
        rows = [m for m in map(json.loads, f) if m['kind'] in ('train', 'pool')]
    # a device that cannot record goes on without, and says so: here that is a failure
    return dict(seconds=round(seconds, 2), **gm.of_log(whole),
                losses=[m['loss'] for m in rows], kinds=[m['kind'] for m in rows],
                pool=read_pool(os.path.join(run_dir, 'pool.db')))


def read_pool(path):
    """{who: (state, times re-injected, admitted at)} of every row."""
    db = sqlite3.connect(f'file:{path}?mode=ro', uri=True)
    rows = db.execute('SELECT lmdb_key, kind, slot, state, n_reinj, first_iter FROM inst '
                      'JOIN sample USING(sample_id)').fetchall()
    db.close()
    return {r[:3]: r[3:] for r in rows}


def differences(a, b, tolerance):
    """What two runs have in common and what not."""
    apart = [abs(x - y) / max(abs(x), 1e-6) if math.isfinite(x) and math.isfinite(y) else math.inf
             for x, y in zip(a['losses'], b['losses'])]
    first = next((i for i, e in enumerate(apart) if e > tolerance), None)
    both = a['pool'].keys() & b['pool'].keys()
    changed = sum(a['pool'][k] != b['pool'][k] for k in both)
    largest = max(apart, default=0.0)
    mean = [sum(r['losses']) / max(1, len(r['losses'])) for r in (a, b)]
    return dict(iterations=[len(a['losses']), len(b['losses'])],
                largest=largest if math.isfinite(largest) else 'not finite',
                first_apart=first, same_batches=a['kinds'] == b['kinds'],
                pool_batches=[r['kinds'].count('pool') for r in (a, b)],
                bits=a['losses'] == b['losses'], mean_ratio=mean[1] / mean[0] if mean[0] else None,
                pool_rows=[len(a['pool']), len(b['pool'])],
                only_first=len(a['pool'].keys() - both), only_second=len(b['pool'].keys() - both),
                other_state=changed,
                same_pool=not changed and len(a['pool']) == len(b['pool']) == len(both))


def agrees(how, d, iterations):
    if d['iterations'] != [iterations, iterations] or d.get('not_recorded'):
        return False
    if not all(d['pool_batches']):
        return False
    if how == 'control':
        return True
    if how == 'mean':
        return abs(d['mean_ratio'] - 1) <= MEAN_TOLERANCE
    return d['same_pool'] and d['same_batches'] and (d['bits'] if how == 'bits'
                                                     else d['first_apart'] is None)


def compare_net(check, net, conf, source, sets, tolerance):
    """One row a comparison; a run whose fields this build does not know is left out."""
    def go(name, device, more):
        return train(check, f'{net}-{name}', device, conf, source, sets + more,
                     check.log(f'{net}-{name}'))
    runs, rows = {'cpu': go('cpu', 'cpu', ())}, []
    if 'pool' not in runs['cpu']:
        return [dict(net=net, run='cpu', ok=False, **runs['cpu'])]
    gpu = 'cpu' if check.args.no_gpu else 'cuda:0'  # of those that check.env shows: one
    for name, more, other, how in RUNS:
        if not check.budget.left(1):
            check.leave_out(f'nets: {net}, {name}: the budget was spent')
            continue
        r = runs[name] = go(name, 'cpu' if how == 'control' else gpu, more)
        if 'missing' in r and name == 'fp32':  # a build without these fields has fp32 alone
            r = runs[name] = go(name, gpu, ())
        if 'missing' in r:
            check.leave_out(f'nets: {net}, {name}: {r["missing"]}')
            continue
        row = dict(net=net, run=name, compared_with=other, by=how)
        if 'pool' not in r or 'pool' not in runs.get(other, {}):
            row.update(ok=False, failed=r.get('failed', f'no run {other} to compare with'))
        else:
            d = differences(runs[other], r, tolerance)
            if r['not_recorded']:
                d['not_recorded'] = r['not_recorded']
            row.update(d, seconds=r['seconds'], ok=agrees(how, d, check.args.iterations),
                       convolutions=r['convolutions'], not_trusted=r['not_trusted'])
        rows.append(row)
        gm.say(f'  {net}, {name} against {other}: '
               f'{"control" if how == "control" else "agrees" if row["ok"] else "DIFFERS"}, '
               f'{row.get("failed") or row["largest"]}')
    return rows


def compare_devices(check):
    check.data = os.path.join(check.logs, 'runs')
    rows = []
    try:
        for net, what in nets(check, os.path.join(check.data, 'data')).items():
            rows += compare_net(check, net, *what)
    except (gm.Failure, synthetic_data.CannotMake, OSError, sqlite3.Error, subprocess.SubprocessError) as e:
        rows.append(dict(ok=False, failed=str(e)))
    shutil.rmtree(check.data, ignore_errors=True)
    return dict(rows=rows, ok=bool(rows) and all(r['ok'] for r in rows))
