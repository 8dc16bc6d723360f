"""TensorFlow.js graph models, lowered to TFLite's operators: from there on the translation to ONNX is the same."""
