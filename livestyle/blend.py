"""Steps from style to style, and along a blend of two, as keys and knobs ask for them.

A mix is what `livestyle.controls.Mix` says: (style, weight) pairs whose weights sum to 1.
"""

from collections.abc import Sequence

Entries = tuple[tuple[str, float], ...]


def step_style(style: str, styles: Sequence[str], step: int) -> Entries:
    """The style that is ``step`` places after ``style``, round the end of the list."""
    return ((styles[(styles.index(style) + step) % len(styles)], 1.0),)


def shift_blend(mix: Entries, style: str, styles: Sequence[str], step: float) -> Entries:
    """Move weight between the current pair: towards the second style (step > 0) or back to the first.

    ``style`` is the one of the largest weight. A plain style pairs with its successor in the list, and with its
    predecessor when moved backwards, so that the arrows walk through all styles in both directions.
    """
    if len(styles) < 2:
        return mix
    if len(mix) == 2:
        (first, weight), (second, _) = mix
    else:
        first = style
        if step > 0:
            second, weight = styles[(styles.index(first) + 1) % len(styles)], 1.0
        else:
            first, second, weight = styles[(styles.index(first) - 1) % len(styles)], first, 0.0
    weight = weight - step
    if weight >= 1.0 - 1e-6:
        return ((first, 1.0),)
    if weight <= 1e-6:
        return ((second, 1.0),)
    return ((first, weight), (second, 1.0 - weight))
