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
# # 7. Augmentation: the same picture, again and again another one
#
# **AlexNet §4.1** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. Less than a minute on a laptop,
# without a GPU and without a network.
#
# > **초록.** AlexNet 4.1절은 데이터 증강(data augmentation)을 다룬다. 첫째는 256×256 그림에서 224×224 조각(crop)을
# > 아무 데서나 잘라 내고 절반은 좌우로 뒤집는(mirror) 것이고, 둘째는 픽셀 색의 주성분 분석(PCA)으로 찾은 방향으로
# > 그림 전체의 색을 조금씩 옮기는 것이다. 이 노트북은 잘라 내고 뒤집어 얻는 조각이 논문의 2,048가지가 아니라
# > 2,178가지(자리 1,089곳 × 2)인 까닭을 세어 보고, 그림의 가장자리가 가운데보다 훨씬 드물게 보인다는 것을 그림으로
# > 확인한다. 색의 공분산(covariance)을 실제로 분해해 주성분을 그리고, 논문의 식대로 고윳값(eigenvalue) λ를 그대로
# > 곱하면 그림이 새하얗거나 새까맣게 뭉개져 버리며 원래 프로그램은 제곱근 √λ를 곱했다는 것을 보인다. 시험할 때 열
# > 조각의 예측을 평균하는 방법도 따라가 보고, 증강을 껐을 때 실제로 얼마나 과적합(overfitting)하는지를 저장된 학습
# > 결과로 확인한 뒤, 연습문제와 흔한 오해로 마무리한다.
#
# You will have: every crop counted, the colours of pictures taken apart into their principal components, the reason why
# the printed formula cannot be taken at its word, ten views averaged, and what all of it is worth on real photos.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | The commonest way against overfitting: enlarge the set by changes that keep the label. | *What it is worth* |
# | S2 | Two ways, both cheap: nothing need be stored. | *Drawn, not stored* |
# | S3 | The CPU makes them while the GPU learns from the batch before: they cost nothing. | *Drawn, not stored* |
# | S4 | First: random patches of 224 × 224 out of 256 × 256, and their mirror images. | *Crops* |
# | S5 | This enlarges the set 2,048 times; the images depend on each other strongly. | *Crops* |
# | S6 | Without it the net overfits badly. | *What it is worth* |
# | S7 | In testing: four corners and the centre, and mirrored; the ten softmaxes averaged. | *Ten views* |
# | S8 | Second: PCA of all RGB values; add the components, times eigenvalue, times N(0, 0.1). | *Colour* |
# | S9 | One draw for all pixels of an image, another when it is used again. | *Colour* |
# | S10 | It says that light may change in brightness and colour. It gains over 1 point of top-1. | *Colour* |

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import npnet
from npnet import data
from npnet.data import augment, shapes
from npnet.layers import Conv2D
from npnet.notebook import BLUE, GREEN, ORANGE, begin, show, slide, stored
from npnet.train import metrics

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## Crops
#
# A picture of 256 × 256 (of the built-in set, which can be drawn at any size), and five patches of 224 × 224 as the
# loader draws them:

# %%
photos = shapes.load("train", 12, 256)
picture = photos.images[3]
offsets, mirrored = augment.crop_offsets(0, 0, np.arange(5), (32, 32)), augment.mirror_flags(0, 0, np.arange(5))
figure = Figure(figsize=(8.8, 1.9), layout="constrained")
first, *others = figure.subplots(1, 6)
first.imshow(picture.transpose(1, 2, 0))
first.set(title="256 × 256", xticks=[], yticks=[])
for axes, (top, left), flip, colour in zip(others, offsets, mirrored, (BLUE, ORANGE, GREEN, "k", "w"), strict=True):
    patch = picture[:, top : top + 224, left : left + 224]
    axes.imshow((patch[:, :, ::-1] if flip else patch).transpose(1, 2, 0))
    axes.set(title=f"({top}, {left}){' mirrored' if flip else ''}", xticks=[], yticks=[])
    first.add_patch(Rectangle((left, top), 224, 224, fill=False, edgecolor=colour))
show(figure, "A picture with five frames in it, and the five patches, some of them mirrored left to right.")

# %% [markdown]
# **2,048?** (S5.) 256 − 224 = 32, and $32 \cdot 32 \cdot 2 = 2048$. But a patch may begin at 0, 1, … 32: that is 33
# places along each side, as from 0 to 1 there are two. The program of 2012 draws from all 33:

# %%
drawn = augment.crop_offsets(0, 0, np.arange(200_000), (32, 32))
places = {tuple(place) for place in drawn.tolist()}
print(f"from {drawn.min()} to {drawn.max()}, {len(places):,} places, {2 * len(places):,} with mirror images")
assert len(places) == 33**2
assert 2 * 33**2 == 2178

# %% [markdown]
# "Strongly dependent": how much do two patches have in common? And how often is a pixel seen at all? Along one side,
# pixel x is in the patches that begin at $x - 223$ … $x$, of the 33 that there are.

# %%
def seen(whole=256, crop=224):
    whole, crop = int(whole), min(int(crop), int(whole))
    room, x = whole - crop, np.arange(whole)
    along = (np.minimum(x, room) - np.maximum(x - crop + 1, 0) + 1) / (room + 1)
    figure = Figure(figsize=(8.0, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    left.plot(x, along, color=BLUE)
    left.set(title="Along one side", xlabel="pixel", ylabel="fraction of patches that hold it", ylim=(0, 1.05))
    shown = right.imshow(np.outer(along, along), cmap="cividis", vmin=0, vmax=1)
    right.set(title=f"corner {np.outer(along, along)[0, 0]:.2g}, centre {along.max() ** 2:.2g}", xticks=[], yticks=[])
    figure.colorbar(shown, ax=right)
    return figure


slide(seen, "Left: the fraction rises from 3 percent at the edge to 1 within 32 pixels, and falls likewise. Right: a "
      "bright square with dark borders and darker corners.", whole=(256, 224, 320, 4), crop=(224, 160, 256, 4))
first_offsets, second = drawn[:100_000].astype(float), drawn[100_000:].astype(float)
common = np.prod(224 - np.abs(first_offsets - second), axis=1) / 224**2
print(f"two patches of a picture share {common.mean():.0%} of their pixels on average, those of opposite corners "
      f"{((224 - 32) / 224) ** 2:.0%}")
assert 0.88 < common.mean() < 0.93

# %% [markdown]
# So 2,178 times as many images is not 2,178 times as much to learn from. What stands in a corner is seen in one patch
# of 1,089.
#
# A mirror image looks like a new picture, and to a convolution it nearly is the old one: a mirrored picture under
# mirrored kernels gives the mirrored map. So the net needs *pairs* of kernels for what may look either way.

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((1, 3, 9, 9))
plain, turned = Conv2D(3, 4, 3), Conv2D(3, 4, 3)
for layer in (plain, turned):
    layer.astype(np.float64)
turned.weight.assign(np.ascontiguousarray(plain.weight.numpy()[..., ::-1]))
np.testing.assert_allclose(turned.forward(np.ascontiguousarray(x[..., ::-1]))[..., ::-1], plain.forward(x), rtol=1e-12)

# %% [markdown]
# ## Drawn, not stored
#
# What is drawn for a picture is a function of (seed, epoch, its index), here is the whole of it:

# %%
print(inspect.getsource(augment.crop_offsets))

# %% [markdown]
# So nothing depends on which thread makes a batch, or when, and a training that was stopped draws what it would have
# drawn (S2). Batches are made on threads of their own while the net computes (S3). One thread or three: the same bits.

# %%
batches = {threads: [x.copy() for x, _ in data.Loader(photos, 4, crop=224, mirror=True, threads=threads).epoch(5)]
           for threads in (1, 3)}
for one, three in zip(batches[1], batches[3], strict=True):
    np.testing.assert_array_equal(one, three)
again = next(data.Loader(photos, 4, crop=224, mirror=True).epoch(6))[0]
assert not np.array_equal(again, batches[1][0]), "another epoch, another draw"

# %% [markdown]
# One detail the paper leaves out: the mean *image* that is taken off has 256 × 256 pixels, and a patch 224. From every
# patch, wherever it was cut, the program takes the *centre* of the mean image.

# %%
mean = photos.mean_image()
still, cut = (next(data.Loader(photos, 12, crop=224, mean=m, seed=3).epoch(0))[0] for m in (mean, None))
np.testing.assert_allclose(cut - still, np.broadcast_to(augment.center_crop(mean, 224), cut.shape), atol=1e-3)

# %% [markdown]
# ## Ten views
#
# S7. Where they lie, and what averaging does: the mean of *probabilities*, not of logits. Three views of an image of
# which two are undecided and one is very sure:

# %%
print([place for place, _ in augment.views((32, 32))[:5]])
assert augment.views((32, 32))[4] == ((16, 16), False)
assert len(augment.views((32, 32))) == 10


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


logits = np.array([[1.0, 0.8, 0.0], [1.0, 0.8, 0.0], [0.0, 6.0, 0.0]])
of_probabilities, of_logits = softmax(logits).mean(axis=0), softmax(logits.mean(axis=0))
print("mean of probabilities", np.round(of_probabilities, 3), "softmax of the mean logits", np.round(of_logits, 3))
assert not np.allclose(of_probabilities, of_logits, atol=0.05)

# %% [markdown]
# With logits the sure one decides nearly alone. (The mean of logits is the geometric mean of the probabilities: see the
# notebook on dropout.)
#
# ## Colour
#
# S8. Every pixel of all training images is a point in a cube of red, green and blue. Their covariance C is a symmetric
# 3 × 3 matrix, $C p_j = \lambda_j p_j$: three directions at right angles, and along each the variance $\lambda_j$. On
# the images that are here:

# %%
found = data.cifar10.find()
images = data.load(found or "shapes", "train", 2000)
SET = "CIFAR-10" if found else "shapes, the built-in set"
pixels = images.images.transpose(0, 2, 3, 1).reshape(-1, 3).astype(float)
covariance = np.cov(pixels, rowvar=False)
np.testing.assert_allclose(covariance, images.covariance(), rtol=1e-3)
values, vectors = np.linalg.eigh(covariance)
for value, vector in zip(values[::-1], vectors.T[::-1], strict=True):
    print(f"λ = {value:8,.0f}   √λ = {value**0.5:5.1f}   p = {np.round(vector * np.sign(vector.sum()), 3)}")
np.testing.assert_allclose(covariance @ vectors, vectors * values, rtol=1e-9, atol=1e-6)

# %%
few = pixels[rng.choice(len(pixels), 4000, replace=False)]
figure = Figure(figsize=(8.2, 3.6), layout="constrained")
for axes, j, name in zip(figure.subplots(1, 2), (1, 2), ("green", "blue"), strict=True):
    axes.scatter(few[:, 0], few[:, j], s=4, c=few / 255)
    for k, colour in ((2, "k"), (1, ORANGE), (0, BLUE)):
        step, middle = 2 * values[k] ** 0.5 * vectors[[0, j], k], few.mean(axis=0)[[0, j]]
        axes.plot(*np.array([middle - step, middle + step]).T, color=colour)
    axes.set(xlabel="red (grey levels)", ylabel=f"{name} (grey levels)", xlim=(0, 255), ylim=(0, 255),
             aspect="equal", title=f"Pixels of {SET}")
show(figure, "Pixels as points in their own colour, red against green and red against blue; through their middle three "
     "lines: the longest along the diagonal, from dark to bright, the others short and across it.")

# %% [markdown]
# The first component, by far the longest, is *brightness*: all three colours together. The others are colour proper. To
# every pixel of an image is added
#
# $$[p_1, p_2, p_3] \, [\alpha_1 \lambda_1, \alpha_2 \lambda_2, \alpha_3 \lambda_3]^T, \qquad \alpha_j \sim
#   \mathcal{N}(0, 0.1).$$
#
# **Can that be meant?** λ is a *variance*: its unit is grey levels squared, and what is added must be grey levels.
# For ImageNet's pixels from 0 to 255 it has been published: $\lambda_1 \approx 14{,}800$. A tenth of that would shift
# an image by ± 1,480 along $p_1$, some 860 in each colour, of 255 grey levels that there are. The program of 2012
# multiplies by $\sqrt{\lambda}$: by ± 12, 7 in each.

# %%
largest = np.linalg.eigvalsh(augment.IMAGENET)[-1]
print(f"ImageNet: λ₁ = {largest:,.0f}; 0.1 λ₁ = {0.1 * largest:,.0f}, 0.1 √λ₁ = {0.1 * largest**0.5:.1f} grey levels")
assert 14_000 < largest < 15_500
assert 11 < 0.1 * largest**0.5 < 13

# %%
figure = Figure(figsize=(8.8, 3.6), layout="constrained")
for row, (roots, what) in zip(figure.subplots(2, 6), ((True, "√λ"), (False, "λ")), strict=True):
    shifts = augment.colour_shifts(1, 0, np.arange(6), augment.colour_axes(augment.IMAGENET, roots))
    for axes, shift in zip(row, shifts, strict=True):
        changed = np.clip(picture + shift[:, None, None], 0, 255).astype(np.uint8)
        axes.imshow(changed.transpose(1, 2, 0))
        axes.set(title=f"{what}: {shift.mean():+.0f}", xticks=[], yticks=[])
show(figure, "Above, the picture six times with slightly other colours and brightness. Below, with eigenvalues for "
     "their roots: nearly all black, white, or a plain colour.")

# %% [markdown]
# Where pixels are between 0 and 1, as in Torch's programs, the printed formula does work: there $\lambda_1 = 0.228$,
# and a tenth of it is 5.8 grey levels of 255, half of what the program did. So both readings live on, each in its
# units. npnet's recipes take the roots; `npnet augment PHOTO` shows both, on a photo of yours.
#
# The program also divides the image by 1.1 afterwards, to keep its scale, and S9's draw is one for the whole image:

# %%
axes = augment.colour_axes(augment.IMAGENET, roots=True)
shifts = augment.colour_shifts(0, 0, np.arange(100_000), axes)
np.testing.assert_allclose(np.cov(shifts, rowvar=False), 0.01 * augment.IMAGENET, rtol=0.05, atol=1.0)
assert shifts.shape == (100_000, 3), "three numbers an image, not three a pixel"

# %% [markdown]
# That check says what the roots do: shifts have a hundredth of the *covariance of the pixels themselves*. S10's
# reading, that light changes, fits: the first component is more light or less.
#
# ## What it is worth
#
# S1 and S6 on real photos: AlexNet from scratch on 5,000 photos of ten classes, with augmentation and without, if these
# trainings are stored (`results/alexnet`):

# %% tags=["stored"]
runs = {name: metrics.read(f"results/alexnet/{name}") for name in ("full", "no-augmentation")}
stored(runs, "AlexNet on 5,000 photos",
       "Test error with points and training error without, against epochs: without augmentation the training error "
       "goes to nothing, and the test error ends higher.")

# %% [markdown]
# ## Exercises
#
# ### 1. Variants
#
# cuda-convnet's nets for CIFAR-10 cut 24 × 24 out of 32 × 32, mirrored or not. How many variants of a picture is that?

# %% tags=["exercise"]
variants = None

# %% tags=["check"]
if variants is None:
    print("Exercise 1: not answered yet.")
else:
    assert variants == 2 * len({tuple(place) for place in augment.crop_offsets(0, 0, np.arange(9999), (8, 8)).tolist()})
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# 0 … 8 along each side.
#
# ```python
# variants = 9 * 9 * 2
# ```
#
# </details>

# %% [markdown]
# ### 2. In the corner
#
# With the paper's 224 out of 256: in which fraction of all (unmirrored) patches is the picture's top left pixel? And in
# which the pixel at row 10, column 100?

# %% tags=["exercise"]
corner, inside = None, None

# %% tags=["check"]
if corner is None or inside is None:
    print("Exercise 2: not answered yet.")
else:
    holds = [np.mean([top <= y < top + 224 and left <= x < left + 224 for top in range(33) for left in range(33)])
             for y, x in ((0, 0), (10, 100))]
    assert np.isclose(corner, holds[0]), "exercise 2: not the corner"
    assert np.isclose(inside, holds[1]), "exercise 2: not the other one"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Only the patch that begins at (0, 0) holds the corner. Row 10 is in those that begin at rows 0 … 10; column 100 is in
# all.
#
# ```python
# corner, inside = 1 / 33**2, 11 / 33
# ```
#
# </details>

# %% [markdown]
# ### 3. A shift by hand
#
# Given the covariance and α (three numbers), compute what is added to red, green and blue, as the program of 2012 did
# (roots). Largest component first; of p and −p take the one whose sum is positive.

# %% tags=["exercise"]
def shift_of(covariance, alpha):
    return None


# %% tags=["check"]
alpha = np.array([0.1, -0.05, 0.2])
answer = shift_of(augment.IMAGENET, alpha)
if answer is None:
    print("Exercise 3: not answered yet.")
else:
    np.testing.assert_allclose(answer, augment.colour_axes(augment.IMAGENET, roots=True) @ alpha, rtol=1e-9)
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def shift_of(covariance, alpha):
#     values, vectors = np.linalg.eigh(covariance)  # the smallest first
#     total = np.zeros(3)
#     for a, value, p in zip(alpha, values[::-1], vectors.T[::-1], strict=True):
#         total += a * value**0.5 * p * np.sign(p.sum())
#     return total
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# In the paper itself: 2,048 where 33 · 33 · 2 are meant, and λ where the program takes its root. In summaries:
#
# - **Ten patches in training.** The ten are for testing (S7); in training a patch is drawn each time.
# - **"Four corners and the centre", listed as four**: bottom left goes missing.
# - **The GPU makes the patches.** The CPU does, while the GPU learns from the batch before (S3).
# - **"N(0, 0.1)" as a variance.** 0.1 is the standard deviation.
#
# And in programs:
#
# - **Eigenvalues on pixels of 0 to 255** (above), or noise drawn for each *pixel*: that is film grain, not light.
# - **Averaging logits** over the views; forgetting to switch the colours off in testing.
# - **The mean colour for the mean image**, or the mean image cropped where the patch was.
# - **Squashing to 256 × 256.** The paper scales the *shorter side* to 256 and cuts the middle square (§2). Caffe's
#   tutorial squashes, and so do many data sets that go by the name.
