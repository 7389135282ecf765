"""Polyak averaging: the mean of the weights after every step."""
import numpy as np
import pytest
from small_run import small_net, small_trainer

from npnet.errors import UserError
from npnet.files import load_arrays, save_arrays
from npnet.train import SGD, Average, checkpoint, metrics
from npnet.weights import load_weights


def weights(net):
    return [p.numpy() for p in net.parameters()]


def test_it_is_the_mean_of_what_the_weights_were(backend):
    net, rng, seen = small_net(), np.random.default_rng(0), []
    average = Average(net.parameters())
    for _ in range(7):
        for p in net.parameters():
            p.assign(rng.standard_normal(p.shape).astype(np.float32))
        average.update()
        seen.append(weights(net))
    own = weights(net)
    with average.in_place():
        for mean, *values in zip(weights(net), *seen, strict=True):
            np.testing.assert_allclose(mean, np.mean(values, axis=0), atol=1e-6)
    for a, b in zip(weights(net), own, strict=True):
        np.testing.assert_array_equal(a, b)
    assert average.count == 7


def small_steps_add_up(backend):
    """Each of them moves a mean of 1 by 5e-8, and float32's next number is 1 + 12e-8."""
    arrays = [backend.empty((5,), np.dtype(np.float32)) for _ in range(3)]
    for array, value in zip(arrays, (1.05, 1.0, 0.0), strict=True):
        backend.from_host(np.full(5, value, np.float32), array)
    for _ in range(200):
        backend.average_update(*arrays, 1e-6)
    np.testing.assert_allclose(backend.to_host(arrays[1]), 1.00001, rtol=0, atol=1.2e-7)


def test_small_steps_add_up(backend):
    small_steps_add_up(backend)


def test_the_net_computes_with_it_and_gets_its_own_back_after_an_error():
    net = small_net()
    x = np.random.default_rng(0).standard_normal((2, 3, 14, 14), np.float32)
    average = Average(net.parameters())
    before = net.forward(x, train=False).copy()
    average.update()
    for p in net.parameters():
        p.assign(np.zeros(p.shape, np.float32))

    def fail():
        with average.in_place():
            np.testing.assert_array_equal(net.forward(x, train=False), before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not net.forward(x, train=False).any()


def test_without_a_step_there_is_no_mean():
    with pytest.raises(ValueError, match="there is no mean yet"), Average(small_net().parameters()).in_place():
        pass


def test_training_averages_from_its_epoch_on_and_tests_the_mean(tmp_path):
    run = small_trainer(tmp_path, epochs=4, tested=True, averaged=True)  # from epoch 2 on: 22 steps of 44
    own = [run.net.parameters()[0].numpy()]
    step = run.sgd.step

    def note():
        step()
        own.append(run.net.parameters()[0].numpy())

    run.sgd.step = note
    tested = [line for line in run.run() if "test_error" in line]
    assert ["averaged_error" in line for line in tested] == [False, False, True, True]
    arrays, facts = load_arrays(tmp_path / checkpoint.NAME)
    assert facts["averaged"] == 22
    name = run.net.parameters()[0].name
    np.testing.assert_allclose(arrays[f"{name}.average"], np.mean(own[-22:], axis=0), atol=1e-6)
    np.testing.assert_array_equal(arrays[name], own[-1])
    assert [line["averaged_error"] for line in metrics.read(tmp_path)[-1:]] == [tested[-1]["averaged_error"]]

    net = small_net(seed=3)
    load_weights(net, tmp_path / checkpoint.NAME, averaged=True)
    np.testing.assert_array_equal(net.parameters()[0].numpy(), arrays[f"{name}.average"])
    load_weights(net, tmp_path / checkpoint.NAME)
    np.testing.assert_array_equal(net.parameters()[0].numpy(), own[-1])


def test_a_checkpoint_without_its_means_is_refused(tmp_path):
    run = small_trainer(tmp_path, epochs=2, averaged=True)
    run.run()
    path = tmp_path / checkpoint.NAME
    arrays, facts = load_arrays(path)
    net = small_net()
    before = weights(net)
    name = "conv.weight.average"
    for damaged in ({k: a for k, a in arrays.items() if k != name}, {**arrays, name: arrays[name][:1]},
                    {**arrays, "conv.weight.rounding": np.zeros(2, np.float32)}):
        save_arrays(path, damaged, facts)
        with pytest.raises(UserError, match=r"holds no mean of conv\.weight: it is damaged"):
            checkpoint.load(path, net, SGD(net.parameters()), Average(net.parameters()))
    for a, b in zip(weights(net), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_array_of_another_shape_is_not_exchanged():
    p = small_net().parameters()[0]
    with pytest.raises(ValueError, match=r"conv\.weight: value of shape \(=\(2,\)\)"):
        p.exchange(np.zeros(2, np.float32))
