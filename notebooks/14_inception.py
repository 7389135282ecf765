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
# # 14. Inception: four branches, and what makes them affordable
#
# **GoogLeNet §4** (Szegedy et al. 2014), to be read beside the paper. Half a minute on a laptop, without a GPU and
# without a network.
#
# > **초록.** GoogLeNet 4절은 인셉션 모듈(Inception module)을 설명한다. 한 층에서 1×1, 3×3, 5×5 합성곱과 풀링을 나란히
# > 두고 그 출력을 채널 방향으로 이어 붙인다(concatenate). 여러 크기의 특징을 한꺼번에 보자는 생각이지만, 그대로
# > 쌓으면 채널 수와 계산량이 걷잡을 수 없이 늘어난다. 그래서 비싼 합성곱 앞에 1×1 합성곱을 두어 채널을 먼저 줄이는
# > 차원 축소(dimension reduction)가 두 번째 생각이다. 이 노트북은 그림 2(a)와 2(b)를 라이브러리의 층에서 직접 그리고,
# > 아홉 모듈마다 축소가 있을 때와 없을 때의 비용(cost)을 세며, 순진한(naive) 모듈을 쌓으면 어떻게 불어나는지
# > 계산한다. 1×1 합성곱이 픽셀마다의 행렬 곱(matrix product)과 같다는 것, 갈래가 갈라지고 합쳐지는 곳에서 기울기가
# > 어떻게 흐르는지를 유도하고 검사한다. 3×3과 5×5의 비율이 위층으로 갈수록 늘어나야 한다는 논문의 말이 실제 표와
# > 맞는지도 확인하고, 연습문제와 흔한 오해로 마친다.
#
# You will have: both modules of Figure 2 drawn from their layers, their cost counted for all nine of GoogLeNet, a 1 × 1
# convolution understood as a matrix, and the gradient of branches derived and checked.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | An optimal sparse structure is to be approximated by dense components, repeated in space. | – |
# | S2 | Most clusters of correlated units lie in one place: 1 × 1; fewer are spread: 3 × 3, 5 × 5. | *Two modules* |
# | S3 | These sizes for convenience; all outputs are concatenated. | *Two modules* |
# | S4 | A pooling path beside them, as pooling has served well (Figure 2a). | *Two modules* |
# | S5 | Higher up, the ratio of 3 × 3 and 5 × 5 should increase. | *Does it increase?* |
# | S6 | Naively, even a few 5 × 5 are too dear; pooling, whose outputs are all inputs, adds to it. | *What it costs* |
# | S7 | So: 1 × 1 reductions before the dear ones; they have ReLUs, too (Figure 2b). | *Two modules*, *1 × 1* |
# | S8 | Modules are stacked, with max pooling of stride 2 now and then. | *What it costs* |
# | S9 | Many units without a blow-up; several scales, seen at once. | *What it costs* |
# | S10 | Nets of it can be 2 to 3 times as fast as others that do as well. | – |

# %%
import inspect
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import gradcheck, models, plot
from npnet.layers import Concat, Conv2D, MaxPool2D, ReLU, Sequential
from npnet.models.diagram import diagram
from npnet.models.googlenet import MODULES, inception
from npnet.notebook import BLUE, GREEN, ORANGE, PURPLE, begin, show, show_file, slide

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## Two modules
#
# `inception` makes the module with reductions; its numbers are a row of the paper's Table 1. Module 3a has 192 channels
# coming in:

# %%
print(inspect.getsource(inception))
module = inception(*MODULES["3a"])
print(module)
assert module.output_shape((192, 28, 28)) == (64 + 128 + 32 + 32, 28, 28)

# %% [markdown]
# Figure 2, drawn from the layers: the naive module, then the one with reductions.

# %%
with tempfile.TemporaryDirectory() as folder:
    for name, made in (("naive", models.without_reductions(module)), ("with reductions", module)):
        path = Path(folder) / "module.png"
        plot.diagram(diagram(made, (192, 28, 28)), name, [path])
        show_file(path, width=620, alt=(
            f"The module, {name}: boxes of convolutions and pooling in four branches side by side, from one input to "
            "one concatenation."))

# %% [markdown]
# "Concatenated" (S3): side by side as channels, in this order. Each branch keeps height and width, which is what their
# padding is for.

# %%
x = np.random.default_rng(0).standard_normal((1, 192, 8, 8)).astype(np.float32)
module.initialise(0)
y, first = module.forward(x), 0
for branch in module.layers:
    part = branch.forward(x)
    np.testing.assert_allclose(y[:, first : first + part.shape[1]], part, rtol=1e-4, atol=1e-5)
    first += part.shape[1]
assert first == 256

# %% [markdown]
# ## What it costs
#
# S6 and S7 in numbers: multiply-adds of each of GoogLeNet's nine modules, with reductions and without, for the same
# widths of 1 × 1, 3 × 3 and 5 × 5.

# %%
sides = {"3": 28, "4": 14, "5": 7}
names, costs, channels = list(MODULES), {"with reductions": [], "naive": []}, []
for name, widths in MODULES.items():
    shape = (widths[0], sides[name[0]], sides[name[0]])
    made = inception(*widths)
    bare = models.without_reductions(made)
    costs["with reductions"].append(made.cost(shape).macs / 1e6)
    costs["naive"].append(bare.cost(shape).macs / 1e6)
    channels.append((widths[0], made.output_shape(shape)[0], bare.output_shape(shape)[0]))

# %%
figure = Figure(figsize=(8.2, 3.0), layout="constrained")
axes = figure.subplots()
for shift, (label, colour) in zip((-0.2, 0.2), (("with reductions", BLUE), ("naive", ORANGE)), strict=True):
    axes.bar(np.arange(9) + shift, costs[label], 0.4, color=colour, label=label)
axes.set(title="Multiply-adds of each module", xlabel="module", xticks=range(9), xticklabels=names, ylabel="millions")
axes.legend(frameon=False)
show(figure, "Pairs of bars for nine modules: the naive one costs two to five times as much.")

# %%
ratios = np.array(costs["naive"]) / np.array(costs["with reductions"])
for name, ratio, (coming, going, bare) in zip(names, ratios, channels, strict=True):
    print(f"{name}: {ratio:.1f} times as dear without; {coming} channels in, {going} out ({bare} without)")
assert all(ratios > 1.5)
assert np.isclose(costs["with reductions"][0], 128, atol=0.1), "Table 1 says 128 M for 3a"

# %% [markdown]
# And each naive module hands on more channels than the real one, since all that come in go out again through the
# pooling branch. So what if the naive ones were stacked? Each would see the channels of the one before: S6's blow-up.
# (Pooling between 3 and 4 and between 4 and 5 as in the net.)

# %%
def stacked(modules=9):
    figure = Figure(figsize=(8.2, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for naive, colour, label in ((True, ORANGE, "naive"), (False, BLUE, "with reductions")):
        coming, work, widths = MODULES["3a"][0], [], []
        for name in names[: int(modules)]:
            made = inception(*MODULES[name])
            if naive:
                _, one, _, three, _, five, _ = MODULES[name]
                made = models.naive_inception(coming, one, three, five)
            shape = (coming, sides[name[0]], sides[name[0]])
            work.append(made.cost(shape).macs / 1e6)
            widths.append(coming := made.output_shape(shape)[0])
        left.plot(names[: len(widths)], widths, "o-", color=colour, label=label)
        right.plot(names[: len(work)], np.cumsum(work), "o-", color=colour)
    left.set(title="Channels that go out", xlabel="modules", ylabel="channels", ylim=(0, None))
    right.set(title="Multiply-adds up to here", xlabel="modules", ylabel="millions", ylim=(0, None))
    left.legend(frameon=False)
    return figure


# %%
slide(stacked, "Left: with reductions, channels grow from 256 to 1,024; naive, they grow to nearly 5,000. Right: the "
      "work of the naive stack is many times that of the real one.", modules=(9, 2, 9, 1))

# %% [markdown]
# ## 1 × 1
#
# A convolution of 1 × 1 looks at one pixel: C numbers in, O numbers out. It is a matrix, the same at every pixel, and
# that is how it is computed: (O × C) times (C × pixels).

# %%
rng = np.random.default_rng(1)
reduce = Conv2D(6, 4, 1)
reduce.astype(np.float64)
x = rng.standard_normal((2, 6, 5, 7))
w = reduce.weight.numpy().reshape(4, 6)
as_matrix = (w @ x.reshape(2, 6, 35)).reshape(2, 4, 5, 7)
np.testing.assert_allclose(reduce.forward(x), as_matrix, rtol=1e-12)

# %% [markdown]
# Its gradients are those of a matrix, $Y = W X$ with one column of X for each pixel:
#
# $$\frac{\partial L}{\partial W} = \frac{\partial L}{\partial Y} X^T, \qquad
#   \frac{\partial L}{\partial X} = W^T \frac{\partial L}{\partial Y}.$$

# %%
dy = rng.standard_normal((2, 4, 5, 7))
dx = reduce.backward(dy)
columns, dcolumns = x.transpose(1, 0, 2, 3).reshape(6, 70), dy.transpose(1, 0, 2, 3).reshape(4, 70)
np.testing.assert_allclose(reduce.weight.grad.reshape(4, 6), dcolumns @ columns.T, rtol=1e-10)
np.testing.assert_allclose(dx.transpose(1, 0, 2, 3).reshape(6, 70), w.T @ dcolumns, rtol=1e-10)

# %% [markdown]
# Without its ReLU a reduction would be *only* a matrix: 96 numbers instead of 192, and together with the 3 × 3 behind
# it one linear map, of low rank. S7 says "dual-purpose": the ReLU makes it a layer of its own. (It has weights, so
# the paper counts two layers of depth to a module.)
#
# ## The gradient of branches
#
# Forward, x goes into four branches, and their outputs lie side by side: $y = (y^1, y^2, y^3, y^4)$. So on the way back
# dy is *cut* into the branches' parts, each goes its own way down, and where they come back to x they *add up*:
#
# $$\frac{\partial L}{\partial x} = \sum_{b=1}^{4} \left(\frac{\partial y^b}{\partial x}\right)^T
#   \frac{\partial L}{\partial y^b}.$$

# %%
print(inspect.getsource(Concat.backward))
small = inception(3, 2, 2, 3, 1, 2, 1)
small.initialise(4)
for p in small.parameters():
    p.assign(0.5 * rng.standard_normal(p.shape).astype(np.float32))
small.astype(np.float64)
x = rng.standard_normal((2, 3, 5, 4))
y = small.forward(x)
dy, dx, first = rng.standard_normal(y.shape), np.zeros_like(x), 0
for branch in small.layers:
    part = branch.forward(x)
    dx += branch.backward(np.ascontiguousarray(dy[:, first : first + part.shape[1]]))
    first += part.shape[1]
small.forward(x)
np.testing.assert_allclose(small.backward(dy), dx, rtol=1e-10)
report = gradcheck.check(small, x)
print(f"{len(report.points)} comparisons, worst relative error {report.worst.error:.1e}")
assert report.ok, report

# %% [markdown]
# ## Does it increase?
#
# S5 expects more of 3 × 3 and 5 × 5 higher up, since features there are less concentrated. Table 1's own widths:

# %%
ratio = {name: (three + five) / one for name, (_, one, _, three, _, five, _) in MODULES.items()}
spread = {name: five / (one + three + five + pool) for name, (_, one, _, three, _, five, pool) in MODULES.items()}
figure = Figure(figsize=(7.4, 2.9), layout="constrained")
axes = figure.subplots()
axes.plot(names, list(ratio.values()), "o-", color=PURPLE, label="3 × 3 and 5 × 5, by 1 × 1")
axes.plot(names, [10 * value for value in spread.values()], "s--", color=GREEN, label="5 × 5 of all, times 10")
axes.set(title="Widths of Table 1, module by module", xlabel="module", ylabel="ratio", ylim=(0, None))
axes.legend(frameon=False)
show(figure, "Two lines over nine modules: the ratio of larger convolutions to 1 by 1 goes up and down between 1.3 and "
     "3.1, without a trend; so does the share of 5 by 5.")
print({name: round(value, 2) for name, value in ratio.items()})
assert ratio["5b"] < ratio["3a"]

# %% [markdown]
# It does not: 2.5 in the first module, 1.33 in the last, and the share of 5 × 5 is the same at both ends. The text
# states an expectation; the net that won was designed by hand and trial.
#
# ## Exercises
#
# ### 1. 4e
#
# Module 4e gets 528 channels of 14 × 14. How many multiply-adds has its 5 × 5 branch (reduction to 32, then 128 of
# 5 × 5), and how many would the 5 × 5 alone have without the reduction?

# %% tags=["exercise"]
with_reduction, without = None, None

# %% tags=["check"]
if with_reduction is None or without is None:
    print("Exercise 1: not answered yet.")
else:
    branch = inception(*MODULES["4e"])["five"]
    assert with_reduction == branch.cost((528, 14, 14)).macs, "exercise 1: not with"
    assert without == Conv2D(528, 128, 5, pad=2).cost((528, 14, 14)).macs, "exercise 1: not without"
    print(f"Exercise 1: right; {without / with_reduction:.0f} times as many.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# pixels = 14 * 14
# with_reduction = pixels * (528 * 32 + 32 * 25 * 128)
# without = pixels * 528 * 25 * 128
# ```
#
# </details>

# %% [markdown]
# ### 2. A cheaper one
#
# Change *one* number of 3a's row, `(192, 64, 96, 128, 16, 32, 32)`, so that the module costs less than 100 million
# multiply-adds and its output keeps all its widths.

# %% tags=["exercise"]
row = None

# %% tags=["check"]
if row is None:
    print("Exercise 2: not answered yet.")
else:
    made = inception(*row)
    assert sum(a != b for a, b in zip(row, MODULES["3a"], strict=True)) == 1, "exercise 2: one number"
    assert made.output_shape((192, 28, 28)) == (256, 28, 28), "exercise 2: the output has changed"
    assert [row[i] for i in (1, 3, 5, 6)] == [64, 128, 32, 32], "exercise 2: a width has changed"
    assert made.cost((192, 28, 28)).macs < 100e6, "exercise 2: still too dear"
    print(f"Exercise 2: right, {made.cost((192, 28, 28)).macs / 1e6:.0f} million.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Most of the work is in the 3 × 3 branch; its reduction can be stronger. (A net of these would be a cheaper one,
# and probably a little worse.)
#
# ```python
# row = (192, 64, 64, 128, 16, 32, 32)
# ```
#
# </details>

# %% [markdown]
# ### 3. Side by side
#
# Write `backward` of a layer that puts the outputs of two others side by side.

# %% tags=["exercise"]
class Two:
    def __init__(self, one, other):
        self.one, self.other = one, other

    def forward(self, x, train=True):
        left, right = self.one.forward(x, train), self.other.forward(x, train)
        self.n = left.shape[1]
        return np.concatenate([left, right], axis=1)

    def backward(self, dy):
        return None


# %% tags=["check"]
layer = Two(MaxPool2D(3, 1, pad=1), Sequential(MaxPool2D(1, 1), ReLU()))
sample = rng.standard_normal((2, 3, 4, 5))
if layer.backward(layer.forward(sample)) is None:
    print("Exercise 3: not answered yet.")
else:
    report = gradcheck.check(layer, sample)
    assert report.ok, report
    print(f"Exercise 3: right, worst relative error {report.worst.error:.1e}.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Two:
#     def __init__(self, one, other):
#         self.one, self.other = one, other
#
#     def forward(self, x, train=True):
#         left, right = self.one.forward(x, train), self.other.forward(x, train)
#         self.n = left.shape[1]
#         return np.concatenate([left, right], axis=1)
#
#     def backward(self, dy):
#         left = np.ascontiguousarray(dy[:, : self.n])
#         right = np.ascontiguousarray(dy[:, self.n :])
#         return self.one.backward(left) + self.other.backward(right)
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **"1 × 1 convolutions make the picture smaller."** They change the number of channels. Height and width stay.
# - **"Inception averages scales", "chooses a kernel size."** It computes all, every time, and hands all of them on.
# - **The pooling branch without its projection**, or the projection before the pooling: max pooling 3 × 3 of stride 1
#   first, then 1 × 1, then ReLU.
# - **"The ratio of 3 × 3 and 5 × 5 increases."** Expected by the text, not found in the table (above).
#
# And in programs:
#
# - **A 3 × 3 in the place of the 5 × 5**: TensorFlow's and torchvision's GoogLeNet have it, by an old mistake that
#   weights were then trained with. In npnet it is 5 × 5:

# %%
kernels = [layer.kernel for layer in inception(*MODULES["3a"]).walk() if isinstance(layer, Conv2D)]
print(kernels)
assert kernels == [1, 1, 3, 1, 5, 1]
assert isinstance(inception(*MODULES["3a"]), Concat)

# %% [markdown]
# - **Batch normalisation** in each convolution: that is the next paper (2015). This one has none.
# - **Branches concatenated in another order**: harmless, until weights are loaded.
