"""A run for other software: as a file of standard Keras layers, for ONNX Runtime, OpenVINO, WSInfer and QuPath."""
