"""Trained models of other origin: Keras, ONNX, OpenVINO and TorchScript files, used like a run."""
