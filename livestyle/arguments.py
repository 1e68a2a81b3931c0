"""What stands behind a command's name, read into numbers and switches."""

from livestyle.errors import ConfigError

LONGEST_MORPH = 60.0  # s


def read_fraction(argument: str, what: str) -> float:
    """A number from 0 to 1; ``what`` names it. Raises `ConfigError`."""
    try:
        value = float(argument)
    except ValueError:
        raise ConfigError(f"{what} {argument!r} is not a number") from None
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{what} {argument!r} is outside 0 to 1")
    return value


def read_switch(argument: str, now: bool) -> bool:
    """on, off, or toggle: the contrary of ``now``, as without an argument. Raises `ConfigError`."""
    values = {"": not now, "toggle": not now, "on": True, "off": False}
    if argument not in values:
        raise ConfigError(f"{argument!r} is not a switch: give on, off or toggle")
    return values[argument]


def check_morph(seconds: float) -> float:
    """``seconds``, if a morph may take so long. Raises `ConfigError`."""
    if not 0.0 <= seconds <= LONGEST_MORPH:
        raise ConfigError(f"a morph of {seconds:g} seconds is outside 0 to {LONGEST_MORPH:g}")
    return seconds


def read_seconds(argument: str) -> float:
    """How long a morph takes. Raises `ConfigError`."""
    try:
        return check_morph(float(argument))
    except ValueError:
        raise ConfigError(f"morph {argument!r} is not a number of seconds") from None
