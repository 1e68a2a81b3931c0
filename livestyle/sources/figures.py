"""The things that move in the rendered scene: a tree, a hot-air balloon, a sailing boat and a gull, drawn as polygons.

Each is painted about the world's origin on a transparent canvas, with the units and textures of `scenery`.
"""

from itertools import pairwise

import numpy as np

from livestyle.sources.scenery import Colour, Palette, Plot, Texture


def tree(rng: np.random.Generator, plot: Plot, light: Palette) -> Texture:
    """One big tree; its foot at (0, 0), 0.66 tall."""
    canvas = np.zeros((plot.height, plot.width, 4), np.uint8)
    bark = np.array((86, 62, 46))
    trunk = np.array([(-0.034, 0.02), (-0.017, -0.14), (-0.020, -0.36), (0.012, -0.36), (0.018, -0.14), (0.036, 0.02)])
    plot.polygon(canvas, trunk, tuple(bark * 1.0))
    plot.polygon(
        canvas, np.concatenate((trunk[:3], [(-0.012, -0.36), (-0.008, -0.14), (-0.016, 0.02)])), tuple(bark * 1.5)
    )
    for tip in ((-0.13, -0.40), (0.12, -0.42), (-0.05, -0.5), (0.05, -0.52)):
        plot.polygon(canvas, np.array([(-0.014, -0.24), (0.012, -0.24), tip]), tuple(bark * 1.1))
    lobes = np.array(
        [(-0.13, -0.38, 0.085), (0.12, -0.40, 0.085), (-0.055, -0.50, 0.10), (0.065, -0.51, 0.095), (0, -0.41, 0.09)]
    )
    leaf, dark = np.asarray(light.leaf), np.asarray(light.woods)
    for layer in range(3):  # dark inside first, lit leaves last
        for _ in range(620):
            lobe = lobes[int(rng.integers(len(lobes)))]
            angle, away = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * (1.08 - 0.16 * layer)
            dx, dy = np.cos(angle) * away, np.sin(angle) * away * 0.85
            glow = 0.36 - 0.32 * dx - 0.46 * dy + 0.17 * layer + rng.normal(0, 0.13)
            shade = dark * 0.75 + (leaf * 1.18 - dark * 0.75) * np.clip(glow, 0, 1)
            size = rng.uniform(0.007, 0.015) * (1.35 - 0.3 * layer)
            where = (lobe[0] + dx * lobe[2] - 0.01 * layer, lobe[1] + dy * lobe[2] - 0.012 * layer)
            plot.ellipse(canvas, *where, size, size * 0.7, tuple(np.clip(shade, 0, 255)))
    return canvas


def balloon(plot: Plot) -> Texture:
    """A striped hot-air balloon about (0, 0), 0.30 tall."""
    canvas = np.zeros((plot.height, plot.width, 4), np.uint8)
    height = np.linspace(-1, 1, 40)
    outline = np.where(height < 0.15, np.sqrt(np.clip(1 - ((height - 0.0) / 1.0) ** 2, 0, 1)), np.nan)
    taper = np.interp(height, (0.15, 1.0), (0.9887, 0.20))
    outline = np.where(
        np.isnan(outline), taper - 0.10 * np.sin(np.pi * np.clip((height - 0.15) / 0.85, 0, 1)) * -1, outline
    )
    y = -0.05 + height * 0.095
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 9))
    stripes: tuple[Colour, ...] = ((214, 52, 44), (248, 206, 84))
    for number, (a, b) in enumerate(pairwise(edges)):
        light = 1.08 - 0.5 * max(0.0, (a + b) / 2 + 0.25)
        shade = np.clip(np.asarray(stripes[number % 2]) * light, 0, 255)
        side = np.concatenate((np.stack((outline * a * 0.085, y), 1), np.stack((outline * b * 0.085, y), 1)[::-1]))
        plot.polygon(canvas, side, tuple(shade))
    for x in (-0.015, 0.015):
        rope = np.array(
            [(x - 0.0012, 0.043), (x + 0.0012, 0.043), (x * 0.8 + 0.0012, 0.085), (x * 0.8 - 0.0012, 0.085)]
        )
        plot.polygon(canvas, rope, (70, 54, 44))
    plot.polygon(canvas, np.array([(-0.016, 0.082), (0.016, 0.082), (0.013, 0.108), (-0.013, 0.108)]), (128, 84, 48))
    plot.polygon(canvas, np.array([(-0.017, 0.080), (0.017, 0.080), (0.017, 0.087), (-0.017, 0.087)]), (88, 56, 34))
    return canvas


def boat(rng: np.random.Generator, plot: Plot, light: Palette) -> Texture:
    """A sailing boat, waterline at (0, 0), sailing to the right, and the broken picture of its sails in the water."""
    canvas = np.zeros((plot.height, plot.width, 4), np.uint8)
    water = np.asarray(light.water)
    for row in range(16):
        y = 0.012 + row * 0.0062
        middle, half = 0.006 * np.sin(row * 2.1), 0.046 * (1 - row / 18) * rng.uniform(0.5, 1.0)
        tone = (0.62 * water if row < 3 else 0.40 * water + np.array((140, 134, 124))) * (1 - 0.012 * row)
        plot.ellipse(canvas, middle, y, half, 0.0026, tuple(np.clip(tone, 0, 255)))
    bend = np.linspace(0, 1, 12)
    belly = np.sin(np.pi * bend)
    luff = np.stack((0.0 + 0 * bend, -0.034 - 0.17 * bend), 1)
    leech = np.stack((-0.075 * (1 - bend) - 0.010 * belly, -0.034 - 0.17 * bend), 1)
    plot.polygon(canvas, np.concatenate((luff, leech[::-1])), (250, 246, 234))
    shadow = np.stack((-0.022 * (1 - bend) - 0.004 * belly, -0.034 - 0.17 * bend), 1)
    plot.polygon(canvas, np.concatenate((luff, shadow[::-1])), (214, 206, 202))
    jib = np.stack((0.008 + 0.066 * (1 - bend) + 0.008 * belly, -0.030 - 0.15 * bend), 1)
    plot.polygon(canvas, np.concatenate(([(0.008, -0.034)], jib)), (236, 122, 62))
    plot.polygon(canvas, np.array([(0.0, -0.01), (0.005, -0.01), (0.004, -0.215), (0.001, -0.215)]), (92, 62, 42))
    hull = np.array([(-0.085, -0.022), (0.098, -0.026), (0.070, 0.010), (-0.070, 0.010)])
    plot.polygon(canvas, hull, (150, 40, 36))
    plot.polygon(
        canvas, np.array([(-0.085, -0.024), (0.100, -0.028), (0.093, -0.018), (-0.082, -0.015)]), (246, 232, 212)
    )
    plot.polygon(canvas, np.array([(-0.073, 0.004), (0.076, 0.002), (0.070, 0.012), (-0.070, 0.012)]), (60, 30, 34))
    return canvas


def gull(plot: Plot) -> Texture:
    """A gliding gull about (0, 0), wings out, flying to the left."""
    canvas = np.zeros((plot.height, plot.width, 4), np.uint8)
    white, grey = (250, 248, 244), (150, 152, 166)
    far = np.array([(-0.012, -0.004), (0.012, -0.004), (0.040, -0.040), (0.066, -0.046), (0.030, -0.030)])
    near = np.array([(-0.014, 0.0), (0.012, 0.002), (-0.022, -0.044), (-0.060, -0.058), (-0.034, -0.034)])
    plot.polygon(canvas, far, grey)
    plot.ellipse(canvas, 0.0, 0.0, 0.030, 0.0085, white)
    plot.polygon(canvas, np.array([(0.02, -0.003), (0.048, 0.004), (0.022, 0.006)]), grey)
    plot.polygon(canvas, np.array([(-0.027, -0.002), (-0.040, 0.003), (-0.026, 0.004)]), (226, 150, 40))
    plot.polygon(canvas, near, white)
    plot.polygon(canvas, np.array([(-0.060, -0.058), (-0.046, -0.053), (-0.043, -0.044)]), (50, 50, 58))
    return canvas
