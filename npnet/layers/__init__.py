"""What the papers define, one concept a file: shapes, parameters, equations. `npnet.kernels` computes it."""
from .activation import AbsTanh, ReLU, Sigmoid, Tanh
from .containers import Concat, Sequential
from .conv import Conv2D
from .dense import Dense
from .dropout import Dropout
from .heads import WeightedSoftmaxCrossEntropy, WithHeads
from .layer import Cost, Layer
from .local import Local2D
from .loss import SoftmaxCrossEntropy
from .norm import LRN, LRNWithin
from .parameter import Constant, Gaussian, Initialiser, Parameter, Uniform, Xavier
from .pool import AvgPool2D, MaxPool2D

__all__ = [
    "LRN", "AbsTanh", "AvgPool2D", "Concat", "Constant", "Conv2D", "Cost", "Dense", "Dropout", "Gaussian",
    "Initialiser", "LRNWithin", "Layer", "Local2D", "MaxPool2D", "Parameter", "ReLU", "Sequential", "Sigmoid",
    "SoftmaxCrossEntropy", "Tanh", "Uniform", "WeightedSoftmaxCrossEntropy", "WithHeads", "Xavier",
]
