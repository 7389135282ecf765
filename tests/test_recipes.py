import json
from dataclasses import asdict, replace

import numpy as np
import pytest

import npnet
from npnet import data, models
from npnet.data import Dataset, shapes
from npnet.errors import UserError
from npnet.evaluate import error_rate, mean_probabilities
from npnet.files import load_arrays
from npnet.recipes import RECIPES, Recipe, evaluate_runs, load, recipe, trainer
from npnet.recipes.alexnet import ALEXNET
from npnet.recipes.cifar import CIFAR
from npnet.recipes.recipe import loaders, schedule
from npnet.recipes.runs import classify, hidden, hidden_of
from npnet.recipes.runs import trained as trained_run
from npnet.train import Plateau, checkpoint, metrics

SMALL = replace(RECIPES["cifar_13pct"], epochs=1, batch=20)  # with crops and mirrors


@pytest.fixture(scope="module")
def train():
    return shapes.load("train", 50)


@pytest.fixture(scope="module")
def test():
    return shapes.load("test", 30)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_json_and_back(tmp_path, name):
    RECIPES[name].save(tmp_path, seed=3, data="x", images=5)
    assert load(tmp_path) == (RECIPES[name], {"seed": 3, "data": "x", "images": 5})
    assert json.loads((tmp_path / recipe.FILE).read_text())["recipe"]["name"] == name


def recipe_text(**changes):
    whole = {"recipe": asdict(RECIPES["cifar_80sec"]), "data": "shapes train", "images": 5}
    for key, value in changes.items():
        (whole if key in whole else whole["recipe"])[key] = value
    return json.dumps(whole)


@pytest.mark.parametrize(("text", "message"), [
    ("", "a run's recipe "), ("[]", "a run's recipe "), ("\x00", "a run's recipe "),
    ("{}", r"a recipe of this version .*'recipe'"),
    ('{"recipe": {"name": "x"}}', r"a recipe of this version .*'drops'"),
    ('{"recipe": {"name": "x", "drops": [], "secret": 1}}', r".* unexpected keyword argument 'secret'"),
    (recipe_text(epochs=None), "a recipe of this version"), (recipe_text(images="k"), "a recipe of this version"),
    (recipe_text(data=None), "a recipe of this version"), (recipe_text(arguments={"secret": 1}), ".*secret"),
])
def test_a_damaged_recipe_is_one_line(tmp_path, text, message):
    (tmp_path / recipe.FILE).write_text(text)
    with pytest.raises(UserError, match=rf"{recipe.FILE}: not {message}") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        load(tmp_path)


@pytest.mark.parametrize("name", CIFAR)
def test_every_published_recipe_trains(train, test, name):
    run = trainer(replace(RECIPES[name], epochs=0.5, batch=25), train, test, progress=False)
    assert len(run.run()) == 1
    assert RECIPES[name].reported_error == {"80": 0.26, "19": 0.19, "18": 0.18, "13": 0.13, "11": 0.11}[name[6:8]]


def test_the_schedules_are_those_of_the_files():
    r = RECIPES
    assert (r["cifar_80sec"].epochs, r["cifar_80sec"].drops) == (10, (8,))
    assert (r["cifar_18pct"].epochs, r["cifar_18pct"].drops) == (140, (120, 130))
    assert (r["cifar_11pct"].epochs, r["cifar_11pct"].drops, r["cifar_11pct"].crop) == (520, (500, 510), 24)
    for one in CIFAR.values():
        assert (one.batch, one.momentum, one.rate, one.weight_decay, one.factor) == (128, 0.9, 0.001, 1.0, 0.1)
        assert models.INPUTS[one.model][1] == (one.crop or 32)


NARROW = {"widths": (2, 4, 4, 4, 4), "hidden": 6}


@pytest.fixture(scope="module")
def photos():
    """Of 230 pixels: six crops of 224 fit along each side and one more."""
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 230, 230), dtype=np.uint8)
    return Dataset(images, np.arange(8) % 2, ("cat", "dog"), "noise")


@pytest.mark.parametrize("name", ALEXNET)
def test_alexnets_recipes_train_a_narrow_one_and_ten_views_test_it(tmp_path, photos, name, monkeypatch):
    chosen = RECIPES[name]
    chosen = replace(chosen, epochs=1, batch=4, arguments={**chosen.arguments, **NARROW})
    monkeypatch.setattr(npnet.data, "load", lambda *_: photos)
    run = trainer(chosen, photos, photos, tmp_path, progress=False)
    assert run.run()[-1]["test_error"] >= 0
    _, rate = evaluate_runs([tmp_path], "x", views=10)
    assert rate.images == 8
    with pytest.raises(ValueError, match=r"views \(=7\) must be 1 or 10"):
        evaluate_runs([tmp_path], "x", views=7)


def test_alexnets_recipe_is_the_papers_text(photos):
    chosen = RECIPES["alexnet"]
    assert (chosen.batch, chosen.momentum, chosen.rate) == (128, 0.9, 0.01)
    assert (chosen.weight_decay, chosen.epochs) == (0.0005, 90)
    net = chosen.build(0, classes=7)
    assert (net.cost((3, 224, 224)).macs, net["fc8"].out_features) == (724_406_816 - 4096 * 993, 7)
    loader, test = loaders(chosen, photos, photos, 5)
    assert (loader.crop, loader.mirror, loader.together, loader.gain, loader.colour_epochs) == (224, True, 1, 1.0, None)
    np.testing.assert_allclose(loader.colour @ loader.colour.T, photos.covariance(), rtol=1e-6)
    assert (test.crop, test.train, test.batch) == (224, False, 128)
    assert isinstance(schedule(chosen), Plateau)


def test_the_programs_recipe_is_its_log(photos):
    chosen = RECIPES["alexnet_2012"]
    rates = schedule(chosen)
    assert [rates.rate(epoch) for epoch in (22, 23, 51, 78)] == pytest.approx([1e-2, 1e-3, 1e-4, 1e-5])
    assert [rates.factors(epoch) for epoch in (67, 68, 72)] == [{}, {"conv1": 0.1}, {"conv1": 0.0}]
    assert rates.rate(68) * rates.factors(68)["conv1"] == pytest.approx(1e-5)
    loader, _ = loaders(chosen, photos, None, 0)
    assert (loader.together, loader.gain, loader.colour_epochs) == (32, 1.1, 68)
    assert chosen.arguments["preset"] == "original"


def test_a_recipe_with_tuples_goes_on(tmp_path, photos):
    chosen = replace(RECIPES["alexnet"], epochs=0.5, batch=4, patience=0, arguments=NARROW)
    trainer(chosen, photos, None, tmp_path, progress=False).run()
    trainer(replace(chosen, epochs=1), photos, None, tmp_path, resume=True, progress=False).run()


def test_a_schedule_is_one_thing_and_names_layers_that_there_are(photos):
    chosen = replace(RECIPES["alexnet"], arguments=NARROW)
    with pytest.raises(UserError, match=r"its rate falls in one way, not in 2: drops \(=\(3,\)\), patience \(=5\)"):
        schedule(replace(chosen, drops=(3,)))
    with pytest.raises(ValueError, match=r"slow \(='convolution1'\) must be a layer with parameters"):
        trainer(replace(chosen, patience=0, slow=((1, "convolution1", 0.1),)), photos)


def test_small_images_are_no_photos(train):
    with pytest.raises(UserError, match=r"alexnet takes crops of 224 × 224 pixels, and .* has 32 × 32: npnet data"):
        trainer(RECIPES["alexnet"], train)


def test_photos_of_another_size_are_refused_before_anything_is_begun(tmp_path, photos):
    with pytest.raises(UserError, match=r"cifar_80sec takes images of 32 × 32 pixels, and .* --side 32 makes"):
        trainer(RECIPES["cifar_80sec"], photos, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_trainer_is_what_the_recipe_says(train, test):
    run = trainer(replace(SMALL, drops=(0.5,), momentum=0.8), train, test, seed=7, progress=False)
    assert (run.sgd.momentum, run.sgd.weight_decay, run.schedule.start, run.schedule.drops) == (0.8, 1.0, 0.001, (0.5,))
    loader = run.loader
    assert (loader.batch, loader.crop, loader.mirror, loader.train, loader.seed) == (20, 24, True, True, 7)
    for p, q in zip(run.net.parameters(), models.cifar_13pct(seed=7).parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    images, _ = next(loader.epoch(0))
    assert np.abs(images).max() > 50, "grey levels, 0 to 255"
    assert [("test_error" in line, "test_top5" in line) for line in run.run()][-1] == (True, True)


def test_a_folder_that_holds_a_run_is_taken_up_or_left_alone(tmp_path, train):
    trainer(SMALL, train, folder=tmp_path, progress=False).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="holds a run of cifar_13pct already: --resume goes on with it, --out DIR"):
        trainer(SMALL, train, folder=tmp_path)
    changes = [
        (replace(SMALL, rate=0.002), 0, train, r"\(rate 0.001 there, 0.002 here\)"),
        (replace(SMALL, mirror=False, batch=9), 0, train, r"\(batch 20 there, 9 here, mirror True there, False here\)"),
        (SMALL, 4, train, r"\(seed 0 there, 4 here\)"),
        (SMALL, 0, train.take(20), r"\(images 50 there, 20 here\)"),
        (RECIPES["cifar_80sec"], 0, train, r"\(name 'cifar_13pct' there, 'cifar_80sec' here, "),
    ]
    for other, seed, images, message in changes:
        with pytest.raises(UserError, match="holds another run " + message) as error:
            trainer(other, images, folder=tmp_path, seed=seed, resume=True)
        assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_backend_is_another_run(tmp_path, train, backend):
    trainer(SMALL, train, folder=tmp_path, progress=False).run()
    here = npnet.kernels.active_name()
    other = "numpy" if here == "numba" else "numba"
    pytest.importorskip(other)
    npnet.use(other)
    with pytest.raises(UserError, match=rf"\(backend '{here}' there, '{other}' here\)"):
        trainer(SMALL, train, folder=tmp_path, resume=True)


def test_what_was_reported_may_be_told_better_and_later_facts_be_more(tmp_path, train):
    trainer(SMALL, train, folder=tmp_path, progress=False).run()
    facts = json.loads((tmp_path / recipe.FILE).read_text())
    (tmp_path / recipe.FILE).write_text(json.dumps({**facts, "machine": "laptop"}))
    run = trainer(replace(SMALL, reported="13 %"), train, folder=tmp_path, resume=True, progress=False)
    assert run.finished


def test_more_epochs_are_written_down_and_end_where_one_run_would(tmp_path, train):
    two = replace(SMALL, epochs=2)
    trainer(SMALL, train, folder=tmp_path / "a", progress=False).run()
    trainer(two, train, folder=tmp_path / "a", resume=True, progress=False).run()
    trainer(two, train, folder=tmp_path / "b", progress=False).run()
    assert load(tmp_path / "a")[0] == load(tmp_path / "b")[0] == two
    a, b = (load_arrays(tmp_path / folder / checkpoint.NAME)[0] for folder in "ab")
    assert sorted(a) == sorted(b)
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name])
    assert [{**line, "seconds": 0, "waited": 0} for line in metrics.read(tmp_path / "a")] == [
        {**line, "seconds": 0, "waited": 0} for line in metrics.read(tmp_path / "b")]
    trainer(SMALL, train, folder=tmp_path / "a", resume=True, progress=False)  # fewer: there is nothing left to do
    assert load(tmp_path / "a")[0].epochs == 2


def test_evaluating_a_run_gives_the_error_that_training_ended_with(tmp_path, train, test, monkeypatch):
    whole = shapes.load("train", 80)
    monkeypatch.setattr(data, "load", lambda name, split: {"train": whole, "test": test}[split])
    lines = trainer(SMALL, whole.take(50), test, tmp_path, progress=False).run()
    [again], rate = evaluate_runs([tmp_path])
    assert again == SMALL
    assert (rate.top1, rate.top5) == (lines[-1]["test_error"], lines[-1]["test_top5"])
    assert rate.images == 30


def test_the_mean_image_that_is_taken_off_is_that_of_the_images_trained_on(tmp_path, test, monkeypatch):
    dark, light = (replace(shapes.load("train", 40), images=np.full((40, 3, 32, 32), v, np.uint8)) for v in (10, 200))
    both = replace(dark, images=np.concatenate([dark.images, light.images]),
                   labels=np.concatenate([dark.labels, light.labels]), boxes=None)
    monkeypatch.setattr(data, "load", lambda name, split: {"train": both, "test": test}[split])
    trainer(SMALL, both.take(40), test, tmp_path, progress=False).run()
    seen = []
    monkeypatch.setattr(
        "npnet.recipes.runs.error_rate", lambda net, loader, *_: seen.append(loader) or error_rate(net, loader))
    evaluate_runs([tmp_path])
    assert (seen[0].mean == 10).all()


def test_a_run_that_was_killed_while_it_began_goes_on_as_one_that_can_be_evaluated(tmp_path, train, test, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, split: {"train": train, "test": test}[split])
    for killed in ("save_input", "write_json"):
        run = trainer(SMALL, train, test, tmp_path / killed, progress=False)
        with monkeypatch.context() as patched:
            patched.setattr(recipe, killed, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run.run()
        trainer(SMALL, train, test, tmp_path / killed, resume=True, progress=False).run()
        assert evaluate_runs([tmp_path / killed])[1].images == 30


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_a_run_goes_on_with_its_own_images_alone(tmp_path, train):
    trainer(SMALL, train, folder=tmp_path, progress=False).run()
    brighter = replace(train, images=np.maximum(train.images, 40))
    renamed = replace(train, classes=tuple("abcdefghij"))
    for other, differs in ((brighter, "their mean is another one"),
                           (renamed, "classes disc, .* … there, a, b, c, d, e … here")):
        with pytest.raises(UserError, match=rf"was trained on other images \({differs}\): --data DIR names those"):
            trainer(replace(SMALL, epochs=2), other, folder=tmp_path, resume=True)
    (tmp_path / recipe.FILE).unlink()
    with pytest.raises(UserError, match=r"holds a checkpoint and no recipe\.json, which says of what run"):
        trainer(SMALL, train, folder=tmp_path, seed=3, resume=True)


def test_ten_views_of_a_net_that_takes_all_of_an_image_are_two(tmp_path, train, test, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, split: {"train": train, "test": test}[split])
    trainer(replace(SMALL, crop=0, model="cifar_80sec"), train, test, tmp_path, progress=False).run()
    run, seen = trained_run(tmp_path), []
    ten = np.mean([mean_probabilities([(run.net, run.loader(test, view))]) for view in range(10)], axis=0)
    np.testing.assert_allclose(mean_probabilities(run.voices(test, 10)), ten, atol=1e-7)
    evaluate_runs([tmp_path], "x", 10, lambda some, of: seen.append((some, of)))
    assert sum(some for some, _ in seen) == 2 * len(test) == seen[0][1]


@pytest.mark.parametrize("views", [1, 10])
def test_an_evaluation_says_how_far_it_is(tmp_path, train, test, monkeypatch, views):
    monkeypatch.setattr(data, "load", lambda name, split: {"train": train, "test": test}[split])
    trainer(SMALL, train, test, tmp_path, progress=False).run()
    seen = []
    evaluate_runs([tmp_path], "x", views, lambda some, of: seen.append((some, of)))
    assert sum(some for some, _ in seen) == views * len(test)
    assert {of for _, of in seen} == {views * len(test)}


def test_a_run_without_a_checkpoint_cannot_be_evaluated(tmp_path):
    SMALL.save(tmp_path, data="shapes train", images=50)
    with pytest.raises(UserError, match="there is no such file"):
        evaluate_runs([tmp_path])


def test_the_number_of_classes_is_that_of_the_data():
    assert Recipe("r", "cifar_80sec", 1, 0.1).build(0, classes=3).output_shape((3, 32, 32)) == (3,)


def test_an_ensemble_is_the_mean_of_its_nets_probabilities(tmp_path, train, test, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, split: {"train": train, "test": test}[split])
    folders = [tmp_path / name for name in "ab"]
    for seed, folder in enumerate(folders):
        trainer(SMALL, train, test, folder, seed=seed, progress=False).run()
    for views in (1, 10):
        seen = []
        _, rate = evaluate_runs(folders, "x", views, lambda some, of, seen=seen: seen.append((some, of)))
        assert sum(some for some, _ in seen) == 2 * views * len(test) == seen[0][1]
        runs = [trained_run(folder) for folder in folders]
        mean = sum(classify(run, test.images, views).astype(float) for run in runs) / 2
        assert rate.top1 == np.mean(mean.argmax(axis=1) != test.labels)
    other = replace(test, labels=test.labels[::-1].copy(), boxes=None)
    calls = iter([test, other])
    monkeypatch.setattr(data, "load", lambda name, split: train if split == "train" else next(calls))
    with pytest.raises(UserError, match=r"b: was tested on other images than .*a"):
        evaluate_runs(folders, "x")
    calls = iter([test, test.take(20)])
    with pytest.raises(UserError, match=r"b: was tested on other images than .*a"):
        evaluate_runs(folders, "x")


def test_hidden_layers_are_kept_until_the_weights_change(tmp_path, train, test, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, split, most=None: {"train": train, "test": test}[split])
    trainer(SMALL, train, test, tmp_path, progress=False).run()
    run, seen = trained_run(tmp_path), []
    first = hidden(run, "test", seen.append)
    assert sum(seen) == len(test) == len(first)
    np.testing.assert_array_equal(first, hidden_of(run, test.images))
    np.testing.assert_array_equal(hidden(run, "test", seen.append), first)
    assert sum(seen) == len(test)  # not worked out again
    assert len(hidden(run, "train")) == len(train)
    weight = run.net.parameters()[0]
    weight.assign(2 * weight.numpy())
    assert not np.array_equal(hidden(run, "test", seen.append), first)


def test_nets_that_begin_alike_may_differ_in_what_is_drawn_of_the_images_alone(tmp_path, train):
    """GoogLeNet §7's seven."""
    one = trainer(SMALL, train, seed=7, progress=False)
    two = trainer(SMALL, train, folder=tmp_path, seed=7, draws=8, progress=False)
    for p, q in zip(one.net.parameters(), two.net.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert not np.array_equal(next(one.loader.epoch(0))[0], next(two.loader.epoch(0))[0])
    two.run()
    assert load(tmp_path)[1]["draws"] == 8
    with pytest.raises(UserError, match="draws 8 there, 9 here"):
        trainer(SMALL, train, folder=tmp_path, seed=7, draws=9, resume=True, progress=False)
    with pytest.raises(UserError, match="draws 8 there, None here"):
        trainer(SMALL, train, folder=tmp_path, seed=7, resume=True, progress=False)


def test_training_without_augmentation_sees_centres_and_draws_nothing(photos):
    chosen = replace(RECIPES["alexnet_2012"], batch=8, augmentation=False)
    loader, test = loaders(chosen, photos, photos, 0)
    (x, labels), *_ = loader.epoch(3)
    (still, _), *_ = test.epoch(0)
    order = photos.order(0, 3)
    np.testing.assert_array_equal(x, still[order])
    np.testing.assert_array_equal(labels, photos.labels[order])
    drawn, *_ = loaders(replace(chosen, augmentation=True), photos, photos, 0)[0].epoch(3)
    assert not np.array_equal(drawn[0], still[order])


def test_fine_tuning_begins_with_the_weights_of_another_run(tmp_path, train, test):
    trainer(SMALL, train, test, tmp_path / "a", progress=False).run()
    few = replace(train, labels=train.labels % 3, classes=train.classes[:3], boxes=None)
    start = tmp_path / "a" / checkpoint.NAME
    tuned = replace(SMALL, slow=((0.0, "conv1", 0.0),), weight_decay=0.0)
    run = trainer(tuned, few, folder=tmp_path / "b", start=start, progress=False)
    before, _ = load_arrays(start)
    same = {p.name: np.array_equal(p.numpy(), before[p.name]) for p in run.net.parameters()
            if p.shape == before[p.name].shape}
    assert all(same.values())
    anew = [p.name for p in run.net.parameters() if p.name not in same]
    assert anew == ["fc10.weight", "fc10.bias"]
    run.run()
    after = {p.name: p.numpy() for p in run.net.parameters()}
    np.testing.assert_array_equal(after["conv1.weight"], before["conv1.weight"])  # at a rate of 0
    assert not np.array_equal(after["conv2.weight"], before["conv2.weight"])
    assert load(tmp_path / "b")[1]["start"] == str(start.resolve())
    with pytest.raises(UserError, match=r"holds another run \(rate 0\.0"):
        trainer(replace(tuned, rate=0.5), few, folder=tmp_path / "b", start=start, resume=True, progress=False)


@pytest.mark.parametrize(("new", "message"), [(["fc9"], "layer 'fc9' is not one of the net's: conv1"),
                                              (["conv1"], r"fc10.weight has the shape \(10, ")])
def test_what_cannot_be_fine_tuned_is_said(tmp_path, train, test, new, message):
    trainer(SMALL, train, test, tmp_path / "a", progress=False).run()
    few = replace(train, labels=train.labels % 3, classes=train.classes[:3], boxes=None)
    with pytest.raises(UserError, match=message):
        trainer(SMALL, few, start=tmp_path / "a" / checkpoint.NAME, new=new, progress=False)


def test_batches_of_photos_are_whole_and_cifars_are_not():
    """§5: "a batch size of 128 examples". cuda-convnet's last batch of CIFAR-10 was smaller."""
    train = shapes.load("train", 100)
    some = {name for name, one in RECIPES.items() if one.whole}
    assert some == {"alexnet", "alexnet_2012", "googlenet", "googlenet_caffe"}
    whole = replace(SMALL, whole=True, batch=30)
    assert [len(y) for _, y in recipe.loaders(whole, train, None, 0)[0].epoch(0)] == [30, 30, 30]
    assert [len(y) for _, y in recipe.loaders(replace(whole, batch=300), train, None, 0)[0].epoch(0)] == [100]
