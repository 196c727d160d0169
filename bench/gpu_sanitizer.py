"""What compute-sanitizer's log says, for make gpu-check."""
import re

# A report begins one blank behind the mark; what belongs to it is further in.  That the program did
# not end well, when it was stopped say, is none.
HEAD = re.compile(r'^========= (Invalid|Misaligned|Uninitialized|Warning|Barrier|Divergent|Race|'
                  r'Program hit|Fatal|Unused|Host|Error(?!: (process|Device|No |Unable|Failed)))')


def reports(text):
    """The lines of each printed report, its head first."""
    found, current = [], None
    for line in text.splitlines():
        if HEAD.match(line):
            current = [line]
            found.append(current)
        elif not line.startswith('=========  '):  # a blank one ends it, so does the summary
            current = None
        elif current is not None:
            current.append(line)
    return found


def on_device(report):
    """Its lines but those about how the host came to launch the kernel."""
    return [x for x in report if 'Host Frame' not in x and 'host backtrace' not in x]


def kernel_of(line):
    """Of "at void a::f<int>(float *)+0x90 in f.cu:41" it is a::f."""
    m = re.search(r'\bat (?:0x[0-9a-f]+ in )?(?:void )?([A-Za-z_<][\w:~<>]*)', line)
    return m.group(1).split('<')[0] or m.group(1) if m else None


def is_ours(report, plugin):
    """A kernel of ours has lines of sources, as the libraries' have not, and is known to the
    plugin by its mangled name, in no namespace."""
    for line in on_device(report):
        if re.search(r'[\w/.-]+\.(cu|cuh|h)\b', line):
            return True
        name = kernel_of(line)
        if name and re.search(rb'_ZL?%d%s' % (len(name), re.escape(name.encode())), plugin):
            return True
    return False


def totals(text):
    """(errors that the summaries count or None, those of them that were not printed, summaries)"""
    summaries = re.findall(r'^========= ((?:\w+ )?SUMMARY: .*)$', text, re.M)
    counted, unseen = [], 0
    for s in summaries:
        whole = (re.match(r'ERROR SUMMARY: (\d+) errors?$', s.strip()) or
                 re.search(r'\((\d+) errors?, \d+ warnings?\)', s))
        hidden = re.search(r'SUMMARY: (\d+) \w+ (?:was|were) not printed', s)
        if whole:
            counted.append(int(whole.group(1)))
        elif hidden:
            unseen += int(hidden.group(1))
    return sum(counted) if counted else None, unseen, summaries


def read_sanitizer(text, tool, plugin=b''):
    """errors are failures.  What memcheck finds in a library's kernel may come of what we gave it;
    what the others find there (workspace that it reads before it wrote it, barriers that the tool
    does not know) is the library's own, of_libraries."""
    found = reports(text)
    wrong = [r for r in found if not r[0].startswith('========= Warning')]
    ours = [r for r in wrong if tool == 'memcheck' or is_ours(r, plugin)]
    total, unseen, summaries = totals(text)
    # what is counted and printed in words that are not known here counts as ours
    unknown = max(0, total - unseen - len(wrong)) if total is not None else 0
    kernels = {}
    for r in found:
        for line in on_device(r):
            name = kernel_of(line)
            if name:
                kernels[name] = kernels.get(name, 0) + 1
    first = (ours + [r for r in wrong if r not in ours])[:20]
    return dict(summary=summaries, errors=len(ours) + unknown + (unseen if tool == 'memcheck' else 0),
                of_libraries=len(wrong) - len(ours), not_printed=unseen, kernels=kernels,
                found=[' | '.join(p.lstrip('= ').strip() for p in r[:3]) for r in first])


def add(row, said):
    """Several logs of one program are one."""
    for key in ('errors', 'of_libraries', 'not_printed'):
        row[key] = row.get(key, 0) + said[key]
    for key in ('summary', 'found'):
        row[key] = row.get(key, []) + said[key]
    row.setdefault('kernels', {})
    for k, n in said['kernels'].items():
        row['kernels'][k] = row['kernels'].get(k, 0) + n
