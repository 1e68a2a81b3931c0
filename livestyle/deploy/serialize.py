"""An ONNX graph as the bytes of its file, without what tells of the machine that made it."""

from google.protobuf.message import Message
from onnx import ModelProto

TOLD = ("metadata_props", "doc_string")  # torch puts a stack trace with the paths of its machine beside every node


def serialize_graph(graph: ModelProto) -> bytes:
    """The file of ``graph``, in which nothing has metadata or a comment; the same graph gives the same bytes."""
    bare = ModelProto()
    bare.CopyFrom(graph)
    _strip(bare)
    return bytes(bare.SerializeToString(deterministic=True))


def _strip(message: Message) -> None:
    for name in TOLD:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type:
            for part in (value,) if isinstance(value, Message) else value:
                _strip(part)
