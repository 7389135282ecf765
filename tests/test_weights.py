import errno
import os
import struct

import numpy as np
import pytest
from small_run import small_net

from npnet.errors import UserError
from npnet.files import load_arrays, save_arrays
from npnet.weights import load_weights, save_weights


def values(net):
    return {p.name: p.numpy() for p in net.parameters()}


def test_weights_come_back_to_the_bit(tmp_path, backend):
    net, other = small_net(seed=1), small_net(seed=2)
    save_weights(net, tmp_path / "w.safetensors")
    load_weights(other, str(tmp_path / "w.safetensors"))
    for name, value in values(net).items():
        np.testing.assert_array_equal(values(other)[name], value)
        assert value.dtype == np.float32


def test_other_tools_read_them(tmp_path):
    from safetensors.numpy import load_file

    net = small_net()
    save_weights(net, tmp_path / "w.safetensors")
    there = load_file(tmp_path / "w.safetensors")
    assert sorted(there) == ["conv.bias", "conv.weight", "fc.bias", "fc.weight"]
    np.testing.assert_array_equal(there["fc.weight"], net["fc"].weight.numpy())


def test_arrays_of_any_kind_and_facts_come_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "none": np.empty((0, 3), np.float32), "i": np.array(7, np.int64)}
    facts = {"step": 3, "x": 0.1 + 0.2, "text": "ε", "list": [1, None, True]}
    save_arrays(tmp_path / "a.safetensors", arrays, facts)
    there, told = load_arrays(tmp_path / "a.safetensors")
    assert told == facts
    for name, array in arrays.items():
        np.testing.assert_array_equal(there[name], array)
        assert (there[name].dtype, there[name].shape) == (array.dtype, array.shape)


@pytest.mark.parametrize(("change", "message"), [
    (lambda a: a.pop("fc.bias"), r"holds no fc\.bias: it was written by another net"),
    (lambda a: a.update({"fc.bias": np.zeros(7)}), r"fc\.bias has the shape \(7,\), this net needs \(10,\)"),
    (lambda a: a.update({"conv2.weight": np.zeros(7)}), r"holds conv2\.weight, which this net has not"),
])
def test_another_nets_weights_change_nothing_and_the_difference_is_named(tmp_path, change, message):
    arrays = values(small_net(seed=1))
    change(arrays)
    path = tmp_path / "w.safetensors"
    save_arrays(path, arrays, {})
    net = small_net(seed=2)
    before = values(net)
    with pytest.raises(UserError, match=message) as error:
        load_weights(net, path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_missing_file_and_one_of_another_kind_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        load_weights(small_net(), tmp_path / "none.safetensors")
    other = tmp_path / "other.safetensors"
    for content in (b"", b"hello", b"\x00" * 100, os.urandom(1000)):
        other.write_bytes(content)
        with pytest.raises(UserError, match="not a whole safetensors file"):
            load_weights(small_net(), other)
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_weights(small_net(), tmp_path)
    header = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'  # NumPy has no such numbers
    other.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_weights(small_net(), other)


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "new" / "w.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as refused:
            save_weights(small_net(), path)
    assert refused.value.filename == str(path), "a full disk does not say where"
    assert list(path.parent.iterdir()) == []
    save_weights(small_net(), path)
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]
