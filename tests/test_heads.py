from types import SimpleNamespace

import numpy as np
import pytest

from npnet import kernels
from npnet.layers import (
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Gaussian,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
    WeightedSoftmaxCrossEntropy,
    WithHeads,
)

WIDE = Gaussian(0.5)


def head(channels):
    return Sequential(reduce=Conv2D(channels, 2, 1, weight=WIDE), fc=Dense(2 * 16, 3, weight=WIDE))


def net():
    model = WithHeads(
        {"mixed": head(5), "conv3": head(2)},
        conv1=Conv2D(2, 4, 3, pad=1, weight=WIDE),
        mixed=Concat(Conv2D(4, 3, 1, weight=WIDE), Conv2D(4, 2, 3, pad=1, weight=WIDE)),
        relu=ReLU(),
        conv3=Conv2D(5, 2, 1, weight=WIDE),
        drop=Dropout(0.3),
        fc=Dense(2 * 16, 3, weight=WIDE),
    )
    model.initialise(3)
    model.astype(np.float64)
    return model


def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 2, 4, 4)), np.array([2, 0, 1])


def test_every_gradient_agrees_with_differences(backend):
    model, loss, (x, labels) = net(), WeightedSoftmaxCrossEntropy(0.3), batch()

    def value():
        model.set_step(7)
        return loss.forward(model.forward(x), labels)

    value()
    dx = np.array(model.backward(loss.backward()))
    tensors = [("x", x, dx)] + [(p.name, p.value, np.array(p.grad)) for p in model.parameters()]
    assert len(tensors) == 1 + 2 * (1 + 2 + 1 + 1 + 4)
    for name, tensor, gradient in tensors:
        for i in np.ndindex(tensor.shape):
            old = tensor[i]
            tensor[i] = old + 1e-6
            more = value()
            tensor[i] = old - 1e-6
            less = value()
            tensor[i] = old
            assert (more - less) / 2e-6 == pytest.approx(gradient[i], rel=1e-6, abs=1e-8), (name, i)


def test_backward_parameters_writes_the_same(backend):
    model, loss, (x, labels) = net(), WeightedSoftmaxCrossEntropy(), batch()
    loss.forward(model.forward(x), labels)
    model.backward(loss.backward())
    expected = [np.array(p.grad) for p in model.parameters()]
    model.backward_parameters(loss.backward())
    for p, gradient in zip(model.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad, gradient)


def test_the_loss_is_the_weighted_sum_and_errors_are_the_nets(backend):
    model, (x, labels) = net(), batch()
    logits = [np.array(z) for z in model.forward(x)]
    loss, single = WeightedSoftmaxCrossEntropy(0.3), SoftmaxCrossEntropy()
    values = [single.forward(z, labels) for z in logits]
    assert loss.forward(tuple(logits), labels) == pytest.approx(values[0] + 0.3 * (values[1] + values[2]), rel=1e-12)
    single.forward(logits[0], labels)
    assert loss.errors == single.errors
    np.testing.assert_array_equal(loss.probabilities, single.probabilities)
    assert loss.forward(logits[0], labels) == values[0]
    np.testing.assert_array_equal(loss.backward(), single.backward())


def test_heads_are_left_out_at_inference(backend):
    model, (x, _) = net(), batch()
    alone = model.forward(x, train=False)
    assert alone.shape == (3, 3)
    assert model.output_shape((2, 4, 4)) == (3,)
    assert len(model.forward(x, train=True)) == 3


def test_they_carry_the_name_of_the_layer_they_stand_after(backend):
    model = net()
    assert model["head_mixed"]["fc"].in_features == 32
    assert "head_conv3.reduce.weight" in [p.name for p in model.parameters()]
    assert model.cost((2, 4, 4)).parameters == sum(p.size for p in model.parameters())


@pytest.mark.parametrize(("make", "message"), [
    (lambda: WithHeads({"conv9": ReLU()}, conv1=ReLU()), "head after 'conv9': the layers are conv1"),
    (lambda: WeightedSoftmaxCrossEntropy(-1), r"weight \(=-1\) must not be negative"),
    (lambda: net().backward(np.zeros((3, 3))), "must be a tuple of 3 gradients"),
])
def test_what_cannot_be_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_its_losses_keep_its_backend(backend):
    loss = WeightedSoftmaxCrossEntropy()
    with kernels.using(SimpleNamespace(**vars(kernels.active()))):
        loss.forward((np.zeros((2, 3)), np.zeros((2, 3))), np.array([0, 1]))
    assert all(own.kernels is backend for own in loss.losses)


def test_nothing_goes_back_before_anything_went_forward():
    with pytest.raises(ValueError, match="WeightedSoftmaxCrossEntropy: backward needs a forward pass before it"):
        WeightedSoftmaxCrossEntropy().backward()
