"""Dropout by bytes does what PyTorch's does."""

import pytest
import torch
from torch import nn

from training.dropout import ByteDropout, cheapen


def test_it_zeroes_the_share_that_is_asked_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    values = ByteDropout(0.25)(torch.ones(1_000, 101))
    assert float((values == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(values.mean()) == pytest.approx(1, abs=0.01)
    assert values.unique().tolist() == pytest.approx([0, 4 / 3])


def test_gradients_pass_where_values_do() -> None:
    values = torch.ones(37, 3, requires_grad=True)
    dropped = ByteDropout(0.5)(values)
    dropped.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())


def test_a_seed_decides() -> None:
    drawn = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        drawn.append(ByteDropout(0.5)(torch.ones(1_000)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.1])
def test_nothing_changes_out_of_training(rate: float) -> None:
    values = torch.randn(5, 7)
    assert torch.equal(ByteDropout(rate).eval()(values), values)


@pytest.mark.parametrize(("rate", "zeros"), [(0.0, 0), (1.0, 1_000)])
def test_none_and_all(rate: float, zeros: int) -> None:
    assert int((ByteDropout(rate)(torch.ones(1_000)) == 0).sum()) == zeros


def test_every_dropout_within_a_model_is_replaced() -> None:
    model = nn.Sequential(nn.Dropout(0.3), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
    cheapen(model)
    assert [(type(part), part.p) for part in model.modules() if isinstance(part, nn.Dropout)] == [
        (ByteDropout, 0.3),
        (ByteDropout, 0.1),
    ]
