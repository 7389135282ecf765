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
# # 10. Results: what the numbers say, and what an average is worth
#
# **AlexNet §6, Tables 1 and 2** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. One minute on a
# laptop, without a GPU and without a network.
#
# > **초록.** AlexNet 6절은 두 해의 대회 결과를 표 두 개로 싣는다. ILSVRC-2010의 시험 집합(test set)에서는 상위 1
# > 오류(top-1 error) 37.5 %, 상위 5 오류(top-5 error) 17.0 %이고, 2012년에는 망 하나로 18.2 %, 망 일곱 개의 평균으로
# > 15.3 %이다. 이 노트북은 두 표를 그림으로 옮겨 차이가 우연일 수 있는지를 따지고, 같은 그림으로 잰 두 망을 견줄
# > 때에는 신뢰 구간(confidence interval)이 겹치는지가 아니라 둘의 답이 갈린 그림을 보아야 한다는 것을 유도한다.
# > 오류율에는 쓸모 있는 기울기(gradient)가 없으므로 그 위를 덮는 교차 엔트로피(cross-entropy)를 줄인다는 것을
# > 증명하고 검사한다. 이어서 작은 망 다섯 개를 학습시켜 열 조각의 평균과 앙상블(ensemble)의 이득을 논문의 표와 같은
# > 꼴로 재고, 평균의 손실이 손실의 평균보다 왜 클 수 없는지를 유도한다. 실제 사진으로 학습한 결과가 저장되어 있으면
# > 논문의 수 곁에 놓고, 요약 글에서 자주 틀리는 대목을 짚는다.
#
# You will have: both tables drawn and taken apart; the right test for two nets on the same images; a proof that the
# loss covers the error; and Table 2 in small, with five nets of your own, one view and ten.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own. Errors are in %, top-1 and top-5.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | On the test set of 2010: 37.5 and 17.0; the best before were 45.7 and 25.7. | *Two tables* |
# | S2 | On the validation set of 2012: 40.7 and 18.2; the test set is within 0.1 of it. | *Two tables*, *Sure?* |
# | S3 | Five such nets averaged: 16.4 top-5. | *Table 2 in small* |
# | S4 | One net with a sixth convolution, first trained on all of ImageNet (2011), then on 2012: 16.6. | *Two tables* |
# | S5 | Two of that kind and the five: 15.3; the next best entry had 26.2. | *Two tables* |
# | S6 | On ImageNet of 2009, 10,184 classes: 67.4 and 40.9; before, 78.1 and 60.9. | *Two tables* |
#
# The numbers in the paper's two tables are means of ten views (notebook 7); a footnote to §6 has 39.0 and 18.3 for one.

# %%
import inspect
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import data, evaluate, train
from npnet.kernels import numpy as definition
from npnet.layers import Conv2D, Dense, Gaussian, MaxPool2D, ReLU, Sequential, SoftmaxCrossEntropy
from npnet.notebook import BLUE, ORANGE, Live, begin, show, sized, slide, stored
from npnet.train import metrics

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## Two tables
#
# Errors by the authors' tables; a net of the paper's kind in blue.

# %%
TOP5 = {"2010, test": {"sparse coding": 28.2, "Fisher vectors": 25.7, "one net": 17.0},
        "2012, validation or test": {"Fisher vectors": 26.2, "one net": 18.2, "one net*": 16.6, "five nets": 16.4,
                                     "seven nets*": 15.3}}
figure = Figure(figsize=(8.6, 2.8), layout="constrained")
for axes, (year, entries) in zip(figure.subplots(1, 2, sharey=True), TOP5.items(), strict=True):
    bars = axes.bar(range(len(entries)), entries.values(), color=[BLUE if "net" in name else "0.7" for name in entries])
    axes.bar_label(bars, fontsize=8)
    axes.set_xticks(range(len(entries)), [name.replace(" ", "\n") for name in entries], fontsize=8)
    axes.set(title=f"ILSVRC-{year}", ylabel="top-5 error (%)", ylim=(0, 32))
show(figure, "Bars of top-5 errors, 2010 and 2012: nets have 15 to 18 per cent, what was best before 25 to 28.")
fewer = {"one net, 2010": 1 - 17.0 / 25.7, "seven nets, 2012": 1 - 15.3 / 26.2, "10,184 classes": 1 - 40.9 / 60.9}
for name, share in fewer.items():
    print(f"{name:17} {share:.0%} fewer errors than the next best")
assert [round(100 * share) for share in fewer.values()] == [34, 42, 33]

# %% [markdown]
# (\* : first trained on 15 million images of 22,000 classes. The error of the seven, of the five and of Fisher vectors
# is that of the test set, the others' of the validation set.)
#
# Read across: from one net to five costs five times the work and gains 1.8 points; more labels, 15 million in place
# of 1.2, with a sixth convolution, gain 1.6; both together 2.9, less than their sum. Table 1's net and Table 2's "one
# net" are of the same layers, on the questions of two years: 17.0 and 18.2.
#
# ## Sure?
#
# How far can 18.2 of 50,000 images be from the truth? Notebook 1 derives the interval; here it is of all of them.

# %%
for name, top5, n in (("2010, test", 0.170, 150_000), ("2012, validation", 0.182, 50_000),
                      ("our photos", 0.2, 1_000)):
    low, high = evaluate.ErrorRate(0.0, top5, n).interval5
    print(f"{name:17} {top5:.1%} of {n:7,}: {low:.2%} … {high:.2%}")
low, high = evaluate.ErrorRate(0.0, 0.182, 50_000).interval5
assert (high - low) / 2 < 0.0035

# %% [markdown]
# A third of a point either way. So S2's 0.1 is what one expects of two sets of such sizes, and all gains above are
# real. But a smaller one, overlapping pooling's 0.3 (§3.4)? Two nets are asked about *the same* images. What
# both get right, or both wrong, tells nothing; what counts are the b images that only the first gets right, and the c
# that only the second does. The difference of the errors is $(b - c)/n$. If the nets were equally good, each of these
# $b + c$ images would be a coin thrown, and $b - c$ would have mean 0 and variance $b + c$:
#
# $$\text{standard deviation of the difference} = \frac{\sqrt{b + c}}{n}, \qquad
#   \text{against } \sqrt{\frac{2 p (1-p)}{n}} \text{ for other images each}.$$
#
# (McNemar's test.) With few disagreements it is much smaller. By how much, with 0.3 points between them on 50,000?

# %%
def paired(disagree=8):
    n, p, difference = 50_000, 0.182, np.linspace(0, 1, 101)
    figure = Figure(figsize=(6.6, 2.8), layout="constrained")
    axes = figure.subplots()
    together = 100 * np.sqrt(disagree / 100 * n) / n
    apart = 100 * np.sqrt(2 * p * (1 - p) / n)
    axes.plot(difference, difference / together, color=BLUE, label=f"same images, {disagree:g} % told apart")
    axes.plot(difference, difference / apart, "--", color=ORANGE, label="other images for each net")
    axes.axhline(1.96, color="0.6", linewidth=1)
    axes.set(title="50,000 images, errors near 18.2 %", xlabel="difference of the errors (points)",
             ylabel="in standard deviations", ylim=(0, 12))
    axes.legend(frameon=False)
    return figure


slide(paired, "Two rising lines over the difference of two errors: with the same images a difference reaches two "
      "standard deviations sooner than with other images.", disagree=(8, 1, 30, 1))
b_and_c = 0.08 * 50_000
assert round(0.003 * 50_000 / np.sqrt(b_and_c), 1) == 2.4
assert round(0.003 / np.sqrt(2 * 0.182 * 0.818 / 50_000), 1) == 1.2

# %% [markdown]
# (The 8 % is our guess; the paper does not say how many answers its ablations changed.) One seed each remains one seed
# each: this is the doubt about the *images*, not about what another start would have given.
#
# ## What is counted is not what is learnt
#
# The error has no gradient that helps: move a weight a little, and no answer changes. It is flat nearly everywhere, and
# jumps. The loss lies above it. If an image's label is not in first place then some other class is at least as
# probable, so $p_t \le \frac12$, and
#
# $$-\log p_t \ge \log 2 \quad \text{where wrong}, \qquad -\log p_t \ge 0 \quad \text{elsewhere}
#   \qquad \Rightarrow \qquad \text{error} \le \frac{L}{\log 2}.$$
#
# And not among the first five means $p_t \le \frac16$, since five others are at least as probable: top-5 error
# $\le L / \log 6$. The gradient of L is the familiar one, $\partial L / \partial z_k = (p_k - [k = t]) / N$:

# %%
print(inspect.getsource(definition.softmax_cross_entropy_backward))
rng = np.random.default_rng(0)
z, t = rng.standard_normal((6, 10)), rng.integers(0, 10, 6)
loss = SoftmaxCrossEntropy()
loss.forward(z, t)
analytic = loss.backward().copy()
for n, k in ((0, 0), (3, int(t[3])), (5, 9)):
    moved = [z.copy(), z.copy()]
    moved[0][n, k] += 1e-5
    moved[1][n, k] -= 1e-5
    numeric = (loss.forward(moved[0], t) - loss.forward(moved[1], t)) / 2e-5
    assert np.isclose(analytic[n, k], numeric, rtol=1e-6, atol=1e-10)
    print(f"image {n}, class {k}: {analytic[n, k]:+.6f}, by differences {numeric:+.6f}")

# %% [markdown]
# ## Table 2 in small
#
# Five nets, of the same layers, that differ in their start and in the order and crops of their images. Ten classes,
# crops of 28 × 28 out of 32 × 32, mirrored or not; afterwards one view or ten of each test image.

# %%
found = data.cifar10.find()
COUNT, EPOCHS, NETS = sized((400, 1, 2), (5000, 6, 5), (10_000, 40, 7))
SET = "CIFAR-10" if found else "shapes, the built-in set"
images = data.load(found or "shapes", "train", COUNT)
others = data.load(found or "shapes", "test", sized(100, 2000, 2000))
mean = images.mean_image()


def small_net(seed):
    net = Sequential(
        conv1=Conv2D(3, 32, 5, stride=2, pad=2, weight=Gaussian(0.01)), relu1=ReLU(), pool1=MaxPool2D(3, 2),
        conv2=Conv2D(32, 32, 3, pad=1, weight=Gaussian(0.08)), relu2=ReLU(),
        conv3=Conv2D(32, 32, 3, pad=1, weight=Gaussian(0.08)), relu3=ReLU(), pool3=MaxPool2D(3, 2),
        fc4=Dense(288, 10, weight=Gaussian(0.01)))
    net.initialise(seed)
    return net


# %%
npnet.use("numba")
curve = Live(f"One of {NETS} nets on {SET}", "epochs", "nats; fraction")


def trained(seed):
    net, loss = small_net(seed), SoftmaxCrossEntropy()
    sgd = train.SGD(net.parameters(), 0.0005, 0.9, 0.0005)
    for epoch in range(EPOCHS):
        total, wrong, n = 0.0, 0, 0
        for x, labels in data.Loader(images, 50, mean=mean, crop=28, mirror=True, seed=seed).epoch(epoch):
            total += len(labels) * loss.forward(net.forward(x), labels)
            net.backward_parameters(loss.backward())
            sgd.step()
            wrong, n = wrong + loss.errors, n + len(labels)
        assert wrong / n <= total / n / np.log(2), "the loss covers the error"
        for name, value in (("loss / log 2", total / n / np.log(2)), ("training error", wrong / n)):
            if seed == 0:
                curve.add(name, epoch + 1, value)
    return net


nets = [trained(seed) for seed in range(NETS)]
curve.close("The loss divided by the logarithm of 2, and below it the training error, both falling with the epochs.")

# %% [markdown]
# Now all four combinations. The library's mean is of probabilities:

# %%
print(inspect.getsource(evaluate.mean_probabilities))


def views(count):
    return [data.Loader(others, 100, mean=mean, crop=28, train=False, view=view)
            for view in (range(count) if count > 1 else [None])]


said = {count: [evaluate.mean_probabilities([(net, loader) for loader in views(count)]) for net in nets]
        for count in (1, 10)}
answers = {(1, count): ps[0] for count, ps in said.items()}
answers |= {(NETS, count): np.mean(ps, axis=0) for count, ps in said.items()}

# %%
right = {key: p.argmax(axis=1) == others.labels for key, p in answers.items()}
print("nets  views   error   nats    against one net, one view: b, c, difference in standard deviations")
for (many, count), p in answers.items():
    wrong = ~right[many, count]
    nats = -np.log(p[np.arange(len(p)), others.labels]).mean()
    b, c = (right[1, 1] & wrong).sum(), (~right[1, 1] & ~wrong).sum()
    sure = f"{b:4} {c:4} {(c - b) / np.sqrt(b + c):6.1f}" if b + c else ""
    print(f"{many:4}  {count:5}  {wrong.mean():6.1%} {nats:6.3f}    {sure}")
singles = [1 - np.mean(p.argmax(axis=1) == others.labels) for p in said[1]]
print("each of the nets, one view:", ", ".join(f"{error:.1%}" for error in singles))
assert QUICK or 1 - right[NETS, 10].mean() < min(singles)

# %%
figure = Figure(figsize=(6.6, 2.8), layout="constrained")
axes = figure.subplots()
for count, colour in ((1, ORANGE), (10, BLUE)):
    of = [np.mean(said[count][:n], axis=0) for n in range(1, NETS + 1)]
    errors = [100 * (1 - np.mean(p.argmax(axis=1) == others.labels)) for p in of]
    axes.plot(range(1, NETS + 1), errors, "o-", color=colour, label=f"{count} view{'s' * (count > 1)} of each image")
axes.set(title=f"Error on {len(others):,} other images of {SET}", xlabel="nets averaged", ylabel="error (%)",
         xticks=range(1, NETS + 1), ylim=(0, None))
axes.legend(frameon=False)
show(figure, "Error against the number of nets averaged, with one view and with ten: both fall, most at first.")

# %% [markdown]
# In the paper: ten views 1.5 points, five nets 2.6 more (top-1: 39.0, 37.5 of 2010; 40.7, 38.1 of 2012). Here nets
# that have seen few images differ much, and gain much. Look at the nats too: of five nets the ten views lower the
# error, but not the loss. Eight of the ten views are of corners, worse than the centre (notebook 17), and a mean of
# many is less sure of itself.
#
# ### Why an average cannot lose, on average
#
# The logarithm is concave, so for an image of class t and nets $i = 1 \dots n$ (Jensen):
#
# $$-\log \frac1n \sum_i p_{i,t} \;\le\; \frac1n \sum_i \left( -\log p_{i,t} \right).$$
#
# The loss of the mean is at most the mean of the losses, on *every* image, and equal only where all agree. The gap is
# what they disagree about. Of the *error* nothing like it holds: an average can be wrong where one of two is right.

# %%
own = np.array([p[np.arange(len(p)), others.labels] for p in said[1]])
of_mean, mean_of = -np.log(own.mean(axis=0)), -np.log(own).mean(axis=0)
assert np.all(of_mean <= mean_of + 1e-9)
gap = (mean_of - of_mean).mean()
print(f"loss of the mean {of_mean.mean():.3f}, mean of the losses {mean_of.mean():.3f}, gap {gap:.3f}")
lost = (~right[NETS, 1] & (np.array([p.argmax(axis=1) for p in said[1]]) == others.labels).any(axis=0)).mean()
print(f"images on which some net alone is right and the average is wrong: {lost:.1%}")

# %% [markdown]
# ## On real photos
#
# AlexNet on 5,000 photos of ten classes, as printed and with parts left out. (The paper's net, of ten views and a
# thousand classes, which are a hundred times as many to choose from: 37.5 % top-1 error in 2010, 40.7 in 2012.) If our
# results are stored here:

# %% tags=["stored"]
runs = {name: metrics.read(f"results/alexnet/{name}") for name in ("full", "no-augmentation", "no-dropout-0.002")}
stored(runs, "AlexNet on 5,000 photos",
       "Test error with points and training error without, against epochs, of AlexNet on photos: as printed, without "
       "augmentation, and without dropout.")
for file in sorted(Path("results/alexnet").glob("*/evaluation*.json")):
    rate = json.loads(file.read_text())
    low, high = rate["interval95"]
    print(f"{file.parent.name}, {file.stem}: top-1 error {rate['top1']:.1%} ({low:.1%} … {high:.1%})")

# %% [markdown]
# Chance is 90 %. A thousand photos tell errors to two or three points either way, so of these runs only differences of
# that size are to be believed, by the test above somewhat smaller ones.
#
# ## Exercises
#
# ### 1. Half the distance
#
# By which share did the seven nets reduce the errors of the next best entry of 2012 (15.3 against 26.2)? A number
# between 0 and 1.

# %% tags=["exercise"]
share = None

# %% tags=["check"]
if share is None:
    print("Exercise 1: not answered yet.")
else:
    assert abs(share - fewer["seven nets, 2012"]) < 0.005, "exercise 1: of the errors that there were"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# share = (26.2 - 15.3) / 26.2
# ```
#
# </details>

# %% [markdown]
# ### 2. Is it real?
#
# Write a function of two arrays of booleans (which images the nets got right) that returns the difference of their
# errors in standard deviations, the second net's advantage positive.

# %% tags=["exercise"]
def advantage(first, second):
    return None


# %% tags=["check"]
if advantage(right[1, 1], right[NETS, 10]) is None:
    print("Exercise 2: not answered yet.")
else:
    one, two = np.array([1, 1, 0, 0, 0, 0], bool), np.array([1, 0, 1, 1, 1, 0], bool)
    assert np.isclose(advantage(one, two), (3 - 1) / 2), "exercise 2: only where they differ"
    assert np.isclose(advantage(two, one), -1)
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def advantage(first, second):
#     b, c = (first & ~second).sum(), (~first & second).sum()
#     return (c - b) / np.sqrt(b + c)
# ```
#
# </details>

# %% [markdown]
# ### 3. All wrong, together right
#
# Give three rows of probabilities of three classes such that each row's best is *not* class 0, but that of their mean
# is.

# %% tags=["exercise"]
three = None

# %% tags=["check"]
if three is None:
    print("Exercise 3: not answered yet.")
else:
    p = np.array(three, float)
    assert p.shape == (3, 3), "exercise 3: three rows of three"
    assert np.all(p >= 0), "exercise 3: probabilities"
    assert np.allclose(p.sum(axis=1), 1), "exercise 3: they add up to 1"
    assert np.all(p[:, 0] < p[:, 1:].max(axis=1)), "exercise 3: each is to be wrong"
    assert p.mean(axis=0).argmax() == 0, "exercise 3: the mean is to be right"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Second place everywhere, with the first place going around.
#
# ```python
# three = [[0.45, 0.55, 0.0], [0.45, 0.0, 0.55], [0.4, 0.5, 0.1]]
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **"15.3 % is AlexNet's error."** It is that of seven nets, two of which saw 15 million images with labels. One net:
#   18.2 % in 2012; 17.0 % on the test set of 2010.
# - **"7 CNNs\*: the average of two."** Of two with pre-training *and* the five without.
# - **"Pre-trained on ILSVRC-2011."** On ImageNet's autumn 2011 release, 22,000 classes.
# - **Accuracy for error.** 37.5 is what it gets wrong.
# - **"Cross-validated."** The test labels of 2012 were not public; the validation error is used in their place, and
#   said to be within 0.1 of the test error.
#
# And in programs:
#
# - **Centre crop against ten views.** Ports report 42 to 43 % top-1 with one view, and are held against 40.7 with ten.
# - **Averaging logits**, or weights, in place of probabilities.
# - **Five nets from one seed**, fed in the same order: five times the same net.
# - **Reporting the best epoch** by the test error: of many epochs the luckiest.
