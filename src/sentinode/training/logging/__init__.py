"""Write training curves and example images for TensorBoard."""
