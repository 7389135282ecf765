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
# # 3. Two GPUs: a net in two columns
#
# **AlexNet §3.2** (Krizhevsky, Sutskever and Hinton 2012), to be read beside the paper. Half a minute on a laptop; the
# two GPUs are two threads here.
#
# > **초록.** AlexNet 3.2절은 망을 두 GPU에 나누어 학습한 방법을 설명한다. GPU 하나의 메모리(memory)가 3GB밖에 되지
# > 않아 커널(kernel)의 절반씩을 각 GPU에 두었고, 두 GPU는 정해진 층에서만 서로 값을 주고받는다. 곧 세 번째 합성곱
# > 층과 완전 연결 층들은 두 쪽의 출력을 모두 보고, 첫 층은 두 쪽 다 그림 전체를 읽으며, 나머지 층은 자기 쪽 것만
# > 본다. 데이터를 나누는 것이 아니라 모델을 나누는 모델 병렬화(model parallelism)이다. 이 노트북은 층마다 주고받는
# > 값의 개수를 세어 논문의 연결 방식과 다른 방식들을 견주고, 두 스레드(thread)로 실제로 나누어 돌린 망이
# > 그룹(group)을 가진 하나의 망과 앞뒤 계산에서 모두 같다는 것을 확인한다. 만나는 지점에서 기울기(gradient)가 왜
# > 더해지는지 유도하고, 절반 크기의 대조군이 실제로는 절반이 아니라는 각주(footnote)를 계산으로 보인다. 두 쪽의
# > 커널이 서로 다른 것을 배우는 현상도 저장된 학습 결과에서 살펴본다.
#
# You will have: the paper's pattern of communication counted in bytes, the net really run in two halves and found equal
# to the whole, the gradient of a crossing derived, and a look at how the halves came to differ.

# %% [markdown]
# ## What the section says
#
# In our words; have the paper open for its own. F is the footnote.
#
# | | what it says | where it is looked at here |
# |---|---|---|
# | S1 | A GPU of 3 GB limits the size of a net; 1.2 million images are enough to train larger ones. | *Does it fit?* |
# | S2 | So the net is spread over two. | *Does it fit?* |
# | S3 | GPUs can read and write each other's memory directly. | – |
# | S4 | Each has half of the kernels or neurons; they communicate in certain layers only. | *Who sends what* |
# | S5 | conv3 takes in all of conv2's maps, conv4 only those of conv3 on its own GPU. | *Who sends what* |
# | S6 | Which layers communicate can be chosen, and with it the cost. | *Who sends what* |
# | S7 | It is like Cireşan's columns, but these are not independent. | *Really two* |
# | S8 | −1.7 and −1.2 points, against a net of half as many kernels in each convolution on one GPU. | *The control* |
# | S9 | The two-GPU net is a little faster to train. | *The control* |
# | F | That control is more than half: conv5 and the fully connected layers are whole. | *The control* |

# %%
import inspect
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import npnet
from npnet import models
from npnet.layers import SoftmaxCrossEntropy
from npnet.models import columns
from npnet.models.columns import TwoColumns, exchanged
from npnet.notebook import BLUE, GREEN, ORANGE, begin, show_file, slide
from npnet.train import SGD
from npnet.train.plan import plan

QUICK = begin()

# %% [markdown]
# ## Does it fit?
#
# What a training step takes in memory follows from the shapes: weights, their gradients and velocities, and for each
# image of the batch all activations and gradients that are kept. npnet counts it before it computes anything:

# %%
needs = plan(models.alexnet, (3, 224, 224))
print(f"weights, gradients, velocities: {needs.fixed / 2**30:.2f} GiB; each image {needs.image / 2**20:.1f} MiB; "
      f"a batch of 128: {needs.bytes(128) / 2**30:.2f} GiB")
weights = sum(p.size for p in models.alexnet().parameters()) * 4
assert needs.fixed > 3 * weights
assert 2.0 < needs.bytes(128) / 2**30 < 3.0

# %% [markdown]
# That is npnet today, which writes over what nobody reads any more: it would just fit into 3 GB. Nothing would be left
# for the larger nets that S1 is about. (In some summaries the memory is short because of the *data*. It is short
# because of the net; images come a batch at a time.)
#
# ## Who sends what
#
# S4 and S5 as a table, made from the layers: before which of them a column needs the other's half, and how many numbers
# of an image that is.

# %%
net = models.alexnet()
print(columns.text(net, (3, 224, 224)))
crossings = dict(exchanged(net, (3, 224, 224)))
assert crossings == {"conv3": 13 * 13 * 128, "fc6": 6 * 6 * 128, "fc7": 2048, "fc8": 2048}

# %% [markdown]
# Now S6: other patterns. If *every* layer saw both columns, also conv2, conv4 and conv5 would have to be told the
# other's half, and conv2's, of 27 × 27 × 48 numbers, is the largest, a little above those of conv4 and conv5. If none
# did, it would be two independent nets (Cireşan's columns). Bars: megabytes of a batch that one column sends forward;
# as many come back as gradients.

# %%
halves = {"conv2": 27 * 27 * 48, "conv3": 13 * 13 * 128, "conv4": 13 * 13 * 192, "conv5": 13 * 13 * 192,
          "fc6": 6 * 6 * 128, "fc7": 2048, "fc8": 2048}


def patterns(batch=128):
    figure = Figure(figsize=(8.0, 3.0), layout="constrained")
    axes = figure.subplots()
    for shift, (name, layers, colour) in enumerate((
            ("everywhere", tuple(halves), ORANGE), ("the paper's", tuple(crossings), BLUE),
            ("fully connected only", ("fc6", "fc7", "fc8"), GREEN))):
        sizes = [halves[layer] * batch * 4e-6 if layer in layers else 0 for layer in halves]
        axes.bar(np.arange(7) + 0.27 * (shift - 1), sizes, 0.26, color=colour, label=f"{name}: {sum(sizes):.0f} MB")
    axes.set(title=f"What a column sends forward, batch {batch:.0f}", xticks=range(7), xticklabels=list(halves),
             xlabel="before", ylabel="megabytes")
    axes.legend(frameon=False)
    return figure


slide(patterns, "Bars for seven layers. Everywhere: conv2 is highest, then conv4 and conv5. The paper's: conv3, and "
      "small ones for the fully connected layers.", batch=(128, 16, 512, 16))
paper, everywhere = (sum(halves[layer] for layer in which) for which in (crossings, halves))
assert everywhere / paper > 4

# %% [markdown]
# The paper's pattern sends less than a quarter of what all-to-all would, and conv3 alone lets every neuron above it
# depend on everything below.
#
# ## Really two
#
# `TwoColumns` takes the grouped net apart: two threads, each with layers of its own that hold half of everything. They
# meet before conv3, fc6, fc7 and fc8, and nowhere else. Here is all that happens where they meet:

# %%
print(inspect.getsource(columns.Crossing.swap))

# %% [markdown]
# A narrow AlexNet, in float64, whole and in two: the same loss, the same gradients to the last digits, the same weights
# after three steps. Dropout too: its masks are drawn for the whole layer.

# %%
npnet.use("numba")
whole = models.alexnet(5, seed=3, widths=(4, 8, 8, 8, 4), hidden=6, input=67, std=(0.1,) * 8)
whole.astype(np.float64)
both = TwoColumns(whole)
images, labels = np.random.default_rng(0).standard_normal((3, 3, 67, 67)), np.array([4, 0, 2])
values = {}
for name, one in (("whole", whole), ("two columns", both)):
    sgd, loss, values[name] = SGD(one.parameters(), 0.01), SoftmaxCrossEntropy(), []
    for step in range(3):
        one.set_step(step)
        values[name].append(loss.forward(one.forward(images), labels))
        one.backward_parameters(loss.backward())
        sgd.step()
    print(f"{name:12}", " ".join(f"{value:.12f}" for value in values[name]))
np.testing.assert_allclose(values["two columns"], values["whole"], rtol=1e-10)
together = both.gather()
for p in whole.parameters():
    np.testing.assert_allclose(together[p.name], p.numpy(), rtol=1e-8, atol=1e-12)

# %% [markdown]
# And the bytes that went across, counted by the crossings themselves, are those of the table (for this narrow net, and
# 8 bytes a number):

# %%
numbers = dict(exchanged(whole, (3, 67, 67)))
for crossing in both.crossings:
    ways = 1 if crossing.name == "fc8" else 2  # fc8 is on the first column: only the second sends
    assert crossing.sent["forward"] == crossing.sent["backward"] == 3 * ways * 3 * 8 * numbers[crossing.name]
    print(f"before {crossing.name}: {crossing.sent['forward']:,} bytes forward in three steps, as many back")

# %% [markdown]
# ### The gradient of a crossing
#
# Forward, column A computes $h_A$ and B computes $h_B$; both then use both. With $L$ depending on $h_A$ through A's
# next layer ($f_A$) *and* through B's ($f_B$), the chain rule has two terms:
#
# $$\frac{\partial L}{\partial h_A} = \frac{\partial L}{\partial f_A} \frac{\partial f_A}{\partial h_A}
#   + \frac{\partial L}{\partial f_B} \frac{\partial f_B}{\partial h_A}.$$
#
# The first A can compute by itself. The second B computes, since it holds the weights of $f_B$, and sends it. So on the
# way back as many numbers cross as on the way forward, and what arrives is *added*. Leave the addition out, and every
# number still looks plausible:

# %%
rng = np.random.default_rng(1)
h_a, h_b = rng.standard_normal((2, 4))
f_a, f_b = rng.standard_normal((2, 3, 8))


def value(h_a, h_b):
    both = np.concatenate([h_a, h_b])
    return np.sum(np.tanh(f_a @ both)) + np.sum(np.tanh(f_b @ both) ** 2)


both_halves = np.concatenate([h_a, h_b])
from_a = f_a.T @ (1 - np.tanh(f_a @ both_halves) ** 2)
from_b = f_b.T @ (2 * np.tanh(f_b @ both_halves) * (1 - np.tanh(f_b @ both_halves) ** 2))
nudges = 1e-6 * np.eye(4)
differences = np.array([(value(h_a + d, h_b) - value(h_a - d, h_b)) / 2e-6 for d in nudges])
print("by differences   ", np.round(differences, 6))
print("both terms       ", np.round((from_a + from_b)[:4], 6))
print("A's own term only", np.round(from_a[:4], 6))
np.testing.assert_allclose((from_a + from_b)[:4], differences, rtol=1e-6)
assert not np.allclose(from_a[:4], differences, rtol=0.01)

# %% [markdown]
# ## The control
#
# S8 compares with a net "with half as many kernels in each convolutional layer". F takes that back for the last one,
# and for the fully connected layers:

# %%
rows = {name: models.alexnet(preset=name) for name in ("paper", "one_gpu")}
for name, made in rows.items():
    widths = [layer.out_channels for layer in made.layers if hasattr(layer, "out_channels")]
    cost = made.cost((3, 224, 224))
    print(f"{name:8} convolutions {widths}, {cost.parameters:,} parameters, {cost.macs / 1e6:.0f} million products")
one, two = (rows[name].cost((3, 224, 224)) for name in ("one_gpu", "paper"))
assert one.parameters == 59_798_312
assert 0.98 < one.parameters / two.parameters < 0.99
assert 0.53 < one.macs / two.macs < 0.55
halved = models.alexnet(widths=(48, 128, 192, 192, 128), groups=(1,) * 5, norm_groups=1)
print(f"with conv5 halved too: {halved.cost((3, 224, 224)).parameters:,} parameters")

# %% [markdown]
# As many parameters, since fc6 has most of them and hangs on conv5; 54 % of the work, all on one GPU, where the other
# net has 50 % on each. Hence S9's "slightly less time". The comparison favours the control, as F says, and the gain
# of 1.7 points is in the public logs: 39.17 against 37.47 %.
#
# ## How the halves came to differ
#
# Nothing tells the columns to specialise; they begin from the same distribution and see the same images. Yet Figure 3
# shows 48 mostly grey kernels and 48 mostly coloured ones (§6.1). Here are those of our own AlexNet, trained on 5,000
# photos for 47 epochs, if the training is stored; above the first column's, below the second's.

# %% tags=["stored"]
stored = Path("results/alexnet/full/kernels.png")
if stored.exists():
    show_file(stored, width=700, alt=(
        "96 first-layer kernels, 48 of each column: edges and gratings, in one column mostly grey, in the other more "
        "often coloured."))
    epochs = [json.loads(line)["epoch"] for line in (stored.parent / "metrics.jsonl").read_text().splitlines()]
    print(f"after {max(epochs):.0f} epochs; how it was made: results/README.md")
else:
    print("results/alexnet/full is not here: npnet train alexnet, then npnet kernels RUN, make it, in hours.")

# %% [markdown]
# Why at all? While the columns are apart, up to conv3, a kernel of conv2 can only combine what its own column offers.
# If by chance one column has a little more colour, its conv2 finds colour useful, and sends that back as gradient. Only
# above, where the columns meet, is there any reason not to do the same work twice.
#
# ## Exercises
#
# ### 1. Megabytes
#
# Before conv3, how many megabytes ($10^6$ bytes) does *one* GPU send to the other for a batch of 128, in float32?

# %% tags=["exercise"]
megabytes = None

# %% tags=["check"]
if megabytes is None:
    print("Exercise 1: not answered yet.")
else:
    assert np.isclose(megabytes, crossings["conv3"] * 128 * 4 / 1e6, rtol=0.01), "exercise 1: not so many"
    print("Exercise 1: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# 128 maps of 13 × 13 a GPU; a number is four bytes.
#
# ```python
# megabytes = 13 * 13 * 128 * 128 * 4 / 1e6
# ```
#
# </details>

# %% [markdown]
# ### 2. A crossing of your own
#
# Forward, both columns get both halves. Write `backward`: it gets the gradients of what each column was given, A's and
# B's, each of length $2n$, and returns those of $h_A$ and $h_B$.

# %% tags=["exercise"]
class Meeting:
    def forward(self, h_a, h_b):
        self.n = len(h_a)
        both = np.concatenate([h_a, h_b])
        return both, both.copy()

    def backward(self, of_a, of_b):
        return None


# %% tags=["check"]
meeting = Meeting()
meeting.forward(h_a, h_b)
answer = meeting.backward(from_a, from_b)
if answer is None:
    print("Exercise 2: not answered yet.")
else:
    np.testing.assert_allclose(answer[0], differences, rtol=1e-6)
    back = np.array([(value(h_a, h_b + d) - value(h_a, h_b - d)) / 2e-6 for d in nudges])
    np.testing.assert_allclose(answer[1], back, rtol=1e-6)
    print("Exercise 2: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Meeting:
#     def forward(self, h_a, h_b):
#         self.n = len(h_a)
#         both = np.concatenate([h_a, h_b])
#         return both, both.copy()
#
#     def backward(self, of_a, of_b):
#         total = of_a + of_b
#         return total[: self.n], total[self.n :]
# ```
#
# </details>

# %% [markdown]
# ### 3. Four GPUs
#
# Spread the same net over four GPUs, a quarter of the kernels each, meeting before the same layers. How many numbers of
# an image does *one* GPU send before conv3, to the three others together? And is it more or less than with two?

# %% tags=["exercise"]
numbers_sent, is_more = None, None

# %% tags=["check"]
if numbers_sent is None or is_more is None:
    print("Exercise 3: not answered yet.")
else:
    quarter = 13 * 13 * 256 // 4
    assert numbers_sent == 3 * quarter, "exercise 3: not so many"
    assert is_more == (3 * quarter > crossings["conv3"]), "exercise 3: compare again"
    print("Exercise 3: right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# A quarter of 256 maps goes to each of three: 32,448 numbers, against 21,632 with two. The work of each GPU halves
# while what it sends grows: this way of parting a net does not go far.
#
# ```python
# numbers_sent, is_more = 3 * 13 * 13 * 64, True
# ```
#
# </details>

# %% [markdown]
# ## What summaries get wrong here
#
# - **"Each GPU trains on half of the images."** That would be data parallelism. Both see *every* image; each holds
#   half of the *net*.
# - **"Memory was short because of the data."** Because of the net (S1).
# - **"conv1 is on one GPU", "conv1 sees its own GPU only".** Both read the whole image, and each makes 48 maps.
# - **"It is an average of two nets."** The columns meet four times (S7). Two independent ones were tried by the same
#   author, by the public logs, and did worse.
# - **"Half the kernels in each layer."** The footnote says otherwise (*The control*).
# - **The gain is that of a wider net.** S8 compares nets of different width; it does not show that *splitting* helps.
#   It shows that two GPUs allowed more.
#
# And in programs: groups left out (62.4 million parameters); normalisation across the border of the columns, where each
# had its own (`norm_groups`); columns that never meet.
