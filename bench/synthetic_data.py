"""Data that the benchmarks and gpu-check make on the spot, so that none has to be carried."""
import os
import random
import shutil
import struct
import subprocess
import zlib


class CannotMake(Exception):
    pass


def call(*command):
    p = subprocess.run(command, capture_output=True, text=True, check=False)
    if p.returncode:
        raise CannotMake(f'{" ".join(command)}: exit {p.returncode}: {p.stderr.strip()[-500:]}')


def idx_files(folder, count, wrong=0.0, seed=1):
    """Images of 28 x 28 in the format of MNIST: noise with a bright patch where the class says; a
    share of the labels is wrong, so that something stays hard."""
    images, labels = os.path.join(folder, f'{count}-images'), os.path.join(folder, f'{count}-labels')
    rng = random.Random(seed)
    with open(images, 'wb') as f, open(labels, 'wb') as g:
        f.write(struct.pack('>IIII', 0x803, count, 28, 28))
        g.write(struct.pack('>II', 0x801, count))
        for _ in range(count):
            c = rng.randrange(10)
            im = bytearray(v >> 1 for v in rng.randbytes(784))
            y, x = 9 * (c // 4), 7 * (c % 4)
            for row in range(y, y + 9):
                for col in range(x, x + 7):
                    im[28 * row + col] = min(255, im[28 * row + col] + 96)
            f.write(im)
            g.write(bytes([rng.randrange(10) if rng.random() < wrong else c]))
    return images, labels


def digits(build, folder, count, wrong=0.0):
    """An LMDB of raw 1 x 28 x 28 records; made once."""
    path = os.path.join(folder, f'digits-{count}-{wrong}.lmdb')
    if not os.path.exists(os.path.join(path, 'data.mdb')):
        os.makedirs(folder, exist_ok=True)
        images, labels = idx_files(folder, count, wrong)
        call(os.path.join(build, 'ohemdata'), 'idx', '--force', images, labels, path)
    return path


def scenes(build, folder, count, width, height):
    """An LMDB of raw pictures with boxes; made once."""
    path = os.path.join(folder, f'scenes-{count}-{width}x{height}.lmdb')
    if not os.path.exists(os.path.join(path, 'data.mdb')):
        os.makedirs(folder, exist_ok=True)
        images, labels = idx_files(folder, 500)
        call(os.path.join(build, 'ohemdata'), 'scenes', '--force', '--out', path, '--images', images,
             '--labels', labels, '--count', str(count), '--size', f'{width}x{height}', '--seed', '1',
             '--encode', 'none')
    return path


def write_png(path, width, height, rng):
    """RGB noise, stored without compression: only its size matters here."""
    rows = b''.join(b'\0' + rng.randbytes(3 * width) for _ in range(height))

    def chunk(kind, body):
        return (struct.pack('>I', len(body)) + kind + body +
                struct.pack('>I', zlib.crc32(kind + body)))
    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' +
                chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) +
                chunk(b'IDAT', zlib.compress(rows, 0)) + chunk(b'IEND', b''))


def pictures(build, path, count, width, height, classes):
    """An LMDB of raw 3 x height x width records of noise; made once."""
    if os.path.exists(os.path.join(path, 'data.mdb')):
        return path
    png = path + '-png'
    os.makedirs(png, exist_ok=True)
    rng = random.Random(1)
    with open(os.path.join(png, 'list.txt'), 'w', encoding='ascii') as f:
        for i in range(count):
            write_png(os.path.join(png, f'{i}.png'), width, height, rng)
            f.write(f'{i}.png {rng.randrange(classes)}\n')
    call(os.path.join(build, 'ohemdata'), 'images', os.path.join(png, 'list.txt'), png + '/', path)
    shutil.rmtree(png)
    return path
