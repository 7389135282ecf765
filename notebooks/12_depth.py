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
# # 12. Depth: what a layer in the middle is for
#
# **AlexNet §7** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. One minute on a laptop, without a
# GPU and without a network.
#
# > **초록.** AlexNet 7절은 한 쪽도 되지 않는 맺음말이지만, 가운데 합성곱 층(convolutional layer)을 하나만 빼도 상위 1
# > 오류(top-1 error)가 약 2 %포인트 나빠진다는, 논문에서 가장 널리 인용되는 주장 가운데 하나가 들어 있다. 이 노트북은
# > 층을 하나씩 뺄 때 매개변수(parameter)와 계산량과 수용 영역(receptive field)이 얼마나 달라지는지를 세고, 빠지는
# > 매개변수가 전체의 1 % 안팎임을 확인한다. 수용 영역의 식을 유도해 기울기(gradient)로 검사하고, 층을 쌓으면 조각의
# > 수가 지수로 늘어난다는 것을 손으로 만든 망에서 세어 보며, 같은 까닭으로 기울기도 폭발하거나 사라진다는 것을
# > 유도한다. 이어서 작은 망에서 가운데 층의 수만 바꾸어 학습시키고, 깊이(depth)와 크기를 구별하기 위해 매개변수가
# > 비슷한 넓은 망을 곁에 둔다. 비지도 사전 학습(unsupervised pre-training)을 쓰지 않았다는 말의 뜻도 살핀다. 끝으로
# > 요약 글에서 자주 틀리는 대목을 짚는다.
#
# You will have: what each convolution of AlexNet adds, counted; receptive fields derived, drawn and found by gradients;
# a net of a few units whose pieces double with each layer; and a race of nets that differ in their middle layers alone.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | A large, deep convolutional net sets records by supervised learning alone. | *Without pre-training* |
# | S2 | Without one of its convolutions it is worse: a middle one costs 2 points. | *One layer less*, *A race* |
# | S3 | So depth matters. | *What depth gives* |
# | S4 | Unsupervised pre-training was left out; it is expected to help larger nets. | *Without pre-training* |
# | S5 | Larger nets, trained longer, were better each time; far from the brain's. | *Without pre-training* |
# | S6 | Next: video, where time tells what a still image does not. | |

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import npnet
from npnet import data, evaluate, models, train
from npnet.layers import AvgPool2D, Conv2D, Dense, Gaussian, MaxPool2D, ReLU, Sequential, SoftmaxCrossEntropy
from npnet.models import summary
from npnet.notebook import BLUE, GREEN, ORANGE, Live, begin, show, sized, slide

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## One layer less
#
# S2. What does AlexNet lose with conv3, conv4 or conv5? Its parameters and multiply-adds, layer by layer:

# %%
net = models.alexnet(1000)
rows = {row.name: row for row in summary.rows(net, (3, 224, 224)) if row.cost.parameters}
whole = sum(row.cost.parameters for row in rows.values())
work = sum(row.cost.macs for row in rows.values())
for name, row in rows.items():
    print(f"{name:6}{row.cost.parameters:12,} parameters {row.cost.parameters / whole:6.2%}"
          f"{row.cost.macs:14,} multiply-adds {row.cost.macs / work:5.1%}")
assert whole == 60_965_224
assert work == 724_406_816
middle = [rows[f"conv{i}"].cost.parameters / whole for i in (3, 4, 5)]
assert [round(100 * share, 2) for share in middle] == [1.45, 1.09, 0.73]

# %%
figure = Figure(figsize=(6.6, 3.0), layout="constrained")
axes = figure.subplots()
places = np.arange(len(rows))
for shift, colour, key, total in ((-0.2, BLUE, "parameters", whole), (0.2, ORANGE, "macs", work)):
    shares = [100 * getattr(row.cost, key) / total for row in rows.values()]
    axes.bar(places + shift, shares, 0.4, color=colour, label={"macs": "multiply-adds"}.get(key, key))
axes.set(title="What each of AlexNet's layers has", xticks=places, xticklabels=list(rows), ylabel="% of the net")
axes.legend(frameon=False)
show(figure, "Bars for eight layers: parameters are nearly all in fc6 and fc7, multiply-adds in conv1 to conv5; "
     "conv3 to conv5 have about one per cent of the parameters each.")

# %% [markdown]
# So a middle layer holds a hundredth of the parameters, and a fifth to a tenth of the work. "Each at most 1 %", says
# the paper; conv3 and conv4 have more (1.45 and 1.09). That so small a part should cost two points is what makes the
# observation worth a paragraph. (The logs of 2012 that are public have other ablations, but not this one.)
#
# What else goes with it? How much of the image a unit can see.
#
# ## Receptive fields
#
# A unit of layer l sees a square of $r_l$ pixels, and its neighbour sees one that is moved by $j_l$. A window of k, of
# stride s, on the layer before covers k such squares, each moved by $j_{l-1}$:
#
# $$r_l = r_{l-1} + (k_l - 1) \, j_{l-1}, \qquad j_l = s_l \, j_{l-1}, \qquad r_0 = j_0 = 1.$$

# %%
def fields(net):
    """(name, r, j) of each layer with a window."""
    r, j, rows = 1, 1, []
    for name, layer in zip(net.names, net.layers, strict=True):
        if isinstance(layer, Conv2D | MaxPool2D):
            k = layer.kernel if isinstance(layer, Conv2D) else layer.size
            r, j = r + (k - 1) * j, j * layer.stride
            rows.append((name, r, j))
    return rows


for name, r, j in fields(net):
    print(f"{name:6} sees {r:3} × {r:3} pixels, its neighbour {j:2} further on")
assert [r for _, r, _ in fields(net)] == [11, 19, 51, 67, 99, 131, 163, 195]

# %% [markdown]
# Is that so? Ask the gradient: put 1 at one unit in the middle and see which pixels it comes back to. Of each layer
# only its window matters here; an average has the same window, and passes its gradient to all of it.

# %%
def seen_by(kinds):
    """Pixels that reach the middle unit of a stack of (kernel, stride), each an average of one map."""
    stack = [AvgPool2D(k, s) for k, s in kinds]
    layers = Sequential(*stack)
    y = layers.forward(np.ones((1, 1, 291, 291)))
    dy = np.zeros_like(y)
    dy[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1
    rows = np.flatnonzero(layers.backward(dy)[0, 0].any(axis=1))
    return rows[-1] - rows[0] + 1


alexnets = ((11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2))
for n, (name, r, _) in enumerate(fields(net), 1):
    counted = seen_by(alexnets[:n])
    print(f"{name:6} formula {r:3}, by the gradient {counted:3}")
    assert counted == r

# %% [markdown]
# The square of each layer on a picture of 224:

# %%
picture = data.shapes.load("test", 6, size=224).image(5)


def squares(layer=7):
    figure = Figure(figsize=(3.6, 3.9), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.transpose(picture, (1, 2, 0)))
    for n, (name, r, _) in enumerate(fields(net), 1):
        edge = (224 - r) / 2
        chosen = n == int(layer)
        axes.add_patch(Rectangle((edge, edge), r, r, fill=False, edgecolor=ORANGE if chosen else "white",
                                 linewidth=2.5 if chosen else 0.8))
        if chosen:
            axes.set_title(f"{name}: {r} × {r} of 224 × 224 pixels")
    axes.set(xlim=(-0.5, 223.5), ylim=(223.5, -0.5), xticks=[], yticks=[])
    return figure


# %%
slide(squares, "A drawn picture with eight nested squares, from 11 to 195 pixels wide; that of conv5, 163, is thick.",
      layer=(7, 1, 8, 1))

# %% [markdown]
# Each of conv3 to conv5 adds 32 pixels to the width. Without one of them the last convolution sees 131 pixels in place
# of 163, 58 % of the picture's width in place of 73 %. The loss of S2 is a loss of *three* things at once: parameters,
# sight, and a nonlinearity in the way. The paper does not take them apart.
#
# ## What depth gives
#
# S3 in its purest form. Take one number between 0 and 1, and a layer of two ReLUs that folds it:
#
# $$t(x) = 2 \, r(x) - 4 \, r(x - \tfrac12).$$
#
# Up to ½ it rises to 1, then it falls back to 0. What a second layer does with that, it does twice, once on the way up
# and once on the way down. L layers have $2L$ units and make $2^L$ straight pieces. One hidden layer of n ReLUs, of
# whatever weights, has at most $n + 1$ pieces, since each unit bends the line at one place. To match ten folded layers,
# 20 units, it needs 1,023.

# %%
def folded(depth):
    layers = {}
    for i in range(int(depth)):
        layers |= {f"in{i}": Dense(1, 2), f"relu{i}": ReLU(), f"out{i}": Dense(2, 1)}
    net = Sequential(**layers)
    net.initialise(0)
    values = {"in.weight": [[1], [1]], "in.bias": [0, -0.5], "out.weight": [[2, -4]], "out.bias": [0]}
    for p in net.parameters():
        layer, kind = p.name.split(".")
        p.assign(np.array(values[f"{layer.rstrip('0123456789')}.{kind}"], np.float32))
    return net


# %%
def fold(depth=4):
    x = np.linspace(0, 1, 4097)
    figure = Figure(figsize=(6.6, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(x, folded(depth).forward(x.reshape(-1, 1).astype(np.float32)).ravel(), color=BLUE)
    axes.set(title=f"{int(depth)} layers of two ReLUs: {2 ** int(depth)} pieces", xlabel="what goes in",
             ylabel="what comes out")
    return figure


slide(fold, "A zigzag between 0 and 1 of sixteen straight pieces; their number doubles with each layer.",
      depth=(4, 1, 8, 1))

# %%
def pieces(y):
    slopes = np.diff(y)
    return 1 + np.count_nonzero(np.sign(slopes[1:]) != np.sign(slopes[:-1]))


x = np.linspace(0, 1, 4097, dtype=np.float32).reshape(-1, 1)
for depth in (1, 2, 4, 8):
    print(f"{depth} layers, {2 * depth:2} units: {pieces(folded(depth).forward(x).ravel()):3} pieces")
    assert pieces(folded(depth).forward(x).ravel()) == 2**depth
bends, sizes = np.arange(1, 17) / 17, np.array([1] + [-2, 2] * 7 + [-2])
wide = (np.maximum(x - bends, 0) * sizes).sum(axis=1)  # up, down, up, down
print(f"1 layer,  16 units: {pieces(wide):3} pieces at best")
assert pieces(wide) == 17

# %% [markdown]
# That nets *can* fold does not say that they learn to. But the way back has the same structure, and that is felt in
# every training. By the chain rule the gradient of L layers is a product of L slopes,
#
# $$\frac{dy}{dx} = \prod_{l=1}^{L} t'(x_l) = \pm 2^L,$$
#
# and what doubles the pieces doubles the gradient. With slopes of ½ it would halve. Depth has to be paid for with care
# at the start (notebook 9), and for GoogLeNet's 22 layers with classifiers on the way (notebook 15).

# %%
for depth in (1, 4, 8):
    net_of = folded(depth)
    at = np.array([[0.3]], np.float32)
    net_of.forward(at)
    slope = net_of.backward(np.ones((1, 1), np.float32)).item()
    print(f"{depth} layers: gradient {slope:+.0f}")
    assert abs(slope) == 2.0**depth

# %% [markdown]
# ## A race
#
# S2 on a small scale. A first convolution, some 3 × 3 convolutions *in the middle*, of the same width, and a
# classifier; 0 to 3 of them, and one net with a single middle layer three times as wide, which has as many weights in
# its middle as three, and no more depth than one. Two seeds each, images of the built-in set, 24 × 24 pixels.

# %%
COUNT, EPOCHS, SEEDS = sized((500, 1, (0,)), (10_000, 6, (0, 1)), (50_000, 12, range(5)))
images = data.shapes.load("train", COUNT, size=24)
others = data.shapes.load("test", sized(200, 2000, 10_000), size=24)
mean = images.mean_image()


def stack(middle, width=24, seed=0):
    layers = {"conv1": Conv2D(3, 24, 5, stride=2, pad=2, weight=Gaussian(0.01)), "relu1": ReLU(),
              "pool1": MaxPool2D(3, 2)}
    last = 24
    for i in range(2, middle + 2):
        layers[f"conv{i}"] = Conv2D(last, width, 3, pad=1, weight=Gaussian((2 / (9 * last)) ** 0.5))
        layers[f"relu{i}"], last = ReLU(), width
    layers |= {"pool5": MaxPool2D(3, 2), "fc": Dense(9 * last, 10, weight=Gaussian(0.01))}
    net = Sequential(**layers)
    net.initialise(seed)
    return net


# %%
def trained(name, middle, width, seed, curve):
    net, loss = stack(middle, width, seed), SoftmaxCrossEntropy()
    sgd, still = train.SGD(net.parameters(), 0.0003, 0.9, 0.0005), data.Loader(others, 200, mean=mean, train=False)
    for epoch in range(EPOCHS):
        wrong = 0
        for x, labels in data.Loader(images, 50, mean=mean, seed=seed).epoch(epoch):
            loss.forward(net.forward(x), labels)
            net.backward_parameters(loss.backward())
            sgd.step()
            wrong += loss.errors
        if seed == 0:
            curve.add(name, epoch + 1, wrong / COUNT)
    return wrong / COUNT, evaluate.error_rate(net, still).top1


# %%
npnet.use("numba")
NETS = {"none": (0, 24), "one": (1, 24), "two": (2, 24), "three": (3, 24), "one, three times as wide": (1, 72)}
curve = Live(f"Layers in the middle, {COUNT:,} drawn images", "epochs", "error on images learnt from (fraction)")
errors = {name: np.array([trained(name, *net, seed, curve) for seed in SEEDS]) for name, net in NETS.items()}
curve.close("Error on the images learnt from, against epochs, of five nets with none to three layers in the middle.")
for name, measured in errors.items():
    size = sum(p.value.size for p in stack(*NETS[name]).parameters())
    learnt, other = measured.mean(axis=0)
    print(f"{name:25} {size:7,} parameters, learnt from {learnt:.1%}, others {other:.1%} "
          f"({', '.join(f'{error:.1%}' for error in measured[:, 1])})")

# %%
figure = Figure(figsize=(6.6, 2.9), layout="constrained")
axes = figure.subplots()
for place, (name, measured) in enumerate(errors.items()):
    axes.plot(np.full(len(SEEDS), place), measured[:, 1], "o", color=GREEN if "wide" in name else BLUE)
axes.set(title="Error on other images, a dot for each seed", xticks=range(len(errors)),
         xticklabels=[name.replace(", ", ",\n") for name in errors], xlabel="layers in the middle",
         ylabel="error (fraction)", ylim=(0, 1))
show(figure, "Dots, one for each seed of each of five nets: the error on other images, highest with no middle layer.")
if not QUICK:
    assert errors["one"][:, 1].max() < errors["none"][:, 1].min() - 0.05
low, high = evaluate.ErrorRate(float(errors["three"][0, 1]), 0.0, len(others)).interval
print(f"an error of {errors['three'][0, 1]:.1%} of {len(others):,} images is sure to {low:.1%} … {high:.1%} (95 %)")

# %% [markdown]
# The first layer in the middle takes some fifteen points off. Beyond it depth shows *nothing*: one, two and three lie
# within two seeds of the same net, and if any is better it is the wide one. The race is six epochs of 10,000 drawn
# figures, at one rate for all, and the paper's nets learnt for 90 epochs of 1.2 million photos, which leave room to
# use another layer.
#
# At full size (`NPNET_FULL=1`: 50,000 figures, 12 epochs, five seeds; eight and a half minutes on two cores) it shows
# more. Errors on others, their means, and from the least to the most of five seeds:
#
# | in the middle | parameters | error |
# |---|---|---|
# | none | 3,994 | 59.1 % (56.7 to 64.0) |
# | one | 9,202 | 23.5 % (21.3 to 24.5) |
# | one, three times as wide | 23,938 | 21.4 % (20.0 to 23.9) |
# | two | 14,410 | 17.1 % (16.0 to 19.5) |
# | three | 19,618 | 16.8 % (15.8 to 17.6) |
#
# Two layers, one behind the other, beat the single one with two thirds more weights, on every seed: here it is depth,
# not size. The third adds nothing that five seeds would show. So a short race finds no effect of depth where a longer
# one does.
#
# ## Without pre-training
#
# S1 and S4 were news in 2012. Nets of several layers were then begun, more often than not, by training each layer on
# images *without labels*, to reproduce them; this one started from random numbers and labels alone. (Notebook 9: how.)
#
# The paper does pre-train elsewhere, and it is another thing: "1 CNN*" of its Table 2 was first trained on all of
# ImageNet's autumn 2011 release, 15 million images of 22,000 classes, *with labels*, then on the 1,000 classes. With
# that and a sixth convolution it gained 1.7 points (40.7 to 39.0). S4's expectation was overtaken by more labels, and
# by better starts.

# %%
gained = 40.7 - 39.0  # Table 2, top-1 on the validation set of 2012
assert round(gained, 1) == 1.7
print(inspect.getsource(models.alexnet).split('"""')[1].strip().splitlines()[0])
print({name: sum(p.value.size for p in models.alexnet(1000, name).parameters()) for name in ("paper", "six")})

# %% [markdown]
# `six` is that net, with a sixth convolution behind the last pooling.
#
# ## Exercises
#
# ### 1. Your own receptive field
#
# Write the formula as a function of a list of (kernel, stride).

# %% tags=["exercise"]
def field(kinds):
    return None


# %% tags=["check"]
if field([(3, 1)]) is None:
    print("Exercise 1: not answered yet.")
else:
    for kinds in ([(3, 1)], [(3, 1), (3, 1), (3, 1)], [(7, 2), (3, 2), (3, 1)], [(2, 2), (5, 1), (3, 3)]):
        assert field(kinds) == seen_by(kinds), f"exercise 1: not that of {kinds}"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def field(kinds):
#     r, j = 1, 1
#     for k, s in kinds:
#         r, j = r + (k - 1) * j, j * s
#     return r
# ```
#
# </details>

# %% [markdown]
# ### 2. Three small ones for a large one
#
# Three 3 × 3 convolutions behind each other see as far as one of k × k. What is k, and which share of its weights do
# they have, all with c channels in and out?

# %% tags=["exercise"]
k, share = None, None

# %% tags=["check"]
if k is None or share is None:
    print("Exercise 2: not answered yet.")
else:
    assert k == seen_by([(3, 1)] * 3), "exercise 2: k"
    assert np.isclose(share, 3 * Conv2D(8, 8, 3).weight.value.size / Conv2D(8, 8, k).weight.value.size), "exercise 2"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# k, share = 7, 27 / 49
# ```
#
# </details>

# %% [markdown]
# ### 3. A gradient of one
#
# The folding layers have slopes of ±2, and eight of them make a gradient of 256. Which slope a of the fold,
# $a \, r(x) - 2a \, r(x - \frac12)$, keeps it at ±1, and how many pieces do eight layers then have, of inputs
# between 0 and 1?

# %% tags=["exercise"]
a, count = None, None

# %% tags=["check"]
if a is None or count is None:
    print("Exercise 3: not answered yet.")
else:
    y = np.linspace(0, 1, 4097)
    for _ in range(8):
        y = a * np.maximum(y, 0) - 2 * a * np.maximum(y - 0.5, 0)
    assert a == 1, "exercise 3: a"
    assert count == pieces(y), "exercise 3: fold once, and see how large the result can be"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# With $a = 1$ the fold ends at ½: the second layer is given nothing beyond its bend, and folds no more.
#
# ```python
# a, count = 1, 2
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **"Removing a layer costs 2 %" of anything.** Of top-1, about two *points*, for one of the middle convolutional
#   layers; of fully connected layers the section says nothing.
# - **"Depth alone."** The layer takes parameters and sight with it; the paper did not hold them fixed.
# - **"AlexNet was pre-trained."** The net of 37.5 % and 40.7 % was not. Two nets of the best ensemble were, with
#   labels.
# - **"Neural nets need unsupervised pre-training"**, or its opposite, from this section: it says that it was not needed
#   here, and that it was expected to help.
#
# And in programs:
#
# - **A receptive field without strides**: adding up $k - 1$. Windows behind a pooling reach twice as far.
# - **A receptive field is not what a unit uses.** Most of the gradient falls in the middle of the square.
# - **An ablation with one seed.** Two points of a small net are within the noise of its seeds: see the dots.
