"""What make gpu-check and make gpu-bench share: where the programs and CUDA's libraries are, what the
machine is, how busy its GPU was, and how a process is run against a deadline.

The tree and a bundle (tools/bundle) differ in one thing: programs are in build/release there, in
bin/ here.  CUDA's libraries are those of PyTorch's own packages where there are any, so that both
sides of a comparison use the same ones; else those of the toolkit or of the system.  The driver is
asked through ctypes: nothing has to be installed.
"""
import ctypes
import datetime
import glob
import json
import os
import platform
import re
import signal
import site
import subprocess
import sys
import sysconfig
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SONAMES = ('libcudart.so.13', 'libcublasLt.so.13', 'libcublas.so.13', 'libcudnn.so.9')
NO_GPU = 69  # EX_UNAVAILABLE, as ohemtrain's


class Failure(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class NoGpu(Failure):
    def __init__(self, text):
        super().__init__(NO_GPU, text)


def say(text):
    print(text, file=sys.stderr, flush=True)


def default_build():
    bin_ = os.path.join(ROOT, 'bin')
    return bin_ if os.path.isdir(bin_) else os.path.join(ROOT, 'build', 'release')


# ---- CUDA's libraries -----------------------------------------------------------------------------

def library_folders(python=None):
    """Where they may lie, the first that has one wins: PyTorch's packages, then the toolkit."""
    if python and os.path.realpath(python) != os.path.realpath(sys.executable):
        ask = 'import site, sysconfig; print(*site.getsitepackages(), *sysconfig.get_paths().values(), sep="\\n")'
        p = subprocess.run([python, '-c', ask], capture_output=True, text=True, check=False)
        packages = p.stdout.splitlines()
    else:
        packages = site.getsitepackages() + [sysconfig.get_path('purelib')]
    folders = [f for p in dict.fromkeys(packages)
               for f in sorted(glob.glob(os.path.join(p, 'nvidia', '*', 'lib')))]
    home = os.environ.get('CUDA_HOME', '/usr/local/cuda')
    return folders + [os.path.join(home, 'lib64'), '/usr/lib/x86_64-linux-gnu']


def cuda_libraries(python=None):
    """{soname: path} of those found."""
    folders, found = library_folders(python), {}
    for name in SONAMES:
        for f in folders:
            if os.path.exists(os.path.join(f, name)):
                found[name] = os.path.join(f, name)
                break
    return found


def environment(python=None, base=None, device=None):
    """The environment in which the programs find CUDA's libraries and, where a GPU is named, that
    one alone, as their first: ask them for cuda:0."""
    env = dict(os.environ if base is None else base)
    if device is not None:
        by_bus(env)
        visible = env.get('CUDA_VISIBLE_DEVICES', str(device)).split(',')
        env['CUDA_VISIBLE_DEVICES'] = visible[min(device, len(visible) - 1)]
    folders = list(dict.fromkeys(map(os.path.dirname, cuda_libraries(python).values())))
    if env.get('LD_LIBRARY_PATH'):
        folders.append(env['LD_LIBRARY_PATH'])
    env['LD_LIBRARY_PATH'] = ':'.join(folders)
    return env


def dotted(v, step):
    """NVIDIA's version numbers: 13020 with step 1000 is 13.2, 91900 with 10000 is 9.19."""
    return f'{v // step}.{v % step // (step // 100)}.{v % (step // 100)}'


def library_versions(python=None):
    """Of what the programs will load, asked in a process of its own."""
    try:
        p = subprocess.run([sys.executable, os.path.abspath(__file__), '--library-versions'],
                           env=environment(python), capture_output=True, text=True, check=False,
                           timeout=60)
    except subprocess.TimeoutExpired:
        return {'error': 'no answer in 60 s'}
    return json.loads(p.stdout) if p.returncode == 0 else {'error': p.stderr.strip()[-300:]}


def ask_versions():
    out = {}
    for name, path in cuda_libraries().items():
        try:
            lib = ctypes.CDLL(path)
        except OSError as e:
            out[name] = {'path': path, 'error': str(e)}
            continue
        v = ctypes.c_int(0)
        if name.startswith('libcudart.'):
            lib.cudaRuntimeGetVersion(ctypes.byref(v))
            text = dotted(v.value, 1000)
        elif name.startswith('libcudnn.'):
            lib.cudnnGetVersion.restype = ctypes.c_size_t
            text = dotted(lib.cudnnGetVersion(), 10000)
        elif name.startswith('libcublas.'):
            part = []
            for i in range(3):
                lib.cublasGetProperty(i, ctypes.byref(v))
                part.append(str(v.value))
            text = '.'.join(part)
        else:
            lib.cublasLtGetVersion.restype = ctypes.c_size_t
            text = str(lib.cublasLtGetVersion())
        out[name] = {'path': path, 'version': text}
    return out


# ---- the GPU --------------------------------------------------------------------------------------

def by_bus(env):
    """GPUs are numbered as the driver's own tools number them.  CUDA's default, the fastest first,
    would make an index mean another GPU where they differ."""
    env.setdefault('CUDA_DEVICE_ORDER', 'PCI_BUS_ID')


def driver(index=0):
    """What the driver says of a GPU; NoGpu with one line when there is none."""
    by_bus(os.environ)
    try:
        cuda = ctypes.CDLL('libcuda.so.1')
    except OSError as e:
        raise NoGpu(f'no GPU: no NVIDIA driver ({e})') from e
    status = cuda.cuInit(0)
    if status:
        raise NoGpu(f'no GPU: cuInit says {status}')
    n, dev, v = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(n))
    if index >= n.value:
        raise NoGpu(f'no GPU {index}: the driver has {n.value}')
    cuda.cuDeviceGet(ctypes.byref(dev), index)
    name, bus = ctypes.create_string_buffer(128), ctypes.create_string_buffer(64)
    total = ctypes.c_size_t()
    cuda.cuDeviceGetName(name, 128, dev)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(total), dev)
    cuda.cuDeviceGetPCIBusId(bus, 64, dev)
    cuda.cuDriverGetVersion(ctypes.byref(v))

    def attribute(which):
        a = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(a), which, dev)
        return a.value
    # CUdevice_attribute: 75, 76 compute capability, 16 multiprocessors, 38 L2 bytes
    return dict(name=name.value.decode(), index=index, bus=bus.value.decode(),
                memory_mib=total.value >> 20, capability=f'{attribute(75)}.{attribute(76)}',
                multiprocessors=attribute(16), l2_mib=attribute(38) / (1 << 20),
                driver_cuda=dotted(v.value, 1000))


class Nvml:
    """The driver's own meter.  Every answer is None where it cannot tell."""

    class Use(ctypes.Structure):
        _fields_ = [('gpu', ctypes.c_uint), ('memory', ctypes.c_uint)]

    class Memory(ctypes.Structure):
        _fields_ = [(f, ctypes.c_ulonglong) for f in ('total', 'free', 'used')]

    def __init__(self, bus):
        self.lib = self.handle = None
        try:
            lib = ctypes.CDLL('libnvidia-ml.so.1')
        except OSError:
            return
        handle = ctypes.c_void_p()
        if lib.nvmlInit_v2() == 0 and lib.nvmlDeviceGetHandleByPciBusId_v2(
                bus.encode(), ctypes.byref(handle)) == 0:
            self.lib, self.handle = lib, handle

    def driver_version(self):
        text = ctypes.create_string_buffer(96)
        if self.lib and self.lib.nvmlSystemGetDriverVersion(text, 96) == 0:
            return text.value.decode()
        return None

    def busy(self):
        use = self.Use()
        if self.lib and self.lib.nvmlDeviceGetUtilizationRates(self.handle, ctypes.byref(use)) == 0:
            return use.gpu / 100
        return None

    def used_bytes(self):
        m = self.Memory()
        if self.lib and self.lib.nvmlDeviceGetMemoryInfo(self.handle, ctypes.byref(m)) == 0:
            return m.used
        return None

    def sm_mhz(self):
        v = ctypes.c_uint()
        if self.lib and self.lib.nvmlDeviceGetClockInfo(self.handle, 1, ctypes.byref(v)) == 0:
            return v.value
        return None


class Meter(threading.Thread):
    """Samples the GPU until stopped: (time, busy, bytes, MHz) ten times a second."""

    def __init__(self, nvml, every=0.1):
        super().__init__(daemon=True)
        self.nvml, self.every, self.rows, self.ended = nvml, every, [], threading.Event()

    def run(self):
        while not self.ended.is_set():
            self.rows.append((time.monotonic(), self.nvml.busy(), self.nvml.used_bytes(),
                              self.nvml.sm_mhz()))
            self.ended.wait(self.every)

    def stop(self):
        self.ended.set()
        self.join()
        return self

    def peak_bytes(self):
        return max((r[2] for r in self.rows if r[2] is not None), default=None)

    def mean(self, column, first, last):
        """Of one column over a window of monotonic time."""
        v = [r[column] for r in self.rows if first <= r[0] <= last and r[column] is not None]
        return sum(v) / len(v) if v else None


def cpu_name():
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        for line in f:
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.machine()


def machine(python=None, index=0):
    """The GPU and what the programs will use on it; a Failure where that is not all there."""
    gpu = driver(index)
    gpu['driver'] = Nvml(gpu['bus']).driver_version()
    missing = [n for n in SONAMES if n not in cuda_libraries(python)]
    if missing:
        raise Failure(66, f'{", ".join(missing)}: in none of {", ".join(library_folders(python))}')
    return dict(gpu=gpu, libraries=library_versions(python), cpu=cpu_name(), cores=os.cpu_count(),
                kernel=platform.release(), python=platform.python_version())


def commit():
    """Of the tree, or of the one a bundle was made from: COMMIT lies in it."""
    try:
        with open(os.path.join(ROOT, 'COMMIT'), encoding='ascii') as f:
            return f.read().strip()
    except OSError:
        p = subprocess.run(['git', '-C', ROOT, 'describe', '--always', '--dirty', '--abbrev=40'],
                           capture_output=True, text=True, check=False)
        return p.stdout.strip() or None


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')


# ---- running --------------------------------------------------------------------------------------

class Budget:
    """Seconds that are left of --budget, which began at `since` or begins now; None: no limit."""

    def __init__(self, seconds, since=None):
        since = time.monotonic() if since is None else since
        self.end = None if seconds is None else since + seconds

    def left(self, most=None):
        room = None if self.end is None else max(0.0, self.end - time.monotonic())
        return most if room is None else room if most is None else min(room, most)


def run_process(command, log, env=None, seconds=None, watch=None):
    """Runs a process to its end or to the deadline, or until watch(), asked twice a second, says
    stop, both outputs into a file: (exit status or None when it was stopped, seconds)."""
    start = time.monotonic()
    end = None if seconds is None else start + seconds

    def wait_for(p):
        while watch and (end is None or time.monotonic() + 0.5 < end):
            try:
                return p.wait(0.5)
            except subprocess.TimeoutExpired:
                if watch():
                    raise
        return p.wait(None if end is None else max(0, end - time.monotonic()))
    with open(log, 'wb') as f, subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=f,
            stderr=subprocess.STDOUT, start_new_session=True) as p:
        code = None
        try:
            code = wait_for(p)
        except subprocess.TimeoutExpired:
            for how, wait in ((signal.SIGTERM, 5), (signal.SIGKILL, None)):
                try:
                    os.killpg(p.pid, how)
                    p.wait(wait)
                    break
                except subprocess.TimeoutExpired:
                    pass
                except ProcessLookupError:
                    break
        except BaseException:
            os.killpg(p.pid, signal.SIGKILL)
            raise
    return code, time.monotonic() - start


def of_log(text):
    """What ohemtrain's log says that its device found out about itself, None where nothing."""
    said = dict(not_recorded=r'are not recorded, which is slower: (.*)',
                not_trusted=r'not used, as its result is another: (.*)',
                convolutions=r'device \S+: (\d+ directions of convolutions: .*)')
    found = {k: re.findall(pattern, text) for k, pattern in said.items()}
    return {k: v[-1] if v else None for k, v in found.items()}


def write_json(path, value):
    """Whole or not at all: an interrupted run leaves what the last call wrote."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + '.part', 'w', encoding='utf-8') as f:
        json.dump(value, f, indent=1)
        f.write('\n')
    os.replace(path + '.part', path)


def result_path(kind):
    return os.path.join(ROOT, 'bench', 'results', f'{kind}-{now()[:10]}.json')


if __name__ == '__main__':
    if sys.argv[1:] == ['--library-path']:
        print(environment(base={})['LD_LIBRARY_PATH'])
    elif sys.argv[1:] == ['--library-versions']:
        print(json.dumps(ask_versions()))
    else:
        sys.exit('usage: gpu_machine.py --library-path | --library-versions')
