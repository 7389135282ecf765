"""A small training with everything in it that a resumed one must take up again; as a program, one that can be killed.

``python small_run.py FOLDER BACKEND CHECKPOINT_STEPS SECONDS`` goes on with the run in FOLDER, SECONDS longer at every
step, and prints the number of each step that begins.
"""
import sys
import time
from pathlib import Path

import npnet
from npnet.data import Loader, shapes
from npnet.evaluate import error_rate
from npnet.layers import Conv2D, Dense, Dropout, Gaussian, MaxPool2D, ReLU, Sequential
from npnet.train import SGD, Average, Plateau, Steps, Trainer

IMAGES, BATCH, EPOCHS = 210, 20, 24  # 11 steps an epoch, the last of 10 images


def small_net(seed=0, channels=4):
    net = Sequential(
        conv=Conv2D(3, channels, 3, pad=1, weight=Gaussian(0.01)), pool=MaxPool2D(3, 2), relu=ReLU(),
        dropout=Dropout(0.5), fc=Dense(channels * 7 * 7, 10, weight=Gaussian(0.01)),
    )
    net.initialise(seed)
    return net


def small_trainer(
    folder=None, *, net=None, schedule=None, epochs=2, tested=False, averaged=False, loader=Loader, **options
):
    train, test = shapes.load("train", IMAGES, 16), shapes.load("test", 30, 16)
    net, mean = net or small_net(), train.mean_image()
    test_loader = Loader(test, 20, mean=mean, crop=14, train=False)
    options = {"lines": 3, "progress": False, **options}
    if tested or isinstance(schedule, Plateau):
        options["evaluate"] = lambda: {"test_error": error_rate(net, test_loader).top1}
    if averaged:
        options |= {"average": Average(net.parameters()), "average_from": epochs / 2}
    return Trainer(
        net, loader(train, BATCH, mean=mean, crop=14, mirror=True, seed=5), SGD(net.parameters()),
        schedule or Steps(0.001, drops=(epochs / 2,)), epochs, folder, **options,
    )


if __name__ == "__main__":
    folder, backend, checkpoint_steps, seconds = sys.argv[1:]

    class Slow(Loader):
        def epoch(self, epoch, skip=0):
            for k, batch in enumerate(super().epoch(epoch, skip), skip):
                print(epoch * len(self) + k, flush=True)
                time.sleep(float(seconds))
                yield batch

    npnet.use(backend)
    run = small_trainer(
        Path(folder), schedule=Plateau(0.001, patience=3, drops=100), epochs=EPOCHS, loader=Slow,
        checkpoint_steps=int(checkpoint_steps), averaged=True,
    )
    run.resume()
    run.run()
