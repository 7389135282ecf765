"""AlexNet, as the paper prints it: Krizhevsky, Sutskever and Hinton 2012, §3.5 and Figure 2."""
from npnet.layers import LRN, Constant, Conv2D, Dense, Dropout, MaxPool2D, ReLU, Sequential


def alexnet(classes: int = 1000, seed: int = 0) -> Sequential:
    """Five convolutions and three fully connected layers for images of 224 × 224. AlexNet §3.5.

    The two GPUs are two groups in the layers that stay on their GPU (conv2, conv4, conv5), and the normalisation
    (§3.3) runs within the 48 and 128 channels of each. Windows of conv1 are rounded up, (224 − 11) / 4 to 55 positions,
    as the paper's program did. Weights begin with σ = 0.01, biases of the second, fourth and fifth convolution and of
    the hidden layers with 1 (§5).
    """
    one = Constant(1.0)
    net = Sequential(
        conv1=Conv2D(3, 96, 11, stride=4, rounding="ceil"),
        relu1=ReLU(),
        norm1=LRN(groups=2),
        pool1=MaxPool2D(3, 2),
        conv2=Conv2D(96, 256, 5, pad=2, groups=2, bias=one),
        relu2=ReLU(),
        norm2=LRN(groups=2),
        pool2=MaxPool2D(3, 2),
        conv3=Conv2D(256, 384, 3, pad=1),
        relu3=ReLU(),
        conv4=Conv2D(384, 384, 3, pad=1, groups=2, bias=one),
        relu4=ReLU(),
        conv5=Conv2D(384, 256, 3, pad=1, groups=2, bias=one),
        relu5=ReLU(),
        pool5=MaxPool2D(3, 2),
        fc6=Dense(256 * 6 * 6, 4096, bias=one),
        relu6=ReLU(),
        drop6=Dropout(0.5),
        fc7=Dense(4096, 4096, bias=one),
        relu7=ReLU(),
        drop7=Dropout(0.5),
        fc8=Dense(4096, classes),
    )
    net.initialise(seed)
    return net
