"""Deep Image Analogy end to end on small pictures of known truth, and what its command makes of bad ones."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from livestyle.analogy.agreement import find_offsets  # noqa: E402
from livestyle.analogy.command import draw_field, run_analogy  # noqa: E402
from livestyle.analogy.deep_analogy import Analogy, Matcher, Settings, fit_picture  # noqa: E402
from livestyle.analogy.patchmatch import start_field  # noqa: E402
from livestyle.analogy.reconstruct import forward_between, reconstruct  # noqa: E402
from livestyle.analogy.smoothing import refine, smooth  # noqa: E402
from livestyle.errors import ConfigError, LivestyleError, SinkError  # noqa: E402
from livestyle.media import Pixels  # noqa: E402
from livestyle.pictures import read_picture, write_picture  # noqa: E402
from livestyle.sources.scene import SceneSource  # noqa: E402
from livestyle.train.vgg import VGG16, load_vgg  # noqa: E402

QUICK = Settings(evaluations=3)


@pytest.fixture(scope="module")
def vgg() -> VGG16:
    return load_vgg()


@pytest.fixture(scope="module")
def scene() -> Pixels:
    with SceneSource(160, 96, 30, live=False, seed=0) as source:
        return np.array(source.scene_frame(100))


def bend(picture: Pixels) -> tuple[Pixels, np.ndarray]:
    """A warped copy, and where each of its pixels lies in the picture: (h, w, 2) right and down."""
    height, width = picture.shape[:2]
    coarse = np.random.default_rng(1).uniform(-4, 4, (3, 3, 2)).astype(np.float32)
    offsets = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    bent = cv2.remap(
        picture, columns + offsets[..., 0], rows + offsets[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return bent, offsets


def recolour(picture: Pixels) -> Pixels:
    return np.ascontiguousarray(255 - picture[..., [1, 2, 0]] // 2)


def misses(found: Analogy, truth: np.ndarray) -> np.ndarray:
    assert found.field_ba is not None
    return np.linalg.norm(find_offsets(found.field_ba) - truth, axis=2)


def test_a_warped_copy_is_found(vgg: VGG16, scene: Pixels):
    bent, truth = bend(scene)
    found = Matcher(vgg, scene, bent, QUICK).run()
    assert np.median(misses(found, truth)) < 1.5
    assert np.median(np.linalg.norm(found.smooth_ba - truth, axis=2)) < 1
    assert cv2.PSNR(found.a_prime, scene) > 25


def test_a_warped_copy_in_other_colours_is_found(vgg: VGG16, scene: Pixels):
    bent, truth = bend(scene)
    found = Matcher(vgg, scene, recolour(bent), QUICK).run()
    assert np.median(misses(found, truth)) < 3
    assert cv2.PSNR(found.a_prime, recolour(scene)) > 16
    assert found.b is not None
    assert cv2.PSNR(found.b, bent) > 16


def test_a_picture_matches_itself(vgg: VGG16, scene: Pixels):
    found = Matcher(vgg, scene, scene, QUICK).run()
    assert np.mean(found.field_ab == start_field(scene.shape[:2], scene.shape[:2])) > 0.99
    assert cv2.PSNR(found.a_prime, scene) > 40


def test_a_seed_gives_one_result(vgg: VGG16, scene: Pixels):
    bent, _ = bend(scene[:64, :80])
    results = [
        Matcher(vgg, scene, recolour(bent), Settings(evaluations=2, seed=seed, threads=threads)).run()
        for seed, threads in ((4, 1), (4, 2), (5, 1))
    ]
    assert np.array_equal(results[0].field_ab, results[1].field_ab)
    assert np.array_equal(results[0].a_prime, results[1].a_prime)
    assert not np.array_equal(results[0].field_ab, results[2].field_ab)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_blank_pictures_stay_finite(vgg: VGG16, scene: Pixels, grey: int):
    blank = np.full((48, 70, 3), grey, np.uint8)
    for a, b in ((blank, scene[:64, :64]), (scene[:64, :64], blank), (blank, blank)):
        found = Matcher(vgg, a, b, Settings(evaluations=2)).run()
        assert found.a_prime.shape == a.shape
        assert np.all((found.field_ab >= 0) & (found.field_ab < b.shape[:2]))
        assert np.isfinite(found.smooth_ab).all()
        assert np.isfinite(found.smooth_ba).all()
        if b is blank:
            assert np.all(found.a_prime == grey)


@pytest.mark.parametrize("sizes", [((16, 16), (16, 90)), ((90, 17), (33, 96))])
def test_any_shapes_go_together(vgg: VGG16, scene: Pixels, sizes: tuple[tuple[int, int], tuple[int, int]]):
    a, b = (scene[:height, :width] for height, width in sizes)
    found = Matcher(vgg, a, b, Settings(evaluations=2)).run()
    assert found.b is not None
    assert found.field_ba is not None
    assert (found.a_prime.shape, found.b.shape) == (a.shape, b.shape)
    assert np.all((found.field_ab >= 0) & (found.field_ab < b.shape[:2]))
    assert np.all((found.field_ba >= 0) & (found.field_ba < a.shape[:2]))


@pytest.mark.parametrize("settings", [Settings(one_way=True, evaluations=2), Settings(levels=3, span=2, evaluations=2)])
def test_fewer_levels_and_one_way(vgg: VGG16, scene: Pixels, settings: Settings):
    heard: list[float] = []
    found = Matcher(vgg, scene[:64], scene[10:90, 20:120], settings, heard.append).run()
    assert (found.b is None) == settings.one_way
    assert sum(heard) == pytest.approx(1.0)
    assert found.a_prime.shape == (64, 160, 3)


def test_reconstruction_comes_nearer(vgg: VGG16, scene: Pixels):
    pixels = torch.from_numpy(np.ascontiguousarray(scene[:64, :64])).permute(2, 0, 1)[None].float() - 120.0
    truth = forward_between(vgg, pixels, "picture", "relu2_1")
    target = forward_between(vgg, truth, "relu2_1", "relu3_1")
    start = truth + 0.3 * truth.std() * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    made = reconstruct(vgg, target, start, first="relu2_1", last="relu3_1", iterations=12)
    before, after = (
        float((forward_between(vgg, x, "relu2_1", "relu3_1") - target).square().sum()) for x in (start, made)
    )
    assert after < 0.1 * before


def test_smoothing_solves_its_equations():
    guide = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    plane = np.random.default_rng(1).uniform(0, 255, (9, 11))
    grey = guide @ np.array([0.299, 0.587, 0.114]) / 255.0
    matrix = np.eye(99)
    places = np.arange(99).reshape(9, 11)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        weights = 0.8 / (np.abs(grey[here] - grey[there]) + 1e-4)
        for i, j, weight in zip(places[here].flat, places[there].flat, weights.flat, strict=True):
            matrix[[i, j], [i, j]] += weight
            matrix[[i, j], [j, i]] -= weight
    assert np.allclose(smooth(plane, guide).ravel(), np.linalg.solve(matrix, plane.ravel()), atol=0.1)


def test_smoothing_stops_at_edges_and_refining_keeps_detail():
    photo = np.full((40, 60, 3), 40, np.uint8)
    photo[:, 30:] = 210
    photo[10:12, 10:12] = 90
    noise = np.random.default_rng(0).integers(-30, 31, photo.shape)
    result = np.clip(np.where(photo > 150, (40, 90, 200), (180, 120, 60)) + noise, 0, 255).astype(np.uint8)
    refined = refine(photo, result).astype(int)
    assert np.abs(refined[5:35, 5:9].mean(axis=(0, 1)) - (180, 120, 60)).max() < 20
    assert np.abs(refined[5:35, 40:55].mean(axis=(0, 1)) - (40, 90, 200)).max() < 20
    assert refined[20:, 15:25].std(axis=(0, 1)).max() < 5
    assert (refined[10:12, 10:12] - refined[14:16, 10:12]).mean() > 30
    assert np.array_equal(refine(photo, photo), photo)


def test_the_field_is_shown_by_direction():
    offsets = np.zeros((4, 4, 2), np.float32)
    offsets[:, 2:, 0] = 5
    shown = draw_field(offsets)
    assert np.all(shown[:, :2] == 255)
    assert np.all(shown[:, 2:] == (255, 0, 0))


def analogy(folder: Path, a: Pixels, b: Pixels, **options: object) -> list[Path]:
    for name, pixels in (("a", a), ("b", b)):
        write_picture(folder / f"{name}_in.png", pixels)
    quiet = Console(quiet=True)
    return run_analogy(folder / "a_in.png", folder / "b_in.png", folder / "out", console=quiet, **options)  # type: ignore[arg-type]


def test_the_command_writes_all_files(tmp_path: Path, scene: Pixels):
    written = analogy(tmp_path, scene, recolour(scene[10:80, :64]), mode="photo-to-photo", size=64)
    fields = ["field_ab", "field_ab_smooth", "field_ba", "field_ba_smooth"]
    shown = ["a_prime", "a_prime_refined", "b", "b_refined", *fields]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [f"{name}.png" for name in shown] + [f"{name}.npy" for name in fields] + ["report.json"]
    )
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    assert read_picture(tmp_path / "out/a_prime.png").shape == (38, 64, 3)
    for name in ("field_ba", "field_ba_smooth"):
        field = np.load(tmp_path / f"out/{name}.npy")
        assert (field.shape, field.dtype) == ((64, 59, 2), np.float32)
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["sizes"] == ["64x38", "59x64"]
    assert {"features", "match relu1_1", "reconstruct relu2_1", "settle", "refine"} <= set(report["seconds"])


def test_one_way_writes_one_half(tmp_path: Path, scene: Pixels):
    written = analogy(tmp_path, scene, scene[:64, :64], mode="style-to-style", size=48, one_way=True)
    assert [path.name for path in written] == ["a_prime.png", "field_ab.npy", "field_ab.png", "report.json"]


def test_grey_and_alpha_are_read(tmp_path: Path, scene: Pixels):
    grey, alpha = tmp_path / "grey.png", tmp_path / "alpha.png"
    cv2.imwrite(str(grey), scene[:48, :64, 0])
    cv2.imwrite(str(alpha), np.dstack([scene[:48, :64], scene[:48, :64, :1]]))
    written = run_analogy(grey, alpha, tmp_path / "out", size=64, levels=2, console=Console(quiet=True))
    assert read_picture(written[0]).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "painting"}, "no mode 'painting'"),
        ({"levels": 0}, "--levels 0: give 1 to 5"),
        ({"size": 701}, "--size 701: give 16 to 700"),
        ({"seed": -1}, "--seed -1"),
        ({"mode": "style-to-photo", "size": 30}, "becomes 15×9: each side must have at least 16"),
        ({"vgg": Path("nowhere.pth")}, "no VGG weights at nowhere.pth"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, scene: Pixels, options: dict[str, object], words: str):
    with pytest.raises(LivestyleError) as caught:
        analogy(tmp_path, scene, scene, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


def test_pictures_too_small_are_refused(tmp_path: Path, scene: Pixels):
    with pytest.raises(ConfigError, match=r"a_in\.png is 1×1 pixels: each side must have at least 16"):
        analogy(tmp_path, scene[:1, :1], scene)
    with pytest.raises(ConfigError, match=r"b_in\.png is 1×1 pixels"):
        analogy(tmp_path, scene, scene[:1, :1])


def test_huge_pictures_are_scaled_down(tmp_path: Path, scene: Pixels):
    huge = np.full((2000, 8000, 3), 200, np.uint8)
    written = analogy(tmp_path, huge, scene, size=100, levels=1, one_way=True)
    assert read_picture(written[0]).shape == (25, 100, 3)
    assert fit_picture(np.zeros((2000, 8000, 3), np.uint8), 700).shape == (175, 700, 3)
    assert fit_picture(np.zeros((100, 120, 3), np.uint8), 700, 0.5).shape == (50, 60, 3)


def test_a_folder_that_cannot_be_made_is_told_first(tmp_path: Path, scene: Pixels):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(SinkError, match="cannot make the folder"):
        analogy(tmp_path, scene, scene)


@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, scene: Pixels):
    write_picture(tmp_path / "a.png", np.ascontiguousarray(np.tile(scene, (3, 3, 1))))
    code = (
        "import signal, sys\nfrom livestyle.analogy import command\nfrom livestyle.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job would ignore it
        "run = command.Matcher.run\n"
        "command.Matcher.run = lambda matcher: print('begun', flush=True) or run(matcher)\n"
        "main(['analogy', sys.argv[1], sys.argv[1], '--out', sys.argv[2]])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png"), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=120)
    assert run.returncode == 130, told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("out/*"))
