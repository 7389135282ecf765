"""AlexNet's training. AlexNet §4.1, §5; and as the log of the program says it went.

Both on photos that `npnet data prepare` has made ready, of any number of classes.
"""
from npnet.data.augment import GAIN

from .recipe import Recipe

REPORTED = "37.5 % on ILSVRC-2010, a thousand classes, averaged over ten views"

ALEXNET = {
    recipe.name: recipe
    for recipe in (
        # The paper's text: the rate divided by 10, three times, when the validation error stops improving. "Stops" is
        # five epochs here; and colours are shifted by the roots, for the eigenvalues of the text would leave no picture
        # (npnet augment shows it).
        Recipe("alexnet", "alexnet", epochs=90, rate=0.01, weight_decay=0.0005, whole=True, crop=224, mirror=True,
               colour="roots", patience=5, reported=REPORTED, reported_error=0.375),
        # The program's log: conv1 at a tenth of the rate and no colours from epoch 68, conv1 frozen from 72.
        Recipe("alexnet_2012", "alexnet", epochs=93, rate=0.01, drops=(23, 51, 78), weight_decay=0.0005, whole=True,
               crop=224, mirror=True, together=32, colour="roots", colour_epochs=68, gain=GAIN,
               slow=((68, "conv1", 0.1), (72, "conv1", 0.0)), arguments={"preset": "original"}, reported=REPORTED,
               reported_error=0.375),
    )
}
