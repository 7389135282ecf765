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
# # 4. Local response normalisation: neighbours compete
#
# **AlexNet §3.3** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. About a minute on a laptop,
# without a GPU and without a network.
#
# > **초록.** AlexNet 3.3절은 국소 반응 정규화(local response normalisation, LRN)를 소개한다. 한 픽셀 위치에서 이웃한
# > 채널(channel) n개의 활성값(activation)을 제곱해 더한 값으로 각 채널의 값을 나누는 방법이다. 값이 큰 이웃이 있으면
# > 내 값이 줄어들기 때문에, 신경과학의 측면 억제(lateral inhibition)를 본뜬 것이라고 논문은 설명한다. 이 노트북은
# > 먼저 채널 다섯 개로 식을 손으로 계산해 보고, 창(window)이 양 끝에서 어떻게 잘리는지, n이 짝수이면 어느 쪽으로
# > 치우치는지 그림으로 확인한다. 이어서 역전파(backpropagation) 식을 유도하고 수치 미분으로 검사하는데, 논문의 α =
# > 0.0001로 검사하면 창을 잘못 잡은 구현의 오차가 0.0005까지 작아져 허용 오차가 느슨한 검사라면 통과해 버린다는 점을
# > 직접 보인다. 그다음 널리 퍼진 혼란, 곧 α를 n으로 나누는가, k는 1인가 2인가 하는 문제를 논문과 원래 프로그램,
# > Caffe, PyTorch를 견주어 정리한다. 끝으로 짧은 학습으로 정규화가 있을 때와 없을 때를 비교하고, 연습문제 세 개를
# > 풀고, 여러 요약 글이 이 절을 어떻게 잘못 옮겼는지 짚어 본다.
#
# You will have: the formula worked through by hand, its gradient derived and checked, a reason to check it at another α
# than the paper's, and the story of the missing n.

# %% [markdown]
# ## What the section says
#
# The sentences in their order, in our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | ReLUs need no normalised input to keep from saturating. | *Five channels* |
# | S2 | If some training examples give a ReLU a positive input, it learns. | – |
# | S3 | Still, this local scheme helps generalisation. | *Does it help?* |
# | S4 | The formula, from $a^i_{x,y}$ behind the ReLU: a sum over n adjacent maps, at one place. | *Five channels* |
# | S5 | The order of the maps is arbitrary, and fixed before training. | *Windows* |
# | S6 | It is a form of lateral inhibition, as in real neurons: large activities compete. | *Competition* |
# | S7 | k, n, α, β were chosen on a validation set: 2, 5, $10^{-4}$, 0.75. | *The missing n* |
# | S8 | It stands after the ReLU of certain layers. | *What summaries get wrong* |
# | S9 | Unlike Jarrett et al.'s, it takes no mean off: "brightness" rather than contrast. | *Competition* |
# | S10 | It lowers top-1 by 1.4 and top-5 by 1.2 percentage points. | *Does it help?* |
# | S11 | On CIFAR-10: a four-layer net, 13 % test error without, 11 % with. | *Does it help?* |

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import data, gradcheck, kernels, train
from npnet.layers import LRN, Conv2D, Dense, Gaussian, MaxPool2D, ReLU, Sequential, SoftmaxCrossEntropy
from npnet.notebook import BLUE, GREEN, ORANGE, PURPLE, Live, begin, show, sized, slide

QUICK = begin()

# %% [markdown]
# ## Five channels, by hand
#
# The formula, with the sum over the window $W(i)$ of at most n channels around channel i:
#
# $$b^i = \frac{a^i}{d_i^{\,\beta}}, \qquad d_i = k + \alpha \sum_{j \in W(i)} (a^j)^2$$
#
# Everything happens at one pixel: the place (x, y) is the same on both sides, so we leave it away. To see something, we
# take constants that are not the paper's: n = 3, k = 2, α = 1, β = ¾. Five channels at one pixel:

# %%
a = np.array([1.0, 2.0, 0.0, 3.0, 1.0])
k, alpha, beta, n = 2.0, 1.0, 0.75, 3
print(" i   a_i   window        Σ a²     d_i     b_i")
by_hand = []
for i in range(5):
    window = a[max(0, i - n // 2) : min(5, i + n // 2 + 1)]
    d = k + alpha * np.sum(window**2)
    by_hand.append(a[i] / d**beta)
    print(f"{i:2} {a[i]:5.0f}   {window!s:12} {np.sum(window**2):6.0f} {d:7.0f} {by_hand[-1]:7.3f}")

layer = LRN(n, alpha=alpha, beta=beta, k=k)
b = layer.forward(a.reshape(1, 5, 1, 1)).ravel()
np.testing.assert_allclose(b, by_hand, rtol=1e-12)
assert b[2] == 0, "what is zero stays zero, whatever stands beside it"
assert abs(b[3] / b[1] - 1) < 0.01, "3 comes out like 2: it has dimmed itself, and it has a neighbour"

# %% [markdown]
# Now with the paper's constants. An activity of 1 among ones has $d = 2 + 5 \cdot 10^{-4}$ in the middle and
# $2 + 3 \cdot 10^{-4}$ at either end, where two of the five do not exist:

# %%
ones = LRN().forward(np.ones((1, 8, 1, 1))).ravel()
print("b for eight channels of 1:", np.round(ones, 7))
assert np.isclose(ones[3], 2.0005**-0.75, rtol=1e-12)
assert np.isclose(ones[0], 2.0003**-0.75, rtol=1e-12)
assert np.isclose(2**-0.75, 0.5946, atol=1e-4)

# %% [markdown]
# All but a constant: $2^{-0.75} = 0.5946$. With the paper's α the sum does something only when activities are large, in
# the tens and hundreds. They are: the net's input is raw pixels, 0 to 255 less the mean (§2), and nothing scales them
# down. How large must they be? The sum counts as much as k where $\alpha \, a^2 = k$, that is at
# $a = \sqrt{k/\alpha} = \sqrt{20000} \approx 141$ for a channel alone in its window. (So S1 is to be taken at its word:
# the layer does not bring activities to a common size. It touches the largest ones.)

# %%
assert round((2 / 1e-4) ** 0.5) == 141

# %% [markdown]
# ## Competition
#
# With the paper's constants: left, what becomes of an activity a beside a neighbour of 0, 200, 400 and 800. Right, a
# large and a smaller bump of activity over 24 channels, before and after. Where you run this yourself, there are
# sliders.

# %%
def one_beside(neighbour, a, **constants):
    pixel = np.zeros((1, 5, 1, len(a)))
    pixel[0, 2, 0], pixel[0, 3, 0] = a, neighbour
    return LRN(**constants).forward(pixel)[0, 2, 0].copy()


# %%
def competition(k=2.0, alpha=1e-4, beta=0.75, n=5):
    constants = {"size": int(n), "alpha": alpha, "beta": beta, "k": k}
    x, channels = np.linspace(0, 1000, 201), np.arange(24)
    figure = Figure(figsize=(8.4, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for neighbour, colour in zip((0, 200, 400, 800), (BLUE, GREEN, PURPLE, ORANGE), strict=True):
        left.plot(x, one_beside(neighbour, x, **constants), color=colour, label=f"neighbour {neighbour}")
    left.set(title="One channel", xlabel="activity a before", ylabel="b after")
    left.legend(frameon=False)
    bumps = 300 * np.exp(-((channels - 8) ** 2) / 8) + 220 * np.exp(-((channels - 12) ** 2) / 8)
    after = LRN(**constants).forward(bumps.reshape(1, 24, 1, 1)).ravel()
    right.plot(channels, bumps / bumps.max(), "o-", color=BLUE, label="before")
    right.plot(channels, after / after.max(), "s--", color=ORANGE, label="after")
    right.set(title="Two bumps, each by its largest", xlabel="channel", ylabel="fraction of the largest")
    right.legend(frameon=False)
    return figure


# %%
slide(competition, "Left: alone, b rises with a up to 200 and then falls; beside brighter neighbours it rises more "
      "slowly and stays lower. Right: before, the smaller bump is a shoulder of the larger; after, both are equally "
      "high, with a dip between them.",
      k=(2.0, 0.5, 10.0, 0.5), alpha=(1e-4, 1e-5, 1e-3, 1e-5), beta=(0.75, 0.25, 1.5, 0.05), n=(5, 1, 15, 1))

# %% [markdown]
# To read off the left picture:
#
# - A channel dims *itself*: it is in its own window. For large a alone, $b \to a^{1 - 2\beta} \alpha^{-\beta}$, which
#   for β = ¾ falls with $a^{-1/2}$! There is a largest b: at $a^2 = k / (\alpha (2\beta - 1))$. Beyond it a larger
#   activity comes out *smaller*.
# - A bright neighbour lowers the whole curve, whatever a is: that is the competition of S6.
# - Nothing is ever subtracted (S9): the sign stays, and zero stays zero.
#
# And off the right one: what stood in the shade of a larger bump is now seen as a bump of its own. The channels between
# the two lose most, since they have bright neighbours on both sides.

# %%
peak = (2 / (1e-4 * (2 * 0.75 - 1))) ** 0.5
x = np.linspace(0, 1000, 100_001)
assert round(peak) == 200
assert abs(x[np.argmax(one_beside(0, x))] - peak) < 0.05
beside = [one_beside(m, np.array([300.0]))[0] for m in (0, 200, 400, 800)]
assert all(np.diff(beside) < 0), "the brighter the neighbour, the less is left"

# %% [markdown]
# ## Windows
#
# Which channels does channel i see? For each i a row, dark where j is in the window. The paper's n = 5, cut off at the
# ends; an even n, which cannot be centred (cuda-convnet begins n/2 before: one further back than ahead); and what the
# two GPUs of §3.2 make of it: each normalises its own channels, and no window crosses.

# %%
def windows(**options):
    """Row i, column j: does b_i change with a_j?"""
    channels, seen = 12, np.zeros((12, 12), bool)
    lit = np.eye(channels).reshape(channels, channels, 1, 1)  # image j has channel j lit
    layer = LRN(alpha=1.0, **options)
    layer.forward(lit)
    for j in range(channels):
        seen[:, j] = layer.d.reshape(channels, channels)[j] > layer.k
    return seen


figure = Figure(figsize=(8.4, 3.1), layout="constrained")
for axes, (title, options) in zip(figure.subplots(1, 3), (
        ("n = 5", {"size": 5}), ("n = 4", {"size": 4}), ("n = 5, two columns", {"size": 5, "groups": 2})), strict=True):
    axes.imshow(~windows(**options), cmap="gray", vmin=-0.6)
    axes.set(title=title, xlabel="channel j that is looked at", ylabel="channel i", xticks=range(0, 12, 3),
             yticks=range(0, 12, 3))
show(figure, "Three squares of 12 by 12 cells: a band of five around the diagonal; a band of four that reaches one "
     "further to the left than to the right; and the band of five cut between channels 5 and 6.")

# %%
five, four, columns = windows(size=5), windows(size=4), windows(size=5, groups=2)
assert five.sum(axis=1).tolist() == [3, 4, *[5] * 8, 4, 3]
assert np.flatnonzero(four[6]).tolist() == [4, 5, 6, 7]
assert not columns[5, 6]
assert not columns[6, 5]
assert (five == five.T).all()
assert not (four == four.T).all(), "with an even n, i may see j and j not see i: the way back must turn the window"

# %% [markdown]
# S5 says why this is odd: which channels are neighbours has no meaning before training. Channels learn to live with
# those beside them.
#
# ## The gradient by hand
#
# L depends on $a^j$ through every $b^i$ whose window holds j. With $d_i^{-\beta}$ differentiated by the chain rule,
# $\partial d_i / \partial a^j = 2 \alpha a^j$ if $j \in W(i)$ and 0 otherwise:
#
# $$\frac{\partial b^i}{\partial a^j} = [i = j] \, d_i^{-\beta} - \beta \, a^i d_i^{-\beta - 1} \cdot 2 \alpha a^j \,
#   [j \in W(i)].$$
#
# Sum over i with the gradients $g_i = \partial L / \partial b^i$ that come from above, and use $a^i d_i^{-\beta} =
# b^i$:
#
# $$\frac{\partial L}{\partial a^j} = g_j \, d_j^{-\beta} - 2 \alpha \beta \, a^j \sum_{i : \, j \in W(i)}
#   \frac{g_i \, b^i}{d_i}.$$
#
# The sum runs over the i that *see* j, not over those that j sees. For odd n they are the same; for even n they are not
# (the picture above). In the library, the definition:

# %%
npnet.use("numpy")
print(inspect.getsource(kernels.numpy.norm.lrn_forward))
print(inspect.getsource(kernels.numpy.norm.lrn_backward))
print(inspect.getsource(kernels.numpy.norm._window_sum))

# %% [markdown]
# And held against finite differences, on both backends, at sizes where it goes wrong: even n, a window wider than there
# are channels, other exponents.

# %%
sample = np.random.default_rng(0).standard_normal((2, 7, 3, 2))
for backend in ("numpy", "numba"):
    npnet.use(backend)
    for size, beta in ((5, 0.75), (4, 1.1), (9, 0.5), (1, 0.75)):
        report = gradcheck.check(LRN(size, alpha=0.8, beta=beta), sample)
        assert report.ok, report
        print(f"{backend:6} n = {size}, β = {beta:<4}  worst relative error {report.worst.error:.1e}")

# %% [markdown]
# ### Why not at the paper's α?
#
# Here is a layer with a mistake: on the way back it takes the window one channel off. Checked with α = 0.8 the mistake
# is plain. Checked with the paper's $10^{-4}$, on activities of size 1, it hides behind the first term:

# %%
class OneOff(LRN):
    def backward(self, db):
        shared = np.roll(db * self.b / self.d, 1, axis=1)  # wrong: its neighbour's
        shared = kernels.numpy.norm._window_sum(shared, 2, 2, axes=(1,))
        return db * self.d**-self.beta - 2 * self.alpha * self.beta * self.a * shared


npnet.use("numpy")
for alpha in (0.8, 1e-2, 1e-4):
    report = gradcheck.check(OneOff(5, alpha=alpha), sample)
    print(f"α = {alpha:<7g} worst relative error {report.worst.error:.0e}")
assert report.worst.error < 1e-2  # a laxer check, in float32 say, would call it right
assert gradcheck.check(OneOff(5, alpha=0.8), sample).worst.error > 0.1

# %% [markdown]
# So a wrong window can survive for years in a library whose tests use the paper's constants: a tolerance of 1 % does
# not see it. npnet's tests are at α near 1, and at even n.
#
# ## The missing n
#
# S7 gives α = $10^{-4}$, and the formula has no division by n. But the program that made the paper's numbers divides:
# its parser takes `scale` from the layer file and hands `scale / size` to the kernel. So $10^{-4}$ in the file acts as
# $2 \cdot 10^{-5}$ in the formula. Who reads the paper and who reads a program build two different layers:
#
# | | base k | α of a term, n = 5 | |
# |---|---|---|---|
# | the paper's formula | 2 | $10^{-4}$ | |
# | the program of 2012 | 2 | $2 \cdot 10^{-5}$ | divides by n |
# | cuda-convnet's CIFAR-10 nets | 1 | by file / n | no k in its files |
# | Caffe (both AlexNets) | 1 | $2 \cdot 10^{-5}$ | k was left at its default |
# | PyTorch `LocalResponseNorm` | 1 | $2 \cdot 10^{-5}$ | the same defaults |
#
# In npnet the difference is a switch, `per_channel`, and k is an argument. What does it do to activities? Here are
# those of a first layer of random kernels on pictures (pixels 0 to 255 less their mean), and how much of d is the sum:

# %%
npnet.use("numba")
found = data.cifar10.find()
images = data.load(found or "shapes", "train", 200)
SET = "CIFAR-10" if found else "shapes, the built-in set"
conv = Conv2D(3, 32, 5, pad=2, weight=Gaussian(0.05))
conv.initialise(0)
x, _ = next(data.Loader(images, 200, mean=images.mean_image(), train=False).epoch(0))
active = ReLU().forward(conv.forward(x)).copy()
print(f"{SET}: activities of 32 channels: median of the positive {np.median(active[active > 0]):.0f}, largest "
      f"{active.max():.0f}")

# %%
figure = Figure(figsize=(7, 3.2), layout="constrained")
axes = figure.subplots()
conventions = {"as printed": {}, "α/n": {"per_channel": True}, "α/n and k = 1": {"per_channel": True, "k": 1.0}}
for (name, options), colour in zip(conventions.items(), (BLUE, ORANGE, GREEN), strict=True):
    layer = LRN(**options)
    layer.forward(active)
    axes.hist(np.log10(layer.d / layer.k).ravel(), 80, histtype="step", color=colour, label=name, density=True)
axes.set(title=f"How far the sum lifts the denominator, {SET}", xlabel="log₁₀ d/k (0: not at all)",
         ylabel="density", yscale="log")
axes.legend(frameon=False)
show(figure, "Three histograms on a logarithmic scale: as printed, the sum lifts the denominator to two or three times "
     "its base at most; with α divided by n far less; with k = 1 besides, in between.")

# %%
lifted = {}
for name, options in (("printed", {}), ("divided", {"per_channel": True})):
    layer = LRN(**options)
    layer.forward(active)
    lifted[name] = float(np.mean(layer.d / layer.k - 1))
print({name: round(value, 3) for name, value in lifted.items()})
assert np.isclose(lifted["printed"] / lifted["divided"], 5, rtol=1e-3)

# %% [markdown]
# Five times, exactly. For a net that is trained with one convention this hardly matters: the next layer's weights make
# up for it. For weights that are *loaded* it does: they expect the activities of the layer they grew up behind.
#
# ## Does it help?
#
# S10 and S11 are measurements: 1.4 and 1.2 points on ImageNet, 13 % to 11 % on CIFAR-10. (The published nets of 13 %
# and 11 % differ in more than this layer.) Later ones found less, and GoogLeNet's Table 1 leaves the layer out (its
# Figure 3 has it); VGG (2014) saw no gain and dropped it. A small race here cannot decide that, but it shows how one
# would ask: the same net, the same seed, with and without.

# %%
def small_net(normalised):
    norm = {"norm": LRN(9, alpha=0.05, per_channel=True, k=1.0)} if normalised else {}
    net = Sequential(conv1=Conv2D(3, 16, 5, pad=2, weight=Gaussian(0.01)), pool1=MaxPool2D(3, 2), relu1=ReLU(), **norm,
                     conv2=Conv2D(16, 16, 5, pad=2, weight=Gaussian(0.05)), relu2=ReLU(), pool2=MaxPool2D(3, 2),
                     fc=Dense(16 * 8 * 8, 10, weight=Gaussian(0.01)))
    net.initialise(1)
    return net


# %%
def trained(name, normalised, epochs, count, curve):
    few = data.load(found or "shapes", "train", count)
    net, loss = small_net(normalised), SoftmaxCrossEntropy()
    sgd, errors = train.SGD(net.parameters(), 0.001, 0.9, 0.001), []
    loader = data.Loader(few, 32, mean=few.mean_image())
    for epoch in range(epochs):
        wrong = 0
        for x, labels in loader.epoch(epoch):
            loss.forward(net.forward(x), labels)
            net.backward_parameters(loss.backward())
            sgd.step()
            wrong += loss.errors
        errors.append(wrong / count)
        curve.add(name, epoch + 1, errors[-1])
    return errors


# %%
EPOCHS, COUNT = sized((2, 320), (10, 1600), (40, 10_000))
curve = Live(f"Two nets, {COUNT:,} images of {SET}", "epochs", "training error (fraction)")
races = {name: trained(name, normalised, EPOCHS, COUNT, curve)
         for name, normalised in (("with LRN", True), ("without", False))}
curve.close("Training error against epochs with and without local response normalisation.")
for name, errors in races.items():
    print(f"{name:10} first epoch {errors[0]:.1%}, last {errors[-1]:.1%}")
    assert np.isfinite(errors).all()

# %% [markdown]
# One short race of one seed, on training error, which is not what S3 speaks of. It proves nothing; take it as a
# template.
#
# ## Exercises
#
# ### 1. At the end
#
# Channels 0 … 7 have activities 10, 20, … 80 at some pixel, n = 5, k = 2, α = 0.01, β = 1. What is $b^0$, and what is
# $b^7$? By hand (a calculator is allowed).

# %% tags=["exercise"]
first, last = None, None

# %% tags=["check"]
if first is None or last is None:
    print("Exercise 1: not answered yet.")
else:
    row = LRN(5, alpha=0.01, beta=1.0).forward(np.arange(10.0, 90.0, 10.0).reshape(1, 8, 1, 1)).ravel()
    assert np.isclose(first, row[0], rtol=1e-3), "exercise 1: not channel 0"
    assert np.isclose(last, row[-1], rtol=1e-3), "exercise 1: not channel 7"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Channel 0 sees 0, 1 and 2: $100 + 400 + 900 = 1400$, so $d = 2 + 14 = 16$. Channel 7 sees 5, 6 and 7:
# $3600 + 4900 + 6400 = 14900$, so $d = 2 + 149 = 151$.
#
# ```python
# first, last = 10 / 16, 80 / 151
# ```
#
# </details>

# %% [markdown]
# ### 2. The paper's layer out of PyTorch's
#
# PyTorch's layer computes $a / (k + \frac{\alpha}{n} \sum a^2)^\beta$. Which `alpha` and `k` must it be given, with
# n = 5, to be the formula as printed in §3.3?

# %% tags=["exercise"]
alpha, k = None, None

# %% tags=["check"]
if alpha is None or k is None:
    print("Exercise 2: not answered yet.")
else:
    theirs = LRN(5, alpha=alpha, k=k, per_channel=True).forward(100 * sample)
    assert np.allclose(theirs, LRN().forward(100 * sample), rtol=1e-9), "exercise 2: not the printed formula"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# α/5 must be $10^{-4}$, and k must not be left at its default of 1. (And to get the *program's* layer, α = $10^{-4}$,
# k = 2.)
#
# ```python
# alpha, k = 5e-4, 2.0
# ```
#
# </details>

# %% [markdown]
# ### 3. All channels are neighbours
#
# Let the window hold every channel, with k = 1, α = 1, β = ½: $b^i = a^i / \sqrt{1 + \sum_j (a^j)^2}$. Write its
# `backward`. All i see all j, so the sum is the same for every j.

# %% tags=["exercise"]
class Everybody:
    def forward(self, a, train=True):
        self.a = a
        self.d = 1 + np.sum(a**2, axis=1, keepdims=True)
        self.b = a / np.sqrt(self.d)
        return self.b

    def backward(self, db):
        return None


# %% tags=["check"]
layer = Everybody()
if layer.backward(layer.forward(sample)) is None:
    print("Exercise 3: not answered yet.")
else:
    report = gradcheck.check(Everybody(), sample)
    assert report.ok, report
    print(f"Exercise 3: right, worst relative error {report.worst.error:.1e}.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# $2\alpha\beta = 1$, and $d$ is the same for all channels of a pixel.
#
# ```python
# class Everybody:
#     def forward(self, a, train=True):
#         self.a = a
#         self.d = 1 + np.sum(a**2, axis=1, keepdims=True)
#         self.b = a / np.sqrt(self.d)
#         return self.b
#
#     def backward(self, db):
#         shared = np.sum(db * self.b, axis=1, keepdims=True) / self.d
#         return db / np.sqrt(self.d) - self.a * shared
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# In five widely read summaries and translations, held against the paper and the programs of the time, we found:
#
# - **The constants swapped**: "β = $10^{-4}$, α = 0.75". With these, an activity of 1 among four others that are 0
#   would come out as 0.9999 of itself, and the layer would do next to nothing:

# %%
swapped = LRN(5, alpha=0.75, beta=1e-4).forward(np.full((1, 5, 1, 1), 141.0)).ravel()
printed = LRN().forward(np.full((1, 5, 1, 1), 141.0)).ravel()
print(f"141 everywhere: {swapped[2]:.2f} with the constants swapped, {printed[2]:.2f} as printed")
assert swapped[2] > 0.99 * 141

# %% [markdown]
# - **The formula is missing**, being a picture that was not copied; or its exponent β is set so that it can be read
#   as a square.
# - **Lateral inhibition told backwards**: as if neighbours were *encouraged*. They are dimmed, by the square of how
#   bright one is.
# - **"It averages with the neighbours."** It divides by a power of their sum of squares. Nothing is averaged, nothing
#   is mixed in: a channel that is 0 stays 0.
# - **Pooling before normalisation.** The text has it after the ReLU (S8), then pooling (§3.5). The other order is
#   that of Caffe's *CaffeNet*. (And the program of 2012 normalised *before* the ReLU in its first stage, which
#   neither says.)
#
# And in programs:
#
# - **k = 1 and α/n** in Caffe and PyTorch, taken for the paper's.
# - **A window of 11**: TensorFlow's `depth_radius=5` reaches five to *each* side. The paper's n = 5 is a radius of 2.
# - **Across the border of the GPUs**: one layer over all 96 channels sees from channel 47 to 48; in the paper's net
#   these are on different GPUs (`groups=2`).
# - **"Batch normalisation's forerunner."** They share a word. LRN has no mean, no batch, nothing to learn; it looks at
#   one pixel of one image.
