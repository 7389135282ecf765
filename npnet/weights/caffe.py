"""Caffe's binary files: the weights of a net (.caffemodel) and a mean image (.binaryproto).

Both are Google's protocol buffers: a row of fields, each a number that says which it is, then a whole number, 4 or 8
bytes, or so many bytes, which may be fields again. Of Caffe's messages (caffe.proto) these matter:

    NetParameter      2: V1LayerParameter (to 2014)     100: LayerParameter (since)
    V1LayerParameter  4: name   6: blobs   1: a layer of the format before
    LayerParameter    1: name   7: blobs
    BlobProto         1 to 4: num, channels, height, width (to 2014)   7: shape, of which 1: dims (since)
                      5: data, floats   8: data, doubles   6 and 9: gradients, which are passed over

Nothing in a file is run, and its sizes are believed only as far as there are bytes.
"""
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.errors import UserError
from npnet.layers import Conv2D, Layer

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5  # kinds of fields
MOST_DIMENSIONS = 32  # Caffe's own limit

Field = tuple[int, int, int, int]


class _Malformed(Exception):
    """At which byte, and what."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(f"byte {at}: {what}")


@dataclass(frozen=True)
class CaffeLayer:
    """A layer that has weights: convolutions and inner products hold (weight, bias)."""

    name: str
    blobs: list[NDArray[Any]]


def read(path: str | Path) -> list[CaffeLayer]:
    """The layers of a .caffemodel that have weights, in order; arrays as they are there, float32 or float64.

    Raises UserError if there is no such file, or it is not a whole one of this kind.
    """
    def layers(data: memoryview) -> list[CaffeLayer]:
        made = []
        for number, kind, begin, end in _fields(data, 0, len(data)):
            if number in (2, 100) and kind == BYTES:
                layer = _layer(data, begin, end, 4 if number == 2 else 1, 6 if number == 2 else 7, number == 2)
                if layer.blobs:
                    made.append(layer)
        return made

    found: list[CaffeLayer] = _parsed(path, layers, ".caffemodel")
    if not found:
        raise UserError(f"{path}: holds no layer with weights: it must be a .caffemodel (a .prototxt has none)")
    return found


def mean(path: str | Path) -> NDArray[np.float32]:
    """The mean image of a .binaryproto, (3, H, W), pixels 0 to 255, red first: Caffe's is blue first.

    Raises UserError if there is no such file, or it is not a whole one of this kind.
    """
    image: NDArray[Any] = _parsed(path, lambda data: _blob(data, 0, len(data)), ".binaryproto")
    while image.ndim > 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3:
        raise UserError(f"{path}: holds an array of shape {image.shape}, not the mean of images (3, H, W)")
    return np.ascontiguousarray(image[::-1], np.float32)


@dataclass(frozen=True)
class Report:
    """What came of `load`: names of parameters with their shapes, of both sides."""

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """The net's that the file has not."""
    different: list[str] = field(default_factory=list)
    """Those of another shape there."""
    left: list[str] = field(default_factory=list)
    """The file's that the net has not."""

    def __str__(self) -> str:
        said = (("matched", self.matched), ("not in the file", self.missing), ("of another shape", self.different),
                ("not in the net", self.left))
        return "\n".join(f"{what}: {', '.join(names)}" for what, names in said if names)


def load(net: Layer, path: str | Path, names: Mapping[str, str] | None = None, partial: bool = False) -> Report:
    """The parameters of `net` ← a .caffemodel.

    Caffe's photos are blue first: the weights of convolutions that see three channels are turned round, so that the net
    takes red first, as everywhere here. Its pixels are 0 to 255, its mean image is `mean`.

    Parameters
    ----------
    names : from Caffe's names of layers to those of this net; who is not in it has the same.
    partial : take what fits, and leave the rest of the net as it is: for another classifier.

    Raises
    ------
    UserError
        If the file is not a whole .caffemodel, or does not have all parameters in the right shape (with `partial`,
        none); then nothing is changed.
    """
    layers = read(path)
    there = {(names or {}).get(layer.name, layer.name): layer.blobs for layer in layers}
    if len(there) < len(layers):
        raise UserError(f"{path}: holds two layers of one name: it is not clear which is meant")
    turned = {id(layer.weight) for layer in net.walk() if isinstance(layer, Conv2D) and layer.in_channels == 3}
    report, values = Report(), {}
    for p in net.parameters():
        layer, _, which = p.name.rpartition(".")
        blobs, place = there.get(layer, []), {"weight": 0, "bias": 1}.get(which)  # Caffe's layers have no others
        if place is None or place >= len(blobs):
            report.missing.append(f"{p.name} {p.shape}")
            continue
        blob = blobs[place]
        lead = blob.ndim - len(p.shape)  # to 2014, all blobs had four dimensions, the first of which were 1
        if lead < 0 or blob.shape[lead:] != p.shape or math.prod(blob.shape[:lead]) != 1:
            report.different.append(f"{p.name} {p.shape}, there {blob.shape}")
            continue
        if not (np.abs(blob) <= np.finfo(np.float32).max).all():
            raise UserError(f"{path}: {p.name} holds numbers that are not finite: its net had diverged")
        value = blob.reshape(p.shape)
        values[p.name] = value[:, ::-1] if id(p) in turned else value
        report.matched.append(f"{p.name} {p.shape}")
    own = {p.name.rpartition(".")[0] for p in net.parameters()}
    report.left.extend(
        f"{name} {' '.join(str(blob.shape) for blob in blobs)}" for name, blobs in there.items() if name not in own)
    if not report.matched or (not partial and (report.missing or report.different)):
        wrong = [f"{', '.join(some[:3])}{' …' if len(some) > 3 else ''} {what}" for some, what in (
            (report.missing, "not in it"), (report.different, "of another shape")) if some]
        raise UserError(f"{path}: its weights are not this net's ({'; '.join(wrong)}): choose the preset and the "
                        f"number of classes it was trained with{'' if partial else ', or take what fits (partial)'}")
    for p in net.parameters():
        if p.name in values:
            p.assign(values[p.name])
    return report


def _parsed(path: str | Path, parse: Any, kind: str) -> Any:
    try:
        if Path(path).stat().st_size == 0:
            raise _Malformed(0, "it is empty")
        return parse(memoryview(np.memmap(path, np.uint8, "r")))  # type: ignore[arg-type] # not read but where it must
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, and must be a {kind} file") from None
    except _Malformed as error:
        raise UserError(f"{path}: not a whole {kind} ({error}): download it again") from None


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, the last of which is below 128; and where it ends."""
    value = 0
    for i in range(10):
        if at + i >= end:
            raise _Malformed(at, "a number that does not end")
        value |= (data[at + i] & 127) << 7 * i
        if data[at + i] < 128:
            return value, at + i + 1
    raise _Malformed(at, "a number of more than 64 bits")


def _fields(data: memoryview, begin: int, end: int) -> Iterator[Field]:
    """(which, kind, from, to) of each field; of a whole number, itself in place of `from`, and where it ends."""
    at = begin
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(data, at, end)
            yield number, kind, value, at
            continue
        if kind == BYTES:
            size, at = _varint(data, at, end)
        elif kind in (EIGHT, FOUR):
            size = 8 if kind == EIGHT else 4
        else:
            raise _Malformed(start, f"a field of kind {kind}")
        if number == 0:
            raise _Malformed(start, "a field without a number")
        if size > end - at:
            raise _Malformed(start, f"a field of {size} bytes where {end - at} are left")
        yield number, kind, at, at + size
        at += size


def _layer(data: memoryview, begin: int, end: int, name_is: int, blobs_are: int, old: bool) -> CaffeLayer:
    name, blobs = "", []
    for number, kind, first, last in _fields(data, begin, end):
        if kind != BYTES:
            continue
        if number == name_is:
            name = bytes(data[first:last]).decode("utf-8", "replace")
        elif number == blobs_are:
            blobs.append(_blob(data, first, last))
        elif number == 1 and old:
            raise _Malformed(first, "a layer in the format before V1, which Caffe's upgrade_net_proto_binary renews")
    return CaffeLayer(name, blobs)


def _blob(data: memoryview, begin: int, end: int) -> NDArray[Any]:
    sizes, legacy, dims, parts = dict.fromkeys((1, 2, 3, 4), 0), False, None, []
    for number, kind, first, last in _fields(data, begin, end):
        if number in sizes and kind == VARINT:
            sizes[number], legacy = first, True
        elif number == 7 and kind == BYTES:
            dims = _dims(data, first, last)
        elif (number, kind) in ((5, BYTES), (8, BYTES)):
            size = 4 if number == 5 else 8
            if (last - first) % size:
                raise _Malformed(first, f"{last - first} bytes of numbers that have {size} each")
            parts.append(np.frombuffer(data[first:last], f"<f{size}"))
        elif (number, kind) in ((5, FOUR), (8, EIGHT)):  # one by one, as no program is known to write them
            parts.append(np.frombuffer(data[first:last], f"<f{last - first}"))
    values = np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.empty(0, np.float32)
    shape = dims if dims is not None else tuple(sizes.values()) if legacy else (values.size,)
    if len(shape) > MOST_DIMENSIONS or math.prod(shape) != values.size or max(shape, default=0) > values.size:
        raise _Malformed(begin, f"an array of shape {shape} with {values.size} numbers")
    return values.reshape(shape)


def _dims(data: memoryview, begin: int, end: int) -> tuple[int, ...]:
    """Packed into one field, or one by one."""
    dims = []
    for number, kind, first, last in _fields(data, begin, end):
        if number == 1 and kind == VARINT:
            dims.append(first)
        elif number == 1 and kind == BYTES:
            while first < last:
                value, first = _varint(data, first, last)
                dims.append(value)
    return tuple(dims)
