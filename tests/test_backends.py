"""All backends agree with the numpy backend, the definition; the tests of each concept hold that to its equation.

A kernel is called by name with named arguments. What it writes is first filled with NaN, so that an element that is not
written is seen; what it reads must be the same bits afterwards.
"""
import importlib
import inspect
import itertools
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from on_device import KERNELS
from plain import use_plain_loops

import npnet
from npnet import kernels
from npnet.counter import Key
from npnet.kernels import contract
from npnet.kernels import numpy as definition
from npnet.layers.layer import sliding_size

CONTRACT = dict(inspect.getmembers(contract.Backend, inspect.isfunction))
CONTRACT = {name: function for name, function in CONTRACT.items() if not name.startswith("_")}
COMPUTING = set(KERNELS) - {"fill"}
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-7}
WRITTEN = ("y", "dx", "dw", "db", "d", "b", "da", "argmax", "probabilities", "summary", "dlogits", "ranks", "ys", "dws",
           "dbs")
CHANGED = {"sgd_update": ("ws", "vs"), "average_update": ("a", "rounding")}  # read and written


def fresh(shape, dtype=np.float64):
    """An array to be written: NaN, or the lowest integer."""
    return np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min, dtype)


def written(name, arguments):
    """Which of the arguments the kernel writes: of two meanings of a letter, the contract says which."""
    if name in CHANGED:
        return CHANGED[name]
    reads = {
        "conv2d_forward": "b", "local2d_forward": "b", "dense_forward": "b",  # the bias
        "lrn_backward": "db b d", "lrn_within_backward": "db b d",
        "softmax_cross_entropy_backward": "probabilities", "max_pool_backward": "argmax",
    }.get(name, "").split()
    if name.endswith("_backward") and "y" in arguments:
        reads.append("y")  # a derivative written in terms of the output
    return tuple(key for key, value in arguments.items() if key in WRITTEN and key not in reads and value is not None)


def sent(backend, host):
    """The backend's array of the same numbers."""
    x = backend.empty(host.shape, host.dtype)
    backend.from_host(host, x)
    return x


def run(backend, name, arguments):
    """What the kernel wrote, by name. It gets copies of the `arguments`."""
    def copy(v):
        if not isinstance(v, np.ndarray):
            return [copy(p) for p in v] if isinstance(v, list) else v
        return sent(backend, v)

    copies = {key: copy(v) for key, v in arguments.items()}
    for memory in scratch_of(backend):  # nothing may depend on what another kernel has left
        backend.fill(memory, np.nan if memory.dtype.kind == "f" else 1)
    getattr(backend, name)(**copies)
    outputs = written(name, arguments)
    for key, before in arguments.items():
        if key not in outputs and isinstance(before, np.ndarray):
            after = backend.to_host(copies[key])
            np.testing.assert_array_equal(after, before, err_msg=f"{name} changed its {key}")
    result = {}
    for key in outputs:
        if isinstance(copies[key], list):
            result |= {f"{key} {i}": backend.to_host(part) for i, part in enumerate(copies[key])}
        else:
            result[key] = backend.to_host(copies[key])
    return result


def scratch_of(backend):
    """Memory that kernels use while they run."""
    if hasattr(backend, "compile"):
        return backend.arrays._scratch.memory.values()
    return backend.memory._scratch.values() if hasattr(backend, "launch") else ()


def cast(arguments, dtype):
    def to(v):
        floating = isinstance(v, np.ndarray) and v.dtype == np.float64
        return [to(p) for p in v] if isinstance(v, list) else v.astype(dtype) if floating else v
    return {key: v if key == "summary" else to(v) for key, v in arguments.items()}


def assert_agree(backend, name, arguments, dtype):
    """The same within the tolerance, which is relative to the largest number of the array; NaN in the same places."""
    arguments = cast(arguments, dtype)
    expected, got = run(definition, name, arguments), run(backend, name, arguments)
    assert expected, f"{name} writes nothing"
    for key, e in expected.items():
        assert got[key].dtype == e.dtype
        label = f"{name}: {key} of {({k: getattr(v, 'shape', v) for k, v in arguments.items()})}"
        if np.issubdtype(e.dtype, np.integer):
            np.testing.assert_array_equal(got[key], e, err_msg=label)
        elif key == "rounding":  # another way to round makes another: test_average.py holds what it is for
            assert np.abs(got[key]).max() <= np.finfo(e.dtype).eps * np.abs(expected["a"]).max()
        else:
            scale = np.max(np.abs(e), initial=0, where=np.isfinite(e))
            np.testing.assert_allclose(got[key], e, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=label)


# -- calls: (kernel, arguments) ----------------------------------------------------------------------------------------


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def conv_calls(n, c, o, h, w, kernel, stride, pad, groups, rounding):
    """The three kernels of a convolution: channels are for each group."""
    c, o = c * groups, o * groups
    out = [sliding_size(length, kernel, stride, pad, rounding) for length in (h, w)]
    common = {"stride": stride, "pad": pad, "groups": groups}
    x, weight, dy = normal(n, c, h, w), normal(o, c // groups, kernel, kernel), normal(n, o, *out)
    return [
        *(("conv2d_forward", {"x": x, "w": weight, "b": normal(o), **common, "rectify": rectify, "y": fresh(dy.shape)})
          for rectify in (False, True)),
        ("conv2d_backward_weight", {"dy": dy, "x": x, **common, "dw": fresh(weight.shape), "db": fresh(o)}),
        ("conv2d_backward_data", {"dy": dy, "w": weight, **common, "dx": fresh(x.shape)}),
    ]


def conv1x1_calls(n, c, outputs, h, w):
    """Convolutions by 1 × 1 with so many outputs each."""
    x, dys = normal(n, c, h, w), [normal(n, o, h, w, seed=i) for i, o in enumerate(outputs)]
    ws, bs = [normal(o, c, 1, 1, seed=i) for i, o in enumerate(outputs)], [normal(o) for o in outputs]
    new = {key: [fresh(a.shape) for a in arrays] for key, arrays in (("ys", dys), ("dws", ws), ("dbs", bs))}
    return [
        *(("conv1x1_forward", {"x": x, "ws": ws, "bs": bs, "rectify": rectify, "ys": new["ys"]})
          for rectify in (False, True)),
        ("conv1x1_backward_weight", {"dys": dys, "x": x, "dws": new["dws"], "dbs": new["dbs"]}),
        *(("conv1x1_backward_data", {"dys": dys, "ws": ws, "add": add, "rectified": rectified,
                                     "dx": normal(*x.shape, seed=9) if add else fresh(x.shape)})
          for add in (False, True) for rectified in (None, np.maximum(0, x))),
    ]


def local_calls(n, c, o, h, w, kernel, stride, pad, rounding):
    out = [sliding_size(length, kernel, stride, pad, rounding) for length in (h, w)]
    common = {"stride": stride, "pad": pad}
    x, weight, bias, dy = normal(n, c, h, w), normal(*out, o, c, kernel, kernel), normal(o, *out), normal(n, o, *out)
    return [
        ("local2d_forward", {"x": x, "w": weight, "b": bias, **common, "y": fresh(dy.shape)}),
        ("local2d_backward_weight", {"dy": dy, "x": x, **common, "dw": fresh(weight.shape), "db": fresh(bias.shape)}),
        ("local2d_backward_data", {"dy": dy, "w": weight, **common, "dx": fresh(x.shape)}),
    ]


def pool_calls(n, c, h, w, size, stride, pad, rounding, kind="any"):
    """Input with many equal pixels (kind "ties"), with negatives only, or any."""
    shape = (n, c, *(sliding_size(length, size, stride, pad, rounding) for length in (h, w)))
    x, dy, common = normal(n, c, h, w), normal(*shape), {"size": size, "stride": stride, "pad": pad}
    x = {"any": x, "negative": -1 - np.abs(x), "ties": np.round(x)}[kind]
    place, calls = np.min_scalar_type(size**2), []
    for rectified in (False, True):
        argmax = fresh(shape, place)
        definition.max_pool_forward(x, size, stride, pad, rectified, argmax, fresh(shape))
        calls += [
            *(("max_pool_forward", {"x": x, **common, "rectified": rectified, "argmax": where, "y": fresh(shape)})
              for where in (fresh(shape, place), None)),
            ("max_pool_backward", {"dy": dy, "argmax": argmax, **common, "dx": fresh(x.shape)}),
        ]
    for count_pad in (False, True):
        calls += [
            ("average_pool_forward", {"x": x, **common, "count_pad": count_pad, "y": fresh(shape)}),
            ("average_pool_backward", {"dy": dy, **common, "count_pad": count_pad, "dx": fresh(x.shape)}),
        ]
    return calls


def norm_calls(kernel, n, c, h, w, size, alpha=0.8, beta=0.75, k=1.5):
    a, db = normal(n, c, h, w), normal(n, c, h, w, seed=1)
    constants = {"size": size, "alpha": alpha, "beta": beta}
    d, b = fresh(a.shape), fresh(a.shape)
    getattr(definition, f"{kernel}_forward")(a, **constants, k=k, d=d, b=b)
    return [
        *((f"{kernel}_forward", {"a": a, **constants, "k": k, "d": d, "b": fresh(a.shape)})
          for d in (fresh(a.shape), None)[: 2 if kernel == "lrn" else 1]),
        *((f"{kernel}_backward", {"db": db, "a": a, "b": b, "d": d, **constants, "rectified": rectified,
                                  "da": fresh(a.shape)}) for rectified in (False, True)),
    ]


def dense_calls(n, i, o):
    x, w, dy = normal(n, i), normal(o, i), normal(n, o)
    return [
        *(("dense_forward", {"x": x, "w": w, "b": normal(o), "rectify": rectify, "y": fresh((n, o))})
          for rectify in (False, True)),
        ("dense_backward_weight", {"dy": dy, "x": x, "dw": fresh((o, i)), "db": fresh(o)}),
        ("dense_backward_data", {"dy": dy, "w": w, "dx": fresh((n, i))}),
    ]


def pointwise_calls(*shape):
    x, dy, calls = 3 * normal(*shape), normal(*shape, seed=1), []
    for name in ("relu", "tanh", "sigmoid", "abs_tanh"):
        y = fresh(shape)
        getattr(definition, f"{name}_forward")(x, y)
        forward = {"x": x, "y": fresh(shape)}
        calls.append((f"{name}_forward", forward))
        calls.append((f"{name}_backward", {"dy": dy, **({"x": x} if name == "abs_tanh" else {}), "y": y,
                                           "dx": fresh(shape)}))
    for p, key in ((0.0, (0, 0)), (0.3, (12345, 7)), (0.5, (2**64 - 1, 2**63))):
        calls.append(("dropout", {"x": x, "p": p, "scale": 1 / (1 - p), "key": Key(*key), "y": fresh(shape)}))
    calls.append(("scale", {"x": x, "factor": 0.3, "y": fresh(shape)}))
    calls += [("add_up", {"parts": [normal(*x.shape, seed=i) for i in range(n)], "rectified": rectified,
                          "y": fresh(x.shape)})
              for n in (1, 2, 5) for rectified in (None, np.maximum(0, dy))]
    two = {"ws": [x, normal(7)], "vs": [dy, normal(7, seed=1)], "gs": [normal(*shape, seed=2), normal(7, seed=2)]}
    calls.append(("sgd_update", {**two, "rates": ((0.1, 0.05), (0.3, 0.0)), "momentum": 0.9}))
    calls += [("average_update", {"w": x, "a": dy, "rounding": 0.1 * normal(*shape, seed=2), "share": share})
              for share in (0.3, 1.0)]
    return calls


def loss_calls(n, classes, kind="any"):
    z = normal(n, classes)
    logits = {"any": 3 * z, "ties": np.round(z), "huge": 1e4 * z}[kind]
    labels = np.random.default_rng(n).integers(0, classes, n)
    p = fresh((n, classes))
    definition.softmax(logits, p)
    return [
        ("softmax", {"logits": logits, "probabilities": fresh(p.shape)}),
        ("softmax_cross_entropy_forward",
         {"logits": logits, "labels": labels, "probabilities": fresh(p.shape), "summary": fresh(2)}),
        ("softmax_cross_entropy_backward", {"probabilities": p, "labels": labels, "dlogits": fresh(p.shape)}),
        ("label_ranks", {"scores": logits, "labels": labels, "ranks": fresh(n, np.int64)}),
    ]


def memory_calls(n, channels, h, w):
    return [("copy", {"x": normal(n, c, h, w), "y": fresh((n, c, h, w))}) for c in channels]


CALLS = [
    *conv_calls(1, 1, 1, 1, 1, 1, 1, 0, 1, "floor"),
    *conv_calls(1, 3, 2, 7, 5, 3, 1, 1, 1, "floor"),
    *conv_calls(17, 2, 3, 9, 8, 3, 2, 0, 1, "ceil"),
    *conv_calls(2, 2, 2, 11, 13, 5, 3, 2, 2, "floor"),
    *conv_calls(3, 1, 2, 6, 7, 2, 4, 1, 3, "ceil"),
    *conv_calls(17, 3, 4, 10, 10, 1, 1, 0, 1, "floor"),
    *conv_calls(2, 1, 2, 2, 3, 4, 2, 0, 1, "ceil"),
    *conv_calls(3, 3, 8, 35, 35, 11, 4, 0, 1, "ceil"),  # AlexNet's first, smaller
    *conv_calls(17, 16, 8, 13, 13, 3, 1, 1, 2, "floor"),  # and its fourth
    *conv1x1_calls(1, 1, [1], 1, 1), *conv1x1_calls(3, 17, [8, 11], 5, 7), *conv1x1_calls(5, 50, [16, 3, 24], 7, 7),
    *conv1x1_calls(2, 6, [1, 2, 3, 4, 5], 11, 13),  # more than Inception's three
    *local_calls(1, 1, 1, 3, 3, 3, 1, 0, "floor"),
    *local_calls(17, 3, 2, 7, 6, 3, 1, 1, "floor"),
    *local_calls(2, 2, 5, 8, 9, 3, 2, 0, "ceil"),
    *local_calls(3, 4, 4, 5, 5, 1, 1, 0, "floor"),
    *(call for kind in ("any", "negative", "ties") for call in (
        *pool_calls(1, 1, 1, 1, 1, 1, 0, "ceil", kind),
        *pool_calls(2, 3, 8, 7, 3, 2, 0, "ceil", kind),
        *pool_calls(17, 2, 9, 10, 3, 2, 1, "floor", kind),
        *pool_calls(1, 4, 7, 7, 3, 1, 1, "ceil", kind),
        *pool_calls(2, 1, 8, 9, 2, 3, 1, "ceil", kind),
        *pool_calls(2, 2, 2, 3, 5, 2, 2, "ceil", kind),
        *pool_calls(1, 3, 40, 37, 17, 2, 8, "ceil", kind),  # more pixels in a window than a byte counts
        *pool_calls(1, 2, 20, 30, 17, 1, 3, "ceil", kind),
    )),
    *(call for kernel in ("lrn", "lrn_within") for call in (
        *norm_calls(kernel, 1, 7, 3, 2, 5),
        *norm_calls(kernel, 17, 4, 5, 6, 3, beta=0.5),
        *norm_calls(kernel, 2, 6, 4, 7, 4, beta=1.1),
        *norm_calls(kernel, 1, 1, 1, 1, 2),
        *norm_calls(kernel, 2, 3, 4, 3, 9),
        *norm_calls(kernel, 2, 5, 3, 3, 1, alpha=0.0, k=2.0),
    )),
    *dense_calls(1, 1, 1), *dense_calls(17, 35, 13), *dense_calls(3, 200, 10), *dense_calls(9, 30, 130),
    *dense_calls(3, 1100, 9), *dense_calls(14, 1100, 2),  # in long rows, in short ones,
    *dense_calls(131, 9, 5),  # in blocks
    *pointwise_calls(1, 1), *pointwise_calls(17, 3, 5, 7), *pointwise_calls(2, 1001),
    *loss_calls(1, 2), *loss_calls(17, 10), *loss_calls(17, 5, "ties"), *loss_calls(6, 10, "huge"),
    *memory_calls(1, [1], 1, 1), *memory_calls(17, [3, 1, 4], 5, 2),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(CALLS)]


@pytest.fixture(scope="module")
def fast():
    pytest.importorskip("numba")
    return importlib.import_module("npnet.kernels.numba")


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=IDS)
def test_numba_agrees_with_the_definition(fast, name, arguments, dtype):
    assert_agree(fast, name, arguments, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=IDS)
def test_the_definition_writes_every_element_and_changes_no_input(name, arguments, dtype):
    for array in run(definition, name, cast(arguments, dtype)).values():
        assert np.all(np.isfinite(array) & (array > -(2**31)))  # neither NaN nor the lowest integer is left


def test_every_kernel_of_the_contract_is_called_here():
    assert {name for name, _ in CALLS} == COMPUTING


HOLEY = {
    "conv2d_forward": ("y",), "conv2d_backward_weight": ("dy",), "conv2d_backward_data": ("dy",),
    "conv1x1_forward": ("ys",), "conv1x1_backward_weight": ("dys",), "conv1x1_backward_data": ("dys",),
    "copy": ("x", "y"), "relu_backward": ("dy", "y")}
"""What may be some channels of a larger array."""


@pytest.mark.parametrize("name", HOLEY)
def test_some_channels_of_an_array_are_written_and_read_as_a_whole_one(fast, name):
    """With the same bits, and what lies between stays as it is."""
    larger = []

    def holey(x, before=2, after=1):
        n, c, *maps = x.shape
        larger.append((np.full((n, before + c + after, *maps), 7, x.dtype), slice(before, before + c)))
        part = definition.channels(larger[-1][0], before, c)
        part[...] = x
        return part

    calls = [arguments for kind, arguments in CALLS
             if kind == name and ("dy" not in arguments or arguments["dy"].ndim == 4)]
    assert calls
    for arguments in calls:
        arguments = cast(arguments, np.float32)
        for backend in (definition, fast):
            whole = run(backend, name, arguments)
            given = {key: np.array(v) if isinstance(v, np.ndarray) else v for key, v in arguments.items()}
            for key in HOLEY[name]:
                given[key] = [holey(part) for part in given[key]] if key in ("ys", "dys") else holey(given[key])
            getattr(backend, name)(**given)
            got = given | {f"{key} {i}": part for key, parts in given.items() if isinstance(parts, list)
                           for i, part in enumerate(parts)}
            for key, expected in whole.items():
                np.testing.assert_array_equal(got[key], expected)
    for array, inside in larger:
        assert (np.delete(array, np.r_[inside], axis=1) == 7).all()


def test_one_channel_may_have_any_stride(fast):
    """NumPy does not care how far the next one would be."""
    rng = np.random.default_rng(0)
    grey, w, b = rng.standard_normal((3, 4, 5)), rng.standard_normal((2, 1, 1, 1)), np.zeros(2)
    for x in (grey[:, None], grey[..., None].transpose(0, 3, 1, 2)):
        for name, arguments in (("conv2d_forward", {"x": x, "w": w, "b": b, "stride": 1, "pad": 0, "groups": 1,
                                                    "rectify": False, "y": fresh((3, 2, 4, 5))}),
                                ("conv1x1_backward_data", {"dys": [x], "ws": [w.swapaxes(0, 1).copy()], "add": False,
                                                           "rectified": None, "dx": fresh((3, 2, 4, 5))})):
            y = arguments.popitem()
            results = []
            for backend in (definition, fast):
                out = y[1].copy()
                getattr(backend, name)(**arguments, **{y[0]: out})
                results.append(out)
            np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_an_array_with_other_holes_is_refused(fast):
    x = np.zeros((2, 3, 4, 5), np.float32)
    for wrong in (x[..., ::2], x[:, ::2], x.swapaxes(2, 3), x[::-1], np.broadcast_to(x[:1], x.shape)):
        with pytest.raises(ValueError, match=r"array of shape .* and strides .* must be row-major"):
            fast.copy(wrong, np.zeros(wrong.shape, np.float32))


# -- random shapes -----------------------------------------------------------------------------------------------------

small, rounding = st.integers(1, 4), st.sampled_from(["floor", "ceil"])


@st.composite
def windows(draw):
    """h, w, size, stride, pad, rounding: at least one window fits."""
    size, stride = draw(st.integers(1, 5)), draw(small)
    pad, how = draw(st.integers(0, size - 1)), draw(rounding)
    least = max(1, size - 2 * pad) if how == "floor" else 1
    h, w = (draw(st.integers(least, least + 8)) for _ in range(2))
    return h, w, size, stride, pad, how


@given(n=small, c=small, o=small, window=windows(), groups=st.integers(1, 3))
def test_convolutions_of_any_shape_agree(fast, n, c, o, window, groups):
    for name, arguments in conv_calls(n, c, o, *window[:-1], groups, window[-1]):
        assert_agree(fast, name, arguments, np.float64)


def test_convolutions_of_the_smallest_images_agree(fast):
    """Filters larger than the padded image among them, of which only the first rows and columns see any."""
    for h, w, size, stride, pad in itertools.product((1, 2), (1, 2), (2, 3, 5), (1, 2), (0, 1)):
        for name, arguments in conv_calls(2, 2, 9, h, w, size, stride, pad, 1, "ceil"):
            assert_agree(fast, name, arguments, np.float32)


@given(n=small, c=small, o=small, window=windows())
def test_unshared_convolutions_of_any_shape_agree(fast, n, c, o, window):
    for name, arguments in local_calls(n, c, o, *window):
        assert_agree(fast, name, arguments, np.float64)


@given(n=small, c=small, window=windows(), kind=st.sampled_from(["any", "negative", "ties"]))
@settings(max_examples=8)  # each size of window is compiled: three seconds
def test_pools_of_any_shape_agree(fast, n, c, window, kind):
    for name, arguments in pool_calls(n, c, *window, kind):
        assert_agree(fast, name, arguments, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pixels", [1, 150])
def test_maps_taken_a_few_rows_at_a_time_agree(fast, pixels, dtype, monkeypatch):
    """35 maps: whole vectors of them, and some more."""
    for walk in (fast.walks, fast.by_two, fast.averages):
        monkeypatch.setattr(walk, "NUMBERS", pixels)
    plans = fast.walks.planned, fast.by_two.halving, fast.averages.strided
    for plan in plans:
        plan.cache_clear()
    for window in ((3, 2, 0), (3, 1, 1), (2, 3, 1), (5, 3, 2), (1, 2, 0), (1, 1, 0)):
        for name, arguments in pool_calls(5, 7, 13, 10, *window, "ceil", "ties"):
            assert_agree(fast, name, arguments, dtype)
    for size in (3, 4):
        for name, arguments in norm_calls("lrn_within", 5, 7, 13, 10, size):
            assert_agree(fast, name, arguments, dtype)
    for plan in plans:
        plan.cache_clear()


@given(kernel=st.sampled_from(["lrn", "lrn_within"]), n=small, c=st.integers(1, 9), h=st.integers(1, 9), w=small,
       size=st.integers(1, 7), beta=st.sampled_from([0.75, 0.5, 1.0, 0.3]))
def test_norms_of_any_shape_agree(fast, kernel, n, c, h, w, size, beta):
    for name, arguments in norm_calls(kernel, n, c, h, w, size, beta=beta):
        assert_agree(fast, name, arguments, np.float64)


# -- the plain loops, threads, and the contract itself -----------------------------------------------------------------


@pytest.fixture
def loops(fast, monkeypatch):
    """The numba backend with every compiled kernel replaced by the plain Python it was compiled from."""
    modules = [importlib.import_module(f"{fast.__name__}.{m.name}") for m in pkgutil.iter_modules(fast.__path__)]
    assert use_plain_loops((fast, *modules), monkeypatch) > 60
    return fast


def largest(arguments):
    """Numbers in the largest array of a call, but for sums, which take no time."""
    every = [part for v in arguments.values() for part in (v if isinstance(v, list) else [v])]
    return max(part.size for part in every if isinstance(part, np.ndarray)) if "parts" not in arguments else 0


SMALL = [i for i, (_, arguments) in enumerate(CALLS) if largest(arguments) <= 2000]


@pytest.mark.parametrize(("name", "arguments"), [CALLS[i] for i in SMALL], ids=[IDS[i] for i in SMALL])
def test_the_plain_loops_agree_too(loops, name, arguments):
    with np.errstate(over="ignore", invalid="ignore"):  # modulo 2^64; what memory held before, in lanes not used
        assert_agree(loops, name, arguments, np.float64)


@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=IDS)
def test_one_thread_and_two_agree(fast, name, arguments):
    import numba
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("there is one thread only")
    before, results = numba.get_num_threads(), []
    try:
        for threads in (1, 2, 2):
            numba.set_num_threads(threads)
            results.append(run(fast, name, arguments))
    finally:
        numba.set_num_threads(before)
    one, two, again = results
    for key in one:
        np.testing.assert_array_equal(two[key], again[key], err_msg="the same number of threads gives the same bits")
        np.testing.assert_allclose(two[key], one[key], rtol=1e-9, atol=1e-9)


MANY = pointwise_calls(3, 100_003)  # more than one thread does alone


@pytest.mark.parametrize(("name", "arguments"), MANY, ids=[name for name, _ in MANY])
def test_what_is_divided_among_threads_agrees(fast, name, arguments):
    assert_agree(fast, name, arguments, np.float32)


@pytest.mark.parametrize("name", kernels.NAMES)
def test_a_backend_has_the_functions_of_the_contract_and_no_others(name):
    pytest.importorskip(name)
    backend = importlib.import_module(f"npnet.kernels.{name}")
    assert sorted(backend.__all__) == sorted(CONTRACT)
    for function, promised in CONTRACT.items():
        expected = [p for p in inspect.signature(promised).parameters if p != "self"]
        assert list(inspect.signature(getattr(backend, function)).parameters) == expected, function


def test_memory_functions_do_what_the_contract_says(backend):
    x = backend.empty((12,), np.dtype(np.float32))
    assert (x.shape, x.dtype) == ((12,), np.float32)
    backend.fill(x, 2.0)
    corner = backend.view(x, (2, 3))
    backend.from_host(np.arange(6.0).reshape(2, 3), corner)  # cast from float64
    host = backend.to_host(x)
    np.testing.assert_array_equal(host, [0, 1, 2, 3, 4, 5, 2, 2, 2, 2, 2, 2])
    host[:] = 9
    np.testing.assert_array_equal(backend.to_host(x)[:3], [0, 1, 2])  # it was a copy
    assert backend.empty((0,), np.dtype(np.float64)).shape == (0,)


def test_a_backend_that_does_not_exist_is_named(backend):
    with pytest.raises(ValueError, match=r"backend \(='torch'\) must be one of numpy, numba"):
        npnet.use("torch")
    assert kernels.active() is backend, "a failed choice changes nothing"


def test_a_backend_that_is_not_installed_says_what_to_install(backend, monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(kernels.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install numba, or choose another with NPNET_BACKEND=numpy"):
        npnet.use("numba")
    assert kernels.active() is backend


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setattr(kernels, "_active", None)
    monkeypatch.setenv("NPNET_BACKEND", "numpy")
    assert kernels.active() is definition
    assert kernels.active_name() == "numpy"


def test_a_layer_keeps_the_backend_it_was_made_with(backend):
    layer = npnet.layers.Dense(2, 2)
    npnet.use("numpy")
    assert layer.kernels is backend
    assert layer.weight.kernels is backend


def test_where_nothing_can_be_written_kernels_are_compiled_all_the_same(monkeypatch):
    import numba

    from npnet.kernels.numba import compile as home

    njit = numba.njit

    def without_a_folder(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*arguments, **options)

    monkeypatch.setattr(numba, "njit", without_a_folder)
    assert home.serial(lambda x: x + 1)(2) == 3


def test_kernels_of_a_thread_use_the_same_memory(fast):
    import threading

    scratch, dtype = fast.arrays.scratch, np.dtype(np.float32)
    [large] = scratch(dtype, (3, 1000))
    one, other = scratch(dtype, (2, 5), (7,))
    assert [one.shape, other.shape] == [(2, 5), (7,)]
    assert [np.shares_memory(*pair) for pair in ((large, one), (large, other), (one, other))] == [True, True, False]
    found = []
    thread = threading.Thread(target=lambda: found.extend(scratch(dtype, (3, 1000))))
    thread.start()
    thread.join()
    assert not np.shares_memory(large, found[0])
    assert not np.shares_memory(large, *scratch(np.dtype(np.float64), (10,)))


@pytest.mark.parametrize("name", ["cifar_18pct", "cifar_13pct", "googlenet"])
def test_a_step_makes_no_arrays_after_the_first_two(fast, name):
    import tracemalloc

    from npnet import models
    from npnet.train import SGD

    net = models.build(name)
    loss, sgd = models.loss(net), SGD(net.parameters(), 1e-6)
    x = np.random.default_rng(0).standard_normal((2, *models.INPUTS[name]), np.float32)
    labels = np.array([1, 2])

    def step():
        loss.forward(net.forward(x), labels)
        net.backward_parameters(loss.backward())
        sgd.step()

    step()
    step()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 24 * 1024  # views, tuples and numbers; the first maps alone would be more


@pytest.mark.parametrize(("copies", "pixels"), [(1, 1), (3000, 25), (10**9, 10**9)])
def test_however_a_convolution_is_cut_up_it_is_the_same(fast, monkeypatch, copies, pixels):
    """Bands of an image and parts of its channels, of which small images have only one."""
    from npnet.kernels.numba import conv as home

    monkeypatch.setattr(home, "COPIES", copies)
    monkeypatch.setattr(home, "PIXELS", pixels)
    cached = (home._plan,)
    for function in cached:
        function.cache_clear()
    try:
        for sizes in ((2, 5, 60, 11, 9, 5, 1, 2, 1, "floor"), (3, 4, 7, 12, 7, 3, 2, 1, 2, "ceil"),
                      (1, 6, 9, 9, 10, 3, 3, 0, 3, "floor"), (2, 7, 3, 8, 8, 2, 4, 1, 1, "ceil")):
            for name, arguments in conv_calls(*sizes):
                for dtype in (np.float64, np.float32):
                    assert_agree(fast, name, arguments, dtype)
    finally:
        for function in cached:
            function.cache_clear()
