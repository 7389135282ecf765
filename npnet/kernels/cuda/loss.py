"""Softmax, cross-entropy, and the place of the label among the scores: a block for each image."""
import math
from typing import Any

from numba import cuda

from npnet.kernels.numpy.loss import check_labels

from .launch import compiled, each, inlined, launch, split
from .memory import scratch, to_host
from .reductions import SUM_THREADS, add_up_block, larger, largest_of_block

Device = Any


def softmax(logits: Device, probabilities: Device) -> None:
    launch(_softmax, logits.shape[0], SUM_THREADS, logits, probabilities)


def softmax_cross_entropy_forward(logits: Device, labels: Device, probabilities: Device, summary: Device) -> None:
    """Whether all labels are classes is not known when this returns: see the contract."""
    softmax(logits, probabilities)
    with scratch(2 * logits.shape[0], summary.dtype) as losses:
        launch(_losses, logits.shape[0], SUM_THREADS, logits, labels, losses)
        launch(_summary, 1, SUM_THREADS, losses, labels, logits.shape[1], summary)


def softmax_cross_entropy_backward(probabilities: Device, labels: Device, dlogits: Device) -> None:
    each(_backward, dlogits.size, probabilities, labels, dlogits)


def label_ranks(scores: Device, labels: Device, ranks: Device) -> None:
    check_labels(to_host(labels), scores.shape[1])
    launch(_ranks, scores.shape[0], SUM_THREADS, scores, labels, ranks)


@inlined
def _largest(z: Any, n: int, thread: int, shared: Any) -> Any:
    """The largest score of an image, to all threads of the block."""
    most = z[n, 0]
    for k in range(thread, z.shape[1], SUM_THREADS):
        most = larger(most, z[n, k])
    shared[thread] = most
    largest_of_block(shared, thread)
    most = shared[0]
    cuda.syncthreads()  # until all have it: before that, nothing is written over
    return most


def _softmax_loop(z: Any, p: Any) -> None:
    shared = cuda.shared.array(SUM_THREADS, z.dtype)
    n, thread, classes = cuda.blockIdx.x, cuda.threadIdx.x, z.shape[1]
    most = _largest(z, n, thread, shared)
    total = z.dtype.type(0)
    for k in range(thread, classes, SUM_THREADS):
        p[n, k] = math.exp(z[n, k] - most)
        total += p[n, k]
    shared[thread] = total
    add_up_block(shared, thread)
    for k in range(thread, classes, SUM_THREADS):
        p[n, k] /= shared[0]


def _losses_loop(z: Any, labels: Any, losses: Any) -> None:
    """Of each image −log p of its label, and behind those of all, whether another class is in first place.

    log Σ e^z − z of the label, the largest logit taken off: no p is ever 0 here.
    """
    shared = cuda.shared.array(SUM_THREADS, z.dtype)
    n, thread, classes = cuda.blockIdx.x, cuda.threadIdx.x, z.shape[1]
    most = _largest(z, n, thread, shared)
    total = z.dtype.type(0)
    for k in range(thread, classes, SUM_THREADS):
        total += z.dtype.type(math.exp(z[n, k] - most))
    shared[thread] = total
    add_up_block(shared, thread)
    total = shared[0]
    cuda.syncthreads()
    label = labels[n] if 0 <= labels[n] < classes else 0
    shared[thread] = z.dtype.type(_ahead(z, n, label, thread))
    add_up_block(shared, thread)
    if thread == 0:
        losses[n] = math.log(total) - (z[n, label] - most)
        losses[z.shape[0] + n] = 1 if classes > 1 and (shared[0] > 0 or most != most) else 0


@inlined
def _ahead(z: Any, n: int, label: int, thread: int) -> int:
    """Of a thread's share of the scores, how many are ahead of the label's."""
    ahead = 0
    for k in range(thread, z.shape[1], SUM_THREADS):
        if z[n, k] > z[n, label] or (z[n, k] == z[n, label] and k < label):
            ahead += 1
    return ahead


def _summary_loop(losses: Any, labels: Any, classes: int, summary: Any) -> None:
    """Their mean, and how many are wrong; of labels that are no class, the first, and −1 − its place."""
    shared = cuda.shared.array(SUM_THREADS, summary.dtype)
    thread, images = cuda.threadIdx.x, labels.size
    for i in range(2):
        total = summary.dtype.type(0)
        for n in range(thread, images, SUM_THREADS):
            total += losses[i * images + n]
        shared[thread] = total
        add_up_block(shared, thread)
        if thread == 0:
            summary[i] = shared[0] / summary.dtype.type(images if i == 0 else 1)
        cuda.syncthreads()
    worst = summary.dtype.type(-1 - images)
    for n in range(thread, images, SUM_THREADS):
        if labels[n] < 0 or labels[n] >= classes:
            worst = larger(worst, summary.dtype.type(-1 - n))
    shared[thread] = worst
    largest_of_block(shared, thread)
    if thread == 0 and shared[0] >= -images:
        summary[0], summary[1] = labels[-1 - int(shared[0])], shared[0]


def _backward_loop(p: Any, labels: Any, dz: Any) -> None:
    images, classes = p.shape
    for e in range(cuda.grid(1), images * classes, cuda.gridsize(1)):
        n, k = split(e, classes)
        right = p.dtype.type(1 if k == labels[n] else 0)
        dz[n, k] = (p[n, k] - right) / p.dtype.type(images)


def _ranks_loop(z: Any, labels: Any, ranks: Any) -> None:
    shared = cuda.shared.array(SUM_THREADS, ranks.dtype)
    n, thread, classes = cuda.blockIdx.x, cuda.threadIdx.x, z.shape[1]
    broken = 0
    for k in range(thread, classes, SUM_THREADS):
        if z[n, k] != z[n, k]:
            broken = classes
    shared[thread] = _ahead(z, n, labels[n], thread) + broken
    add_up_block(shared, thread)
    if thread == 0:
        ranks[n] = min(shared[0], classes - 1)


_softmax, _losses, _summary = compiled(_softmax_loop), compiled(_losses_loop), compiled(_summary_loop)
_backward, _ranks = compiled(_backward_loop), compiled(_ranks_loop)
