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
# # 2. ReLU: the nonlinearity that does not saturate
#
# **AlexNet §3.1** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. About one minute on a laptop,
# without a GPU and without a network.
#
# > **초록.** AlexNet 3.1절은 뉴런의 출력 함수를 tanh에서 max(0, x)로 바꾸면 훨씬 적은 에포크(epoch) 만에 학습된다고
# > 주장한다. tanh와 시그모이드(sigmoid)는 |x|가 커지면 기울기가 0에 가까워지는데, 이를 포화(saturation)라고 한다. 이
# > 노트북은 네 가지 활성화 함수(activation function)와 그 도함수를 그리고, |x| = 3과 5에서 기울기가 얼마나 남는지
# > 숫자로 확인한다. 역전파(backpropagation) 식은 손으로 유도한 뒤 수치 미분(finite differences)과 하나하나 대조해
# > 기울기 검사(gradient check)를 한다. 이어서 층을 여덟 개 쌓아 포화된 층들을 지나며 기울기가 어떻게 사라지는지, 또
# > ReLU는 언제 "죽는지"를 살펴본다. 그다음 저장해 둔 학습 기록으로 그림 1을 다시 그려 논문의 "6배"와 우리가 잰 배수를
# > 나란히 놓고, 무엇이 같고 무엇이 다른지 따져 본다. 끝으로 작은 데이터로 직접 학습을 돌려 보고, 연습문제 세 개를
# > 풀고, 여러 요약 글이 틀렸거나 오해하기 쉬운 대목을 짚는다.
#
# You will have: four activation functions with gradients you derived yourself and checked, a feeling for what
# saturation costs, Figure 1 drawn again from a real training, and a small race between ReLU and tanh of your own.

# %% [markdown]
# ## What the section says
#
# §3.1 is ten sentences in two paragraphs. **S1 … S10** below are these sentences in their order, **C1 … C4** the four
# of Figure 1's caption. The words are ours; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | The usual neuron computes $\tanh x$ or $(1 + e^{-x})^{-1}$. | *Four functions* |
# | S2 | These saturate, and train far slower than $\max(0, x)$, which does not. | *Four functions*, *A stack* |
# | S3 | Units with it are called rectified linear units (ReLU), a name taken from Nair and Hinton. | *In the library* |
# | S4 | Deep convolutional nets with ReLU learn several times faster than with tanh. | *Figure 1*, *A race* |
# | S5 | Figure 1 shows it: iterations to 25 % training error on CIFAR-10, one net of four layers. | *Figure 1* |
# | S6 | Without this, nets of AlexNet's size could not have been experimented with. | – |
# | S7 | Others tried other neuron models in CNNs before. | *What summaries get wrong* |
# | S8 | One is $\lvert\tanh x\rvert$ (Jarrett et al.), good on Caltech-101, as they say. | *Four functions* |
# | S9 | There the worry was overfitting: another effect than a faster fit. | *What summaries get wrong* |
# | S10 | How fast a net learns matters much for large nets on large data. | – |
# | C1 | ReLU (solid) is at 25 % training error six times sooner than tanh (dashed). | *Figure 1* |
# | C2 | Each net has its own learning rate, chosen to be as fast as possible. | *Figure 1* |
# | C3 | There is no regularisation of any kind. | *Figure 1* |
# | C4 | The size of the effect depends on the net; that ReLU is several times faster does not. | *Figure 1* |

# %%
import inspect
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

# %%
import npnet
from npnet import data, gradcheck, kernels
from npnet.layers import AbsTanh, AvgPool2D, Constant, Dense, Gaussian, MaxPool2D, ReLU, Sequential, Sigmoid, Tanh
from npnet.notebook import BLUE, GREEN, ORANGE, PURPLE, begin, show, show_file, sized
from npnet.recipes import figure1
from npnet.recipes.recipe import trainer
from npnet.train import metrics

# %% [markdown]
# Paths in this notebook (`data/`, `results/`) are the repository's. With `NPNET_QUICK=1` in the environment the race at
# the end is cut short. `show` puts a figure below its cell, with a description for those who cannot see it.

# %%
QUICK = begin()
FUNCTIONS = {"ReLU": ReLU, "tanh": Tanh, "sigmoid": Sigmoid, "|tanh|": AbsTanh}
STYLES = {"ReLU": (BLUE, "-"), "tanh": (ORANGE, "--"), "sigmoid": (GREEN, "-."), "|tanh|": (PURPLE, ":")}

# %% [markdown]
# ## Four functions
#
# S1 names two, S2 a third, S8 a fourth. The values come from the layers' `forward`, the slopes from their `backward`:
# with $\partial L/\partial y = 1$, what `backward` returns is $f'(x)$ itself.

# %%
x = np.linspace(-6, 6, 481).reshape(1, -1)
values, slopes = {}, {}
for name, function in FUNCTIONS.items():
    layer = function()
    values[name] = layer.forward(x).copy()
    slopes[name] = layer.backward(np.ones_like(x)).copy()

figure = Figure(figsize=(8.4, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
for name, (colour, line) in STYLES.items():
    left.plot(x[0], values[name][0], line, color=colour, linewidth=1.8, label=name)
    right.plot(x[0], slopes[name][0], line, color=colour, linewidth=1.8)
left.set(title="The functions", xlabel="input x (no unit)", ylabel="output f(x)", ylim=(-1.2, 3))
right.set(title="Their slopes: what is left of a gradient", xlabel="input x (no unit)", ylabel="f′(x)")
left.legend(frameon=False)
show(figure, "Left: ReLU is 0 for negative x and then rises without end; tanh levels off at -1 and 1, the sigmoid at 0 "
     "and 1, |tanh| at 1. Right: the slope of ReLU is 0, then 1; that of tanh is a bell of height 1 around 0, of the "
     "sigmoid one of height a quarter, of |tanh| the bell of tanh with its left half turned over.")

# %% [markdown]
# *Saturated* is where the curve has gone flat: its slope is next to nothing, so next to nothing of a gradient passes.
# In numbers, the slope at some x, and for tanh and sigmoid the law it falls by, $4e^{-2|x|}$ and $e^{-|x|}$:

# %%
points = np.array([[-5.0, -3.0, -1.0, 0.5, 1.0, 3.0, 5.0]])
print(f"{'f′(x) at x =':12}" + "".join(f"{p:10g}" for p in points[0]))
left_over = {}
for name, function in FUNCTIONS.items():
    layer = function()
    layer.forward(points)
    left_over[name] = dict(zip(points[0], layer.backward(np.ones_like(points))[0].copy(), strict=True))
    print(f"{name:12}" + "".join(f"{slope:10.5f}" for slope in left_over[name].values()))

assert round(left_over["tanh"][3], 4) == 0.0099  # a hundredth at 3
assert round(left_over["tanh"][5], 5) == 0.00018  # two ten-thousandths at 5
assert round(left_over["sigmoid"][3], 3) == 0.045
assert round(left_over["sigmoid"][5], 4) == 0.0066
assert left_over["ReLU"][3] == left_over["ReLU"][5] == 1  # the whole gradient, however large x is
assert left_over["ReLU"][-3] == 0  # and nothing at all on the other side
assert np.isclose(left_over["tanh"][5], 4 * np.exp(-10), rtol=0.01)
assert np.isclose(left_over["sigmoid"][5], np.exp(-5), rtol=0.02)

# %% [markdown]
# Two things to take along. The sigmoid's slope is never more than ¼, so it weakens a gradient even where it is
# steepest. And "ReLU does not saturate" is true of positive x only: for negative x it is flatter than tanh anywhere.
#
# ## The gradients by hand
#
# A nonlinearity works on each number by itself, so the chain rule has one term: with $y = f(x)$,
#
# $$\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \, f'(x).$$
#
# **ReLU.** $\max(0, x)$ is two half-lines, of slope 0 and of slope 1:
#
# $$f'(x) = \begin{cases} 0 & x < 0 \\ 1 & x > 0 \end{cases}$$
#
# At $x = 0$ there is a corner and no derivative: any number from 0 to 1 would be a subgradient. npnet takes 0. Since
# $y > 0$ exactly where $x > 0$, the output alone is enough to know the slope: $f' = [y > 0]$.
#
# **tanh.** With $a = e^x$, $b = e^{-x}$ we have $f = (a - b)/(a + b)$, and $a' = a$, $b' = -b$. By the quotient rule
#
# $$f' = \frac{(a + b)(a + b) - (a - b)(a - b)}{(a + b)^2} = 1 - f^2.$$
#
# **Sigmoid.** $f = (1 + e^{-x})^{-1}$, so $f' = e^{-x} (1 + e^{-x})^{-2}$. One factor is $f$, the other is
# $e^{-x}/(1 + e^{-x}) = 1 - f$:
#
# $$f' = f \, (1 - f).$$
#
# **|tanh|.** By the chain rule, the slope of the absolute value times that of tanh; $\tanh x$ has the sign of $x$, and
# squaring forgets it:
#
# $$f' = \mathrm{sign}(x) \, (1 - f^2).$$
#
# Here $y$ no longer tells on which side $x$ was: of the four it is the only one that must keep $x$ for the way back.

# %% [markdown]
# ## In the library
#
# This is the library's own source, printed from the module that this notebook runs; nothing is copied. The layer
# (`npnet/layers/activation.py`) says what is computed, and touches no element. (`self._call(kernel, …)` is
# `kernel(…)`, of which is kept for the next step what can be prepared.)

# %%
print(inspect.getsource(ReLU))

# %% [markdown]
# The `numpy` kernel is the definition:

# %%
print(inspect.getsource(kernels.numpy.activation.relu_forward))
print(inspect.getsource(kernels.numpy.activation.relu_backward))

# %% [markdown]
# The `numba` kernel is the fast one: plain loops, compiled. The function with the underscore is what is compiled, and
# it stays callable as ordinary Python:

# %%
npnet.use("numba")
loops = kernels.numba.activation
print(inspect.getsource(loops._relu_forward))
print(inspect.getsource(loops._relu_backward))
print(inspect.getsource(loops._tanh_backward))

# %% [markdown]
# Three readings of one equation, so they had better agree: NumPy, the compiled loop, and the same loop run by Python
# itself. Infinities and NaN are in the test on purpose; a gradient of inf must not become NaN (`inf · 0`) at a unit
# that is off.

# %%
row = np.array([-np.inf, -2.0, -0.0, 0.0, 1e-30, 3.0, np.inf, np.nan])
dy = np.array([np.inf, 1.0, 2.0, 3.0, 4.0, 5.0, np.inf, 7.0])
answers = []
for forward, backward in (
    (kernels.numpy.activation.relu_forward, kernels.numpy.activation.relu_backward),
    (loops.relu_forward, loops.relu_backward),
    (loops._relu_forward, loops._relu_backward),
):
    y, dx = np.empty_like(row), np.empty_like(row)
    forward(row, y)
    backward(dy, y, dx)
    answers.append((y, dx))
for name, numbers in {"x": row, "y = f(x)": answers[0][0], "∂L/∂y": dy, "∂L/∂x": answers[0][1]}.items():
    print(f"{name:8}" + "".join(f"{number:8g}" for number in numbers))
for y, dx in answers[1:]:
    np.testing.assert_array_equal(y, answers[0][0])
    np.testing.assert_array_equal(dx, answers[0][1])
assert answers[0][1][3] == 0  # at x = 0: the slope 0 was chosen

# %% [markdown]
# ## Each gradient, checked
#
# `npnet.gradcheck` nudges the input by $\pm h$ in float64, sees how the output changes, and holds that against what
# `backward` says. A relative error below $10^{-7}$ means right. Here is the whole report for one layer, then the worst
# error of all four on both backends.

# %%
sample = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
print(gradcheck.check(Tanh(), sample), "\n")
for backend in ("numpy", "numba"):
    npnet.use(backend)
    for name, function in FUNCTIONS.items():
        report = gradcheck.check(function(), sample)
        assert report.ok, report
        print(f"{backend:6} {name:8} {len(report.points)} comparisons, worst relative error {report.worst.error:.1e}")

# %% [markdown]
# Would it notice a mistake? A common one: in $1 - f^2$, to square the input instead of the output.

# %%
class WrongTanh(Tanh):
    def forward(self, x, train=True):
        self.x = x
        return super().forward(x, train)

    def backward(self, dy):
        return dy * (1 - self.x**2)


wrong = gradcheck.check(WrongTanh(), sample[:1, :1, :1])
print(wrong)
assert not wrong.ok
assert wrong.points[-1].error < 1e-3  # where x is small, so is the mistake: a lax tolerance would not see it

# %% [markdown]
# And at the corner? At $x = 0$ the difference quotient of ReLU is ½, between its two slopes, and no smaller $h$ helps.
# The check sees that the function bends there, and counts a *kink* instead of an error:

# %%
corner = gradcheck.check(ReLU(), np.array([[-0.5, 0.0, 0.5]]), directions=0)
print(corner)
assert corner.ok
assert corner.kinks["x"] == 1

# %% [markdown]
# ## A stack: what saturation does to a gradient
#
# What does a slope of a hundredth do to a net? A gradient has to pass *every* layer on its way down. So: eight layers
# of 256 units, `Dense` and a nonlinearity in turn. All use the same random weights $\mathcal{N}(0, 1/256)$, which by
# themselves keep the length of a vector (in the mean). One bias $b$, the same for all units, pushes them away from
# zero. A random gradient goes in at the top; how long is it after $1, 2, \ldots, 8$ layers, next to what it was?

# %%
WIDTH, DEPTH = 256, 8


def stack(function, bias, gain=1.0):
    layers = []
    for _ in range(DEPTH):
        layers += [Dense(WIDTH, WIDTH, weight=Gaussian(gain / WIDTH**0.5), bias=Constant(bias)), function()]
    net = Sequential(*layers)
    net.initialise(seed=0)
    net.astype(np.float64)
    return net


# %%
def survived(net):
    rng = np.random.default_rng(0)
    dy = rng.standard_normal(net.forward(rng.standard_normal((64, WIDTH))).shape)
    lengths = [np.linalg.norm(dy)]
    for layer in reversed(net.layers):
        dy = layer.backward(dy)
        lengths += [np.linalg.norm(dy)] if isinstance(layer, Dense) else []
    return np.array(lengths) / lengths[0]


# %%
biases = np.arange(-5.0, 5.01, 0.5)
down = {name: survived(stack(function, bias=3.0)) for name, function in FUNCTIONS.items()}
bottom = {name: [survived(stack(f, b))[-1] for b in biases] for name, f in FUNCTIONS.items()}
figure = Figure(figsize=(8.4, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
for name, (colour, line) in STYLES.items():
    left.semilogy(range(DEPTH + 1), down[name], line, color=colour, linewidth=1.8, label=name)
    alive = [b if b > 1e-30 else np.nan for b in bottom[name]]
    right.semilogy(biases, alive, line, color=colour, linewidth=1.8)
left.set(title="Units pushed to b = 3", xlabel="layers passed on the way down", ylabel="gradient left (fraction)")
right.set(title="After eight layers", xlabel="bias b of every unit", ylabel="gradient left (fraction)", ylim=(1e-20, 3))
right.annotate("ReLU: nothing", (-4.9, 0.1), color=BLUE)
left.legend(frameon=False, loc="lower left")
show(figure, "Left, logarithmic: with biases of 3 about a third of the gradient is left for ReLU, and ten times less "
     "with every layer for tanh, sigmoid and |tanh|. Right: what is left after eight layers against the bias; tanh has "
     "its peak at 0 and falls steeply on both sides, ReLU is high for positive biases and none is left for negative.")

# %%
print(f"{'gradient left after 8 layers':30}" + "".join(f"{'b = ' + str(b):>10}" for b in (-1, 0, 1, 3, 5)))
at = {}
for name in FUNCTIONS:
    at[name] = {b: float(bottom[name][int(np.flatnonzero(biases == b)[0])]) for b in (-1, 0, 1, 3, 5)}
    print(f"{name:30}" + "".join(f"{left:10.1e}" for left in at[name].values()))

assert at["tanh"][3] < 1e-6  # saturated: less than a millionth arrives
assert at["ReLU"][3] > 0.2  # ReLU at the same place: a good part of it
assert at["tanh"][0] > at["ReLU"][0]  # at 0 tanh passes more: its slope there is 1, ReLU has half its units off
assert np.isclose(at["ReLU"][0], 0.5 ** (DEPTH / 2), rtol=0.25)  # half the units off: a factor √½ a layer
assert at["sigmoid"][0] < 1e-4  # a quarter a layer, wherever the units stand
assert at["ReLU"][-1] == 0  # whole layers off: dead, and no gradient will wake them

# %% [markdown]
# - tanh is not bad as such. Around zero it passes *more* than ReLU. It fails once its units have been pushed away from
#   zero, in either direction, and nothing keeps learning from doing that.
# - ReLU loses a factor $\sqrt{1/2}$ a layer at $b = 0$, because half its units are off. That is a matter of scale and
#   not of saturation; slightly larger weights make up for it (exercise 3).
# - ReLU has its own way to fail: on the negative side nothing passes at all. So it is no accident that AlexNet's §5
#   starts the biases of conv2, conv4, conv5 and the hidden fully connected layers at 1, to give their ReLUs positive
#   inputs. Here $b = 1$ leaves more than $b = 0$:

# %%
print(f"ReLU, gradient left after {DEPTH} layers: {at['ReLU'][0]:.3f} with b = 0, {at['ReLU'][1]:.3f} with b = 1")
assert at["ReLU"][1] > 2 * at["ReLU"][0]

# %% [markdown]
# ## Figure 1
#
# The paper says "a particular four-layer convolutional network" (S5), without regularisation (C3), and no more. Which
# net it was is published nowhere, and the experiment is not among the logs of the original program that are public.
# npnet takes the likeliest candidate, a CIFAR-10 net that the same author published a year before (cuda-convnet's
# "19pct": three convolutions and a classifier are four layers with weights), sets its weight decay to zero, and for the
# second curve puts tanh in the place of every ReLU. Nothing else differs between the two:

# %%
print(inspect.getsource(npnet.models.cifar_figure1))
with_relu, with_tanh = (npnet.models.cifar_figure1(activation=a) for a in figure1.ACTIVATIONS)
print(with_relu)
cost = with_relu.cost((3, 32, 32))
print(f"{cost.parameters:,} parameters, {cost.macs / 1e6:.1f} million multiply-adds an image")
assert cost.parameters == 89_578
assert cost == with_tanh.cost((3, 32, 32))
assert sum(p.name.endswith("weight") for p in with_relu.parameters()) == 4  # four layers

# %% [markdown]
# The curves below are drawn from the stored metrics of such trainings, `results/figure1`: one line of JSON for each
# fifth of an epoch. Nobody has to train for hours to see them, and anyone can: `npnet figure1 --data cifar10 --tune
# --seeds 3`.

# %% tags=["figure1"]
folder, summary = Path("results/figure1"), None
if (folder / "figure1.json").exists():
    with tempfile.TemporaryDirectory() as copy:  # draw() writes beside what it reads
        leave = shutil.ignore_patterns("*.safetensors", "tuning")
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=leave)
        summary = figure1.draw(Path(copy))
        show_file(Path(copy) / "figure1.png", width=800, alt=(
            "Training error against epochs, solid for ReLU, dashed for tanh; dots mark where each reaches the level. "
            f"Mean epochs: {summary['mean_epochs']}."))
else:
    print("results/figure1 is not here: no stored trainings, so there is no figure and no ratio to show.\n"
          "npnet figure1 --data cifar10 --tune --seeds 3 --out results/figure1 makes them, in some hours.")

# %% tags=["figure1"]
if summary:
    level, found = summary.get("level", figure1.LEVEL), {a: [] for a in figure1.ACTIVATIONS}
    print(f"data: {summary['data']}, images: {summary['images'] or 'all'}; learning rates: {summary['rates']}")
    for row in json.loads((folder / "figure1.json").read_text())["runs"]:
        lines = metrics.read(folder / row["folder"])
        found[row["activation"]].append(figure1.crossing(lines, level))
        # by hand: crossed between the first point of the curve that is below and the one before it
        first = next((epoch for epoch, error in figure1.curve(lines) if error <= level), None)
        assert (first is None) == (found[row["activation"]][-1] is None)
        assert first is None or 0 <= first - found[row["activation"]][-1] < 0.31
    for a, epochs in found.items():
        each = ", ".join("never" if e is None else f"{e:.2f}" for e in epochs)
        print(f"{a}: epochs to {level:.0%} training error, seed by seed: {each}")
    ratio = f"{summary['ratio']:.1f}" if summary["ratio"] else "not known, one of them never got there"
    print(f"tanh needs so many times the epochs of ReLU: {ratio}   (the paper: {figure1.PAPER_RATIO:g})")
    assert not summary["ratio"] or np.isclose(summary["ratio"], np.mean(found["tanh"]) / np.mean(found["relu"]))

# %% [markdown]
# **How the learning rates were chosen** (C2). Each activation tries the same rates, on another seed than those
# reported. All train for two epochs, the best four to eight, and the best two race to 25 %. A rate is better if it has
# reached 25 % sooner or, where neither has, if its training error is less. If the best were at an end of the list, the
# list would be too short. (The tuning was made in several sittings, and one more rate of tanh went on for some epochs.)
# If `tuning.json` is stored, here it is:

# %% tags=["figure1"]
if (folder / "tuning.json").exists():
    tuning = json.loads((folder / "tuning.json").read_text())
    print("activation     rate  epochs trained  last training error  epochs to 25 %")
    for run in tuning["runs"]:
        error = "diverged" if run["diverged"] else f"{run['last_error']:.1%}"
        reached = "–" if run["epochs_to_25_percent"] is None else f"{run['epochs_to_25_percent']:.1f}"
        chosen = "  ← chosen" if run["rate"] == tuning["chosen"][run["activation"]] else ""
        print(f"{run['activation']:10} {run['rate']:8g} {run['epochs_trained']:15g} {error:>20} {reached:>15}{chosen}")
    for a, rate in tuning["chosen"].items():
        rates = [run["rate"] for run in tuning["runs"] if run["activation"] == a]
        where = "at the end of the list!" if rate in (min(rates), max(rates)) else "inside the list"
        print(f"{a}: {rate:g} is {where}")
else:
    print("There is no results/figure1/tuning.json here. The rates that npnet uses by default:", figure1.RATES)

# %% [markdown]
# **What to think of the number.** When you put our ratio beside the paper's 6, keep in mind:
#
# 1. *The net is a guess.* C4 itself says that the size of the effect changes with the net. With another four-layer net,
#    response normalisation for instance, you would see another ratio. That ReLU is *several times* faster is the claim
#    to test; the 6 is one net's figure.
# 2. *The rates come from a list*, each twice the one before. The best rate for one of them may lie between two entries.
#    Nor do we know how finely the authors searched, or whether momentum and initial weights were tuned along. Here both
#    start from the same weights, which were chosen for ReLU.
# 3. *The measure* is the error on training images as they are learnt from, as the program of 2011 printed it, averaged
#    over an epoch's worth of them. While the net improves, that is a little above what a pass over the whole training
#    set would give afterwards.
# 4. *Few seeds.* Where there are several, the band in the figure is from the least to the most, not a confidence
#    interval.
# 5. *Epochs, not seconds.* In this net the convolutions take nearly all of the time, so the two are nearly
#    proportional; but the figure says nothing about the cost of a step, and nothing about test error.

# %% [markdown]
# ## A race of your own
#
# The same net, small enough for this notebook: 1,000 images of four classes, batches of 32 for more updates in the
# little time. On CIFAR-10 if it is found (in `$NPNET_DATA` or `data/`), else on `shapes`, the set that npnet draws by
# code. Always answering the same class makes 75 % error.

# %%
found = data.cifar10.find()
COUNT, EPOCHS = sized((400, 2), (1000, 12), (4000, 60))
some = data.load(found or "shapes", "train", 4 * COUNT)  # more than COUNT of them are of four of the ten classes
few = some.take(np.flatnonzero(some.labels < 4)[:COUNT])
SET = "CIFAR-10" if found else "shapes, the built-in set"
print(f"{SET}: {len(few):,} images of {', '.join(few.classes[:4])}")

races = {}
for activation, rate in {"relu": 0.002, "tanh": 0.008}.items():
    recipe = replace(figure1.recipe(activation, rate, EPOCHS), batch=32)
    races[activation] = trainer(recipe, few, seed=0, progress=False).run()
    print(f"{activation}, rate {rate}: trained for {EPOCHS} epochs")

# %%
figure = Figure(figsize=(7, 3.6), layout="constrained")
axes, means = figure.subplots(), {}
for name in ("ReLU", "tanh"):
    lines, (colour, style) = races[name.lower()], STYLES[name]
    epochs, errors = np.array(figure1.curve(lines)).T
    axes.plot(epochs, errors, style, color=colour, linewidth=0.8, alpha=0.5)
    means[name] = np.array([line["error"] for line in lines]).reshape(EPOCHS, 5).mean(axis=1)
    axes.plot(np.arange(EPOCHS) + 0.5, means[name], style, color=colour, linewidth=2,
              label=f"{name}, mean of each epoch")
axes.axhline(0.75, color="0.4", linewidth=0.8, linestyle=(0, (1, 3)))
axes.set(title=f"Training error, {len(few):,} images of {SET}", xlabel="epochs", ylabel="training error (fraction)",
         xlim=(0, EPOCHS), ylim=(0, 1))
axes.legend(frameon=False)
show(figure, "Training error against epochs of the short race: ReLU solid, tanh dashed, and a dotted line at 75 "
     "percent, the error of guessing.")

# %%
assert all(len(lines) == 5 * EPOCHS for lines in races.values())
for name, errors in means.items():
    assert np.isfinite(errors).all()
    print(f"{name}: first epoch {errors[0]:.1%}, last epoch {errors[-1]:.1%}")
if not QUICK:
    assert means["ReLU"][-1] < 0.65  # it has learnt something

# %% [markdown]
# The rates were tried by hand on `shapes`, on this very seed: 0.001, 0.002 and 0.004 for ReLU, and for tanh five from
# 0.001 to 0.016, of which 0.008 and 0.016 do about the same. At 0.004 ReLU did not get away from 75 %. One short race
# of one seed proves nothing, and it is not Figure 1: other images, few of them, hardly beyond the start. With another
# seed, set or rate the gap is another one, or none. That is why C2 has a rate chosen for each, and why the stored
# figure is to be read with its seeds.

# %% [markdown]
# ## Exercises
#
# ### 1. Pool first?
#
# In three of cuda-convnet's five nets the first pooling comes *before* its ReLU: four times fewer numbers to rectify.
# For which of our four functions is $f(\mathrm{maxpool}(x)) = \mathrm{maxpool}(f(x))$ for every $x$? And with average
# pooling instead? Put the names in the sets (as in `FUNCTIONS`), then run the cell below.

# %% tags=["exercise"]
with_max = None  # {"ReLU", ...}
with_average = None  # set() if none

# %% tags=["check"]
image = np.random.default_rng(0).standard_normal((1, 3, 32, 32))
swaps = {}
for Pool in (MaxPool2D, AvgPool2D):
    swaps[Pool] = set()
    for name, function in FUNCTIONS.items():
        first, then = function().forward(Pool(3, 2).forward(image)), Pool(3, 2).forward(function().forward(image))
        if np.allclose(first, then):
            swaps[Pool].add(name)
if with_max is None or with_average is None:
    print("Exercise 1: not answered yet.")
else:
    assert with_max == swaps[MaxPool2D], "exercise 1: not so for max pooling"
    assert with_average == swaps[AvgPool2D], "exercise 1: not so for average pooling"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# The maximum stays the maximum under a function that never falls: ReLU, tanh and sigmoid rise, so picking the largest
# before or after is the same. |tanh| falls on the negative side, where the largest $x$ gives the smallest $f(x)$. The
# mean commutes with straight lines only, and none of the four is one.
#
# ```python
# with_max = {"ReLU", "tanh", "sigmoid"}
# with_average = set()
# ```
#
# </details>

# %% [markdown]
# ### 2. A ReLU that cannot die
#
# Let a hundredth of x through on the negative side: $f(x) = x$ for $x > 0$, else $0.01\,x$ (the leaky ReLU of Maas et
# al. 2013). Derive its gradient and write `backward`.

# %% tags=["exercise"]
class LeakyReLU:
    def forward(self, x, train=True):
        self.x = x
        return np.where(x > 0, x, 0.01 * x)

    def backward(self, dy):
        return None


# %% tags=["check"]
leaky = LeakyReLU()
leaky.forward(sample)
if leaky.backward(np.ones_like(sample)) is None:
    print("Exercise 2: not answered yet.")
else:
    report = gradcheck.check(LeakyReLU(), sample)
    assert report.ok, report
    print(f"Exercise 2: right, worst relative error {report.worst.error:.1e}.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Two half-lines again, of slope 0.01 and 1. Unlike ReLU's, the output would tell the side as well, since $y$ has the
# sign of $x$.
#
# ```python
# class LeakyReLU:
#     def forward(self, x, train=True):
#         self.x = x
#         return np.where(x > 0, x, 0.01 * x)
#
#     def backward(self, dy):
#         return np.where(self.x > 0, dy, 0.01 * dy)
# ```
#
# </details>

# %% [markdown]
# ### 3. Making up for the half that is off
#
# At $b = 0$ our ReLU stack hands down a sixteenth of the gradient's length. By which factor must all weights be larger
# so that (about) all of it arrives? Work it out, do not try.

# %% tags=["exercise"]
gain = None

# %% tags=["check"]
if gain is None:
    print("Exercise 3: not answered yet.")
else:
    arrives = survived(stack(ReLU, bias=0.0, gain=gain))[-1]
    assert 0.8 < arrives < 1.25, f"exercise 3: {arrives:.2g} of the gradient arrives"
    print(f"Exercise 3: right, {arrives:.2f} of the gradient arrives.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# A unit is on with probability ½, so a ReLU keeps half of the gradient's squared length, $\sqrt{1/2}$ of its length;
# and eight of them $2^{-4} = 1/16$. A factor $\sqrt 2$ on every weight matrix makes up for it. This is the initial
# scale of He et al. (2015), three years after AlexNet, whose text has 0.01 in all layers.
#
# ```python
# gain = 2**0.5
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# In five widely read summaries and translations, held against the paper and the programs of the time, we found:
#
# - **"6 epochs against 36."** Read off the picture by eye. The paper gives the level and the ratio, and no epochs.
# - **No formulas.** In a full Korean translation those of this section were pictures, and are lost; in another, tanh is
#   misspelt. They are the four at the top of this notebook.
# - **Where the ReLU stands.** The text has it right after the convolution, then response normalisation, then pooling.
#   One summary pools first, which is the order of Caffe's CaffeNet. And the program that made the published result
#   normalised and pooled *before* the ReLU of its first stage. For max pooling and ReLU the order does not matter
#   (exercise 1); for the normalisation it does, since before the ReLU it sees negative numbers too.
#
# And these are easily misread:
#
# - **"ReLU comes from AlexNet."** S3 takes name and unit from Nair and Hinton, and S7 opens with not being the first.
#   New is the measurement (S4–S5), and how large a net was built on it (S6).
# - **"ReLU is six times faster."** In *epochs*, to 25 % *training* error, on *CIFAR-10*, with one small net (C1). Not
#   AlexNet, not ImageNet, not seconds a step, not accuracy. The general claim is "several times" (S4, C4).
# - **One learning rate for both.** That is another experiment: C2 has one chosen for each, and the ratio depends on it.
#   Likewise dropout and weight decay have no place in it (C3).
# - **Which net.** The paper does not say. Where someone names the layers of Figure 1's net, it is a guess; so is ours.
# - **"ReLU beats |tanh|."** The paper does not compare them. S9 says that they were after different things: less
#   overfitting on a small set there, a faster fit of the training set here.
# - **"Saturating means vanishing gradients, ReLU cures them."** The paper speaks of saturation and of speed, and never
#   of vanishing. Both halves are too simple: a gradient also passes the weights, and large weights, which saturate
#   tanh, enlarge the gradient too. In our stack, with weights three times as large:

# %%
for factor in (1.0, 3.0):
    net = stack(Tanh, bias=0.0, gain=factor)
    arrives = survived(net)[-1]
    saturated = np.mean(np.abs(net.layers[-1].y) > 0.9)  # where the slope is below 0.19
    print(f"tanh, weights × {factor:g}: {saturated:.0%} of the last layer's units saturated, gradient × {arrives:.2g}")
assert saturated > 0.4
assert arrives > 1  # mostly saturated, and yet the gradient grows on its way down

# %% [markdown]
# Saturated units *and* a growing gradient. What saturation does for certain is to each single unit: the flatter the
# spot it sits on, the less anything it is told can move it.
