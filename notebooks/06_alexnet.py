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
# # 6. The whole net: Figure 2, layer by layer
#
# **AlexNet §3.5** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. Half a minute on a laptop,
# without a GPU and without a network.
#
# > **초록.** AlexNet 3.5절은 망 전체의 구조(architecture)를 설명한다. 가중치가 있는 층은 여덟 개로, 앞의 다섯은 합성곱
# > 층(convolutional layer)이고 뒤의 셋은 완전 연결 층(fully connected layer)이다. 마지막 출력은 1,000개 부류(class)에
# > 대한 소프트맥스(softmax)로 들어간다. 이 노트북은 그림 2를 라이브러리의 층에서 직접 그려 내고, 논문이 말하는
# > 커널(kernel)의 모양과 개수, 뉴런 수와 매개변수(parameter) 수를 하나하나 세어 확인한다. 그 과정에서 논문이 스스로
# > 어긋나는 곳들, 곧 입력이 224픽셀인지 227픽셀인지, 첫 층의 뉴런이 253,440개인지 290,400개인지, 합성곱 층마다
# > 매개변수가 정말 1% 이하인지를 따져 본다. 두 GPU로 나뉜 층이 그룹 합성곱(grouped convolution)과 같다는 것도
# > 계산으로 보인다. 목적함수(objective)의 기울기를 유도해 검사하고, 연습문제 세 개를 푼 뒤, 요약 글과 구현들이 자주
# > 틀리는 대목을 정리한다.
#
# You will have: the net drawn from its own layers, every number of the section counted, those that do not add up
# found, and the gradient that training starts from.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | Eight layers with weights: five convolutions, three fully connected. | *The net* |
# | S2 | The last one's 1,000 outputs go into a softmax. | *The objective* |
# | S3 | Training maximises the mean log-probability of the right label. | *The objective* |
# | S4 | conv2, conv4, conv5 see only the maps on their own GPU. | *Two columns* |
# | S5 | conv3 sees all of conv2's; fully connected layers see everything. | *Two columns* |
# | S6 | Normalisation follows conv1 and conv2; pooling follows both, and conv5. | *The net* |
# | S7 | Every convolution and fully connected layer has a ReLU. | *What summaries get wrong* |
# | S8 | conv1: 96 kernels of 11 × 11 × 3, every 4 pixels, on 224 × 224 × 3. | *224 or 227* |
# | S9 | conv2: 256 of 5 × 5 × 48. | *The net* |
# | S10 | conv3, 4, 5 follow each other directly: 384 of 3 × 3 × 256, 384 and 256 of 3 × 3 × 192. | *The net* |
# | S11 | Fully connected layers have 4,096 neurons each. | *The net* |
# | C1 | Figure 2's caption counts neurons: 150,528 in; then 253,440, 186,624, … 1,000. | *Neurons* |

# %%
import inspect
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import npnet
from npnet import gradcheck, models, plot
from npnet.kernels.numpy.loss import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from npnet.layers import Conv2D, Dense, SoftmaxCrossEntropy
from npnet.layers.layer import sliding_size
from npnet.models import summary
from npnet.models.diagram import diagram
from npnet.notebook import BLUE, ORANGE, begin, show, show_file, slide

QUICK = begin()

# %% [markdown]
# ## The net
#
# `models.alexnet()` is a function that returns layers. Weights are made when they are first asked for, so that a net
# can be looked at in no time:

# %%
net = models.alexnet()
print(summary.text(net, (3, 224, 224)))

# %% [markdown]
# What makes it. The switches `s` are for other nets of that name (notebook 19); as they stand, it is the paper's:

# %%
print(inspect.getsource(models.alexnet).split('"""')[2])

# %% [markdown]
# Count with the section in hand. S1, S9 to S11 are about the shapes of weights (outputs × inputs of one group ×
# height × width):

# %%
shapes = {p.name: p.shape for p in net.parameters() if p.name.endswith("weight")}
assert len(shapes) == 8
assert shapes["conv1.weight"] == (96, 3, 11, 11)
assert shapes["conv2.weight"] == (256, 48, 5, 5)
assert shapes["conv3.weight"] == (384, 256, 3, 3)
assert shapes["conv4.weight"] == (384, 192, 3, 3)
assert shapes["conv5.weight"] == (256, 192, 3, 3)
assert [shapes[f"fc{i}.weight"][0] for i in (6, 7, 8)] == [4096, 4096, 1000]
behind = {name: net.names[i + 1 : i + 4] for i, name in enumerate(net.names) if name.startswith("conv")}
assert behind["conv1"] == ["relu1", "norm1", "pool1"], "S6, S7"
assert behind["conv2"] == ["relu2", "norm2", "pool2"]
assert behind["conv5"][:2] == ["relu5", "pool5"]

# %% [markdown]
# And Figure 2, drawn from these layers (`npnet draw alexnet` does it):

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "alexnet.png"
    plot.diagram(diagram(net, (3, 224, 224)), "AlexNet", [path])
    show_file(path, width=420, alt=(
        "A column of boxes from the input down: five convolutions with what stands between them, then three fully "
        "connected layers with dropout; to the left of the boxes the shape of what flows."))

# %% [markdown]
# ## 224 or 227?
#
# The best-known riddle of the paper. With kernels of 11 every 4 pixels on 224, and no padding, $(224 - 11)/4 = 53.25$.
# A count of 54 comes out, rounded down; Figure 2 and C1 have **55**. Many have concluded that the input must be 227,
# for which it comes out even. The program that made the paper's numbers is public now, and it has neither padding nor
# 227: it rounds *up*, and reads zeros past the right and the bottom edge.

# %%
for side, pad, rounding, whose in ((224, 0, "floor", "rounded down"), (224, 0, "ceil", "the program of 2012"),
                                   (227, 0, "floor", "Caffe"), (224, 2, "floor", "torchvision")):
    print(f"{side} pixels, padding {pad}: {sliding_size(side, 11, 4, pad, rounding)}   {whose}")
assert [sliding_size(*row) for row in ((224, 11, 4, 0, "floor"), (224, 11, 4, 0, "ceil"), (227, 11, 4, 0, "floor"),
                                       (224, 11, 4, 2, "floor"))] == [54, 55, 55, 55]

# %% [markdown]
# Three ways to 55, and three different first layers: their windows lie on different pixels. The first and the last two
# windows of a row, on the edge of the image:

# %%
def edges(side=224, pad=0, up=1, kernel=11, stride=4):
    side, pad, kernel, stride = (int(v) for v in (side, pad, kernel, stride))
    count = sliding_size(side, kernel, stride, pad, "ceil" if up else "floor")
    figure = Figure(figsize=(8.4, 2.2), layout="constrained")
    for axes, windows, near in zip(figure.subplots(1, 2), ((0, 1), (count - 2, count - 1)), (0, side), strict=True):
        axes.add_patch(Rectangle((0, 0), side, 1, facecolor="0.85"))
        for row, i in enumerate(windows):
            axes.add_patch(Rectangle((i * stride - pad, -1.2 - row), kernel, 0.7, facecolor=(BLUE, ORANGE)[row]))
            axes.text(i * stride - pad + kernel / 2, -0.85 - row, f"{i}", ha="center", va="center", color="white")
        axes.set(xlim=(near - 18, near + 18), ylim=(-2.4, 1.2), yticks=[], xlabel="pixel")
    figure.suptitle(f"{side} pixels (grey), padding {pad}: windows 0 to {count - 1}")
    return figure


slide(edges, "Left edge: the first two windows begin at pixels 0 and 4. Right edge: the last window reaches three "
      "pixels past the image's end.", side=(224, 200, 240, 1), pad=(0, 0, 5, 1), up=(1, 0, 1, 1))
assert 54 * 4 + 11 - 224 == 3

# %% [markdown]
# So the program's image is, in effect, 227 pixels wide, the last three of them zero. (Weights carry over between the
# three conventions, shifted by a pixel or two; results differ a little at the border.)
#
# ## Neurons
#
# C1's numbers beside the layers' own: what each layer with weights computes for one image.

# %%
printed = {"conv1": 253_440, "conv2": 186_624, "conv3": 64_896, "conv4": 64_896, "conv5": 43_264, "fc6": 4096,
           "fc7": 4096, "fc8": 1000}
counted = {row.name: row.neurons for row in summary.rows(net, (3, 224, 224)) if row.neurons}
for name in printed:
    differs = "  ←" if printed[name] != counted[name] else ""
    print(f"{name:5}  printed {printed[name]:8,}  counted {counted[name]:8,}{differs}")
print(f"sum    printed {sum(printed.values()):8,}  counted {sum(counted.values()):8,}")
assert 224 * 224 * 3 == 150_528
assert counted["conv1"] == 55 * 55 * 96 == 290_400
assert printed["conv1"] == 55 * 48 * 96, "a 48 stands where a 55 should"
assert [name for name in printed if printed[name] != counted[name]] == ["conv1"]
assert sum(counted.values()) == 659_272

# %% [markdown]
# One number of the caption is wrong, conv1's. The abstract's "650,000 neurons" fits the right sum, 659,272, better than
# the caption's own, 622,312.
#
# ## Where parameters and work are
#
# 60 million parameters, says the abstract. Where are they, and where is the work?

# %%
rows = [row for row in summary.rows(net, (3, 224, 224)) if row.cost.parameters]
names, parameters, macs = (np.array(column) for column in zip(
    *((row.name, row.cost.parameters, row.cost.macs) for row in rows), strict=True))
figure = Figure(figsize=(8.4, 3.0), layout="constrained")
axes = figure.subplots()
axes.bar(np.arange(8) - 0.2, parameters / parameters.sum(), 0.4, color=BLUE, label="parameters")
axes.bar(np.arange(8) + 0.2, macs / macs.sum(), 0.4, color=ORANGE, label="multiply-adds")
axes.set(title=f"{parameters.sum():,} parameters, {macs.sum() / 1e6:.0f} million multiply-adds an image",
         ylabel="fraction of all", xticks=range(8), xticklabels=names)
axes.legend(frameon=False)
show(figure, "Bars for eight layers: nearly all parameters are in fc6 and fc7, nearly all multiply-adds in the five "
     "convolutions.")
convolutions = np.array([name.startswith("conv") for name in names])
print(f"convolutions: {parameters[convolutions].sum() / parameters.sum():.1%} of the parameters, "
      f"{macs[convolutions].sum() / macs.sum():.0%} of the work")

# %%
assert parameters.sum() == 60_965_224
assert macs.sum() == 724_406_816
shares = dict(zip(names, parameters / parameters.sum(), strict=True))
for name in names[convolutions]:
    print(f"{name}: {shares[name]:.2%} of the parameters{'  ← more than 1 %' if shares[name] > 0.01 else ''}")
assert [name for name in names[convolutions] if shares[name] > 0.01] == ["conv3", "conv4"]

# %% [markdown]
# The paper's introduction says that each convolution holds no more than 1 % of the parameters. conv3 and conv4 hold
# 1.45 and 1.09 %. (The point it makes stands: taking one out costs 2 % in error and next to no parameters.)
#
# ## Two columns
#
# S4 in one sentence: a convolution whose halves see only half of the input. That is a *grouped* convolution, and equal
# to two small ones side by side:

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((2, 8, 6, 6))
whole = Conv2D(8, 6, 3, pad=1, groups=2)
whole.astype(np.float64)
y = whole.forward(x)
for half in (0, 1):
    own = Conv2D(4, 3, 3, pad=1)
    own.astype(np.float64)
    own.weight.assign(whole.weight.numpy()[3 * half : 3 * half + 3])
    mine = own.forward(np.ascontiguousarray(x[:, 4 * half : 4 * half + 4]))
    np.testing.assert_allclose(y[:, 3 * half : 3 * half + 3], mine, rtol=1e-12)
without = models.alexnet(groups=(1,) * 5)
print(f"without groups: {without.cost((3, 224, 224)).parameters:,} parameters, "
      f"{without.cost((3, 224, 224)).macs / 1e6:,.0f} million multiply-adds")
assert without.cost((3, 224, 224)).parameters == 62_378_344

# %% [markdown]
# In parameters the groups save little, in work a third. Many ports leave them out: 62.4 million parameters is how to
# recognise one. (What the two GPUs say to each other, and when: notebook 3.)
#
# ## The objective
#
# S2 and S3. With logits $z_k$ of one image and its label t,
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}}, \qquad L = -\log p_t = \log \sum_j e^{z_j} - z_t,$$
#
# averaged over the batch. Maximising the log-probability is minimising L. Its gradient is what training starts from:
# $\partial \log \sum_j e^{z_j} / \partial z_k = e^{z_k} / \sum_j e^{z_j} = p_k$, so
#
# $$\frac{\partial L}{\partial z_k} = p_k - [k = t] :$$
#
# how much too probable each class is. No factor can vanish here: a class that is wrong and certain has a gradient of 1.
# In the library, for a batch:

# %%
for function in (softmax_cross_entropy_forward, softmax_cross_entropy_backward):
    print(inspect.getsource(function))

# %% [markdown]
# And checked:

# %%
loss, z, labels = SoftmaxCrossEntropy(), rng.standard_normal((4, 5)), np.array([0, 3, 3, 1])
loss.forward(z, labels)
np.testing.assert_allclose(loss.backward(), (loss.probabilities - np.eye(5)[labels]) / 4, rtol=1e-12)
report = gradcheck.check(SoftmaxCrossEntropy(), z, labels=labels)
print(report)
assert report.ok

# %% [markdown]
# Before it has learnt anything a net of 1,000 classes should be at $\log 1000 = 6.908$. The real net, with its 61
# million weights as §5 begins them, on one random image:

# %%
npnet.use("numba")
net = models.alexnet(seed=0)
image = net.upload("image", 60 * rng.standard_normal((1, 3, 224, 224)).astype(np.float32))
value = SoftmaxCrossEntropy().forward(net.forward(image), np.array([0]))
print(f"loss {value:.3f}, log 1000 = {np.log(1000):.3f}")
assert abs(value - np.log(1000)) < 1.5

# %% [markdown]
# Not quite there, and that has a reason: biases of 1 in the layers before give all logits something to say that has
# nothing to do with the image. What comes of it, on real photos, is in `results/README.md` (*why AlexNet's start
# stalls*).
#
# And every gradient of the net against differences, in a narrow one of the same layers:

# %%
narrow = models.alexnet(4, widths=(4, 8, 8, 8, 4), hidden=6, input=67, std=(0.2,) * 8, norm_alpha=0.1)
report = gradcheck.check(narrow, rng.standard_normal((2, 3, 67, 67)), labels=np.array([1, 3]),
                         loss=SoftmaxCrossEntropy(), exhaustive=False, directions=1)
print(f"{len(report.points)} directions, worst relative error {report.worst.error:.1e}")
assert report.ok, report

# %% [markdown]
# ## Exercises
#
# ### 1. conv2 without its groups
#
# How many parameters (weights and biases) would conv2 have if it saw all 96 maps?

# %% tags=["exercise"]
parameters_of_conv2 = None

# %% tags=["check"]
if parameters_of_conv2 is None:
    print("Exercise 1: not answered yet.")
else:
    assert parameters_of_conv2 == without["conv2"].cost((96, 27, 27)).parameters, "exercise 1: not so many"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# parameters_of_conv2 = 256 * 96 * 5 * 5 + 256
# ```
#
# </details>

# %% [markdown]
# ### 2. How much of the image does a neuron see?
#
# A neuron of conv1 sees 11 × 11 pixels. How wide is what one of conv5 sees (before pool5)? Go through the layers: each
# adds (kernel − 1) times the distance, in pixels of the image, between what neighbours see.

# %% tags=["exercise"]
sees = None

# %% tags=["check"]
width, apart = 1, 1
for layer in net.layers[: net.names.index("conv5") + 1]:
    kernel = getattr(layer, "kernel", None) if isinstance(layer, Conv2D) else getattr(layer, "stride", 0) and layer.size
    if kernel:
        width, apart = width + (kernel - 1) * apart, apart * layer.stride
if sees is None:
    print("Exercise 2: not answered yet.")
else:
    assert sees == width, "exercise 2: not so wide"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# conv1: 11, neighbours 4 apart. pool1: $11 + 2 \cdot 4 = 19$, 8 apart. conv2: $19 + 4 \cdot 8 = 51$. pool2:
# $51 + 2 \cdot 8 = 67$, 16 apart. Then three times $2 \cdot 16$.
#
# ```python
# sees = 67 + 3 * 2 * 16
# ```
#
# </details>

# %% [markdown]
# ### 3. Count any of them
#
# Write a function that counts the parameters of the five convolutions from widths and groups, as `models.alexnet` takes
# them.

# %% tags=["exercise"]
def of_convolutions(widths, groups):
    return None


# %% tags=["check"]
presets = {name: models.switches("alexnet", preset=name) for name in ("paper", "one_gpu", "one_weird_trick")}
answers = {name: of_convolutions(s.widths, s.groups) for name, s in presets.items()}
if None in answers.values():
    print("Exercise 3: not answered yet.")
else:
    for name, answer in answers.items():
        made = models.alexnet(preset=name)
        right = sum(p.size for layer in made.layers if isinstance(layer, Conv2D) for p in layer.parameters())
        assert answer == right, f"exercise 3: not so for {name}"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def of_convolutions(widths, groups):
#     total, inside = 0, 3
#     for width, group, kernel in zip(widths, groups, (11, 5, 3, 3, 3), strict=True):
#         total += width * (inside // group) * kernel**2 + width
#         inside = width
#     return total
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# In the paper itself: conv1's 253,440 neurons; "no more than 1 %" in each convolution. Then, in widely read summaries:
#
# - **224 with padding 0 makes 55 "by the formula"**: by the usual one, rounded down, it makes 54.
# - **conv3 has 386 outputs.** 384.
# - **conv2, 4 and 5 without groups**, while their kernels are printed 48 and 192 deep.
# - **"conv1 is on one GPU."** Both GPUs read the whole image; each computes 48 of the 96 maps.
# - **The last layer has a ReLU too.** S7 says "every"; but a softmax of rectified logits could not say less than
#   "undecided" of any class. The program has none there, nor has npnet:

# %%
assert isinstance(net.layers[-1], Dense)
assert net.names[-1] == "fc8"

# %% [markdown]
# And in programs:
#
# - **torchvision's `alexnet`** is the net of 2014 for one GPU (64, 192, 384, 256, 256), without normalisation, and with
#   dropout before fc6 and fc7: 61,100,840 parameters.
# - **CaffeNet** pools before it normalises; bvlc_alexnet does not.
# - **Three first layers**: padding of 2 all around, 227 pixels, zeros on two sides (above).

# %%
found = {name: models.alexnet(preset=name).cost(models.input_shape("alexnet", preset=name)).parameters
         for name in ("paper", "caffe", "one_gpu", "torchvision")}
print({name: f"{count:,}" for name, count in found.items()})
assert found == {"paper": 60_965_224, "caffe": 60_965_224, "one_gpu": 59_798_312, "torchvision": 61_100_840}

# %% [markdown]
# `npnet ledger` lists every point on which the paper, the program of 2012, Caffe and torchvision differ, with the
# switch that chooses it.
