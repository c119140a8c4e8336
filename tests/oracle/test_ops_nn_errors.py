"""The operators of ``torch.nn.functional`` refuse what native torch refuses, in the same words, and warn as it does."""

import pytest

torch = pytest.importorskip("torch")

from oracle import assert_same_evaluation, check, infos, operator, words  # noqa: E402

import torchlike  # noqa: E402

# Errors that native's own table knows of.

WITH_ERRORS = words(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d conv1d conv2d conv3d
    group_norm rms_norm margin_ranking_loss soft_margin_loss multi_margin_loss multilabel_margin_loss
    triplet_margin_loss l1_loss huber_loss poisson_nll_loss hinge_embedding_loss gaussian_nll_loss
    max_unpool1d max_unpool2d max_unpool3d
    """
)


@pytest.mark.parametrize("name", WITH_ERRORS)
def test_errors_of_the_table(name):
    (info,) = [i for i in infos(f"nn.functional.{name}") if not i.variant_test_name]
    function = operator(info.name)
    for error in info.error_inputs("cpu"):
        sample = error.sample_input
        check(info.name, info.op, function, [sample.input, *sample.args], sample.kwargs)


ERRORS = """
F.conv2d(image, t(6, 3, 3, 3))
F.conv2d(image, t(6, 4, 9, 9))
F.conv2d(image, t(6, 4, 3, 3), t(5))
F.conv2d(image.double(), t(6, 4, 3, 3))
F.conv2d(image, t(6, 4, 3, 3).double())
F.conv2d(image, t(6, 4, 3, 3), t(6).double())
F.conv2d(t(8, 8), t(6, 4, 3, 3))
F.conv2d(image, t(6, 4, 3, 3), stride=0)
F.conv2d(image, t(6, 4, 3, 3), stride=(1, 2, 3))
F.conv2d(image, t(6, 4, 3, 3), padding='foo')
F.conv2d(image, t(6, 4, 3, 3), padding='same', stride=2)
F.conv2d(image, [1])
F.conv_transpose2d(image, t(3, 6, 3, 3))
F.conv_transpose2d(image, t(4, 6, 3, 3), stride=2, output_padding=2)
F.max_pool2d(image, 9)
F.max_pool2d(image, 2, padding=2)
F.max_pool2d(image, 2, stride=0)
F.max_pool2d(image, (1, 2, 3))
F.max_pool2d(t(8, 8), 2)
F.max_pool1d(t(8), 2)
F.avg_pool2d(image, 2, divisor_override=0)
F.avg_pool3d(t(4, 8, 8), 2)
F.adaptive_avg_pool2d(image, (1, 2, 3))
F.adaptive_avg_pool2d(image, 'a')
F.pad(image, (1,))
F.pad(image, (1,) * 10)
F.pad(image, (-9, 0))
F.pad(image, (8, 8, 8, 8), 'reflect')
F.pad(image, (8, 8), 'reflect')
F.pad(image, (1, 1, 1, 1), 'foo')
F.pad(image, (1, 1), 'reflect', 1.)
F.pad(image, (9, 9, 1, 1), 'circular')
F.pad(image, 1)
F.batch_norm(t(1, 3), t(3), t(3), training=True)
F.batch_norm(t(2, 3), None, None)
F.batch_norm(t(2, 3), t(2), t(3))
F.batch_norm(t(2, 3).long(), t(3), t(3))
F.layer_norm(image, 6)
F.layer_norm(image, [])
F.layer_norm(image, [3])
F.layer_norm(image, [5], t(3))
F.layer_norm(image, [5], t(5).double())
F.rms_norm(image, [3, 5])
F.group_norm(image, 3)
F.instance_norm(t(2, 3, 1))
F.embedding(L([[0, 5]]), t(4, 3))
F.embedding(L([[0, 5]]) - 3, t(4, 3))
F.embedding(L([0., 1.]), t(4, 3))
F.embedding(L([0]), t(4))
F.embedding(L([0]), t(4, 3), padding_idx=4)
F.embedding([1], t(4, 3))
F.embedding_bag(L([0, 7]), t(4, 3), L([0]))
F.one_hot(L([-1]))
F.one_hot(L([3]), 2)
F.one_hot(L([3]).int())
F.dropout(image, 2.)
F.dropout(L([1, 2]))
F.dropout2d(t(3))
F.mse_loss(t(2), t(3))
F.mse_loss(L([1]), L([1]))
F.mse_loss(t(2), t(2), reduction='foo')
F.l1_loss(L([1]), L([1]))
F.smooth_l1_loss(t(2), t(2), beta=-1)
F.huber_loss(t(2), t(2), delta=0.)
F.binary_cross_entropy(L([1.5]), L([1.]))
F.binary_cross_entropy(L([.5]), L([1]))
F.binary_cross_entropy(L([.5]), L([1., 1.]))
F.binary_cross_entropy_with_logits(t(2), t(3))
F.cross_entropy(t(3, 5), L([1, 2, 7]))
F.cross_entropy(t(3, 5), L([1, 2]))
F.cross_entropy(t(3, 5), L([1., 2., 3.]))
F.cross_entropy(t(3, 5), L([1, 2, 3]), t(4))
F.cross_entropy(t(5), L([1, 2]))
F.cross_entropy(t(3, 5), L([1, 2, 3]), label_smoothing=1.5)
F.kl_div(L([1]), L([1]))
F.kl_div(t(2), 1.)
F.hinge_embedding_loss(t(2), t(3))
F.triplet_margin_loss(t(2), t(2), t(2), margin=0)
F.gaussian_nll_loss(t(2), t(2), -1.)
F.gaussian_nll_loss(t(2, 3), t(2, 3), t(2, 2).abs())
F.scaled_dot_product_attention(t(4), t(4), t(4))
F.scaled_dot_product_attention(t(2, 4), t(2, 4).double(), t(2, 4))
F.scaled_dot_product_attention(t(2, 4), t(2, 4), t(2, 4), t(2, 2).long())
F.interpolate(image)
F.interpolate(image, size=3, scale_factor=2)
F.interpolate(image, scale_factor=2, mode='linear')
F.interpolate(image, size=(1, 2, 3))
F.interpolate(image, size=2, mode='nearest', align_corners=True)
F.grid_sample(image, t(2, 3, 3, 3), align_corners=False)
F.grid_sample(image, t(2, 3, 3, 2), mode='foo')
F.pixel_shuffle(image, 3)
F.channel_shuffle(image, 3)
F.unfold(image, 9)
F.fold(t(2, 11, 4), (4, 4), 2)
F.bilinear(t(2, 3), t(2, 4), t(5, 4, 4))
torch.cdist(t(2, 3), t(2, 4))
torch.cdist(t(2, 3), t(2, 3), p=-1)
F.pdist(t(2))
F.cosine_similarity(L([1]), L([1]))
"""


@pytest.mark.parametrize("expression", ERRORS.strip().split("\n"))
def test_errors(expression):
    shorthand = "(lambda F, image, t: " + expression + ")(torch.nn.functional, torch.ones(2, 4, 6, 5), torch.ones)"
    assert_same_evaluation(shorthand)


def test_warnings():
    for library in (torch, torchlike):
        functional = library.nn.functional
        with pytest.warns(UserWarning, match="that is different to the input size"):
            functional.mse_loss(library.ones(2), library.ones(2, 1))
        with pytest.warns(UserWarning, match="reduction: 'mean' divides the total loss by both the batch size"):
            functional.kl_div(library.ones(2), library.ones(2))
        with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
            functional.mse_loss(library.ones(2), library.ones(2), size_average=False)
