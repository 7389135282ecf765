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
# # 15. GoogLeNet: Table 1 counted, and two classifiers on the side
#
# **GoogLeNet §5** (Szegedy et al. 2014), to be read beside the paper. Half a minute on a laptop, without a GPU and
# without a network.
#
# > **초록.** GoogLeNet 5절은 대회에 낸 망의 구조를 표 1로 보여 준다. 매개변수(parameter)가 있는 층만 세면 22층이고,
# > 인셉션 모듈 아홉 개를 쌓은 뒤 평균 풀링(average pooling)과 선형 층 하나로 끝난다. 깊은 망에서 기울기(gradient)가
# > 아래까지 제대로 전달되지 못할까 염려하여, 가운데 두 곳에 보조 분류기(auxiliary classifier)를 달고 그 손실에 0.3을
# > 곱해 더한다. 시험할 때는 떼어 낸다. 이 노트북은 표 1의 모든 행을 라이브러리의 층에서 다시 계산해 논문의 숫자와
# > 나란히 놓고, 맞지 않는 다섯 행을 찾아 그 까닭을 따져 본다. 완전 연결 층을 평균 풀링으로 바꾸어 얼마나 아끼는지
# > 계산하고, 보조 분류기의 모양을 확인하며, 갈라진 곳에서 기울기가 어떻게 더해지는지 유도해 검사한다. 같은 가중치에서
# > 보조 분류기가 있을 때와 없을 때 아래층의 기울기 크기를 실제로 재고, 연습문제 세 개와 흔한 오해로 마무리한다.
#
# You will have: every row of Table 1 counted and the five that disagree found, the auxiliary classifiers taken apart
# and their gradient derived, and a first measurement of what they do.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | Table 1 is the net; six of the seven nets of the ensemble are of it. | *Table 1* |
# | S2 | All convolutions have ReLUs, reductions and projections too; 224 × 224 RGB, less the mean. | *Table 1* |
# | S3 | 22 layers deep with parameters, 27 with pooling, some 100 building blocks. | *Depth* |
# | S4 | Average pooling before the classifier, and one linear layer, which makes fine-tuning easy. | *The end* |
# | S5 | That gained 0.6 % in top-1; dropout remained essential. | *The end* |
# | S6 | Whether gradients would get through such a depth was a worry. | *On the side* |
# | S7 | So there are classifiers behind 4a and 4d: losses counted 0.3 times, dropped in inference. | *On the side* |
# | S8 | Each: average 5 × 5 every 3; 128 of 1 × 1; 1,024 units; 70 % dropout; a linear layer. | *On the side* |

# %%
import inspect
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import gradcheck, models, plot
from npnet.layers import AvgPool2D, Conv2D, Dense, Dropout, Gaussian, MaxPool2D, WeightedSoftmaxCrossEntropy, WithHeads
from npnet.models import table1
from npnet.notebook import BLUE, ORANGE, begin, show

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## Table 1
#
# Every row computed from the layers, beside what is printed; ≠ marks what disagrees. (In the paper's table K is 1,024
# and M a million, which the rows that agree give away; "params" are weights without biases, "ops" multiply-adds.)

# %%
net = models.googlenet()
print(table1.text(net, (3, 224, 224)))

# %%
rows = {row.name: row for row in table1.rows(net)}
apart = [name for name, row in rows.items() if not all(row.agrees)]
print("rows that disagree:", ", ".join(apart))
assert apart == ["conv1", "inception4c", "inception4d", "inception5a", "inception5b"]
assert sum(row.weights for row in rows.values()) == 6_990_272
assert sum(row.macs for row in rows.values()) == 1_582_671_872

# %% [markdown]
# The first is the interesting one. A convolution of 7 × 7 from 3 channels to 64 has 9,408 weights; the table says 2.7
# K. Exactly one thing fits that *and* the printed 34 M: 8 filters of 7 × 7 for each colour by itself, then a 1 × 1:

# %%
separable = 7 * 7 * 3 * 8 + 24 * 64
print(f"{separable:,} weights, {separable * 112**2 / 1e6:.1f} M multiply-adds")
assert separable == 2712
other = models.googlenet(stem="separable")
assert next(row for row in table1.rows(other) if row.name == "conv1").weights == separable

# %% [markdown]
# Whether the net that won had it, nobody says; everybody builds the plain one. With it the whole comes to the
# advertised
# 1.5 billion operations, with the plain one to 1.58.
#
# ## Depth
#
# S3: count on the longest way through. A module counts two (a reduction, then the larger convolution):

# %%
depth = {name: row.depth for name, row in rows.items()}
print(depth)
assert sum(depth.values()) == 1 + 2 + 9 * 2 + 1 == 22
pools = [name for name, layer in net.trunk.items() if isinstance(layer, MaxPool2D | AvgPool2D)]
assert sum(depth.values()) + len(pools) == 27
blocks = [layer for layer in net.walk() if not layer.children()]
print(f"{len(pools)} poolings in the trunk; {len(blocks)} layers of npnet's in all, heads included")

# %% [markdown]
# ## The end
#
# S4. The last maps are 7 × 7 × 1,024. A fully connected layer on them, as AlexNet and its like have it, against their
# mean and a linear layer:

# %%
full, mean = 7 * 7 * 1024 * 1000, 1024 * 1000
whole = net.cost((3, 224, 224)).parameters - sum(sum(p.size for p in head.parameters()) for head in net.heads.values())
print(f"fully connected {full / 1e6:.1f} million weights, behind average pooling {mean / 1e6:.1f}; all {whole:,}")
alexnet = models.alexnet().cost((3, 224, 224)).parameters
print(f"AlexNet has {alexnet / whole:.1f} times as many parameters")
assert full > 7 * whole
assert whole == 6_998_552
assert round(alexnet / whole, 1) == 8.7

# %% [markdown]
# The one layer would have seven times as many weights as all of the net. (The introduction says 12 times fewer
# parameters than AlexNet. Counted, it is 8.7 times.)

# %%
shown = [row for row in rows.values() if row.weights]
figure = Figure(figsize=(8.2, 3.0), layout="constrained")
axes = figure.subplots()
for shift, values, colour, label in ((-0.2, [row.weights for row in shown], BLUE, "weights"),
                                     (0.2, [row.macs for row in shown], ORANGE, "multiply-adds")):
    axes.bar(np.arange(len(shown)) + shift, np.array(values) / sum(values), 0.4, color=colour, label=label)
axes.set(title="Where GoogLeNet's weights and work are", ylabel="fraction of all", xticks=range(len(shown)),
         xticklabels=[row.name.replace("inception", "") for row in shown])
axes.legend(frameon=False)
show(figure, "Bars from conv1 to the classifier: weights grow towards the end; work is largest in conv2 and in 3b, and "
     "falls where pooling halves the maps.")

# %% [markdown]
# ## On the side
#
# S7 and S8. The heads as the net has them:

# %%
for after, head in net.heads.items():
    size = {"inception4a": (512, 14, 14), "inception4d": (528, 14, 14)}[after]
    print(f"behind {after}: {size} → {head.layers[0].output_shape(size)}, {sum(p.size for p in head.parameters()):,} "
          f"parameters")
    assert head.layers[0].output_shape(size) == (size[0], 4, 4)
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["AvgPool2D", "Conv2D", "ReLU", "Dense", "ReLU", "Dropout", "Dense"]
assert [layer.p for layer in net.walk() if isinstance(layer, Dropout)] == [0.4, 0.7, 0.7]

# %% [markdown]
# In training there are three losses, $L = L_0 + 0.3\,(L_1 + L_2)$. What does that do below? At the output h of module
# 4a the net goes two ways: on to 4b, and into the head. All that follows leads from h to $L_0$ and, by the second head
# behind 4d, to $L_2$; the head to $L_1$:
#
# $$\frac{\partial L}{\partial h} = \frac{\partial (L_0 + 0.3\,L_2)}{\partial h}
#   + 0.3\,\frac{\partial L_1}{\partial h}.$$
#
# A sum, once more, where a way forks. In the library (where what such a pass calls of kernels is done at its end):

# %%
print(inspect.getsource(WithHeads._backward))

# %% [markdown]
# In the small, with two heads, every gradient against differences:

# %%
wide = Gaussian(0.3)
small = WithHeads(
    {"conv1": Dense(3 * 4 * 4, 3, weight=wide), "conv2": Dense(2 * 4 * 4, 3, weight=wide)},
    conv1=Conv2D(2, 3, 3, pad=1, weight=wide), conv2=Conv2D(3, 2, 3, pad=1, weight=wide),
    fc=Dense(2 * 4 * 4, 3, weight=wide))
small.initialise(1)
sample = np.random.default_rng(0).standard_normal((2, 2, 4, 4))
report = gradcheck.check(small, sample, labels=np.array([0, 2]), loss=WeightedSoftmaxCrossEntropy(0.3))
print(f"{len(report.points)} comparisons, worst relative error {report.worst.error:.1e}")
assert report.ok, report
assert len(small.forward(sample.astype(np.float32), train=True)) == 3
assert small.forward(sample.astype(np.float32), train=False).shape == (2, 3), "in inference there are no heads"

# %% [markdown]
# ### Do they send more gradient down?
#
# S6 is a worry, S7 an expectation. Here is the whole net, before any training, on one random image: the size of the
# gradient of all weights in each module, with the heads and without, from the same weights.

# %%
image = 60 * np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
label, sizes = np.array([7]), {}
for name, heads in (("with heads", True), ("without", False)):
    made = models.googlenet(seed=0, heads=heads)
    loss = WeightedSoftmaxCrossEntropy(0.3)
    loss.forward(made.forward(image), label)
    made.backward_parameters(loss.backward())
    sizes[name] = {layer: float(np.sqrt(sum(np.sum(p.grad.astype(float) ** 2) for p in made[layer].parameters()
                                            if p.name.endswith("weight"))))
                   for layer in made.trunk if layer.startswith("inception")}
figure = Figure(figsize=(8.6, 3.0), layout="constrained")
axes = figure.subplots()
for (name, by_layer), (colour, style) in zip(sizes.items(), ((BLUE, "o-"), (ORANGE, "s--")), strict=True):
    axes.semilogy([layer.replace("inception", "") for layer in by_layer], list(by_layer.values()), style, color=colour,
                  label=name)
axes.set(title="Gradient of the weights before training", ylabel="length", xlabel="module")
figure.legend(loc="outside right center", frameon=False)
show(figure, "Length of the gradient by module, logarithmic: with heads it is larger from 4d downwards; above, where "
     "no head reaches, both are alike.")

# %%
for layer in ("inception3a", "inception4a", "inception4d", "inception5b"):
    a, b = (sizes[name][layer] for name in ("with heads", "without"))
    print(f"{layer}: {a:.3g} with, {b:.3g} without, {a / b:.2f} times")
assert sizes["with heads"]["inception3a"] > 1.05 * sizes["without"]["inception3a"]
assert np.isclose(sizes["with heads"]["inception5b"], sizes["without"]["inception5b"], rtol=0.3)

# %% [markdown]
# One image, untrained, random pixels: it shows the mechanism, and does not prove that training needs it. `npnet heads`
# measures the first hundred steps on real images, from the same weights and with the same images:

# %% tags=["stored"]
measured = Path("results/googlenet/heads.json")
if measured.exists():
    first_steps = json.loads(measured.read_text())
    show(plot.heads(first_steps, "GoogLeNet's first steps on photos: inception3a", []),
         "Two panels against steps: the gradient at 3a, larger with auxiliary classifiers for forty steps; the loss.")
    times = np.divide(*(first_steps[name]["gradient"] for name in ("with", "without")))
    print(f"with / without: {times[0]:.1f} in the first step, {np.median(times[:10]):.1f} in the first ten, "
          f"{np.median(times[40:60]):.1f} in steps 41 to 60, {np.median(times[60:]):.1f} from then on")
else:
    print("Not stored here: npnet heads --data PREPARED makes it, in ten minutes.")

# %% [markdown]
# So S7's expectation holds for some forty steps, seven times at the very first; then it is less than without for most
# of the rest, and in the last ten of the hundred more again. And the net's own loss does not fall sooner for it, rather
# later. (The same authors wrote a year later that the heads hardly sped up
# the beginning, and helped a little at the end: "regularisers".)
#
# ## Exercises
#
# ### 1. 4a
#
# How many weights (no biases) has module 4a, from 480 channels, with widths 192; 96, 208; 16, 48; 64?

# %% tags=["exercise"]
weights_of_4a = None

# %% tags=["check"]
if weights_of_4a is None:
    print("Exercise 1: not answered yet.")
else:
    assert weights_of_4a == rows["inception4a"].weights, "exercise 1: not so many"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# weights_of_4a = 480 * 192 + 480 * 96 + 96 * 9 * 208 + 480 * 16 + 16 * 25 * 48 + 480 * 64
# ```
#
# </details>

# %% [markdown]
# ### 2. Larger pictures
#
# Without its classifier the net takes images of any size. If it is given 448 × 448, how large (one side) are the maps
# before the average pooling, and how many times as many multiply-adds do the modules need?

# %% tags=["exercise"]
side, times = None, None

# %% tags=["check"]
shape, small_shape, work, small_work = (3, 448, 448), (3, 224, 224), 0, 0
for name, layer in net.trunk.items():
    if name == "pool5":
        break
    work, small_work = work + layer.cost(shape).macs, small_work + layer.cost(small_shape).macs
    shape, small_shape = layer.output_shape(shape), layer.output_shape(small_shape)
if side is None or times is None:
    print("Exercise 2: not answered yet.")
else:
    assert side == shape[1], "exercise 2: not so large"
    assert np.isclose(times, work / small_work, rtol=0.01), "exercise 2: not so many times"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Everything halves five times: 448 / 32. Four times the pixels at every stage. (Behind an average over *all* places the
# same linear layer would still fit: what S4 calls convenience.)
#
# ```python
# side, times = 14, 4
# ```
#
# </details>

# %% [markdown]
# ### 3. A fork of your own
#
# h goes on to f (∂L/∂f is given as `of_f`) and into a head g whose loss counts 0.3 times. f and g are matrices. Write
# ∂L/∂h.

# %% tags=["exercise"]
def at_the_fork(f, g, of_f, of_g):
    """f (a, n), g (b, n): f h and g h. of_f = ∂L₀/∂(f h), of_g = ∂L₁/∂(g h). Returns ∂(L₀ + 0.3 L₁)/∂h."""
    return None


# %% tags=["check"]
rng = np.random.default_rng(2)
f, g, h = rng.standard_normal((4, 3)), rng.standard_normal((2, 3)), rng.standard_normal(3)
answer = at_the_fork(f, g, np.tanh(f @ h), 2 * (g @ h))
if answer is None:
    print("Exercise 3: not answered yet.")
else:
    def total(h):
        return np.sum(np.log(np.cosh(f @ h))) + 0.3 * np.sum((g @ h) ** 2)

    slopes = [(total(h + d) - total(h - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(answer, slopes, rtol=1e-6)
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def at_the_fork(f, g, of_f, of_g):
#     return f.T @ of_f + 0.3 * (g.T @ of_g)
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# In the paper itself: five rows of Table 1, and "12 times fewer parameters". In machine translations of it: M as
# *minutes*, "linear" as *goodwill*, "pool proj" as a swimming pool.
#
# - **"27 layers deep."** With pooling; 22 have parameters.
# - **The heads are used in inference, averaged in.** They are thrown away (S7).
# - **70 % dropout as "keep 70 %".** Dropped (S8).
# - **The heads behind 4a and 4d, read as after pooling.** They stand on the modules' outputs, of 14 × 14.
#
# And in programs:
#
# - **torchvision's GoogLeNet** has batch normalisation, a 3 × 3 for the 5 × 5, no LRN and a dropout of 0.2; and for
#   years it returned its two heads in one order and unpacked them in the other.
# - **Gradients of the heads that replace, where they should add** at 4a and 4d.
# - **Rounding down** in the four poolings: 112 → 55 in place of 56, and so on to maps of 6 × 6:

# %%
def halved(side, up):
    sides = [side]
    for _ in range(4):
        sides.append(MaxPool2D(3, 2, rounding="ceil" if up else "floor").output_shape((1, sides[-1], sides[-1]))[1])
    return sides


print("up:  ", halved(112, True), "\ndown:", halved(112, False))
assert halved(112, True) == [112, 56, 28, 14, 7]
assert halved(112, False)[-1] == 6
