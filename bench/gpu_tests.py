"""The test programs of make gpu-check, case by case.

A kernel that reads or writes where it may not, or does not end, takes the CUDA context of its process
with it: every later case of that process fails whatever it tests.  So the log is watched while a
program runs.  When a case failed with such words, when nothing was said for a while, or when the
program died, it is stopped and started again behind that case (tests/some_tests.h); what the dead
device made of the cases in between is forgotten.
"""
import os
import re
import subprocess
import time

import gpu_machine as gm

ON_DEVICE = '*o[nf]?a?device*'  # as tests/some_tests.h wants it
MOST_RESTARTS = 12
# What cudaGetErrorString() says of errors after which the context is dead, and what cuBLAS and cuDNN
# make of them.
STICKY = re.compile('|'.join((
    'illegal memory access', 'unspecified launch failure', 'misaligned address',
    'illegal instruction', 'device-side assert', 'invalid program counter', 'hardware stack error',
    'operation not supported on global/shared address space', 'launch timed out',
    'uncorrectable ECC error', 'uncorrectable NVLink error', 'over nvlink or a hardware error',
    'unknown error', 'failed to launch on the GPU', 'STATUS_EXECUTION_FAILED')))
WARNINGS = re.compile(r'(are not recorded, which is slower: .*|not used, as its result is another: .*)')


def read_cmocka(text):
    """What a log says of each test: {name: 'passed', 'failed', 'skipped' or 'died'}, and the words
    beside what did not pass."""
    tests, words, current, said = {}, {}, None, []
    for line in text.splitlines():
        m = re.match(r'\[ ([ A-Z]{8}) \] (.*)', line)
        word, name = (m.group(1).strip(), m.group(2)) if m else (None, None)
        if word == 'RUN':
            current, said = name, []
            tests[name] = 'died'
        elif current and word in ('OK', 'FAILED', 'SKIPPED') and name == current:
            tests[name] = {'OK': 'passed', 'FAILED': 'failed', 'SKIPPED': 'skipped'}[word]
            if word != 'OK':
                words[name] = ' '.join(said)
            current = None
        elif current:
            said.append(line.strip())
    return tests, words


def breaker(tests, words):
    """The first case that failed as the device was lost."""
    return next((n for n, v in tests.items() if v == 'failed' and STICKY.search(words[n])), None)


def read(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def list_cases(path, choice, env):
    try:
        p = subprocess.run([path, '--list', *choice], env=env, capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise gm.Failure(70, f'{path} --list: {e}') from e
    if p.returncode:
        raise gm.Failure(70, f'{path} --list: exit {p.returncode}: {p.stderr.strip()[-300:]}')
    names = p.stdout.splitlines()
    if any(re.match(r'\[[ =-]', n) for n in names):
        raise gm.Failure(70, f'{path} --list: it runs its cases: it does not use tests/some_tests.h')
    return names


def is_on_device(name):
    return re.search(r'o[nf].a.device', name) is not None


def new_row(name):
    """failures: with their words; broke_device: those of them after which the device was dead;
    hung, died: neither passed nor failed; device_lost: never run for that reason; passed_over: a
    sanitizer took too long over them; not_run: the time was spent; behind: where to go on."""
    return dict(program=name, cases=0, passed=0, failed=0, skipped=0, seconds=0.0, status=None,
                restarts=0, failures={}, broke_device=[], hung=[], died={}, device_lost=[],
                passed_over=[], not_run=[], skips=[], skipped_on_device=[], warnings=[], behind=None)


def is_right(row):
    return not (row['failed'] or row['hung'] or row['died'] or row['device_lost'] or 'why' in row)


def done(row):
    return row['passed'] + row['failed'] + row['skipped']


class Watch:
    """Asked now and then whether a program is to be stopped; why says for what reason it was."""

    def __init__(self, log, silence):
        self.log, self.silence = log, silence
        self.size, self.grew, self.why = 0, time.monotonic(), None

    def __call__(self):
        size = os.path.getsize(self.log)
        if size != self.size:
            self.size, self.grew = size, time.monotonic()
            if breaker(*read_cmocka(read(self.log))):
                self.why = 'lost'
        elif self.silence and time.monotonic() - self.grew > self.silence:
            self.why = 'silent'
        return self.why is not None


def note(row, tests, words):
    for name, how in tests.items():
        if how == 'died':
            continue
        row[how] += 1
        row['behind'] = name
        if how == 'failed':
            row['failures'][name] = words[name][:400]
        elif how == 'skipped':
            row['skips'] = sorted({*row['skips'], words[name][:400]})
            if is_on_device(name):
                row['skipped_on_device'].append(name)


class Runner:
    def __init__(self, path, choice, env, log, silence=None, prefix=(), found=None):
        """silence: seconds; prefix: of a sanitizer, under which a case that is silent for longer
        is passed over, not hung; found: its exit status when it found something."""
        self.path, self.choice, self.env, self.log = path, list(choice), env, log
        self.silence, self.prefix, self.fine = silence, list(prefix), (0, found)
        self.texts = []  # of the logs

    def rest(self, row, cases):
        return cases[cases.index(row['behind']) + 1:] if row['behind'] in cases else cases

    def run_once(self, row, seconds):
        """What stopped it: 'end', 'time', or the case behind which another process goes on."""
        log = self.log if not self.texts else f'{self.log[:-4]}.{len(self.texts)}.log'
        behind = ['--behind', row['behind']] if row['behind'] else []
        watch = Watch(log, self.silence)
        code, spent = gm.run_process([*self.prefix, self.path, *behind, *self.choice], log,
                                     self.env, seconds, watch)
        text = read(log)
        self.texts.append(text)
        row['seconds'] = round(row['seconds'] + spent, 2)
        row['status'] = code
        row['warnings'] = sorted({*row['warnings'], *WARNINGS.findall(text)})
        tests, words = read_cmocka(text)
        broke = breaker(tests, words)
        if broke:
            names = list(tests)
            tests = {n: tests[n] for n in names[:names.index(broke) + 1]}
        if row['restarts'] and tests and all(v == 'skipped' for v in tests.values()):
            return 'gone'  # it cannot be opened any more
        note(row, tests, words)
        if broke:
            row['broke_device'].append(broke)
            return broke
        open_ = next((n for n, v in tests.items() if v == 'died'), None)
        if open_ and watch.why == 'silent':
            row['passed_over' if self.prefix else 'hung'].append(open_)
        elif open_ and code is not None:
            row['died'][open_] = f'exit {code}'
        elif watch.why == 'silent' and not self.prefix:
            row['why'] = f'nothing said for {self.silence:.0f} s outside of a case'
            return 'end'
        elif code is None:
            return 'time'
        else:
            if code not in self.fine and 'failed' not in tests.values():
                row['why'] = f'exit {code}: {text.strip()[-300:]}'
            return 'end'
        row['behind'] = open_
        return open_

    def run(self, row, seconds):
        """Goes on with what the row has not."""
        cases = list_cases(self.path, self.choice, self.env)
        row['cases'], row['not_run'] = len(cases), []
        budget, starts = gm.Budget(seconds), 0
        while self.rest(row, cases):
            if budget.left(1) <= 0:
                row['not_run'] = self.rest(row, cases)
                break
            if starts > MOST_RESTARTS:
                row['device_lost'] += self.rest(row, cases)
                break
            row['restarts'] += starts > 0
            starts += 1
            how = self.run_once(row, budget.left())
            if how == 'time':
                row['not_run'] = self.rest(row, cases)
            elif how == 'gone':
                row['device_lost'] += self.rest(row, cases)
            if how in ('time', 'gone', 'end'):
                break
        return row
