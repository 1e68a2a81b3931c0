"""TensorRT for RTX: the code of `livestyle.backends.tensorrt_gpu` on the other library."""

import functools

from livestyle.backends.tensorrt_gpu import TensorrtBackend
from livestyle.backends.tensorrt_library import describe_library

RtxBackend = functools.partial(TensorrtBackend, library="rtx")
describe = functools.partial(describe_library, "rtx")
