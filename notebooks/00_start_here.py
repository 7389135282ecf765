# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 0. Start here: a convolution and a pooling of your own
#
# Before either paper: what they are made of, written in plain loops, with gradients, and checked. Half a minute on a
# laptop, without a GPU and without a network. All that is needed is Python, some NumPy, and the chain rule.
#
# > **초록.** 이 노트북은 두 논문을 읽기 전에 그 재료를 직접 만들어 보는 자리이다. 그림을 숫자 배열(array)로 보고,
# > 합성곱(convolution)을 반복문(loop) 세 개로 짜서 윤곽(edge)을 찾아내며, 출력의 크기와 매개변수(parameter)와 곱셈의
# > 수를 센다. 이어서 손실(loss)에서 거꾸로 내려오는 기울기(gradient)를 유도해 역전파(backpropagation)를 반복문으로
# > 짜고, 수치 미분(finite differences)과 비교하는 기울기 검사(gradient check)로 옳은지 확인한다. 풀링(pooling)과
# > ReLU도 같은 방법으로 만든 뒤, 이것들을 쌓아 작은 망을 학습시켜 열 가지 도형을 구별하게 한다. 라이브러리의 층과
# > 여러분이 짠 층이 같은 값을 내는지도 견주어 본다. 끝으로 연습문제 세 개를 풀고, 합성곱에 관해 흔히 잘못 알려진
# > 것들을 짚는다.
#
# You will have: a convolutional layer, a pooling layer and a ReLU that you wrote yourself, each with its gradient
# checked, and a small net of them that has learnt something. Then [1. The problem](01_problem.ipynb) begins with
# AlexNet.

# %% [markdown]
# ## What is used throughout
#
# | letter | what it is |
# |---|---|
# | N, C, H, W | how many images, channels (red, green, blue, or maps), height, width: arrays are (N, C, H, W) |
# | O, K | channels of the output; height and width of a kernel |
# | x, y | what goes into a layer and what comes out |
# | L | the loss: one number that is to become small |
# | dx, dy, dw | ∂L/∂x, ∂L/∂y, ∂L/∂w: the same shape as x, y, w |
#
# A layer is two functions: `forward(x)` gives y; `backward(dy)` is told how L changes with y, and gives how it changes
# with x. That is all. A net calls one layer after another forward, and in the opposite order back.

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import data, gradcheck, train
from npnet.data import shapes
from npnet.layers import Conv2D, Dense, MaxPool2D, ReLU, Sequential, SoftmaxCrossEntropy
from npnet.notebook import BLUE, ORANGE, Live, begin, show, sized, slide

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## A picture is numbers
#
# One of the built-in set: 3 channels of 48 × 48, from 0 to 255.

# %%
picture = shapes.load("train", 8, 48).images[6]
print(picture.shape, picture.dtype, "from", picture.min(), "to", picture.max())
figure = Figure(figsize=(8.4, 2.3), layout="constrained")
first, *others = figure.subplots(1, 4)
first.imshow(picture.transpose(1, 2, 0))
first.set(title="the picture", xticks=[], yticks=[])
for axes, channel, name in zip(others, picture, ("red", "green", "blue"), strict=True):
    axes.imshow(channel, cmap="gray", vmin=0, vmax=255)
    axes.set(title=name, xticks=[], yticks=[])
show(figure, "A small picture in colour, and its red, green and blue channels as grey images.")

# %% [markdown]
# ## A convolution in loops
#
# A *kernel* is a small picture of weights. Lay it on the image at every place, multiply what lies on top of each other,
# and add up: one number for each place. With C channels the kernel has C of them too; with O kernels the output has O
# channels ("maps"), and each gets a bias:
#
# $$y_{o,i,j} = b_o + \sum_{c,k,l} w_{o,c,k,l} \; x_{c,\, i+k,\, j+l}.$$

# %%
def convolve(x, w, b):
    """x (C, H, W), w (O, C, K, K), b (O,) → (O, H − K + 1, W − K + 1)."""
    outputs, _, size, _ = w.shape
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    y = np.empty((outputs, height, width))
    for o in range(outputs):
        for i in range(height):
            for j in range(width):
                y[o, i, j] = b[o] + np.sum(w[o] * x[:, i : i + size, j : j + size])
    return y


# %% [markdown]
# Three kernels of 3 × 3: one that blurs, one that answers to upright edges, one to level ones. On the grey picture:

# %%
grey = picture.mean(axis=0, keepdims=True)
blur = np.ones((3, 3)) / 9
upright = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
kernels = np.stack([blur, upright, upright.T])[:, None]
maps = convolve(grey, kernels, np.zeros(3))
print(f"{grey.shape} by {kernels.shape}: {maps.shape}")
figure = Figure(figsize=(8.4, 2.3), layout="constrained")
names = ("grey", "blurred", "upright edges", "level edges")
for axes, image, name in zip(figure.subplots(1, 4), (grey[0], *maps), names, strict=True):
    axes.imshow(image, cmap="gray")
    axes.set(title=name, xticks=[], yticks=[])
show(figure, "The picture in grey; blurred; and two maps in which upright and level edges stand out, bright on one "
     "side of a shape and dark on the other.")
assert maps.shape == (3, 46, 46)
assert np.allclose(maps[0], [[grey[0, i : i + 3, j : j + 3].mean() for j in range(46)] for i in range(46)])

# %% [markdown]
# These kernels are made by hand. A convolutional net *learns* its own.
#
# **Counting.** K × K × C weights and one bias for each of the O maps, whatever the size of the image: *shared*
# weights. As many multiply-adds for each number of the output. The library's layer counts itself:

# %%
layer = Conv2D(3, 16, 5)
cost = layer.cost((3, 48, 48))
print(f"{layer}: {layer.output_shape((3, 48, 48))}, {cost.parameters:,} parameters, {cost.macs:,} multiply-adds")
assert cost.parameters == 16 * (5 * 5 * 3 + 1)
assert cost.macs == 16 * 44 * 44 * 5 * 5 * 3

# %% [markdown]
# **Steps and edges.** With a *stride* s the kernel is laid down at every s-th pixel only; with *padding* p there are p
# pixels of zeros around the image, so that its edge is not lost. Then a side of H pixels becomes
# $\lfloor (H + 2p - K)/s \rfloor + 1$. Try it:

# %%
def places(side=12, kernel=3, stride=2, pad=1):
    side, kernel, stride, pad = (int(v) for v in (side, kernel, stride, min(pad, kernel - 1)))
    count = (side + 2 * pad - kernel) // stride + 1
    figure = Figure(figsize=(8.4, 2.0), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(-pad, side + pad), 1, 0.9, align="edge",
             color=[BLUE if 0 <= x < side else "0.85" for x in range(-pad, side + pad)])
    for i in range(count):
        axes.barh(-0.4 - 0.35 * (i % 4), kernel - 0.1, 0.2, left=i * stride - pad, color=ORANGE)
    axes.set(title=f"{side} pixels, kernel {kernel}, stride {stride}, padding {pad}: {count} places", xlabel="pixel",
             yticks=[])
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


slide(places, "Twelve blue pixels with a grey one on each side, and below them six orange bars three pixels long, two "
      "pixels apart.", side=(12, 5, 24, 1), kernel=(3, 1, 7, 1), stride=(2, 1, 4, 1), pad=(1, 0, 3, 1))
assert Conv2D(1, 1, 3, stride=2, pad=1).output_shape((1, 12, 12)) == (1, 6, 6)

# %% [markdown]
# ## Its gradient by hand
#
# L depends on w through every y. The sum above has $w_{o,c,k,l}$ once for each place (i, j), times
# $x_{c,\,i+k,\,j+l}$; so by the chain rule
#
# $$\frac{\partial L}{\partial w_{o,c,k,l}} = \sum_{i,j} \frac{\partial L}{\partial y_{o,i,j}} \; x_{c,\, i+k,\, j+l},
#   \qquad \frac{\partial L}{\partial b_o} = \sum_{i,j} \frac{\partial L}{\partial y_{o,i,j}}.$$
#
# And $x_{c,p,q}$ is in $y_{o,i,j}$ wherever the kernel lay on it, that is for $i + k = p$, $j + l = q$:
#
# $$\frac{\partial L}{\partial x_{c,p,q}} = \sum_{o} \sum_{k,l} w_{o,c,k,l} \;
#   \frac{\partial L}{\partial y_{o,\, p-k,\, q-l}}.$$
#
# In loops it is easier the other way round: go through the outputs, and let each *add* to what it has used. A layer of
# your own, with what it learns in a list:

# %%
class Weights:
    def __init__(self, name, value):
        self.name, self.value, self.grad = name, value, np.zeros_like(value)


class LoopConv:
    def __init__(self, channels, outputs, size, seed=0):
        rng = np.random.default_rng(seed)
        self.w = Weights("w", 0.3 * rng.standard_normal((outputs, channels, size, size)))
        self.b = Weights("b", 0.3 * rng.standard_normal(outputs))

    def parameters(self):
        return [self.w, self.b]

    def forward(self, x, train=True):
        self.x = x
        return np.stack([convolve(image, self.w.value, self.b.value) for image in x])

    def backward(self, dy):
        return convolve_back(self, dy)


# %%
def convolve_back(layer, dy):
    dx, dw, size = np.zeros_like(layer.x), np.zeros_like(layer.w.value), layer.w.value.shape[2]
    for n, o, i, j in np.ndindex(dy.shape):
        there = np.s_[n, :, i : i + size, j : j + size]
        dw[o] += dy[n, o, i, j] * layer.x[there]
        dx[there] += dy[n, o, i, j] * layer.w.value[o]
    layer.w.grad[...] = dw
    layer.b.grad[...] = dy.sum(axis=(0, 2, 3))
    return dx


# %% [markdown]
# **Is it right?** Do not trust, check: nudge a number by ± h, see how L changes, and compare the slope with what
# `backward` says. `npnet.gradcheck` does it for every tensor, in float64, also for a layer of yours:

# %%
sample = np.random.default_rng(1).standard_normal((2, 2, 6, 5))
report = gradcheck.check(LoopConv(2, 3, 3), sample)
print(report)
assert report.ok

# %% [markdown]
# And it is the library's convolution, number for number:

# %%
mine, theirs = LoopConv(2, 3, 3), Conv2D(2, 3, 3)
theirs.astype(np.float64)
theirs.weight.assign(mine.w.value)
theirs.bias.assign(mine.b.value)
np.testing.assert_allclose(theirs.forward(sample), mine.forward(sample), rtol=1e-12)
dy = np.random.default_rng(2).standard_normal((2, 3, 4, 3))
np.testing.assert_allclose(theirs.backward(dy), mine.backward(dy), rtol=1e-12)
np.testing.assert_allclose(theirs.weight.grad, mine.w.grad, rtol=1e-12)

# %% [markdown]
# The library's is the same sum, arranged as a product of matrices (`im2col`):

# %%
print(inspect.getsource(npnet.kernels.numpy.conv.conv2d_forward))

# %% [markdown]
# ## Pooling and ReLU
#
# Pooling keeps the largest of each 2 × 2 pixels; ReLU, what is above zero. Neither has weights. On the way back each
# number goes to where it came from, and the rest get nothing.

# %%
class LoopPool:
    def forward(self, x, train=True):
        self.x, (n, c, h, w) = x, x.shape
        y = np.empty((n, c, h // 2, w // 2))
        for place in np.ndindex(y.shape):
            n, c, i, j = place
            y[place] = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max()
        return y

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        for n, c, i, j in np.ndindex(dy.shape):
            window = self.x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            k, m = np.unravel_index(window.argmax(), (2, 2))
            dx[n, c, 2 * i + k, 2 * j + m] += dy[n, c, i, j]
        return dx


# %%
class LoopReLU:
    def forward(self, x, train=True):
        self.on = x > 0
        return np.where(self.on, x, 0)

    def backward(self, dy):
        return np.where(self.on, dy, 0)


even = np.random.default_rng(3).standard_normal((2, 2, 6, 4))
for layer, library in ((LoopPool(), MaxPool2D(2, 2)), (LoopReLU(), ReLU())):
    report = gradcheck.check(layer, even)
    assert report.ok, report
    np.testing.assert_array_equal(layer.forward(even), library.forward(even))
    print(f"{type(layer).__name__}: worst relative error {report.worst.error:.1e}")

# %% [markdown]
# ## A net of them
#
# The library's layers from here on: the same sums, compiled. A net, a loss, an update (each has a
# notebook of its own), and some images to learn ten figures from:

# %%
npnet.use("numba")
EPOCHS, COUNT = sized((2, 400), (6, 4000), (30, 10_000))
images = shapes.load("train", COUNT)
net = Sequential(conv1=Conv2D(3, 16, 5, pad=2), pool1=MaxPool2D(3, 2), relu1=ReLU(),
                 conv2=Conv2D(16, 32, 5, pad=2), pool2=MaxPool2D(3, 2), relu2=ReLU(), fc=Dense(32 * 8 * 8, 10))
net.initialise(0)
loss, sgd = SoftmaxCrossEntropy(), train.SGD(net.parameters(), rate=0.001)
loader = data.Loader(images, 64, mean=images.mean_image())
losses, curve = [], Live("The loss", "steps", "loss (nats)")
for epoch in range(EPOCHS):
    for x, labels in loader.epoch(epoch):
        losses.append(loss.forward(net.forward(x), labels))
        net.backward_parameters(loss.backward())
        sgd.step()
        curve.add("loss", len(losses), losses[-1])
curve.close("The loss falls from about 2.3, the value of guessing among ten.")
print(f"loss {losses[0]:.2f} at first (ln 10 = {np.log(10):.2f}), {np.mean(losses[-10:]):.2f} at the end")
assert abs(losses[0] - np.log(10)) < 0.7
assert QUICK or np.mean(losses[-10:]) < 1.8

# %% [markdown]
# And what the first layer has become:

# %%
kernels = net["conv1"].weight.numpy()
tiles = (kernels - kernels.min()) / np.ptp(kernels)
figure = Figure(figsize=(3.2, 3.2), layout="constrained")
axes = figure.subplots()
axes.imshow(np.concatenate([np.concatenate(row, axis=2) for row in np.split(tiles, 4)], axis=1).transpose(1, 2, 0))
axes.set(title="The 16 kernels it has learnt", xticks=[], yticks=[])
show(figure, "Sixteen small coloured kernels of five by five pixels.")

# %% [markdown]
# ## Exercises
#
# ### 1. What size?
#
# An image of 3 × 32 × 32 goes through 8 kernels of 5 × 5 with stride 2 and padding 1. What shape comes out, and how
# many parameters has the layer?

# %% tags=["exercise"]
shape, parameters = None, None  # (O, H, W), a number

# %% tags=["check"]
if shape is None or parameters is None:
    print("Exercise 1: not answered yet.")
else:
    layer = Conv2D(3, 8, 5, stride=2, pad=1)
    assert shape == layer.output_shape((3, 32, 32)), "exercise 1: not this shape"
    assert parameters == layer.cost((3, 32, 32)).parameters, "exercise 1: not so many"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\lfloor (32 + 2 - 5)/2 \rfloor + 1 = 15$; and $8 \cdot (5 \cdot 5 \cdot 3 + 1)$.
#
# ```python
# shape, parameters = (8, 15, 15), 608
# ```
#
# </details>

# %% [markdown]
# ### 2. Move it
#
# Find a kernel of 3 × 3 that moves a picture one pixel to the *right* (with padding 1, so that the size stays).

# %% tags=["exercise"]
kernel = None

# %% tags=["check"]
if kernel is None:
    print("Exercise 2: not answered yet.")
else:
    mover = Conv2D(1, 1, 3, pad=1)
    mover.astype(np.float64)
    mover.weight.assign(np.asarray(kernel, float).reshape(1, 1, 3, 3))
    moved = mover.forward(grey[None].copy())[0, 0]
    np.testing.assert_allclose(moved[:, 1:], grey[0, :, :-1], err_msg="exercise 2: it goes elsewhere")
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each output must take what lies to its *left*.
#
# ```python
# kernel = [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
# ```
#
# </details>

# %% [markdown]
# ### 3. Average pooling
#
# The mean of each 2 × 2 pixels. Write `backward`, in loops or without.

# %% tags=["exercise"]
class LoopAverage:
    def forward(self, x, train=True):
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))

    def backward(self, dy):
        return None


# %% tags=["check"]
layer = LoopAverage()
if layer.backward(layer.forward(even)) is None:
    print("Exercise 3: not answered yet.")
else:
    report = gradcheck.check(LoopAverage(), even)
    assert report.ok, report
    print(f"Exercise 3: right, worst relative error {report.worst.error:.1e}.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Every pixel has a quarter of the mean, so each gets a quarter of the gradient.
#
# ```python
# class LoopAverage:
#     def forward(self, x, train=True):
#         n, c, h, w = x.shape
#         return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))
#
#     def backward(self, dy):
#         return np.repeat(np.repeat(dy / 4, 2, axis=2), 2, axis=3)
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **"A convolution flips the kernel."** In mathematics it does. In these papers, and in every framework, it does not;
#   strictly it is a *cross-correlation*. Since kernels are learnt, nobody can tell, unless weights move between
#   programs:

# %%
plain, flipped = (convolve(grey, kernel[None, None], np.zeros(1)) for kernel in (upright, upright[::-1, ::-1]))
assert np.allclose(flipped, -plain), "flipped, this one finds the same edges, bright and dark exchanged"

# %% [markdown]
# - **"A kernel is 5 × 5."** It is 5 × 5 × C: it sees all channels below it at once (or those of its group).
# - **Padding "so that the output keeps its size"** is one choice, K // 2 with stride 1. AlexNet's first layer has none.
# - **Gradients added or written?** A layer that *adds* to `grad` without somebody clearing it learns from all batches
#   that ever were. npnet's layers write, and the check tells the difference.
# - **A gradient check in float32**, or at an h of 1e-10: all it sees is rounding. float64, h near 1e-5.
# - **A gradient check that passes proves that `backward` follows `forward`.** Not that `forward` is what you meant:
#   that takes another implementation to compare with, as above.
