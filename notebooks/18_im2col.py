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
# # 18. im2col: one convolution at four speeds
#
# The same layer as loops in Python, as compiled loops, as a product of matrices, and as npnet runs it; all four held to
# agree, and timed on *your* machine. Half a minute, without a GPU and without a network.
#
# > **초록.** 이 노트북은 같은 합성곱(convolution)을 네 가지 방법으로 계산하고 여러분의 컴퓨터에서 속도를 잰다. 파이썬
# > 반복문, Numba로 컴파일한 반복문, 그림 조각을 행렬(matrix)의 열로 늘어놓는 im2col과 행렬 곱, 그리고 npnet이 실제로
# > 쓰는 커널이다. im2col이 무엇을 하는지 작은 그림에서 행렬을 통째로 그려 보고, 픽셀 하나가 몇 번이나 복사되는지,
# > 메모리(memory)를 얼마나 쓰는지 센다. 역전파에 필요한 col2im이 im2col의 전치(transpose)라는 것을 유도하고
# > 내적(inner product)으로 확인한다. 곱셈의 수는 세 방법이 같고 npnet의 커널만 조금 적은데, 속도는 만 배 넘게
# > 벌어지는 까닭을 생각해 보고, 연습문제 세 개와 흔한 오해로 마친다.
#
# You will have: im2col seen and understood as a matrix, its transpose derived and checked, a table of speeds of your
# own machine, and a feeling for what makes the difference.

# %%
import inspect
import time

import numba
import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import gradcheck, kernels
from npnet.kernels.numpy.conv import col2im, im2col
from npnet.layers import Conv2D
from npnet.notebook import BLUE, GREEN, ORANGE, PURPLE, begin, show

QUICK = begin()
npnet.use("numba")  # loads both
npnet.use("numpy")

# %% [markdown]
# ## The matrix
#
# A convolution is a sum for each place of the kernel. Lay the patch under the kernel out as a *column*, for each place
# one column: then all the sums are one product of matrices,
#
# $$Y = W X_\text{col}, \qquad (O \times P) = (O \times T)\,(T \times P),$$
#
# with T = C·K·K taps and P = OH·OW places. A picture of 4 × 4 with numbered pixels, K = 3, no padding: four places,
# nine taps.

# %%
small = np.arange(16.0).reshape(1, 1, 4, 4)
columns = im2col(small, (3, 3), 1, 0, (2, 2)).reshape(9, 4)
print(small[0, 0].astype(int), "\n\n", columns.astype(int), sep="")
np.testing.assert_array_equal(columns[:, 0].reshape(3, 3), small[0, 0, :3, :3])
np.testing.assert_array_equal(columns[:, 3].reshape(3, 3), small[0, 0, 1:, 1:])

# %%
figure = Figure(figsize=(7.6, 3.2), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
left.imshow(small[0, 0], cmap="viridis")
left.set(title="4 × 4 pixels", xticks=[], yticks=[])
right.imshow(columns, cmap="viridis", aspect="auto")
right.set(title="as a matrix", xlabel="place of the kernel", ylabel="tap", xticks=range(4), yticks=range(9))
show(figure, "A square of sixteen pixels in colours from dark to bright, and the matrix of nine rows and four columns "
     "made of them; the same colours stand in several columns.")
times = np.bincount(columns.astype(int).ravel(), minlength=16).reshape(4, 4)
print("how often each pixel is copied:\n", times, sep="")
assert times.tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]

# %% [markdown]
# In the middle of a large picture each pixel is copied K² times. That is the price: the matrix is K² times as large as
# the picture. For AlexNet's conv2, with the batch of 128:

# %%
taps, places = 96 * 25, 27 * 27
print(f"the picture {128 * 96 * places * 4 / 2**20:.0f} MiB, its columns {128 * taps * places * 4 / 2**20:.0f} MiB")
assert taps * places == 25 * 96 * places

# %% [markdown]
# ## The way back
#
# The gradients of a product are products: $\partial L / \partial W = \frac{\partial L}{\partial Y} X_\text{col}^T$, and
# $\partial L / \partial X_\text{col} = W^T \frac{\partial L}{\partial Y}$. But we want the gradient of the *picture*. A
# pixel that stands in several columns gets the sum of what is there: im2col copies, so its transpose adds. It is called
# col2im. "Transpose" can be put to the test without any matrix: for all x and C,
#
# $$\langle \text{im2col}(x), C \rangle = \langle x, \text{col2im}(C) \rangle.$$

# %%
rng = np.random.default_rng(0)
for kernel, stride, pad, out in (((3, 3), 1, 1, (6, 5)), ((5, 5), 2, 0, (1, 1)), ((2, 2), 3, 1, (3, 2))):
    x = rng.standard_normal((2, 3, 6, 5))
    c = rng.standard_normal((2, 3, *kernel, *out))
    back = np.empty_like(x)
    col2im(c, stride, pad, back)
    one, other = np.sum(im2col(x, kernel, stride, pad, out) * c), np.sum(x * back)
    print(f"kernel {kernel}, stride {stride}, padding {pad}: {one:.10f} {other:.10f}")
    assert np.isclose(one, other, rtol=1e-12)

# %% [markdown]
# In the library, the numpy backend's forward pass and its two helpers:

# %%
for function in (kernels.numpy.conv.conv2d_forward, im2col, col2im):
    print(inspect.getsource(function))
report = gradcheck.check(Conv2D(3, 4, 3, stride=2, pad=1), rng.standard_normal((2, 3, 7, 6)))
assert report.ok, report

# %% [markdown]
# ## Four speeds
#
# First, the loops. In Python; and the same function, compiled by Numba. They get plain arrays and write into y.

# %%
def loops(x, w, b, y):
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = b[o]
                    for c in range(w.shape[1]):
                        for k in range(w.shape[2]):
                            for m in range(w.shape[3]):
                                total += w[o, c, k, m] * x[n, c, i + k, j + m]
                    y[n, o, i, j] = total


compiled = numba.njit(loops)

# %% [markdown]
# Then im2col with NumPy's product, and npnet's own kernel (`numba` backend). A layer like one of the CIFAR-10 nets':
# 32 channels to 32, 5 × 5, on 16 × 16; of many images for those that are fast, of one for those that are not.

# %%
BATCH = 16 if QUICK else 128
x = np.zeros((BATCH, 32, 20, 20), np.float32)
x[:, :, 2:-2, 2:-2] = rng.standard_normal((BATCH, 32, 16, 16), np.float32)
w, b = rng.standard_normal((32, 32, 5, 5), np.float32), rng.standard_normal(32, np.float32)


def run(way, images, channels=32):
    """y of so many images, and the seconds that it took; channels : of the output."""
    y = np.empty((images, channels, 16, 16), np.float32)
    arguments = (x[:images], w[:channels], b[:channels])
    began = time.perf_counter()
    if way in (loops, compiled):
        way(*arguments, y)
    else:
        way(*arguments, 1, 0, 1, False, y)
    return y, time.perf_counter() - began


# %%
matrix, npnets = kernels.numpy.conv2d_forward, kernels.numba.conv2d_forward
ways = {"Python loops": (loops, 1, 1), "compiled loops": (compiled, 4, 32), "im2col, NumPy": (matrix, BATCH, 32),
        "npnet, numba": (npnets, BATCH, 32)}
reference, speeds = run(matrix, 4)[0], {}
for name, (way, images, channels) in ways.items():
    if name != "Python loops":
        run(way, images, channels)  # compiling is not counted
    runs = [run(way, images, channels) for _ in range(1 if name == "Python loops" else 5)]
    y, best = runs[-1][0][:4], min(seconds for _, seconds in runs)
    np.testing.assert_allclose(y, reference[: len(y), : y.shape[1]], rtol=1e-3, atol=2e-3)
    speeds[name] = 2e-9 * images * channels * 16 * 16 * 32 * 25 / best
    print(f"{name:15} {speeds[name]:10.4f} GFLOP/s, {speeds[name] / speeds['Python loops']:8,.0f} times Python's loops")
assert speeds["npnet, numba"] > 10 * speeds["compiled loops"] > 100 * speeds["Python loops"]

# %%
figure = Figure(figsize=(7.4, 2.6), layout="constrained")
axes = figure.subplots()
axes.barh(list(speeds), list(speeds.values()), color=[PURPLE, ORANGE, GREEN, BLUE])
axes.set(xscale="log", xlabel="GFLOP/s (billions of multiplications and additions in a second)",
         title="The same convolution on this machine")
axes.invert_yaxis()
show(figure, "Four bars on a logarithmic scale: Python's loops shortest, compiled loops hundreds of times as fast, "
     "im2col faster again, npnet's kernel fastest.")

# %% [markdown]
# The first three do the same multiplications; npnet's own kernel does with fewer, by minimal filtering. What else
# differs: how often Python is asked; whether a processor's vector instructions are used; and how often a number, once
# it is near, is used again. That story, step by step, is [docs/speed.md](../docs/speed.md).
#
# ## Exercises
#
# ### 1. How large?
#
# How many times as large as its input is the matrix of GoogLeNet's 5 × 5 convolution in module 3a (28 × 28, padding 2,
# stride 1)? And of AlexNet's conv1 (11 × 11 every 4, 224 pixels, 55 × 55 places)?

# %% tags=["exercise"]
five, eleven = None, None

# %% tags=["check"]
if five is None or eleven is None:
    print("Exercise 1: not answered yet.")
else:
    assert np.isclose(five, 25), "exercise 1: not the 5 × 5"
    assert np.isclose(eleven, 121 * 55**2 / 224**2, rtol=0.01), "exercise 1: not conv1"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Taps of a channel times places, by pixels. A stride of 4 leaves out most places.
#
# ```python
# five, eleven = 25 * 28**2 / 28**2, 11**2 * 55**2 / 224**2
# ```
#
# </details>

# %% [markdown]
# ### 2. In one dimension
#
# Write col2im for a row: `columns` (K, P) were made of a row of length P + K − 1, `columns[k, p] = row[p + k]`. Return
# the row of sums.

# %% tags=["exercise"]
def row_of(columns):
    return None


# %% tags=["check"]
c = rng.standard_normal((3, 6))
if row_of(c) is None:
    print("Exercise 2: not answered yet.")
else:
    row = rng.standard_normal(8)
    laid_out = np.stack([row[k : k + 6] for k in range(3)])
    assert np.isclose(np.sum(laid_out * c), np.sum(row * row_of(c))), "exercise 2: not the transpose"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def row_of(columns):
#     size, places = columns.shape
#     row = np.zeros(places + size - 1)
#     for k in range(size):
#         row[k : k + places] += columns[k]
#     return row
# ```
#
# </details>

# %% [markdown]
# ### 3. Without copying
#
# For K = 1 and stride 1, what is the matrix of a picture (C, H, W)? Write `columns_of` that returns it without
# copying a number.

# %% tags=["exercise"]
def columns_of(picture):
    """picture (C, H, W) → (C, H · W)."""
    return None


# %% tags=["check"]
picture = rng.standard_normal((3, 4, 5))
answer = columns_of(picture)
if answer is None:
    print("Exercise 3: not answered yet.")
else:
    np.testing.assert_array_equal(answer, im2col(picture[None], (1, 1), 1, 0, (4, 5)).reshape(3, 20))
    assert np.shares_memory(answer, picture), "exercise 3: it was copied"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# The picture itself, seen under another shape: why 1 × 1 convolutions are so cheap to compute.
#
# ```python
# def columns_of(picture):
#     return picture.reshape(len(picture), -1)
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **"im2col makes convolution need fewer operations."** The same; it only lets a library's product do them.
# - **"NumPy is slow."** Its product of matrices is among the fastest code there is. Loops in Python are slow.
# - **"The backward pass of im2col is im2col."** It is the transpose, which *adds* where im2col copied. Written with
#   arrays of indices, even `x[index] += c` keeps one addition for each place, silently (`np.add.at` keeps all):

# %%
index = np.array([0, 1, 1, 2])
lost, kept = np.zeros(3), np.zeros(3)
lost[index] += 1.0  # NumPy's fancy indexing adds once for each place, not for each index
np.add.at(kept, index, 1.0)
print("with [index] +=", lost, "  with np.add.at", kept)
assert lost.tolist() == [1, 1, 1]
assert kept.tolist() == [1, 2, 1]
