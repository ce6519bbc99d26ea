"""Pictures that are all different: PNG of any size, standard library only."""
import random
import struct
import zlib


def png(seed, width=64, height=64):
    """A picture of overlapping tinted discs on a gradient; the same seed gives the same bytes."""
    rnd = random.Random(seed)
    top, bottom = ([rnd.randrange(40, 230) for _ in range(3)] for _ in range(2))
    discs = [(rnd.randrange(width), rnd.randrange(height), rnd.randrange(width // 8, width // 3) ** 2,
              [rnd.randrange(256) for _ in range(3)]) for _ in range(5)]
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        base = [top[i] + (bottom[i] - top[i]) * y // height for i in range(3)]
        for x in range(width):
            c = base
            for cx, cy, r2, color in discs:
                if (x - cx) ** 2 + (y - cy) ** 2 < r2:
                    c = [(c[i] + 2 * color[i]) // 3 for i in range(3)]
            rows += bytes(c)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(rows), 6)) + chunk(b"IEND", b""))
