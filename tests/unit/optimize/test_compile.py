"""The compiled part of a step: the same values and gradients; ignored where it cannot work."""

import importlib.util
import subprocess
import sys

import pytest
import torch

from closefit.appearance.avatar import Avatars
from closefit.appearance.surface import surface_texels
from closefit.stages import optimize
from tests.known_motion import WEIGHTS, KnownMotion


@pytest.fixture
def avatars(known: KnownMotion) -> Avatars:
    torch.manual_seed(0)
    return Avatars(surface_texels(known.body, 32), 4, 8)


COMPARISON = """
import copy, pathlib, sys
import torch
from closefit.appearance.avatar import Avatars
from closefit.appearance.surface import surface_texels
from closefit.body.model import Body

torch.manual_seed(0)
avatars = Avatars(surface_texels(Body.load(pathlib.Path(sys.argv[1])), 32), 4, 8)
torch.nn.init.normal_(avatars.decoder.head.weight, std=0.1)  # it starts at zero
compiled = copy.deepcopy(avatars)
compiled.compile(backend=sys.argv[2], fullgraph=True)

def decoded(avatars):
    found = vars(avatars())
    weighted = [(index + 1) * values.square().sum() for index, values in enumerate(found.values())]
    return found, list(torch.autograd.grad(sum(weighted), list(avatars.parameters())))

(found, gradients), (expected, true_gradients) = decoded(compiled), decoded(avatars)
torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
torch.testing.assert_close(gradients, true_gradients, rtol=1e-3, atol=1e-4)
"""


@pytest.mark.slow
def test_values_and_gradients_are_those_of_the_plain_decoder() -> None:
    """`aot_eager` traces only; `inductor` would compile C++ for a minute here, Triton on a GPU.

    In a process of its own: the compiler cannot trace the type checks of the tests.
    """
    subprocess.run(
        [sys.executable, "-c", COMPARISON, WEIGHTS / "closefit_body.npz", "aot_eager"],
        check=True, capture_output=True, text=True, cwd=WEIGHTS.parent,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("device", "triton", "sentence"),
    [
        ("cpu", True, "`optimize.compile` is ignored: it is for a GPU"),
        (
            "cuda",
            False,
            "`optimize.compile` is ignored: PyTorch compiles for the GPU with `triton`",
        ),
        ("cuda", True, ""),
    ],
)
def test_it_is_ignored_with_one_sentence_where_it_cannot_work(
    avatars: Avatars, monkeypatch: pytest.MonkeyPatch, device: str, triton: bool, sentence: str
) -> None:
    notices, options = [], []
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if triton else None)
    monkeypatch.setattr(avatars, "compile", lambda **given: options.append(given))
    optimize._compile(avatars, device, notices.append)
    if not sentence:
        assert not notices
        assert options == [{"mode": "reduce-overhead", "fullgraph": True}]
        return
    assert not options
    (notice,) = notices
    assert notice.text.startswith(sentence)
    assert "\n" not in notice.text
