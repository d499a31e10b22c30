"""Networks: each a plain `keras.Model` that takes uint8 patches."""
