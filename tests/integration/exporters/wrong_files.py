# ruff: noqa: E501 - one line a file reads as a table
"""Files that no command of `maskwright models add` takes: each with its maker, and what is said of it."""

import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.unit.exporters.networks import drawn, drawn_onnx
from tests.unit.exporters.networks.drawn import LEGACY, name, number, text

Maker = Callable[[Path], object]
_ONE = {"a.weight": np.ones((3, 2), np.float32)}
_CLEARED = b")R0"
"""Ends a call, and drops its result."""
SYSTEM = name("os.system") + b"(" + text("touch ran") + b"tR0"
INSTANCE = b"(" + text("touch ran") + b"iposix\nsystem\n0"
STACKED = text("posix") + text("system") + b"\x93(" + text("touch ran") + b"tR0"
EVALUATED = name("builtins.eval") + b"(" + text("open('ran', 'w')") + b"tR0"


def bytes_of(content: bytes) -> Maker:
    return lambda path: path.write_bytes(content)


def checkpoint(**shapes: tuple[int, ...]) -> Maker:
    """Tensors of zeros. Two underscores in a key stand for a dot."""
    tensors = {key.replace("__", "."): np.zeros(shape, np.float32) for key, shape in shapes.items()}
    return lambda path: drawn.legacy(path, tensors)


def coded(code: bytes, writer: Callable[..., Path] = drawn.legacy) -> Maker:
    return lambda path: writer(path, _ONE, extra=code)


def raw(pickled: bytes) -> Maker:
    return bytes_of(LEGACY + b"\x80\x02" + pickled + b"." + b"\x80\x02].")


def cut(writer: Callable[..., Path], keep: float) -> Maker:
    def make(path: Path) -> None:
        content = writer(path, {"a.weight": np.ones((300, 200), np.float32)}).read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])

    return make


def archive(*members: tuple[str, bytes], packed: bool = False) -> Maker:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
            for member, content in members:
                file.writestr(member, content)

    return make


def headed(header: bytes) -> Maker:
    """A file of safetensors with its header alone."""
    return bytes_of(len(header).to_bytes(8, "little") + header)


def tarred(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("79999_iter.pth"))


def bomb(path: Path) -> None:
    """64 MiB of zeros in 64 kB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("archive/data.pkl", "w") as member:
        for _ in range(64):
            member.write(bytes(1 << 20))


def many_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for place in range(12_000):
            file.writestr(f"archive/data/{place:060}", b"")


def overlapping(path: Path) -> None:
    """Members that lie on one another, as in bombs that are not nested."""
    archive(("archive/data.pkl", bytes(100_000)), ("archive/data/0", b"x"))(path)
    content = path.read_bytes()
    place = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: place + 20] + b"\xff\xff\xff\x7f" * 2 + content[place + 28 :])


def mixed(path: Path) -> None:
    pickled = drawn.pickled(_ONE)[:-2] + text("epoch") + number(150) + b"u."
    archive(("a/data.pkl", pickled), ("a/data/0", bytes(24)))(path)


def model(**changes: object) -> Maker:
    return lambda path: drawn_onnx.save(path, drawn_onnx.parser(**changes))  # type: ignore[arg-type]


def spoiled(spoil: Callable[[onnx.ModelProto], None]) -> Maker:
    def make(path: Path) -> None:
        spoil(built := drawn_onnx.parser())
        drawn_onnx.save(path, built)

    return make


def two_inputs(built: onnx.ModelProto) -> None:
    built.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))


def bytes_input(built: onnx.ModelProto) -> None:
    built.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def loop(built: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    built.graph.node.append(helper.make_node("Scan", ["fusion"], ["scanned"], body=body, num_scan_inputs=1))


def strange_operator(built: onnx.ModelProto) -> None:
    built.opset_import.append(helper.make_opsetid("my.company", 1))
    built.graph.node.append(helper.make_node("Run", ["fusion"], ["done"], domain="my.company"))


def no_output(built: onnx.ModelProto) -> None:
    del built.graph.output[:]


def outside(built: onnx.ModelProto) -> None:
    weight = built.graph.initializer[-1]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")


def lonely(path: Path) -> Path:
    """Weights in a second file, as torch's exporter writes them, which is gone. Returns its path."""
    data = path.with_name(f"{path.name}.data")
    onnx.save_model(drawn_onnx.parser(), path, save_as_external_data=True, location=data.name, size_threshold=0)
    return data.rename(path.with_name("elsewhere"))


def linked(path: Path) -> None:
    path.with_name(f"{path.name}.data").symlink_to(lonely(path))


def huge_beside(path: Path) -> None:
    os.truncate(lonely(path).rename(path.with_name(f"{path.name}.data")), 1 << 36)


def in_future(built: onnx.ModelProto) -> None:
    built.opset_import[0].version = 99


def huge(built: onnx.ModelProto) -> None:
    """64 TiB of zeros."""
    built.graph.initializer.append(drawn_onnx.weight("huge", np.array([1 << 22, 1 << 22])))
    built.graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["zeros"]))
    built.graph.node.append(helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0))
    built.graph.node.append(helper.make_node("Add", ["fusion", "sum"], ["summed"]))
    built.graph.output[1].name = "summed"


def cut_model(path: Path) -> None:
    content = drawn_onnx.save(path, drawn_onnx.parser()).read_bytes()
    path.write_bytes(content[: len(content) // 2])


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:e9d7c91c\nsize 267445237\n"
PAGE = b"\n<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
SCHP = {"context_encoding__bottleneck__0__weight": (512, 4, 3, 3)}
FACE = {"cp__resnet__conv1__weight": (64, 3, 7, 7)}
POSE = {"Mconv7_stage6_L1__weight": (38, 8, 1, 1)}
DEEP = b"(" * 100_000 + b"t" * 100_000

WRONG: list[tuple[str, str, Maker, str]] = [
    ("an empty file", "parser", bytes_of(b""), "is an empty file"),
    ("a pointer", "parser", bytes_of(LFS), "is a pointer of Git LFS"),
    ("a pointer to a pose network", "pose", bytes_of(LFS), "is a pointer of Git LFS"),
    ("a page", "parser", bytes_of(PAGE), "is a web page"),
    ("a page for a face parser", "face-parser", bytes_of(b"<html></html>"), "is a web page"),
    ("an answer in XML", "pose", bytes_of(b'<?xml version="1.0"?><Error>AccessDenied</Error>'), "is a web page"),
    ("an answer in JSON", "parser", bytes_of(b'{"error": "Invalid username or password."}'), "is a text"),
    ("gzip", "parser", bytes_of(b"\x1f\x8b\x08" + bytes(99)), "is compressed with gzip"),
    ("7z", "parser", bytes_of(b"7z\xbc\xaf\x27\x1c" + bytes(99)), "is a 7z archive"),
    ("RAR", "parser", bytes_of(b"Rar!\x1a\x07" + bytes(99)), "is a RAR archive"),
    ("xz", "parser", bytes_of(b"\xfd7zXZ\x00" + bytes(99)), "is compressed with xz"),
    ("bzip2", "parser", bytes_of(b"BZh91AY" + bytes(99)), "is compressed with bzip2"),
    ("zstd", "parser", bytes_of(b"\x28\xb5\x2f\xfd" + bytes(99)), "is compressed with zstd"),
    ("PNG", "face-parser", bytes_of(b"\x89PNG\r\n\x1a\n" + bytes(99)), "is a picture"),
    ("JPEG", "face-parser", bytes_of(b"\xff\xd8\xff\xe0" + bytes(99)), "is a picture"),
    ("PDF", "parser", bytes_of(b"%PDF-1.7" + bytes(99)), "is a PDF"),
    ("numpy", "parser", bytes_of(b"\x93NUMPY\x01\x00" + bytes(99)), "is a numpy array"),
    ("Keras", "face-parser", bytes_of(b"\x89HDF\r\n\x1a\n" + bytes(99)), "is an HDF5 file"),
    ("TFLite", "pose", bytes_of(b"\x1c\x00\x00\x00TFL3" + bytes(99)), "is a TensorFlow Lite model"),
    ("safetensors cut short in its header", "parser", bytes_of(b"\x40" + bytes(7) + b'{"a":{"dtype":"F32"}}'), "is a safetensors file that is cut short"),
    ("safetensors cut short in its tensors", "parser", cut(drawn.stored, 0.9), "is a checkpoint that is cut short: "),
    ("safetensors of another network", "pose", lambda path: drawn.stored(path, _ONE), "is a checkpoint of another network: 1 tensors (weight [3, 2]"),
    ("safetensors without tensors", "pose", lambda path: drawn.stored(path, {}), "is a checkpoint without weights in it"),
    ("safetensors with a huge header", "pose", bytes_of((1 << 33).to_bytes(8, "little") + b"{"), "is a safetensors file that is cut short, or with far more in it"),
    ("safetensors with a deep header", "pose", headed(b'{"a":' + b"[" * 100_000), "is a safetensors file that is damaged"),
    ("safetensors of no shape", "pose", headed(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}'), "is a safetensors file that is damaged"),
    ("safetensors of another size", "pose", headed(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'), "is a safetensors file that is damaged"),
    ("a tar archive", "parser", tarred, "is a tar archive: unpack it first"),
    ("OpenVINO", "parser", bytes_of(b'<?xml version="1.0"?>\n<net name="schp" version="11"></net>'), "is a graph of OpenVINO"),
    ("ncnn", "parser", bytes_of(b"7767517\n2 2\nInput data 0 1 data\n"), "is a graph of ncnn"),
    ("a page of Windows", "parser", bytes_of(b"\xef\xbb\xbf<!-- --><!DOCTYPE html>\r\n<html>"), "is a web page"),
    ("a text of Windows", "parser", bytes_of("\ufeffZugriff verweigert: Schlüssel".encode()), "is a text"),
    ("Caffe", "pose", bytes_of(b"\x0a\x04pose\xa2\x06\x0e\x0a\x05image\x12\x05Input" + bytes(99)), "is a model of Caffe"),
    ("zeros", "parser", bytes_of(bytes(1 << 20)), "is no checkpoint and no model"),
    ("noise", "pose", bytes_of(np.random.default_rng(0).bytes(1 << 20)), "is no checkpoint"),
    ("a pickle of Python", "parser", bytes_of(pickle.dumps({"a": [1.0]}, 4)), "that torch.save did not write"),
    ("code", "parser", coded(SYSTEM), "with code in it (os.system), of which nothing was run"),
    ("code in a zip", "pose", coded(SYSTEM, drawn.zipped), "with code in it (os.system), of which nothing was run"),
    ("code by name", "face-parser", coded(STACKED), "with code in it (posix.system)"),
    ("code by instance", "parser", coded(INSTANCE), "the instruction INST"),
    ("an expression", "parser", coded(EVALUATED), "with code in it (builtins.eval)"),
    ("a class of theirs", "parser", coded(name("networks.AugmentCE2P.ResNet") + _CLEARED), "with more than weights in it (networks.AugmentCE2P.ResNet)"),
    ("YOLO", "parser", coded(name("ultralytics.nn.tasks.DetectionModel") + _CLEARED), "of Ultralytics"),
    ("settings of a training", "parser", coded(name("argparse.Namespace") + _CLEARED), "save them alone, as model.state_dict() gives them"),
    ("another protocol", "parser", archive(("a/data.pkl", b"\x80\x04}.")), "with pickle protocol 4, which cannot be read without running it"),
    ("an extension's code", "parser", coded(b"\x82\x01"), "with the instruction EXT1"),
    ("a deep pickle", "parser", raw(DEEP), "without weights in it"),
    ("a deep key", "parser", raw(b"}" + DEEP + b"Ns"), "neither text nor number"),
    ("a long pickle", "parser", raw(b"N" * 1_000_000), "with far more in it than a checkpoint has"),
    ("a far place", "parser", raw(b"Nr\xff\xff\xff\x7f"), "without weights in it"),
    ("a long text", "parser", raw(b"X\xff\xff\xff\xff" + bytes(9)), "damaged or cut short"),
    ("nothing on the stack", "parser", raw(b"0000"), "damaged or cut short"),
    ("no mark", "parser", raw(b"NNt"), "damaged or cut short"),
    ("a huge storage", "parser", raw(b"}" + text("a") + drawn.tensor("0", (2, 2), "FloatStorage", size=1 << 50) + b"s"), "is cut short"),
    ("a tensor beyond its storage", "pose", raw(b"}" + text("a") + drawn.tensor("0", (1 << 40,), "FloatStorage", size=1) + b"s"), "larger than its storage"),
    ("a negative shape", "pose", raw(b"}" + text("a") + drawn.tensor("0", (-4, 2), "FloatStorage", size=8) + b"s"), "without shape"),
    ("a storage of objects", "pose", raw(b"}" + text("a") + drawn.tensor("0", (1,), "ObjectStorage") + b"s"), "with more than weights in it (torch.ObjectStorage)"),
    ("no weights", "parser", raw(b"}" + text("epoch") + number(150) + b"s"), "without weights in it"),
    ("an empty dictionary", "parser", raw(b"}"), "without weights in it"),
    ("weights and a number", "parser", mixed, "more than weights"),
    ("pickles cut short", "parser", cut(drawn.legacy, 0.0005), "cut short"),
    ("storages cut short", "parser", cut(drawn.legacy, 0.9), "is a checkpoint that is cut short: "),
    ("a zip cut short", "pose", cut(drawn.zipped, 0.9), "is a zip archive that is cut short"),
    ("another zip", "parser", archive(("atr/exp-schp.pth", b"x")), "is a zip archive that torch did not write"),
    ("a zip of zips", "parser", archive(("a.zip", b"PK\x03\x04"), ("b.zip", b"PK\x03\x04")), "torch did not write"),
    ("a bomb", "parser", bomb, "is a compressed zip archive"),
    ("a packed checkpoint", "pose", lambda path: drawn.zipped(path, _ONE, packed=True), "is a compressed zip archive"),
    ("overlapping members", "pose", overlapping, "is a compressed zip archive"),
    ("many members", "parser", many_members, "of far more files than a checkpoint has"),
    ("no storage", "parser", archive(("a/data.pkl", drawn.pickled(_ONE))), "that is cut short: 0 bytes"),
    ("TorchScript", "pose", archive(("a/data.pkl", b"."), ("a/constants.pkl", b".")), "is a TorchScript program"),
    ("twelve classes", "parser", checkpoint(fushion__3__weight=(12, 4, 1, 1), **SCHP), "an SCHP parser of 12 classes; those of 18 (schp_atr), 20 (schp_lip), 7"),
    ("a face parser as parser", "parser", checkpoint(conv_out__conv_out__weight=(19, 4, 1, 1), **FACE), "is BiSeNet's face parser, which `maskwright models add face-parser` takes"),
    ("a pose network as parser", "parser", checkpoint(Mconv7_stage6_L2__weight=(19, 4, 1, 1), **POSE), "is OpenPose's body network of COCO, which `maskwright models add pose` takes"),
    ("a parser as pose network", "pose", checkpoint(fushion__3__weight=(20, 4, 1, 1), **SCHP), "is SCHP's parser of LIP, which `maskwright models add parser` takes"),
    ("a parser as face parser", "face-parser", checkpoint(fushion__3__weight=(7, 4, 1, 1), **SCHP), "is SCHP's parser of Pascal's person parts, which"),
    ("eleven face classes", "face-parser", checkpoint(conv_out__conv_out__weight=(11, 4, 1, 1), **FACE), "like BiSeNet's face parser, but with 11 maps where 19 are known"),
    ("hands", "pose", checkpoint(Mconv7_stage6__weight=(22, 128, 1, 1), conv1_1__weight=(64, 3, 3, 3)), "is a checkpoint of another network: 2 tensors (Mconv7_stage6.weight [22, 128, 1, 1]"),
    ("ResNet", "face-parser", checkpoint(conv1__weight=(64, 3, 7, 7), fc__weight=(10, 5)), "is a checkpoint of another network"),
    ("ONNX as pose network", "pose", model(), "is an ONNX model. `models add pose` takes OpenPose's body_pose_model.pth"),
    ("ONNX as face parser", "face-parser", model(), "is an ONNX model. `models add face-parser` takes BiSeNet's"),
    ("another side", "parser", model(side=640), "with the input input.1 1×3×640×640 (float), where the parser's is N×3×473×473 or"),
    ("two inputs", "parser", spoiled(two_inputs), "with the input input.1 1×3×512×512 (float), scale 1 (float), where"),
    ("bytes in", "parser", spoiled(bytes_input), "with the input input.1 1×3×512×512 (uint8), where"),
    ("other classes", "parser", model(classes=19), "whose output fusion is N×19×128×128, where parsers have N×18×128×128 (schp_atr)"),
    ("classes that it does not say", "parser", model(classes=19, declared=False), "whose output fusion is N×19×128×128"),
    ("LIP at ATR's side", "parser", model(classes=20), "whose output fusion is N×20×128×128"),
    ("another map", "parser", model(small=64), "whose output fusion is N×18×64×64"),
    ("a loop", "parser", spoiled(loop), "is an ONNX model with Scan, which no parser needs"),
    ("an operator of theirs", "parser", spoiled(strange_operator), "is an ONNX model with Run, which no parser needs"),
    ("no output", "parser", spoiled(no_output), "is an ONNX model without outputs"),
    ("weights elsewhere", "parser", spoiled(outside), "with weights in another file, passwd, which must be beside it and be no link"),
    ("weights that are not beside it", "parser", lonely, "with weights in another file, my.pth.data, which must be beside it"),
    ("weights behind a link", "parser", linked, "with weights in another file, my.pth.data, which must be beside it"),
    ("huge weights beside it", "parser", huge_beside, "is an ONNX model of more than 512 MiB"),
    ("four images at a time", "parser", model(images=4), "with the input input.1 4×3×512×512 (float), where the parser's is N×3×473×473 or"),
    ("an operator set to come", "parser", spoiled(in_future), "is an ONNX model that cannot be used"),
    ("a huge constant", "parser", spoiled(huge), "is an ONNX model that cannot be used"),
    ("half a model", "parser", cut_model, "is an ONNX model that is cut short"),
    ("a pipe", "parser", os.mkfifo, "is no regular file"),
    ("32 GiB", "pose", lambda path: path.touch() or os.truncate(path, 1 << 35), "is larger than 2 GiB"),
]  # fmt: skip
