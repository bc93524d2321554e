"""The path of CUDA without CUDA: fake tensors know their device, and refuse to copy a value to the host.

Neither kernels nor graphs run. What would fail at the first step on a GPU, tensors on two devices or of two
dtypes, fails here, and so does what would make the host wait in every step. Fused SGD has no fake kernel.
"""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from mousterian.plugins import registry
from mousterian.training import feed, loop, update
from mousterian.training.feed import Stream
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import recipe

GPU = torch.device("cuda:0")
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="there is a GPU: test_training_gpu.py uses it"
)


def _moved(module: nn.Module, move: object) -> nn.Module:
    """Do what nn.Module._apply does, which swaps tensors in place; fake ones refuse that."""
    for child in module.children():
        _moved(child, move)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(move(parameter.data), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = move(buffer)
    return module


class _Generator(torch.Generator):
    """A generator of the host where the device's is asked for."""

    def __new__(cls, _: object = None) -> _Generator:
        return super().__new__(cls)


class _Over(Exception):  # noqa: N818 (no error)
    """The last step is taken: now the host may wait."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for what needs a driver: moving modules, generators, autocast's own check, and backward."""
    trainable: list[nn.Parameter] = []
    made = update.Update.__init__

    def record(self: update.Update, *given: object, **named: object) -> None:
        made(self, *given, **named)
        trainable[:] = self._trainable

    def gradients(_: Tensor) -> None:
        for parameter in trainable:
            parameter.grad = torch.zeros_like(parameter)

    def over(*_: object) -> None:
        raise _Over

    host = ModuleType("torch")
    host.__dict__.update(torch.__dict__, Generator=_Generator)
    monkeypatch.setattr(feed, "torch", host)
    monkeypatch.setattr(nn.Module, "_apply", lambda module, move, recurse=True: _moved(module, move))
    monkeypatch.setattr(update.Update, "__init__", record)
    monkeypatch.setattr(Tensor, "backward", gradients)
    monkeypatch.setattr(loop._Run, "_check", over)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    monkeypatch.setattr(torch.amp.autocast_mode, "torch", _with_cuda())


def _with_cuda() -> ModuleType:
    """Return torch as autocast sees it where there is a GPU."""
    seen, cuda, amp, common = (ModuleType(name) for name in ("torch", "cuda", "amp", "common"))
    common.__dict__.update(torch.cuda.amp.common.__dict__, amp_definitely_not_available=lambda: False)
    amp.__dict__.update(torch.cuda.amp.__dict__, common=common)
    cuda.__dict__.update(torch.cuda.__dict__, amp=amp)
    seen.__dict__.update(torch.__dict__, cuda=cuda)
    return seen


def train(
    model: str, name: str, precision: str, *, targets: Tensor | None = None, loss: object = None
) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        arrays = tuple(torch.empty(n, 32, 32, 3, dtype=torch.uint8, device=GPU) for n in (60, 30))
        rows = (torch.empty(40, dtype=dtype, device=GPU) for dtype in (torch.int64, torch.int64, torch.bool))
        mixture = Mixture(arrays, *rows, tuple("0123456789"))
        chosen = recipe(name, {"iterations": 3, "batch_size": 8, "precision": precision})
        task = loop.Task(mixture, 40, chosen, GPU, 0, acceleration="eager")
        plugin = registry.find("models", model)
        network = plugin.load()(10, (32, 32, 3), **plugin.resolve({}), **plugin.preset)
        prepared = loop.prepare(network, task)
        loop.train(prepared, [Stream(mixture, 8, targets=targets, loss=loss)], task)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("model", "name"), [("small_cnn", "small"), ("speednet", "speedrun"), ("resnet20", "fashion")]
)
def test_no_step_mixes_devices_or_dtypes_or_waits_for_a_value(model: str, name: str, precision: str) -> None:
    with pytest.raises(_Over):
        train(model, name, precision)


@pytest.mark.usefixtures("fake")
def test_what_waits_or_lies_elsewhere_is_found() -> None:
    with pytest.raises(DataDependentOutputException):
        train("small_cnn", "small", "float32", loss=lambda outputs, _: outputs.mean() * outputs.max().item())
    with pytest.raises(RuntimeError, match="device"):
        train("small_cnn", "small", "float32", targets=torch.zeros(40, dtype=torch.int64))
