"""GoogLeNet's training. GoogLeNet §6; and as BVLC's bvlc_googlenet was trained, whose weights are public.

Both on photos that `npnet data prepare` has made ready, of any number of classes.
"""
from .recipe import Recipe

GOOGLENET = {
    recipe.name: recipe
    for recipe in (
        # The paper gives the momentum, the rate's fall, Polyak averaging and the sampling; the first rate, the weight
        # decay and the batch are Caffe's. How much of training is averaged it does not say: the second half here.
        Recipe("googlenet", "googlenet", epochs=60, rate=0.01, every=8, factor=0.96, weight_decay=0.0002, batch=32,
               whole=True, crop=224, mirror=True, sampling=True, averaged=0.5,
               reported="10.07 % not in the first five on ILSVRC 2014, a thousand classes, one net and one crop"),
        # Its quick solver. Crops and mirrors are all that it draws.
        Recipe("googlenet_caffe", "googlenet", epochs=60, rate=0.01, power=0.5, weight_decay=0.0002, batch=32,
               whole=True, crop=224, mirror=True, arguments={"preset": "caffe"},
               reported="31.3 % on ILSVRC 2012, a thousand classes, centre crop", reported_error=0.313),
    )
}
