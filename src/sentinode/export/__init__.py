"""Export of trained networks to Keras, ONNX Runtime, OpenVINO, WSInfer and QuPath."""
