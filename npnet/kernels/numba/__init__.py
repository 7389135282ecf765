"""The fast one: loops, compiled, on all cores. See `npnet.kernels.contract`."""
from npnet.kernels.calls import after_what_waits

from .activation import (
    abs_tanh_backward,
    abs_tanh_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from .conv import (
    conv1x1_backward_data,
    conv1x1_backward_weight,
    conv1x1_forward,
    conv2d_backward_data,
    conv2d_backward_weight,
    conv2d_forward,
)
from .dense import dense_backward_data, dense_backward_weight, dense_forward
from .dropout import dropout, scale
from .local import local2d_backward_data, local2d_backward_weight, local2d_forward
from .loss import label_ranks, softmax, softmax_cross_entropy_backward, softmax_cross_entropy_forward
from .memory import (
    add_up,
    channels,
    column,
    copy,
    empty,
    fill,
    finish,
    from_host,
    on_one_thread,
    receive,
    room,
    to_host,
    upload,
    view,
)
from .norm import lrn_backward, lrn_forward, lrn_within_backward, lrn_within_forward
from .pool import average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward
from .sgd import average_update, sgd_update

__all__ = [
    "abs_tanh_backward", "abs_tanh_forward", "add_up", "average_pool_backward", "average_pool_forward",
    "average_update", "channels", "column", "conv1x1_backward_data", "conv1x1_backward_weight", "conv1x1_forward",
    "conv2d_backward_data", "conv2d_backward_weight", "conv2d_forward", "copy", "dense_backward_data",
    "dense_backward_weight", "dense_forward", "dropout", "empty", "fill", "finish", "from_host", "label_ranks",
    "local2d_backward_data", "local2d_backward_weight", "local2d_forward", "lrn_backward", "lrn_forward",
    "lrn_within_backward", "lrn_within_forward", "max_pool_backward", "max_pool_forward", "on_one_thread", "receive",
    "relu_backward", "relu_forward", "room", "scale", "sgd_update", "sigmoid_backward", "sigmoid_forward", "softmax",
    "softmax_cross_entropy_backward", "softmax_cross_entropy_forward", "tanh_backward", "tanh_forward", "to_host",
    "upload", "view",
]

# NumPy's kernels that read or write an array's numbers. (This backend's own see to it themselves.)
abs_tanh_forward = after_what_waits(abs_tanh_forward)
fill = after_what_waits(fill)
finish = after_what_waits(finish)
from_host = after_what_waits(from_host)
receive = after_what_waits(receive)
scale = after_what_waits(scale)
sigmoid_forward = after_what_waits(sigmoid_forward)
tanh_forward = after_what_waits(tanh_forward)
to_host = after_what_waits(to_host)
upload = after_what_waits(upload)
