"""TensorRT plans of the models, in a model repository of their own."""
