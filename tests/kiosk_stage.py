"""A kiosk's server with a clock that the test sets forward, and a picture that moves."""

from typing import Any

from page_stage import Stage

from livestyle.control.access import Access
from livestyle.control.kiosk import Kiosk
from livestyle.control.web import LOOPBACK

PIN = "271828"
IDLE = 30.0  # s


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class KioskStage(Stage):
    """A page's stage whose page is the kiosk's."""

    def __init__(self, access: Access = LOOPBACK, pin: str = PIN, port: int = 0) -> None:
        self.clock = Clock()
        self.pin = pin
        super().__init__(port, access)

    def options(self) -> dict[str, Any]:
        """What the server is made with beside what every stage's is."""
        self.kiosk = Kiosk(self.board, idle=IDLE, pin=self.pin, clock=self.clock)
        return {"kiosk": self.kiosk}
