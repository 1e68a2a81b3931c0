"""The settings of a run: a TOML file, flags on top, and mistakes answered in one line."""

from fractions import Fraction
from pathlib import Path

import pytest

from livestyle.config import LiveConfig, parse_rate, parse_size, read_config
from livestyle.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    file = folder / "live.toml"
    file.write_text(text)
    return file


def test_the_defaults():
    config = read_config(None, {})
    assert config == LiveConfig()
    assert (config.source, config.sinks, config.coherence) == ("auto", ("auto",), True)


def test_a_file_with_everything(tmp_path: Path):
    file = write(
        tmp_path,
        """
        source = "camera:1"
        sinks = ["web", "null"]
        style = "a:0.5,b:0.5"
        regions = ["left=a", "mask.png=a:1,b:2"]
        strength = 0.5
        morph = 2
        keep_colors = true
        coherence = false
        size = "320x180"
        output_size = "640x360"
        fixed_size = true
        fps = "30000/1001"
        frames = 10
        backend = "openvino"
        port = 0
        report = "report.json"
        snapshots = "/pictures"
        """,
    )
    assert read_config(file, {}) == LiveConfig(
        source="camera:1",
        sinks=("web", "null"),
        style="a:0.5,b:0.5",
        regions=("left=a", "mask.png=a:1,b:2"),
        strength=0.5,
        morph=2.0,
        keep_colors=True,
        coherence=False,
        size=(320, 180),
        output_size=(640, 360),
        fixed_size=True,
        fps=Fraction(30000, 1001),
        frames=10,
        backend="openvino",
        port=0,
        report=tmp_path / "report.json",
        snapshots=Path("/pictures"),
    )


def test_flags_win_and_those_not_given_do_not(tmp_path: Path):
    file = write(tmp_path, 'source = "scene"\nfps = 25\nstrength = 1\n')
    config = read_config(file, {"fps": "30", "source": None, "sinks": ["null"], "report": Path("r.json")})
    assert (config.source, config.fps, config.sinks, config.report) == ("scene", 30, ("null",), Path("r.json"))


def test_a_config_cannot_be_changed():
    with pytest.raises(AttributeError):
        LiveConfig().source = "scene"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('sourc = "scene"', "did you mean 'source'?"),
        ("fps = 0", "0 frames per second is outside 1 to 240"),
        ('fps = "fast"', "'fast' is not a number"),
        ('size = "640"', "not of the form 640x360"),
        ('size = "8x8"', "each side must be 16"),
        ("frames = 0", "at least 1"),
        ('frames = "many"', "frames: expected"),
        ("strength = 2", "outside 0 to 1"),
        ("morph = -1", "outside 0 to 60"),
        ('regions = "left=a"', "regions: expected `array`"),
        ("port = 70000", "outside 0 to 65535"),
        ("sinks = []", "no sink"),
        ('sinks = "web"', "sinks: expected `array`"),
        ("coherence = 1", "coherence: expected `bool`"),
        ("report = 3", "report: "),
        ("source = ", "not valid TOML"),
        (f"port = {'9' * 5000}", "not valid TOML"),
        (f"port = {'[' * 3000}", "nested too deep"),
        ('fps = "1e999999999"', "is not a number of frames per second"),
        (f'size = "{"9" * 5000}x9"', "not of the form 640x360"),
        ('report = "~nobody-of-that-name/a.json"', "names no home folder"),
        ('source = "a\\u0000b"', "control character"),
        ('regions = ["a\\nb.png=scream"]', "control character"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_says_what(tmp_path: Path, text: str, says: str):
    with pytest.raises(ConfigError) as error:
        read_config(write(tmp_path, text), {})
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read"):
        read_config(tmp_path / "nothing.toml", {})
    with pytest.raises(ConfigError, match="cannot read"):
        read_config(tmp_path, {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text file"):
        read_config(tmp_path / "binary", {})


def test_sizes_and_rates():
    assert parse_size("640X360") == (640, 360)
    assert parse_rate("29.97") == Fraction(2997, 100)
    assert parse_rate(25) == 25
    for text in ("", "x", "640x", "-1x5", "640x360x3"):
        with pytest.raises(ConfigError):
            parse_size(text)
    with pytest.raises(ConfigError):
        parse_rate("1/0")


def test_hotkeys_are_off_until_a_flag_or_a_table_turns_them_on(tmp_path: Path):
    file = write(tmp_path, '[hotkeys]\nnext = "f13"\n"preset calm" = ""\n')
    table = {"next": "f13", "preset calm": ""}
    assert read_config(None, {}).hotkeys is None
    assert read_config(None, {"hotkeys": True}).hotkeys == {}
    assert read_config(file, {}).hotkeys == table
    assert read_config(file, {"hotkeys": True}).hotkeys == table
    assert read_config(file, {"hotkeys": False}).hotkeys is None
    with pytest.raises(ConfigError, match="hotkeys: expected `object"):
        read_config(write(tmp_path, "hotkeys = 3"), {})


def test_surfaces(tmp_path: Path):
    config = read_config(write(tmp_path, 'osc = 9000\nmidi = "pads"\n[midi_map]\n"cc 7" = "strength 0..1"\n'), {})
    assert (config.osc, config.midi, config.midi_map) == (9000, "pads", {"cc 7": "strength 0..1"})
    assert read_config(None, {"osc": "0.0.0.0:9000"}).osc == "0.0.0.0:9000"
    with pytest.raises(ConfigError, match="midi_map"):
        read_config(write(tmp_path, '[midi_map]\n"cc 7" = 3\n'), {})
