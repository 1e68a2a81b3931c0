"""The painted layers of the rendered scene: a lake under hills, made from a seed with numpy and OpenCV alone.

World units: 1 is the height of the picture, Y runs down from 0 (top) to 1 (bottom), X is 0 in its middle.
Every texture is uint8 RGBA with *premultiplied* alpha, so that bilinear warping is exact at its edges.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Texture = NDArray[np.uint8]  # (h, w, 4) premultiplied RGBA
Colour = tuple[float, float, float]  # 0..255

SHORE = 0.625  # Y of the far shore
SUBPIXEL = 4  # fractional bits of the coordinates given to OpenCV's drawing


@dataclass(frozen=True)
class Palette:
    """The light of one time of day."""

    zenith: Colour
    sky: Colour
    horizon: Colour
    sun: Colour
    cloud_light: Colour
    cloud_shade: Colour
    peaks: Colour
    hills: Colour
    woods: Colour
    leaf: Colour
    meadow: Colour
    water: Colour


PALETTES = (
    Palette(  # golden afternoon
        (46, 104, 178), (124, 178, 218), (252, 221, 170), (255, 246, 205), (255, 247, 232), (176, 170, 200),
        (112, 120, 168), (92, 134, 132), (52, 98, 66), (118, 150, 54), (128, 152, 58), (52, 116, 152),
    ),
    Palette(  # rose morning
        (84, 90, 160), (196, 150, 190), (255, 196, 160), (255, 232, 190), (255, 222, 212), (150, 120, 170),
        (120, 100, 150), (110, 110, 140), (58, 78, 92), (96, 128, 84), (112, 136, 84), (104, 96, 150),
    ),
    Palette(  # clear noon
        (24, 98, 190), (88, 168, 232), (206, 234, 244), (255, 255, 240), (255, 255, 255), (160, 184, 214),
        (92, 128, 170), (84, 150, 108), (34, 106, 58), (92, 166, 48), (116, 178, 60), (22, 118, 158),
    ),
    Palette(  # autumn evening
        (52, 58, 110), (176, 110, 110), (255, 178, 84), (255, 220, 130), (255, 190, 130), (110, 76, 110),
        (96, 74, 112), (130, 88, 84), (110, 66, 42), (206, 108, 36), (164, 110, 44), (88, 72, 108),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A rectangle of the world and the pixels per unit at which it is painted."""

    left: float
    top: float
    right: float
    bottom: float
    density: float

    @property
    def width(self) -> int:
        return max(2, round((self.right - self.left) * self.density))

    @property
    def height(self) -> int:
        return max(2, round((self.bottom - self.top) * self.density))

    def x(self) -> Floats:
        """World X of each column, (1, w)."""
        return (self.left + (np.arange(self.width, dtype=np.float32) + 0.5) / self.density)[None, :]

    def y(self) -> Floats:
        """World Y of each row, (h, 1)."""
        return (self.top + (np.arange(self.height, dtype=np.float32) + 0.5) / self.density)[:, None]

    def fixed(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """World points (n, 2) as the fixed-point pixels of OpenCV's drawing functions."""
        pixels = (points - (self.left, self.top)) * self.density - 0.5
        return np.round(pixels * (1 << SUBPIXEL)).astype(np.int32)

    def polygon(self, canvas: Texture, points: NDArray[np.float64], colour: Colour) -> None:
        """Fill a polygon of world points with anti-aliased edges (all four channels blend: premultiplied alpha)."""
        cv2.fillPoly(canvas, [self.fixed(points)], (*colour, 255), cv2.LINE_AA, SUBPIXEL)

    def ellipse(self, canvas: Texture, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Fill an upright ellipse of world centre and radii."""
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        self.polygon(canvas, np.stack((x + rx * np.cos(angle), y + ry * np.sin(angle)), 1), colour)


def fractal(
    rng: np.random.Generator, plot: Plot, across: float, down: float, octaves: int, *, loops: bool = False
) -> Floats:
    """Fractal value noise, (h, w) in about 0..1: ``across`` × ``down`` cells a unit, each octave twice as fine.

    ``loops`` makes the left edge continue the right one.
    """
    width, height = plot.width, plot.height
    total = np.zeros((height, width), np.float32)
    weight = 0.0
    for octave in range(octaves):
        columns = max(2, round((plot.right - plot.left) * across * 2**octave))
        rows = max(2, round((plot.bottom - plot.top) * down * 2**octave))
        if octave and columns > width and rows > height:
            break
        grid = rng.random((rows + 2, columns), dtype=np.float32)
        grid = np.tile(grid, (1, 3)) if loops else np.concatenate((grid, grid[:, :2]), 1)
        cubic = cv2.resize(grid, (width * 3 if loops else width, height), interpolation=cv2.INTER_CUBIC)
        total += (cubic[:, width : 2 * width] if loops else cubic) * 0.5**octave
        weight += 0.5**octave
    return np.asarray(np.clip((total / weight - 0.5) * 1.5 + 0.5, 0, 1), np.float32)


def relief(noise: Floats, plot: Plot, reach: float) -> Floats:
    """Light from the upper left on noise taken as height, about -1..1; ``reach`` in units."""
    step = max(1, round(reach * plot.density))
    shifted = np.roll(np.roll(noise, step, 0), step, 1)
    return np.asarray(np.clip((noise - shifted) * 4, -1, 1), np.float32)


def blend(first: Colour | Floats, second: Colour | Floats, weight: Floats) -> Floats:
    """first where weight is 0, second where it is 1; weight (h, w) or anything that broadcasts to it."""
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return a + (b - a) * np.clip(weight, 0, 1)[..., None]


def premultiplied(colour: Floats, alpha: Floats | None = None) -> Texture:
    """RGB floats (h, w, 3) in 0..255 and alpha (h, w) in 0..1 as a texture."""
    cover = np.ones(colour.shape[:2], np.float32) if alpha is None else np.clip(alpha, 0, 1)
    return np.dstack((np.clip(colour, 0, 255) * cover[..., None], cover * 255)).round().astype(np.uint8)


def sky(rng: np.random.Generator, plot: Plot, light: Palette, sun: tuple[float, float]) -> Texture:
    """Graded sky with a sun, its glow, and high thin cloud."""
    y = np.broadcast_to(plot.y(), (plot.height, plot.width))
    colour = blend(blend(light.zenith, light.sky, y / 0.33), light.horizon, np.clip((y - 0.2) / 0.38, 0, 1) ** 1.4)
    wisps = fractal(rng, plot, 3.0, 16.0, 6) * (0.35 + 0.65 * fractal(rng, plot, 1.2, 2.0, 3))
    colour = blend(colour, light.cloud_light, np.clip((wisps - 0.33) * 2.6, 0, 0.5))
    away = np.hypot(plot.x() - sun[0], plot.y() - sun[1])
    colour = blend(colour, light.horizon, 0.75 * np.exp(-away / 0.20))
    colour = blend(colour, light.sun, 0.9 * np.exp(-(((away - 0.05).clip(0) / 0.035) ** 1.2)))
    return premultiplied(blend(colour, light.sun, (0.055 - away) * plot.density * 0.5 + 0.5))


def clouds(rng: np.random.Generator, plot: Plot, light: Palette) -> Texture:
    """Heaped clouds with flat feet, looping in X over the width of the plot."""
    field = np.full((plot.height, plot.width), -1.0, np.float32)
    rise = np.zeros_like(field)
    span = plot.right - plot.left
    count = max(2, round(span * 2.1))
    for number in range(count):
        foot = rng.uniform(0.13, 0.36)
        size = rng.uniform(0.6, 1.15) * (0.45 + 1.5 * (0.40 - foot))
        centre = plot.left + (number + rng.uniform(0.25, 0.75)) * span / count
        for _ in range(14):
            lean = rng.uniform(-0.75, 0.75)
            radius = size * rng.uniform(0.09, 0.17) * (1 - 0.5 * min(abs(lean), 1.2))
            middle = centre + lean * size * 0.55
            x = (plot.x() - middle + span / 2) % span - span / 2
            puff = 1 - np.hypot(x, (plot.y() - (foot - radius * 0.55)) * 1.15) / radius
            puff = np.minimum(puff, (foot - plot.y()) / 0.012)
            rise = np.where(puff > field, (foot - plot.y()) / (size * 0.3), rise)
            field = np.maximum(field, puff.astype(np.float32))
    noise = fractal(rng, plot, 9, 11, 5, loops=True)
    shape = field + (noise - 0.5) * 0.7 - 0.02
    alpha = np.clip(shape * 0.07 * plot.density / 3.0, 0, 1)
    lit = cv2.GaussianBlur(rise, (0, 0), 0.012 * plot.density + 0.3) * 0.9 + relief(noise, plot, 0.014) * 0.35
    return premultiplied(blend(light.cloud_shade, light.cloud_light, lit + 0.25), alpha)


def ridge_line(rng: np.random.Generator, plot: Plot, mean: float, height: float, waves: float, octaves: int) -> Floats:
    """World Y of a skyline for each column, (1, w)."""
    strip = Plot(plot.left, 0.0, plot.right, 2.0 / plot.density, plot.density)
    return mean - height * (fractal(rng, strip, waves, 1.0, octaves)[:1] - 0.5) * 2


def cover(plot: Plot, line: Floats) -> Floats:
    """Alpha of everything under a skyline."""
    return np.asarray(np.clip((plot.y() - line) * plot.density + 0.5, 0, 1), np.float32)


def peaks(rng: np.random.Generator, plot: Plot, light: Palette) -> Texture:
    """Distant mountains with snow and haze."""
    line = ridge_line(rng, plot, 0.45, 0.11, 2.0, 2)
    for spurs, size in ((5.0, 0.050), (12.0, 0.022), (34.0, 0.008)):  # folded noise makes sharp summits
        line = line - size * (1 - 2 * np.abs(ridge_line(rng, plot, 0.0, 1.0, spurs, 1)))
    depth = plot.y() - line
    lean = cv2.resize(fractal(rng, plot, 3.0, 4.0, 3), (plot.width, plot.height))
    columns = np.arange(plot.width, dtype=np.float32)[None, :] + (lean - 0.5 + 1.5 * depth) * 0.30 * plot.density
    rows = ((depth * 0.5 + plot.y() - plot.top) * plot.density).astype(np.float32)
    folds = 1 - 2 * np.abs(fractal(rng, plot, 13.0, 3.0, 6) - 0.5)
    bent = cv2.remap(folds, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    rock = np.clip(relief(np.asarray(bent, np.float32), plot, 0.006) * 1.2, -1, 1)
    colour = np.asarray(light.peaks, np.float32) * (0.95 + 0.5 * rock[..., None])
    snow = np.clip((0.075 - depth - (line - 0.34) * 0.75 + (bent - 0.6) * 0.10) * 90, 0, 1)
    colour = blend(colour, np.asarray(light.cloud_light, np.float32) * (0.90 + 0.26 * rock[..., None]), snow * 0.92)
    return premultiplied(blend(colour, light.horizon, (plot.y() - 0.37) * 2.2), cover(plot, line))


def hills(rng: np.random.Generator, plot: Plot, light: Palette) -> Texture:
    """Rolling hills with fields, hedges and a hamlet."""
    line = ridge_line(rng, plot, 0.535, 0.05, 1.6, 3)
    slope = fractal(rng, plot, 3.0, 5.0, 5)
    colour = np.asarray(light.hills, np.float32) * (1 + 0.4 * relief(slope, plot, 0.016)[..., None])
    patches = fractal(rng, plot, 5.0, 22.0, 3)
    colour = blend(colour, light.meadow, np.clip((patches - 0.50) * 20, 0, 0.8))
    colour = blend(colour, light.horizon, np.clip((0.33 - patches) * 20, 0, 0.5))
    colour = blend(colour, light.horizon, 0.14 - (plot.y() - line) * 1.6)
    canvas = premultiplied(colour, cover(plot, line))
    skyline = line[0]
    for _ in range(round((plot.right - plot.left) * 90)):
        x = rng.uniform(plot.left, plot.right)
        y = skyline_at(plot, skyline, x) + rng.uniform(0.0, 0.07) ** 1.0
        shade = np.asarray(light.woods) * rng.uniform(0.85, 1.25) * 0.7 + np.asarray(light.horizon) * 0.14
        size = rng.uniform(0.004, 0.009)
        plot.ellipse(canvas, x, y, size * 1.3, size, tuple(shade))
    for _ in range(round((plot.right - plot.left) * 4)):
        x = rng.uniform(plot.left, plot.right)
        house(plot, canvas, x, skyline_at(plot, skyline, x) + rng.uniform(0.03, 0.06), rng.uniform(0.009, 0.013))
    return canvas


def skyline_at(plot: Plot, skyline: Floats, x: float) -> float:
    """World Y of a skyline (w,) at world X."""
    return float(skyline[min(plot.width - 1, max(0, int((x - plot.left) * plot.density)))])


def house(plot: Plot, canvas: Texture, x: float, y: float, size: float) -> None:
    """A white house with a red roof, its foot at (x, y)."""
    corners = np.array([(-1, 0), (-1, -1.1), (1, -1.1), (1, 0)]) * size + (x, y)
    plot.polygon(canvas, corners, (238, 226, 206))
    plot.polygon(canvas, np.array([(0.4, 0), (0.4, -1.1), (1, -1.1), (1, 0)]) * size + (x, y), (196, 178, 166))
    plot.polygon(
        canvas, np.array([(-1.2, -1.0), (-0.5, -1.9), (0.8, -1.9), (1.3, -1.0)]) * size + (x, y), (186, 74, 52)
    )


def woods(rng: np.random.Generator, plot: Plot, light: Palette) -> Texture:
    """The wooded far shore: rows of firs and round trees over a pale beach."""
    line = ridge_line(rng, plot, 0.600, 0.022, 2.4, 3)
    foot = ridge_line(rng, plot, SHORE + 0.006, 0.008, 3.0, 3)
    dark = np.asarray(light.woods, np.float32)
    noise = fractal(rng, plot, 14, 26, 4)
    colour = dark * (0.75 + 0.6 * noise[..., None])
    colour = blend(colour, (214, 196, 150), (plot.y() - foot + 0.009) * plot.density * 0.5)
    canvas = premultiplied(colour, cover(plot, line) * (1 - cover(plot, foot)))
    rows = rng.uniform(0, 1, round((plot.right - plot.left) * 130))
    for row in np.sort(rows):
        x = rng.uniform(plot.left, plot.right)
        ground = skyline_at(plot, line[0], x)
        y = ground + row * max(0.0, skyline_at(plot, foot[0], x) - 0.012 - ground)
        shade = dark * rng.uniform(0.75, 1.15) + np.asarray(light.leaf) * rng.uniform(0.0, 0.3) * row
        if rng.random() < 0.55:
            fir(plot, canvas, x, y, rng.uniform(0.03, 0.055), shade * 0.85)
        else:
            crown(rng, plot, canvas, x, y - 0.012, rng.uniform(0.011, 0.019), shade)
    return canvas


def fir(plot: Plot, canvas: Texture, x: float, y: float, height: float, shade: NDArray[np.float64]) -> None:
    """A fir whose foot is at (x, y), lit from the left."""
    for tier, reach in ((0.0, 0.26), (0.3, 0.20), (0.58, 0.13)):
        low, high = y - tier * height, y - min(1.0, tier + 0.46) * height
        wide = reach * height
        plot.polygon(canvas, np.array([(x - wide, low), (x, high), (x + wide, low)]), tuple(shade))
        plot.polygon(canvas, np.array([(x - wide, low), (x, high), (x - wide * 0.2, low)]), tuple(shade * 1.3))


def crown(
    rng: np.random.Generator, plot: Plot, canvas: Texture, x: float, y: float, size: float, shade: NDArray[np.float64]
) -> None:
    """A round tree top about (x, y), lit from the upper left."""
    plot.ellipse(canvas, x, y, size, size * 0.95, tuple(shade * 0.72))
    for _ in range(7):
        dx, dy = rng.normal(0, 0.38, 2).clip(-0.7, 0.7) * size
        glow = 1.0 - 0.30 * (dx + 1.6 * dy) / size
        plot.ellipse(canvas, x + dx, y + dy, size * 0.42, size * 0.34, tuple(np.clip(shade * glow, 0, 255)))


def lake(rng: np.random.Generator, plot: Plot, light: Palette, mirrored: Floats, sun_x: float) -> Texture:
    """Water: the land and sky upside down, broken by ripples that grow towards the viewer, and a path of sunlight.

    ``mirrored`` is what stands above the shore, upside down, RGB (h, w, 3) in 0..255 of the plot's size.
    """
    near = np.clip((plot.y() - SHORE) / (1 - SHORE), 0, 1)
    ripple = blend_rows(fractal(rng, plot, 7, 80, 3), fractal(rng, plot, 2.6, 24, 4), near)
    columns = np.arange(plot.width, dtype=np.float32)[None, :] + (ripple - 0.5) * (0.05 + 0.12 * near) * plot.density
    rows = np.arange(plot.height, dtype=np.float32)[:, None] + (ripple - 0.5) * 0.07 * near * plot.density
    broken = cv2.remap(mirrored, columns, rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    colour = blend(np.asarray(broken, np.float32), light.water, 0.30 + 0.38 * near + 0 * ripple)
    crest = np.clip((ripple - 0.56) * 7, 0, 1)
    colour = blend(colour, light.sky, crest * (0.30 + 0.15 * near))
    colour = blend(colour, np.asarray(light.water, np.float32) * 0.55, np.clip((0.40 - ripple) * 5, 0, 1) * 0.5 * near)
    path = np.exp(-(((plot.x() - sun_x) / (0.05 + 0.10 * near)) ** 2))
    return premultiplied(blend(colour, light.sun, path * np.clip((ripple - 0.47) * 9, 0, 1) * 0.85))


def blend_rows(far: Floats, close: Floats, near: Floats) -> Floats:
    """Noise that changes from one field to another over the rows, its contrast kept."""
    mixed = (far - 0.5) * (1 - near) + (close - 0.5) * near
    return np.asarray(mixed / np.sqrt((1 - near) ** 2 + near**2) + 0.5, np.float32)


def meadow(rng: np.random.Generator, plot: Plot, light: Palette) -> Texture:
    """The near bank: grass blades and flowers."""
    line = ridge_line(rng, plot, 0.925, 0.035, 1.1, 3)
    noise = fractal(rng, plot, 5, 9, 5)
    base = np.asarray(light.meadow, np.float32)
    colour = base * (0.62 + 0.55 * noise[..., None])
    canvas = premultiplied(blend(colour, base * 0.4, (plot.y() - 0.93) * 4), cover(plot, line))
    skyline = line[0]
    for depth in np.sort(rng.uniform(-0.004, 0.13, round((plot.right - plot.left) * 620))):
        x = rng.uniform(plot.left, plot.right)
        y = skyline_at(plot, skyline, x) + depth + 0.012
        tall, lean = rng.uniform(0.016, 0.036) + 0.1 * max(depth, 0), rng.normal(0, 0.010)
        shade = base * rng.uniform(0.55, 1.25) + np.array((26, 22, 0)) * rng.random()
        blade = np.array([(x - 0.0025, y), (x + 0.0025, y), (x + lean, y - tall)])
        plot.polygon(canvas, blade, tuple(np.clip(shade, 0, 255)))
    petals: tuple[Colour, ...] = ((216, 58, 48), (250, 238, 226), (246, 196, 62), (150, 92, 176))
    for depth in np.sort(rng.uniform(0.0, 0.11, round((plot.right - plot.left) * 60))):
        x = rng.uniform(plot.left, plot.right)
        y = skyline_at(plot, skyline, x) + depth
        size = 0.0042 + 0.03 * depth
        plot.ellipse(canvas, x, y, size, size * 0.8, petals[int(rng.integers(len(petals)))])
        plot.ellipse(canvas, x - size * 0.2, y - size * 0.2, size * 0.35, size * 0.3, (255, 226, 120))
    return canvas
