"""TensorFlow Lite flatbuffers to ONNX: float graphs of mobile vision models."""
