"""The same net in PyTorch, made from npnet's layers one by one, with the same weights: in a process of its own."""
from typing import Any

import numpy as np

from npnet import models
from npnet.layers import (
    LRN,
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Layer,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    Tanh,
    WithHeads,
)

from .worker import images


def module(layer: Layer) -> Any:
    """The torch module that computes what `layer` does. Raises ValueError for a layer that torch has none for."""
    import torch
    from torch import nn

    class Across(nn.Module):
        """torch's normalisation, within each group of channels."""

        def __init__(self, norm: LRN) -> None:
            super().__init__()
            self.groups, self.norm = norm.groups, nn.LocalResponseNorm(
                norm.size, norm.alpha * norm.size, norm.beta, norm.k)

        def forward(self, x: Any) -> Any:
            if self.groups == 1:
                return self.norm(x)
            n, c, h, w = x.shape
            return self.norm(x.reshape(n * self.groups, c // self.groups, h, w)).reshape(n, c, h, w)

    class Within(nn.Module):
        """torch has none within a map: of its average pooling."""

        def __init__(self, norm: LRNWithin) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(norm.size, 1, norm.size // 2)
            self.alpha, self.beta, self.k = norm.alpha * norm.size**2, norm.beta, norm.k

        def forward(self, x: Any) -> Any:
            return x / (self.pool(x * x) * self.alpha + self.k) ** self.beta

    class Scaled(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Any) -> Any:
            return x * self.factor

    class SideBySide(nn.Module):
        def __init__(self, branches: Any) -> None:
            super().__init__()
            self.branches = nn.ModuleList(branches)

        def forward(self, x: Any) -> Any:
            return torch.cat([branch(x) for branch in self.branches], 1)

    class Heads(nn.Module):
        def __init__(self, net: WithHeads) -> None:
            super().__init__()
            self.names = list(net.trunk)
            self.trunk = nn.ModuleDict({name: module(part) for name, part in net.trunk.items()})
            self.heads = nn.ModuleDict({name: module(part) for name, part in net.heads.items()})

        def forward(self, x: Any) -> Any:
            outputs = []
            for name in self.names:
                x = self.trunk[name](x)
                if self.training and name in self.heads:
                    outputs.append(self.heads[name](x))
            return (x, *outputs) if self.training else x

    if isinstance(layer, Sequential):
        return nn.Sequential(*(module(part) for part in layer.layers))
    if isinstance(layer, WithHeads):
        return Heads(layer)
    if isinstance(layer, Concat):
        return SideBySide([module(part) for part in layer.layers])
    if isinstance(layer, Conv2D):
        conv = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.pad,
                         groups=layer.groups)
        return _filled(conv, layer)
    if isinstance(layer, Dense):
        return nn.Sequential(nn.Flatten(), _filled(nn.Linear(layer.in_features, layer.out_features), layer))
    if isinstance(layer, MaxPool2D):
        return nn.MaxPool2d(layer.size, layer.stride, layer.pad, ceil_mode=layer.rounding == "ceil")
    if isinstance(layer, AvgPool2D):
        return nn.AvgPool2d(layer.size, layer.stride, layer.pad, layer.rounding == "ceil", layer.count_pad)
    if isinstance(layer, ReLU):
        return nn.ReLU(inplace=True)
    if isinstance(layer, Tanh):
        return nn.Tanh()
    if isinstance(layer, LRN):
        return Across(layer)
    if isinstance(layer, LRNWithin):
        return Within(layer)
    if isinstance(layer, Dropout):  # the paper's convention scales when testing, torch's when training
        return nn.Dropout(layer.p) if layer.convention == "inverted" else nn.Sequential(
            nn.Dropout(layer.p), Scaled(1 - layer.p))
    raise ValueError(f"PyTorch has no layer for {layer!r}")


def _filled(made: Any, layer: Conv2D | Dense) -> Any:
    import torch

    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(layer.weight.numpy().reshape(made.weight.shape)))
        made.bias.copy_(torch.from_numpy(layer.bias.numpy()))
    return made


def widened(net: Layer, x: Any) -> Any:
    """The images, with the zeros around them that a first convolution rounded up reads: torch rounds down."""
    first = next(layer for layer in net.walk() if not layer.children())
    if not isinstance(first, Conv2D) or first.rounding == "floor":
        return x
    more = []
    for length, count in zip(x.shape[2:], first.output_shape(x.shape[1:])[1:], strict=True):
        more.append(max(0, (count - 1) * first.stride + first.kernel - 2 * first.pad - length))
    return np.pad(x, ((0, 0), (0, 0), (0, more[0]), (0, more[1])))


class Torch:
    """Its side: eager, in float32 throughout; on a GPU without the rounding to 10 bits (TF32) that torch may take
    there, and with the fastest of the convolutions it has tried."""

    def __init__(self, model: str, batch: int, threads: int, channels_last: bool, device: str = "cpu") -> None:
        import torch

        self.torch, self.device = torch, device
        if device == "cuda" and not torch.cuda.is_available():
            raise ImportError("this PyTorch sees no GPU: install one that is built for CUDA")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        torch.set_num_threads(threads)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        net, (x, labels) = models.build(model), images(model, batch)
        self.net = module(net).to(device, memory_format=layout)
        self.x = torch.from_numpy(widened(net, x)).to(device, memory_format=layout)
        self.labels = torch.from_numpy(labels).to(device)
        self.loss = torch.nn.CrossEntropyLoss()
        self.sgd = torch.optim.SGD(self.net.parameters(), 1e-6, momentum=0.9, weight_decay=0.0005)

    def step(self) -> float:
        self.net.train()
        self.sgd.zero_grad()
        logits = self.net(self.x)
        logits = logits if isinstance(logits, tuple) else (logits,)
        values = [self.loss(z, self.labels) for z in logits]
        total = values[0] + 0.3 * sum(values[1:])
        total.backward()
        self.sgd.step()
        self._finish()
        return float(total.detach())

    def infer(self) -> None:
        self.net.eval()
        with self.torch.no_grad():
            self.net(self.x)
        self._finish()

    def _finish(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def facts(self) -> dict[str, Any]:
        return {"name": f"PyTorch {self.torch.__version__}", "version": self.torch.__version__}
