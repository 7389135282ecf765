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
# # 1. The problem: ImageNet, and what its numbers mean
#
# **AlexNet §1 and §2** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. Half a minute on a laptop,
# without a GPU and without a network.
#
# > **초록.** AlexNet 1절과 2절은 풀려는 문제와 자료를 소개한다. 이미지넷(ImageNet)의 크기와 ILSVRC 대회의 구성을 숫자로
# > 정리하고, 논문이 왜 2010년과 2012년 두 해의 결과를 나누어 적었는지 살펴본다. 상위 1 오류(top-1 error)와 상위 5
# > 오류(top-5 error)를 작은 점수표에서 손으로 계산해 라이브러리와 맞추어 보고, 찍었을 때의 오류 1 − k/C를 유도하며,
# > 그림 n장으로 잰 오류를 어디까지 믿을 수 있는지 신뢰 구간(confidence interval)으로 따진다. 짧은 변을 256으로 줄이고
# > 가운데를 잘라 내는 전처리(preprocessing)가 그림의 얼마를 버리는지 계산하고, 찌그러뜨리는 방법과 나란히 놓고 본다.
# > 합성곱(convolution)이 완전 연결 층(fully connected layer)보다 연결과 매개변수(parameter)가 얼마나 적은지도 층에서
# > 직접 센다. 평균 그림(mean image)을 빼는 까닭은 선형 유닛 하나의 기울기(gradient)와 곡률(curvature)에서 유도하고,
# > 조건수(condition number)가 실제로 얼마나 줄어드는지 잰다. 끝으로 연습문제 세 개를 풀고 요약 글과 구현에서 자주
# > 틀리는 대목을 짚는다.
#
# You will have: both error rates computed by hand, with chance and the doubt of a measurement; a picture prepared, with
# what is lost of it; convolution counted against a dense layer; and the reason for subtracting the mean, derived.

# %% [markdown]
# ## What the sections say
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | Things look different every time: many labelled images are needed. ImageNet has them. | *The set* |
# | S2 | A model must be large, and know beforehand what the images cannot teach it. | *Capacity* |
# | S3 | Convolutional nets: far fewer connections and parameters than dense ones of that size. | *Why convolution* |
# | S4 | Two GPUs of 3 GB and five to six days set the limit; faster GPUs and more images would help. | *Capacity* |
# | S5 | ImageNet: over 15 M images, some 22,000 classes. ILSVRC: 1,000 classes of it. | *The set* |
# | S6 | Only for 2010 are test labels public, so most of the experiments use that year. | *The set* |
# | S7 | Two error rates are customary: top-1 and top-5. | *Two errors*, *Why five?* |
# | S8 | Shorter side rescaled to 256, then the 256 × 256 in the middle. | *Preparation* |
# | S9 | Apart from the mean, subtracted at each pixel, nothing: raw RGB. | *The mean image*, *Why subtract it?* |

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

import npnet
from npnet import data, evaluate, models
from npnet.data import photo, shapes
from npnet.errors import UserError
from npnet.kernels.numpy import loss as definition
from npnet.layers import Conv2D, Dense, Local2D, ReLU
from npnet.notebook import BLUE, GREEN, ORANGE, PURPLE, begin, show, slide

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## The set
#
# S5 and S6 in a table. The paper gives one set of sizes for the challenge, whatever the year
# ("roughly"): those of 2010. In 2012 there were fewer test images.
#
# | | classes | training | validation | test | labels of the test images |
# |---|---|---|---|---|---|
# | all of ImageNet | 22,000 | 15 M | | | |
# | ILSVRC-2010 | 1,000 | 1.2 M | 50,000 | 150,000 | public |
# | ILSVRC-2012 | 1,000 | 1.2 M | 50,000 | 100,000 | kept by the organisers |
#
# So the paper has two tables of results. Table 1, of 2010, can give errors on *test* images. Table 2 is of 2012, the
# year in which the net took part in the challenge: there only what was handed in has a test error, the rest is measured
# on the 50,000 images for validation, and some fields stay empty.

# %%
training, validation, test, classes = 1_200_000, 50_000, 150_000, 1000
print(f"{training / classes:,.0f} training images of a class, {validation / classes:.0f} for validation, "
      f"{test / classes:.0f} for testing; {training + validation + test:,} in all")
print(f"the challenge has {training / 15_000_000:.0%} of the images and {classes / 22_000:.1%} of the classes")
print(f"at 256 × 256 in three bytes a pixel: {training * 256 * 256 * 3 / 1e9:,.0f} GB; a GPU had 3")
assert training + validation + test == 1_400_000

# %% [markdown]
# ## Two errors
#
# A net gives every class a score. Sort them. The *place* of the label is the number of classes with a higher score.
# With N images, labels $t_n$ and scores $s_n$,
#
# $$\text{place}_n = \#\{\, c : s_{n,c} > s_{n,t_n} \}, \qquad
#   \text{top-}k\text{ error} = \frac{1}{N}\, \#\{\, n : \text{place}_n \ge k \}.$$
#
# Four images, seven classes, by hand:

# %%
scores = np.array([[0.1, 2.0, 0.3, 0.0, 0.4, 0.2, 0.5],   # label 1: nothing is higher, place 0
                   [1.0, 0.9, 0.8, 0.7, 0.0, 0.1, 0.2],   # label 2: 0 and 1 are higher, place 2
                   [3.0, 2.0, 1.0, 0.9, 0.8, 0.7, 0.1],   # label 5: five are higher, place 5
                   [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])  # label 5: only 6 is higher, place 1
labels = np.array([1, 2, 5, 5])
places = [sum(other > row[label] for other in row) for row, label in zip(scores, labels, strict=True)]
by_hand = [np.mean(np.array(places) >= k) for k in (1, 5)]
print("places", [int(place) for place in places], "top-1 error", by_hand[0], "top-5 error", by_hand[1])
assert places == [0, 2, 5, 1]
assert by_hand == [0.75, 0.25]

# %% [markdown]
# The library's, from scores to places, and from places to errors:

# %%
print(inspect.getsource(definition._ranks))
print(inspect.getsource(evaluate._rate))
rate = evaluate.rate_of(ReLU(), scores, labels)  # any layer: it lends its kernels
assert [rate.top1, rate.top5] == by_hand

# %% [markdown]
# **Equal scores** need a rule. Here the class with the lower number stands higher. Suppose that a net says the same of
# all classes: by this rule it is right for one class in 1,000. By the definition above, which counts only those that
# are *higher*, it is always right.

# %%
nothing, every = np.zeros((1000, 1000)), np.arange(1000)
rate = evaluate.rate_of(ReLU(), nothing, every)
print(f"by the library's rule: top-1 error {rate.top1:.1%}, top-5 error {rate.top5:.1%}; by the other: 0 %")
assert (rate.top1, rate.top5) == (0.999, 0.995)

# %% [markdown]
# **Chance.** If the scores know nothing of the label, its place is any of $0 … C - 1$ with the same probability. Of
# these, k are good enough:
#
# $$P(\text{place} < k) = \sum_{j=0}^{k-1} \frac{1}{C} = \frac{k}{C}, \qquad \text{top-}k\text{ error} = 1 -
#   \frac{k}{C}.$$

# %%
rng = np.random.default_rng(0)
for C in (10, 100, 1000):
    n = 4000
    rate = evaluate.rate_of(ReLU(), rng.random((n, C), np.float32), rng.integers(C, size=n))
    print(f"{C:5} classes: top-1 {rate.top1:.2%} (1 − 1/C = {1 - 1 / C:.2%}), "
          f"top-5 {rate.top5:.2%} (1 − 5/C = {1 - 5 / C:.2%})")
    for error, k in ((rate.top1, 1), (rate.top5, 5)):
        assert abs(error - (1 - k / C)) < 4 * (k / C * (1 - k / C) / n) ** 0.5

# %% [markdown]
# The paper's 37.5 % and 17.0 % are to be held against 99.9 % and 99.5 %. With ten classes, as in CIFAR-10, a top-5
# error of 50 % is chance.
#
# ## Why five?
#
# An image has one label and often shows more than one thing. A made picture:

# %%
def scene(width, height, names=("star", "heart", "ring")):
    """Figures of the built-in set in a row along the longer side."""
    row, column = np.mgrid[:height, :width] + 0.5
    ground = 70 + 90 * column / width + 40 * row / height
    pixels = np.stack([ground, ground + 20, ground + 40], axis=-1)
    long, short = max(width, height), min(width, height)
    radius = 0.85 * min(short / 2, long / (2 * len(names)))
    for k, (name, colour) in enumerate(zip(names, (ORANGE, GREEN, PURPLE), strict=True)):
        along = (k + 0.5) * long / len(names)
        x, y = (along, short / 2) if width >= height else (short / 2, along)
        distance = getattr(shapes, name)((column - x) / radius, (y - row) / radius)
        covered = np.clip(0.5 - distance * radius, 0, 1)[..., None]
        paint = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        pixels = (1 - covered) * pixels + covered * paint
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


# %% [markdown]
# A net that sees all of it, and cannot know which of the three somebody had in mind; the label happens to be *heart*.
# (These scores are made by hand.)

# %%
certain = dict.fromkeys(shapes.CLASSES, 0.01) | {"star": 0.33, "heart": 0.31, "ring": 0.29}
order = sorted(certain, key=certain.get, reverse=True)[:5]
figure = Figure(figsize=(8.2, 2.5), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
left.imshow(scene(384, 256))
left.set(title="label: heart", xticks=[], yticks=[])
right.barh(order[::-1], [certain[name] for name in order[::-1]],
           color=[ORANGE if name == "heart" else BLUE for name in order[::-1]])
right.set(title="the first five answers", xlabel="probability")
show(figure, "A picture of a star, a heart and a ring in a row, labelled heart; beside it bars of five answers: star, "
     "heart and ring nearly alike, heart second, then two small ones.")
assert order.index("heart") == 1, "wrong by top-1, right by top-5"

# %% [markdown]
# Let a *perfect* net name every one of the m things in an image, in any order, and let the label be one of these by
# lot. Its place is any of $0 … m-1$: the top-1 error is $1 - 1/m$, and the top-5 error 0 as long as $m \le 5$.

# %%
for m in (1, 2, 3, 5, 6):
    scores = rng.random((3000, 100))
    scores[:, :m] += 1  # the things that are there: 0 … m − 1
    rate = evaluate.rate_of(ReLU(), scores, rng.integers(m, size=3000))
    print(f"{m} things: top-1 error {rate.top1:.1%}, top-5 error {rate.top5:.1%}")
    assert abs(rate.top1 - (1 - 1 / m)) < 0.04
    assert abs(rate.top5 - max(0, 1 - 5 / m)) < 0.04

# %% [markdown]
# ## How sure is an error?
#
# An error of p on n images is a count: each image is wrong with a probability π that we want to know, so the count is
# binomial, and p has the mean π and the variance $\pi(1-\pi)/n$. What lies within z = 1.96 standard deviations,
#
# $$(p - \pi)^2 = z^2 \, \frac{\pi (1 - \pi)}{n} \iff
#   \left(1 + \tfrac{z^2}{n}\right) \pi^2 - \left(2p + \tfrac{z^2}{n}\right) \pi + p^2 = 0,$$
#
# is between the two roots in π: Wilson's interval, which the library gives with every error.

# %%
print(inspect.getsource(evaluate.ErrorRate._interval))
p, n, z = 0.375, 150_000, 1.96
roots = sorted(np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2]))
np.testing.assert_allclose(evaluate.ErrorRate(p, 0.17, n).interval, roots, rtol=1e-6)
for n, error, what in ((150_000, 0.375, "2010 test, top-1"), (150_000, 0.170, "2010 test, top-5"),
                       (50_000, 0.407, "2012 validation, top-1"), (50_000, 0.182, "2012 validation, top-5"),
                       (1_000, 0.375, "1,000 images")):
    low, high = evaluate.ErrorRate(error, 0.0, n).interval
    print(f"{what:23} {error:.1%}: {low:.2%} to {high:.2%}, about ± {50 * (high - low):.2f} points")

# %% [markdown]
# Does it hold? Measure a net with π = 0.4 very often, and count how often π lies in the interval. And how wide is it?

# %%
figure = Figure(figsize=(7.4, 3.0), layout="constrained")
axes = figure.subplots()
sizes = np.geomspace(100, 1e6, 60)
for error, colour in ((0.375, BLUE), (0.17, ORANGE), (0.01, GREEN)):
    low, high = evaluate.ErrorRate(error, 0.0, sizes).interval
    axes.loglog(sizes, 50 * (high - low), color=colour, label=f"error {error:.1%}")
for n in (1_000, 50_000, 150_000):
    axes.axvline(n, color="0.8", linewidth=1)
    axes.text(n * 0.95, 0.007, f"{n:,}", color="0.4", rotation=90, ha="right", va="bottom", fontsize=8)
    wrong = rng.binomial(n, 0.4, 4000)
    low, high = evaluate.ErrorRate(wrong / n, 0.0, n).interval
    print(f"{n:7,} images: {np.mean((low < 0.4) & (high > 0.4)):.1%} of 4,000 intervals hold π")
    assert 0.93 < np.mean((low < 0.4) & (high > 0.4)) < 0.97
axes.set(title="95 % interval of an error", xlabel="images", ylabel="± percentage points",
         ylim=(0.006, 15))
axes.legend(frameon=False)
show(figure, "Half the width of the interval against the number of images, both logarithmic: three parallel lines that "
     "fall by ten when images grow a hundredfold; at 50,000 images about 0.4 points for an error of 37.5 percent.")

# %% [markdown]
# Four times as many images for half the doubt. With these intervals in hand:
#
# - Validation and test differ by 0.1 point or less, the paper says of 2012 (16.4 and 16.4, 15.4 and 15.3). Chance alone
#   allows more than that: ± 0.3 for 16.4 % of 50,000.
# - 37.5 against the 45.7 % of the best before it is no chance. An ablation of 0.4 points on 50,000 images (overlapping
#   pooling: 40.7 against 41.1 %) is as large as the doubt of each of the two. Both were measured on the *same* images,
#   which makes the difference surer than either; how much another seed would change, no such interval says.
# - On 1,000 photos, as on a laptop, nothing under some three points is worth talking about.

# %%
with_overlap, without = (evaluate.ErrorRate(error, 0.0, 50_000).interval for error in (0.407, 0.411))
before, net = (evaluate.ErrorRate(error, 0.0, 150_000).interval for error in (0.457, 0.375))
assert with_overlap[1] > without[0], "these two intervals overlap"
assert before[0] - net[1] > 0.07, "these do not, by seven points"

# %% [markdown]
# ## Preparation
#
# S8. Images come in all shapes, and the net wants one. The shorter side becomes 256, the middle is cut out. With
# `squash`, all of the image is pressed into the square, which is what some programs do instead:

# %%
print(inspect.getsource(photo.square))
picture = scene(768, 512)
small = np.asarray(picture.resize((384, 256), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
in_two_steps, at_once = small[:, :, 64:320].astype(int), photo.square(picture)
print("the same in two steps, apart by", np.abs(in_two_steps - at_once).max(), "grey levels at most")
assert np.abs(in_two_steps - at_once).max() <= 2

# %% [markdown]
# **How much is lost?** Of a picture of W × H the square in the middle keeps $\min(W, H)^2$, so
#
# $$\text{lost} = 1 - \frac{\min(W,H)^2}{W H} = 1 - \frac{\min(W,H)}{\max(W,H)}.$$
#
# Squashing loses nothing, and stretches everything by $\max / \min$. Move the slider: width by height.

# %%
def shape_of(ratio=1.5):
    width, height = (round(300 * ratio), 300) if ratio >= 1 else (300, round(300 / ratio))
    whole, side = scene(width, height), min(width, height)
    figure = Figure(figsize=(8.6, 2.7), layout="constrained")
    first, cut, pressed = figure.subplots(1, 3, width_ratios=(max(1, ratio), 1, 1))
    first.imshow(whole)
    first.add_patch(Rectangle(((width - side) / 2 - 0.5, (height - side) / 2 - 0.5), side, side, fill=False, lw=2))
    cut.imshow(photo.square(whole, 128).transpose(1, 2, 0))
    pressed.imshow(photo.square(whole, 128, squash=True).transpose(1, 2, 0))
    lost = 1 - min(width, height) / max(width, height)
    titles = (f"{width} × {height}", f"cut: {lost:.0%} lost", f"squashed: {1 / (1 - lost):.2f} to 1")
    for axes, title in zip((first, cut, pressed), titles, strict=True):
        axes.set(title=title, xticks=[], yticks=[])
    return figure


# %%
slide(shape_of, "A wide picture of a star, a heart and a ring, a frame around its middle. Cut: the heart is whole, "
      "parts of star and ring are gone. Squashed: all three are there, and too narrow.", ratio=(1.5, 0.4, 2.5, 0.05))
for width, height in ((512, 256), (500, 375), (300, 400)):
    ramp = np.linspace(0, 255, width)[None] if width > height else np.linspace(0, 255, height)[:, None]
    grey = Image.fromarray(np.broadcast_to(ramp, (height, width)).astype(np.uint8)).convert("RGB")
    seen = np.ptp(photo.square(grey).astype(float)) / 255
    lost = 1 - min(width, height) / max(width, height)
    print(f"{width} × {height}: {lost:.1%} lost; a ramp from end to end, cut: {seen:.1%} of it are left")
    assert abs(seen - (1 - lost)) < 0.01

# %% [markdown]
# Of a photo of 4 : 3 a quarter is lost, of 3 : 2 a third, of 16 : 9 nearly half. That is one more reason for an error
# above zero: the thing that the label names may have been cut off. (And from the 256 × 256 the net sees 224 × 224 at a
# time: see [7. Augmentation](07_augmentation.ipynb).)
#
# ## The mean image
#
# S9. The mean of each pixel and colour over the training images. On the built-in set, in small:

# %%
print(inspect.getsource(data.Dataset.mean_image))
images = shapes.load("train", 1000 if QUICK else 4000, 32)
mean = images.mean_image()
batch = next(data.Loader(images, len(images), mean=mean, train=False).epoch(0))[0]
np.testing.assert_allclose(batch, images.images - mean, atol=1e-4)
assert np.abs(batch.mean(axis=0)).max() < 0.01, "what is left has no mean, at any pixel"
print(f"mean image: {mean.min():.0f} to {mean.max():.0f}; pixels before {images.images.min()} to "
      f"{images.images.max()}, after {batch.min():.0f} to {batch.max():.0f}")

# %%
figure = Figure(figsize=(8.6, 2.3), layout="constrained")
stretched = (mean - mean.min()) / np.ptp(mean)
shown = {"a picture": images.images[3] / 255, "the mean image": mean / 255, "the same, stretched": stretched,
         "picture − mean (+ 128)": np.clip(batch[3] + 128, 0, 255) / 255}
for axes, (title, pixels) in zip(figure.subplots(1, 4), shown.items(), strict=True):
    axes.imshow(pixels.transpose(1, 2, 0))
    axes.set(title=title, xticks=[], yticks=[])
assert mean[:, 12:20, 12:20].mean() - mean[:, :4, :4].mean() > 5
show(figure, "Four small pictures: one of the set; the mean image, an even grey; the same with more contrast, a "
     "bright spot in the middle that fades to the corners; and the first without the mean, hardly to be told from it.")

# %% [markdown]
# A flat grey, on which only the stretched one shows a spot: figures lie whole inside the picture, so the middle is
# covered most often, and they are a little brighter than what is behind them. To the eye subtracting it changes next to
# nothing. What does it do for the net?
#
# ## Why subtract it?
#
# The subtraction itself has the derivative 1. What it changes is the gradient of the *weights* behind it. One linear
# unit, $y = w^T x + b$, target t, error $e = y - t$, $L = \tfrac12 \langle e^2 \rangle$ over the images:
#
# $$\frac{\partial L}{\partial w} = \langle e \, x \rangle, \qquad \frac{\partial L}{\partial b} = \langle e \rangle.$$
#
# Write $x = \mu + \tilde x$, with μ the mean and $\langle \tilde x \rangle = 0$:
#
# $$\frac{\partial L}{\partial w} = \langle e \rangle \, \mu + \langle e \, \tilde x \rangle.$$
#
# Pixels from 0 to 255 are never negative, so for *one* image all components of $e\,x$ have the sign of e: all weights
# of the unit go up, or all go down. And whatever the images, a part of the gradient points along μ, always the same.
# Pictures of 8 × 8, made from these, for one unit of 192 weights, and t = 1 for half of the classes, −1 for the others:

# %%
n = len(images)
x = images.images.reshape(n, 3, 8, 4, 8, 4).mean(axis=(3, 5)).reshape(n, 192)
t = np.where(images.labels < 5, 1.0, -1.0)
mu = x.mean(axis=0)
centred = x - mu
unit = Dense(192, 1)
unit.astype(np.float64)
error = unit.forward(x)[:, 0] - t
unit.backward_parameters(error[:, None] / n)
np.testing.assert_allclose(unit.weight.grad[0], error.mean() * mu + (error[:, None] * centred).mean(axis=0), rtol=1e-9)
for name, inputs in (("raw", x), ("mean subtracted", centred)):
    one_sign = np.mean((inputs >= 0).all(axis=1) | (inputs <= 0).all(axis=1))
    print(f"{name}: in {one_sign:.1%} of the images all weights go the same way")
assert (x >= 0).all()

# %% [markdown]
# **Curvature.** The second derivative is the same everywhere:
#
# $$H = \frac{\partial^2 L}{\partial w \, \partial w^T} = \langle x x^T \rangle = C + \mu \mu^T, \qquad
#   C = \langle \tilde x \tilde x^T \rangle.$$
#
# With $v = \mu / |\mu|$, $v^T H v = |\mu|^2 + v^T C v$, and no $v^T H v$ is larger than the largest eigenvalue, so
#
# $$|\mu|^2 \le \lambda_1(H) \le |\mu|^2 + \lambda_1(C).$$
#
# One eigenvalue is huge, and it is about nothing but the mean. The others stay, between their neighbours in C:
# $\lambda_{i}(C) \ge \lambda_{i+1}(H) \ge \lambda_{i+1}(C)$.

# %%
C, H = centred.T @ centred / n, x.T @ x / n
np.testing.assert_allclose(H, C + np.outer(mu, mu), rtol=1e-9)
of_C, of_H = (np.linalg.eigvalsh(matrix)[::-1] for matrix in (C, H))
assert mu @ mu <= of_H[0] <= mu @ mu + of_C[0]
assert (of_C[:-1] >= of_H[1:] - 1e-6).all()
assert (of_H >= of_C - 1e-6).all()
condition = {"raw": of_H[0] / of_H[-1], "mean subtracted": of_C[0] / of_C[-1]}
print(f"|μ|² = {mu @ mu:,.0f}; largest eigenvalue {of_H[0]:,.0f} raw, {of_C[0]:,.0f} without the mean; "
      f"smallest {of_H[-1]:.1f} and {of_C[-1]:.1f}")
print("condition number", {name: round(value) for name, value in condition.items()},
      f": {condition['raw'] / condition['mean subtracted']:.0f} times as large")

# %%
figure = Figure(figsize=(8.6, 3.0), layout="constrained")
left, right = figure.subplots(1, 2)
for inputs, values, colour, label in ((x, of_H, ORANGE, "raw"), (centred, of_C, BLUE, "mean subtracted")):
    unit_length = inputs[:400] / np.linalg.norm(inputs[:400], axis=1, keepdims=True)
    cosines = (unit_length @ unit_length.T)[np.triu_indices(400, 1)]
    left.hist(cosines, np.linspace(-1, 1, 61), color=colour, alpha=0.8, label=label, density=True)
    right.semilogy(np.arange(1, 193), values, color=colour, label=label)
    print(f"{label}: mean cosine of two images {cosines.mean():z.2f}")
right.plot(1, of_H[0], "o", color=ORANGE)
right.plot(1, of_C[0], "o", color=BLUE)
left.set(title="Gradients of two images", xlabel="cosine of their angle, signs of e aside", ylabel="density")
right.set(title="Eigenvalues of the curvature", xlabel="number", ylabel="grey levels²")
left.legend(frameon=False, loc="upper left")
show(figure, "Left: cosines of raw images crowd near 0.9, those of centred ones lie around 0. Right: both rows of "
     "eigenvalues fall together over nearly four powers of ten, but the first of the raw ones stands apart, far above.")

# %% [markdown]
# **What it costs.** The error of w along an eigenvector is multiplied by $1 - \epsilon \lambda_i$ in each step. For
# $\epsilon > 2 / \lambda_1$ that diverges; with $\epsilon = 1 / \lambda_1$ the slowest part takes as many steps as the
# condition number, $\lambda_1 / \lambda_n$, to shrink by a factor of 2.7. The large eigenvalue sets the rate for all.
#
# In two dimensions (no bias), twenty steps each at $\epsilon = 1/\lambda_1$; the mean is $(m, m)$, κ the condition
# number:

# %%
GOAL, START = np.array([1.0, -0.5]), np.array([-0.9, -1.3])


def descend(axes, curvature, colour, label):
    """Twenty steps from START to GOAL in a bowl of this curvature, and the bowl's contours."""
    grid = np.stack(np.meshgrid(np.linspace(-1.2, 2.6, 60), np.linspace(-1.9, 1.4, 60)), axis=-1)
    level = np.einsum("hwi,ij,hwj->hw", grid - GOAL, curvature, grid - GOAL)
    axes.contour(*grid.transpose(2, 0, 1), level, levels=np.geomspace(0.03, 90, 10), colors="0.8", linewidths=0.8)
    values, path = np.linalg.eigvalsh(curvature), [START]
    for _ in range(20):
        path.append(path[-1] - curvature @ (path[-1] - GOAL) / values[-1])
    axes.plot(*np.transpose(path), ".-", color=colour, linewidth=0.8)
    axes.plot(*GOAL, "kx")
    axes.set(title=f"{label}: κ = {values[-1] / values[0]:.1f}", xlabel="w₁", ylabel="w₂")


# %%
def valley(m=2.5):
    spread = np.array([[1.0, 0.2], [0.2, 0.7]])
    cloud = np.random.default_rng(1).multivariate_normal([0, 0], spread, 300)
    figure = Figure(figsize=(8.8, 2.9), layout="constrained")
    first, *others = figure.subplots(1, 3)
    for axes, shift, colour, label in zip(others, (m, 0.0), (ORANGE, BLUE), ("raw", "mean subtracted"), strict=True):
        first.scatter(*(cloud + shift).T, s=3, color=colour, label=label)
        descend(axes, spread + shift**2, colour, label)
    first.set(title="inputs", xlabel="x₁", ylabel="x₂", aspect="equal")
    return figure


# %%
slide(valley, "Left: two clouds of inputs, one around zero and one to the upper right. Middle: with the mean a narrow "
      "valley; a path drops into it and creeps along. Right: without it a round bowl, and a path that arrives.",
      m=(2.5, 0.0, 4.0, 0.1))

# %% [markdown]
# And on the pictures, with the bias. With one, the subtraction changes nothing of what the unit can *say*: $w^T x + b =
# w^T \tilde x + (b + w^T \mu)$, so the least loss is the same. Only the way there differs. Each at its own rate, $1 /
# \lambda_1$:

# %%
curves, least = {}, {}
for name, inputs in (("raw", x), ("mean subtracted", centred)):
    with_bias = np.concatenate([inputs, np.ones((n, 1))], axis=1)
    curvature, slope = with_bias.T @ with_bias / n, with_bias.T @ t / n
    best = np.linalg.solve(curvature, slope)
    least[name] = 0.5 * np.mean((with_bias @ best - t) ** 2)
    w, rate, losses = np.zeros(193), 1 / np.linalg.eigvalsh(curvature)[-1], []
    for _ in range(2000):
        losses.append(0.5 * (w @ curvature @ w - 2 * slope @ w + 1))  # ⟨t²⟩ = 1
        w = w - rate * (curvature @ w - slope)
    curves[name] = np.array(losses) - least[name]
    print(f"{name}: rate {rate:.1e}, least loss {least[name]:.4f}")
assert np.isclose(least["raw"], least["mean subtracted"], rtol=1e-6)
assert curves["mean subtracted"][-1] < 0.5 * curves["raw"][-1]

# %%
figure = Figure(figsize=(6.8, 3.0), layout="constrained")
axes = figure.subplots()
for (name, curve), colour in zip(curves.items(), (ORANGE, BLUE), strict=True):
    axes.loglog(np.arange(1, 2001), curve, color=colour, label=name)
axes.set(title="Gradient descent, one unit of 192 weights and a bias", xlabel="steps", ylabel="loss above the least")
axes.legend(frameon=False)
show(figure, "The loss above the least one against steps, both logarithmic: without the mean it falls at once, with it "
     "it is some sixteen times as many steps behind.")
sooner = int(np.argmax(curves["mean subtracted"] <= curves["raw"][-1]))
print(f"where raw inputs are after 2,000 steps, those without the mean are after {sooner}: {2000 / sooner:.0f} times")
assert 10 < 2000 / sooner < 25

# %% [markdown]
# A rate sixteen times smaller, and so sixteen or seventeen times as many steps. Two remarks:

# %%
colour = x.reshape(n, 3, 64).mean(axis=(0, 2))
without_colour = (x.reshape(n, 3, 64) - colour[:, None]).reshape(n, 192)
largest = np.linalg.eigvalsh(without_colour.T @ without_colour / n)[-1]
print(f"largest eigenvalue: raw {of_H[0]:,.0f}, without the mean colour {largest:,.0f}, without the mean image "
      f"{of_C[0]:,.0f}")
assert largest < 1.01 * of_C[0]
behind = ReLU().forward(np.ascontiguousarray(centred))
ratio = np.linalg.eigvalsh(behind.T @ behind / n)[-1] / np.linalg.eigvalsh(np.cov(behind, rowvar=False))[-1]
print(f"behind a ReLU, which cuts off what is below zero, the mean is back: largest eigenvalue {ratio:.1f} times")
assert ratio > 1.5

# %% [markdown]
# Here three numbers, the mean colour, do what the whole mean image does (on photos, too, that is what most later
# programs subtract). And the cure is for the first layer alone: behind a ReLU inputs are positive again. Nothing in
# this paper sees to that; batch normalisation did, in 2015.
#
# Dividing by a standard deviation is no part of it: S9 keeps grey levels.
#
# ## Why convolution
#
# S3 in numbers. The first layer maps 224 × 224 × 3 pixels to 55 × 55 × 96. Three layers do that: *dense*, each output
# from all inputs; *local*, each from a patch of 11 × 11 × 3, with weights of its own; and a *convolution*, a patch too,
# and the same weights at every place. A connection is one multiply-add.

# %%
shape = (3, 224, 224)
conv1 = Conv2D(3, 96, 11, stride=4, rounding="ceil")
outputs = int(np.prod(conv1.output_shape(shape)))
kinds = {"dense": Dense(3 * 224 * 224, outputs), "local": Local2D(3, 96, 11, 224, stride=4, rounding="ceil"),
         "convolution": conv1}
costs = {name: layer.cost(shape) for name, layer in kinds.items()}  # no weight of these is ever made
for name, cost in costs.items():
    print(f"{name:12}{cost.macs:16,} connections{cost.parameters:16,} parameters")
assert outputs == 290_400
assert (costs["convolution"].macs, costs["convolution"].parameters) == (105_415_200, 34_944)
assert costs["dense"].macs == 150_528 * 290_400
print(f"the dense one's weights would fill {costs['dense'].parameters * 4 / 1e9:,.0f} GB")

# %%
figure = Figure(figsize=(7.4, 2.7), layout="constrained")
axes = figure.subplots()
for shift, kind, c in ((-0.2, "macs", BLUE), (0.2, "parameters", ORANGE)):
    values = [getattr(cost, kind) for cost in costs.values()]
    bars = axes.bar(np.arange(3) + shift, values, 0.4, color=c, label="connections" if kind == "macs" else kind)
    axes.bar_label(bars, [f"{value:,}" for value in values], fontsize=7)
axes.set(title="One layer, 150,528 numbers in, 290,400 out", xticks=range(3), xticklabels=costs, yscale="log",
         ylim=(1e3, 1e13), ylabel="count")
axes.legend(frameon=False)
show(figure, "Bars on a logarithmic scale for a dense, a local and a convolutional layer: connections fall by four "
     "hundred from dense to local and stay; parameters fall with them, and by three thousand more to the convolution.")

# %% [markdown]
# Two steps, two savings: *local* has fewer connections, by 150,528 / 363 = 415, and *sharing* has fewer parameters, by
# some 3,000. What is given up: a convolution is a dense layer whose weights are nearly all 0, and the others the same
# ones over and over. Its matrix, in small, from its answers to one pixel at a time:

# %%
small = Conv2D(1, 2, 3)
small.initialise(1)
pixels = np.eye(36, dtype=np.float32).reshape(36, 1, 6, 6)
matrix = small.forward(pixels).reshape(36, 32).T
print(f"{matrix.shape[0]} × {matrix.shape[1]}: {matrix.size} weights, {np.count_nonzero(matrix)} are not 0, "
      f"{len(np.unique(matrix[matrix != 0]))} differ")
assert np.count_nonzero(matrix) == small.cost((1, 6, 6)).macs == 32 * 9
assert len(np.unique(matrix[matrix != 0])) == small.weight.size == 18
reference = np.random.default_rng(0).standard_normal((1, 1, 6, 6)).astype(np.float32)
as_dense = (matrix @ reference.ravel()).reshape(1, 2, 4, 4)
np.testing.assert_allclose(small.forward(reference), as_dense, rtol=1e-4, atol=1e-6)

# %% [markdown]
# That is the prior knowledge of S2: what is worth seeing is small, and looks alike wherever it lies. (How it is
# computed: [18. im2col](18_im2col.ipynb).) The best such net cannot fit better than the best dense one, whose weights
# could be these; the paper expects it to be slightly worse. At 175 GB for one layer that is hard to measure.
#
# ## Capacity
#
# S2 and S4, and §4's first remark. A label of 1,000 classes is worth $\log_2 1000 \approx 10$ bits. So much do all the
# labels say, against so many numbers to be found:

# %%
cost = models.alexnet().cost(shape)
bits = training * np.log2(classes)
print(f"{cost.parameters:,} parameters; {bits / 1e6:.1f} million bits of labels: {cost.parameters / bits:.1f} "
      f"parameters for each bit")
images_a_second = [90 * training / (days * 24 * 3600) for days in (6, 5)]
print(f"90 times 1.2 million images in five to six days: {images_a_second[0]:.0f} to {images_a_second[1]:.0f} a second")
assert cost.parameters == 60_965_224
assert 9.9 < np.log2(1000) < 10
assert np.allclose(images_a_second, [208, 250], atol=0.5)

# %% [markdown]
# Five parameters for each bit: even 1.2 million images do not keep this net from learning them by heart. Hence
# [7. Augmentation](07_augmentation.ipynb) and [8. Dropout](08_dropout.ipynb). What of it fits into 3 GB is counted in
# [3. Two GPUs](03_two_gpus.ipynb).
#
# ## Exercises
#
# ### 1. Top-k
#
# Write it: scores (N, C), labels (N,), k, to the fraction of images whose label is not among the first k. Of equal
# scores the lower class number stands first, as in the library.

# %% tags=["exercise"]
def top_error(scores, labels, k):
    return None


# %% tags=["check"]
trial = np.random.default_rng(5)
some, right = trial.integers(0, 12, (500, 30)).astype(float), trial.integers(30, size=500)  # with many ties
if top_error(some, right, 1) is None:
    print("Exercise 1: not answered yet.")
else:
    rate = evaluate.rate_of(ReLU(), some, right)
    assert np.isclose(top_error(some, right, 1), rate.top1), "exercise 1: not top-1"
    assert np.isclose(top_error(some, right, 5), rate.top5), "exercise 1: not top-5"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# A *stable* sort leaves equal ones in their order.
#
# ```python
# def top_error(scores, labels, k):
#     first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
#     return np.mean((first != labels[:, None]).all(axis=1))
# ```
#
# </details>

# %% [markdown]
# ### 2. A tenth of a point
#
# How many test images does it take to know a top-5 error of 16.4 % to ± 0.1 percentage points, with 95 %? (To the
# nearest thousand will do.) And by which factor more for ± 0.01?

# %% tags=["exercise"]
images_needed, factor = None, None

# %% tags=["check"]
if images_needed is None or factor is None:
    print("Exercise 2: not answered yet.")
else:
    low, high = evaluate.ErrorRate(0.164, 0.0, images_needed).interval
    assert np.isclose((high - low) / 2, 0.001, rtol=0.005), "exercise 2: not so many"
    assert factor == 100, "exercise 2: not this factor"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# For so many images Wilson's is the plain $\pm z \sqrt{p (1-p) / n}$. Three and a half times the test set of 2010.
#
# ```python
# images_needed = round(1.96**2 * 0.164 * (1 - 0.164) / 0.001**2)
# factor = 100
# ```
#
# </details>

# %% [markdown]
# ### 3. From 0 to 1
#
# Divide all pixels by 255, after subtracting the mean. By which factor does the condition number of C change, and by
# which the largest rate at which gradient descent does not diverge?

# %% tags=["exercise"]
of_condition, of_rate = None, None

# %% tags=["check"]
if of_condition is None or of_rate is None:
    print("Exercise 3: not answered yet.")
else:
    values = np.linalg.eigvalsh(np.cov(centred / 255, rowvar=False, bias=True))
    assert np.isclose(of_condition, values[-1] / values[0] / condition["mean subtracted"], rtol=1e-4), "not the first"
    assert np.isclose(of_rate, of_C[0] / values[-1], rtol=1e-4), "exercise 3: not the second"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# C is divided by 255², all of its eigenvalues alike. (The paper's ε of 0.01 belongs to grey levels, and to momentum,
# and to weights that begin at 0.01.)
#
# ```python
# of_condition, of_rate = 1, 255**2
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **Accuracies for errors.** 37.5 and 17.0 are what goes *wrong*; the challenge is ranked by the top-5 error.
# - **"1.5 million images"**: 1.2 M, 50,000 and 150,000 are 1.4 M. And ImageNet (22,000 classes) is not ILSVRC (1,000).
# - **"Raw" read as "first".** Raw RGB means: the pixels as they are, but for the mean.
# - **The year.** 37.5 / 17.0 is 2010's test set. 15.3, the number of the challenge, is 2012's, by seven nets, two of
#   which had seen all of ImageNet.
# - **"1.2 million are enough, so it does not overfit."** They are enough to *train* so large a net. It overfits.
# - **Memory short because of the data.** Because of the net, and its maps.
#
# And in programs:
#
# - **Squashing**, or scaling the *longer* side and filling up: other pictures than the net was made for.
# - **The test set's own mean** subtracted from it, or none; or the mean image scaled to 0 … 1 and pixels to 255.
# - **Blue first.** Caffe's weights want blue, green, red; OpenCV reads them so. The error rises, and nothing fails.
# - **Ties counted as right**: a net that has diverged to all zeros (or NaN) then has an error of 0. In npnet it is
#   chance, and NaN is refused:

# %%
try:
    evaluate.rate_of(ReLU(), np.full((2, 10), np.nan), np.array([0, 1]))
except UserError as problem:
    print(problem)
