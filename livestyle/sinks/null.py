"""The sink that keeps nothing: for measuring, for tests and for trying a source."""

from livestyle.errors import SinkError
from livestyle.media import AudioPacket, Frame, StreamInfo


class NullSink:
    """Counts what it is given and forgets it."""

    def __init__(self, spec: str, info: StreamInfo) -> None:
        """Always succeeds."""
        self.info = info
        self.frames = 0
        self.audio_packets = 0
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Count one frame. Raises `SinkError` once closed."""
        self._check_open()
        self.frames += 1

    def write_audio(self, packet: AudioPacket) -> None:
        """Count one packet of sound. Raises `SinkError` once closed."""
        self._check_open()
        self.audio_packets += 1

    def interrupt(self) -> None:
        """Nothing to do: `write` never waits."""

    def close(self) -> None:
        """Refuse further frames."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise SinkError("the null sink is closed")


def check() -> tuple[bool, str]:
    """Always there."""
    return True, "counts frames and keeps nothing"
