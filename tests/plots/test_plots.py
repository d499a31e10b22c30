"""Every figure can be saved in every format, is the same each time, and follows its numbers."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sentinode.cli.curves import draw_curves
from sentinode.errors import ConfigError
from sentinode.metrics import (
    ConfusionMatrix,
    Interval,
    RocBand,
    decision_curve,
    precision_recall_curve,
    reliability_curve,
    risk_coverage,
    roc_curve,
    subgroups,
)
from sentinode.plots import (
    draw_attributions,
    draw_contact_sheet,
    draw_first_layer,
    draw_neighbors,
    draw_predictions,
    plot_comparison,
    plot_confusion_matrix,
    plot_deletion_curves,
    plot_evaluation,
    plot_forest,
    plot_learning_curves,
    plot_robustness,
    plot_roc,
    plot_subgroups,
    plot_trials,
    save_figure,
)
from sentinode.plots.style import figure_of, save_figures

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 80)
SCORES = np.clip(0.3 * LABELS + RNG.uniform(0, 0.7, 80), 0, 1)
ROC = roc_curve(LABELS, SCORES)
LIMITS = Interval(0.8, 0.75, 0.85, "by hand", 100)
MATRIX = ConfusionMatrix(true_positives=12, false_positives=30, true_negatives=1200, false_negatives=5)
BAND = RocBand(np.linspace(0, 1, 5), np.linspace(0, 0.9, 5), np.ones(5))
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [0.7, 0.6, 0.5],
        "val_loss": [0.65, 0.58, 0.61],
        "accuracy": [0.5, 0.6, 0.7],
        "val_accuracy": [0.5, 0.7, 0.65],
        "val_auc": [0.5, 0.6, 0.65],
    }
)
TRIALS = pd.DataFrame(
    {"trial": [0, 1], "rate": [1e-4, 1.0], "schedule": ["cosine", None], "valid_auc": [0.8, 0.7], "sd": [0.01, None]}
)
PATCHES = RNG.integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)


def evaluation():
    return plot_evaluation(
        precision_recall_curve(LABELS, SCORES),
        reliability_curve(LABELS, SCORES),
        risk_coverage(LABELS, SCORES),
        decision_curve(LABELS, SCORES),
        title="valid",
    )


def comparison(models=3, seeds=2):
    names = [f"a model with a long name, number {number}" for number in range(models)]
    return plot_comparison(
        {name: [ROC] * seeds for name in names},
        dict.fromkeys(names, LIMITS),
        dict.fromkeys(names, (0.2, 0.7)),
        dict.fromkeys(pairwise(names), (LIMITS, 0.2)),
        title="cost $x_{$ of " + "many/" * 40,
    )


def robustness(perturbations=5, levels=3):
    points = [(float(level), (LIMITS, LIMITS, LIMITS)) for level in range(levels)]
    return plot_robustness({f"blur {number}": ("σ, px", 0.0, points) for number in range(perturbations)})


FIGURES = {
    "ROC": lambda: plot_roc(ROC, name="cost $x_{$", band=BAND),
    "confusion": lambda: plot_confusion_matrix(MATRIX, title="valid\nthreshold 0.4"),
    "evaluation": evaluation,
    "forest": lambda: plot_forest({"a": LIMITS, "b": None}, reference=0.8),
    "subgroups": lambda: plot_subgroups(subgroups(LABELS, SCORES, np.arange(80) % 3, 0.5)),
    "comparison": comparison,
    "robustness": robustness,
    "learning": lambda: plot_learning_curves(HISTORY, 2),
    "one epoch": lambda: plot_learning_curves(HISTORY[:1], 1),
    "trials": lambda: plot_trials(TRIALS, ["rate", "schedule"], ["rate"]),
    "deletion": lambda: plot_deletion_curves(
        np.linspace(0, 1, 5),
        {way: {"occlusion": np.linspace(1, 0, 5)} for way in ("deletion", "insertion")},
        dict.fromkeys(("deletion", "insertion"), np.full(5, 0.5)),
    ),
}
SHEETS = {
    "contact sheet": lambda: draw_contact_sheet([("normal: 3", "normal", PATCHES)], title="a folder", columns=2),
    "predictions": lambda: draw_predictions(PATCHES, np.array([0, 1, 1]), np.array([0.0, 0.5, 1.0])),
    "attributions": lambda: draw_attributions(PATCHES, [["a", "b"]] * 3, {"occlusion": RNG.normal(size=(3, 96, 96))}),
    "neighbors": lambda: draw_neighbors(PATCHES, ["a"] * 3, [[(PATCHES[0], "normal 0.1")]] * 3),
    "first layer": lambda: draw_first_layer(PATCHES, RNG.normal(size=(20, 3, 3, 3)), RNG.normal(size=(3, 20, 94, 94))),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_numbers_give_the_same_file(name, tmp_path):
    for ending in ("png", "svg", "pdf") if name == "ROC" else ("svg",):
        one, other = tmp_path / f"one.{ending}", tmp_path / "deep" / f"other.{ending}"
        save_figure(FIGURES[name](), one)
        save_figure(FIGURES[name](), other)
        assert one.read_bytes() == other.read_bytes()
    assert "<svg" in (tmp_path / "one.svg").read_text(encoding="utf-8")


def test_the_ending_gives_the_format(tmp_path):
    for ending in ("png", "pdf"):
        save_figure(FIGURES["ROC"](), tmp_path / f"one.{ending}")
    with Image.open(tmp_path / "one.png") as image:
        assert all(200 < side < 2500 for side in image.size)
        assert np.ptp(np.asarray(image.convert("L"))) > 100
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_of_patches_is_an_image(name, tmp_path):
    save_figure(SHEETS[name](), tmp_path / "it.png")
    with Image.open(tmp_path / "it.png") as image:
        assert image.mode == "RGB" and np.ptp(np.asarray(image)) > 100


@pytest.mark.parametrize("name", ["it.jpeg", "it", "it.png.gif"])
def test_other_endings_are_refused(name, tmp_path):
    with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf"):
        save_figure(FIGURES["forest"](), tmp_path / name)
    with pytest.raises(ConfigError, match=r"\.png, \.pdf"):
        save_figure(SHEETS["predictions"](), tmp_path / "it.svg")
    assert list(tmp_path.iterdir()) == []


def test_axes_of_the_caller_are_used_and_returned():
    figure = Figure()
    ax = figure.subplots()
    assert plot_roc(ROC, name="one", ax=ax) is plot_roc(ROC, name="two", ax=ax) is ax
    labels = ax.get_legend_handles_labels()[1]
    assert [label.split(":")[0] for label in labels] == ["chance", "one", "two"]
    assert ax.lines[1].get_color() != ax.lines[2].get_color()


def test_a_roc_curve_shows_its_numbers():
    points = {"threshold 0.5": (0.1, 0.6)}
    ax = plot_roc(ROC, name="d4net-m", auc=LIMITS, band=BAND, points=points)
    assert ax.get_legend_handles_labels()[1] == [
        "chance",
        "d4net-m: AUC 0.800 (0.750–0.850)",
        "95 % band",
        "threshold 0.5",
    ]
    assert np.array_equal(ax.lines[1].get_ydata(), ROC.true_positive_rate)
    assert ax.lines[2].get_xydata().tolist() == [[0.1, 0.6]]


def test_figures_belong_to_pyplot_only_in_interactive_sessions(tmp_path):
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    assert not hasattr(figure_of(plot_forest({"a": LIMITS})), "number")
    with pyplot.ion():
        drawn = figure_of(plot_forest({"a": LIMITS}))
    assert drawn.number in pyplot.get_fignums()
    save_figure(drawn, tmp_path / "it.png")
    assert pyplot.get_fignums() == []


def test_trials_have_their_numbers_and_a_logarithmic_axis():
    rate, schedule = plot_trials(TRIALS.assign(constant=1), ["rate", "schedule", "constant"], ["rate"])
    assert (rate.get_xscale(), schedule.get_xscale()) == ("log", "linear")
    assert [text.get_text() for text in rate.texts] == ["0", "1"]


def test_a_figure_in_a_new_format_replaces_the_old_one(tmp_path):
    for ending in ("png", "svg"):
        save_figures({"forest": FIGURES["forest"]()}, tmp_path, ending)
    assert [path.name for path in tmp_path.iterdir()] == ["forest.svg"]


def test_names_that_are_equal_when_shortened_keep_their_rows():
    slides = np.repeat([f"hospital{letter}_2021_level0.svs" for letter in "ABC"], 100)
    groups = subgroups(np.tile([0, 1], 150), np.tile(SCORES, 4)[:300], slides, 0.5)
    rows = [text.get_text() for text in plot_subgroups(groups)[0].get_yticklabels()]
    assert len(set(rows)) == 3
    models = ["resnet-augmented", "convnet-augmented", "d4net-augmented"]
    pairs = dict.fromkeys(combinations(models, 2), (LIMITS, 0.2))
    curves, aucs, points = (
        {name: [ROC] for name in models},
        dict.fromkeys(models, LIMITS),
        dict.fromkeys(models, (0, 1)),
    )
    drawn = plot_comparison(curves, aucs, points, pairs)
    assert len({text.get_text() for text in drawn[2].get_yticklabels()}) == 3


def test_every_operating_point_is_drawn():
    points = {f"point {number}": (number / 10, 0.5) for number in range(10)}
    legend = plot_roc(ROC, points=points).get_legend_handles_labels()[1]
    assert set(points) <= set(legend)


def test_many_long_settings_of_trials_are_slanted():
    names = [f"stain+flip+rotate+blur+jpeg {number}" for number in range(8)]
    trials = pd.DataFrame(
        {"augment": names, "ema": [True, False] * 4, "valid_auc": np.linspace(0.8, 0.9, 8), "sd": None}
    )
    augment, ema = plot_trials(trials, ["augment", "ema"])
    assert [text.get_rotation() for text in augment.get_xticklabels()] == [40] * 8
    assert [(text.get_text(), text.get_rotation()) for text in ema.get_xticklabels()] == [("True", 0), ("False", 0)]


def test_sixteen_models_have_sixteen_styles():
    roc = comparison(models=16, seeds=1)[0]
    curves = [line for line in roc.lines if "AUC" in str(line.get_label())]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == 16


def test_a_probability_fills_its_bar():
    orange = [
        (np.asarray(draw_predictions(PATCHES[:1] // 2, np.array([1]), np.array([p]))) == (0xD5, 0x5E, 0)).all(-1).sum()
        for p in (0.0, 0.5, 1.0)
    ]
    assert orange[1] - orange[0] == pytest.approx(orange[2] - orange[1], rel=0.05)


def test_patches_of_a_contact_sheet_keep_their_pixels():
    colors = [(200, 30, 60), (20, 180, 90), (40, 60, 220)]
    patches = np.full((3, 96, 96, 3), 10, np.uint8)
    patches[:] = np.array(colors)[:, None, None]
    sheet = np.asarray(draw_contact_sheet([("normal", "normal", patches)], columns=2)).reshape(-1, 3)
    for color in colors:
        assert (sheet == color).all(axis=1).sum() > 0.95 * 96 * 96


def test_captions_do_not_reach_the_next_tile():
    image = np.asarray(draw_neighbors(PATCHES[:1], ["W" * 80], [[(PATCHES[0], "")]]))
    below = image[-30:]
    gap = below[:, 12 + 192 : 12 + 192 + 12]
    assert (below < 128).any() and (gap == 255).all()


def test_curves_fit_the_terminal_with_values_at_the_right_height():
    curves = {"training": [0.9, 0.5, 0.5], "validation": [0.5, 0.5, 0.1]}
    for width, height in ((24, 5), (80, 14)):
        lines = draw_curves("loss", curves, 5, width, height, ascii_only=True).plain.splitlines()
        assert len(lines) == height
        assert all(len(line) <= width for line in lines[1:])
    column = lines[1].index("o")
    assert lines[1].startswith("    0.900 |o")
    assert lines[-3].startswith("    0.100 |")
    assert [line[column] for line in lines[2:-3]].count("x") == 1
    half_way = lines[-3].index("x")
    assert (half_way - column) / (len(lines[-2]) - 1 - column) == pytest.approx(0.5, abs=0.02)
    assert any("8" in line for line in lines[2:-3])


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_a_flat_curve_in_a_terminal_lies_in_the_middle(values):
    lines = draw_curves("AUC", {"validation": values}, len(values), 40, 8).plain.splitlines()
    assert ["●" in line for line in lines[1:6]] == [False, False, True, False, False]
