"""The shapes of network that there are. Graphs, training, export and what runs live are the same for all of them."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from livestyle.controls import find_name
from livestyle.model import autoencoder, studio


@dataclass(frozen=True, slots=True)
class Profile:
    """A pair of encoder and decoder. Features have ``channels`` channels at 1/``stride`` of the picture.

    Width and height are multiples of ``multiple``; ``margin`` pixels round a picture are painted and thrown away.
    Training judges nothing nearer than ``reach`` pixels to the border of a crop, where zero padding shows.
    """

    name: str
    channels: int
    stride: int
    multiple: int
    margin: int
    reach: int
    rectified: tuple[str, ...]  # convolutions that a ReLU follows
    make_encoder: Callable[[], nn.Module]
    make_decoder: Callable[[], nn.Module]


LIVE = Profile(
    "live",
    autoencoder.FEATURES,
    autoencoder.STRIDE,
    autoencoder.MULTIPLE,
    autoencoder.MARGIN,
    autoencoder.REACH,
    autoencoder.RECTIFIED,
    autoencoder.Encoder,
    autoencoder.Decoder,
)
STUDIO = Profile(
    "studio",
    studio.FEATURES,
    autoencoder.STRIDE,
    autoencoder.MULTIPLE,
    autoencoder.MARGIN,
    studio.REACH,
    studio.RECTIFIED,
    studio.Encoder,
    studio.Decoder,
)
PROFILES = {profile.name: profile for profile in (LIVE, STUDIO)}


def find_profile(name: str) -> Profile:
    """The profile of a name. Raises `ConfigError`, which names the nearest."""
    return PROFILES[find_name(name, PROFILES, "profile")]
