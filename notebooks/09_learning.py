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
# # 9. Details of learning: the update rule, and where it begins
#
# **AlexNet §5** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. Half a minute on a laptop,
# without a GPU and without a network.
#
# > **초록.** AlexNet 5절은 학습(training)의 세부 사항을 적는다. 128장짜리 미니배치(mini-batch), 모멘텀(momentum) 0.9,
# > 가중치 감쇠(weight decay) 0.0005의 확률적 경사 하강법(stochastic gradient descent)이며, 학습률(learning rate)은
# > 0.01에서 시작해 검증 오류가 더 줄지 않을 때마다 10으로 나눈다. 이 노트북은 갱신 규칙(update rule)을 손으로 따라가
# > 모멘텀이 실제 걸음을 열 배로 늘린다는 것을 유도하고, 학습률을 모멘텀 안에 두는 논문의 규칙과 밖에 두는 PyTorch의
# > 규칙이 언제 같고 언제 다른지 그림으로 본다. 가중치 감쇠가 가중치를 절반으로 줄이는 데 걸리는 시간을 계산하고,
# > 초기값(initialisation)의 편향(bias) 1이 ReLU를 살려 두는 대신 무엇을 희생하는지 저장된 측정으로 확인한다. 손으로
# > 학습률을 낮추던 방법을 규칙으로 옮겨 실제 학습 기록에 대 보고, 연습문제 세 개를 푼 뒤, 요약 글과 구현에서 자주
# > 틀리는 대목을 짚는다.
#
# You will have: the printed update worked out by hand, the difference to today's frameworks seen, the time scales of
# momentum and weight decay, what the biases of 1 are for and what they cost, and a schedule "by hand" made into a rule.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | SGD, batches of 128, momentum 0.9, weight decay 0.0005. | *The update* |
# | S2 | This little decay matters: it lowers even the training error. | *Weight decay* |
# | S3 | The rule for v and w; the gradient is the mean over the batch. | *The update* |
# | S4 | Weights begin as N(0, 0.01²). | *Where it begins* |
# | S5 | Biases of conv2, 4, 5 and of hidden fully connected layers begin at 1, others at 0. | *Where it begins* |
# | S6 | This speeds up the start, by giving ReLUs positive inputs. | *Where it begins* |
# | S7 | One rate for all layers, 0.01 at first, changed by hand. | *The rate* |
# | S8 | Divided by 10 when the validation error stops improving; three times. | *The rate* |
# | S9 | About 90 times through 1.2 million images, five to six days on two GTX 580. | *The rate* |

# %%
import inspect
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import models
from npnet.kernels import numpy as definition
from npnet.layers import Parameter, ReLU
from npnet.layers.parameter import Constant
from npnet.notebook import BLUE, GREEN, ORANGE, begin, show, slide
from npnet.train import SGD, Plateau, Steps

QUICK = begin()
npnet.use("numpy")

# %% [markdown]
# ## The update
#
# S3, as printed, with ε the rate and ⟨·⟩ the mean over batch $D_i$:
#
# $$v_{i+1} = 0.9 \, v_i - 0.0005 \, \epsilon \, w_i - \epsilon \left\langle \frac{\partial L}{\partial w}
#   \right\rangle_{D_i}, \qquad w_{i+1} = w_i + v_{i+1}.$$
#
# In the library:

# %%
print(inspect.getsource(definition.sgd_update))

# %% [markdown]
# Two steps by hand, one weight, $w = 2$, gradients 3 and 1, ε = 0.1 and a decay of 0.05 so that it shows:

# %%
def one_weight(value):
    p = Parameter("w", (1,), Constant(value))
    p.astype(np.float64)
    return p


w, v, by_hand = 2.0, 0.0, []
for gradient in (3.0, 1.0):
    v = 0.9 * v - 0.05 * 0.1 * w - 0.1 * gradient
    w = w + v
    by_hand.append(w)
    print(f"gradient {gradient:g}: v = {v:.5f}, w = {w:.5f}")
p = one_weight(2.0)
sgd = SGD([p], rate=0.1, momentum=0.9, weight_decay=0.05)
for gradient, expected in zip((3.0, 1.0), by_hand, strict=True):
    p.grad[:] = gradient
    sgd.step()
    assert np.isclose(p.value[0], expected, rtol=1e-12)

# %% [markdown]
# **How long does it remember?** With a constant gradient g, v comes to rest where $v = 0.9 v - \epsilon g$:
#
# $$v = -\frac{\epsilon g}{1 - 0.9} = -10 \, \epsilon g.$$
#
# Momentum of 0.9 makes steps *ten times* as long, once it is under way; a gradient of one step is still felt by a tenth
# of itself after $\ln 0.1 / \ln 0.9 = 22$ steps. Left: v on its way. Right: a long, narrow valley, with and without.

# %%
def descent(rate=0.02, momentum=0.9, steps=60):
    figure = Figure(figsize=(8.6, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    v = np.cumsum(momentum ** np.arange(60))
    left.plot(np.arange(1, 61), v, color=BLUE)
    left.axhline(1 / (1 - momentum), color="0.6", linewidth=1)
    left.set(title="A constant gradient", xlabel="steps", ylabel="length of a step, in ε g", ylim=(0, None))
    x, y = np.meshgrid(np.linspace(-2.2, 1, 60), np.linspace(-1.2, 1.2, 60))
    right.contour(x, y, x**2 + 20 * y**2, levels=np.geomspace(0.1, 30, 9), colors="0.8", linewidths=0.8)
    for m, colour, style in ((0.0, ORANGE, ".--"), (momentum, BLUE, ".-")):
        w, v, path = np.array([-2.0, 1.0]), np.zeros(2), [(-2.0, 1.0)]
        for _ in range(int(steps)):
            v = m * v - rate * np.array([2, 40]) * w
            w = w + v
            path.append(tuple(w))
        right.plot(*zip(*path, strict=True), style, color=colour, linewidth=0.8, label=f"momentum {m:g}")
    right.set(title=f"{int(steps)} steps, rate {rate:g}", xlabel="w₁", ylabel="w₂")
    right.legend(frameon=False, loc="lower right")
    return figure


# %%
slide(descent, "Left: the step grows to ten times a single one within some forty steps. Right: ellipses of a valley; "
      "without momentum the path creeps along its floor, with it the path swings and arrives sooner.",
      rate=(0.02, 0.002, 0.045, 0.001), momentum=(0.9, 0.0, 0.99, 0.01), steps=(60, 5, 200, 5))
v = 0.0
for _ in range(200):
    v = 0.9 * v - 0.01 * 1.0
assert np.isclose(v, -0.1)
assert round(np.log(0.1) / np.log(0.9)) == 22

# %% [markdown]
# ### Inside or outside?
#
# In the paper ε stands *inside* v: v is a step. PyTorch's rule keeps v without it, $v \leftarrow 0.9 v + g$,
# $w \leftarrow w - \epsilon v$: there v is a decaying sum of gradients, ten times their mean. With a constant rate they
# are the same, $v_\text{paper} = -\epsilon v_\text{torch}$. When the rate *falls* they are not: the paper's v still
# holds steps of the old length and coasts on for some twenty steps; PyTorch's shortens at once.

# %%
def both_rules(rates, gradient=1.0):
    paper, torch, v, u = [0.0], [0.0], 0.0, 0.0
    for rate in rates:
        v = 0.9 * v - rate * gradient
        u = 0.9 * u + gradient
        paper.append(paper[-1] + v)
        torch.append(torch[-1] - rate * u)
    return np.array(paper), np.array(torch)


rates = np.where(np.arange(120) < 60, 0.01, 0.001)
paper, torch = both_rules(rates)
figure = Figure(figsize=(6.6, 3.1), layout="constrained")
axes = figure.subplots()
axes.plot(paper, color=BLUE, label="the paper: ε inside v")
axes.plot(torch, "--", color=ORANGE, label="PyTorch: ε outside")
axes.axvline(60, color="0.7", linewidth=1)
axes.set(title="A constant gradient; the rate falls to a tenth at step 60", xlabel="steps", ylabel="weight")
axes.legend(frameon=False)
show(figure, "Two lines that fall together until step 60; then one bends at once, the other within some twenty steps, "
     "and they go on side by side, apart.")

# %%
np.testing.assert_allclose(paper[:61], torch[:61], rtol=1e-12)
coasted = torch[-1] - paper[-1]
print(f"further on by {coasted:.3f}: as far as {coasted / (0.01 * 10):.0f} steps at full speed")
assert np.isclose(coasted, 0.09 * 0.9 / 0.1, rtol=0.01)  # (0.1 − 0.01) · 0.9 / (1 − 0.9)

# %% [markdown]
# npnet has the printed rule. This coasting is real: our own AlexNet was once thrown back by it, when its rate fell
# behind a batch with a bad gradient (`results/README.md`, *a trap*).
#
# ## Weight decay
#
# Without any gradient, $v$ comes to rest at $-10 \cdot 0.0005 \, \epsilon \, w$: a weight loses a share of
# $5 \cdot 10^{-5}$ in each step at ε = 0.01. Half of it is gone after

# %%
steps_to_half = np.log(0.5) / np.log(1 - 10 * 0.0005 * 0.01)
epoch = 1_200_000 / 128
print(f"{steps_to_half:,.0f} steps: {steps_to_half / epoch:.1f} epochs of 1.2 million images")
p = one_weight(1.0)
sgd, steps = SGD([p], rate=0.01, momentum=0.9, weight_decay=0.0005), 0
p.grad[:] = 0
while p.value[0] > 0.5:
    sgd.step()
    steps += 1
print(f"npnet's own update: {steps:,} steps")
assert abs(steps / steps_to_half - 1) < 0.01

# %% [markdown]
# A half-life of an epoch and a half, of ninety. So what was learnt and is not renewed is forgotten while the rate is at
# 0.01; after the first division it takes fifteen epochs, then 150. All weights lose the same *share* of
# themselves, so it is the large ones that are kept in check.
#
# S2 is a measurement that we cannot repeat here: that the *training* error is lower with decay. (A net whose weights
# grow makes its logits, and with them its gradients, ever less responsive; that is one explanation. The paper offers
# none.)
#
# ## Where it begins
#
# S4 to S6. What do biases of 1 do? A narrow AlexNet of the same layers, random pixels in, and the fraction of units of
# each layer that are above zero at the start:

# %%
rng = np.random.default_rng(0)
x = 60 * rng.standard_normal((16, 3, 67, 67)).astype(np.float32)
narrow = {"widths": (16, 32, 32, 32, 16), "hidden": 64, "input": 67}
alive = {}
for name, bias in (("as printed", (0, 1, 0, 1, 1, 1, 1, 0)), ("all 0", (0,) * 8)):
    net, y, alive[name] = models.alexnet(10, bias=bias, **narrow), x, {}
    npnet.use("numpy")
    for layer_name, layer in zip(net.names, net.layers, strict=True):
        y = layer.forward(y, train=False)
        if isinstance(layer, ReLU):
            alive[name][layer_name] = float(np.mean(y > 0))
for name, fractions in alive.items():
    print(f"{name:10}", "  ".join(f"{layer} {fraction:.0%}" for layer, fraction in fractions.items()))
assert alive["as printed"]["relu7"] > 0.99
assert alive["all 0"]["relu7"] < 0.8

# %% [markdown]
# With the printed biases nearly every unit of conv4 to fc7 is on: S6. No unit is dead, and every weight gets gradient.
# But see what that costs: with inputs as small as these, *on by how much* is nearly all the bias, the same for every
# image. What share of a layer's output differs from image to image? On real photos, measured with `npnet signals` and
# stored; if it is here:

# %% tags=["stored"]
stored = Path("results/alexnet/signals.json")
if stored.exists():
    variants = json.loads(stored.read_text())["variants"]
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    axes = figure.subplots()
    names = {"paper": "as printed", "original": "the program: 0.03 in conv3–5", "bias=0,0,0,0,0,0,0,0": "biases 0"}
    for (key, label), colour in zip(names.items(), (ORANGE, BLUE, GREEN), strict=True):
        shares = [layer["share"] for layer in variants[key]]
        axes.semilogy([layer["layer"] for layer in variants[key]], shares, "o-", color=colour, label=label)
        print(f"{label:30} of what fc8 says, {shares[-1]:.1%} is about the image")
    axes.set(title="AlexNet before training, on photos", ylabel="share that differs from image to image")
    figure.legend(loc="outside right center", frameon=False)
    show(figure, "Shares by layer on a logarithmic scale: as printed they fall from near 1 in conv1 to under a "
         "hundredth in fc8; with the program's wider weights to a tenth; with biases of 0 they stay above a quarter.")
else:
    print("results/alexnet/signals.json is not here: npnet signals alexnet --data PREPARED makes it, in a minute.")

# %% [markdown]
# As printed, less than a hundredth of what the net says at first is about the image: training begins with a long
# stretch in which it learns what is the same for all. The program of 2012 had σ = 0.03 in conv3 to conv5, which the
# text leaves out; it keeps ten times as much. Caffe's port changed the biases to 0.1, because with 1 its loss
# did not fall.
#
# ## The rate
#
# S7 and S8: by hand, divided by 10 when the validation error "stops improving". To make a rule of it one has to say how
# long to wait. `Plateau` waits for so many epochs without a new best. Here are the paper's rule and the log of the net
# of 2010's challenge (23, 51 and 78 epochs), and the area under the logged one: how far a weight could travel.

# %%
def by_plateau(patience):
    """On a made-up error that falls, and levels off after each division: the errors, and the rates."""
    schedule, errors, rates, level = Plateau(0.01, patience=int(patience)), [], [], 1.0
    rng = np.random.default_rng(2)
    while not schedule.over and len(rates) < 90:
        rates.append(schedule.rate(len(rates)))
        floor = 0.42 + 0.12 * np.log10(rates[-1] / 1e-5) / 3
        level = floor + (level - floor) * 0.8
        errors.append(level + 0.004 * rng.standard_normal())
        schedule.observe(errors[-1])
    return errors, rates


# %%
def rule(patience=5):
    errors, rates = by_plateau(patience)
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(errors, color=BLUE)
    left.set(title=f"A made-up error; patience {int(patience)}", xlabel="epochs", ylabel="error")
    logged = Steps(0.01, drops=(23, 51, 78))
    right.semilogy(rates, color=BLUE, label="by plateau")
    right.semilogy([logged.rate(e) for e in range(90)], "--", color=ORANGE, label="the log (ILSVRC-2010)")
    right.set(title=f"ended after {len(rates)} epochs", xlabel="epochs", ylabel="rate ε")
    right.legend(frameon=False)
    return figure


# %%
slide(rule, "Left: an error that falls and levels off, in steps. Right: the rate by plateau and the logged one, both "
      "falling by factors of ten.", patience=(5, 1, 15, 1))
logged = Steps(0.01, drops=(23, 51, 78))
assert np.allclose([logged.rate(e) for e in (0, 22.9, 23, 51, 78)], [0.01, 0.01, 0.001, 0.0001, 0.00001])
travel = np.array([logged.rate(e) for e in range(90)])
print(f"of the whole path, {travel[:23].sum() / travel.sum():.0%} lies before the first division")
assert round(1_200_000 / 128) == 9375
assert 9375 * 90 == 843_750

# %% [markdown]
# Nine tenths of all that a weight can travel it travels at the first rate; the rest is settling down. S9: 843,750 steps
# in five to six days were 208 to 250 images a second, on two GPUs of 2010.
#
# ## Exercises
#
# ### 1. Coming to rest
#
# ε = 0.01, momentum 0.95, a constant gradient of 2, no decay: what does v come to?

# %% tags=["exercise"]
rest = None

# %% tags=["check"]
if rest is None:
    print("Exercise 1: not answered yet.")
else:
    p = one_weight(0.0)
    sgd = SGD([p], rate=0.01, momentum=0.95, weight_decay=0.0)
    for _ in range(1000):
        p.grad[:] = 2.0
        sgd.step()
    assert np.isclose(rest, sgd.velocities[0][0], rtol=1e-6), "exercise 1: not there"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# rest = -0.01 * 2 / (1 - 0.95)
# ```
#
# </details>

# %% [markdown]
# ### 2. The other rule
#
# Write PyTorch's update with decay, $u \leftarrow 0.9 u + (g + \lambda w)$, $w \leftarrow w - \epsilon u$, as a
# function of (w, u, g, ε, λ) that returns the new (w, u). The check holds it against npnet's at a constant rate.

# %% tags=["exercise"]
def torch_step(w, u, g, rate, decay):
    return None


# %% tags=["check"]
if torch_step(1.0, 0.0, 1.0, 0.1, 0.01) is None:
    print("Exercise 2: not answered yet.")
else:
    p, w, u = one_weight(1.0), 1.0, 0.0
    sgd = SGD([p], rate=0.1, momentum=0.9, weight_decay=0.01)
    for g in np.random.default_rng(0).standard_normal(50):
        p.grad[:] = g
        sgd.step()
        w, u = torch_step(w, u, g, 0.1, 0.01)
    assert np.isclose(w, p.value[0], rtol=1e-9), "exercise 2: they part"
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def torch_step(w, u, g, rate, decay):
#     u = 0.9 * u + (g + decay * w)
#     return w - rate * u, u
# ```
#
# </details>

# %% [markdown]
# ### 3. Twice the batch
#
# Batches of 256 in place of 128, the same number of epochs. By which factor must ε be larger so that, with gradients
# that do not change much, a weight travels as far in an epoch? And after how many steps at that rate has decay alone
# (0.0005) halved it?

# %% tags=["exercise"]
factor, halved_after = None, None

# %% tags=["check"]
if factor is None or halved_after is None:
    print("Exercise 3: not answered yet.")
else:
    assert factor == 2, "exercise 3: half as many steps, each …"
    assert abs(halved_after / (np.log(0.5) / np.log(1 - 10 * 0.0005 * 0.02)) - 1) < 0.01, "exercise 3: not so many"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# Half as many steps, each twice as long. Decay per step is in proportion to ε, so half as many steps as before: the
# same number of epochs.
#
# ```python
# factor, halved_after = 2, 6931
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **Bias 1 "in the fully connected layers".** In the *hidden* ones: fc8 begins at 0, as do conv1 and conv3.
# - **N(0, 0.01) as a variance.** 0.01 is the standard deviation: a variance of 0.0001. And the program had 0.03 in
#   conv3 to conv5.
# - **"Weight decay regularises."** S2 says that this is not all: it lowered the training error.
# - **Validation error, test error.** S8 watches a *validation* set. Watching the test set, a rate is chosen by it, and
#   the test error reported is a little too good. (On few photos one does it all the same, and should say so.)
#
# And in programs:
#
# - **ε outside v**, as above: other steps behind each division.
# - **Decay outside ε.** In the printed rule ε multiplies the decay too. Where it does not, weights vanish once the rate
#   has fallen.
# - **Decay on biases.** The text is silent; the programs of the time had none, and twice the rate. A switch in npnet
#   (`bias_decay`, `bias_rate`).
# - **The sum over the batch in place of the mean**: a rate 128 times too large.
