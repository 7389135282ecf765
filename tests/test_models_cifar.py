"""cuda-convnet's nets for CIFAR-10."""
import numpy as np
import pytest

import npnet
from npnet import kernels, models
from npnet.data import shapes
from npnet.layers import LRN, LRNWithin, SoftmaxCrossEntropy, Tanh
from npnet.train import SGD

# Multiply-adds by hand: output pixels · output channels · (input channels · window), layer by layer.
CONVS = 32 * 32 * 32 * (3 * 25) + 16 * 16 * 32 * (32 * 25) + 8 * 8 * 64 * (32 * 25)
WIDE = 24 * 24 * 64 * (3 * 25) + 12 * 12 * 64 * (64 * 25)
COSTS = {
    "cifar_80sec": (145_578, CONVS + 1024 * 64 + 64 * 10, 12.4),
    "cifar_19pct": (89_578, CONVS + 1024 * 10, 12.3),
    "cifar_18pct": (89_578, CONVS + 1024 * 10, 12.3),
    "cifar_figure1": (89_578, CONVS + 1024 * 10, 12.3),
    "cifar_13pct": (1_116_490, WIDE + 36 * 32 * (64 * 9) + 36 * 32 * (32 * 9) + 1152 * 10, 18.5),
    "cifar_11pct": (2_112_970, WIDE + 36 * 64 * (64 * 9) + 36 * 32 * (64 * 9) + 1152 * 10, 19.5),
}
CIFAR = [name for name in models.MODELS if name.startswith("cifar")]
NETS = [*((name, {}) for name in CIFAR), ("cifar_figure1", {"activation": "tanh"})]
IDS = [f"{name}{'-tanh' if arguments else ''}" for name, arguments in NETS]

# (σ, L2 coefficient) of each weight, from the layer files
LAYERS = {
    "cifar_80sec": {"conv1": (0.0001, 0.004), "conv2": (0.01, 0.004), "conv3": (0.01, 0.004), "fc64": (0.1, 0.03),
                    "fc10": (0.1, 0.03)},
    "cifar_19pct": {"conv1": (0.0001, 0.004), "conv2": (0.01, 0.004), "conv3": (0.01, 0.004), "fc10": (0.01, 3.0)},
    "cifar_18pct": {"conv1": (0.0001, 0.004), "conv2": (0.01, 0.004), "conv3": (0.01, 0.004), "fc10": (0.01, 1.0)},
    "cifar_figure1": {"conv1": (0.0001, 0), "conv2": (0.01, 0), "conv3": (0.01, 0), "fc10": (0.01, 0)},
    "cifar_13pct": {"conv1": (0.0001, 0), "conv2": (0.01, 0), "local3": (0.04, 0.004), "local4": (0.04, 0.004),
                    "fc10": (0.01, 0.004)},
    "cifar_11pct": {"conv1": (0.0001, 0), "conv2": (0.01, 0), "local3": (0.04, 0.004), "local4": (0.04, 0.004),
                    "fc10": (0.01, 0.01)},
}


def sizes(net, shape):
    found = [shape[1]]
    for layer in net.layers:
        shape = layer.output_shape(shape)
        if len(shape) == 3 and shape[1] != found[-1]:
            found.append(shape[1])
    return found, shape


@pytest.mark.parametrize("name", CIFAR)
def test_parameters_and_multiply_adds(name):
    parameters, macs, millions = COSTS[name]
    cost = models.build(name).cost(models.INPUTS[name])
    assert cost.parameters == parameters
    assert cost.macs == macs
    assert round(macs / 1e6, 1) == millions


@pytest.mark.parametrize("name", CIFAR)
def test_maps_shrink_as_published(name):
    side = 24 if name in ("cifar_13pct", "cifar_11pct") else 32
    assert models.INPUTS[name] == (3, side, side)
    assert sizes(models.build(name), (3, side, side)) == ([24, 12, 6] if side == 24 else [32, 16, 8, 4], (10,))


@pytest.mark.parametrize("name", CIFAR)
def test_initial_values_rates_and_decays_are_those_of_the_layer_files(name):
    net = models.build(name, seed=3)
    assert [p.name for p in net.parameters()] == [f"{n}.{kind}" for n in LAYERS[name] for kind in ("weight", "bias")]
    for layer, (std, decay) in LAYERS[name].items():
        weight, bias = net[layer].weight, net[layer].bias
        values = weight.numpy()
        assert values.std() == pytest.approx(std, rel=4 / np.sqrt(2 * values.size))
        assert abs(values.mean()) < 4 * std / np.sqrt(values.size)
        assert (weight.rate, weight.decay) == (1, decay)
        assert (bias.rate, bias.decay) == (2, 0)
        assert not bias.numpy().any()


@pytest.mark.parametrize("name", CIFAR)
def test_another_seed_is_another_net_and_the_same_seed_the_same(name):
    one, same, other = (models.build(name, seed=seed) for seed in (1, 1, 2))
    for p, q, r in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        assert p.name.endswith("bias") or (p.numpy() != r.numpy()).any()


@pytest.mark.parametrize("name", CIFAR)
def test_the_number_of_classes_is_free(name):
    assert models.build(name, classes=7).output_shape(models.INPUTS[name]) == (7,)


def test_the_normalisations_stand_where_the_layer_files_have_them():
    for name, kind in (("cifar_18pct", LRNWithin), ("cifar_11pct", LRN)):
        net = models.build(name)
        assert [n for n, layer in zip(net.names, net.layers, strict=True) if isinstance(layer, kind)] == [
            "norm1", "norm2"]
    within, across = models.build("cifar_18pct"), models.build("cifar_11pct")
    assert within.names[:8] == ["conv1", "pool1", "relu1", "norm1", "conv2", "relu2", "pool2", "norm2"]
    assert across.names[:8] == ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2", "norm2", "pool2"]
    assert [n for n in models.build("cifar_19pct").names if "norm" in n] == []
    # scale/size² for each term of a 3 × 3 window: 5.6e-6; scale/size across 9 maps: 1.1e-4
    norm = within["norm1"]
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (3, 5e-5 / 9, 0.75, 1)
    norm = across["norm1"]
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (9, 0.001 / 9, 0.75, 1)


def test_figure1_is_19pct_without_decay_and_tanh_takes_the_place_of_each_relu():
    of19, relu, tanh = (models.build("cifar_19pct", seed=5), models.build("cifar_figure1", seed=5),
                        models.build("cifar_figure1", seed=5, activation="tanh"))
    assert relu.names == of19.names
    assert [n.replace("tanh", "relu") for n in tanh.names] == relu.names
    for name, layer in zip(tanh.names, tanh.layers, strict=True):
        assert isinstance(layer, Tanh) == name.startswith("tanh")
    for p, q, r in zip(of19.parameters(), relu.parameters(), tanh.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        np.testing.assert_array_equal(q.numpy(), r.numpy())
        assert (q.decay, r.decay) == (0, 0)
    with pytest.raises(ValueError, match=r"activation \(='swish'\) must be 'relu' or 'tanh'"):
        models.cifar_figure1(activation="swish")


def test_a_model_that_is_not_known_is_named():
    with pytest.raises(ValueError, match=r"model \(='cifar'\) must be one of cifar_80sec, "):
        models.build("cifar")


def step(name, arguments, batch=4, dtype=np.float32):
    """One step on a real batch, as `Trainer` does it: loss, and gradient, velocity, value before and after, by name."""
    net = models.build(name, seed=1, **arguments)
    net.astype(dtype)
    side = models.INPUTS[name][1]
    pictures = shapes.load("train", 50, side)
    x = (pictures.images[:batch].astype(dtype) - pictures.mean_image().astype(dtype)).astype(dtype)
    loss, sgd = SoftmaxCrossEntropy(), SGD(net.parameters(), rate=0.001, weight_decay=1.0)
    before = {p.name: p.numpy() for p in net.parameters()}
    value = loss.forward(net.forward(x), pictures.labels[:batch])
    net.backward_parameters(loss.backward())
    gradients = {p.name: p.kernels.to_host(p.grad) for p in net.parameters()}
    sgd.step()
    velocities = [p.kernels.to_host(v) for p, v in zip(net.parameters(), sgd.velocities, strict=True)]
    return value, {p.name: (gradients[p.name], v, before[p.name], p.numpy())
                   for p, v in zip(net.parameters(), velocities, strict=True)}


@pytest.mark.parametrize(("name", "arguments"), NETS, ids=IDS)
def test_every_parameter_has_a_gradient_and_moves(backend, name, arguments):
    loss, parameters = step(name, arguments)
    assert loss == pytest.approx(np.log(10), rel=0.1 if name != "cifar_80sec" else 1)
    for p, (gradient, _, before, after) in parameters.items():
        assert np.isfinite(gradient).all(), p
        assert np.abs(gradient).max() > 0, p
        assert (before != after).any(), p


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "arguments"), NETS, ids=IDS)
def test_both_backends_make_the_same_step(name, arguments, dtype, monkeypatch):
    pytest.importorskip("numba")
    results = []
    for backend in ("numpy", "numba"):
        monkeypatch.setattr(kernels, "_active", None)
        npnet.use(backend)
        results.append(step(name, arguments, batch=3, dtype=np.dtype(dtype).type))
    (loss, definition), (again, fast) = results
    tolerance = 1e-7 if dtype == "float64" else 1e-4
    assert again == pytest.approx(loss, rel=tolerance)
    for p in definition:
        for what, theirs, ours in zip(("gradient", "velocity", "before", "after"), definition[p], fast[p], strict=True):
            worst = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), np.finfo(dtype).tiny)
            assert worst < tolerance, (p, what, worst)
