"""Caffe's binary files, as protocol buffers write them, for tests to be read."""
import struct

import numpy as np


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def whole(number, value):
    return varint(number << 3) + varint(value)


def part(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(x, old, doubles=False, packed=True):
    """A BlobProto: the four dimensions of old, or a shape."""
    dims = (1,) * (4 - x.ndim) + x.shape if old else x.shape
    out = b"".join(whole(i, d) for i, d in enumerate(dims, 1)) if old else part(7, part(1, b"".join(map(varint, dims))))
    number, kind = (8, "<f8") if doubles else (5, "<f4")
    numbers = x.astype(kind).tobytes()
    if packed:
        out += part(number, numbers)
    else:
        size = int(kind[-1])
        tag = varint(number << 3 | (1 if doubles else 5))
        out += b"".join(tag + numbers[i : i + size] for i in range(0, len(numbers), size))
    return out + part(6, np.zeros(3, "<f4").tobytes())  # gradients, which nobody asks for


def model(layers, old, **how):
    """A NetParameter: a name, the input, and {layer: blobs}, one without any between."""
    out = part(1, b"a net") + part(3, b"data") + whole(4, 1) + varint(5 << 3 | 5) + struct.pack("<f", 1.5)
    for name, blobs in layers.items():
        fields = [part(2 if old else 3, b"below"), part(4 if old else 1, name.encode()),
                  *(part(6 if old else 7, blob(x, old, **how)) for x in blobs),
                  whole(5, 4) if old else part(2, b"Convolution")]
        out += part(2 if old else 100, b"".join(fields))
        out += part(2 if old else 100, part(4 if old else 1, b"relu") + varint(31 << 3 | 1) + bytes(8))
    return out
