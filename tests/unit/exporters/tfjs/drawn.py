"""Small TensorFlow.js graph models."""

import base64
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Drawing:
    """A graph with one image as its first node; weights are stored in half precision."""

    def __init__(self, *shape: int) -> None:
        sides = [{"size": str(side)} for side in shape]
        self.nodes: list[dict[str, object]] = []
        self.weights: list[tuple[str, NDArray[np.generic]]] = []
        self.node("Placeholder", shape={"shape": {"dim": sides}})

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind.strip('_').lower()}_{len(self.nodes)}"
        self.nodes.append({"name": name, "op": kind, "input": list(inputs), "attr": attributes})
        return name

    def constant(self, array: NDArray[np.generic]) -> str:
        name = self.node("Const")
        self.weights.append((name, array))
        return name

    def save(self, folder: Path) -> tuple[Path, Path]:
        specs, content = [], b""
        for name, array in self.weights:
            spec: dict[str, object] = {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
            if array.dtype.kind == "f":
                spec["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
                content += array.astype(np.float16).tobytes()
            else:
                content += array.tobytes()
            specs.append(spec)
        manifest = [{"paths": ["weights.bin"], "weights": specs}]
        graph, weights = folder / "graph.json", folder / "weights.bin"
        graph.write_text(json.dumps({"modelTopology": {"node": self.nodes}, "weightsManifest": manifest}))
        weights.write_bytes(content)
        return graph, weights


def texts(*values: str) -> dict[str, object]:
    return {"list": {"s": [base64.b64encode(value.encode()).decode() for value in values]}}


def convolution(padding: str = "SAME", stride: int = 1, fused: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "padding": {"s": base64.b64encode(padding.encode()).decode()},
        "data_format": {"s": base64.b64encode(b"NHWC").decode()},
        "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
        "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
        "fused_ops": texts(*fused),
    }
