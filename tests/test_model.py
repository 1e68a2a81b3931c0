"""The network: shapes, the auto-encoder's independence of styles, and linear fusion of banks."""

import torch

from livestyle.model.autoencoder import FEATURES, STRIDE, Decoder, initialize_icnr
from livestyle.model.bank import StyleBankNetwork, apply_bank, normalize
from livestyle.model.motion import REUSE, blend, mask_residual, warp_features


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
    assert torch.equal(apply_bank(features, kernel, torch.zeros(FEATURES), torch.zeros(1)), features)


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


def test_blend_keeps_the_new_features_where_nothing_is_trusted() -> None:
    features, past = torch.rand(2, 1, FEATURES, 8, 8)
    nothing = torch.zeros(1, 1, 8, 8)
    assert torch.equal(blend(features, past, torch.zeros(1, 2, 8, 8), nothing), features)


def test_mask_is_high_for_the_same_and_low_for_another_thing() -> None:
    features = torch.rand(1, FEATURES, 8, 8)
    certain = torch.ones(1, 1, 8, 8)
    assert float(mask_residual(features, features * 1.02, certain).min()) > 0.95 * REUSE
    assert float(mask_residual(features, features.flip(1) * 5.0, certain).max()) < 0.2


def test_stride_is_what_the_encoder_does() -> None:
    network = StyleBankNetwork([])
    assert network.encoder(torch.rand(1, 3, 48, 64)).shape == (1, FEATURES, 48 // STRIDE, 64 // STRIDE)
