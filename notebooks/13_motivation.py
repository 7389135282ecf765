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
# # 13. Why Inception: sparse in theory, dense in the machine
#
# **GoogLeNet §1 to §3** (Szegedy et al. 2014), to be read beside the paper. Half a minute on a laptop, without a GPU
# and without a network.
#
# > **초록.** GoogLeNet 1–3절은 인셉션(Inception)이 왜 필요한지를 설명한다. 망을 더 좋게 만드는 가장 쉬운 길은 더 깊고
# > 더 넓게 키우는 것이지만, 매개변수(parameter)가 늘어 과적합(overfitting)하기 쉽고, 이어진 합성곱(convolution)을 함께
# > 넓히면 계산량이 폭의 제곱으로 늘어난다. 논문은 근본적인 해법을 희소한(sparse) 연결에서 찾으면서도, 오늘날의 기계는
# > 조밀한(dense) 행렬 곱에 맞추어져 있다는 어려움을 지적한다. 이 노트북은 두 망의 매개변수와 계산량(multiply-adds)을
# > 부분마다 세어 12배 적다는 말이 실제로는 8.7배임을 확인하고, 폭과 비용의 관계를 유도한다. 이어 희소한
# > 생성망(generative net)이 만든 자료의 상관 행렬(correlation matrix)을 묶어, 어느 단위들이 같은 부모를 두었는지 한
# > 층씩 되찾아 본다. 0이 흩어진 행렬과 블록(block)으로 모인 행렬의 속도를 재어 견주고, 그룹 합성곱(grouped
# > convolution)이 마스크(mask)를 씌운 조밀한 합성곱과 앞뒤 계산에서 모두 같다는 것을 유도해 검사한다. 끝으로 인셉션이
# > 군데군데 비운 5×5 합성곱 하나와 같다는 것을 보이고, 연습문제 세 개와 흔한 오해로 마친다.
#
# You will have: both nets counted part by part, the price of width derived, a hidden net recovered from correlations
# alone, the price of scattered zeros measured on your machine, and the gradient of a masked layer derived and checked.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own. S1 to S4 are of §1, S5 to S7 of §2, S8 to S15 of §3.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | Progress came from new ideas and structures, not only from data, machines and size. | – |
# | S2 | 12 times fewer parameters than the net of 2012, and far more accurate. | *Two nets* |
# | S3 | A budget of 1.5 billion multiply-adds for most experiments, so that it can be used. | *Two nets* |
# | S4 | "Deep" twice over: more layers, and a new level of order, the module. | *Two nets* |
# | S5 | Since LeNet: convolutions, then fully connected layers; ever more of them, with dropout. | *Two nets* |
# | S6 | 1 × 1 as in Network in Network, but here above all to reduce dimensions. | *1 × 1* |
# | S7 | Detection follows R-CNN's two stages, each of them improved. | – |
# | S8 | The safe way to a better net is a bigger one, deeper and wider. | *Bigger* |
# | S9 | First drawback: more parameters overfit, and good labels are dear. | *Bigger* |
# | S10 | Second: widening chained convolutions costs its square; unused capacity is wasted work. | *Bigger* |
# | S11 | The way out: sparse connections. Arora et al. find them, layer by layer, by correlation. | *In theory* |
# | S12 | That needs strict conditions, but goes with Hebb: what fires together is wired together. | *In theory* |
# | S13 | Machines are bad at scattered zeros, and good libraries widen the gap. | *In the machine* |
# | S14 | Feature maps had sparse tables once; for parallel hardware they went back to full ones. | *There and back* |
# | S15 | Inception is such a structure, guessed, in dense parts. Is that why it works? Open. | *As Inception* |

# %%
import inspect
import time

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy import linalg, sparse
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

import npnet
from npnet import gradcheck, models
from npnet.kernels.numpy.conv import conv2d_forward
from npnet.layers import Conv2D, Dense, Gaussian, Parameter, ReLU, Sequential
from npnet.models import summary, table1
from npnet.models.googlenet import MODULES
from npnet.notebook import BLUE, GREEN, ORANGE, begin, show, slide
from npnet.train import SGD

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## Two nets
#
# S2 to S5 can be counted. GoogLeNet without the classifiers at its side, which are thrown away after training:

# %%
IMAGE = (3, 224, 224)
nets = {"AlexNet": models.alexnet(), "GoogLeNet": models.googlenet(heads=False)}
cost = {name: net.cost(IMAGE) for name, net in nets.items()}
for name, each in cost.items():
    print(f"{name:9} {each.parameters:10,} parameters {each.macs / 1e6:7,.0f} million multiply-adds: "
          f"each parameter is used {each.macs / each.parameters:3.0f} times an image")
fewer = cost["AlexNet"].parameters / cost["GoogLeNet"].parameters
more = cost["GoogLeNet"].macs / cost["AlexNet"].macs
print(f"GoogLeNet has {fewer:.1f} times fewer parameters and does {more:.1f} times the work; "
      f"its table adds up to {table1.SUMS[1] / 1000:.2f} billion")
assert round(fewer, 1) == 8.7
assert round(more, 1) == 2.2
assert round(table1.SUMS[1] / 1000, 1) == 1.5
assert sum(row.depth for row in table1.rows(nets["GoogLeNet"])) == 22

# %% [markdown]
# Not 12 times fewer, but 8.7. Leave out GoogLeNet's classifier and it is 10.2; for 12 it would need to have 5.1 million
# parameters. The 1.5 billion are the sum of Table 1; the net as everybody builds it needs 1.58 (notebook 15 finds out
# why).

# %%
without_classifier = cost["GoogLeNet"].parameters - nets["GoogLeNet"]["fc"].cost((1024, 1, 1)).parameters
print(f"without its classifier {cost['AlexNet'].parameters / without_classifier:.1f} times fewer; "
      f"12 times fewer would be {cost['AlexNet'].parameters / 12e6:.2f} million")
assert round(cost["AlexNet"].parameters / without_classifier, 1) == 10.2
figure = Figure(figsize=(8.8, 4.6), layout="constrained")
panels = figure.subplots(2, 2, sharey="row", width_ratios=(9, 12))
for column, (name, net) in zip(panels.T, nets.items(), strict=True):
    rows = [row for row in summary.rows(net, IMAGE) if row.cost.parameters]
    for axes, key, colour, what in ((column[0], "parameters", BLUE, "parameters (millions)"),
                                    (column[1], "macs", ORANGE, "multiply-adds (millions)")):
        labels = [row.name.replace("inception", "").replace("reduce", "red") for row in rows]
        axes.bar(labels, [getattr(row.cost, key) / 1e6 for row in rows], color=colour)
        axes.tick_params(axis="x", labelsize=7)
        axes.set(title=f"{name}: {getattr(cost[name], key) / 1e6:,.0f} million" if key == "macs" else
                 f"{name}: {cost[name].parameters / 1e6:.1f} million", ylabel=what if name == "AlexNet" else "")
show(figure, "Four bar charts. Above, parameters: AlexNet's fc6 towers at 38 million, fc7 at 17; GoogLeNet's bars are "
     "hardly visible. Below, multiply-adds: GoogLeNet's conv2 and 3b are highest, AlexNet's conv2 is next, and "
     "those of fully connected layers are low.")

# %% [markdown]
# The same scale on the left and on the right. Nine tenths of AlexNet's parameters are in two layers, fc6 and fc7,
# that GoogLeNet does without, and each of those is used once an image. A convolution's weight is used at every pixel.
# So the later net is *smaller*, and yet works more: few parameters (S9) and little work (S10) are two wishes, not one.
#
# ## Bigger
#
# S8 to S10. A convolution with $C$ maps in, $C'$ out, kernels of K × K and P places costs $P K^2 C C'$ multiply-adds.
# Widen a whole net by $w$, all its layers: where both $C$ and $C'$ are made wider the cost grows by $w^2$. Only the
# first layer (three colours come in, always) and the last (a thousand classes go out) grow by $w$:
#
# $$\text{cost}(w) = a\,w + b\,w^2, \qquad
#   \frac{d \ln \text{cost}}{d \ln w} = \frac{a w + 2 b w^2}{a w + b w^2},$$
#
# an exponent between 1 and 2, and the nearer to 2 the wider the net. Depth costs less: a layer more adds its own cost,
# and no other layer's. The library counts by the same formula, weights times places:

# %%
print(inspect.getsource(Conv2D.cost))


def widened(w):
    """AlexNet with every layer w times as wide: the rows of its layers with weights."""
    widths = tuple(round(w * width) for width in (96, 256, 384, 384, 256))
    rows = summary.rows(models.alexnet(widths=widths, hidden=round(4096 * w)), IMAGE)
    return {row.name: row.cost for row in rows if row.cost.parameters}


once = widened(1)
a = sum(once[name].macs for name in ("conv1", "fc8"))
b = sum(each.macs for each in once.values()) - a
for w in (0.5, 1, 2, 4):
    macs, parameters = (sum(getattr(each, key) for each in widened(w).values()) for key in ("macs", "parameters"))
    print(f"{w:3} times as wide: {macs / (a + b):5.2f} times the work, {parameters / 60_965_224:5.2f} times as many "
          f"parameters; here work grows with w to the {(a + 2 * b * w) / (a + b * w):.2f}")
    assert macs == a * w + b * w**2


# %%
def widen(w=2.0):
    figure = Figure(figsize=(8.6, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    rows = widened(w)
    left.bar(np.arange(8) - 0.2, [each.macs / 1e6 for each in once.values()], 0.4, color=BLUE, label="w = 1")
    left.bar(np.arange(8) + 0.2, [each.macs / 1e6 for each in rows.values()], 0.4, color=ORANGE, label=f"w = {w:g}")
    left.set(title="AlexNet, layer by layer", ylabel="multiply-adds (millions)",
             xticks=range(8), xticklabels=list(rows))
    left.legend(frameon=False)
    axis = np.linspace(0, 4, 60)
    right.plot(axis, (a * axis + b * axis**2) / 1e9, color=BLUE, label="a w + b w²")
    right.plot(axis, (a + b) * axis / 1e9, "--", color="0.6", label="in proportion to w")
    right.plot([w], [sum(each.macs for each in rows.values()) / 1e9], "o", color=ORANGE)
    right.set(title="All of it", xlabel="width w", ylabel="multiply-adds (billions)", ylim=(0, None))
    right.legend(frameon=False)
    return figure


slide(widen, "Left: bars for eight layers; twice as wide, conv2 to fc7 cost four times as much, conv1 and fc8 twice. "
      "Right: a curve that bends upwards, nearly a parabola, above a straight dashed line.", w=(2.0, 0.5, 4.0, 0.25))

# %% [markdown]
# Parameters grow likewise, so S9 has the same square in it: twice the width, 3.9 times as many numbers to be found from
# the same images. (What overfitting looks like: notebooks 7 and 8.)
#
# ### Capacity that nobody uses
#
# S10's second half. A small net of four hidden units makes the data; a net of 64 learns it, with weight decay. How many
# of the 64 does it use? The *size* of a unit here is the length of its weights coming in times the weight going out.

# %%
rng = np.random.default_rng(0)
teacher, going_out = rng.standard_normal((4, 16)) / 4, np.array([1.0, -1.0, 1.0, -1.0])
x = rng.standard_normal((2000, 16)).astype(np.float32)
target = (np.maximum(x @ teacher.T, 0) @ going_out)[:, None].astype(np.float32)
wide = Sequential(fc1=Dense(16, 64, weight=Gaussian(0.1)), relu=ReLU(), fc2=Dense(64, 1, weight=Gaussian(0.1)))
wide.initialise(1)
sgd = SGD(wide.parameters(), rate=0.05, momentum=0.9, weight_decay=0.003)
for _ in range(3000):
    some = rng.integers(0, 2000, 128)
    wide.backward_parameters((wide.forward(x[some]) - target[some]) / 128)
    sgd.step()
learnt = wide.forward(x).copy()
coming_in, out = wide["fc1"].weight, wide["fc2"].weight
size = np.linalg.norm(coming_in.numpy(), axis=1) * np.abs(out.numpy()[0])
idle = size < 0.01 * size.max()

# %%
figure = Figure(figsize=(7.4, 2.6), layout="constrained")
axes = figure.subplots()
order = np.argsort(-size)
axes.bar(np.arange(64), size[order], color=[ORANGE if idle[i] else BLUE for i in order])
axes.set(title=f"{idle.sum()} of 64 units are under a hundredth of the largest (orange)", yscale="log",
         xlabel="hidden unit, sorted", ylabel="size")
show(figure, "Sorted bars on a logarithmic scale: they fall slowly at first and then steeply; about half lie far below "
     "the largest, in orange.")
coming_in.assign(np.where(idle[:, None], 0, coming_in.numpy()))
out.assign(np.where(idle, 0, out.numpy()))
changed = np.mean((wide.forward(x) - learnt) ** 2) / np.mean(target**2)
wrong = np.mean((learnt - target) ** 2) / np.mean(target**2)
print(f"it is wrong by {wrong:.1e} of the target's square; without the {idle.sum()} idle units it changes by "
      f"{changed:.0e} of it")
assert wrong < 1e-2
assert changed < 1e-3
assert wide.cost((16,)).macs == 17 * 64, "zeros are multiplied like any other number"

# %% [markdown]
# About half of the units do next to nothing (four would be enough), and still every product with them is computed.
# What a layer costs depends on its size, not on what it has learnt.
#
# ## 1 × 1
#
# S6, in advance of notebook 14. A 1 × 1 convolution to R maps before a dear one, of K × K from C to O maps, costs
# $R\,(C + K^2 O)$ a pixel instead of $K^2 C O$. It pays as long as
#
# $$R < \frac{K^2 C O}{C + K^2 O}.$$
#
# For the 5 × 5 of GoogLeNet's first module, from 192 maps to 32:

# %%
channels, _, _, _, reduced, five, _ = MODULES["3a"]
most = 25 * channels * five / (channels + 25 * five)
direct = Conv2D(channels, five, 5, pad=2).cost((channels, 28, 28)).macs
through = {r: Conv2D(channels, r, 1).cost((channels, 28, 28)).macs
           + Conv2D(r, five, 5, pad=2).cost((r, 28, 28)).macs for r in (reduced, 154, 155)}
print(f"it pays up to R = {most:.1f}; with Table 1's R = {reduced} it costs {through[reduced] / direct:.0%}")
assert through[154] < direct < through[155]

# %% [markdown]
# ## In theory
#
# S11. Arora, Bhaskara, Ge and Ma (2013) start from a net that *generates*: units at the top are on or off at random,
# each layer switches on units of the next one through few, random connections, and the bottom layer is the data. For
# such nets, if they are sparse enough and their connections random, they prove that the net can be found again from
# data alone, in polynomial time and layer by layer: units of the bottom that are correlated share a parent above; find
# those families, infer what the parents did, and go on with the parents. It is a theorem about nets that made the data.
# It says nothing about photos, or about classifying.
#
# Its first idea fits on a page. Here is such a net, simpler than theirs, since each unit has one parent: 4 units at the
# top, 16 in the middle, 96 at the bottom, wired at random.

# %%
rng = np.random.default_rng(5)
above_middle = rng.permutation(np.arange(16) % 4)
above_bottom = rng.permutation(np.concatenate([np.arange(16).repeat(3), rng.integers(0, 16, 48)]))


def fire(pictures, seed=1):
    """What the bottom units do on so many pictures (pictures, 96). A unit is on rather if its parent is."""
    rng = np.random.default_rng(seed)
    top = rng.random((pictures, 4)) < 0.4
    middle = rng.random((pictures, 16)) < np.where(top[:, above_middle], 0.7, 0.1)
    return rng.random((pictures, 96)) < np.where(middle[:, above_bottom], 0.8, 0.1)


data = fire(4000)
correlation = np.corrcoef(data, rowvar=False)
print("children of the middle units:", np.bincount(above_bottom))

# %% [markdown]
# **What correlation is to be expected?** A unit is on with probability $\alpha$ if its parent $h$ is, else $\beta$.
# Given the parents, units are independent, so that for units $i$ and $j$ with parents $h$ and $h'$
#
# $$\text{Cov}(i, j) = (\alpha - \beta)^2 \, \text{Cov}(h, h').$$
#
# For siblings $h = h'$, and it is $h$'s variance. For cousins the rule is used once more, one layer up. For strangers
# it is zero. So there are three levels of correlation, and each says how far up the families meet.

# %%
def variance(p):
    return p * (1 - p)


q = 0.1 + 0.6 * 0.4  # a unit of the middle is on
p = 0.1 + 0.7 * q  # and one of the bottom
siblings = 0.7**2 * variance(q) / variance(p)
cousins = 0.7**2 * 0.6**2 * variance(0.4) / variance(p)
i, j = np.triu_indices(96, 1)
same_parent = above_bottom[i] == above_bottom[j]
same_family = above_middle[above_bottom[i]] == above_middle[above_bottom[j]]
kinds = {"siblings": same_parent, "cousins": same_family & ~same_parent, "strangers": ~same_family}
for (kind, pairs), expected in zip(kinds.items(), (siblings, cousins, 0.0), strict=True):
    print(f"{kind:9} expected {expected:.3f}, found {correlation[i, j][pairs].mean():.3f}")
    assert abs(correlation[i, j][pairs].mean() - expected) < 0.02

# %% [markdown]
# Now forget the wiring, and find it. Join units that correlate by more than halfway between siblings and cousins; what
# hangs together is a family. Its parent was on, we guess, where more than 45 % of its children are. Then do the same
# with the 16 guessed parents.

# %%
def families(correlation, threshold):
    """A number for each unit: that of its family."""
    return connected_components(correlation > threshold, directed=False)[1]


def same(found, true):
    """Do two numberings say the same?"""
    return len(set(zip(found, true, strict=True))) == len(set(found)) == len(set(true))


found = families(correlation, (siblings + cousins) / 2)
guessed = np.stack([data[:, found == k].mean(axis=1) > 0.45 for k in range(found.max() + 1)], axis=1)
between = np.corrcoef(guessed, rowvar=False)
found_above = families(between, 0.12)
print(f"{found.max() + 1} families of 96 units, {found_above.max() + 1} families of families")
assert same(found, above_bottom)
assert same(found_above[found], above_middle[above_bottom])

# %%
steps = {"cmap": colormaps["cividis"].resampled(4), "vmin": -0.05, "vmax": 0.55, "interpolation": "nearest"}
order = np.lexsort((found, found_above[found]))
upper = np.argsort(found_above, kind="stable")
figure = Figure(figsize=(8.4, 2.9), layout="constrained")
for axes, matrix, title in zip(figure.subplots(1, 3), (
        correlation, correlation[np.ix_(order, order)], between[np.ix_(upper, upper)]), (
        "96 units as they come", "sorted by what was found", "the 16 guessed parents, sorted"), strict=True):
    shown = axes.imshow(matrix, **steps)
    axes.set(title=title, xlabel="unit", ylabel="unit", xticks=[], yticks=[])
figure.colorbar(shown, ax=figure.axes, label="correlation", ticks=(0.1, 0.25, 0.4), extend="max", shrink=0.8)
show(figure, "Three square pictures. First: scattered bright dots. Second: sixteen bright squares along the diagonal, "
     "in four paler large ones, on dark ground. Third: four squares along the diagonal.")

# %% [markdown]
# The second picture *is* the net: sixteen blocks for the middle layer, four pale ones around them for the top. How many
# pictures does that take? Correlations from n pictures are off by about $1/\sqrt{n}$, and of 4,560 pairs a single one
# beyond the threshold is enough to join two families.

# %%
def sample(pictures=300):
    matrix = np.corrcoef(fire(int(pictures), seed=2), rowvar=False)
    figure = Figure(figsize=(8.0, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for (kind, pairs), colour in zip(kinds.items(), (BLUE, GREEN, ORANGE), strict=True):
        left.hist(matrix[i, j][pairs], np.linspace(-0.3, 0.8, 56), density=True, color=colour, alpha=0.7, label=kind)
    left.axvline((siblings + cousins) / 2, ymax=0.84, color="k", linewidth=1)
    left.set(title=f"{int(pictures):,} pictures", xlabel="correlation of a pair", ylabel="density of pairs")
    left.margins(y=0.2)
    left.legend(frameon=False, ncols=3, loc="upper center")
    right.imshow(matrix[np.ix_(order, order)], **steps)
    well = same(families(matrix, (siblings + cousins) / 2), above_bottom)
    right.set(title="families found" if well else "families run together", xticks=[], yticks=[], xlabel="unit (sorted)")
    return figure


slide(sample, "Left: three humps of correlations, strangers at 0, cousins at 0.2, siblings at 0.5; with 300 pictures "
      "a few cousins are beyond the threshold. Right: blocks on a noisy ground.", pictures=(300, 50, 4000, 50))

# %% [markdown]
# S12, Hebb. Let a connection between two units grow by $\eta\,(x_i - m_i)(x_j - m_j)$ at every picture, with $m$ their
# means: up when both are on or both are off. After n pictures it is $\eta \sum (x_i - m_i)(x_j - m_j)
# = \eta\,(n - 1)\,\text{Cov}(i, j)$. So what Hebb's rule gathers by and by is the
# covariance. (All units here have the same variance; by correlation the pairs come in the same order.)

# %%
connections, means = np.zeros((96, 96)), data.mean(axis=0)
for picture in data[:, None, :] - means:
    connections += 0.01 * picture.T * picture
np.testing.assert_allclose(connections, 0.01 * 3999 * np.cov(data, rowvar=False), rtol=1e-6, atol=1e-9)
strongest = np.argmax(connections - 1e9 * np.eye(96), axis=1)
siblings_found = np.sum(above_bottom[strongest] == above_bottom)
print(f"the strongest connection leads to a sibling in {siblings_found} of 96 units")
assert siblings_found == 96

# %% [markdown]
# ## In the machine
#
# S13. A product with a matrix that is nearly all zeros needs few multiplications. Is it as much faster? Three ways:
# *dense*, zeros and all; *scattered*, only what is not zero, with its places (SciPy's CSR, a plain compiled loop);
# *in blocks*, as many numbers, but gathered in dense blocks along the diagonal. One core each. What is kept: one number
# in g.

# %%
N, COLUMNS = (600, 200) if QUICK else (1200, 400)
KEPT = (1, 2, 4, 10, 20, 50, 100)


def seconds(product):
    """Of the processor, so that a busy machine does not count; the best of five."""
    product()
    times = []
    for _ in range(5):
        began = time.thread_time()
        product()
        times.append(time.thread_time() - began)
    return min(times)


def thinned(g):
    """A matrix with one number in g, scattered, and one in g blocks (g, N / g, N / g)."""
    full = rng.standard_normal((N, N), np.float32)
    return sparse.csr_array(full * (rng.random((N, N)) < 1 / g)), full[: N // g].reshape(g, N // g, N // g)


# %%
x = rng.standard_normal((N, COLUMNS), np.float32)
gain = {"scattered": [], "in blocks": []}
with threadpool_limits(1):
    for g in KEPT:
        scattered, blocks = thinned(g)
        dense, parts = scattered.toarray(), x.reshape(g, N // g, COLUMNS)
        np.testing.assert_allclose(scattered @ x, dense @ x, rtol=1e-3, atol=1e-3)
        base = seconds(lambda dense=dense: dense @ x)
        gain["scattered"].append(base / seconds(lambda scattered=scattered: scattered @ x))
        gain["in blocks"].append(base / seconds(lambda blocks=blocks, parts=parts: blocks @ parts))
        print(f"{1 - 1 / g:4.0%} zeros, {g:3} times fewer products: "
              f"{', '.join(f'{name} {values[-1]:5.1f}' for name, values in gain.items())} times as fast as dense")
assert gain["scattered"][KEPT.index(10)] < 10
assert gain["scattered"][KEPT.index(100)] < 100
assert gain["in blocks"][KEPT.index(10)] > gain["scattered"][KEPT.index(10)]

# %%
figure = Figure(figsize=(6.8, 3.4), layout="constrained")
axes = figure.subplots()
axes.loglog(KEPT, KEPT, ":", color="0.5", label="products saved")
for (name, values), colour, mark in zip(gain.items(), (ORANGE, BLUE), "os", strict=True):
    axes.loglog(KEPT, values, mark + "-", color=colour, label=name)
axes.axhline(1, color="0.7", linewidth=1)
axes.set(title="One number in g is not zero", xlabel="g", ylabel="times as fast as the dense product",
         xticks=KEPT, xticklabels=KEPT, yticks=(0.1, 1, 10, 100), yticklabels=("0.1", "1", "10", "100"))
axes.minorticks_off()
axes.legend(frameon=False)
show(figure, "Logarithmic axes. Products saved: a diagonal. In blocks: along it, and below it at the end. "
     "Scattered: parallel to it, several times lower, and below 1 until some nine tenths are zeros.")

# %% [markdown]
# With nine zeros in ten the scattered product is about as fast as multiplying all of them. The same number of products
# *in blocks* comes near to the gain that it should have, until the blocks get small. What scattered ones lose: each
# number brings its place along, reads a row of x from wherever it is, and uses it once; a dense product fetches a
# tile and uses each number of it many times. (A library tuned for sparse matrices does better than SciPy's loop. The
# paper's point is that dense ones are tuned too.)
#
# ## There and back
#
# S14. LeNet-5 (LeCun et al. 1998) connects 16 maps to 6 by a table: each contiguous three, each contiguous four, three
# other fours, and once all of them. By the text it was AlexNet that went back to full connections. That is true
# of conv3; conv2, conv4 and conv5 leave half of them out (its §3.2), in *blocks*, one for each GPU:

# %%
lenet = np.zeros((16, 6), bool)
for o in range(6):
    lenet[o, [(o + k) % 6 for k in range(3)]] = True
    lenet[6 + o, [(o + k) % 6 for k in range(4)]] = True
for o, maps in enumerate(((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5))):
    lenet[12 + o, list(maps)] = True
lenet[15] = True
print(f"LeNet-5's C3: {lenet.sum()} of {lenet.size} connections, {lenet.sum() * 25 + 16:,} parameters")
assert lenet.sum() == 60
tables = {"LeNet-5, C3": lenet}
for name in ("conv2", "conv3"):
    layer = nets["AlexNet"][name]
    part = np.ones((layer.out_channels // layer.groups, layer.in_channels // layer.groups), bool)
    tables[f"AlexNet, {name}"] = linalg.block_diag(*[part] * layer.groups).astype(bool)
    print(f"AlexNet's {name}: {tables[f'AlexNet, {name}'].mean():.0%} of its connections")
assert all(layer.groups == 1 for layer in nets["GoogLeNet"].walk() if isinstance(layer, Conv2D))

# %%
figure = Figure(figsize=(8.0, 2.9), layout="constrained")
for axes, (name, table) in zip(figure.subplots(1, 3), tables.items(), strict=True):
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1.3, aspect="auto", interpolation="nearest")
    axes.set(title=f"{name}: {table.mean():.1%}", xlabel="map in", ylabel="map out")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
show(figure, "Three tables of connections, blue where there is one. LeNet: a pattern of diagonal stripes, the last row "
     "full. AlexNet's conv2: two blocks on the diagonal. conv3: all blue.")

# %% [markdown]
# ### A block is a masked matrix
#
# Let M be such a table, 1 where there is a connection. A layer with the weights $M \circ W$ (element by element) is a
# dense layer with zeros. If M has blocks, the groups of `Conv2D` compute the same, at a share of the cost. In the
# library groups are one more axis of the matrix product:

# %%
print(inspect.getsource(conv2d_forward))
x = rng.standard_normal((2, 8, 6, 5))
grouped, dense = Conv2D(8, 6, 3, pad=1, groups=2), Conv2D(8, 6, 3, pad=1)
mask = linalg.block_diag(np.ones((3, 4)), np.ones((3, 4)))[:, :, None, None]
for layer in (grouped, dense):
    layer.astype(np.float64)
kept = np.concatenate([np.pad(grouped.weight.numpy()[:3], ((0, 0), (0, 4), (0, 0), (0, 0))),
                       np.pad(grouped.weight.numpy()[3:], ((0, 0), (4, 0), (0, 0), (0, 0)))])
dense.weight.assign(kept)
np.testing.assert_array_equal(kept, mask * kept)
np.testing.assert_allclose(grouped.forward(x), dense.forward(x), rtol=1e-10, atol=1e-12)
share = grouped.cost((8, 6, 5)).macs / dense.cost((8, 6, 5)).macs
print(f"the same output, for {share:.0%} of the multiply-adds")
assert share == mask.mean() == 0.5

# %% [markdown]
# **The gradient.** With $y_o = \sum_c M_{oc} W_{oc}\, x_c$ (a sum over the kernel's places too, which we leave out),
#
# $$\frac{\partial L}{\partial W_{oc}} = \frac{\partial L}{\partial y_o} \frac{\partial y_o}{\partial W_{oc}}
#   = M_{oc} \left( \frac{\partial L}{\partial y_o}\, x_c \right), \qquad
#   \frac{\partial L}{\partial x_c} = \sum_o M_{oc} W_{oc} \frac{\partial L}{\partial y_o}.$$
#
# The bracket is the gradient of the dense layer. So the gradient of a masked layer is the dense one under the *same
# mask*. The other way round: the dense layer's own gradient is not zero where its weights are.

# %%
dy = rng.standard_normal((2, 6, 6, 5))
np.testing.assert_allclose(grouped.backward(dy), dense.backward(dy), rtol=1e-10, atol=1e-12)
of_groups = np.concatenate([np.pad(grouped.weight.grad[:3], ((0, 0), (0, 4), (0, 0), (0, 0))),
                            np.pad(grouped.weight.grad[3:], ((0, 0), (4, 0), (0, 0), (0, 0)))])
np.testing.assert_allclose(of_groups, mask * dense.weight.grad, rtol=1e-10, atol=1e-12)
assert np.all(dense.weight.grad[np.broadcast_to(mask == 0, kept.shape)] != 0)
report = gradcheck.check(Conv2D(8, 6, 3, pad=1, groups=2, weight=Gaussian(1.0)), x)
print(f"{len(report.points)} comparisons, worst relative error {report.worst.error:.1e}")
assert report.ok, report

# %% [markdown]
# ## As Inception
#
# S15. Suppose that correlated units lie mostly in one place of the image, some spread over 3 × 3, few over 5 × 5. A
# sparse layer for that has kernels of 5 × 5 of which some units keep the middle tap alone, some nine taps, some all. As
# *one* convolution it is full of holes; sorted by size it is three dense ones, side by side. Both are the same layer:

# %%
parts = {k: Conv2D(6, o, k, pad=k // 2) for k, o in ((1, 4), (3, 5), (5, 3))}
whole = Conv2D(6, 12, 5, pad=2)
for layer in (*parts.values(), whole):
    layer.astype(np.float64)
x = rng.standard_normal((2, 6, 9, 8))
whole.weight.assign(np.concatenate([
    np.pad(layer.weight.numpy(), ((0, 0), (0, 0), ((5 - k) // 2,) * 2, ((5 - k) // 2,) * 2))
    for k, layer in parts.items()]))
side_by_side = np.concatenate([layer.forward(x) for layer in parts.values()], axis=1)
np.testing.assert_allclose(whole.forward(x), side_by_side, rtol=1e-10, atol=1e-12)
print(f"{np.mean(whole.weight.numpy() != 0):.0%} of the taps of the 5 × 5 are not zero")

# %% [markdown]
# For the first module, 3a, from 192 maps to 64, 128 and 32, the mask and what it saves; and what the
# reductions save on top. (By the guess most units should need one tap only. Of 3a's 224 it is 64.)

# %%
_, one, _, three, _, five, _ = MODULES["3a"]
taps = np.zeros((one + three + five, 5, 5), bool)
taps[:one, 2:3, 2:3] = taps[one : one + three, 1:4, 1:4] = taps[one + three :] = True
shape = (192, 28, 28)
work = {"one 5 × 5, dense": Conv2D(192, len(taps), 5, pad=2).cost(shape).macs / 1e6,
        "three sizes": models.naive_inception(192, one, three, five).cost(shape).macs / 1e6,
        "with reductions": models.inception(*MODULES["3a"]).cost(shape).macs / 1e6}
figure = Figure(figsize=(8.4, 2.9), layout="constrained")
left, right = figure.subplots(1, 2)
left.imshow(taps.reshape(-1, 25).T, cmap="Blues", vmin=0, vmax=1.3, aspect="auto", interpolation="nearest")
left.set(title=f"3a as one 5 × 5: {taps.mean():.0%} of the taps", xlabel="map out", ylabel="tap of the 5 × 5")
bars = right.barh(list(work), list(work.values()), color=[ORANGE, GREEN, BLUE])
right.bar_label(bars, fmt="%.0f", padding=3)
right.set(title="Multiply-adds of 3a", xlabel="millions", xlim=(0, 980))
right.invert_yaxis()
show(figure, "Left: of 25 taps 64 maps have the middle one, 128 have nine, 32 all. Right: three bars, 843 million for "
     "a dense 5 by 5, 303 for three sizes, 128 with reductions.")
assert np.isclose(work["three sizes"] / work["one 5 × 5, dense"], taps.mean())

# %% [markdown]
# So much follows from the guess. But a guess it is: no correlations were computed for it and nothing was clustered. The
# authors say so themselves: that the net is good does not yet show that the principle is why, and they would be
# convinced by a program that finds such structures by itself, for other tasks too.
#
# ## Exercises
#
# ### 1. Within the budget
#
# Two 3 × 3 convolutions, one after the other, on maps of 28 × 28: from C maps to C, and to C again. What is the largest
# C for which both together stay within 1.5 billion multiply-adds? And with twice that budget?

# %% tags=["exercise"]
largest, with_twice = None, None

# %% tags=["check"]
def chain(c):
    return 2 * Conv2D(c, c, 3, pad=1).cost((c, 28, 28)).macs


if largest is None or with_twice is None:
    print("Exercise 1: not answered yet.")
else:
    for answer, budget in ((largest, 1.5e9), (with_twice, 3e9)):
        assert chain(answer) <= budget < chain(answer + 1), f"exercise 1: not with {budget:.1e}"
    print(f"Exercise 1: right; twice the budget is {with_twice / largest:.2f} times the width.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# $2 \cdot 9 \cdot 28^2 \cdot C^2$: a square, so that twice the budget buys $\sqrt 2$ times the width.
#
# ```python
# largest, with_twice = (int((budget / (2 * 9 * 28**2)) ** 0.5) for budget in (1.5e9, 3e9))
# ```
#
# </details>

# %% [markdown]
# ### 2. Only the blocks
#
# Multiply a block-diagonal matrix by x without ever making its zeros: `blocks` is (g, a, b), x is (g · b, p), and the
# result (g · a, p).

# %% tags=["exercise"]
def blocks_times(blocks, x):
    return None


# %% tags=["check"]
blocks, x = rng.standard_normal((3, 4, 5)), rng.standard_normal((15, 7))
answer = blocks_times(blocks, x)
if answer is None:
    print("Exercise 2: not answered yet.")
else:
    np.testing.assert_allclose(answer, linalg.block_diag(*blocks) @ x, rtol=1e-10, atol=1e-12)
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each block meets its own rows of x. It is how npnet's NumPy kernels compute groups.
#
# ```python
# def blocks_times(blocks, x):
#     g, a, b = blocks.shape
#     return (blocks @ x.reshape(g, b, -1)).reshape(g * a, -1)
# ```
#
# </details>

# %% [markdown]
# ### 3. A masked layer
#
# Write `backward` of a fully connected layer under a mask. It writes `self.weight.grad` and returns ∂L/∂x.

# %% tags=["exercise"]
class Masked:
    def __init__(self, mask):
        self.mask, self.weight = mask, Parameter("weight", mask.shape, Gaussian(1.0))

    def parameters(self):
        return [self.weight]

    def forward(self, x, train=True):
        self.x = x
        return x @ (self.mask * self.weight.value).T

    def backward(self, dy):
        return None


# %% tags=["check"]
layer, sample_x = Masked(lenet.astype(np.float64)), rng.standard_normal((5, 6))
layer.weight.astype(np.float64)
if layer.backward(layer.forward(sample_x)) is None:
    print("Exercise 3: not answered yet.")
else:
    report = gradcheck.check(layer, sample_x)
    assert report.ok, report
    print(f"Exercise 3: right, worst relative error {report.worst.error:.1e}.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Masked:
#     def __init__(self, mask):
#         self.mask, self.weight = mask, Parameter("weight", mask.shape, Gaussian(1.0))
#
#     def parameters(self):
#         return [self.weight]
#
#     def forward(self, x, train=True):
#         self.x = x
#         return x @ (self.mask * self.weight.value).T
#
#     def backward(self, dy):
#         self.weight.grad[...] = self.mask * (dy.T @ self.x)
#         return dy @ (self.mask * self.weight.value)
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# In the paper itself: "12 times fewer parameters" (8.7). In summaries:
#
# - **"GoogLeNet is cheaper than AlexNet."** It has fewer parameters. It does 2.2 times the work.
# - **"1.5 billion FLOPs."** Multiply-adds; operations counted singly are twice as many.
# - **"Inception is a sparse net."** All its parts are dense. It is sparse as a pattern: a 5 × 5 with most taps left
#   out.
# - **"Arora et al. prove it."** They prove that a random sparse net can be found again from data that it made.
# - **"Cost is quadratic in width."** Where *both* sides are made wider. One layer alone costs in proportion.
# - **LeNet's tables as random.** The text speaks of random and sparse tables; LeNet-5's own was laid out by hand.
#
# And in programs:
#
# - **Savings counted in products.** A mask over a dense layer saves none; scattered zeros save less than they seem to.
# - **A mask on the weights, once.** The gradient does not know of it, and after one step the zeros are gone:

# %%
dense.weight.assign(kept)
dense.forward(rng.standard_normal((2, 8, 6, 5)))
dense.backward(dy)
SGD(dense.parameters(), rate=0.01, momentum=0.9, weight_decay=0.0).step()
zeros = {"before": np.mean(kept == 0), "after": np.mean(dense.weight.numpy() == 0)}
print({when: f"{share:.0%} zeros" for when, share in zeros.items()})
assert zeros == {"before": 0.5, "after": 0.0}

# %% [markdown]
# - **A mask on the gradient, but not on the velocity.** What momentum had gathered before goes on moving the weight for
#   some twenty steps (notebook 9).
