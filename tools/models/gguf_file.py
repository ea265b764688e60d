"""Reads a GGUF file of version 3 with NumPy: its keys and its tensors as float32, as far as
tools/models/smollm2 needs it (tensors in F32, F16, Q8_0 and Q4_1).

The file: "GGUF", version, number of tensors, number of keys; the keys, each a name, a type and a
value; for each tensor its name, sizes (the fastest first), type and offset; the tensors, aligned."""
import struct

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, LIST = 8, 9
BLOCK = 32  # weights that share a scale


def q8_0(blocks):
    """A scale (f16), then 32 signed bytes."""
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    return scale * blocks[:, 2:].view(np.int8).astype(np.float32)


def q4_1(blocks):
    """A scale and a minimum (f16), then 16 bytes: low halves are weights 0 to 15, high ones 16 to 31."""
    scale = blocks[:, 0:2].copy().view("<f2").astype(np.float32)
    minimum = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
    halves = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return scale * halves.astype(np.float32) + minimum


# type: (name, bytes of a block, weights of a block, how it is read)
TYPES = {0: ("F32", 4, 1, lambda b: b.view("<f4")),
         1: ("F16", 2, 1, lambda b: b.view("<f2").astype(np.float32)),
         3: ("Q4_1", 20, BLOCK, q4_1),
         8: ("Q8_0", 34, BLOCK, q8_0)}


class GgufFile:
    """keys: {name: value}; names: the tensors' names, in the file's order."""

    def __init__(self, path):
        self.bytes = np.fromfile(path, np.uint8)
        self.at = 0
        magic = self.bytes[:4].tobytes()
        self.at = 4
        version, = self.read("<I")
        if magic != b"GGUF" or version != 3:
            raise SystemExit(f"{path}: no GGUF file of version 3")
        tensor_count, key_count = self.read("<QQ")
        self.keys = {}
        for _ in range(key_count):
            name = self.read_string()
            self.keys[name] = self.read_value(self.read("<I")[0])
        self.tensors = {}
        for _ in range(tensor_count):
            name = self.read_string()
            rank, = self.read("<I")
            sizes = self.read(f"<{rank}Q")
            self.tensors[name] = (sizes[::-1], *self.read("<IQ"))
        alignment = self.keys.get("general.alignment", 32)
        self.data = -(-self.at // alignment) * alignment
        self.names = list(self.tensors)

    def read(self, form):
        values = struct.unpack_from(form, self.bytes, self.at)
        self.at += struct.calcsize(form)
        return values

    def read_string(self):
        length, = self.read("<Q")
        self.at += length
        return self.bytes[self.at - length : self.at].tobytes().decode("utf-8")

    def read_value(self, kind):
        if kind == STRING:
            return self.read_string()
        if kind != LIST:
            return self.read("<" + SCALARS[kind])[0]
        kind, count = self.read("<IQ")
        if kind in (STRING, LIST):
            return [self.read_value(kind) for _ in range(count)]
        return list(self.read(f"<{count}{SCALARS[kind]}"))

    def tensor(self, name):
        """float32, its sizes the slowest first."""
        sizes, kind, offset = self.tensors[name]
        if kind not in TYPES:
            raise SystemExit(f"{name}: type {kind} is none of {[t[0] for t in TYPES.values()]}")
        _, size, weights, decode = TYPES[kind]
        count = int(np.prod(sizes)) // weights
        begin = self.data + offset
        blocks = self.bytes[begin : begin + count * size].reshape(count, size)
        return decode(blocks).reshape(sizes)
