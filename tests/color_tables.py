"""A colour look as a table, for tests of looks."""

import numpy as np

from livestyle.looks import Table


def make_table(nodes: int = 5, change: float = 0.2) -> Table:
    """A warm look: red up, blue down, a little less contrast."""
    levels = np.linspace(0.0, 1.0, nodes, dtype=np.float32)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    table = np.stack([red * (1.0 - change) + change, green, blue * (1.0 - change)], axis=-1)
    return np.asarray(table, np.float32)
