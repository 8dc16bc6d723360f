from steps.triton_python import TritonPythonModel

__all__ = ["TritonPythonModel"]
