"""The network: shapes, the auto-encoder's independence of styles, and linear fusion of banks."""

import torch

from livestyle.model.autoencoder import FEATURES, STRIDE, Decoder, initialize_icnr
from livestyle.model.bank import StyleBankNetwork, apply_bank, normalize
from livestyle.model.flow import warp_features
from livestyle.model.motion import REUSE, MaskNetwork


def test_paint_and_reconstruct_keep_the_size_and_range() -> None:
    network = StyleBankNetwork(["a", "b"])
    pictures = torch.rand(2, 3, 40, 64)
    with torch.no_grad():
        results = (network.paint(pictures, ["a", "b"]), network.reconstruct(pictures))
    for result in results:
        assert result.shape == pictures.shape
        assert 0.0 <= float(result.min()) <= float(result.max()) <= 1.0


def test_each_picture_of_a_batch_gets_its_own_style() -> None:
    network = StyleBankNetwork(["a", "b"])
    picture = torch.rand(1, 3, 32, 32)
    both = network.paint(picture.repeat(2, 1, 1, 1), ["a", "b"])
    assert torch.allclose(both[:1], network.paint(picture, ["a"]), atol=1e-5)
    assert torch.allclose(both[1:], network.paint(picture, ["b"]), atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-3)


def test_a_mix_of_kernels_is_the_mix_of_responses() -> None:
    features = torch.rand(1, FEATURES, 12, 20)
    first, second = torch.randn(2, FEATURES, FEATURES, 3, 3)
    one, bias = torch.ones(1), torch.zeros(FEATURES)
    summed = apply_bank(features, 0.3 * first + 0.7 * second, bias, one)
    apart = 0.3 * apply_bank(features, first, bias, one) + 0.7 * apply_bank(features, second, bias, one)
    assert torch.allclose(summed, apart, atol=1e-3)


def test_strength_zero_is_the_auto_encoder() -> None:
    features = torch.rand(1, FEATURES, 12, 20)
    kernel = torch.randn(FEATURES, FEATURES, 3, 3)
    assert torch.allclose(apply_bank(features, kernel, torch.zeros(FEATURES), torch.zeros(1)), features, atol=1e-5)


def test_normalize_of_a_flat_picture_is_finite() -> None:
    assert torch.isfinite(normalize(torch.full((1, FEATURES, 8, 8), 3.0))).all()


def test_icnr_starts_without_a_checkerboard() -> None:
    decoder = Decoder()
    initialize_icnr(decoder.to_full)
    flat = torch.ones(1, decoder.to_full.in_channels, 8, 8)
    shuffled = torch.pixel_shuffle(decoder.to_full(flat), 2)[..., 4:-4, 4:-4]
    assert float(shuffled.detach().std(dim=(2, 3)).max()) < 1e-5


def test_warp_moves_features_by_the_flow() -> None:
    features = torch.rand(1, FEATURES, 10, 14)
    flow = torch.zeros(1, 2, 10, 14)
    flow[:, 0] = 2.0  # what is at x now was at x + 2
    assert torch.allclose(warp_features(features, flow)[..., :-2], features[..., 2:], atol=1e-4)


def trained_mask() -> MaskNetwork:
    """Weights under which a difference of features of 1 counts as another thing."""
    mask = MaskNetwork()
    with torch.no_grad():
        mask.project.weight.fill_(1.0 / FEATURES)
        mask.compare.weight.zero_()
        mask.compare.weight[:, :8, 1, 1] = 1.0
        mask.compare.bias.zero_()
        mask.decide.weight[0, :, 1, 1] = -1.0
    return mask


def test_an_untrained_mask_is_the_confidence_of_the_flow() -> None:
    features, past = torch.rand(2, 1, FEATURES, 8, 12)
    confidence = torch.rand(1, 1, 8, 12)
    mask = MaskNetwork()(features, past, torch.zeros(1, 2, 8, 12), confidence).detach()
    assert mask.shape == confidence.shape
    assert torch.allclose(mask, REUSE * confidence, atol=0.02)


def test_mask_is_high_for_the_same_and_low_for_another_thing() -> None:
    mask, certain, still = trained_mask(), torch.ones(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
    features = torch.rand(1, FEATURES, 8, 8)
    with torch.no_grad():
        assert float(mask(features, features * 1.02, still, certain).min()) > 0.95 * REUSE
        assert float(mask(features, features + 1.0, still, certain).max()) < 0.01
        assert float(mask(features, features, still, torch.zeros(1, 1, 8, 8)).max()) == 0.0


def test_mask_follows_the_flow() -> None:
    past = torch.rand(1, 1, 8, 16).repeat_interleave(2, 3).repeat(1, FEATURES, 1, 1) * 9.0
    features = past.roll(-4, 3)  # what is at x now was at x + 4
    flow = torch.zeros(1, 2, 8, 32)
    flow[:, 0] = 4.0
    certain = torch.ones(1, 1, 8, 32)
    with torch.no_grad():
        along = trained_mask()(features, past, flow, certain)[..., :24]
        still = trained_mask()(features, past, flow * 0.0, certain)[..., :24]
    assert float(along.mean()) > 0.95 * REUSE
    assert float(still.mean()) < 0.6 * REUSE


def test_stride_is_what_the_encoder_does() -> None:
    network = StyleBankNetwork([])
    assert network.encoder(torch.rand(1, 3, 48, 64)).shape == (1, FEATURES, 48 // STRIDE, 64 // STRIDE)
