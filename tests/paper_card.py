"""A graphics card on paper: numpy for its memory, ONNX Runtime for its engines, and the real engine files.

No machine of ours has a card, so this stands where pycuda and the runtime of TensorRT would be, and watches what they
would refuse: work without the context, memory that was freed, addresses that were never bound, a recorded launch that
sees memory bound later. What it cannot show is left to test_tensorrt_gpu.py, which needs a card.
"""

import hashlib
import itertools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest

from livestyle.artifacts import Model
from livestyle.backends import tensorrt_gpu, tensorrt_library
from livestyle.backends.engine_files import EngineRecord, engine_folder
from livestyle.deploy.engine import read_graph

KINDS = {"float": np.float32, "half": np.float16, "uint8": np.uint8}


class Allocation(np.ndarray):
    """Memory that knows whether it was freed."""

    freed = False

    def free(self) -> None:
        assert not self.freed, "freed twice"
        self.freed = True


class PaperCard:
    """The card: its memory by address, what is enqueued, and whether the context is current on this thread."""

    name, capability = "Paper", "sm00"

    def __init__(self, model: Model) -> None:
        self.model = model
        self.depth = threading.local()
        self.memory: dict[int, Allocation] = {}
        self.addresses = itertools.count(4096, 4096)
        self.recording: list[Callable[[], None]] | None = None
        self.enqueued = 0
        self.launched = 0
        self.cuda = SimpleNamespace(
            Error=CardError,
            Stream=lambda: SimpleNamespace(handle=7, synchronize=self.check),
            Event=lambda: SimpleNamespace(synchronize=self.check, record=lambda stream: self.check()),
            mem_alloc=self.allocate,
            pagelocked_empty=self.pin,
            memcpy_htod_async=lambda memory, array, stream: self.copy(memory.bytes, array.reshape(-1).view(np.uint8)),
            memcpy_dtoh_async=lambda array, memory, stream: self.copy(array.reshape(-1).view(np.uint8), memory.bytes),
        )

    def current(self) -> Any:
        return self

    def __enter__(self) -> None:
        self.depth.value = getattr(self.depth, "value", 0) + 1

    def __exit__(self, *_: object) -> None:
        self.depth.value -= 1

    def check(self) -> None:
        if not getattr(self.depth, "value", 0):
            raise CardError("no context is current")

    def allocate(self, size: int) -> "Memory":
        self.check()
        address = next(self.addresses)
        self.memory[address] = np.zeros(size, np.uint8).view(Allocation)
        return Memory(address, self.memory[address])

    def pin(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.check()
        owner = Allocation((int(np.prod(shape)) * np.dtype(dtype).itemsize,), np.uint8)
        return np.ndarray(shape, dtype, buffer=owner)

    def copy(self, target: np.ndarray, source: np.ndarray) -> None:
        self.check()
        assert not getattr(target, "freed", False)
        assert not getattr(source, "freed", False)
        target[:] = source

    def read(self, address: int, shape: tuple[int, ...], kind: str) -> np.ndarray:
        assert not self.memory[address].freed
        return np.ndarray(shape, KINDS[kind], buffer=self.memory[address])


class CardError(Exception):
    """What pycuda.driver.Error would be."""


class Memory:
    """What pycuda.driver.DeviceAllocation would be."""

    def __init__(self, address: int, memory: Allocation) -> None:
        self.address = address
        self.bytes = memory
        self.free = memory.free

    def __int__(self) -> int:
        return self.address


class PaperEngine:
    """An engine, and its execution context too."""

    def __init__(self, card: PaperCard, library: Any, record: EngineRecord) -> None:
        self.card = card
        self.library = library
        self.tensors = {tensor.name: tensor for tensor in record.tensors}
        self.num_io_tensors = len(self.tensors)
        self.bound: dict[str, int] = {}
        key = record.key
        shapes = card.model.manifest.input_shapes(key.graph, key.width, key.height)
        graph = read_graph(card.model, key, shapes).SerializeToString()
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        cache = SimpleNamespace(serialize=lambda: b"kernels", deserialize=lambda data: data == b"kernels")
        self.create_runtime_config = lambda: SimpleNamespace(
            create_runtime_cache=lambda: cache, set_runtime_cache=lambda given: given is cache
        )

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return {"float": self.library.float32, "half": self.library.float16, "uint8": self.library.uint8}[
            self.tensors[name].kind
        ]

    def create_execution_context(self, runtime_config: Any) -> "PaperEngine":
        self.card.check()
        return self

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return self.tensors[name].shape == shape

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.bound[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.card.check()
        assert stream == 7
        work = self.make_work(dict(self.bound))
        if self.card.recording is not None:
            self.card.recording.append(work)
        else:
            self.card.enqueued += 1
            work()
        return True

    def make_work(self, bound: dict[str, int]) -> Callable[[], None]:
        def work() -> None:
            arrays = {n: self.card.read(bound[n], t.shape, t.kind) for n, t in self.tensors.items()}
            inputs = {name: array for name, array in arrays.items() if not self.tensors[name].output}
            (result,) = self.session.run(None, inputs)
            (output,) = (arrays[name] for name, tensor in self.tensors.items() if tensor.output)
            output[...] = result

        return work


def lay_card(monkeypatch: pytest.MonkeyPatch, model: Model) -> PaperCard:
    """Put the card where the backends of a graphics card look for one."""
    card = PaperCard(model)
    real = tensorrt_library.load_library("rtx")

    class Runtime:
        def __init__(self, logger: Any) -> None:
            card.check()

        def deserialize_cuda_engine(self, plan: bytes) -> PaperEngine | None:
            card.check()
            digest = hashlib.sha256(plan).hexdigest()
            for path in engine_folder().glob("*.json"):
                record = msgspec.json.decode(path.read_bytes(), type=EngineRecord)
                if record.sha256 == digest:
                    return PaperEngine(card, real, record)
            return None

        def get_engine_validity(self, plan: bytes) -> tuple[Any, int]:
            bad = real.Runtime(tensorrt_library.open_log("rtx").logger).get_engine_validity(plan)[1]
            invalid = int(bad) & int(real.EngineInvalidityDiagnostics.MALFORMED_ENGINE)
            return (real.EngineValidity.INVALID if invalid else real.EngineValidity.VALID), bad

    class Graph:
        def __init__(self, stream: int, work: Callable[[], None]) -> None:
            card.recording = []
            work()
            self.works, card.recording = card.recording, None

        def launch(self) -> None:
            card.check()
            card.launched += 1
            for work in self.works:
                work()

        def close(self) -> None:
            card.check()

    library = SimpleNamespace(
        __version__=real.__version__,
        Runtime=Runtime,
        nptype=real.nptype,
        TensorIOMode=real.TensorIOMode,
        EngineValidity=real.EngineValidity,
    )
    monkeypatch.setattr(tensorrt_gpu, "load_library", lambda backend: library)
    monkeypatch.setattr(tensorrt_gpu, "open_card", lambda: card)
    monkeypatch.setattr(tensorrt_gpu, "CudaGraph", Graph)
    return card
