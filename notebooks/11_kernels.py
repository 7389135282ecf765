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
# # 11. What has it learnt? Kernels, neighbours and short codes
#
# **AlexNet §6.1, Figures 3 and 4** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. One minute on
# a laptop, without a GPU and without a network.
#
# > **초록.** AlexNet 6.1절은 학습된 망이 무엇을 보는지를 눈으로 확인한다. 첫 층의 커널(kernel) 96개는 방향과 주파수를
# > 가려 보는 무늬와 색 얼룩이 되고, 두 GPU의 커널은 색을 거의 보지 않는 쪽과 색을 보는 쪽으로 갈린다. 이 노트북은 작은
# > 망을 직접 학습시켜 커널을 그려 보고, 커널이 곧 자신이 가장 크게 반응하는 그림임을 유도하며, 색을 얼마나 보지
# > 않는지를 수 하나로 잰다. 마지막 은닉층(hidden layer)에서 유클리드 거리(Euclidean distance)가 가장 가까운 학습
# > 이미지 여섯 장을 찾아, 픽셀(pixel)의 거리로 찾은 것과 견준다. 거리 계산을 행렬 곱으로 바꾸는 식과 그때 생기는 상쇄
# > 오차(cancellation)를 살펴보고, 논문이 한 문장으로 제안한 오토인코더(auto-encoder)의 짧은 이진 부호(binary code)를
# > 학습시켜 해밍 거리(Hamming distance)로 이웃을 얼마나 되찾는지 잰다. 끝으로 실제 사진으로 학습한 결과가 저장되어
# > 있으면 함께 보고, 요약 글에서 자주 틀리는 대목을 짚는다.
#
# You will have: a net of two columns trained in front of you, its kernels drawn and measured, five answers and six
# neighbours for pictures it has not seen, and an auto-encoder's codes that find those neighbours in a few bytes each.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | The first layer's kernels respond to orientations and frequencies; others are blobs of colour. | *Kernels* |
# | S2 | The two GPUs specialise, one in grey, one in colours, in every run. | *Grey or colour?* |
# | S3 | Five answers for each of eight images: most of them are sensible. | *Five answers* |
# | S4 | Images are alike to the net if their last hidden layers are near, in Euclid's distance. | *Neighbours* |
# | S5 | Such images are in general not near as pixels: animals in many poses are found together. | *Neighbours* |
# | S6 | Comparing 4,096 real numbers is slow; an auto-encoder could make short binary codes of them. | *Codes* |
# | S7 | That should beat codes made from pixels, which find like edges, not like meaning. | *Codes* |

# %%
import inspect
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import data, evaluate, gradcheck, plot, train
from npnet.evaluate.first_layer import grey_share, pictures
from npnet.evaluate.neighbours import features, nearest, nearest_by_hamming
from npnet.layers import Conv2D, Dense, Gaussian, MaxPool2D, ReLU, Sequential, SoftmaxCrossEntropy
from npnet.notebook import BLUE, ORANGE, Live, begin, show, sized, slide
from npnet.recipes.codes import Codes, Settings, autoencoder, experiment

QUICK = begin()
npnet.use("numba")

# %% [markdown]
# ## A net to look into
#
# Two columns in small: 32 kernels of 7 × 7 in the first layer, of which the second layer's two groups see 16 each, as
# in the paper; then a hidden layer of 64. It learns ten figures from npnet's built-in set, or CIFAR-10's ten classes
# where that is found.

# %%
found = data.cifar10.find()
COUNT, EPOCHS = sized((600, 2), (4000, 20), (10_000, 60))
SET = "CIFAR-10" if found else "shapes, the built-in set"
images = data.load(found or "shapes", "train", COUNT)
others = data.load(found or "shapes", "test", sized(200, 1000, 2000))
mean = images.mean_image()
still = {name: data.Loader(some, 200, mean=mean, train=False) for name, some in (("train", images), ("test", others))}
print(f"{SET}: {len(images):,} images to learn from, {len(others):,} others, classes {', '.join(images.classes)}")


def two_columns(seed=0):
    net = Sequential(
        conv1=Conv2D(3, 32, 7, stride=2, pad=3, weight=Gaussian(0.01)), relu1=ReLU(), pool1=MaxPool2D(3, 2),
        conv2=Conv2D(32, 48, 5, pad=2, groups=2, weight=Gaussian(0.03)), relu2=ReLU(), pool2=MaxPool2D(3, 2),
        fc3=Dense(768, 64, weight=Gaussian(0.05)), relu3=ReLU(), fc4=Dense(64, 10, weight=Gaussian(0.05)))
    net.initialise(seed)
    return net


# %%
net, loss = two_columns(), SoftmaxCrossEntropy()
first = net.parameters()[0]
before = first.numpy().copy()
sgd = train.SGD(net.parameters(), 0.001, 0.9, 0.0005)
curve = Live(f"Two columns on {SET}", "epochs", "error (fraction)")
for epoch in range(EPOCHS):
    wrong = 0
    for x, labels in data.Loader(images, 50, mean=mean).epoch(epoch):
        loss.forward(net.forward(x), labels)
        net.backward_parameters(loss.backward())
        sgd.step()
        wrong += loss.errors
    curve.add("images learnt from", epoch + 1, wrong / COUNT)
    curve.add("others", epoch + 1, evaluate.error_rate(net, still["test"]).top1)
curve.close("Errors against epochs: of the images learnt from, which falls further, and of others, which levels off.")
rate = evaluate.error_rate(net, still["test"])
print(f"not the right one of ten: {rate.top1:.1%}; not among the first five: {rate.top5:.1%}; chance 90% and 50%")
assert QUICK or rate.top1 < 0.7

# %% [markdown]
# ## Kernels
#
# S1. The weights of conv1, each kernel as a picture of its own, from its least number to its largest; 16 of each
# column. Before any training, and after.

# %%
after = first.numpy()
for name, w in (("before training", before), ("after training", after)):
    share = grey_share(w)
    parts = [w[:16], w[16:]]
    said = [f"column {i + 1}: {share[16 * i : 16 * i + 16].mean():.0%} grey" for i in (0, 1)]
    show(plot.kernels([pictures(part) for part in parts], said, f"The first layer {name}", []),
         f"32 kernels of 7 × 7 pixels in two rows, {name}: " + (
             "coloured noise." if name == "before training" else "among them edges, bars and spots of two colours."))

# %% [markdown]
# Why is it right to look at *weights* as if they were a picture? What a kernel w says of a patch x is
# $\sum_i w_i x_i = w \cdot x$. Of all patches of length 1, which one does it answer most loudly? By Cauchy and Schwarz
#
# $$w \cdot x \le \|w\| \, \|x\|, \qquad \text{equal if and only if } x = c \, w, \; c > 0.$$
#
# The patch that a kernel likes best is the kernel itself. Or by the gradient: $\partial (w \cdot x) / \partial x = w$,
# wherever we stand. The library's own backward pass says so; one unit of one map gets a gradient of 1, and what arrives
# at the image is the kernel.

# %%
npnet.use("numpy")
conv = Conv2D(3, 32, 7, stride=2, pad=3)
conv.initialise(0)
conv.parameters()[0].assign(after)
y = conv.forward(np.zeros((1, 3, 32, 32), np.float32))
dy = np.zeros_like(y)
dy[0, 5, 8, 8] = 1.0
dx = conv.backward(dy)
np.testing.assert_array_equal(dx[0, :, 13:20, 13:20], after[5])  # rows 2·8 − 3 … 2·8 + 3
assert np.count_nonzero(dx) == np.count_nonzero(after[5])
patches = np.random.default_rng(0).standard_normal((10_000, 147))
patches /= np.linalg.norm(patches, axis=1, keepdims=True)
w5 = after[5].ravel() / np.linalg.norm(after[5])
print(f"itself: {w5 @ w5:.2f}; the best of ten thousand others: {(patches @ w5).max():.2f}")
assert (patches @ w5).max() < 0.6

# %% [markdown]
# That is true of the *first* layer only: deeper ones do not see pixels.
#
# "Respond to certain orientations and frequencies" can be measured. Show a kernel a grating, $\cos(k \cdot r +
# \varphi)$, and let φ be the one it likes best: what it answers is the size of its Fourier transform at k. Turn the
# grating:

# %%
def response(w, angle, wavelength):
    """(O,): to a grey grating of the best phase, for kernels of length 1. angle : degrees; wavelength : pixels."""
    r = np.arange(7) - 3
    k = 2 * np.pi / wavelength * np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    wave = np.exp(1j * (k[0] * r[:, None] + k[1] * r))
    grey = w.mean(axis=1) - w.mean(axis=(1, 2, 3), keepdims=True)[:, 0]
    return np.abs((grey * wave).sum(axis=(1, 2))) / np.sqrt(np.square(w).sum(axis=(1, 2, 3)))


def turned(angle=30, wavelength=7.0):
    figure = Figure(figsize=(8.6, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 3.4))
    r, a = np.arange(32), np.radians(angle)
    phase = 2 * np.pi / wavelength * (np.sin(a) * r[:, None] + np.cos(a) * r)
    left.imshow(np.cos(phase), cmap="gray")
    left.set(title=f"{angle:g}°, {wavelength:g} pixels", xticks=[], yticks=[])
    right.bar(np.arange(32), response(after, angle, wavelength), color=[BLUE] * 16 + [ORANGE] * 16)
    right.set(title="How loudly each kernel answers", xlabel="kernel (blue: column 1, orange: column 2)",
              ylabel="per unit of length", ylim=(0, 4))
    return figure


# %%
slide(turned, "Left: a grating. Right: 32 bars, one for each kernel; a few are high, most are low, and which are high "
      "changes with the grating's angle.", angle=(30, 0, 180, 5), wavelength=(7.0, 3.0, 20.0, 0.5))

# %% [markdown]
# One number for it: over twelve angles and some wavelengths, how much of its answer a kernel gives at the best angle,
# against the mean of all angles. Random kernels have a best angle too, by chance; so compare with those that the
# training began with.

# %%
def selectivity(w):
    answers = np.array([[response(w, angle, wave) for angle in range(0, 180, 15)] for wave in (4, 5, 7, 10, 14)])
    best_wave = answers.max(axis=1).argmax(axis=0)
    chosen = answers[best_wave, :, np.arange(len(w))]
    return chosen.max(axis=1) / chosen.mean(axis=1), chosen.max(axis=1)


for name, w in (("before", before), ("after", after)):
    ratio, loud = selectivity(w)
    print(f"{name:7} best angle against the mean of all: {np.median(ratio):.2f} times; "
          f"loudness there {np.median(loud):.2f} (medians of 32)")
assert QUICK or np.median(selectivity(after)[1]) > 1.2 * np.median(selectivity(before)[1])

# %% [markdown]
# What training changes most is the *loudness*: before it, a kernel's energy is spread over all patterns; after it, more
# of it is in one. (Frequency and orientation in one number each; the eye sees more in the picture above.)
#
# ## Grey or colour?
#
# S2 says "largely", and gives no number. Here is one. Split a kernel into what is the same in red, green and blue, and
# the rest: $w_c = \bar w + (w_c - \bar w)$, with $\bar w = \frac13 \sum_c w_c$ at each pixel. The two parts are
# orthogonal, since $\sum_c (w_c - \bar w) = 0$, so the energies add up:
#
# $$\sum_{c} w_c^2 = 3 \, \bar w^2 + \sum_c (w_c - \bar w)^2.$$
#
# The first term's share of the sum is how colour-agnostic a kernel is: 1 for grey, 0 for one that a grey picture leaves
# cold. Three independent numbers of variance σ² have $\mathbb{E}\, 3 \bar w^2 = \sigma^2$ of $3 \sigma^2$: a third.

# %%
print(inspect.getsource(grey_share).split('"""')[-1])
noise = np.random.default_rng(1).standard_normal((10_000, 3, 7, 7))
print(f"ten thousand random kernels: {grey_share(noise).mean():.3f}")
assert abs(grey_share(noise).mean() - 1 / 3) < 0.002
grey = after.mean(axis=1, keepdims=True)
np.testing.assert_allclose(np.square(after).sum(), 3 * np.square(grey).sum() + np.square(after - grey).sum(), rtol=1e-4)
assert np.isclose(grey_share(np.ones((1, 3, 2, 2))).item(), 1)

# %%
figure = Figure(figsize=(6.6, 2.8), layout="constrained")
axes = figure.subplots()
for part, colour, name in ((slice(0, 16), BLUE, "column 1"), (slice(16, 32), ORANGE, "column 2")):
    share = np.sort(grey_share(after[part]))[::-1]
    axes.plot(np.arange(1, 17), share, "o-", color=colour, label=f"{name}, mean {share.mean():.0%}")
axes.axhline(1 / 3, color="0.6", linewidth=1, label="random kernels")
axes.set(title=f"After training on {SET}", xlabel="kernels, by share", ylabel="share that sees grey", ylim=(0, 1))
axes.legend(frameon=False)
show(figure, "Two falling rows of dots, one for each column's 16 kernels, most above the random share of a third.")

# %% [markdown]
# How far the columns of this small net part is a matter of the run: as stored, hardly. On photos they do. AlexNet on
# 5,000 photos, if its results are stored here:

# %% tags=["stored"]
def of_photos(name, width, alt, part=1.0):
    """A picture of the run on photos, or its upper part, no larger than it must be."""
    path = Path("results/alexnet/full") / name
    if not path.exists():
        print(f"{path} is not here: npnet train alexnet, and then npnet {path.stem} RUN, make it.")
        return
    from PIL import Image as Picture
    picture = Picture.open(path).convert("RGB")
    picture = picture.crop((0, 0, picture.width, round(part * picture.height)))
    picture.thumbnail((width, 10_000))
    figure = Figure(figsize=(picture.width / 110, picture.height / 110))
    figure.add_axes((0, 0, 1, 1)).imshow(picture)
    figure.axes[0].set_axis_off()
    show(figure, alt)


of_photos("kernels.png", 440, "AlexNet's 96 kernels of 11 × 11 in two blocks of 48: edges, gratings and dots, in the "
          "first block most of them grey, in the second coloured blobs among them.")

# %% [markdown]
# The words above each block say which share of its energy is grey. Why should columns part at all? The paper names the
# restricted connectivity of §3.5, and says no more. Spelled out: within a column the next layer can combine kernels,
# across columns it cannot, so grey edges are most useful where other grey edges are; whichever column has a little more
# of them at first gets more. Which one it is, is decided by the random start: "modulo a renumbering of the GPUs".
#
# ## Five answers
#
# S3: the left half of Figure 4. Eight of the images that this net has not seen, and its five most probable classes.

# %%
seen = next(iter(still["test"].epoch(0)))[0][:8]
probabilities = evaluate.answer(net, seen)
best = [[(others.classes[k], float(row[k])) for k in row.argsort()[::-1][:5]] for row in probabilities]
np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
show(plot.answers([others.image(i) for i in range(8)], best, [others.classes[k] for k in others.labels[:8]], []),
     "Eight images, above each its class, below each five bars: the classes that the net finds most probable.")

# %% [markdown]
# With ten classes the five best are half of all. In the paper they are five of a thousand, and the point of its figure
# is what the *other four* are: for a leopard, other cats.
#
# ## Neighbours
#
# S4: the last hidden layer, here 64 numbers, in AlexNet fc7's 4,096. For each test image the six training images whose
# numbers are nearest. How the library does it:

# %%
print(inspect.getsource(nearest))

# %% [markdown]
# The formula at its head turns distances into a matrix product, which is the fastest thing a computer does; but it
# takes two large numbers from each other. In float32, far from the origin, nothing is left of a small distance:

# %%
rng = np.random.default_rng(0)
print("distance from the origin   true distance   by the product, float32")
for far in (1, 100, 10_000):
    g = (far + rng.standard_normal(64)).astype(np.float32)
    q = (g + 0.01 * rng.standard_normal(64)).astype(np.float32)
    exact = np.sqrt(np.square(g.astype(float) - q).sum())
    square = (g @ g) - np.float32(2) * (g @ q) + (q @ q)
    print(f"{np.linalg.norm(g):24,.0f}   {exact:13.4f}   {'the root of ' if square < 0 else ''}"
          f"{square if square < 0 else np.sqrt(square):.4f}")
    assert nearest(g[None], q[None], 1)[1].item() == exact

# %% [markdown]
# So the product only chooses candidates, and the few that are left are reckoned again in float64.

# %%
hidden = {name: features(net, loader) for name, loader in still.items()}
pixels = {name: np.stack([some.image(i) for i in range(len(some))]).reshape(len(some), -1).astype(np.float32)
          for name, some in (("train", images), ("test", others))}
by = {"the last hidden layer": hidden, "pixels": pixels}
six = {name: nearest(made["train"], made["test"], 6)[0] for name, made in by.items()}
alike = {name: (images.labels[near] == others.labels[:, None]).mean() for name, near in six.items()}
for name, share in alike.items():
    print(f"of the six nearest by {name:22} {share:.1%} are of the test image's class")
assert hidden["train"].shape == (len(images), 64)
assert np.array_equal(nearest(hidden["train"], hidden["train"][:5], 1)[0][:, 0], np.arange(5)) or QUICK
assert QUICK or alike["the last hidden layer"] > 1.5 * alike["pixels"]

# %% [markdown]
# Chance is a tenth. S5, to be seen: each row is a test image and its six neighbours; the last two rows are the first
# two images once more, with their neighbours by pixels.

# %%
def row(name, i):
    near = six[name][i]
    own = sum(images.labels[near] == others.labels[i])
    return (f"{others.classes[others.labels[i]]}, by {name}: {own} of six",
            [others.image(i), *(images.image(int(j)) for j in near)])


rows = [row("the last hidden layer", i) for i in range(3)] + [row("pixels", i) for i in range(2)]
figure = plot.sheet(rows, "Test images, and the six nearest training images of each", [])
figure.set_size_inches(6, 5.6)
figure.subplots_adjust(top=0.9)
show(figure, "Five rows of seven small images: a test image and its six nearest training images, three rows by the "
     "hidden layer, two by pixels, which find like colours; above each, how many of the six are of its class.")

# %% [markdown]
# Pixels find like *colours and places*; the hidden layer finds like things, if not in every row (an image that the net
# takes for something else has neighbours like that). On photos, if it is stored:

# %% tags=["stored"]
of_photos("neighbours.png", 390, "Photos in rows: three test photos, and beside each the six training photos that "
          "AlexNet's last hidden layer finds nearest to it, most of them of the same class.", part=0.615)

# %% [markdown]
# ## Codes
#
# S6 is one sentence, and no experiment. So here is one. An auto-encoder is a net that learns to say what it is told,
# through a narrow middle:
#
# $$s = \sigma(A_2 \, r(A_1 f)), \qquad y = B_2 \, r(B_1 s), \qquad L = \tfrac12 \|y - f\|^2,$$
#
# f the features, r the ReLU, σ the logistic function, s the code. The gradient enters at $\partial L / \partial y =
# y - f$ and goes through layers that we know; at the code it is multiplied with $s(1 - s)$. The library's own layers:

# %%
npnet.use("numpy")
small = autoencoder(12, Settings(bits=6, between=8))
print(small)
report = gradcheck.check(small, rng.standard_normal((3, 12)))
print(f"{len(report.points)} comparisons, worst relative error {report.worst.error:.1e}")
assert report.ok, report
npnet.use("numba")

# %% [markdown]
# Its code is of numbers between 0 and 1, not of bits. What makes them bits is *noise*, added in front of σ in training:
# a number in the middle is then useless to the decoder, as noise changes it; one far out is not.

# %%
def spread(noise=2.0):
    draws = noise * np.random.default_rng(0).standard_normal(4000)
    a = np.linspace(-10, 10, 81)
    s = 1 / (1 + np.exp(-(a[:, None] + draws)))
    figure = Figure(figsize=(6.6, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(a, s.mean(axis=1), color=BLUE, label="its mean")
    axes.plot(a, s.std(axis=1), color=ORANGE, label="standard deviation, by the noise")
    axes.set(title=f"A unit of the code, with noise of {noise:g} in front of it", xlabel="a, what the unit gets",
             ylabel="s = σ(a + noise)", ylim=(0, 1))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0, 0.75))
    return figure


slide(spread, "Two curves against what the unit gets: its mean rises from 0 to 1; what the noise changes is largest in "
      "the middle and nearly nothing at both ends.", noise=(2.0, 0.0, 6.0, 0.25))
assert 1 / (1 + np.exp(-6)) > 0.997  # at a = 6: nearly 1

# %% [markdown]
# After training each number is cut at its median: a bit that parts the pictures in two halves says the most. Then
# 32 bits in place of 64 floats, a 64th of the bytes. Which share of the six nearest by Euclid is among the n nearest by
# Hamming's distance (the number of bits that differ)? Beside it random planes: bits that nobody has learnt.

# %%
settings = Settings(bits=32, between=64, epochs=sized(4, 30, 60), rate=0.3)
result = experiment(hidden["train"], hidden["test"], settings)
show(plot.recall(result, f"Codes of {settings.bits} bits from the last hidden layer", []),
     "Share of the six nearest by Euclid among the n nearest by code, against n: learnt codes highest, random planes "
     "below them, chance far below.")
for n, learnt, planes in zip(result["looked_at"], result["learnt"], result["random_planes"], strict=True):
    print(f"among the {n:5,} nearest by code: {learnt:.1%} (random planes {planes:.1%})")
assert result["learnt"][-1] > result["chance"][-1]

# %% [markdown]
# And S7: codes of the same length made from *pixels*. Of the six nearest by code, how many are of the class?

# %%
for name, made in by.items():
    scale = {part: values - mean.ravel() for part, values in made.items()} if name == "pixels" else made
    codes = Codes(scale["train"], settings)
    near = nearest_by_hamming(codes.of(scale["train"]), codes.of(scale["test"]), 6)
    share = (images.labels[near] == others.labels[:, None]).mean()
    print(f"32 bits from {name:22} {share:.1%} of the class (by Euclid: {alike[name]:.1%})")
    alike[f"codes of {name}"] = share
assert QUICK or alike["codes of the last hidden layer"] > alike["codes of pixels"] + 0.1

# %% [markdown]
# So the sentence holds here, on a small scale. At full size, on photos (`npnet codes RUN`), if it is stored:

# %% tags=["stored"]
of_photos("codes.png", 400, "Share of the six nearest photos by Euclid found among the n nearest by codes of 64 bits, "
          "learnt and of random planes, against n.")

# %% [markdown]
# ## Exercises
#
# ### 1. How grey?
#
# A kernel of one pixel, with weights 1 for red, 1 for green and 0 for blue. What is its share of grey?

# %% tags=["exercise"]
share = None

# %% tags=["check"]
if share is None:
    print("Exercise 1: not answered yet.")
else:
    assert np.isclose(share, grey_share(np.array([1.0, 1.0, 0.0]).reshape(1, 3, 1, 1)).item()), "exercise 1: no"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\bar w = 2/3$, $3 \bar w^2 = 4/3$, of an energy of 2.
#
# ```python
# share = 2 / 3
# ```
#
# </details>

# %% [markdown]
# ### 2. Hamming
#
# Codes are packed, eight bits in a byte. Write the distance of two of them, as arrays of uint8.

# %% tags=["exercise"]
def hamming(a, b):
    return None


# %% tags=["check"]
if hamming(np.zeros(1, np.uint8), np.ones(1, np.uint8)) is None:
    print("Exercise 2: not answered yet.")
else:
    loose = np.random.default_rng(5).integers(0, 2, (2, 64))
    a, b = np.packbits(loose, axis=1)
    assert hamming(a, b) == (loose[0] != loose[1]).sum(), "exercise 2: it counts other bits"
    assert hamming(a, a) == 0
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# What differs is what XOR leaves.
#
# ```python
# def hamming(a, b):
#     return int(np.unpackbits(a ^ b).sum())
# ```
#
# </details>

# %% [markdown]
# ### 3. All of ImageNet
#
# Of 1.2 million training images, in bytes: how many gigabytes (10⁹) are the float32 features of 4,096 numbers each, and
# how many megabytes (10⁶) codes of 64 bits?

# %% tags=["exercise"]
gigabytes, megabytes = None, None

# %% tags=["check"]
if gigabytes is None or megabytes is None:
    print("Exercise 3: not answered yet.")
else:
    assert np.isclose(gigabytes, np.float32().itemsize * 4096 * 1.2e6 / 1e9, rtol=0.01), "exercise 3: the features"
    assert np.isclose(megabytes, 64 / 8 * 1.2e6 / 1e6, rtol=0.01), "exercise 3: the codes"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# gigabytes, megabytes = 19.66, 9.6
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **Five neighbours.** Six, beside each of five test images: the first column is the *test* image, the others are
#   training images.
# - **"Top-5 errors"** as the title of Figure 4. It shows predictions, right ones and wrong ones.
# - **The last layer.** It is the last *hidden* layer, 4,096 numbers, not the 1,000 probabilities.
# - **"Each GPU is given other colours."** Both see all three channels of every image. Specialising is something that
#   happens, in the same net, to the same data.
# - **That the codes were tried.** They were suggested; the experiment is not in the paper.
#
# And in programs:
#
# - **All kernels on one scale.** A few large weights, and the other pictures are grey. Each kernel has its own scale in
#   pictures like Figure 3.
# - **Blue for red.** Caffe's nets read BGR; drawn as they lie in the file, their kernels have the wrong colours.
# - **Features with dropout on**, or before its factor of a half: distances between other vectors.
# - **The root of a negative number**, as above, and then NaN among the nearest.
