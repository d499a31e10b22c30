"""Trained external models: Keras, ONNX, OpenVINO and TorchScript files, used like a run."""
