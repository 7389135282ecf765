"""Calls that are worked out once: they are, and when that would be wrong they are not."""
import gc
import threading
import weakref

import numpy as np
import pytest

from npnet import kernels
from npnet.kernels.calls import Calls
from npnet.layers import LRN, Conv2D, Dense, MaxPool2D, ReLU, Sequential
from npnet.layers.conv import Conv1x1s
from npnet.train import SGD

pytest.importorskip("numba")
import numba

from npnet.kernels.numba.prepared import loop, prepared


class Kernel:
    """Counts what is asked of it."""

    def __init__(self):
        self.prepared, self.run = 0, 0

    def __call__(self, *arguments):
        raise AssertionError("it says how to prepare")

    def prepare(self, *arguments):
        self.prepared += 1

        def call():
            self.run += 1

        return call


def test_a_call_with_the_same_objects_is_worked_out_once():
    call, kernel, x, w = Calls(), Kernel(), np.zeros(3), np.zeros(2)
    for _ in range(3):
        call(kernel, x, (w, x), 0.5, True)
    assert (kernel.prepared, kernel.run) == (1, 3)
    x[:] = 1
    call(kernel, x, (w, x), 0.5, True)
    assert (kernel.prepared, kernel.run) == (1, 4)


@pytest.mark.parametrize("other", [
    lambda x, w: (x.copy(), (w, x), 0.5), lambda x, w: (x[:], (w, x), 0.5), lambda x, w: (x, (w, x.copy()), 0.5),
    lambda x, w: (x, (w,), 0.5), lambda x, w: (x, (w, x), 0.25), lambda x, w: (x, (w, x)),
    lambda x, w: (x, [w, x], 0.5)])
def test_a_call_with_others_is_worked_out_anew(other):
    call, kernel, x, w = Calls(), Kernel(), np.zeros(3), np.zeros(2)
    call(kernel, x, (w, x), 0.5)
    call(kernel, *other(x, w))
    assert (kernel.prepared, kernel.run) == (2, 2)
    call(kernel, x, (w, x), 0.5)
    assert (kernel.prepared, kernel.run) == (3, 3)


def test_each_kernel_has_a_call_of_its_own_and_a_plain_one_is_just_called():
    call, one, other, x, seen = Calls(), Kernel(), Kernel(), np.zeros(3), []
    for _ in range(2):
        call(one, x)
        call(other, x)
        call(seen.append, 7)
    assert (one.prepared, other.prepared, seen) == (1, 1, [7, 7])


class Told(Kernel):
    """Whose calls can be put together."""

    def __init__(self, name, seen):
        super().__init__()
        self.name, self.seen = name, seen

    def prepare(self, *arguments):
        self.prepared += 1
        return Begun([(self.name, *arguments)], self.seen)


class Begun:
    def __init__(self, what, seen):
        self.what, self.seen = what, seen

    def __call__(self):
        self.seen.append(self.what)

    def then(self, other):
        return Begun([*self.what, *other.what], self.seen)


def test_calls_in_turn_are_one_call_that_is_worked_out_once():
    call, seen, x, y = Calls(), [], np.zeros(3), np.zeros(2)
    one, other = Told("one", seen), Told("other", seen)
    for _ in range(2):
        call.in_turn((one, x, 0.5), (other, y))
    both = [("one", x, 0.5), ("other", y)]
    assert (one.prepared, other.prepared) == (1, 1)
    assert seen == [both, both]
    call.in_turn((one, x, 0.25), (other, y))
    assert (one.prepared, other.prepared) == (2, 2)
    call.in_turn((other, y))
    assert seen[2:] == [[("one", x, 0.25), ("other", y)], [("other", y)]]


def test_of_calls_in_turn_too_nothing_is_left_of_the_last_batch():
    call, seen, old = Calls(), [], np.zeros(3)
    one, other = Told("one", seen), Told("other", seen)
    call.in_turn((one, old), (other, 0.5))
    call(one, old)
    seen.clear()
    gone = weakref.ref(old)
    del old
    assert gone() is not None
    call.in_turn((one, np.zeros(4)), (other, 0.5))
    assert gone() is None


def test_plain_kernels_in_turn_are_just_called():
    call, seen = Calls(), []
    for _ in range(2):
        call.in_turn((seen.append, 1), (seen.append, 2))
    assert seen == [1, 2, 1, 2]


def test_where_one_of_them_is_plain_so_is_the_other():
    class Counted:
        prepared = 0

        def prepare(self, *arguments):
            self.prepared += 1

        def __call__(self, *arguments):
            seen.append(arguments)

    call, seen, counted = Calls(), [], Counted()
    call.in_turn((counted, 1), (seen.append, 2))
    assert (seen, counted.prepared) == ([(1,), 2], 0)


def test_of_two_prepared_calls_the_second_may_move_what_the_first_was_given(fast):
    """Scratch memory: the first is worked out anew, and does not keep what is no longer the thread's."""
    from npnet.kernels.numba.arrays import scratch

    asked, used = [], []

    def kernel(size):
        [room] = scratch(np.dtype(np.float32), (size,))
        asked.append(size)
        return [loop(used.append, room)]

    more = fast.arrays._scratch.memory[np.dtype(np.float32)].size * 2 if fast.arrays._scratch.memory else 2**20
    both = prepared(kernel).prepare(8).then(prepared(kernel).prepare(more))
    for _ in range(2):
        both()
    assert asked == [8, more, 8, more]
    assert np.shares_memory(used[0], used[1])
    assert [room.size for room in used] == [8, more, 8, more]


def test_another_batch_leaves_nothing_of_the_last_one():
    call, forward, backward, old = Calls(), Kernel(), Kernel(), np.zeros(3)
    call(forward, old)
    call(backward, old)
    gone = weakref.ref(old)
    del old
    assert gone() is not None
    call(forward, np.zeros(4))
    assert gone() is None


def net_of(seed=0):
    """Each way of computing a convolution, a normalisation in groups, pooling, and a fully connected layer."""
    net = Sequential(
        Conv2D(3, 32, 5, 1, 2), MaxPool2D(3, 2), ReLU(), LRN(3, groups=2), Conv2D(32, 32, 3, 1, 1), ReLU(),
        Conv2D(32, 16, 1), ReLU(), Dense(16 * 8 * 8, 5))
    net.initialise(seed)
    return net


def step(net, x, dy):
    """Everything that comes of it, as copies."""
    y = net.forward(x).copy()
    dx = net.backward(dy).copy()
    return [y, dx, *(p.grad.copy() for p in net.parameters())]


def batch(images, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((images, 3, 16, 16), np.float32), rng.standard_normal((images, 5), np.float32))


def same(got, expected):
    return all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.fixture
def fast():
    with kernels.using("numba") as backend:
        yield backend


def test_batches_of_other_sizes_and_values_are_computed_as_by_a_new_net(fast):
    net = net_of()
    for images, seed in ((4, 0), (4, 1), (3, 2), (6, 3), (4, 0), (4, 4)):
        some = batch(images, seed)
        assert same(step(net, *some), step(net_of(), *some))
        x, dy = some
        x *= 2  # the same arrays, other numbers
        assert same(step(net, x, dy), step(net_of(), x, dy))


def test_other_weights_and_another_type_are_seen(fast):
    net, some = net_of(), batch(4)
    step(net, *some)
    net.initialise(1)
    assert same(step(net, *some), step(net_of(1), *some))
    net.astype(np.float64)
    other = net_of(1)
    other.astype(np.float64)
    some = [part.astype(np.float64) for part in some]
    assert same(step(net, *some), step(other, *some))


def test_another_number_of_threads_is_seen(fast):
    """Scratch memory is for as many as there were."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("there is one thread only")
    net, some, before = net_of(), batch(4), numba.get_num_threads()
    try:
        for team in (1, 2, 1):
            numba.set_num_threads(team)
            assert same(step(net, *some), step(net_of(), *some))
    finally:
        numba.set_num_threads(before)


def test_scratch_memory_that_has_moved_is_not_written_any_more(fast):
    net, some = net_of(), batch(4)
    expected = step(net, *some)
    old = fast.arrays._scratch.memory[np.dtype(np.float32)]
    fast.arrays.scratch(np.dtype(np.float32), (old.size + 1,))
    old[:] = np.nan
    assert same(step(net, *some), expected)
    assert np.isnan(old).all()


def test_scratch_memory_is_given_back_before_more_is_taken(fast):
    """Also what calls have kept of it: each layer that needs more would leave some."""
    net, some = net_of(), batch(4)
    expected = step(net, *some)
    old = weakref.ref(fast.arrays._scratch.memory[np.dtype(np.float32)].base)
    size = fast.arrays._scratch.memory[np.dtype(np.float32)].size
    assert old() is not None
    fast.arrays.scratch(np.dtype(np.float32), (size + 1,))
    assert old() is None
    assert same(step(net, *some), expected)


def test_where_there_is_no_more_memory_calls_are_worked_out_anew(fast):
    """What they have kept was given back by then: they must not do nothing."""
    net, some = net_of(), batch(4)
    sgd = SGD(net.parameters(), rate=0.1)
    expected = step(net, *some)
    sgd.step()
    before = [p.numpy() for p in net.parameters()]
    with pytest.raises(MemoryError):
        fast.arrays.scratch(np.dtype(np.float32), (2**58,))
    sgd.step()
    assert not any(np.array_equal(p.numpy(), w) for p, w in zip(net.parameters(), before, strict=True))
    net.initialise(0)
    for p in net.parameters():
        p.grad[...] = np.nan
    assert same(step(net, *some), expected)


def test_a_call_that_runs_is_kept_whoever_lets_go_of_it(fast):
    """Scratch memory of the thread that worked it out grows while another one runs it: all its loops still run."""
    def kernel():
        return [loop(lambda: asked[0].let_go()), loop(gc.collect), loop(seen.append, 1), loop(seen.append, 2)]

    asked, seen = [], []
    asked.append(prepared(kernel).prepare())
    for _ in range(2):
        asked[0]()
    assert seen == [1, 2, 1, 2]


def test_an_interrupted_plan_is_not_taken_for_the_next_one(fast):
    """Of two threads, where there was one: their scratch memory would be too small."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("there is one thread only")
    asked, before = [], numba.get_num_threads()

    def kernel():
        asked.append(numba.get_num_threads())
        if len(asked) == 2:
            raise KeyboardInterrupt
        return []

    call = prepared(kernel).prepare()
    try:
        numba.set_num_threads(1)
        call()
        numba.set_num_threads(2)
        with pytest.raises(KeyboardInterrupt):
            call()
        call()
    finally:
        numba.set_num_threads(before)
    assert asked == [1, 2, 2]


def test_scratch_memory_of_another_thread_is_not_used(fast):
    net, some, found = net_of(), batch(4), []
    expected = step(net, *some)
    mine = fast.arrays._scratch.memory[np.dtype(np.float32)]
    mine[:] = np.nan

    def elsewhere():
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
        found.extend(step(net, *some))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert same(found, expected)
    assert np.isnan(mine).all()


def test_a_strided_image_for_a_fully_connected_layer_is_read_anew(fast):
    """Its numbers in one row are a copy, which must not be kept."""
    layer, images = Dense(12, 2), np.arange(24, dtype=np.float32).reshape(2, 4, 3, 1).transpose(0, 2, 1, 3)
    layer.initialise(0)
    first = layer.forward(images).copy()
    images += 1
    assert not np.array_equal(layer.forward(images), first)
    np.testing.assert_array_equal(layer.forward(images), layer.forward(images.copy()))


def test_a_larger_batch_out_of_training_leaves_nothing_of_the_last_one(fast):
    """Also where a layer that was asked for a gradient has nothing to do."""
    net = Sequential(Conv2D(3, 8, 3), ReLU(), LRN(3, groups=2), Conv2D(8, 4, 3), ReLU())
    x = np.zeros((4, 3, 144, 144), np.float32)  # so large that every layer's output has memory of its own
    net.backward(np.ones_like(net.forward(x)))
    old = [weakref.ref(layer._views["y"].base) for layer in net.layers if "y" in layer._views]
    assert len(old) == 3
    net.forward(np.zeros((8, 3, 144, 144), np.float32), train=False)
    assert all(gone() is None for gone in old)


@pytest.mark.parametrize(("layer", "name", "value"), [
    (lambda: Conv2D(3, 4, 3, pad=1), "pad", 0), (lambda: Conv2D(3, 4, 3, pad=1), "stride", 2),
    (lambda: MaxPool2D(2, 2), "stride", 4)])
def test_a_layer_that_is_changed_computes_something_else(fast, layer, name, value):
    x, changed, other = batch(2)[0], layer(), layer()
    changed.forward(x)
    for one in (changed, other):
        setattr(one, name, value)
    np.testing.assert_array_equal(changed.forward(x), other.forward(x))


def test_convolutions_of_one_input_keep_one_call(fast, monkeypatch):
    layers = [Conv2D(8, 4, 1), Conv2D(8, 12, 1)]
    together, x = Conv1x1s(layers), np.ones((2, 8, 5, 5), np.float32)
    asked, prepare = [], fast.conv1x1_forward.prepare
    monkeypatch.setattr(fast.conv1x1_forward, "prepare", lambda *a: asked.append(a) or prepare(*a))
    first = [y.copy() for y in together.forward(x, False, [None, None])]
    again = together.forward(x, False, [None, None])
    assert len(asked) == 1
    assert same(first, again)
