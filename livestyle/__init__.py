"""livestyle: live video painted in an artist's style, steady from frame to frame, on an ordinary computer."""

import sys

__version__ = "0.1.0"

# `import openvino` would tell Google Analytics of every start and make a folder ~/intel: its own stub does neither.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
