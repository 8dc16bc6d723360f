"""TensorFlow.js graph models, lowered to TFLite's operators. From there the translation to ONNX is the same."""
